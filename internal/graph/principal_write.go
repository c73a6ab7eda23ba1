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

// principalChange is what a request wants of a service principal.
type principalChange struct {
	sent     []string
	keys     []keyChange
	keysSent bool
}

// readPrincipal reads a body over p. What its application says cannot be changed here.
func readPrincipal(b *body, p *directory.ServicePrincipal) (c principalChange, err error) {
	c.sent, err = b.fieldsInto([]fieldOf{
		{"accountEnabled", &p.AccountEnabled},
		{"displayName", &p.DisplayName},
		{"alternativeNames", &p.AlternativeNames},
		{"appRoleAssignmentRequired", &p.AssignmentRequired},
		{"description", &p.Description},
		{"notes", &p.Notes},
		{"homepage", &p.Homepage},
		{"loginUrl", &p.LoginURL},
		{"tags", &p.Tags},
	})
	if err != nil {
		return c, err
	}
	if c.keys, c.keysSent, err = readKeys(b, "keyCredentials"); err != nil {
		return c, err
	}
	if c.keysSent {
		c.sent = append(c.sent, "keyCredentials")
	}
	slices.Sort(c.sent)
	if err := b.noPasswords(); err != nil {
		return c, err
	}
	return c, b.rest("microsoft.graph.servicePrincipal", func(name string) bool { _, ok := principalSchema().find(name); return ok })
}

// enrollable finds the application that a new service principal stands for: registered in the tenant, or elsewhere for
// several tenants, or well known.
func (rq *request) enrollable(tx *store.Tx, id ident.ClientID) (name string, own bool, err error) {
	app, err := tx.ApplicationByAppID(id)
	switch {
	case err == nil && (app.Tenant == rq.caller.Tenant || app.MultiTenant()):
		return app.DisplayName, app.Tenant == rq.caller.Tenant, nil
	case err != nil && !store.IsNotFound(err):
		return "", false, err
	}
	if rq.h.Catalog != nil {
		if known, ok := rq.h.Catalog.App(id); ok {
			return known.DisplayName, false, nil
		}
	}
	return "", false, fault.New(fault.Invalid, "NoBackingApplicationObject", "The appId '%s' of the service principal does not reference a valid application object.", id).At("appId")
}

func createServicePrincipal(rq *request) error {
	b, err := rq.body()
	if err != nil {
		return err
	}
	sp := directory.ServicePrincipal{
		ID: ident.New[ident.ObjectID](), Tenant: rq.caller.Tenant, Type: directory.TypeApplication, AccountEnabled: true, CreatedAt: rq.h.Now().UTC(),
	}
	_, readErr := guid(b, "appId", &sp.AppID)
	var c principalChange
	if readErr == nil {
		c, readErr = readPrincipal(b, &sp)
	}
	var out principal
	err = rq.update(func(tx *store.Tx, a directory.Actor) error {
		if err := rq.mayEnrol(tx, a, sp.AppID); err != nil {
			return err
		}
		if readErr != nil {
			return readErr
		}
		if sp.AppID.IsZero() {
			return badRequest("A value is required for property 'appId' of resource 'ServicePrincipal'.").At("appId")
		}
		name, own, err := rq.enrollable(tx, sp.AppID)
		if err != nil {
			return err
		}
		if sp.DisplayName == "" || own {
			sp.DisplayName = name
		}
		if err := directory.CheckServicePrincipal(sp); err != nil {
			return err
		}
		err = tx.PutServicePrincipal(sp)
		if store.IsExists(err) {
			return fault.New(fault.Conflict, "Request_MultipleObjectsWithSameKeyValue",
				"The service principal cannot be created, updated, or restored because the service principal name %s is already in use.", sp.AppID).At("servicePrincipalNames").Because(err)
		}
		if err != nil {
			return err
		}
		if err := rq.audit(tx, audit.PrincipalCreated, sp.ID, map[string]string{"displayName": sp.DisplayName, "appId": sp.AppID.String()}); err != nil {
			return err
		}
		if err := rq.replaceKeys(tx, holder{id: sp.ID, name: sp.DisplayName, kind: servicePrincipalObject, app: sp.AppID}, c.keys); err != nil {
			return err
		}
		if err := rq.firstOwners(tx, a.ID, sp.ID, nil); err != nil {
			return err
		}
		out, err = rq.withApplication(tx, sp)
		return err
	})
	if err != nil {
		return err
	}
	rq.createdAt(sp.ID.String(), "ServicePrincipal")
	s := principalSchema()
	return rq.entity(http.StatusCreated, s.set, s.render(out, nil, true))
}

