package signin

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/consent"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/handoff"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/oauth"
	"github.com/keyreeve/keyreeve/internal/page"
	"github.com/keyreeve/keyreeve/internal/store"
)

// wish is what a client asks of a person, or of an administrator for everybody.
type wish struct {
	client  consent.Client
	tenant  directory.Tenant
	user    directory.User
	bundles []consent.Bundle
	admin   bool // the person may allow it for everybody
	need    bool // and nobody else may allow it
}

func (w wish) empty() bool {
	return !slices.ContainsFunc(w.bundles, func(b consent.Bundle) bool { return len(b.Permissions)+len(b.Roles) > 0 })
}

// wish returns what is still to be allowed; an empty one if nothing is.
func (h Handler) wish(r *http.Request, f *flow) (wish, error) {
	if f.client.FirstParty && f.Request == nil {
		return wish{}, nil
	}
	_, name, tenant := h.person(f.User)
	out := wish{tenant: tenant}
	err := h.DB.View(r.Context(), func(tx *store.Tx) (err error) {
		out.user, err = tx.User(f.User)
		return err
	})
	if err != nil {
		return out, err
	}
	if out.client, err = h.Apps.Client(f.client.ID.String(), tenant.ID, tenant.ID.String()); err != nil {
		return out, err
	}
	if t := f.hint(); !t.IsZero() && t != tenant.ID {
		return out, oauth.OtherTenant(name, t.String())
	}
	if !out.client.FirstParty && out.client.Principal.ID.IsZero() {
		return out, oauth.NoServicePrincipal(out.client.ID.String(), tenant.ID.String())
	}
	actor := h.Apps.Actor(out.user.ID, out.user.UserType == "Guest")
	out.admin = actor.MayConsent(false, true) == nil
	if f.Request != nil && f.Request.AdminConsent {
		out.need = true
		out.bundles, err = h.Apps.Required(out.client, tenant.ID)
		for _, b := range out.bundles {
			// App roles of Microsoft Graph make administrators.
			if len(b.Roles) > 0 && actor.MayAssignAppRole(b.Target.ID == directory.MicrosoftGraph(), false) != nil {
				out.admin = false
			}
		}
		return out, err
	}
	scope, v1 := f.device.Scope, f.device.V1
	if f.Request != nil {
		scope, v1 = f.Request.Scope, f.Request.V1
	}
	s := consent.V1Scopes(scope)
	if !v1 {
		if s, err = consent.ParseScope(scope); err != nil {
			return out, err
		}
	}
	t, err := h.Apps.Target(s, tenant.ID, tenant.ID.String())
	if err != nil {
		return out, err
	}
	missing, err := h.Apps.Missing(out.client, t, s, f.User, f.prompted(oauth.PromptConsent))
	out.bundles = []consent.Bundle{{Target: t, Permissions: missing}}
	out.need = slices.ContainsFunc(missing, func(p consent.Permission) bool { return p.Admin }) || actor.MayConsent(true, false) != nil
	return out, err
}

func (h Handler) consentDue(r *http.Request, f *flow) (bool, error) {
	if f.Consented {
		return false, nil
	}
	w, err := h.wish(r, f)
	return err == nil && !w.empty(), err
}

func (h Handler) askConsent(w http.ResponseWriter, r *http.Request, f *flow, trouble string) error {
	asked, err := h.wish(r, f)
	if err != nil {
		return err
	}
	if asked.need && !asked.admin {
		return oauth.AdminMustConsent(f.client.Name)
	}
	v, status, err := h.view(w, f, "consent", "Allow this?", trouble)
	if err != nil {
		return err
	}
	v.User, v.Tenant = h.userName(f.User), tenantName(asked.tenant)
	v.Admin, v.All = asked.admin, f.Request != nil && f.Request.AdminConsent
	for _, b := range asked.bundles {
		for _, p := range b.Permissions {
			v.Permissions = append(v.Permissions, page.Permission{Name: p.Name, Text: p.Text})
		}
		for _, role := range b.Roles {
			v.Permissions = append(v.Permissions, page.Permission{Name: role.DisplayName, Text: "On its own, without anybody signed in."})
		}
	}
	return h.Pages.Print(w, r, status, "consent", v)
}

func (h Handler) takeConsent(w http.ResponseWriter, r *http.Request, f *flow, form url.Values) (string, error) {
	switch form.Get("action") {
	case "decline":
		if f.Request == nil {
			return "", h.declineDevice(w, r, f)
		}
		return "", h.refuse(w, r, f, oauth.Declined())
	case "accept":
	default:
		return "", handoff.Stale(nil)
	}
	asked, err := h.wish(r, f)
	if err != nil {
		return "", err
	}
	everybody := asked.admin && (form.Get("everybody") == "yes" || f.Request != nil && f.Request.AdminConsent)
	if asked.need && !asked.admin {
		return "", oauth.AdminMustConsent(f.client.Name)
	}
	f.Consented = true
	return "", h.allow(r, f, asked, everybody)
}

// allow keeps what was allowed.
func (h Handler) allow(r *http.Request, f *flow, asked wish, everybody bool) error {
	from := h.origin(r, f)
	_, err := h.DB.Update(r.Context(), func(tx *store.Tx) error {
		for _, b := range asked.bundles {
			if len(b.Permissions) > 0 {
				if err := consent.Give(tx, asked.client, b, asked.user, everybody); err != nil {
					return err
				}
			}
			for _, role := range b.Roles {
				err := tx.PutAppRoleAssignment(directory.AppRoleAssignment{
					ID: ident.New[ident.GrantID](), Tenant: asked.tenant.ID, Principal: asked.client.Principal.ID,
					PrincipalType: directory.PrincipalServicePrincipal, Resource: b.Target.Principal, Role: role.ID, CreatedAt: h.Now().UTC(),
				})
				if err != nil && !store.IsExists(err) {
					return err
				}
			}
		}
		who := "the user"
		if everybody {
			who = "everybody"
		}
		return tx.Audit(audit.Record{
			At: h.Now(), Event: audit.ConsentGiven, Tenant: asked.tenant.ID, Actor: f.User, ActorName: h.userName(f.User),
			Target: asked.client.ID.String(), Correlation: from.Correlation, Detail: map[string]string{"for": who, "remoteAddr": from.RemoteAddr},
		})
	})
	return err
}
