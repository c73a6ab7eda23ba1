package store

import (
	"strings"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/resource"
)

// PutIdentity makes or replaces a user-assigned identity and its principal: one does not exist without the other.
func (tx *Tx) PutIdentity(i resource.Identity) error {
	err := tx.put(feed.Private, "", i,
		`INSERT INTO identities (doc, resource_key, subscription, principal) VALUES ($1, $2, $3, $4)
		 ON CONFLICT (resource_key) DO UPDATE SET doc = excluded.doc, subscription = excluded.subscription, principal = excluded.principal`,
		strings.ToLower(i.ID()), i.Subscription, i.Principal)
	if err != nil {
		return err
	}
	switch _, err := tx.ServicePrincipal(i.Principal); {
	case err == nil:
		return nil // its tags changed; the principal says nothing of those
	case !IsNotFound(err):
		return err
	}
	return tx.PutServicePrincipal(directory.ServicePrincipal{
		ID: i.Principal, Tenant: i.Tenant, AppID: i.Client, DisplayName: i.Name, Type: directory.TypeManagedIdentity, AccountEnabled: true,
		CreatedAt: i.CreatedAt, AlternativeNames: resource.AlternativeNames(true, i.ID()),
	})
}

// Identity returns a user-assigned identity by its ARM id, without case.
func (tx *Tx) Identity(resourceID string) (resource.Identity, error) {
	return one[resource.Identity](tx, "identity", resourceID, `SELECT doc FROM identities WHERE resource_key = $1`, strings.ToLower(resourceID))
}

// Identities returns the user-assigned identities of a subscription by ARM id.
func (tx *Tx) Identities(sub ident.SubscriptionID) ([]resource.Identity, error) {
	return all[resource.Identity](tx, "identity", `SELECT doc FROM identities WHERE subscription = $1 ORDER BY resource_key`, sub)
}

// DeleteIdentity removes a user-assigned identity with its principal and what that proves itself with. Role assignments
// stay, as assignments of a principal that is not known; its id is never given again.
func (tx *Tx) DeleteIdentity(i resource.Identity) error {
	key := strings.ToLower(i.ID())
	if err := tx.remove(feed.Private, key, `DELETE FROM identities WHERE resource_key = $1`, key); err != nil {
		return err
	}
	return tx.DeleteManagedPrincipal(i.Principal)
}

// DeleteManagedPrincipal removes the principal of a managed identity for good, with its credentials. One that is gone is no
// error.
func (tx *Tx) DeleteManagedPrincipal(id ident.ObjectID) error {
	if err := tx.DeleteServicePrincipal(id); err != nil && !IsNotFound(err) {
		return err
	}
	return tx.ForgetCredentials(id)
}

// PutHost makes or replaces a host.
func (tx *Tx) PutHost(h resource.Host) error {
	return tx.put(feed.Private, "", h,
		`INSERT INTO identity_hosts (doc, resource_key, subscription, secret) VALUES ($1, $2, $3, $4)
		 ON CONFLICT (resource_key) DO UPDATE SET doc = excluded.doc, subscription = excluded.subscription, secret = excluded.secret`,
		strings.ToLower(h.ID()), h.Subscription, h.Secret)
}

// Host returns a host by its ARM id, without case.
func (tx *Tx) Host(resourceID string) (resource.Host, error) {
	return one[resource.Host](tx, "host", resourceID, `SELECT doc FROM identity_hosts WHERE resource_key = $1`, strings.ToLower(resourceID))
}

// HostBySecret returns the host whose secret has a hash.
func (tx *Tx) HostBySecret(hash string) (resource.Host, error) {
	return one[resource.Host](tx, "host", "of a secret", `SELECT doc FROM identity_hosts WHERE secret = $1 AND secret <> ''`, hash)
}

// Hosts returns the hosts of a subscription by ARM id.
func (tx *Tx) Hosts(sub ident.SubscriptionID) ([]resource.Host, error) {
	return all[resource.Host](tx, "host", `SELECT doc FROM identity_hosts WHERE subscription = $1 ORDER BY resource_key`, sub)
}

// DeleteHost removes a host.
func (tx *Tx) DeleteHost(resourceID string) error {
	key := strings.ToLower(resourceID)
	return tx.remove(feed.Private, key, `DELETE FROM identity_hosts WHERE resource_key = $1`, key)
}
