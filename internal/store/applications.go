package store

import (
	"slices"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
)

// PutApplication makes or replaces an application. Conflict if its appId, or an identifier URI in its tenant, is another's.
func (tx *Tx) PutApplication(a directory.Application) error {
	uris := make([]string, 0, len(a.IdentifierURIs))
	for _, u := range a.IdentifierURIs {
		if u = directory.Fold(u); !slices.Contains(uris, u) {
			uris = append(uris, u)
		}
	}
	// Asked first, so that a conflict leaves nothing half done.
	for _, u := range uris {
		owner, err := tx.ApplicationByURI(a.Tenant, u)
		switch {
		case err == nil && owner.ID != a.ID:
			return taken(ErrExists)
		case err != nil && !IsNotFound(err):
			return err
		}
	}
	err := tx.put(feed.Application, a.ID.String(), a,
		`INSERT INTO applications (doc, id, tenant, app_id, display_key) VALUES ($1, $2, $3, $4, $5)
		 ON CONFLICT (id) DO UPDATE SET doc = excluded.doc, tenant = excluded.tenant, app_id = excluded.app_id, display_key = excluded.display_key`,
		a.ID, a.Tenant, a.AppID, directory.Fold(a.DisplayName))
	if err != nil {
		return err
	}
	if _, err := tx.exec(`DELETE FROM application_uris WHERE application = $1`, a.ID); err != nil {
		return err
	}
	for _, u := range uris {
		if _, err := tx.exec(`INSERT INTO application_uris (tenant, uri_key, application) VALUES ($1, $2, $3)`, a.Tenant, u, a.ID); err != nil {
			return err
		}
	}
	return nil
}

// Application returns an application by its object id.
func (tx *Tx) Application(id ident.ObjectID) (directory.Application, error) {
	return one[directory.Application](tx, "application", id.String(), `SELECT doc FROM applications WHERE id = $1`, id)
}

// DeleteApplication removes an application with its owners. Its credentials stay until ForgetCredentials, so that it
// can be restored.
func (tx *Tx) DeleteApplication(id ident.ObjectID) error {
	if err := tx.remove(feed.Application, id.String(), `DELETE FROM applications WHERE id = $1`, id); err != nil {
		return err
	}
	return tx.forgetGrants(id)
}

// ApplicationByURI returns an application of a tenant by one of its identifier URIs, without case.
func (tx *Tx) ApplicationByURI(tenant ident.TenantID, uri string) (directory.Application, error) {
	return one[directory.Application](tx, "application", uri,
		`SELECT a.doc FROM applications a JOIN application_uris u ON u.application = a.id WHERE u.tenant = $1 AND u.uri_key = $2`,
		tenant, directory.Fold(uri))
}

// ApplicationByAppID returns an application by its appId.
func (tx *Tx) ApplicationByAppID(id ident.ClientID) (directory.Application, error) {
	return one[directory.Application](tx, "application", id.String(), `SELECT doc FROM applications WHERE app_id = $1`, id)
}

// PutServicePrincipal makes or replaces a service principal. Conflict if its application has another one in the tenant.
func (tx *Tx) PutServicePrincipal(p directory.ServicePrincipal) error {
	return tx.put(feed.ServicePrincipal, p.ID.String(), p,
		`INSERT INTO service_principals (doc, id, tenant, app_id, display_key) VALUES ($1, $2, $3, $4, $5)
		 ON CONFLICT (id) DO UPDATE SET doc = excluded.doc, tenant = excluded.tenant, app_id = excluded.app_id, display_key = excluded.display_key`,
		p.ID, p.Tenant, p.AppID, directory.Fold(p.DisplayName))
}

// DeleteServicePrincipal removes a service principal with its memberships, owners, grants and directory roles. Its
// credentials stay until ForgetCredentials, so that it can be restored.
func (tx *Tx) DeleteServicePrincipal(id ident.ObjectID) error {
	if err := tx.remove(feed.ServicePrincipal, id.String(), `DELETE FROM service_principals WHERE id = $1`, id); err != nil {
		return err
	}
	return tx.forget(id)
}

// ServicePrincipal returns a service principal by object id.
func (tx *Tx) ServicePrincipal(id ident.ObjectID) (directory.ServicePrincipal, error) {
	return one[directory.ServicePrincipal](tx, "service principal", id.String(), `SELECT doc FROM service_principals WHERE id = $1`, id)
}

// ServicePrincipalByAppID returns an application's service principal in a tenant.
func (tx *Tx) ServicePrincipalByAppID(tenant ident.TenantID, app ident.ClientID) (directory.ServicePrincipal, error) {
	return one[directory.ServicePrincipal](tx, "service principal", app.String(),
		`SELECT doc FROM service_principals WHERE tenant = $1 AND app_id = $2`, tenant, app)
}
