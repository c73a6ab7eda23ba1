package arm_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/arm/armtest"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

const mineGroup = "/subscriptions/" + armtest.Sub + "/resourceGroups/mine-rg"

// mine puts a group of the same contents beside that of everyRoute; there-… carries things that lists could let slip.
func mine(r *armtest.Rig) {
	tenant := ident.MustParse[ident.TenantID](armtest.Tenant)
	sub := ident.MustParse[ident.SubscriptionID](armtest.Sub)
	r.Update(func(tx *store.Tx) error {
		there, err := tx.ResourceGroup(sub, "there-rg")
		if err != nil {
			return err
		}
		there.Tags = map[string]string{"there-tag": "there-value"}
		azure := true
		identity := resource.Identity{
			Subscription: sub, Tenant: tenant, Group: "mine-rg", Name: "mine-c", Location: "eastus", Principal: ident.New[ident.ObjectID](), Client: ident.New[ident.ClientID](),
		}
		host := resource.Host{
			Subscription: sub, Tenant: tenant, Group: "there-rg", Name: "there-host", Location: "eastus", Tags: map[string]string{"there-tag": "there-value"},
			Assigned: []resource.AssignedIdentity{{ID: identity.ID(), Principal: identity.Principal}},
		}
		for _, put := range []func() error{
			func() error { return tx.PutResourceGroup(there) },
			func() error {
				return tx.PutResourceGroup(resource.Group{Subscription: sub, Name: "mine-rg", Location: "eastus", State: arm.StateSucceeded})
			},
			func() error { return tx.PutIdentity(identity) },
			func() error { return tx.PutHost(host) },
			func() error {
				return tx.PutHost(resource.Host{Subscription: sub, Tenant: tenant, Group: "mine-rg", Name: "mine-c", Location: "eastus"})
			},
			func() error {
				return tx.PutCluster(managedcluster.Cluster{
					ID: ident.New[ident.ClusterID](), Subscription: sub, Tenant: tenant, Group: "mine-rg", Name: "mine-c", Location: "eastus", ProvisioningState: managedcluster.Succeeded,
					AAD: &managedcluster.AAD{Managed: true, Tenant: tenant, EnableAzureRBAC: &azure}, Body: []byte(`{"properties":{}}`),
				})
			},
			func() error {
				return tx.PutLock(resource.Lock{Subscription: sub, Scope: "/" + thereGroup, Name: "there-lock", Level: resource.CanNotDelete, CreatedAt: r.Clock.Now()})
			},
			func() error {
				return tx.PutAssignment(armtest.Assignment(armtest.App, rbac.PrincipalServicePrincipal, armtest.ReaderRole, "/"+thereCluster))
			},
			func() error {
				return tx.PutDeployment(resource.Deployment{Subscription: sub, Group: "there-rg", Name: "there-d", State: "Succeeded", StartedAt: r.Clock.Now(), EndedAt: r.Clock.Now()})
			},
			func() error {
				return tx.PutDeployment(resource.Deployment{Subscription: sub, Name: "there-s", Location: "eastus", State: "Succeeded", StartedAt: r.Clock.Now(), EndedAt: r.Clock.Now()})
			},
			func() error {
				return tx.PutActivity(audit.Activity{ID: ident.New[ident.GUID](), Status: "Succeeded", At: r.Clock.Now(), Tenant: tenant, Subscription: sub, Resource: "/" + thereCluster, Action: managedcluster.Type + "/write"})
			},
		} {
			if err := put(); err != nil {
				return err
			}
		}
		return nil
	})
}

// Who may read one resource group learns from no route what there is in another one, nor who has access there. Every route of the
// face is asked, for the group, for the group beside it and for what is above both.
func TestReaderOfOneGroup(t *testing.T) {
	for _, role := range []struct{ name, id string }{{"Reader", armtest.ReaderRole}, {"Owner", armtest.OwnerRole}} {
		t.Run(role.name, func(t *testing.T) {
			r := everyRoute(t)
			mine(r)
			r.Grant(armtest.Nobody, rbac.PrincipalUser, role.id, mineGroup)
			asked, shown := 0, 0
			for _, route := range r.Face.Routes() {
				if route.Public || role.id == armtest.OwnerRole && route.Method == http.MethodDelete {
					continue // an owner deletes; what is gone shows nothing
				}
				scopes := []string{"", strings.TrimPrefix(mineGroup, "/"), "subscriptions/" + armtest.Sub, "providers/Microsoft.Management/managementGroups/" + armtest.Tenant, thereGroup, thereCluster}
				for _, scope := range scopes {
					path := strings.ReplaceAll(routePath(route.Pattern, scope), "//", "/")
					for _, p := range []string{path, strings.ReplaceAll(path, "there-", "mine-")} {
						for _, query := range []string{"", "&$expand=children&$recurse=true", "&$filter=atScope()", "&$filter=eventTimestamp+ge+'2020-01-01T00:00:00Z'"} {
							asked++
							a := r.Do(route.Method, p+"?api-version=2022-04-01"+query, armtest.Nobody, `{"location":"eastus"}`)
							told := a.Body
							for _, own := range []string{p, strings.ToLower(p)} {
								told = strings.ReplaceAll(told, own, "")
							}
							if strings.Contains(p, "there-") {
								if a.Status < 300 && !strings.HasSuffix(route.Pattern, "/permissions") {
									t.Errorf("%s %s%s: %d %.300s", route.Method, p, query, a.Status, a.Body)
								}
								continue // a refusal repeats what was asked for
							}
							if strings.Contains(strings.ToLower(told), "there-") || strings.Contains(told, armtest.App) {
								t.Errorf("%s %s%s tells of another group: %d %.600s", route.Method, p, query, a.Status, told)
							}
							if strings.Contains(told, "mine-c") {
								shown++
							}
						}
					}
					if !strings.Contains(route.Pattern, "{scope...}") {
						break
					}
				}
			}
			if asked < 500 || shown < 10 {
				t.Errorf("%d questions, %d answers tell of what is theirs", asked, shown)
			}
		})
	}
}

// Who may read a whole subscription, but is denied one group of it, finds in no list what there is in that group.
func TestListsWithoutWhatIsDenied(t *testing.T) {
	r := everyRoute(t)
	mine(r)
	r.Update(func(tx *store.Tx) error {
		return tx.PutDenyAssignment(rbac.DenyAssignment{
			ID: ident.New[ident.DenyAssignmentID](), Tenant: ident.MustParse[ident.TenantID](armtest.Tenant), Name: "deny", Scope: "/" + thereGroup,
			Permissions: []rbac.Permission{{Actions: []string{"*"}}}, Principals: []rbac.DenyPrincipal{{ID: ident.MustParse[ident.ObjectID](armtest.Reader), Type: rbac.PrincipalUser}},
		})
	})
	for _, list := range []string{
		"/resources", "/resourceGroups", "/tagNames", "/providers/Microsoft.ContainerService/managedClusters",
		"/providers/Microsoft.ManagedIdentity/userAssignedIdentities", "/providers/Keyreeve.Identity/hosts",
	} {
		a := r.Do(http.MethodGet, "/subscriptions/"+armtest.Sub+list, armtest.Reader, "")
		if a.Status != http.StatusOK || strings.Contains(a.Body, "there-") || list != "/tagNames" && !strings.Contains(a.Body, "mine-") {
			t.Errorf("%s: %d %s", list, a.Status, a.Body)
		}
	}
}
