package graph

import (
	"net/http"
	"strings"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/store"
)

// putApplication checks an application against the rules and writes it.
func (rq *request) putApplication(tx *store.Tx, a directory.Application) error {
	t, err := tx.Tenant(rq.caller.Tenant)
	if err != nil {
		return err
	}
	reserved := func(uri string) bool {
		if rq.h.Catalog == nil {
			return false
		}
		_, _, ok := rq.h.Catalog.Resource(uri)
		return ok
	}
	if err := directory.CheckApplication(a, t.Domains, reserved); err != nil {
		return err
	}
	err = tx.PutApplication(a)
	if store.IsExists(err) {
		return badRequest("Another object with the same value for property identifierUris already exists.").At("identifierUris").Because(err)
	}
	return err
}

func createApplication(rq *request) error {
	b, err := rq.body()
	if err != nil {
		return err
	}
	app := directory.Application{ID: ident.New[ident.ObjectID](), AppID: ident.New[ident.ClientID](), Tenant: rq.caller.Tenant, CreatedAt: rq.h.Now().UTC()}
	c, readErr := readApplication(b, &app, true)
	var out application
	err = rq.update(func(tx *store.Tx, a directory.Actor) error {
		if err := a.MayCreateApplication(); err != nil {
			return err
		}
		if readErr != nil {
			return readErr
		}
		if err := rq.putApplication(tx, app); err != nil {
			return err
		}
		if err := rq.audit(tx, audit.ApplicationCreated, app.ID, map[string]string{"displayName": app.DisplayName, "appId": app.AppID.String()}); err != nil {
			return err
		}
		if err := rq.replaceKeys(tx, holder{id: app.ID, name: app.DisplayName, kind: applicationObject, app: app.AppID}, c.keys); err != nil {
			return err
		}
		if err := rq.firstOwners(tx, a.ID, app.ID, c.owners); err != nil {
			return err
		}
		out, err = rq.withCredentials(tx, app)
		return err
	})
	if err != nil {
		return err
	}
	rq.createdAt(app.ID.String(), "Application")
	s := applicationSchema()
	return rq.entity(http.StatusCreated, s.set, s.render(out, nil, true))
}

func updateApplication(rq *request) error {
	b, err := rq.body()
	if err != nil {
		return err
	}
	err = rq.update(func(tx *store.Tx, a directory.Actor) error {
		h, err := rq.changeable(tx, a, applicationObject)
		if err != nil {
			return err
		}
		app, err := rq.bareApplication(tx, h.id.String())
		if err != nil {
			return err
		}
		was := app
		c, err := readApplication(b.clone(), &app, false)
		if err != nil {
			return err
		}
		if err := directory.CheckApplicationChange(was, app); err != nil {
			return err
		}
		if err := rq.putApplication(tx, app); err != nil {
			return err
		}
		if c.keysSent {
			if err := rq.replaceKeys(tx, h, c.keys); err != nil {
				return err
			}
		}
		return rq.audit(tx, audit.ApplicationUpdated, app.ID, map[string]string{
			"displayName": app.DisplayName, "appId": app.AppID.String(), "properties": strings.Join(c.sent, ","),
		})
	})
	if err != nil {
		return err
	}
	return rq.noContent()
}

// deleteApplication deletes an application, and with it its service principal in its own tenant.
func deleteApplication(rq *request) error {
	err := rq.update(func(tx *store.Tx, a directory.Actor) error {
		h, err := rq.changeable(tx, a, applicationObject)
		if err != nil {
			return err
		}
		app, err := rq.bareApplication(tx, h.id.String())
		if err != nil {
			return err
		}
		sp, err := tx.ServicePrincipalByAppID(app.Tenant, app.AppID)
		if err == nil {
			err = rq.keepAdministrator(tx, func() error { return rq.softDeletePrincipal(tx, sp) })
		}
		if err != nil && !store.IsNotFound(err) {
			return err
		}
		if err := rq.softDeleteApplication(tx, app); err != nil {
			return err
		}
		return rq.audit(tx, audit.ApplicationDeleted, app.ID, map[string]string{"displayName": app.DisplayName, "appId": app.AppID.String()})
	})
	if err != nil {
		return err
	}
	return rq.noContent()
}
