package graph

import (
	"strings"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/store"
)

// principal is a service principal with what its application says.
type principal struct {
	directory.ServicePrincipal
	// app is zero for managed identities, and for applications that are neither registered here nor well known.
	app directory.Application
	credentials
}

func (p principal) managed() bool { return p.Type == directory.TypeManagedIdentity }

// names are what a service principal is called by: its appId and the identifier URIs of its application.
func (p principal) names() any { return append([]string{p.AppID.String()}, p.app.IdentifierURIs...) }

// principalSchema lists the properties of service principals in the order the service writes them.
func principalSchema() schema[principal] {
	nil_ := func(name string) property[principal] { return property[principal]{name: name, value: null[principal]} }
	empty := func(name string) property[principal] { return property[principal]{name: name, value: none[principal]} }
	text := func(name string, get func(principal) string) property[principal] {
		return property[principal]{name: name, value: func(p principal) any { return textOrNull(get(p)) }, kind: filterText}
	}
	appText := func(name string, get func(directory.Application) string) property[principal] {
		return property[principal]{name: name, value: func(p principal) any { return textOrNull(get(p.app)) }}
	}
	return schema[principal]{
		entity: "servicePrincipal", set: "servicePrincipals", resource: "ServicePrincipal", kind: servicePrincipalObject, area: directory.Applications,
		id: func(p principal) ident.ObjectID { return p.ID }, orders: []string{"displayname"}, props: []property[principal]{
			text("id", func(p principal) string { return p.ID.String() }),
			nil_("deletedDateTime"),
			{name: "accountEnabled", value: func(p principal) any { return p.AccountEnabled }, kind: filterBool},
			{name: "alternativeNames", value: func(p principal) any { return textsOrEmpty(p.AlternativeNames) }, kind: filterTexts},
			appText("appDisplayName", func(a directory.Application) string { return a.DisplayName }),
			appText("appDescription", func(a directory.Application) string { return a.Description }),
			text("appId", func(p principal) string { return p.AppID.String() }),
			nil_("applicationTemplateId"),
			appText("appOwnerOrganizationId", func(a directory.Application) string {
				if a.Tenant.IsZero() {
					return ""
				}
				return a.Tenant.String()
			}),
			{name: "appRoleAssignmentRequired", value: func(p principal) any { return p.AssignmentRequired }},
			{name: "createdDateTime", value: func(p principal) any { return instant(p.CreatedAt) }, kind: filterTime},
			{name: "description", value: func(p principal) any { return textOrNull(p.Description) }},
			nil_("disabledByMicrosoftStatus"),
			text("displayName", func(p principal) string { return p.DisplayName }),
			{name: "homepage", value: func(p principal) any { return textOrNull(p.Homepage) }},
			{name: "loginUrl", value: func(p principal) any { return textOrNull(p.LoginURL) }},
			appText("logoutUrl", func(a directory.Application) string { return a.LogoutURL }),
			{name: "notes", value: func(p principal) any { return textOrNull(p.Notes) }},
			empty("notificationEmailAddresses"),
			nil_("preferredSingleSignOnMode"),
			nil_("preferredTokenSigningKeyThumbprint"),
			{name: "replyUrls", value: func(p principal) any { return textsOrEmpty(p.app.RedirectURIs()) }},
			{name: "servicePrincipalNames", value: principal.names, kind: filterTexts},
			text("servicePrincipalType", func(p principal) string { return string(p.Type) }),
			{name: "signInAudience", value: func(p principal) any {
				if p.managed() {
					return nil
				}
				return audience(p.app)
			}},
			{name: "tags", value: func(p principal) any { return textsOrEmpty(p.Tags) }, kind: filterTexts},
			nil_("tokenEncryptionKeyId"),
			nil_("samlSingleSignOnSettings"),
			empty("addIns"),
			{name: "appRoles", value: func(p principal) any { return roleObjects(p.app.AppRoles) }},
			{name: "info", value: func(principal) any { return infoObject() }},
			{name: "keyCredentials", value: func(p principal) any { return keyObjects(p.keys, false) }},
			{name: "oauth2PermissionScopes", value: func(p principal) any { return scopeObjects(p.app.Scopes) }},
			{name: "passwordCredentials", value: func(p principal) any { return secretObjects(p.secrets) }},
			empty("resourceSpecificApplicationPermissions"),
			{name: "verifiedPublisher", value: func(principal) any { return publisherObject() }},
		},
	}
}

