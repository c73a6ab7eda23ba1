package storetest

import (
	"bytes"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

func deployments(t *testing.T, b *bench) {
	s := b.subscription("s")
	b.update(func(tx *store.Tx) error { return tx.PutSubscription(s) })
	first := resource.Deployment{Subscription: s.ID, Group: "Rg", Name: "First", State: "Accepted", StartedAt: zoned(), Steps: []resource.DeploymentStep{{ID: "1"}}}
	changed := first
	changed.State = "Succeeded"
	second, above := first, first
	second.Name, second.StartedAt = "second", first.StartedAt.Add(time.Minute)
	above.Group = ""
	id := "/SUBSCRIPTIONS/" + s.ID.String() + "/resourcegroups/rg/providers/microsoft.resources/deployments/FIRST"
	get := func(tx *store.Tx) (resource.Deployment, error) { return tx.Deployment(id) }
	lacks(b, get)
	for _, d := range []resource.Deployment{first, second, above} {
		b.update(func(tx *store.Tx) error { return tx.PutDeployment(d) })
	}
	has(b, get, first)
	b.update(func(tx *store.Tx) error { return tx.PutDeploymentInput(id, []byte{0, 1, 255}) })
	b.update(func(tx *store.Tx) error { return tx.PutDeployment(changed) })
	has(b, get, changed)
	b.view(func(tx *store.Tx) error {
		in, err := tx.DeploymentInput(first.ID())
		if !bytes.Equal(in, []byte{0, 1, 255}) {
			t.Errorf("input %v", in)
		}
		return err
	})
	has(b, func(tx *store.Tx) ([]resource.Deployment, error) { return tx.Deployments(s.ID, "RG") }, []resource.Deployment{second, changed})
	has(b, func(tx *store.Tx) ([]resource.Deployment, error) { return tx.Deployments(s.ID, "") }, []resource.Deployment{above})
	b.update(func(tx *store.Tx) error { return tx.DeleteDeployment(id) })
	lacks(b, get)
}
