package storetest

import (
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

func identityCases() []methodCase {
	return []methodCase{
		{"identities", "PutIdentity Identity Identities DeleteIdentity DeleteManagedPrincipal", identities},
		{"hosts", "PutHost Host HostBySecret Hosts DeleteHost", hosts},
	}
}

// identities come and go with their principals and credentials.
func identities(t *testing.T, b *bench) {
	i := resource.Identity{
		Subscription: subscriptionID("s"), Tenant: b.tenant, Group: "RG", Name: "Web", Location: "eastus",
		Principal: oid("web"), Client: ident.Derive[ident.ClientID]("storetest", "web"), CreatedAt: zoned(),
	}
	foreign := i
	foreign.Subscription, foreign.Principal, foreign.Client = subscriptionID("other"), oid("far"), ident.Derive[ident.ClientID]("storetest", "far")
	rev := b.update(func(tx *store.Tx) error { return firstError(tx.PutIdentity(i), tx.PutIdentity(foreign)) })
	b.told(rev, "put servicePrincipal "+i.Principal.String(), "put servicePrincipal "+foreign.Principal.String())
	has(b, func(tx *store.Tx) ([]resource.Identity, error) { return tx.Identities(i.Subscription) }, []resource.Identity{i})
	i.Tags = map[string]string{"a": "b"}
	b.update(func(tx *store.Tx) error { return tx.PutIdentity(i) })
	has(b, func(tx *store.Tx) ([]resource.Identity, error) {
		got, err := tx.Identity(strings.ToUpper(i.ID()))
		return []resource.Identity{got}, err
	}, []resource.Identity{i})
	b.view(func(tx *store.Tx) error {
		p, err := tx.ServicePrincipal(i.Principal)
		if p.Type != directory.TypeManagedIdentity || p.AppID != i.Client || len(p.AlternativeNames) != 2 {
			t.Errorf("%+v", p)
		}
		return err
	})
	b.update(func(tx *store.Tx) error {
		return tx.PutFederatedCredential(proof.FederatedCredential{
			ID: oid("trust"), Owner: i.Principal, Tenant: b.tenant, AppID: i.Client, Name: "n", Issuer: "https://i.test", Subject: "s", Audiences: []string{"a"},
		})
	})
	rev = b.update(func(tx *store.Tx) error { return tx.DeleteIdentity(i) })
	b.told(rev, "delete servicePrincipal "+i.Principal.String())
	b.view(func(tx *store.Tx) error {
		left, err := tx.FederatedCredentialsOf(i.Principal)
		if len(left) != 0 {
			t.Error("credentials outlived their identity")
		}
		return err
	})
	b.refused(fault.NotFound, func(tx *store.Tx) error { return tx.DeleteIdentity(i) })
	b.refused(fault.NotFound, func(tx *store.Tx) error { _, err := tx.Identity(i.ID()); return err })
	rev = b.update(func(tx *store.Tx) error { return tx.DeleteManagedPrincipal(foreign.Principal) })
	b.told(rev, "delete servicePrincipal "+foreign.Principal.String())
	b.update(func(tx *store.Tx) error { return tx.DeleteManagedPrincipal(foreign.Principal) })
}

// hosts are found by the hash of their secret; one without a secret is found by none.
func hosts(t *testing.T, b *bench) {
	h := resource.Host{
		Subscription: subscriptionID("s"), Tenant: b.tenant, Group: "RG", Name: "Runner", Location: "eastus", CreatedAt: zoned(),
		Tags: map[string]string{"a": "b"}, Assigned: []resource.AssignedIdentity{{ID: "/a", Principal: oid("p")}},
	}
	b.update(func(tx *store.Tx) error { return tx.PutHost(h) })
	b.refused(fault.NotFound, func(tx *store.Tx) error { _, err := tx.HostBySecret(""); return err })
	h.Secret = proof.HashToken("secret")
	b.update(func(tx *store.Tx) error { return tx.PutHost(h) })
	has(b, func(tx *store.Tx) ([]resource.Host, error) { return tx.Hosts(h.Subscription) }, []resource.Host{h})
	for _, get := range []func(tx *store.Tx) (resource.Host, error){
		func(tx *store.Tx) (resource.Host, error) { return tx.Host(strings.ToUpper(h.ID())) },
		func(tx *store.Tx) (resource.Host, error) { return tx.HostBySecret(h.Secret) },
	} {
		has(b, func(tx *store.Tx) ([]resource.Host, error) {
			got, err := get(tx)
			return []resource.Host{got}, err
		}, []resource.Host{h})
	}
	b.update(func(tx *store.Tx) error { return tx.DeleteHost(strings.ToUpper(h.ID())) })
	b.refused(fault.NotFound, func(tx *store.Tx) error { return tx.DeleteHost(h.ID()) })
	b.refused(fault.NotFound, func(tx *store.Tx) error { _, err := tx.HostBySecret(h.Secret); return err })
}
