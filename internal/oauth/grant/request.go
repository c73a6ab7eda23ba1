package grant

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/caller"
	"github.com/keyreeve/keyreeve/internal/consent"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/logon"
	"github.com/keyreeve/keyreeve/internal/oauth"
	"github.com/keyreeve/keyreeve/internal/session"
	"github.com/keyreeve/keyreeve/internal/web"
)

// request is a parsed request on its way through the pipeline; each step fills in what the next one needs.
type request struct {
	v1   bool
	now  time.Time
	form form
	// basicID and basicSecret come from an Authorization header (client_secret_basic).
	basicID, basicSecret string

	segment      string           // of the path
	tenant       directory.Tenant // zero at organizations and common
	grant        string
	client       client
	scopes       consent.Scopes
	target       consent.Target
	scp          []string // the delegated permissions, when a person is involved
	capabilities []string
	origin       logon.Origin

	// asked is the scope, in v1 the resource, that a code was asked for.
	asked string
	// before is the scope of the refresh token, which is meant if the request has none.
	before string
	// public says that what is redeemed was given to a client that keeps no secret.
	public bool
	// code and device are the code being redeemed, verified the person whose password was right.
	code     session.Code
	device   session.DeviceCode
	verified logon.Verified
	// caller is the person whose token a service presented.
	caller caller.Caller
}

// form is a parsed body: each parameter once, none of them empty (RFC 6749 3.2: empty counts as absent).
type form map[string]string

// need returns a parameter, or the refusal that it is missing.
func (r *request) need(name string) (string, error) {
	if v := r.form[name]; v != "" {
		return v, nil
	}
	return "", oauth.MissingParameter(name)
}

// parse reads everything that every request has.
func (h Handler) parse(w http.ResponseWriter, r *http.Request, v1 bool) (*request, error) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return nil, oauth.WrongMethod(consent.Clip(r.Method))
	}
	if !web.IsForm(r) {
		return nil, oauth.Malformed("the body must be application/x-www-form-urlencoded")
	}
	body, err := web.ReadBody(w, r, maxForm)
	if err != nil {
		return nil, err
	}
	req := &request{v1: v1, now: h.Now(), segment: r.PathValue("tenant")}
	if req.form, err = parseForm(string(body)); err != nil {
		return nil, err
	}
	if req.basicID, req.basicSecret, err = basicAuth(r); err != nil {
		return nil, err
	}
	if req.capabilities, err = parseClaims(req.form[oauth.ParamClaims]); err != nil {
		return nil, err
	}
	if t := req.form["token_type"]; t != "" && !strings.EqualFold(t, "Bearer") {
		return nil, oauth.Malformed("token_type '" + consent.Clip(t) + "' is not offered")
	}
	if req.tenant, err = logon.Tenant(h.World, req.segment); err != nil {
		return nil, err
	}
	req.origin = logon.Origin{RemoteAddr: remoteAddr(r), Correlation: web.Correlation(web.EventOf(r))}
	return req, nil
}

// parseForm reads a form body. A parameter that comes twice is refused (RFC 6749 3.1).
func parseForm(body string) (form, error) {
	values, err := url.ParseQuery(body)
	if err != nil {
		return nil, oauth.Malformed("the body is not a valid form")
	}
	out := make(form, len(values))
	for name, v := range values {
		if len(v) > 1 {
			return nil, oauth.DuplicateParameter(consent.Clip(name))
		}
		if v[0] != "" {
			out[name] = v[0]
		}
	}
	return out, nil
}

// basicAuth reads client_secret_basic: both halves are form-encoded within (RFC 6749 2.3.1).
func basicAuth(r *http.Request) (id, secret string, err error) {
	if r.Header.Get("Authorization") == "" {
		return "", "", nil
	}
	rawID, rawSecret, ok := r.BasicAuth()
	if !ok {
		return "", "", oauth.Malformed("the Authorization header is not of the Basic scheme")
	}
	id, err1 := url.QueryUnescape(rawID)
	secret, err2 := url.QueryUnescape(rawSecret)
	if err1 != nil || err2 != nil || id == "" {
		return "", "", oauth.Malformed("the Authorization header is not a form-encoded client id and secret")
	}
	return id, secret, nil
}

// parseClaims returns the capabilities of a claims request (OpenID Connect Core 5.5). What else is asked for is
// satisfied by any fresh token.
func parseClaims(text string) ([]string, error) {
	if text == "" {
		return nil, nil
	}
	var c struct {
		AccessToken map[string]json.RawMessage `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return nil, oauth.Malformed("the claims parameter is not valid JSON")
	}
	raw, ok := c.AccessToken["xms_cc"]
	if !ok {
		return nil, nil
	}
	var cc struct {
		Values []string `json:"values"`
	}
	if err := json.Unmarshal(raw, &cc); err != nil {
		return nil, oauth.Malformed("the claims parameter asks for xms_cc in a form that is not known")
	}
	for _, v := range cc.Values {
		if strings.EqualFold(v, "CP1") {
			return []string{"CP1"}, nil
		}
	}
	return nil, nil
}
