package store

import (
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/pki"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/resource"
)

// PutSubscription makes or replaces a subscription.
func (tx *Tx) PutSubscription(s resource.Subscription) error {
	return tx.put(feed.Subscription, s.ID.String(), s,
		`INSERT INTO subscriptions (doc, id, tenant) VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE SET doc = excluded.doc, tenant = excluded.tenant`, s.ID, s.Tenant)
}

// Subscription returns a subscription.
func (tx *Tx) Subscription(id ident.SubscriptionID) (resource.Subscription, error) {
	return one[resource.Subscription](tx, "subscription", id.String(), `SELECT doc FROM subscriptions WHERE id = $1`, id)
}

// Subscriptions returns the subscriptions of a tenant.
func (tx *Tx) Subscriptions(tenant ident.TenantID) ([]resource.Subscription, error) {
	return all[resource.Subscription](tx, "subscription", `SELECT doc FROM subscriptions WHERE tenant = $1 ORDER BY id`, tenant)
}

// PutManagementGroup makes or replaces a management group.
func (tx *Tx) PutManagementGroup(g resource.ManagementGroup) error {
	key := strings.ToLower(g.Name)
	return tx.put(feed.ManagementGroup, g.Tenant.String()+"/"+key, g,
		`INSERT INTO management_groups (doc, tenant, name_key) VALUES ($1, $2, $3)
		 ON CONFLICT (tenant, name_key) DO UPDATE SET doc = excluded.doc`, g.Tenant, key)
}

// ManagementGroup returns a management group by name, without case. The root group is always there.
func (tx *Tx) ManagementGroup(tenant ident.TenantID, name string) (resource.ManagementGroup, error) {
	g, err := one[resource.ManagementGroup](tx, "management group", name,
		`SELECT doc FROM management_groups WHERE tenant = $1 AND name_key = $2`, tenant, strings.ToLower(name))
	if root := resource.RootManagementGroup(tenant); IsNotFound(err) && strings.EqualFold(name, root.Name) {
		return root, nil
	}
	return g, err
}

// ManagementGroups returns the management groups of a tenant by name; the root group only once it was changed.
func (tx *Tx) ManagementGroups(tenant ident.TenantID) ([]resource.ManagementGroup, error) {
	return all[resource.ManagementGroup](tx, "management group", `SELECT doc FROM management_groups WHERE tenant = $1 ORDER BY name_key`, tenant)
}

// DeleteManagementGroup removes a management group.
func (tx *Tx) DeleteManagementGroup(tenant ident.TenantID, name string) error {
	key := strings.ToLower(name)
	return tx.remove(feed.ManagementGroup, tenant.String()+"/"+key,
		`DELETE FROM management_groups WHERE tenant = $1 AND name_key = $2`, tenant, key)
}

func groupKey(sub ident.SubscriptionID, name string) string {
	return "/subscriptions/" + sub.String() + "/resourcegroups/" + strings.ToLower(name)
}

// PutResourceGroup makes or replaces a resource group.
func (tx *Tx) PutResourceGroup(g resource.Group) error {
	return tx.put(feed.ResourceGroup, groupKey(g.Subscription, g.Name), g,
		`INSERT INTO resource_groups (doc, subscription, name_key) VALUES ($1, $2, $3)
		 ON CONFLICT (subscription, name_key) DO UPDATE SET doc = excluded.doc`, g.Subscription, strings.ToLower(g.Name))
}

// ResourceGroup returns a resource group by name, without case.
func (tx *Tx) ResourceGroup(sub ident.SubscriptionID, name string) (resource.Group, error) {
	return one[resource.Group](tx, "resource group", name,
		`SELECT doc FROM resource_groups WHERE subscription = $1 AND name_key = $2`, sub, strings.ToLower(name))
}

// ResourceGroups returns the resource groups of a subscription by name.
func (tx *Tx) ResourceGroups(sub ident.SubscriptionID) ([]resource.Group, error) {
	return all[resource.Group](tx, "resource group", `SELECT doc FROM resource_groups WHERE subscription = $1 ORDER BY name_key`, sub)
}

// DeleteResourceGroup removes a resource group.
func (tx *Tx) DeleteResourceGroup(sub ident.SubscriptionID, name string) error {
	return tx.remove(feed.ResourceGroup, groupKey(sub, name),
		`DELETE FROM resource_groups WHERE subscription = $1 AND name_key = $2`, sub, strings.ToLower(name))
}

