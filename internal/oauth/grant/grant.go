// Package grant owns the token endpoint and the device authorization endpoint, v1 and v2: who asks, for what, with
// which proof, and the tokens that come of it.
//
// Every grant takes the same way, so that none can leave out a step:
//
//	parse once ─► tenant ─► client, authenticated ─► grant.prepare ─► resource ─► transaction: grant.redeem ─► issue ─► answer
//
// A grant is two functions (see rule). It never shows a page; the person's half of the device flow is in signin, and
// the two meet in the store.
package grant

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/keyreeve/keyreeve/internal/consent"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/issuer"
	"github.com/keyreeve/keyreeve/internal/keyring"
	"github.com/keyreeve/keyreeve/internal/logon"
	"github.com/keyreeve/keyreeve/internal/oauth"
	"github.com/keyreeve/keyreeve/internal/session"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/throttle"
	"github.com/keyreeve/keyreeve/internal/token"
	"github.com/keyreeve/keyreeve/internal/web"
	"github.com/keyreeve/keyreeve/internal/world"
)

// Handler serves the endpoints. Fill every field that has no default.
type Handler struct {
	DB      *store.DB
	World   *world.World
	Ring    *keyring.Ring
	Logon   *logon.Service
	Catalog *directory.Catalog
	// BaseURL is the login address, GraphURL that of Graph; both without a trailing slash.
	BaseURL, GraphURL string
	Now               func() time.Time
	Log               *slog.Logger
	// AccessLife is how long access tokens live. 0: between 60 and 75 minutes, at random, so that the clients that came
	// together do not all come back together.
	AccessLife time.Duration
	// ES256 signs the access tokens for Resource Manager and Graph, which nobody but us checks, with the ring's ES256 key if
	// it has one.
	ES256 bool
	// DeviceInterval is how often device clients are told to poll; 0 means 5 s.
	DeviceInterval time.Duration

	// Issuers finds the keys of those whose tokens applications trust; nil if nobody is.
	Issuers issuer.Source

	replays *replays
	// polls and starts bound how often a device code is polled and device flows are begun.
	polls, starts *throttle.Limit
}

// The bounds of the device flow.
const (
	deviceLife = 15 * time.Minute
	// MSAL Go polls after 50, 150, 450 ms … whatever it was told, so a burst is let through; what comes then must keep
	// to about twice the pace.
	pollBurst = 12
	// A start writes a row for someone not known yet: one address may begin this many at once, and one a second.
	startBurst = 120
)

// maxForm is the largest form that is read, in bytes.
const maxForm = 128 << 10

// Mount adds the routes to mux. Put the mux behind discovery.FoldPaths.
func (h Handler) Mount(mux *http.ServeMux) {
	h = h.Prepared()
	a := web.Adapter{Log: h.Log, Now: h.Now, Face: "login", WriteError: web.OAuthErrors(h.BaseURL, h.Now)}
	handle := func(pattern string, v1 bool, f func(http.ResponseWriter, *http.Request, bool) error) {
		mux.Handle(pattern, a.Handle(web.OAuth(func(w http.ResponseWriter, r *http.Request) error { return f(w, r, v1) })))
	}
	handle("/{tenant}/oauth2/v2.0/token", false, h.serveToken)
	handle("/{tenant}/oauth2/token", true, h.serveToken)
	handle("/{tenant}/oauth2/v2.0/devicecode", false, h.deviceStart)
	handle("/{tenant}/oauth2/devicecode", true, h.deviceStart)
}

// Prepared returns the handler with its defaults, and with what its copies share.
func (h Handler) Prepared() Handler {
	if h.replays != nil {
		return h
	}
	if h.DeviceInterval == 0 {
		h.DeviceInterval = 5 * time.Second
	}
	h.replays = &replays{}
	h.polls = &throttle.Limit{Burst: pollBurst, Every: h.DeviceInterval / 2}
	h.starts = &throttle.Limit{Burst: startBurst, Every: time.Second}
	return h
}

