// Package signin owns the pages on which people sign in: today those of the device flow (RFC 8628 3.3).
//
//	/device ── code ──► /device/signin ── name, password ──► [/device/password] ──► /device/confirm ── yes, no ──► done
//
// Between the steps a sealed state travels in the page, bound to a cookie: it says what has been shown so far, expires,
// and is of no use in another browser. A session begins only with the last step. The pages work without scripts, and
// the token endpoint learns of what happened here through the store.
package signin

import (
	"embed"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/logon"
	"github.com/keyreeve/keyreeve/internal/seal"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/throttle"
	"github.com/keyreeve/keyreeve/internal/web"
	"github.com/keyreeve/keyreeve/internal/world"
)

//go:embed pages
var files embed.FS

var pages = template.Must(template.ParseFS(files, "pages/*.html"))

// Handler serves the pages. Fill every field.
type Handler struct {
	DB      *store.DB
	World   *world.World
	Logon   *logon.Service
	Catalog *directory.Catalog
	// Sealer seals the state between steps.
	Sealer *seal.Sealer
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

// maxForm is the largest form that is read, in bytes.
const maxForm = 32 << 10

// Mount adds the routes to mux. Put the mux behind discovery.FoldPaths.
func (h Handler) Mount(mux *http.ServeMux) {
	h.guesses = &throttle.Limit{Burst: guessBurst, Every: guessPause}
	h.crossed = http.NewCrossOriginProtection()
	a := web.Adapter{Log: h.Log, Now: h.Now, Face: "login", WriteError: h.writeError}
	handle := func(pattern string, f web.Handler) { mux.Handle(pattern, a.Handle(web.OAuth(h.guarded(f)))) }
	handle("GET /{$}", h.startAgain)
	handle("GET /device", h.showCode)
	handle("POST /device", h.postCode)
	handle("POST /device/signin", h.postSignIn)
	handle("POST /device/password", h.postPassword)
	handle("POST /device/confirm", h.postConfirm)
	for _, step := range []string{"signin", "password", "confirm"} {
		handle("GET /device/"+step, h.startAgain)
	}
	handle("GET /error", h.showError)
	handle("GET /{tenant}/oauth2/v2.0/authorize", h.notOffered)
	handle("GET /{tenant}/oauth2/authorize", h.notOffered)
	mux.Handle("GET /signin/style.css", asset("pages/style.css", "text/css; charset=utf-8"))
	mux.Handle("GET /signin/icon.svg", asset("pages/icon.svg", "image/svg+xml"))
}

// guarded refuses writes that another site's page sent, and sets the headers that every page has.
func (h Handler) guarded(next web.Handler) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		secureHeaders(w)
		if err := h.crossed.Check(r); err != nil {
			return fault.New(fault.Forbidden, "crossSite", "The request came from another site.").Because(err)
		}
		return next(w, r)
	}
}

// secureHeaders allow a page nothing but its own style sheet, icon and form targets.
func secureHeaders(w http.ResponseWriter) {
	for k, v := range map[string]string{
		"Content-Security-Policy":      "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
		"X-Frame-Options":              "DENY",
		"X-Content-Type-Options":       "nosniff",
		"Referrer-Policy":              "same-origin",
		"Cross-Origin-Opener-Policy":   "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin",
		"Permissions-Policy":           "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
		"Cache-Control":                "no-store",
	} {
		w.Header().Set(k, v)
	}
}

func asset(name, contentType string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		body, err := files.ReadFile(name)
		if err != nil {
			http.Error(w, "not found", http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "public, max-age=300")
		_, _ = w.Write(body)
	})
}

// remoteAddr is where a request came from, without its port.
func remoteAddr(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
