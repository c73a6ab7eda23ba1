package grant

import (
	"context"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/logon"
	"github.com/keyreeve/keyreeve/internal/oauth"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/session"
	"github.com/keyreeve/keyreeve/internal/store"
)

// preparePassword checks the password of the resource owner password grant (RFC 6749 4.3), where the tenant allows it
// to the client. RFC 9700 2.4 advises against the grant, so no client has it unless the tenant says so.
func (h Handler) preparePassword(ctx context.Context, req *request) error {
	name, err := req.need(oauth.ParamUsername)
	if err != nil {
		return err
	}
	password, err := req.need(oauth.ParamPassword)
	if err != nil {
		return err
	}
	tenant := req.tenant
	if tenant.ID.IsZero() {
		_, domain, _ := strings.Cut(strings.TrimSpace(name), "@")
		tenant, _ = h.World.TenantByDomain(domain)
	}
	if !tenant.ID.IsZero() && !slices.Contains(tenant.PasswordGrantClients, req.client.ID) {
		return oauth.PasswordGrantOff(req.client.ID.String())
	}
	req.origin.Method = "password grant"
	if req.verified, err = h.Logon.Password(ctx, req.tenant.ID, name, password, req.origin); err != nil {
		return err
	}
	if req.verified.MustChange {
		return oauth.PasswordExpired()
	}
	return nil
}

func (h Handler) redeemPassword(tx *store.Tx, req *request) (subject, error) {
	s, user, err := logon.Begin(tx, req.verified.User.ID, req.verified.At, req.now, []string{oauth.AMRPassword}, req.origin)
	return subject{user: user, session: s}, err
}

// redeemClient is the client credentials grant (RFC 6749 4.4): the application itself is the subject.
func (h Handler) redeemClient(_ *store.Tx, req *request) (subject, error) {
	if req.tenant.ID.IsZero() {
		return subject{}, oauth.NoTenant()
	}
	p, ok := h.World.ServicePrincipalOf(req.tenant.ID, req.client.ID)
	if !ok {
		return subject{}, oauth.NoServicePrincipal(req.client.ID.String(), req.tenant.ID.String())
	}
	if !p.Enabled {
		return subject{}, oauth.ClientDisabled(req.client.ID.String())
	}
	return subject{app: p}, nil
}

// findRefresh tells whether the token was given to a client that keeps no secret, and what it was asked for with.
func (h Handler) findRefresh(ctx context.Context, req *request) error {
	text := req.form[oauth.ParamRefreshToken]
	says := req.form[oauth.ParamScope] != "" || req.v1 && req.form[oauth.ParamResource] != ""
	if req.client.Public && says || text == "" {
		return nil
	}
	err := h.DB.View(ctx, func(tx *store.Tx) error {
		t, err := tx.RefreshToken(proof.HashToken(text))
		req.public, req.before = t.Public && t.Client == req.client.ID, t.Scope
		return err
	})
	if store.IsNotFound(err) {
		return nil // which is said once the client has proved who it is
	}
	return err
}

// redeemRefresh is the refresh grant (RFC 6749 6) with rotation and reuse detection (RFC 9700 4.14.2). The token may be
// redeemed at the user's tenant however it is named, for any resource, and by any client of the same family.
func (h Handler) redeemRefresh(tx *store.Tx, req *request) (subject, error) {
	text, err := req.need(oauth.ParamRefreshToken)
	if err != nil {
		return subject{}, err
	}
	t, err := tx.RefreshToken(proof.HashToken(text))
	switch {
	case store.IsNotFound(err):
		return subject{}, oauth.BadRefreshToken()
	case err != nil:
		return subject{}, err
	case t.Client != req.client.ID && !h.sameFamily(t, req.client):
		return subject{}, oauth.ForeignRefreshToken()
	case !req.now.Before(t.ExpiresAt):
		return subject{}, oauth.RefreshTokenExpired()
	}
	if t.Reused(req.now) {
		return h.reused(tx, req, t)
	}
	s, user, err := logon.Resume(tx, t.Session, req.now)
	if err != nil {
		return subject{}, err
	}
	if !req.tenant.ID.IsZero() && req.tenant.ID != user.Tenant {
		return subject{}, oauth.OtherTenant(user.UserPrincipalName, h.tenantName(req))
	}
	if t.FirstUsedAt.IsZero() {
		t.FirstUsedAt = req.now.UTC()
		if err := tx.PutRefreshToken(t); err != nil {
			return subject{}, err
		}
	}
	if used, changed := s.Used(req.now); changed {
		s = used
		if err := tx.PutSession(s); err != nil {
			return subject{}, err
		}
	}
	return subject{user: user, session: s}, nil
}

// reused ends the session of a token that was redeemed again long after its first use: either the client or somebody
// else holds a stolen copy, and nobody can tell which (RFC 9700 4.14.2).
func (h Handler) reused(tx *store.Tx, req *request, t session.RefreshToken) (subject, error) {
	err := h.endReused(tx, req, audit.Record{
		Event: audit.RefreshReused, Tenant: t.HomeTenant, Actor: t.User, Target: t.Session.String(),
	}, t.Session, "refresh token reused")
	return subject{refusal: oauth.Revoked()}, err
}

// endReused ends the session that a proof gave which was used again, and writes it down.
func (h Handler) endReused(tx *store.Tx, req *request, r audit.Record, id ident.SessionID, reason string) error {
	r.At, r.Correlation = req.now, req.origin.Correlation
	r.Detail = map[string]string{"client": req.client.ID.String(), "remoteAddr": req.origin.RemoteAddr}
	if err := tx.Audit(r); err != nil {
		return err
	}
	err := logon.Revoke(tx, id, req.now, reason, logon.Actor{Name: "token service", Correlation: req.origin.Correlation})
	if store.IsNotFound(err) {
		return nil
	}
	return err
}

func (h Handler) sameFamily(t session.RefreshToken, c client) bool {
	issuedTo, ok := h.Catalog.App(t.Client)
	return ok && issuedTo.Family && c.Family
}
