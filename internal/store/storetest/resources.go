package storetest

import (
	"strconv"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/pki"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

func resourceCases() []methodCase {
	return []methodCase{
		{"enrollments", "PutEnrollment Enrollment DeleteEnrollment", enrollments},
		{"subscriptions", "PutSubscription Subscription Subscriptions", subscriptions},
		{"management groups", "PutManagementGroup ManagementGroup ManagementGroups DeleteManagementGroup", managementGroups},
		{"resource groups", "PutResourceGroup ResourceGroup ResourceGroups DeleteResourceGroup", resourceGroups},
		{"role definitions", "PutRoleDefinition RoleDefinition RoleDefinitions DeleteRoleDefinition", roleDefinitions},
		{"role assignments", "PutAssignment Assignment Assignments DeleteAssignment", assignments},
		{"role assignments go together", "DeleteAssignmentsOf DeleteAssignmentsBelow", assignmentsTogether},
		{"deny assignments", "PutDenyAssignment DenyAssignment DenyAssignments DeleteDenyAssignment", denyAssignments},
		{"clusters", "PutCluster Cluster ClusterByResource Clusters DeleteCluster PutClusterSecrets ClusterSecrets", clusters},
		{"certificates", "PutCertificate Certificate Certificates", certificates},
		{"operations", "PutOperation Operation RunningOperation OperationsInProgress DeleteEndedOperations", operations},
	}
}

func subscriptionID(name string) ident.SubscriptionID {
	return ident.Derive[ident.SubscriptionID]("storetest", name)
}

func (b *bench) subscription(name string) resource.Subscription {
	return resource.Subscription{ID: subscriptionID(name), Tenant: b.tenant, DisplayName: name, State: "Enabled", CreatedAt: zoned()}
}

func subscriptions(t *testing.T, b *bench) {
	s := b.subscription("s")
	changed := s
	changed.DisplayName = "changed"
	life(b, s, changed, (*store.Tx).PutSubscription, func(tx *store.Tx) (resource.Subscription, error) { return tx.Subscription(s.ID) }, nil)
	list := func(tenant ident.TenantID) func(*store.Tx) ([]resource.Subscription, error) {
		return func(tx *store.Tx) ([]resource.Subscription, error) { return tx.Subscriptions(tenant) }
	}
	has(b, list(b.tenant), []resource.Subscription{s})
	has(b, list(b.other()), nil)
}

func managementGroups(t *testing.T, b *bench) {
	g := resource.ManagementGroup{Tenant: b.tenant, Name: "Prod", DisplayName: "Production", Version: 1, CreatedAt: zoned()}
	changed := g
	changed.DisplayName, changed.Parent = "changed", "platform"
	life(b, g, changed, (*store.Tx).PutManagementGroup, func(tx *store.Tx) (resource.ManagementGroup, error) { return tx.ManagementGroup(b.tenant, "pROD") },
		func(tx *store.Tx) error { return tx.DeleteManagementGroup(b.tenant, "PROD") })
	foreign := g
	foreign.Tenant = b.other()
	root := resource.RootManagementGroup(b.tenant)
	get := func(tx *store.Tx) ([]resource.ManagementGroup, error) {
		g, err := tx.ManagementGroup(b.tenant, b.tenant.String())
		return []resource.ManagementGroup{g}, err
	}
	has(b, get, []resource.ManagementGroup{root})
	root.DisplayName = "All"
	rev := b.update(func(tx *store.Tx) error {
		return firstError(tx.PutManagementGroup(g), tx.PutManagementGroup(foreign), tx.PutManagementGroup(root))
	})
	b.told(rev, "put managementGroup "+b.tenant.String()+"/prod", "put managementGroup "+foreign.Tenant.String()+"/prod", "put managementGroup "+b.tenant.String()+"/"+b.tenant.String())
	has(b, get, []resource.ManagementGroup{root})
	has(b, func(tx *store.Tx) ([]resource.ManagementGroup, error) { return tx.ManagementGroups(foreign.Tenant) }, []resource.ManagementGroup{foreign})
}

func resourceGroups(t *testing.T, b *bench) {
	b.update(func(tx *store.Tx) error {
		return firstError(tx.PutSubscription(b.subscription("s")), tx.PutSubscription(b.subscription("other")))
	})
	sub := subscriptionID("s")
	g := resource.Group{Subscription: sub, Name: "RG-One", Location: "westeurope", Tags: map[string]string{"a": "b"}, State: "Succeeded", CreatedAt: zoned()}
	changed := g
	changed.Tags, changed.State = nil, "Deleting"
	life(b, g, changed, (*store.Tx).PutResourceGroup, func(tx *store.Tx) (resource.Group, error) { return tx.ResourceGroup(sub, "rg-ONE") },
		func(tx *store.Tx) error { return tx.DeleteResourceGroup(sub, "rg-one") })
	second := g
	second.Name = "a-two"
	foreign := g
	foreign.Subscription = subscriptionID("other")
	rev := b.update(func(tx *store.Tx) error {
		return firstError(tx.PutResourceGroup(g), tx.PutResourceGroup(second), tx.PutResourceGroup(foreign))
	})
	prefix := "put resourceGroup /subscriptions/"
	b.told(rev, prefix+sub.String()+"/resourcegroups/rg-one", prefix+sub.String()+"/resourcegroups/a-two", prefix+foreign.Subscription.String()+"/resourcegroups/rg-one")
	has(b, func(tx *store.Tx) ([]resource.Group, error) { return tx.ResourceGroups(sub) }, []resource.Group{second, g})
}

func roleDefinitions(t *testing.T, b *bench) {
	role := func(name string, tenant ident.TenantID) rbac.RoleDefinition {
		return rbac.RoleDefinition{
			ID: ident.New[ident.RoleDefinitionID](), Name: name, Type: rbac.CustomRole, Tenant: tenant, AssignableScopes: []string{"/"},
			Permissions: []rbac.Permission{{Actions: []string{"*/read"}}}, CreatedOn: zoned(),
		}
	}
	r := role("Reader of all", b.tenant)
	changed := r
	changed.Name, changed.Description = "Other name", "d"
	life(b, r, changed, (*store.Tx).PutRoleDefinition, func(tx *store.Tx) (rbac.RoleDefinition, error) { return tx.RoleDefinition(r.ID) },
		func(tx *store.Tx) error { return tx.DeleteRoleDefinition(r.ID) })
	b.update(func(tx *store.Tx) error { return tx.PutRoleDefinition(r) })
	b.refused(fault.Conflict, func(tx *store.Tx) error { return tx.PutRoleDefinition(role("READER of all", b.tenant)) })
	first := role("a", b.tenant)
	b.update(func(tx *store.Tx) error {
		return firstError(tx.PutRoleDefinition(first), tx.PutRoleDefinition(role("Reader of all", b.other2(tx))))
	})
	has(b, func(tx *store.Tx) ([]rbac.RoleDefinition, error) { return tx.RoleDefinitions(b.tenant) }, []rbac.RoleDefinition{first, r})
}

// other2 makes a tenant inside a transaction.
func (b *bench) other2(tx *store.Tx) ident.TenantID {
	t := b.aTenant()
	t.ID, t.Domains = ident.Derive[ident.TenantID]("storetest", "other"), nil
	if err := tx.PutTenant(t); err != nil {
		b.t.Error(err)
	}
	return t.ID
}

func (b *bench) assignment(name, scope, principal string) rbac.Assignment {
	return rbac.Assignment{
		ID: ident.Derive[ident.RoleAssignmentID]("storetest", name), Scope: scope, RoleDefinitionID: ident.Derive[ident.RoleDefinitionID]("storetest", "role"),
		PrincipalID: oid(principal), PrincipalType: rbac.PrincipalUser, Tenant: b.tenant, CreatedOn: zoned(),
	}
}

func assignments(t *testing.T, b *bench) {
	a := b.assignment("a", "/subscriptions/S", "u")
	changed := a
	changed.PrincipalID, changed.Scope, changed.Condition = oid("v"), "/subscriptions/S/resourceGroups/G", "c"
	life(b, a, changed, (*store.Tx).PutAssignment, func(tx *store.Tx) (rbac.Assignment, error) { return tx.Assignment(a.ID) },
		func(tx *store.Tx) error { return tx.DeleteAssignment(a.ID) })
	b.update(func(tx *store.Tx) error { return tx.PutAssignment(a) })
	b.refused(fault.Conflict, func(tx *store.Tx) error { return tx.PutAssignment(b.assignment("twin", "/SUBSCRIPTIONS/s", "u")) })
	second := b.assignment("b", "/", "u")
	b.update(func(tx *store.Tx) error { return tx.PutAssignment(second) })
	list := func(tenant ident.TenantID) func(*store.Tx) ([]rbac.Assignment, error) {
		return func(tx *store.Tx) ([]rbac.Assignment, error) { return tx.Assignments(tenant) }
	}
	has(b, list(b.tenant), []rbac.Assignment{second, a})
	has(b, list(b.other()), nil)
}

func assignmentsTogether(t *testing.T, b *bench) {
	scopes := []string{"/", "/subscriptions/s", "/subscriptions/s2", "/subscriptions/S/resourceGroups/g", "/subscriptions/s/resourceGroups/g2", "/subscriptions/s/x-y", "/subscriptions/s.t"}
	b.update(func(tx *store.Tx) error {
		for i, s := range scopes {
			if err := firstError(tx.PutAssignment(b.assignment("u"+strconv.Itoa(i), s, "u")), tx.PutAssignment(b.assignment("v"+strconv.Itoa(i), s, "v"))); err != nil {
				return err
			}
		}
		return nil
	})
	left := func(want ...string) {
		t.Helper()
		var got []string
		b.view(func(tx *store.Tx) error {
			as, err := tx.Assignments(b.tenant)
			for _, a := range as {
				if a.PrincipalID == oid("v") {
					got = append(got, a.Scope)
				}
			}
			return err
		})
		if len(got) != len(want) {
			t.Errorf("left: %q, want %q", got, want)
		}
	}
	id := func(name string) string {
		return "delete roleAssignment " + ident.Derive[ident.RoleAssignmentID]("storetest", name).String()
	}
	rev := b.update(func(tx *store.Tx) error { return tx.DeleteAssignmentsOf(oid("u")) })
	b.told(rev, id("u0"), id("u1"), id("u2"), id("u3"), id("u4"), id("u5"), id("u6"))
	left(scopes...)
	if again := b.update(func(tx *store.Tx) error { return tx.DeleteAssignmentsOf(oid("u")) }); again != rev {
		t.Error("a revision was taken for nothing")
	}
	rev = b.update(func(tx *store.Tx) error { return tx.DeleteAssignmentsBelow("/subscriptions/s/resourcegroups/G/") })
	b.told(rev, id("v3"))
	rev = b.update(func(tx *store.Tx) error { return tx.DeleteAssignmentsBelow("/Subscriptions/S") })
	b.told(rev, id("v1"), id("v4"), id("v5"))
	left("/", "/subscriptions/s2", "/subscriptions/s.t")
	rev = b.update(func(tx *store.Tx) error { return tx.DeleteAssignmentsBelow("/") })
	b.told(rev, id("v0"), id("v2"), id("v6"))
	left()
}

func denyAssignments(t *testing.T, b *bench) {
	deny := func(name, scope string) rbac.DenyAssignment {
		return rbac.DenyAssignment{
			ID: ident.Derive[ident.DenyAssignmentID]("storetest", name), Tenant: b.tenant, Name: name, Scope: scope, CreatedOn: zoned(),
			Permissions: []rbac.Permission{{Actions: []string{"*/write"}}}, Principals: []rbac.DenyPrincipal{{ID: oid("u"), Type: rbac.PrincipalUser}},
		}
	}
	d := deny("a", "/subscriptions/S/resourceGroups/G")
	changed := d
	changed.Description, changed.ExactScope, changed.Excluded = "changed", true, d.Principals
	life(b, d, changed, (*store.Tx).PutDenyAssignment, func(tx *store.Tx) (rbac.DenyAssignment, error) { return tx.DenyAssignment(d.ID) },
		func(tx *store.Tx) error { return tx.DeleteDenyAssignment(d.ID) })
	b.update(func(tx *store.Tx) error { return tx.PutDenyAssignment(d) })
	twin := deny("twin", "/SUBSCRIPTIONS/s/resourcegroups/g")
	twin.Name = "A"
	b.refused(fault.Conflict, func(tx *store.Tx) error { return tx.PutDenyAssignment(twin) })
	above := deny("b", "/subscriptions/s")
	b.update(func(tx *store.Tx) error { return tx.PutDenyAssignment(above) })
	list := func(tenant ident.TenantID) func(*store.Tx) ([]rbac.DenyAssignment, error) {
		return func(tx *store.Tx) ([]rbac.DenyAssignment, error) { return tx.DenyAssignments(tenant) }
	}
	has(b, list(b.tenant), []rbac.DenyAssignment{above, d})
	has(b, list(b.other()), nil)
	// They go with what they are at.
	rev := b.update(func(tx *store.Tx) error { return tx.DeleteAssignmentsBelow("/subscriptions/s/resourceGroups/g/") })
	b.told(rev, "delete denyAssignment "+d.ID.String())
	has(b, list(b.tenant), []rbac.DenyAssignment{above})
}

func (b *bench) cluster(name string) managedcluster.Cluster {
	return managedcluster.Cluster{
		ID: ident.Derive[ident.ClusterID]("storetest", name), Subscription: subscriptionID("s"), Tenant: b.tenant, Group: "RG", Name: name,
		Location: "westeurope", Epoch: 1 << 40, Body: []byte(`{"b":1,"a":[null]}`), AAD: &managedcluster.AAD{Managed: true, AdminGroups: []ident.ObjectID{oid("g")}},
	}
}

func clusters(t *testing.T, b *bench) {
	c := b.cluster("One")
	changed := c
	changed.Name, changed.AAD, changed.LocalAccountsDisabled = "Renamed", nil, true
	life(b, c, changed, (*store.Tx).PutCluster, func(tx *store.Tx) (managedcluster.Cluster, error) { return tx.Cluster(c.ID) },
		func(tx *store.Tx) error { return tx.DeleteCluster(c.ID) })
	at := func(id string) func(*store.Tx) (managedcluster.Cluster, error) {
		return func(tx *store.Tx) (managedcluster.Cluster, error) { return tx.ClusterByResource(id) }
	}
	b.update(func(tx *store.Tx) error { return tx.PutCluster(changed) })
	b.update(func(tx *store.Tx) error { return tx.PutCluster(c) })
	lacks(b, at(changed.ResourceID()))
	has(b, at("/SUBSCRIPTIONS"+c.ResourceID()[len("/subscriptions"):]), c)
	twin := c
	twin.ID, twin.Name = ident.New[ident.ClusterID](), "ONE"
	b.refused(fault.Conflict, func(tx *store.Tx) error { return tx.PutCluster(twin) })
	second := b.cluster("a")
	b.update(func(tx *store.Tx) error { return tx.PutCluster(second) })
	has(b, (*store.Tx).Clusters, []managedcluster.Cluster{second, c})

	secrets := func(tx *store.Tx) ([]byte, error) { return tx.ClusterSecrets(c.ID) }
	lacks(b, secrets)
	life(b, []byte{1, 0}, []byte{2}, func(tx *store.Tx, s []byte) error { return tx.PutClusterSecrets(c.ID, s) }, secrets, nil)
	b.refused(fault.Internal, func(tx *store.Tx) error { return tx.PutClusterSecrets(ident.New[ident.ClusterID](), nil) })
	b.update(func(tx *store.Tx) error { return tx.PutCertificate(pki.Issued{Fingerprint: "f", Cluster: c.ID}) })
	rev := b.update(func(tx *store.Tx) error { return tx.DeleteCluster(c.ID) })
	b.told(rev, "delete cluster "+c.ID.String(), "delete certificate f")
	lacks(b, secrets)
}

func certificates(t *testing.T, b *bench) {
	c := pki.Issued{Fingerprint: "f", Cluster: b.cluster("c").ID, Holder: oid("u"), IssuedAt: zoned(), NotAfter: zoned()}
	changed := c
	changed.RevokedAt, changed.Cluster = zoned(), b.cluster("d").ID
	life(b, c, changed, (*store.Tx).PutCertificate, func(tx *store.Tx) (pki.Issued, error) { return tx.Certificate("f") }, nil)
	early := c
	early.Fingerprint, early.NotAfter = "z", zoned().Add(-time.Nanosecond)
	b.update(func(tx *store.Tx) error { return tx.PutCertificate(early) })
	of := func(c managedcluster.Cluster) func(*store.Tx) ([]pki.Issued, error) {
		return func(tx *store.Tx) ([]pki.Issued, error) { return tx.Certificates(c.ID) }
	}
	has(b, of(b.cluster("c")), []pki.Issued{early, c})
	b.update(func(tx *store.Tx) error { return tx.PutCertificate(changed) })
	has(b, of(b.cluster("c")), []pki.Issued{early})
	has(b, of(b.cluster("d")), []pki.Issued{changed})
}

func operations(t *testing.T, b *bench) {
	o := resource.Operation{
		ID: ident.Derive[ident.OperationID]("storetest", "o"), ResourceKey: "/a", Verb: "Creating", Status: resource.InProgress, StartedAt: zoned(),
		Input: []byte(`{"x":1}`),
	}
	ended := o
	ended.Status, ended.EndedAt = resource.Succeeded, zoned().Add(time.Second)
	life(b, o, ended, (*store.Tx).PutOperation, func(tx *store.Tx) (resource.Operation, error) { return tx.Operation(o.ID) }, nil)
	running := func(key string) func(*store.Tx) (resource.Operation, error) {
		return func(tx *store.Tx) (resource.Operation, error) { return tx.RunningOperation(key) }
	}
	has(b, running("/a"), o)
	lacks(b, running("/A")) // the key comes in lower case
	early := o
	early.ID, early.ResourceKey, early.StartedAt = ident.Derive[ident.OperationID]("storetest", "early"), "/b", zoned().Add(-time.Hour)
	b.update(func(tx *store.Tx) error { return tx.PutOperation(early) })
	has(b, (*store.Tx).OperationsInProgress, []resource.Operation{early, o})
	b.update(func(tx *store.Tx) error { return tx.PutOperation(ended) })
	lacks(b, running("/a"))
	has(b, (*store.Tx).OperationsInProgress, []resource.Operation{early})
	head := b.db.Head()
	if rev := b.update(func(tx *store.Tx) error { return tx.DeleteEndedOperations(zoned()) }); rev != head {
		t.Error("an operation that started at the time went")
	}
	rev := b.update(func(tx *store.Tx) error { return tx.DeleteEndedOperations(zoned().Add(1)) })
	b.told(rev, "delete operation "+o.ID.String())
	has(b, running("/b"), early) // old, but not ended
}

// enrollments: a token is redeemed once, ends by itself, and goes with its cluster.
func enrollments(t *testing.T, b *bench) {
	id := ident.Derive[ident.ClusterID]("storetest", "attached")
	e := managedcluster.Enrollment{Hash: "Hash", Cluster: id, CreatedAt: zoned(), ExpiresAt: zoned().Add(time.Hour)}
	put := func(tx *store.Tx) error { return tx.PutEnrollment(e) }
	get := func(tx *store.Tx) (managedcluster.Enrollment, error) { return tx.Enrollment("Hash") }
	b.refused(fault.Internal, put) // no token without its cluster
	cluster := managedcluster.Cluster{ID: id, Tenant: b.tenant, Group: "rg", Name: "attached", Body: []byte(`{}`)}
	b.update(func(tx *store.Tx) error { return tx.PutCluster(cluster) })
	rev := b.update(put)
	has(b, get, e)
	for _, told := range b.events(rev) {
		if told.Kind != feed.Private {
			t.Errorf("told %v", told)
		}
	}
	lacks(b, func(tx *store.Tx) (managedcluster.Enrollment, error) { return tx.Enrollment("hash") }) // hashes have case
	b.refused(fault.Conflict, put)
	b.update(func(tx *store.Tx) error { return tx.DeleteEnrollment("Hash") })
	lacks(b, get)
	b.refused(fault.NotFound, func(tx *store.Tx) error { return tx.DeleteEnrollment("Hash") })

	b.update(put)
	b.update(func(tx *store.Tx) error { _, err := tx.DeleteExpired(e.ExpiresAt); return err })
	has(b, get, e)
	b.update(func(tx *store.Tx) error { _, err := tx.DeleteExpired(e.ExpiresAt.Add(time.Second)); return err })
	lacks(b, get)

	b.update(put)
	b.update(func(tx *store.Tx) error { return tx.DeleteCluster(id) })
	lacks(b, get)
}
