// Package authorize owns the authorization endpoint (RFC 6749 4.1, OpenID Connect Core 3.1): it holds a client's request
// against what is registered, has the pages sign somebody in, and gives the client its code.
//
//	client ── authorize ──► request checked ── handoff ──► pages (signin) ── handoff ──► finish ── code ──► client
//
// Until the place for the answer is known to be the client's own, what is wrong is shown to the person and never sent
// anywhere. It shows no page but problems and the form that hands an answer on, and looks at no password.
package authorize

import (
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/consent"
	"github.com/keyreeve/keyreeve/internal/handoff"
	"github.com/keyreeve/keyreeve/internal/logon"
	"github.com/keyreeve/keyreeve/internal/oauth"
	"github.com/keyreeve/keyreeve/internal/page"
	"github.com/keyreeve/keyreeve/internal/seal"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/web"
)

// Handler serves the endpoint. Fill every field.
type Handler struct {
	DB *store.DB
	// Apps finds applications and resources.
	Apps   consent.Directory
	Sealer *seal.Sealer
	Pages  *page.Printer
	// BaseURL is the login address, without a trailing slash.
	BaseURL string
	Now     func() time.Time
	Log     *slog.Logger
}

// Mount adds the routes to mux. Put the mux behind discovery.FoldPaths.
func (h Handler) Mount(mux *http.ServeMux) {
	a := web.Adapter{Log: h.Log, Now: h.Now, Face: "login", WriteError: h.Pages.Problem}
	handle := func(pattern string, f web.Handler) {
		mux.Handle(pattern, a.Handle(web.OAuth(func(w http.ResponseWriter, r *http.Request) error {
			page.Fence(w)
			return f(w, r)
		})))
	}
	v2 := func(w http.ResponseWriter, r *http.Request) error { return h.authorize(w, r, false) }
	v1 := func(w http.ResponseWriter, r *http.Request) error { return h.authorize(w, r, true) }
	// OpenID Connect Core 3.1.2.1: both methods.
	for _, method := range []string{"GET", "POST"} {
		handle(method+" /{tenant}/oauth2/v2.0/authorize", v2)
		handle(method+" /{tenant}/oauth2/authorize", v1)
	}
	handle("GET /{tenant}/adminconsent", h.adminConsent)
	handle("GET /{tenant}/v2.0/adminconsent", h.adminConsent)
	handle("GET "+handoff.FinishPath, h.finish)
	handle("GET /common/oauth2/nativeclient", h.native)
}

// authorize checks a request and hands it to the pages.
func (h Handler) authorize(w http.ResponseWriter, r *http.Request, v1 bool) error {
	q, err := parameters(w, r)
	if err != nil {
		return err
	}
	req, client, err := h.identify(r, q, v1)
	if err != nil {
		return err
	}
	ev := web.EventOf(r)
	ev.Add("client", client.ID.String())
	// From here on the client is told what is wrong, by itself (RFC 6749 4.1.2.1).
	if err := h.check(q, client, &req); err != nil {
		e, ok := oauth.As(err)
		if !ok {
			return err
		}
		ev.Add("refused", e.Code())
		return h.answer(w, r, req, client.Name, h.issuer(req, directoryOf(req)), refusal(e))
	}
	text, err := req.Seal(h.Sealer)
	if err != nil {
		return err
	}
	//nolint:gosec // to our own pages; the text is sealed
	http.Redirect(w, r, h.BaseURL+handoff.SignInPath+"?request="+text, http.StatusSeeOther)
	return nil
}

// maxQuery is the longest request that is read, in bytes.
const maxQuery = 16 << 10

// parameters reads the query, or the form that was posted. A parameter that comes twice is refused (RFC 6749 3.1).
func parameters(w http.ResponseWriter, r *http.Request) (map[string]string, error) {
	text := r.URL.RawQuery
	if r.Method == http.MethodPost {
		if !web.IsForm(r) {
			return nil, oauth.Malformed("the body must be application/x-www-form-urlencoded")
		}
		body, err := web.ReadBody(w, r, maxQuery)
		if err != nil {
			return nil, err
		}
		text = string(body)
	}
	return parse(text)
}

func parse(text string) (map[string]string, error) {
	if len(text) > maxQuery {
		return nil, oauth.TooLarge()
	}
	values, err := url.ParseQuery(text)
	if err != nil {
		return nil, oauth.Malformed("the query cannot be read")
	}
	out := make(map[string]string, len(values))
	for name, v := range values {
		if len(v) > 1 {
			return nil, oauth.DuplicateParameter(consent.Clip(name))
		}
		if v[0] != "" { // RFC 6749 3.1: empty counts as absent
			out[name] = v[0]
		}
	}
	return out, nil
}

