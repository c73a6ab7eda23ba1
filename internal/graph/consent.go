package graph

import (
	"net/http"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/store"
)

func consentSchema() schema[directory.PermissionGrant] {
	type grant = directory.PermissionGrant
	text := func(name string, get func(grant) string) property[grant] {
		return property[grant]{name: name, value: func(g grant) any { return textOrNull(get(g)) }, kind: filterText}
	}
	return schema[grant]{entity: "oAuth2PermissionGrant", set: "oauth2PermissionGrants", resource: "OAuth2PermissionGrant", area: directory.Consent, props: []property[grant]{
		text("clientId", func(g grant) string { return g.Client.String() }),
		text("consentType", func(g grant) string { return string(g.Consent) }),
		text("id", func(g grant) string { return g.ID.String() }),
		text("principalId", func(g grant) string {
			if g.Principal.IsZero() {
				return ""
			}
			return g.Principal.String()
		}),
		text("resourceId", func(g grant) string { return g.Resource.String() }),
		{name: "scope", value: func(g grant) any { return g.Scope }},
	}}
}

// grantCursor reads the place in a list whose order is that of grant ids.
func grantCursor(parts []string) (ident.GrantID, error) {
	if parts == nil {
		return ident.GrantID{}, nil
	}
	id, err := ident.Parse[ident.GrantID](parts[0])
	if len(parts) != 1 || err != nil {
		return id, badRequest("The specified page token value is not valid.")
	}
	return id, nil
}

// listGrants answers a page of a list of grants. read gives at most limit of them after one.
func listGrants[T any](rq *request, s schema[T], idOf func(T) ident.GrantID, open func(tx *store.Tx, a directory.Actor) (func(after ident.GrantID, limit int) ([]T, error), error)) error {
	f := rq.query.filter
	if err := s.checkFilter(f); err != nil {
		return err
	}
	if err := s.checkSelect(rq.query.selected); err != nil {
		return err
	}
	rq.query.filter = nil
	if err := rq.plain(); err != nil {
		return err
	}
	after, err := grantCursor(rq.query.skip)
	if err != nil {
		return err
	}
	rq.query.filter = f
	out := collection{set: s.set}
	err = rq.read(func(tx *store.Tx, a directory.Actor) error {
		read, err := open(tx, a)
		if err != nil {
			return err
		}
		for from, last := (ident.GrantID{}), (ident.GrantID{}); ; {
			part, err := read(from, chunk)
			if err != nil {
				return err
			}
			for _, v := range part {
				from = idOf(v)
				if !s.matches(f, v) {
					continue
				}
				out.count++
				if compareGrantIDs(from, after) <= 0 {
					continue
				}
				if len(out.items) == rq.query.top {
					out.next = cursor(last.String())
					continue
				}
				out.items, last = append(out.items, s.render(v, rq.query.selected, false)), from
			}
			if len(part) < chunk || out.next != "" && !rq.query.count {
				return nil
			}
		}
	})
	if err != nil {
		return err
	}
	return rq.collection(out)
}

func compareGrantIDs(a, b ident.GrantID) int { return slices.Compare(a[:], b[:]) }

// inMemory reads grants that are in memory, sorted.
func inMemory[T any](all []T, idOf func(T) ident.GrantID) func(ident.GrantID, int) ([]T, error) {
	return func(after ident.GrantID, limit int) ([]T, error) {
		i := slices.IndexFunc(all, func(v T) bool { return compareGrantIDs(idOf(v), after) > 0 })
		if i < 0 {
			return nil, nil
		}
		return all[i:min(i+limit, len(all))], nil
	}
}

func consentID(g directory.PermissionGrant) ident.GrantID { return g.ID }