// Authenticate reads a form and the client that sent it, for other endpoints. proven says that the client showed a
// secret or an assertion. Call it on a Prepared handler.
func (h Handler) Authenticate(w http.ResponseWriter, r *http.Request) (map[string]string, consent.Client, bool, error) {
	req, err := h.parse(w, r, false)
	if err != nil {
		return nil, consent.Client{}, false, err
	}
	if err := h.identify(r.Context(), req); err != nil {
		return nil, consent.Client{}, false, err
	}
	web.EventOf(r).Add("client", req.client.ID.String())
	err = h.authenticate(r.Context(), req, true)
	return req.form, req.client.Client, req.client.method != token.PublicClient, err
}

// rule is one grant.
type rule struct {
	// person says that the grant brings a user; else the client asks for itself.
	person bool
	// find reads what is to be redeemed, as far as the client's own proof depends on it. It may be nil.
	find func(h Handler, ctx context.Context, req *request) error
	// prepare does what must not wait inside a transaction: slow checks, and finding the scope. It may be nil.
	prepare func(h Handler, ctx context.Context, req *request) error
	// redeem checks and uses up the proof. A refusal that must be remembered goes into subject.refusal: what redeem
	// wrote is then kept, and no token issued.
	redeem func(h Handler, tx *store.Tx, req *request) (subject, error)
}

// grants is the list of what is offered.
func grants(name string) (rule, bool) {
	switch name {
	case oauth.GrantDeviceCode, oauth.GrantDeviceCodeShort:
		return rule{person: true, prepare: Handler.prepareDevice, redeem: Handler.redeemDevice}, true
	case oauth.GrantAuthorizationCode:
		return rule{person: true, find: Handler.findCode, prepare: Handler.prepareCode, redeem: Handler.redeemCode}, true
	case oauth.GrantPassword:
		return rule{person: true, prepare: Handler.preparePassword, redeem: Handler.redeemPassword}, true
	case oauth.GrantRefreshToken:
		return rule{person: true, find: Handler.findRefresh, redeem: Handler.redeemRefresh}, true
	case oauth.GrantOnBehalfOf:
		return rule{person: true, prepare: Handler.prepareOnBehalf, redeem: Handler.redeemOnBehalf}, true
	case oauth.GrantClientCredentials:
		return rule{redeem: Handler.redeemClient}, true
	}
	return rule{}, false
}

// subject is whom a token is for.
type subject struct {
	user    directory.User
	session session.Session
	nonce   string
	app     world.Principal // when there is no user
	refusal *oauth.Error
}

// serveToken serves the token endpoint.
func (h Handler) serveToken(w http.ResponseWriter, r *http.Request, v1 bool) error {
	req, err := h.parse(w, r, v1)
	if err != nil {
		return err
	}
	name, err := req.need(oauth.ParamGrantType)
	if err != nil {
		return err
	}
	g, ok := grants(name)
	if !ok {
		return oauth.UnsupportedGrant(consent.Clip(name))
	}
	ev := web.EventOf(r)
	ev.Add("grant", name)
	req.grant = name
	if err := h.identify(r.Context(), req); err != nil {
		return err
	}
	ev.Add("client", req.client.ID.String())
	if g.find != nil {
		if err := g.find(h, r.Context(), req); err != nil {
			return err
		}
	}
	if err := h.authenticate(r.Context(), req, g.person); err != nil {
		return err
	}
	if g.prepare != nil {
		if err := g.prepare(h, r.Context(), req); err != nil {
			return err
		}
	}
	if err := h.resolve(req, g.person); err != nil {
		return err
	}
	ev.Add("resource", req.target.Audience)
	signers, err := h.signers(req)
	if err != nil {
		return err
	}
	var out issued
	var refusal *oauth.Error
	_, err = h.DB.Update(r.Context(), func(tx *store.Tx) error {
		s, err := g.redeem(h, tx, req)
		if err != nil || s.refusal != nil {
			refusal = s.refusal
			return err
		}
		out, err = h.issue(tx, req, s)
		return err
	})
	if err != nil {
		return err
	}
	if refusal != nil {
		return refusal
	}
	if err := out.sign(signers); err != nil {
		return err
	}
	ev.Add("principal", out.claims.Object.String())
	return h.answer(w, r, req, out)
}

// remoteAddr is where a request came from, without its port.
func remoteAddr(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
