package containerservice

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/arm/armtest"
	locking "github.com/keyreeve/keyreeve/internal/arm/locks"
	"github.com/keyreeve/keyreeve/internal/arm/managedidentity"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

// nodeGroupRig has a cluster, and the room of identities and hosts besides.
func nodeGroupRig(t *testing.T) (r *rig, group string) {
	t.Helper()
	r = newRig(t)
	others := &managedidentity.Handler{DB: r.DB, Now: r.Clock.Now}
	others.Mount(r.Face)
	r.h.Contents = []arm.Contents{r.h, others}
	return r, nodeGroupScope(r.create(body(t, entra)))
}

// What others put into the node resource group goes with the cluster: none of it works on, or turns up in a later group of that name.
func TestNodeGroupGoesWithAllInIt(t *testing.T) {
	r, group := nodeGroupRig(t)
	host := group + "/providers/Keyreeve.Identity/hosts/vm-1"
	inner := group + "/providers/Microsoft.ContainerService/managedClusters/inner"
	r.Do("PUT", host, armtest.Owner, `{"location":"westus2","identity":{"type":"SystemAssigned"}}`).Want(201, "")
	r.ended(r.Do("PUT", inner, armtest.Owner, body(t, entra)).Want(201, ""), resource.Succeeded)
	c, _ := r.World.ClusterByResource(inner)
	var own ident.ObjectID
	err := r.DB.View(t.Context(), func(tx *store.Tx) error {
		h, err := tx.Host(host)
		own = h.Own.Principal
		return err
	})
	if _, ok := r.World.Principal(own); err != nil || !ok {
		t.Fatal("the host has no identity", err)
	}
	r.ended(r.Do("DELETE", path, armtest.Owner, "").Want(202, ""), resource.Succeeded)
	r.Do("GET", group, armtest.Owner, "").Want(404, "ResourceGroupNotFound")
	if _, ok := r.World.Principal(own); ok {
		t.Error("the host's identity is still there")
	}
	if _, ok := r.World.ClusterByResource(inner); ok {
		t.Error("the cluster in the node resource group is still there")
	}
	if _, ok := r.driver.want(c.ID); ok {
		t.Error("the cluster in the node resource group still runs")
	}
	if a := r.Do("GET", "/subscriptions/"+armtest.Sub+"/resources", armtest.Owner, ""); strings.Contains(a.Body, "/providers/") {
		t.Errorf("left: %s", a.Body)
	}
}

// Nobody takes the node resource group away from its cluster, and the cluster has no say in another group of its name.
func TestNodeGroupOfSomebodyElse(t *testing.T) {
	r, group := nodeGroupRig(t)
	r.Do("PATCH", group, armtest.Owner, `{"managedBy":""}`).Want(409, "ResourceGroupManagedByMismatch")
	r.Do("PUT", group, armtest.Owner, `{"location":"westus2","managedBy":"/me"}`).Want(409, "ResourceGroupManagedByMismatch")
	r.Do("PATCH", group, armtest.Owner, `{"tags":{"a":"b"}}`).Want(200, "")
	c := r.cluster()
	r.Update(func(tx *store.Tx) error { // as if it had been lost, and made anew
		g, err := tx.ResourceGroup(c.Subscription, c.NodeResourceGroup)
		g.ManagedBy = ""
		if err == nil {
			err = tx.DeleteAssignmentsBelow(group)
		}
		if err != nil {
			return err
		}
		return tx.PutResourceGroup(g)
	})
	r.Update(func(tx *store.Tx) error { return letManage(tx, c) })
	for _, g := range r.World.GrantsOf(c.ControlPlane.Object) {
		t.Errorf("the cluster has a role at %s", g.Assignment.Scope)
	}
	host := group + "/providers/Keyreeve.Identity/hosts/vm-1"
	r.Do("PUT", host, armtest.Owner, `{"location":"westus2"}`).Want(201, "")
	r.ended(r.Do("DELETE", path, armtest.Owner, "").Want(202, ""), resource.Succeeded)
	r.Do("GET", host, armtest.Owner, "").Want(200, "")
}

// A cluster that cannot be deleted keeps a node resource group that can be used.
func TestNodeGroupStaysUsable(t *testing.T) {
	r, group := nodeGroupRig(t)
	r.h.Contents = append(r.h.Contents, stubborn{r.h})
	r.ended(r.Do("DELETE", path, armtest.Owner, "").Want(202, ""), resource.Failed)
	r.Do("PATCH", group, armtest.Owner, `{"tags":{"a":"b"}}`).Want(200, "")
}

// A lock at the node resource group, or in it, keeps the cluster, whoever deletes it or its own group.
func TestLockedNodeGroup(t *testing.T) {
	r, group := nodeGroupRig(t)
	(&locking.Handler{DB: r.DB, Contents: r.h.Contents}).Mount(r.Face)
	lock := group + "/providers/Microsoft.Authorization/locks/keep"
	r.Do("PUT", lock, armtest.Owner, `{"properties":{"level":"CanNotDelete"}}`).Want(201, "")
	r.Do("DELETE", path, armtest.Owner, "").Want(409, "ScopeLocked")
	op := r.Ended(r.Do("DELETE", groupPath, armtest.Owner, "").Want(202, "").Header.Get("Location"))
	if op.Status != resource.Failed || op.ErrorCode != "ScopeLocked" {
		t.Errorf("deletion of the group: %s %s", op.Status, op.ErrorCode)
	}
	r.Do("DELETE", lock, armtest.Owner, "").Want(200, "")
	r.ended(r.Do("DELETE", path, armtest.Owner, "").Want(202, ""), resource.Succeeded)
}

// stubborn is a room that deletes nothing.
type stubborn struct{ *Handler }

func (stubborn) DeleteAll(context.Context, ident.SubscriptionID, string) error {
	return errors.New("not now")
}
