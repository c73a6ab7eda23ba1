package grant

import (
	"context"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/logon"
	"github.com/keyreeve/keyreeve/internal/oauth"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/store"
)

// findCode finds the authorization code that is to be redeemed.
func (h Handler) findCode(ctx context.Context, req *request) error {
	text, err := req.need(oauth.ParamCode)
	if err != nil {
		return err
	}
	err = h.DB.View(ctx, func(tx *store.Tx) (err error) {
		req.code, err = tx.Code(proof.HashToken(text))
		return err
	})
	if store.IsNotFound(err) || err == nil && req.code.Client != req.client.ID {
		return oauth.BadCode()
	}
	req.public = req.code.Public
	return err
}

// prepareCode holds the request against all that the code is bound to.
func (h Handler) prepareCode(_ context.Context, req *request) error {
	c := req.code
	switch {
	case c.Tenant != req.tenant.ID, c.V1 != req.v1, c.RedirectURI != req.form[oauth.ParamRedirectURI]:
		return oauth.BadCode()
	case !c.Verifies(req.form[oauth.ParamVerifier]):
		return oauth.BadVerifier()
	}
	req.asked = c.Scope
	return nil
}

// redeemCode is the authorization code grant (RFC 6749 4.1.3). A code that comes again ends the session it gave: of the
// two who sent it, one stole it, and nobody can tell which (RFC 6749 4.1.2, RFC 9700 4.5.3).
func (h Handler) redeemCode(tx *store.Tx, req *request) (subject, error) {
	c, err := tx.Code(req.code.Hash)
	switch {
	case store.IsNotFound(err):
		return subject{}, oauth.BadCode()
	case err != nil:
		return subject{}, err
	case !c.RedeemedAt.IsZero():
		err := h.endReused(tx, req, audit.Record{Event: audit.CodeReused, Actor: c.User, Target: c.Session.String()},
			c.Session, "authorization code reused")
		return subject{refusal: oauth.CodeRedeemed()}, err
	case !req.now.Before(c.ExpiresAt):
		return subject{}, oauth.CodeExpired()
	}
	s, user, err := logon.Resume(tx, c.Session, req.now)
	if err != nil {
		return subject{}, err
	}
	c.RedeemedAt = req.now.UTC()
	return subject{user: user, session: s, nonce: c.Nonce}, tx.PutCode(c)
}
