package grant

import (
	"context"
	"errors"

	"github.com/keyreeve/keyreeve/internal/caller"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/logon"
	"github.com/keyreeve/keyreeve/internal/oauth"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/token"
)

// prepareOnBehalf checks the token that a service was called with and wants to call another one with, as the same
// person (RFC 7523 2.1, with Entra's requested_token_use). It must have been issued for that very service.
func (h Handler) prepareOnBehalf(_ context.Context, req *request) error {
	if use := req.form["requested_token_use"]; use != "on_behalf_of" {
		return oauth.UnsupportedGrant(oauth.GrantOnBehalfOf + "' without 'requested_token_use=on_behalf_of")
	}
	raw, err := req.need("assertion")
	if err != nil {
		return err
	}
	if req.client.method == token.PublicClient {
		return oauth.MissingSecret() // a public client is nobody's service
	}
	audiences := []string{req.client.ID.String()}
	if a, ok := h.World.Application(req.client.ID); ok {
		audiences = append(audiences, a.IdentifierURIs...)
	}
	v, err := token.NewVerifier(token.Config{Issuer: h.BaseURL, Audiences: audiences, Keys: h.World, Now: h.Now})
	if err != nil {
		return fault.Wrap(err, "verifier")
	}
	who, err := caller.Checker{Verifier: v, World: h.World, Now: h.Now}.Check(raw)
	if err != nil {
		return onBehalfRefusal(err)
	}
	if who.Kind != caller.User {
		return oauth.OnBehalfOfApp()
	}
	if !req.tenant.ID.IsZero() && req.tenant.ID != who.Tenant {
		return oauth.OtherTenant(who.Name, h.tenantName(req))
	}
	req.caller = who
	return nil
}

// onBehalfRefusal says in the words of the endpoint why a token was refused.
func onBehalfRefusal(err error) error {
	if fault.Is(err, fault.Unavailable) {
		return err
	}
	if r, ok := errors.AsType[*token.Refusal](err); ok {
		switch r.Reason {
		case token.WrongAudience:
			return oauth.OnBehalfAudience().Because(err)
		case token.Expired, token.NotYetValid:
			return oauth.OnBehalfTime().Because(err)
		default:
			return oauth.OnBehalfSignature().Because(err)
		}
	}
	return oauth.Revoked().Because(err)
}

// redeemOnBehalf goes on with the session that the person signed in with.
func (h Handler) redeemOnBehalf(tx *store.Tx, req *request) (subject, error) {
	s, user, err := logon.Resume(tx, req.caller.Session, req.now)
	if err != nil {
		return subject{}, err
	}
	if user.ID != req.caller.Object {
		return subject{}, oauth.Revoked()
	}
	return subject{user: user, session: s}, nil
}