func listConsents(rq *request) error {
	return listGrants(rq, consentSchema(), consentID, func(tx *store.Tx, a directory.Actor) (func(ident.GrantID, int) ([]directory.PermissionGrant, error), error) {
		if err := a.MayRead(directory.Consent); err != nil {
			return nil, err
		}
		if text, ok := rq.query.filter.must(opEq, "clientId"); ok {
			var all []directory.PermissionGrant
			var err error
			if client, bad := ident.Parse[ident.ObjectID](text); bad == nil { // nobody has another name
				all, err = tx.PermissionGrantsOf(client)
			}
			return inMemory(slices.DeleteFunc(all, func(g directory.PermissionGrant) bool { return g.Tenant != rq.caller.Tenant }), consentID), err
		}
		return func(after ident.GrantID, limit int) ([]directory.PermissionGrant, error) {
			return tx.PermissionGrants(rq.caller.Tenant, after, limit)
		}, nil
	})
}

// consentsOf answers the consents of the user or service principal that the path names.
func consentsOf(rq *request) error {
	return listGrants(rq, consentSchema(), consentID, func(tx *store.Tx, a directory.Actor) (func(ident.GrantID, int) ([]directory.PermissionGrant, error), error) {
		if err := a.MayRead(directory.Consent); err != nil {
			return nil, err
		}
		id, kind, err := rq.subjectID(tx)
		if err != nil {
			return nil, err
		}
		read := tx.PermissionGrantsOf
		if kind == userObject {
			read = tx.PermissionGrantsBy
		}
		all, err := read(id)
		return inMemory(all, consentID), err
	})
}

// consent finds the consent that the path names.
func (rq *request) consent(tx *store.Tx) (directory.PermissionGrant, error) {
	id, err := ident.Parse[ident.GrantID](rq.args[0])
	if err != nil {
		return directory.PermissionGrant{}, absent(rq.args[0])
	}
	g, err := tx.PermissionGrant(id)
	if store.IsNotFound(err) || err == nil && g.Tenant != rq.caller.Tenant {
		return g, absent(rq.args[0]).Because(store.ErrNotFound)
	}
	return g, err
}

func getConsent(rq *request) error {
	s := consentSchema()
	if err := s.checkSelect(rq.query.selected); err != nil {
		return err
	}
	if err := rq.plain(); err != nil {
		return err
	}
	var g directory.PermissionGrant
	err := rq.view(s.area, func(tx *store.Tx) (err error) {
		g, err = rq.consent(tx)
		return err
	})
	if err != nil {
		return err
	}
	return rq.entity(http.StatusOK, s.set, s.render(g, rq.query.selected, false))
}

// mayConsent decides whether the actor may give, change or take a consent.
func mayConsent(a directory.Actor, g directory.PermissionGrant, admin bool) error {
	return a.MayConsent(g.Consent == directory.OnePrincipal && g.Principal == a.ID, admin)
}

// scopesFor says whether one of some scopes is for administrators to consent to. A scope that the resource is not known
// to offer is: Microsoft Graph has more than are served here, and a script may ask for them.
func (rq *request) scopesFor(p principal, scopes []string) (admin bool) {
	for _, s := range scopes {
		if s == "openid" || s == "profile" || s == "email" || s == "offline_access" {
			continue
		}
		i := slices.IndexFunc(p.app.Scopes, func(o directory.PermissionScope) bool { return o.Value == s && o.Enabled })
		admin = admin || i < 0 || p.app.Scopes[i].Type == directory.ScopeAdmin
	}
	return admin
}

// maxScope bounds what a consent lists, in bytes.
const maxScope = 3850

func createConsent(rq *request) error {
	b, err := rq.body()
	if err != nil {
		return err
	}
	g := directory.PermissionGrant{ID: ident.New[ident.GrantID](), Tenant: rq.caller.Tenant}
	var consent string
	_, readErr := b.fieldsInto([]fieldOf{{"clientId", &g.Client}, {"consentType", &consent}, {"principalId", &g.Principal}, {"resourceId", &g.Resource}, {"scope", &g.Scope}})
	for _, obsolete := range []string{"startTime", "expiryTime", "startDateTime", "expiryDateTime"} { // of Azure AD Graph; az below 2.37 sends them
		b.take(obsolete)
	}
	if readErr == nil {
		readErr = b.rest("microsoft.graph.oAuth2PermissionGrant", nothing)
	}
	err = rq.update(func(tx *store.Tx, a directory.Actor) error {
		g.Consent = directory.ConsentType(consent)
		if readErr != nil {
			if err := a.MayRead(directory.Consent); err != nil {
				return err
			}
			return readErr
		}
		return rq.putConsent(tx, a, g, audit.ConsentGiven)
	})
	if err != nil {
		return err
	}
	s := consentSchema()
	g.Scope = strings.Join(g.Scopes(), " ")
	return rq.entity(http.StatusCreated, s.set, s.render(g, nil, false))
}

