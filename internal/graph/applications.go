package graph

import (
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/store"
)

// application is an application with what it proves itself with.
type application struct {
	directory.Application
	credentials
	// domain is the first domain of its tenant.
	domain string
}

// credentials are what an application or a service principal proves itself with.
type credentials struct {
	secrets []proof.ClientSecret
	keys    []proof.ClientKey
}

func credentialsOf(tx *store.Tx, owner ident.ObjectID) (c credentials, err error) {
	if c.secrets, err = tx.ClientSecretsOf(owner); err != nil {
		return c, err
	}
	c.keys, err = tx.ClientKeysOf(owner)
	return c, err
}

// applicationSchema lists the properties of applications in the order the service writes them.
func applicationSchema() schema[application] {
	type app = application
	nil_ := func(name string) property[app] { return property[app]{name: name, value: null[app]} }
	text := func(name string, get func(app) string) property[app] {
		return property[app]{name: name, value: func(a app) any { return textOrNull(get(a)) }, kind: filterText}
	}
	note := func(name string, get func(app) string) property[app] {
		return property[app]{name: name, value: func(a app) any { return textOrNull(get(a)) }}
	}
	props := []property[app]{
		text("id", func(a app) string { return a.ID.String() }),
		nil_("deletedDateTime"),
		text("appId", func(a app) string { return a.AppID.String() }),
		nil_("applicationTemplateId"),
		nil_("disabledByMicrosoftStatus"),
		{name: "createdDateTime", value: func(a app) any { return instant(a.CreatedAt) }, kind: filterTime},
		text("displayName", func(a app) string { return a.DisplayName }),
		note("description", func(a app) string { return a.Description }),
		note("groupMembershipClaims", func(a app) string { return a.GroupClaims }),
		{name: "identifierUris", value: func(a app) any { return textsOrEmpty(a.IdentifierURIs) }, kind: filterTexts},
		nil_("isDeviceOnlyAuthSupported"),
		{name: "isFallbackPublicClient", value: func(a app) any {
			if a.Public {
				return true
			}
			return nil
		}, kind: filterBool},
		note("notes", func(a app) string { return a.Notes }),
		text("publisherDomain", func(a app) string { return a.domain }),
		nil_("serviceManagementReference"),
		text("signInAudience", func(a app) string { return audience(a.Application) }),
		{name: "tags", value: func(a app) any { return textsOrEmpty(a.Tags) }, kind: filterTexts},
		nil_("tokenEncryptionKeyId"),
		nil_("samlMetadataUrl"),
		nil_("defaultRedirectUri"),
		nil_("certification"),
		{name: "optionalClaims", value: func(a app) any {
			if a.OptionalClaims == nil {
				return nil
			}
			return optionalClaimsObject(*a.OptionalClaims)
		}},
		nil_("servicePrincipalLockConfiguration"),
		nil_("requestSignatureVerification"),
		{name: "addIns", value: none[app]},
	}
	return schema[app]{
		entity: "application", set: "applications", resource: "Application", kind: applicationObject, area: directory.Applications,
		id: func(a app) ident.ObjectID { return a.ID }, orders: []string{"displayname"}, props: append(props, applicationParts()...),
	}
}

