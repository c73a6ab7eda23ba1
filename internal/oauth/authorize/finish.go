package authorize

import (
	"net"
	"net/http"

	"github.com/keyreeve/keyreeve/internal/consent"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/handoff"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/logon"
	"github.com/keyreeve/keyreeve/internal/oauth"
	"github.com/keyreeve/keyreeve/internal/page"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/session"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/web"
)

// codePrefix lets secret scanners know whose code they found.
const codePrefix = "krc_"

// finish takes over from the pages and gives the client its answer.
func (h Handler) finish(w http.ResponseWriter, r *http.Request) error {
	res, err := handoff.OpenResult(h.Sealer, r.URL.Query().Get("result"), h.Now())
	if err != nil {
		return err
	}
	req := res.Request
	if !handoff.Bound(r, req.ID, res.Browser) {
		return handoff.Stale(nil)
	}
	client, err := h.Apps.Client(req.Client.String(), req.Tenant, directoryOf(req))
	if err != nil {
		return err
	}
	// The registration may have changed while somebody was signing in.
	if _, err := client.Redirect(req.Redirect); err != nil {
		return err
	}
	handoff.Unbind(w, req.ID)
	tenant := directoryOf(req)
	if p, ok := h.Apps.World.Principal(res.User); ok {
		tenant = p.Tenant.String()
	}
	if res.Refusal != nil {
		return h.answer(w, r, req, client.Name, h.issuer(req, tenant), refusal(res.Refusal.Error()))
	}
	if req.AdminConsent {
		return h.consented(w, r, req, client.Name, tenant)
	}
	code, err := h.code(r, res, client)
	if e, ok := oauth.As(err); ok {
		return h.answer(w, r, req, client.Name, h.issuer(req, tenant), refusal(e))
	}
	if err != nil {
		return err
	}
	return h.answer(w, r, req, client.Name, h.issuer(req, tenant), []page.Field{{Name: oauth.ParamCode, Value: code}})
}

// code begins the session and keeps a code for it, bound to all that the request said.
func (h Handler) code(r *http.Request, res handoff.Result, client consent.Client) (string, error) {
	req, now, text := res.Request, h.Now(), proof.NewToken(codePrefix)
	from := logon.Origin{Client: client.ID, RemoteAddr: remoteAddr(r), Correlation: req.Correlation, Method: "browser"}
	if res.Remembered {
		from.Method = "browser, signed in before"
	}
	web.EventOf(r).Add("principal", res.User.String())
	_, err := h.DB.Update(r.Context(), func(tx *store.Tx) error {
		begun, user, err := logon.Begin(tx, res.User, res.At, now, res.Methods, from)
		if err != nil {
			return err
		}
		if err := h.allowed(tx, req, client, user); err != nil {
			return err
		}
		c := session.Code{
			Hash: proof.HashToken(text), Client: client.ID, Tenant: req.Tenant, V1: req.V1, Scope: req.Scope, Nonce: req.Nonce,
			Challenge: req.Challenge, Public: req.Public, User: user.ID, Session: begun.ID, CreatedAt: now.UTC(), ExpiresAt: now.UTC().Add(session.CodeLife),
		}
		if req.Named {
			c.RedirectURI = req.Redirect
		}
		return tx.PutCode(c)
	})
	return text, err
}

// allowed refuses a person of another tenant than was asked, and what nobody consented to.
func (h Handler) allowed(tx *store.Tx, req handoff.Request, client consent.Client, user directory.User) error {
	tenant := req.Tenant
	if tenant.IsZero() {
		tenant = client.Tenant
	}
	if !tenant.IsZero() && tenant != user.Tenant {
		return oauth.OtherTenant(user.UserPrincipalName, tenant.String())
	}
	s, err := scopesOf(req)
	if err != nil {
		return err
	}
	target, err := h.Apps.Target(s, orTenant(tenant, user.Tenant), directoryOf(req))
	if err != nil {
		return err
	}
	if err := h.Apps.Assigned(tx, client, user); err != nil {
		return err
	}
	_, err = h.Apps.Permissions(client, target, s, user.ID)
	return err
}

func orTenant(t, other ident.TenantID) ident.TenantID {
	if t.IsZero() {
		return other
	}
	return t
}

func scopesOf(req handoff.Request) (consent.Scopes, error) {
	if req.V1 {
		return consent.V1Scopes(req.Scope), nil
	}
	return consent.ParseScope(req.Scope)
}

// remoteAddr is where a request came from, without its port.
func remoteAddr(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
