// Package manage owns what clients do with what they were given: ask who somebody is (userinfo), ask whether a token
// still counts (introspection, RFC 7662), give one back (revocation, RFC 7009), and send people to sign out.
//
// It issues nothing. Who a client is, is proved in the way that the token endpoint has (see Handler.Authenticate).
package manage

import (
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/caller"
	"github.com/keyreeve/keyreeve/internal/consent"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/handoff"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/logon"
	"github.com/keyreeve/keyreeve/internal/oauth"
	"github.com/keyreeve/keyreeve/internal/page"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/seal"
	"github.com/keyreeve/keyreeve/internal/session"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/token"
	"github.com/keyreeve/keyreeve/internal/web"
)

// Handler serves the endpoints. Fill every field.
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
	// Authenticate reads a form and the client that sent it, as the token endpoint does. proven says that the client
	// showed a secret or an assertion, and not only its name.
	Authenticate func(w http.ResponseWriter, r *http.Request) (form map[string]string, c consent.Client, proven bool, err error)
}

// Mount adds the routes to mux. Put the mux behind discovery.FoldPaths.
func (h Handler) Mount(mux *http.ServeMux) {
	a := web.Adapter{Log: h.Log, Now: h.Now, Face: "login", WriteError: web.OAuthErrors(h.BaseURL, h.Now)}
	handle := func(pattern string, f web.Handler) { mux.Handle(pattern, a.Handle(web.OAuth(f))) }
	handle("GET /{tenant}/openid/userinfo", h.userInfo)
	handle("POST /{tenant}/openid/userinfo", h.userInfo)
	handle("/{tenant}/oauth2/v2.0/introspect", h.introspect)
	handle("/{tenant}/oauth2/v2.0/revoke", h.revoke)
	pages := web.Adapter{Log: h.Log, Now: h.Now, Face: "login", WriteError: h.Pages.Problem}
	for _, path := range []string{"/{tenant}/oauth2/v2.0/logout", "/{tenant}/oauth2/logout"} {
		mux.Handle("GET "+path, pages.Handle(web.OAuth(h.logout)))
	}
}

// checker says whom a token for one of some audiences stands for.
func (h Handler) checker(audiences []string) (caller.Checker, error) {
	v, err := token.NewVerifier(token.Config{Issuer: h.BaseURL, Audiences: audiences, Keys: h.Apps.World, Now: h.Now})
	if err != nil {
		return caller.Checker{}, fault.Wrap(err, "verifier")
	}
	return caller.Checker{Verifier: v, World: h.Apps.World, Now: h.Now}, nil
}

// userInfo says who the person of a token is (OpenID Connect Core 5.3), to the client that they signed in to.
func (h Handler) userInfo(w http.ResponseWriter, r *http.Request) error {
	refuse := func(word string) error {
		challenge := "Bearer"
		if word != "" {
			challenge += ` error="` + word + `"`
		}
		w.Header().Set("WWW-Authenticate", challenge) // RFC 6750 3
		return oauth.BadBearer(word == "insufficient_scope")
	}
	raw, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return refuse("")
	}
	c, err := h.checker(h.Apps.Catalog.Audiences(directory.MicrosoftGraph()))
	if err != nil {
		return err
	}
	who, err := c.Check(raw)
	if fault.Is(err, fault.Unavailable) {
		return err
	}
	if err != nil {
		return refuse("invalid_token")
	}
	if who.Kind != caller.User || !slices.Contains(who.Scopes, oauth.ScopeOpenID) {
		return refuse("insufficient_scope")
	}
	var u directory.User
	err = h.DB.View(r.Context(), func(tx *store.Tx) (err error) {
		u, err = tx.User(who.Object)
		return err
	})
	if err != nil {
		return err
	}
	out := map[string]string{"sub": token.PairwiseSubject(u.Tenant, u.ID, who.Client)}
	if slices.Contains(who.Scopes, oauth.ScopeProfile) {
		for name, value := range map[string]string{"name": u.DisplayName, "given_name": u.GivenName, "family_name": u.Surname, "preferred_username": u.UserPrincipalName} {
			if value != "" {
				out[name] = value
			}
		}
	}
	if slices.Contains(who.Scopes, oauth.ScopeEmail) && u.Mail != "" {
		out["email"] = u.Mail
	}
	web.NoStore(w)
	return web.WriteJSON(w, http.StatusOK, "application/json; charset=utf-8", out)
}

// introspection is the answer of RFC 7662 2.2.
type introspection struct {
	Active    bool   `json:"active"`
	Scope     string `json:"scope,omitempty"`
	ClientID  string `json:"client_id,omitempty"`
	Username  string `json:"username,omitempty"`
	TokenType string `json:"token_type,omitempty"`
	Expires   int64  `json:"exp,omitempty"`
	IssuedAt  int64  `json:"iat,omitempty"`
	Subject   string `json:"sub,omitempty"`
	Audience  string `json:"aud,omitempty"`
	Issuer    string `json:"iss,omitempty"`
	ID        string `json:"jti,omitempty"`
}

// introspect tells a service whether a token that it was called with still counts, and a client the same of its own.
// Of tokens that are neither, nothing is told (RFC 7662 4).
func (h Handler) introspect(w http.ResponseWriter, r *http.Request) error {
	form, client, proven, err := h.Authenticate(w, r)
	if err != nil {
		return err
	}
	if !proven {
		return oauth.MissingSecret()
	}
	raw := form["token"]
	if raw == "" {
		return oauth.MissingParameter("token")
	}
	web.NoStore(w)
	out, err := h.describe(r, client, raw)
	if err != nil {
		return err
	}
	return web.WriteJSON(w, http.StatusOK, "application/json; charset=utf-8", out)
}

