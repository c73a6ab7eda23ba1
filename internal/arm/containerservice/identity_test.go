package containerservice

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/arm/armtest"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

const operatorRole = "f1a07417-d97a-45cb-824c-7a7467783830" // Managed Identity Operator

// identity makes a user-assigned identity.
func (r *rig) identity(name string) resource.Identity {
	r.T.Helper()
	i := resource.Identity{
		Subscription: ident.MustParse[ident.SubscriptionID](armtest.Sub), Tenant: ident.MustParse[ident.TenantID](armtest.Tenant), Group: "Group-1",
		Name: name, Location: "westeurope", Principal: ident.New[ident.ObjectID](), Client: ident.New[ident.ClientID](), CreatedAt: r.Clock.Now(),
	}
	r.Update(func(tx *store.Tx) error { return tx.PutIdentity(i) })
	return i
}

// identified is a body that asks for identities; an empty id asks for none of that kind.
func identified(t *testing.T, controlPlane, kubelet string) string {
	t.Helper()
	props := `{}`
	if kubelet != "" {
		props = `{"identityProfile":{"kubeletidentity":{"resourceId":"` + kubelet + `"}}}`
	}
	var doc map[string]json.RawMessage
	if err := json.Unmarshal([]byte(body(t, props)), &doc); err != nil {
		t.Fatal(err)
	}
	doc["identity"] = json.RawMessage(`{"type":"SystemAssigned"}`)
	if controlPlane != "" {
		doc["identity"] = json.RawMessage(`{"type":"UserAssigned","userAssignedIdentities":{"` + controlPlane + `":{}}}`)
	}
	out, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func (r *rig) recreate(body string) managedcluster.Cluster {
	r.T.Helper()
	r.ended(r.Do("DELETE", path, armtest.Owner, "").Want(202, ""), resource.Succeeded)
	return r.create(body)
}

// reads reports whether a principal may read the group.
func (r *rig) reads(p ident.ObjectID) bool {
	return r.World.Decide(rbac.Request{Principal: p, Action: "Microsoft.Resources/subscriptions/resourceGroups/read", Scope: groupPath}).Verdict == rbac.Allow
}

// TestIdentityWhenRecreated is the table of docs/walkthroughs: a user-assigned identity keeps its role assignments when its
// cluster is made anew, a system-assigned one ends with its cluster.
func TestIdentityWhenRecreated(t *testing.T) {
	r := newRig(t)
	own := r.identity("production")
	for _, row := range []struct {
		name, identity string
		keeps          bool
	}{
		{"system-assigned", "", false},
		{"user-assigned", own.ID(), true},
	} {
		t.Run(row.name, func(t *testing.T) {
			first := r.create(identified(t, row.identity, ""))
			r.Grant(first.ControlPlane.Object.String(), rbac.PrincipalServicePrincipal, armtest.ReaderRole, groupPath)
			if !r.reads(first.ControlPlane.Object) {
				t.Fatal("the role does not count")
			}
			next := r.recreate(identified(t, row.identity, ""))
			if got := r.reads(next.ControlPlane.Object); got != row.keeps {
				t.Errorf("the new cluster's identity has the role: %v, want %v", got, row.keeps)
			}
			if got := next.ControlPlane.Object == first.ControlPlane.Object; got != row.keeps {
				t.Errorf("the identity is the same: %v, want %v", got, row.keeps)
			}
			if _, there := r.World.Principal(first.ControlPlane.Object); there != row.keeps {
				t.Errorf("the first identity is there: %v, want %v", there, row.keeps)
			}
			if next.Kubelet.Object == first.Kubelet.Object {
				t.Error("the nodes' own identity outlived its cluster")
			}
			r.ended(r.Do("DELETE", path, armtest.Owner, "").Want(202, ""), resource.Succeeded)
		})
	}
	if _, there := r.World.Principal(own.Principal); !there {
		t.Error("a user-assigned identity went with a cluster")
	}
}

// TestIdentityBody: what clients read of a cluster's identities, also after they sent the body back.
func TestIdentityBody(t *testing.T) {
	r := newRig(t)
	own, nodes := r.identity("control"), r.identity("nodes")
	r.Grant(own.Principal.String(), rbac.PrincipalServicePrincipal, operatorRole, nodes.ID())
	r.create(identified(t, own.ID(), nodes.ID()))
	check := func() string {
		t.Helper()
		a := r.Do("GET", path, armtest.Owner, "").Want(200, "")
		var got struct {
			Identity struct {
				Type, PrincipalID      string
				UserAssignedIdentities map[string]struct{ ClientID, PrincipalID string }
			}
			Properties struct {
				IdentityProfile map[string]struct{ ResourceID, ClientID, ObjectID string }
			}
		}
		a.JSON(&got)
		if u := got.Identity.UserAssignedIdentities[own.ID()]; got.Identity.Type != "UserAssigned" || got.Identity.PrincipalID != "" ||
			u.ClientID != own.Client.String() || u.PrincipalID != own.Principal.String() {
			t.Errorf("%+v", got.Identity)
		}
		if k := got.Properties.IdentityProfile["kubeletidentity"]; k.ResourceID != nodes.ID() || k.ClientID != nodes.Client.String() || k.ObjectID != nodes.Principal.String() {
			t.Errorf("%+v", k)
		}
		return a.Body
	}
	sent := check()
	r.ended(r.Do("PUT", path, armtest.Owner, sent).Want(200, ""), resource.Succeeded)
	check()
	// Who may write clusters and not assign identities may still write this one.
	r.ended(r.Do("PUT", path, armtest.Owner, strings.ReplaceAll(sent, own.ID(), strings.ToUpper(own.ID()))).Want(200, ""), resource.Succeeded)
}

// TestIdentityChanges: from the cluster's own to a user-assigned one, to another, and back.
func TestIdentityChanges(t *testing.T) {
	r := newRig(t)
	one, two := r.identity("one"), r.identity("two")
	c := r.create(identified(t, "", ""))
	system := c.ControlPlane.Object
	manages := func(p ident.ObjectID) bool {
		return r.World.Decide(rbac.Request{Principal: p, Action: "Microsoft.Network/loadBalancers/write", Scope: nodeGroupScope(c)}).Verdict == rbac.Allow
	}
	if !manages(system) {
		t.Error("the control plane's identity may not manage the node resource group")
	}
	for _, step := range []struct {
		to   string
		want ident.ObjectID
	}{{one.ID(), one.Principal}, {two.ID(), two.Principal}} {
		r.ended(r.Do("PUT", path, armtest.Owner, identified(t, step.to, "")).Want(200, ""), resource.Succeeded)
		if c = r.cluster(); c.ControlPlane.Object != step.want || !manages(step.want) {
			t.Errorf("the identity is %v, and manages its nodes: %v", c.ControlPlane, manages(step.want))
		}
	}
	if _, there := r.World.Principal(system); there || manages(one.Principal) {
		t.Error("an identity that was taken from the cluster still counts for it")
	}
	r.ended(r.Do("PUT", path, armtest.Owner, identified(t, "", "")).Want(200, ""), resource.Succeeded)
	if c = r.cluster(); !c.ControlPlane.System() || c.ControlPlane.Object == system || manages(two.Principal) || !manages(c.ControlPlane.Object) {
		t.Errorf("%+v", c.ControlPlane)
	}
}

// TestIdentityRights: what the caller and the control plane need to give identities to a cluster.
func TestIdentityRights(t *testing.T) {
	r := newRig(t)
	own, nodes := r.identity("control"), r.identity("nodes")
	const contributor = "ed7f3fbd-7b88-4dd4-9017-9adb7ce333f8" // Azure Kubernetes Service Contributor Role
	r.Grant(armtest.Nobody, rbac.PrincipalUser, contributor, groupPath)
	put := func(as, controlPlane, kubelet string) armtest.Answer {
		return r.Do("PUT", path, as, identified(t, controlPlane, kubelet))
	}

	a := put(armtest.Nobody, own.ID(), "").Want(403, "LinkedAuthorizationFailed")
	if !strings.Contains(a.Message(), resource.AssignIdentity) || !strings.Contains(a.Message(), own.ID()) {
		t.Error(a.Message())
	}
	r.Grant(armtest.Nobody, rbac.PrincipalUser, operatorRole, own.ID())
	put(armtest.Nobody, own.ID(), nodes.ID()).Want(403, "LinkedAuthorizationFailed")
	r.Grant(armtest.Nobody, rbac.PrincipalUser, operatorRole, nodes.ID())
	put(armtest.Nobody, own.ID(), nodes.ID()).Want(400, "CustomKubeletIdentityMissingPermissionError")
	put(armtest.Owner, "", nodes.ID()).Want(400, "CustomKubeletIdentityOnlySupportedOnUserAssignedMSICluster")
	put(armtest.Owner, own.ID()+"-gone", "").Want(400, "FailedIdentityOperation")
	if _, there := r.World.ClusterByResource(path); there {
		t.Fatal("a refused request made a cluster")
	}
	r.Grant(own.Principal.String(), rbac.PrincipalServicePrincipal, operatorRole, nodes.ID())
	r.ended(put(armtest.Nobody, own.ID(), nodes.ID()).Want(201, ""), resource.Succeeded)
	put(armtest.Owner, "", "").Want(400, "CustomKubeletIdentityOnlySupportedOnUserAssignedMSICluster")
	// Another control plane identity must be able to assign the nodes' as well.
	other := r.identity("other")
	put(armtest.Owner, other.ID(), nodes.ID()).Want(400, "CustomKubeletIdentityMissingPermissionError")
}
