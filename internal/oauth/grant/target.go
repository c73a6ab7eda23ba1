package grant

import (
	"github.com/keyreeve/keyreeve/internal/consent"
	"github.com/keyreeve/keyreeve/internal/oauth"
	"github.com/keyreeve/keyreeve/internal/store"
)

// resolve finds the resource that a request asks for.
func (h Handler) resolve(req *request, person bool) error {
	if req.v1 {
		if err := req.readResource(); err != nil {
			return err
		}
	} else if err := req.readScope(person); err != nil {
		return err
	}
	tenant := req.tenant.ID
	if tenant.IsZero() {
		tenant = req.client.Tenant
	}
	var err error
	req.target, err = h.apps().Target(req.scopes, tenant, h.tenantName(req))
	return err
}

// readResource reads v1's resource parameter; a code remembers that of its start.
func (r *request) readResource() error {
	name := r.form[oauth.ParamResource]
	if name == "" {
		name = r.asked
	}
	if old, err := consent.ParseScope(r.before); name == "" && err == nil {
		name = old.Resource
	}
	if name == "" {
		return oauth.MissingParameter(oauth.ParamResource)
	}
	if r.asked != "" && name != r.asked {
		return oauth.BadScope(consent.Clip(name), "is not the resource that the code was asked for")
	}
	r.scopes = consent.V1Scopes(name)
	return nil
}

// readScope reads v2's scope parameter; a code remembers that of its start.
func (r *request) readScope(person bool) error {
	text := r.form[oauth.ParamScope]
	if text == "" {
		text = r.asked
	}
	if text == "" {
		text = r.before
	}
	if text == "" {
		return oauth.MissingParameter(oauth.ParamScope)
	}
	s, err := consent.ParseScope(text)
	if err != nil {
		return err
	}
	if !person && (!s.All || s.Resource == "") {
		return oauth.NotDefaultScope(consent.Clip(text))
	}
	if r.asked != "" {
		asked, err := consent.ParseScope(r.asked)
		if err != nil {
			return err
		}
		if s.Resource != asked.Resource {
			return oauth.BadScope(consent.Clip(text), "is for another resource than the code was asked for")
		}
	}
	r.scopes = s
	return nil
}

// allowed returns the delegated permissions that a person's token carries, and refuses what nobody allowed. Away from
// organizations and common, client and resource are those of the tenant that was asked; there, of the person's.
func (h Handler) allowed(tx *store.Tx, req *request, s subject) ([]string, error) {
	if req.tenant.ID.IsZero() {
		c, err := h.apps().Client(req.client.ID.String(), s.user.Tenant, s.user.Tenant.String())
		if err != nil {
			return nil, err
		}
		req.client.Client = c
		if req.target, err = h.apps().Target(req.scopes, s.user.Tenant, s.user.Tenant.String()); err != nil {
			return nil, err
		}
	}
	if err := h.apps().Assigned(tx, req.client.Client, s.user); err != nil {
		return nil, err
	}
	return h.apps().Permissions(req.client.Client, req.target, req.scopes, s.user.ID)
}