func (h Handler) describe(r *http.Request, client consent.Client, raw string) (introspection, error) {
	if t, _, err := h.refresh(r, raw); err != nil || t.Hash != "" {
		if err != nil || t.Client != client.ID || !h.Now().Before(t.ExpiresAt) || t.Reused(h.Now()) || !h.live(t) {
			return introspection{}, err
		}
		return introspection{Active: true, ClientID: t.Client.String(), Expires: t.ExpiresAt.Unix(), IssuedAt: t.CreatedAt.Unix(), TokenType: "refresh_token"}, nil
	}
	audiences := h.Apps.Audiences(client)
	c, err := h.checker(append(audiences, h.Apps.AllAudiences()...))
	if err != nil {
		return introspection{}, err
	}
	who, err := c.Check(raw)
	if fault.Is(err, fault.Unavailable) {
		return introspection{}, err
	}
	if err != nil || who.Client != client.ID && !slices.Contains(audiences, who.Audience) {
		return introspection{}, nil //nolint:nilerr // RFC 7662 2.2: not active, and no word why
	}
	return introspection{
		Active: true, Scope: strings.Join(who.Scopes, " "), ClientID: who.Client.String(), Username: who.Name, TokenType: "Bearer",
		Expires: who.Expires.Unix(), IssuedAt: who.IssuedAt.Unix(), Subject: who.Object.String(), Audience: who.Audience,
		Issuer: token.IssuerV1(h.BaseURL, who.Tenant), ID: who.TokenID,
	}, nil
}

// live reports whether the session of a refresh token may still be used.
func (h Handler) live(t session.RefreshToken) bool {
	s, ok := h.Apps.World.Session(t.Session)
	p, known := h.Apps.World.Principal(t.User)
	return ok && known && p.Enabled && s.Live(h.Now()) && !s.CreatedAt.Before(p.ValidFrom)
}

// refresh finds a refresh token; its Hash is empty if it is none.
func (h Handler) refresh(r *http.Request, raw string) (session.RefreshToken, bool, error) {
	var t session.RefreshToken
	err := h.DB.View(r.Context(), func(tx *store.Tx) (err error) {
		t, err = tx.RefreshToken(proof.HashToken(raw))
		return err
	})
	if store.IsNotFound(err) {
		return session.RefreshToken{}, false, nil
	}
	return t, err == nil, err
}

// revoke ends the session of a token that its client gives back. What is not the client's, or nobody's, is answered the
// same (RFC 7009 2.2).
func (h Handler) revoke(w http.ResponseWriter, r *http.Request) error {
	form, client, _, err := h.Authenticate(w, r)
	if err != nil {
		return err
	}
	raw := form["token"]
	if raw == "" {
		return oauth.MissingParameter("token")
	}
	t, found, err := h.refresh(r, raw)
	if err != nil {
		return err
	}
	var id ident.SessionID
	if found && t.Client == client.ID {
		id = t.Session
	} else if !found {
		c, err := h.checker(append(h.Apps.Audiences(client), h.Apps.AllAudiences()...))
		if err != nil {
			return err
		}
		if who, err := c.Check(raw); err == nil && who.Client == client.ID {
			id = who.Session
		}
	}
	if !id.IsZero() {
		_, err = h.DB.Update(r.Context(), func(tx *store.Tx) error {
			return logon.Revoke(tx, id, h.Now(), "token given back", logon.Actor{Name: client.Name, Correlation: web.Correlation(web.EventOf(r))})
		})
		if err != nil && !store.IsNotFound(err) {
			return err
		}
	}
	web.NoStore(w)
	w.WriteHeader(http.StatusOK)
	return nil
}

// logout sends a person to the page on which they sign out (OpenID Connect RP-Initiated Logout), and from there to where
// the client wants them, if that place is registered for it, byte for byte.
func (h Handler) logout(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	out := handoff.SignOut{At: h.Now().UTC(), Hint: q.Get("logout_hint")}
	if place := q.Get("post_logout_redirect_uri"); place != "" {
		id := q.Get("client_id")
		if id == "" {
			id = audienceOf(q.Get("id_token_hint"))
		}
		tenant, err := logon.Tenant(h.Apps.World, r.PathValue("tenant"))
		if err != nil {
			return err
		}
		if id == "" {
			return oauth.BadParameter("post_logout_redirect_uri", "needs a client_id or an id_token_hint beside it, to know whose it is")
		}
		client, err := h.Apps.Client(id, tenant.ID, tenant.DisplayName)
		if err != nil {
			return err
		}
		to, err := client.Redirect(place)
		if err != nil {
			return err
		}
		out.Return, out.Origin = to.URI, to.Origin()
		if state := q.Get("state"); len(state) <= 4<<10 {
			out.State = state
		}
	}
	text, err := out.Seal(h.Sealer)
	if err != nil {
		return err
	}
	page.Fence(w)
	http.Redirect(w, r, h.BaseURL+handoff.SignOutPath+"?request="+text, http.StatusSeeOther)
	return nil
}

// audienceOf returns the client that an id token names. The token is not checked: it only says whose registered places
// the given one is compared with, and the person is asked whatever it says.
func audienceOf(raw string) string {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	var c struct {
		Audience string `json:"aud"`
	}
	if json.Unmarshal(payload, &c) != nil {
		return ""
	}
	return c.Audience
}
