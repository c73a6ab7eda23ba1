package grant

import (
	"context"
	"strings"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/oauth"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/token"
	"github.com/keyreeve/keyreeve/internal/world"
)

// client is who sends the request.
type client struct {
	id     ident.ClientID
	name   string
	public bool
	family bool
	// firstParty clients are known everywhere and were consented to by nobody; others act for people only where they
	// are the resource themselves.
	firstParty bool
	// tenant of a registered application.
	tenant ident.TenantID
	// principal is the application's own, in the tenant of the request; zero for a first-party client.
	principal world.Principal
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
	id, err := ident.Parse[ident.ClientID](name)
	if err != nil {
		return oauth.UnknownClient(clip(name), h.tenantName(req))
	}
	req.origin.Client = id
	if a, ok := h.Catalog.App(id); ok {
		req.client = client{id: id, name: a.DisplayName, public: a.Public, family: a.Family, firstParty: true, method: token.PublicClient}
		return nil
	}
	a, ok := h.World.Application(id)
	if !ok || (!req.tenant.ID.IsZero() && a.Tenant != req.tenant.ID) {
		return oauth.UnknownClient(id.String(), h.tenantName(req))
	}
	req.client = client{id: id, name: a.DisplayName, public: a.Public, tenant: a.Tenant, method: token.PublicClient}
	if p, ok := h.World.ServicePrincipalOf(a.Tenant, id); ok {
		req.client.principal = p
		if !p.Enabled {
			return oauth.ClientDisabled(id.String())
		}
	}
	return nil
}

// authenticate checks the client's own proof. A confidential client needs one for every grant, and any client that asks
// for itself.
func (h Handler) authenticate(ctx context.Context, req *request, person bool) error {
	secret := req.form[oauth.ParamClientSecret] + req.basicSecret
	switch {
	case req.form[oauth.ParamAssertion] != "":
		if req.client.public {
			return oauth.PublicClient()
		}
		// No key is registered on any application, so none can have signed it.
		return oauth.UnknownAssertion()
	case secret != "":
		if req.client.public {
			return oauth.PublicClient()
		}
		if err := h.checkSecret(ctx, req, secret); err != nil {
			return err
		}
		req.client.method = token.ClientSecret
	case !person:
		return oauth.MissingSecretForApp()
	case !req.client.public:
		return oauth.MissingSecret()
	}
	return nil
}

func (h Handler) checkSecret(ctx context.Context, req *request, secret string) error {
	var records []proof.ClientSecret
	err := h.DB.View(ctx, func(tx *store.Tx) (err error) {
		records, err = tx.ClientSecrets(req.client.id)
		return err
	})
	if err != nil {
		return err
	}
	switch proof.CheckSecret(records, secret, req.now) {
	case proof.SecretGood:
		return nil
	case proof.SecretExpired:
		return oauth.ExpiredSecret(req.client.id.String())
	default:
		return oauth.BadSecret(req.client.id.String())
	}
}

// tenantName is how messages name the tenant of a request.
func (h Handler) tenantName(req *request) string {
	if req.tenant.ID.IsZero() {
		return clip(req.segment)
	}
	if req.tenant.DisplayName != "" {
		return req.tenant.DisplayName
	}
	return req.tenant.ID.String()
}

// scopesOf returns what a person's token for a resource may say in scp, or a refusal.
func (c client) scopesOf(r directory.FirstParty, asked scopes) ([]string, error) {
	if !c.firstParty {
		return nil, oauth.NoConsent(c.id.String(), c.name)
	}
	if asked.all || len(asked.permissions) == 0 {
		return r.Scopes, nil
	}
	granted := make([]string, 0, len(asked.permissions))
	for _, p := range asked.permissions {
		known := ""
		for _, s := range r.Scopes {
			if strings.EqualFold(s, p) {
				known = s
			}
		}
		if known == "" {
			return nil, oauth.BadScope(clip(p), "does not exist on the resource "+r.DisplayName)
		}
		granted = append(granted, known)
	}
	return granted, nil
}
