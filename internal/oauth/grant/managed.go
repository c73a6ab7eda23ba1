package grant

import (
	"context"
	"strconv"
	"time"

	"github.com/keyreeve/keyreeve/internal/consent"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/logon"
	"github.com/keyreeve/keyreeve/internal/oauth"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/token"
)

// ForIdentity is a request for a token of a managed identity. Who asks was found out to be what the identity is assigned to.
type ForIdentity struct {
	Tenant     ident.TenantID
	Client     ident.ClientID
	Resource   string
	RemoteAddr string
	// Correlation names the request in the audit log.
	Correlation string
}

// IssueIdentity issues a token to a managed identity. It goes the way that every token goes, after the client has proved
// who it is.
func (h Handler) IssueIdentity(ctx context.Context, q ForIdentity) (oauth.TokenV1, error) {
	tenant, ok := h.World.Tenant(q.Tenant)
	if !ok {
		return oauth.TokenV1{}, oauth.UnknownClient(q.Client.String(), q.Tenant.String())
	}
	req := &request{
		v1: true, now: h.Now(), tenant: tenant, grant: "managed_identity", scopes: consent.V1Scopes(q.Resource),
		origin: logon.Origin{RemoteAddr: q.RemoteAddr, Correlation: q.Correlation, Client: q.Client},
	}
	c, err := h.apps().Client(q.Client.String(), q.Tenant, h.tenantName(req))
	if err != nil {
		return oauth.TokenV1{}, err
	}
	if !c.Managed {
		return oauth.TokenV1{}, oauth.UnknownClient(q.Client.String(), h.tenantName(req))
	}
	req.client = client{Client: c, method: token.ClientAssert}
	if req.target, err = h.apps().Target(req.scopes, q.Tenant, h.tenantName(req)); err != nil {
		return oauth.TokenV1{}, err
	}
	signers, err := h.signers(req)
	if err != nil {
		return oauth.TokenV1{}, err
	}
	var out issued
	_, err = h.DB.Update(ctx, func(tx *store.Tx) error {
		out, err = h.issue(tx, req, subject{app: c.Principal})
		return err
	})
	if err != nil {
		return oauth.TokenV1{}, err
	}
	if err := out.sign(signers); err != nil {
		return oauth.TokenV1{}, err
	}
	life := strconv.FormatInt(int64(out.life/time.Second), 10)
	return oauth.TokenV1{
		TokenType: "Bearer", ExpiresIn: life, ExtExpiresIn: life, ExpiresOn: strconv.FormatInt(out.claims.Expires, 10),
		NotBefore: strconv.FormatInt(out.claims.NotBefore, 10), Resource: q.Resource, AccessToken: out.access,
	}, nil
}

// managedID is the ARM id that the tokens of a managed identity carry.
func managedID(tx *store.Tx, id ident.ObjectID) (string, error) {
	p, err := tx.ServicePrincipal(id)
	if err != nil || len(p.AlternativeNames) < 2 {
		return "", err
	}
	return p.AlternativeNames[1], nil
}