// PutRoleDefinition makes or replaces a custom role. Conflict if another role of the tenant has its name.
func (tx *Tx) PutRoleDefinition(r rbac.RoleDefinition) error {
	return tx.put(feed.RoleDefinition, r.ID.String(), r,
		`INSERT INTO role_definitions (doc, id, tenant, name_key) VALUES ($1, $2, $3, $4)
		 ON CONFLICT (id) DO UPDATE SET doc = excluded.doc, tenant = excluded.tenant, name_key = excluded.name_key`, r.ID, r.Tenant, strings.ToLower(r.Name))
}

// RoleDefinition returns a custom role.
func (tx *Tx) RoleDefinition(id ident.RoleDefinitionID) (rbac.RoleDefinition, error) {
	return one[rbac.RoleDefinition](tx, "role definition", id.String(), `SELECT doc FROM role_definitions WHERE id = $1`, id)
}

// RoleDefinitions returns the custom roles of a tenant by name.
func (tx *Tx) RoleDefinitions(tenant ident.TenantID) ([]rbac.RoleDefinition, error) {
	return all[rbac.RoleDefinition](tx, "role definition", `SELECT doc FROM role_definitions WHERE tenant = $1 ORDER BY name_key`, tenant)
}

// DeleteRoleDefinition removes a custom role.
func (tx *Tx) DeleteRoleDefinition(id ident.RoleDefinitionID) error {
	return tx.remove(feed.RoleDefinition, id.String(), `DELETE FROM role_definitions WHERE id = $1`, id)
}

// PutAssignment makes or replaces a role assignment. Conflict if another one has the same scope, principal and role.
func (tx *Tx) PutAssignment(a rbac.Assignment) error {
	return tx.put(feed.RoleAssignment, a.ID.String(), a,
		`INSERT INTO role_assignments (doc, id, tenant, scope_key, principal, role) VALUES ($1, $2, $3, $4, $5, $6)
		 ON CONFLICT (id) DO UPDATE SET doc = excluded.doc, tenant = excluded.tenant, scope_key = excluded.scope_key, principal = excluded.principal, role = excluded.role`,
		a.ID, a.Tenant, strings.ToLower(a.Scope), a.PrincipalID, a.RoleDefinitionID)
}

// Assignment returns a role assignment.
func (tx *Tx) Assignment(id ident.RoleAssignmentID) (rbac.Assignment, error) {
	return one[rbac.Assignment](tx, "role assignment", id.String(), `SELECT doc FROM role_assignments WHERE id = $1`, id)
}

// Assignments returns every role assignment of a tenant, ordered by scope and id.
func (tx *Tx) Assignments(tenant ident.TenantID) ([]rbac.Assignment, error) {
	return all[rbac.Assignment](tx, "role assignment", `SELECT doc FROM role_assignments WHERE tenant = $1 ORDER BY scope_key, id`, tenant)
}

// DeleteAssignment removes a role assignment.
func (tx *Tx) DeleteAssignment(id ident.RoleAssignmentID) error {
	return tx.remove(feed.RoleAssignment, id.String(), `DELETE FROM role_assignments WHERE id = $1`, id)
}

// DeleteAssignmentsOf removes the role assignments of a principal.
func (tx *Tx) DeleteAssignmentsOf(principal ident.ObjectID) error {
	return tx.deleteAssignments(`principal = $1`, principal)
}

// DeleteAssignmentsBelow removes the role assignments and the deny assignments at a scope and below it.
func (tx *Tx) DeleteAssignmentsBelow(scope string) error {
	key := strings.ToLower(strings.TrimSuffix(scope, "/"))
	const below = `scope_key = $1 OR (scope_key >= $2 AND scope_key < $3)`
	if err := tx.removeAll(feed.DenyAssignment, "", `DELETE FROM deny_assignments WHERE `+below+` RETURNING id`, key, key+"/", key+"0"); err != nil {
		return err
	}
	return tx.deleteAssignments(below, key, key+"/", key+"0") // '0' follows '/'
}

func (tx *Tx) deleteAssignments(where string, args ...any) error {
	return tx.removeAll(feed.RoleAssignment, "", `DELETE FROM role_assignments WHERE `+where+` RETURNING id`, args...)
}

// PutCluster makes or replaces a managed cluster. Conflict if another one has its resource id.
func (tx *Tx) PutCluster(c managedcluster.Cluster) error {
	return tx.put(feed.Cluster, c.ID.String(), c,
		`INSERT INTO clusters (doc, id, resource_key) VALUES ($1, $2, $3)
		 ON CONFLICT (id) DO UPDATE SET doc = excluded.doc, resource_key = excluded.resource_key`,
		c.ID, strings.ToLower(c.ResourceID()))
}

// Cluster returns a managed cluster by its own id.
func (tx *Tx) Cluster(id ident.ClusterID) (managedcluster.Cluster, error) {
	return one[managedcluster.Cluster](tx, "cluster", id.String(), `SELECT doc FROM clusters WHERE id = $1`, id)
}