// applicationParts are the properties of applications that are objects or lists of them.
func applicationParts() []property[application] {
	type app = application
	return []property[app]{
		{name: "api", value: func(a app) any {
			return object{
				{"acceptMappedClaims", nil},
				{"knownClientApplications", idTexts(a.KnownClients)},
				{"requestedAccessTokenVersion", versionOrNull(a.TokenVersion)},
				{"oauth2PermissionScopes", scopeObjects(a.Scopes)},
				{"preAuthorizedApplications", preAuthorizedObjects(a.PreAuthorized)},
			}
		}},
		{name: "appRoles", value: func(a app) any { return roleObjects(a.AppRoles) }},
		{name: "info", value: func(app) any { return infoObject() }},
		{name: "keyCredentials", value: func(a app) any { return keyObjects(a.keys, false) }},
		{name: "parentalControlSettings", value: func(app) any {
			return object{{"countriesBlockedForMinors", []string{}}, {"legalAgeGroupRule", "Allow"}}
		}},
		{name: "passwordCredentials", value: func(a app) any { return secretObjects(a.secrets) }},
		{name: "publicClient", value: func(a app) any { return object{{"redirectUris", textsOrEmpty(a.PublicRedirectURIs)}} }},
		{name: "requiredResourceAccess", value: func(a app) any { return requiredObjects(a.RequiredAccess) }},
		{name: "verifiedPublisher", value: func(app) any { return publisherObject() }},
		{name: "web", value: func(a app) any {
			settings := []object{}
			for _, u := range a.WebRedirectURIs {
				settings = append(settings, object{{"uri", u}, {"index", nil}})
			}
			return object{
				{"homePageUrl", textOrNull(a.HomePageURL)},
				{"logoutUrl", textOrNull(a.LogoutURL)},
				{"redirectUris", textsOrEmpty(a.WebRedirectURIs)},
				{"implicitGrantSettings", object{{"enableAccessTokenIssuance", a.ImplicitAccessToken}, {"enableIdTokenIssuance", a.ImplicitIDToken}}},
				{"redirectUriSettings", settings},
			}
		}},
		{name: "spa", value: func(a app) any { return object{{"redirectUris", textsOrEmpty(a.SPARedirectURIs)}} }},
	}
}

func audience(a directory.Application) string {
	if a.SignInAudience == "" {
		return string(directory.AudienceMyOrg)
	}
	return string(a.SignInAudience)
}

func versionOrNull(v int) any {
	if v == 0 {
		return nil
	}
	return v
}

func infoObject() object {
	return object{{"logoUrl", nil}, {"marketingUrl", nil}, {"privacyStatementUrl", nil}, {"supportUrl", nil}, {"termsOfServiceUrl", nil}}
}

func publisherObject() object {
	return object{{"displayName", nil}, {"verifiedPublisherId", nil}, {"addedDateTime", nil}}
}

func idTexts[K any](ids []ident.ID[K]) []string {
	out := []string{}
	for _, id := range ids {
		out = append(out, id.String())
	}
	return out
}

func scopeObjects(scopes []directory.PermissionScope) []object {
	out := []object{}
	for _, s := range scopes {
		out = append(out, object{
			{"adminConsentDescription", textOrNull(s.AdminConsentDescription)},
			{"adminConsentDisplayName", textOrNull(s.AdminConsentDisplayName)},
			{"id", s.ID},
			{"isEnabled", s.Enabled},
			{"type", string(s.Type)},
			{"userConsentDescription", textOrNull(s.UserConsentDescription)},
			{"userConsentDisplayName", textOrNull(s.UserConsentDisplayName)},
			{"value", textOrNull(s.Value)},
		})
	}
	return out
}

func roleObjects(roles []directory.AppRole) []object {
	out := []object{}
	for _, r := range roles {
		out = append(out, object{
			{"allowedMemberTypes", r.AllowedMembers},
			{"description", textOrNull(r.Description)},
			{"displayName", r.DisplayName},
			{"id", r.ID},
			{"isEnabled", r.Enabled},
			{"origin", "Application"},
			{"value", textOrNull(r.Value)},
		})
	}
	return out
}

func preAuthorizedObjects(clients []directory.PreAuthorizedApplication) []object {
	out := []object{}
	for _, c := range clients {
		out = append(out, object{{"appId", c.AppID}, {"delegatedPermissionIds", idTexts(c.Scopes)}})
	}
	return out
}

func requiredObjects(required []directory.RequiredAccess) []object {
	out := []object{}
	for _, r := range required {
		each := []object{}
		for _, p := range r.Permissions {
			each = append(each, object{{"id", p.ID}, {"type", p.Type}})
		}
		out = append(out, object{{"resourceAppId", r.Resource}, {"resourceAccess", each}})
	}
	return out
}

