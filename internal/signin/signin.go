// Package signin owns the pages on which people sign in, and what a browser is remembered by.
//
// Two ways lead here: a client's authorization request (RFC 6749 4.1), which oauth/authorize checked and handed off, and
// a code that somebody typed (RFC 8628 3.3). Both go through the same list of steps (see steps), each of which knows
// whether it is due:
//
//	/signin?request=…  ─┐
//	                    ├─► account ─► password ─► new password ─► consent ─► confirmation ─► done
//	/device ── code ────┘
//
// Between the steps a sealed state travels in the page, bound to a cookie: it says what has been shown so far, expires,
// and is of no use in another browser. The pages work without scripts. What comes of a sign-in goes back the way it came:
// sealed to oauth/authorize, or through the store to whoever polls.
package signin

import (
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/keyreeve/keyreeve/internal/consent"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/handoff"
	"github.com/keyreeve/keyreeve/internal/logon"
	"github.com/keyreeve/keyreeve/internal/page"
	"github.com/keyreeve/keyreeve/internal/seal"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/throttle"
	"github.com/keyreeve/keyreeve/internal/web"
)

// Handler serves the pages. Fill every field.
type Handler struct {
	DB    *store.DB
	Logon *logon.Service
	// Apps finds applications and resources.
	Apps consent.Directory
	// Sealer seals the state between steps.
	Sealer *seal.Sealer
	Pages  *page.Printer
	// BaseURL is the login address, without a trailing slash.
	BaseURL string
	Now     func() time.Time
	Log     *slog.Logger

	// guesses bounds wrong codes from one address (RFC 8628 5.1).
	guesses *throttle.Limit
	crossed *http.CrossOriginProtection
}

// One address may type this many wrong codes at once, and one more every guessPause. With 20^8 codes that live 15
// minutes, a thousand of them open and a thousand addresses guessing, finding one takes some hundred years.
const (
	guessBurst = 10
	guessPause = 30 * time.Second
)

// maxForm is the largest form that is read, in bytes: the state in it carries the client's request.
const maxForm = 64 << 10

// Mount adds the routes to mux. Put the mux behind discovery.FoldPaths.
func (h Handler) Mount(mux *http.ServeMux) {
	h.guesses = &throttle.Limit{Burst: guessBurst, Every: guessPause}
	h.crossed = http.NewCrossOriginProtection()
	a := web.Adapter{Log: h.Log, Now: h.Now, Face: "login", WriteError: h.Pages.Problem}
	handle := func(pattern string, f web.Handler) { mux.Handle(pattern, a.Handle(web.OAuth(h.guarded(f)))) }
	handle("GET /{$}", h.startAgain)
	handle("GET /device", h.showCode)
	handle("POST /device", h.postCode)
	handle("GET "+handoff.SignInPath, h.begin)
	for _, s := range steps() {
		if s.take == nil {
			continue
		}
		handle("POST "+handoff.SignInPath+"/"+s.name, h.taking(s))
		handle("GET "+handoff.SignInPath+"/"+s.name, h.lost)
	}
	handle("GET /signin/signout", h.showSignOut)
	handle("POST /signin/signout", h.postSignOut)
	handle("GET /error", h.showError)
	h.Pages.Mount(mux)
}

// guarded refuses writes that another site's page sent, and sets the headers that every page has.
func (h Handler) guarded(next web.Handler) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		page.Fence(w)
		if err := h.crossed.Check(r); err != nil {
			return fault.New(fault.Forbidden, "crossSite", "The request came from another site.").Because(err)
		}
		return next(w, r)
	}
}

func (h Handler) startAgain(w http.ResponseWriter, r *http.Request) error {
	http.Redirect(w, r, "/device", http.StatusSeeOther)
	return nil
}

// lost answers somebody who opens a step by its address, such as by going back or reloading in a new window.
func (h Handler) lost(http.ResponseWriter, *http.Request) error { return handoff.Stale(nil) }

// showError explains the number that an error answer's error_uri carries.
func (h Handler) showError(w http.ResponseWriter, r *http.Request) error {
	return h.Pages.Meaning(w, r, r.URL.Query().Get("code"))
}

// remoteAddr is where a request came from, without its port.
func remoteAddr(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