// ClusterByResource returns a managed cluster by its ARM id, without case.
func (tx *Tx) ClusterByResource(resourceID string) (managedcluster.Cluster, error) {
	return one[managedcluster.Cluster](tx, "cluster", resourceID, `SELECT doc FROM clusters WHERE resource_key = $1`, strings.ToLower(resourceID))
}

// Clusters returns every managed cluster by resource id.
func (tx *Tx) Clusters() ([]managedcluster.Cluster, error) {
	return all[managedcluster.Cluster](tx, "cluster", `SELECT doc FROM clusters ORDER BY resource_key`)
}

// DeleteCluster removes a managed cluster with its secrets and the records of its certificates.
func (tx *Tx) DeleteCluster(id ident.ClusterID) error {
	if err := tx.remove(feed.Cluster, id.String(), `DELETE FROM clusters WHERE id = $1`, id); err != nil {
		return err
	}
	return tx.removeAll(feed.Certificate, "", `DELETE FROM certificates WHERE cluster = $1 RETURNING fingerprint`, id)
}

// PutClusterSecrets keeps the sealed authorities and keys of a cluster.
func (tx *Tx) PutClusterSecrets(id ident.ClusterID, sealed []byte) error {
	_, err := tx.exec(`INSERT INTO cluster_secrets (cluster, sealed) VALUES ($1, $2)
		ON CONFLICT (cluster) DO UPDATE SET sealed = excluded.sealed`, id, sealed)
	return err
}

// ClusterSecrets returns the sealed authorities and keys of a cluster.
func (tx *Tx) ClusterSecrets(id ident.ClusterID) ([]byte, error) {
	return tx.blob("cluster secrets", id.String(), `SELECT sealed FROM cluster_secrets WHERE cluster = $1`, id)
}

// PutCertificate makes or replaces the record of an issued client certificate.
func (tx *Tx) PutCertificate(c pki.Issued) error {
	return tx.put(feed.Certificate, c.Fingerprint, c,
		`INSERT INTO certificates (doc, fingerprint, cluster, expires_at) VALUES ($1, $2, $3, $4)
		 ON CONFLICT (fingerprint) DO UPDATE SET doc = excluded.doc, cluster = excluded.cluster, expires_at = excluded.expires_at`, c.Fingerprint, c.Cluster, stamp(c.NotAfter))
}

// Certificate returns the record of an issued client certificate.
func (tx *Tx) Certificate(fingerprint string) (pki.Issued, error) {
	return one[pki.Issued](tx, "certificate", fingerprint, `SELECT doc FROM certificates WHERE fingerprint = $1`, fingerprint)
}

// Certificates returns the records of a cluster's client certificates.
func (tx *Tx) Certificates(cluster ident.ClusterID) ([]pki.Issued, error) {
	return all[pki.Issued](tx, "certificate", `SELECT doc FROM certificates WHERE cluster = $1 ORDER BY expires_at, fingerprint`, cluster)
}

// PutOperation makes or replaces a long-running operation.
func (tx *Tx) PutOperation(o resource.Operation) error {
	return tx.put(feed.Operation, o.ID.String(), o,
		`INSERT INTO operations (doc, id, resource_key, status, started_at) VALUES ($1, $2, $3, $4, $5)
		 ON CONFLICT (id) DO UPDATE SET doc = excluded.doc, resource_key = excluded.resource_key, status = excluded.status,
		   started_at = excluded.started_at`,
		o.ID, o.ResourceKey, string(o.Status), stamp(o.StartedAt))
}

// Operation returns a long-running operation.
func (tx *Tx) Operation(id ident.OperationID) (resource.Operation, error) {
	return one[resource.Operation](tx, "operation", id.String(), `SELECT doc FROM operations WHERE id = $1`, id)
}

// RunningOperation returns the operation in progress on a resource.
func (tx *Tx) RunningOperation(resourceKey string) (resource.Operation, error) {
	return one[resource.Operation](tx, "operation", resourceKey,
		`SELECT doc FROM operations WHERE resource_key = $1 AND status = 'InProgress' ORDER BY started_at LIMIT 1`, resourceKey)
}

// OperationsInProgress returns every operation that has not ended, oldest first.
func (tx *Tx) OperationsInProgress() ([]resource.Operation, error) {
	return all[resource.Operation](tx, "operation", `SELECT doc FROM operations WHERE status = 'InProgress' ORDER BY started_at`)
}

// DeleteEndedOperations removes operations that ended and were started before a time.
func (tx *Tx) DeleteEndedOperations(before time.Time) error {
	return tx.removeAll(feed.Operation, "", `DELETE FROM operations WHERE status <> 'InProgress' AND started_at < $1 RETURNING id`, stamp(before))
}