// identify finds the client and the place for its answer. Its errors are for the person to see: nobody else can be told.
func (h Handler) identify(r *http.Request, q map[string]string, v1 bool) (handoff.Request, consent.Client, error) {
	req := handoff.Request{
		ID: handoff.NewID(), V1: v1, At: h.Now().UTC(), MaxAge: -1, State: q[oauth.ParamState],
		Correlation: web.Correlation(web.EventOf(r)),
	}
	tenant, err := logon.Tenant(h.Apps.World, r.PathValue("tenant"))
	if err != nil {
		return req, consent.Client{}, err
	}
	req.Tenant = tenant.ID
	name := tenant.DisplayName
	if tenant.ID.IsZero() {
		name = consent.Clip(r.PathValue("tenant"))
	}
	id := q[oauth.ParamClientID]
	if id == "" {
		return req, consent.Client{}, oauth.MissingParameter(oauth.ParamClientID)
	}
	client, err := h.Apps.Client(id, tenant.ID, name)
	if err != nil {
		return req, client, err
	}
	place, err := client.Redirect(q[oauth.ParamRedirectURI])
	if err != nil {
		return req, client, err
	}
	req.Client, req.Redirect, req.Named = client.ID, place.URI, q[oauth.ParamRedirectURI] != ""
	req.Native, req.Origin, req.Public = place.Loopback(), place.Origin(), place.Kind != consent.Web
	req.Mode, err = mode(q[oauth.ParamResponseMode])
	return req, client, err
}

// mode is how the answer reaches the client. Codes go by query unless the request says otherwise.
func mode(asked string) (string, error) {
	switch asked {
	case "":
		return oauth.ModeQuery, nil
	case oauth.ModeQuery, oauth.ModeFragment, oauth.ModeFormPost:
		return asked, nil
	}
	return "", oauth.BadParameter(oauth.ParamResponseMode, "must be query, fragment or form_post")
}

// issuer is what RFC 9207 has the answer carry: the issuer that the metadata of the endpoint names.
func (h Handler) issuer(req handoff.Request, tenant string) string {
	if req.V1 {
		return h.BaseURL + "/" + tenant + "/"
	}
	return h.BaseURL + "/" + tenant + "/v2.0"
}

// directoryOf is the tenant that a request names, or the word that metadata has in its place.
func directoryOf(req handoff.Request) string {
	if req.Tenant.IsZero() {
		return "{tenantid}"
	}
	return req.Tenant.String()
}

// answer sends the client what came of its request.
func (h Handler) answer(w http.ResponseWriter, r *http.Request, req handoff.Request, name, issuer string, fields []page.Field) error {
	if req.State != "" {
		fields = append(fields, page.Field{Name: oauth.ParamState, Value: req.State})
	}
	fields = append(fields, page.Field{Name: "iss", Value: issuer})
	if req.Mode == oauth.ModeFormPost {
		return h.Pages.Print(w, r, http.StatusOK, "handon", page.View{
			Title: "One moment", App: name, Action: req.Redirect, Targets: []string{req.Origin}, Fields: fields, Script: true,
		})
	}
	q := url.Values{}
	for _, f := range fields {
		q.Set(f.Name, f.Value)
	}
	w.Header().Set("Content-Security-Policy", page.Policy([]string{req.Origin}))
	// 303, so that no browser sends a form on (RFC 9700 4.12).
	w.Header().Set("Location", location(req.Redirect, req.Mode, q))
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// location adds parameters to a redirect URI, keeping the query that it has (RFC 6749 3.1.2).
func location(uri, mode string, q url.Values) string {
	if mode == oauth.ModeFragment {
		return uri + "#" + q.Encode()
	}
	sep := "?"
	if strings.Contains(uri, "?") {
		sep = "&"
	}
	return uri + sep + q.Encode()
}

// refusal is an error as the client is told (RFC 6749 4.1.2.1).
func refusal(e *oauth.Error) []page.Field {
	out := []page.Field{{Name: "error", Value: e.Word}, {Name: "error_description", Value: e.Error()}}
	if e.Suberror != "" {
		out = append(out, page.Field{Name: "error_subcode", Value: e.Suberror})
	}
	return out
}

// native is where programs without a listener of their own send browsers, to read the answer off the address.
func (h Handler) native(w http.ResponseWriter, r *http.Request) error {
	v := page.View{Title: "You are signed in", Done: true, Next: "You can close this window."}
	if r.URL.Query().Has("error") {
		v = page.View{Title: "That did not work", Error: "The sign-in was refused.", Next: "Close this window and start again."}
	}
	return h.Pages.Print(w, r, http.StatusOK, "problem", v)
}