// withApplication adds what the application of a service principal says, and what it proves itself with.
func (rq *request) withApplication(tx *store.Tx, sp directory.ServicePrincipal) (principal, error) {
	p := principal{ServicePrincipal: sp}
	if p.managed() {
		return p, nil
	}
	var err error
	if p.credentials, err = credentialsOf(tx, sp.ID); err != nil {
		return p, err
	}
	app, err := tx.ApplicationByAppID(sp.AppID)
	if store.IsNotFound(err) {
		if rq.h.Catalog == nil {
			return p, nil
		}
		if known, ok := rq.h.Catalog.App(sp.AppID); ok {
			p.app = directory.Application{AppID: sp.AppID, DisplayName: known.DisplayName, IdentifierURIs: known.IdentifierURIs}
			p.app.Scopes, p.app.AppRoles = rq.h.Catalog.Offers(sp.AppID)
		}
		return p, nil
	}
	p.app = app
	return p, err
}

func (rq *request) principals(tx *store.Tx) source[principal] {
	q := rq.names(false, false)
	f := rq.query.filter
	s := source[principal]{
		place: func(p principal) store.NameCursor { return store.ServicePrincipalCursor(p.ServicePrincipal) },
		all:   func() (int64, error) { return tx.CountServicePrincipals(rq.caller.Tenant) },
		read: func(after store.NameCursor, limit int) ([]principal, error) {
			q.After, q.Limit = after, limit
			sps, err := tx.ServicePrincipals(q)
			if err != nil {
				return nil, err
			}
			out := make([]principal, len(sps))
			for i, sp := range sps {
				if out[i], err = rq.withApplication(tx, sp); err != nil {
					return nil, err
				}
			}
			return out, nil
		},
	}
	if id, ok := f.must(opEq, "id"); ok {
		return s.one(func() (principal, error) { return rq.principal(tx, id) })
	}
	if app, ok := f.must(opEq, "appId"); ok {
		return s.one(func() (principal, error) { return rq.principal(tx, "appId="+app) })
	}
	if name, ok := f.must(opAny, "servicePrincipalNames"); ok {
		if app, known := rq.named(tx, name); known {
			return s.one(func() (principal, error) { return rq.principal(tx, "appId="+app.String()) })
		}
	}
	return s
}

// named finds the application that a name of a service principal stands for: its appId, or an identifier URI of an
// application of the tenant or of a well-known one. Another tenant's URI is found only by looking at each.
func (rq *request) named(tx *store.Tx, name string) (ident.ClientID, bool) {
	if id, err := ident.Parse[ident.ClientID](name); err == nil {
		return id, true
	}
	if app, err := tx.ApplicationByURI(rq.caller.Tenant, name); err == nil {
		return app.AppID, true
	}
	if rq.h.Catalog != nil {
		if app, _, ok := rq.h.Catalog.Resource(name); ok {
			return app.AppID, true
		}
	}
	return ident.ClientID{}, false
}

func listServicePrincipals(rq *request) error {
	return listEntities(rq, principalSchema(), rq.principals)
}

func countServicePrincipals(rq *request) error {
	return countEntities(rq, principalSchema(), rq.principals)
}

// principal finds a service principal of the caller's tenant by object id, or by appId=….
func (rq *request) principal(tx *store.Tx, key string) (principal, error) {
	var sp directory.ServicePrincipal
	var err error
	app, named, bad := appKey(key)
	if bad != nil {
		return principal{}, absent(key).Because(store.ErrNotFound)
	}
	if named {
		sp, err = tx.ServicePrincipalByAppID(rq.caller.Tenant, app)
	} else {
		id, bad := ident.Parse[ident.ObjectID](key)
		if bad != nil {
			return principal{}, absent(key).Because(store.ErrNotFound)
		}
		sp, err = tx.ServicePrincipal(id)
	}
	if store.IsNotFound(err) || err == nil && sp.Tenant != rq.caller.Tenant {
		return principal{}, absent(key).Because(store.ErrNotFound)
	}
	if err != nil {
		return principal{}, err
	}
	return rq.withApplication(tx, sp)
}

// appKey reads a key that may name an application by its appId: appId=….
func appKey(key string) (app ident.ClientID, named bool, err error) {
	name, value, named := strings.Cut(key, "=")
	if !named {
		return app, false, nil
	}
	if fold(name) != "appid" {
		return app, true, ident.ErrInvalid
	}
	app, err = ident.Parse[ident.ClientID](value)
	return app, true, err
}

func getServicePrincipal(rq *request) error {
	return getEntity(rq, principalSchema(), func(tx *store.Tx, a directory.Actor) (principal, error) {
		p, err := rq.principal(tx, rq.args[0])
		if p.ID == a.ID && err == nil {
			return p, nil // an application may look at itself
		}
		if denied := rq.mayReadOwned(tx, a, p.ID); denied != nil {
			return p, denied
		}
		return p, err
	})
}