// mayEnrol decides whether an actor may make the service principal of an application: who may register applications,
// of their own; of others' an administrator.
func (rq *request) mayEnrol(tx *store.Tx, a directory.Actor, app ident.ClientID) error {
	owner := false
	found, err := tx.ApplicationByAppID(app)
	if err == nil && found.Tenant == rq.caller.Tenant {
		owner, err = tx.Owns(a.ID, found.ID)
	}
	if err != nil && !store.IsNotFound(err) {
		return err
	}
	return a.MayManageApplication(owner, false)
}

func updateServicePrincipal(rq *request) error {
	b, err := rq.body()
	if err != nil {
		return err
	}
	err = rq.update(func(tx *store.Tx, a directory.Actor) error {
		h, err := rq.changeable(tx, a, servicePrincipalObject)
		if err != nil {
			return err
		}
		p, err := rq.principal(tx, h.id.String())
		if err != nil {
			return err
		}
		if p.managed() {
			return badRequest("Managed identities are changed through their Azure resource, not here.").At("servicePrincipalType")
		}
		sp := p.ServicePrincipal
		c, err := readPrincipal(b.clone(), &sp)
		if err != nil {
			return err
		}
		if slices.Contains(c.sent, "displayName") && p.app.Tenant == sp.Tenant {
			return badRequest("The display name of a service principal is that of its application.").At("displayName")
		}
		if err := directory.CheckServicePrincipal(sp); err != nil {
			return err
		}
		if sp.AppID == directory.MicrosoftGraph() && !sp.AccountEnabled {
			return badRequest("The service principal of Microsoft Graph cannot be disabled: nobody could enable it again.").At("accountEnabled")
		}
		if err := tx.PutServicePrincipal(sp); err != nil {
			return err
		}
		if c.keysSent {
			if err := rq.replaceKeys(tx, h, c.keys); err != nil {
				return err
			}
		}
		return rq.audit(tx, audit.PrincipalUpdated, sp.ID, map[string]string{
			"displayName": sp.DisplayName, "appId": sp.AppID.String(), "properties": strings.Join(c.sent, ","),
		})
	})
	if err != nil {
		return err
	}
	return rq.noContent()
}

func deleteServicePrincipal(rq *request) error {
	err := rq.update(func(tx *store.Tx, a directory.Actor) error {
		h, err := rq.changeable(tx, a, servicePrincipalObject)
		if err != nil {
			return err
		}
		p, err := rq.principal(tx, h.id.String())
		if err != nil {
			return err
		}
		if p.managed() {
			return badRequest("Managed identities are deleted through their Azure resource, not here.").At("servicePrincipalType")
		}
		if rq.h.Catalog != nil {
			if _, known := rq.h.Catalog.App(p.AppID); known {
				return badRequest("Specified App Principal ID is that of a well-known application and cannot be deleted.").At("appId")
			}
		}
		if err := rq.keepAdministrator(tx, func() error { return rq.softDeletePrincipal(tx, p.ServicePrincipal) }); err != nil {
			return err
		}
		return rq.audit(tx, audit.PrincipalDeleted, p.ID, map[string]string{"displayName": p.DisplayName, "appId": p.AppID.String()})
	})
	if err != nil {
		return err
	}
	return rq.noContent()
}
