package grant

import (
	"context"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/internal/consent"
	"github.com/keyreeve/keyreeve/internal/oauth"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/token"
)

// client is who sends the request.
type client struct {
	consent.Client
	// method is how it proved who it is (appidacr).
	method string
}

// identify finds the client that a request names.
func (h Handler) identify(_ context.Context, req *request) error {
	name := req.form[oauth.ParamClientID]
	if req.basicID != "" {
		if name != "" && !strings.EqualFold(name, req.basicID) {
			return oauth.Malformed("client_id differs from the client of the Authorization header")
		}
		if req.form[oauth.ParamClientSecret] != "" {
			return oauth.Malformed("the client secret was sent twice") // RFC 6749 2.3: one method at a time
		}
		name = req.basicID
	}
	if name == "" {
		return oauth.MissingParameter(oauth.ParamClientID)
	}
	c, err := h.apps().Client(name, req.tenant.ID, h.tenantName(req))
	req.origin.Client = c.ID
	req.client = client{Client: c, method: token.PublicClient}
	return err
}

// apps finds clients and resources.
func (h Handler) apps() consent.Directory {
	return consent.Directory{World: h.World, Catalog: h.Catalog}
}

// authenticate checks the client's own proof. A confidential client needs one for every grant, and any client that asks
// for itself.
func (h Handler) authenticate(ctx context.Context, req *request, person bool) error {
	secret := req.form[oauth.ParamClientSecret] + req.basicSecret
	switch {
	case req.form[oauth.ParamAssertion] != "":
		if req.keepsNone() {
			return oauth.PublicClient()
		}
		return h.checkAssertion(ctx, req)
	case secret != "":
		if req.keepsNone() {
			return oauth.PublicClient()
		}
		if err := h.checkSecret(ctx, req, secret); err != nil {
			return err
		}
		req.client.method = token.ClientSecret
	case !person:
		return oauth.MissingSecretForApp()
	case !req.keepsNone():
		return oauth.MissingSecret()
	}
	return nil
}

func (h Handler) checkSecret(ctx context.Context, req *request, secret string) error {
	var records []proof.ClientSecret
	err := h.DB.Glance(ctx, func(tx *store.Tx) (err error) {
		records, err = tx.ClientSecrets(req.client.ID)
		records = slices.DeleteFunc(records, func(r proof.ClientSecret) bool { return !req.client.Owns(r.Owner) })
		return err
	})
	if err != nil {
		return err
	}
	switch proof.CheckSecret(records, secret, req.now) {
	case proof.SecretGood:
		return nil
	case proof.SecretExpired:
		return oauth.ExpiredSecret(req.client.ID.String())
	default:
		return oauth.BadSecret(req.client.ID.String())
	}
}

// tenantName is how messages name the tenant of a request.
func (h Handler) tenantName(req *request) string {
	if req.tenant.ID.IsZero() {
		return consent.Clip(req.segment)
	}
	if req.tenant.DisplayName != "" {
		return req.tenant.DisplayName
	}
	return req.tenant.ID.String()
}

// keepsNone reports whether the client keeps no secret: at all, or where it got what it redeems.
func (r *request) keepsNone() bool { return r.client.Public || r.public }