// putConsent checks a consent and writes it, if the actor may give it.
func (rq *request) putConsent(tx *store.Tx, a directory.Actor, g directory.PermissionGrant, event audit.Event) error {
	resource, err := rq.principal(tx, g.Resource.String())
	if err != nil && !store.IsNotFound(err) {
		return err
	}
	missing := err
	if denied := mayConsent(a, g, rq.scopesFor(resource, g.Scopes())); denied != nil {
		return denied
	}
	if missing != nil {
		return missing
	}
	client, err := rq.principal(tx, g.Client.String())
	if err != nil {
		return err
	}
	switch {
	case g.Consent != directory.AllPrincipals && g.Consent != directory.OnePrincipal:
		return badRequest("Invalid value specified for property 'consentType' of resource 'OAuth2PermissionGrant'.").At("consentType")
	case (g.Consent == directory.OnePrincipal) == g.Principal.IsZero():
		return badRequest("Property 'principalId' must be set when, and only when, 'consentType' is Principal.").At("principalId")
	case len(g.Scope) > maxScope:
		return badRequest("The scope is too long: at most %d characters.", maxScope).At("scope")
	}
	if !g.Principal.IsZero() {
		if _, err := rq.user(tx, g.Principal.String()); err != nil {
			return err
		}
	}
	g.Scope = strings.Join(g.Scopes(), " ")
	err = tx.PutPermissionGrant(g)
	if store.IsExists(err) {
		return fault.New(fault.Conflict, "Request_MultipleObjectsWithSameKeyValue", "Permission entry already exists.").Because(err)
	}
	if err != nil {
		return err
	}
	return rq.audit(tx, event, g.Client, map[string]string{
		"displayName": client.DisplayName, "resource": resource.DisplayName, "scope": g.Scope, "consentType": string(g.Consent), "principal": g.Principal.String(),
	})
}

func updateConsent(rq *request) error {
	b, err := rq.body()
	if err != nil {
		return err
	}
	var scope string
	sent, readErr := b.text("scope", &scope)
	if readErr == nil {
		readErr = b.rest("microsoft.graph.oAuth2PermissionGrant", func(name string) bool { _, ok := consentSchema().find(name); return ok })
	}
	err = rq.update(func(tx *store.Tx, a directory.Actor) error {
		g, err := rq.consent(tx)
		if err != nil {
			if denied := a.MayRead(directory.Consent); denied != nil {
				return denied
			}
			return err
		}
		if denied := mayConsent(a, g, false); denied != nil {
			return denied
		}
		if readErr != nil || !sent {
			return readErr
		}
		g.Scope = scope
		return rq.putConsent(tx, a, g, audit.ConsentGiven)
	})
	if err != nil {
		return err
	}
	return rq.noContent()
}

func deleteConsent(rq *request) error {
	err := rq.update(func(tx *store.Tx, a directory.Actor) error {
		g, err := rq.consent(tx)
		if err != nil {
			if denied := a.MayRead(directory.Consent); denied != nil {
				return denied
			}
			return err
		}
		if denied := mayConsent(a, g, false); denied != nil {
			return denied
		}
		if err := tx.DeletePermissionGrant(g.ID); err != nil {
			return err
		}
		return rq.audit(tx, audit.ConsentTaken, g.Client, map[string]string{"scope": g.Scope, "consentType": string(g.Consent), "principal": g.Principal.String()})
	})
	if err != nil {
		return err
	}
	return rq.noContent()
}