func optionalClaimsObject(c directory.OptionalClaims) object {
	list := func(claims []directory.OptionalClaim) []object {
		out := []object{}
		for _, o := range claims {
			out = append(out, object{
				{"additionalProperties", textsOrEmpty(o.Properties)}, {"essential", o.Essential}, {"name", o.Name}, {"source", o.Source},
			})
		}
		return out
	}
	return object{{"accessToken", list(c.AccessToken)}, {"idToken", list(c.IDToken)}, {"saml2Token", list(c.SAML2Token)}}
}

// withCredentials adds to an application what is kept apart from it.
func (rq *request) withCredentials(tx *store.Tx, a directory.Application) (application, error) {
	t, err := tx.Tenant(a.Tenant)
	if err != nil {
		return application{}, err
	}
	out := application{Application: a}
	if len(t.Domains) > 0 {
		out.domain = t.Domains[0]
	}
	out.credentials, err = credentialsOf(tx, a.ID)
	return out, err
}

// application finds an application of the caller's tenant by object id, or by appId=….
func (rq *request) application(tx *store.Tx, key string) (application, error) {
	a, err := rq.bareApplication(tx, key)
	if err != nil {
		return application{}, err
	}
	return rq.withCredentials(tx, a)
}

func (rq *request) bareApplication(tx *store.Tx, key string) (directory.Application, error) {
	gone := absent(key).Because(store.ErrNotFound)
	app, named, err := appKey(key)
	if err != nil {
		return directory.Application{}, gone
	}
	var a directory.Application
	if named {
		a, err = tx.ApplicationByAppID(app)
	} else {
		id, bad := ident.Parse[ident.ObjectID](key)
		if bad != nil {
			return a, gone
		}
		a, err = tx.Application(id)
	}
	if store.IsNotFound(err) || err == nil && a.Tenant != rq.caller.Tenant {
		return a, gone
	}
	return a, err
}

func (rq *request) applications(tx *store.Tx) source[application] {
	q := rq.names(false, false)
	f := rq.query.filter
	s := source[application]{
		place: func(a application) store.NameCursor { return store.ApplicationCursor(a.Application) },
		all:   func() (int64, error) { return tx.CountApplications(rq.caller.Tenant) },
		read: func(after store.NameCursor, limit int) ([]application, error) {
			q.After, q.Limit = after, limit
			apps, err := tx.Applications(q)
			if err != nil {
				return nil, err
			}
			out := make([]application, len(apps))
			for i, a := range apps {
				if out[i], err = rq.withCredentials(tx, a); err != nil {
					return nil, err
				}
			}
			return out, nil
		},
	}
	if id, ok := f.must(opEq, "id"); ok {
		return s.one(func() (application, error) { return rq.application(tx, id) })
	}
	if app, ok := f.must(opEq, "appId"); ok {
		return s.one(func() (application, error) { return rq.application(tx, "appId="+app) })
	}
	if uri, ok := f.must(opAny, "identifierUris"); ok {
		return s.one(func() (application, error) {
			a, err := tx.ApplicationByURI(rq.caller.Tenant, uri)
			if err != nil {
				return application{}, err
			}
			return rq.withCredentials(tx, a)
		})
	}
	return s
}

func listApplications(rq *request) error {
	return listEntities(rq, applicationSchema(), rq.applications)
}

func countApplications(rq *request) error {
	return countEntities(rq, applicationSchema(), rq.applications)
}

func getApplication(rq *request) error {
	return getEntity(rq, applicationSchema(), func(tx *store.Tx, a directory.Actor) (application, error) {
		app, err := rq.application(tx, rq.args[0])
		if denied := rq.mayReadOwned(tx, a, app.ID); denied != nil {
			return app, denied
		}
		return app, err
	})
}

// mayReadOwned decides whether an actor may read an application or a service principal: who owns it may, too.
func (rq *request) mayReadOwned(tx *store.Tx, a directory.Actor, id ident.ObjectID) error {
	denied := a.MayRead(directory.Applications)
	if denied == nil || id.IsZero() {
		return denied
	}
	if owner, err := tx.Owns(a.ID, id); err != nil || owner && a.MayManageApplication(true, false) == nil {
		return err
	}
	return denied
}
