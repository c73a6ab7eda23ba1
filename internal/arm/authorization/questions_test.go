package authorization_test

import (
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/arm/armtest"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/store"
)

// What would grant: the smallest role first, and groups, for those who may read assignments. A deny assignment is named.
func TestExplainWhatWouldGrant(t *testing.T) {
	r := accessRig(t)
	var e struct {
		Decision, Reason string
		WouldGrant       []string
		WouldGrantGroups []struct{ DisplayName string }
		DenyAssignment   *struct {
			Properties struct{ DenyAssignmentName string }
		}
	}
	about := func(who, as string) {
		t.Helper()
		e.WouldGrantGroups, e.DenyAssignment = nil, nil
		r.Do("POST", cluster+"/keyreeveExplain", as, `{"user":"`+who+`","verb":"list","resource":"pods","namespace":"dev"}`).Want(200, "").JSON(&e)
	}
	about(armtest.App, armtest.Owner)
	if e.Decision != "deny" || len(e.WouldGrant) != 4 || e.WouldGrant[0] != "Azure Kubernetes Service RBAC Reader" || e.WouldGrant[3] != "Azure Kubernetes Service RBAC Cluster Admin" {
		t.Errorf("%+v", e)
	}
	if len(e.WouldGrantGroups) != 1 || e.WouldGrantGroups[0].DisplayName != "group" {
		t.Errorf("groups: %+v", e.WouldGrantGroups)
	}
	r.Grant(armtest.App, rbac.PrincipalServicePrincipal, kubeReader, cluster+"/namespaces/other")
	about(armtest.App, armtest.App) // oneself learns nothing of groups
	if e.Decision != "deny" || len(e.WouldGrantGroups) != 0 {
		t.Errorf("%+v", e)
	}
	r.Do("PUT", cluster+denials+"/"+guid(1), armtest.Owner, deny("no pods", `{"dataActions":["*/pods/read"]}`, []string{armtest.Group}, nil)).Want(201, "")
	about(armtest.Nobody, armtest.Owner)
	if e.Decision != "deny" || e.DenyAssignment == nil || e.DenyAssignment.Properties.DenyAssignmentName != "no pods" || e.Reason != "denied by deny assignment no pods" || len(e.WouldGrant)+len(e.WouldGrantGroups) != 0 {
		t.Errorf("%+v", e)
	}
	r.Update(func(tx *store.Tx) error {
		p, err := tx.ServicePrincipal(ident.MustParse[ident.ObjectID](armtest.App))
		if err != nil {
			return err
		}
		p.AccountEnabled = false
		return tx.PutServicePrincipal(p)
	})
	if about(armtest.App, armtest.Owner); e.Decision != "deny" || e.Reason != "the account is disabled" || len(e.WouldGrant)+len(e.WouldGrantGroups) != 0 {
		t.Errorf("no role helps who is disabled: %+v", e)
	}
	var access struct {
		Denied []struct {
			Properties struct{ DenyAssignmentName string }
		}
	}
	r.Do("POST", cluster+"/keyreeveAccess", armtest.Owner, `{"user":"`+armtest.Nobody+`"}`).Want(200, "").JSON(&access)
	if len(access.Denied) != 1 || access.Denied[0].Properties.DenyAssignmentName != "no pods" {
		t.Errorf("%+v", access)
	}
}

// What somebody may do to machines, fleets and other people's clusters is no access to this one.
func TestAccessIsOfTheCluster(t *testing.T) {
	r := accessRig(t)
	const machines, fleet = "fb879df8-f326-4884-b1cf-06f3ad86be52", "18ab4d3d-a1bf-4477-8ad9-8359bc988f69" // Virtual Machine User Login, Fleet Manager RBAC Cluster Admin
	for _, role := range []string{machines, fleet} {
		r.Grant(armtest.App, rbac.PrincipalServicePrincipal, role, cluster)
	}
	var got struct{ Access []wayAnswer }
	if r.Do("POST", cluster+"/keyreeveAccess", armtest.Owner, `{"user":"`+armtest.App+`"}`).Want(200, "").JSON(&got); len(got.Access) != 0 {
		t.Errorf("%+v", got)
	}
}

func TestAccessInTwoClusters(t *testing.T) {
	r := accessRig(t)
	on := true
	tenant := ident.MustParse[ident.TenantID](armtest.Tenant)
	r.Update(func(tx *store.Tx) error {
		return tx.PutCluster(managedcluster.Cluster{
			ID: ident.New[ident.ClusterID](), Subscription: ident.MustParse[ident.SubscriptionID](armtest.Sub), Tenant: tenant, Group: "rg1", Name: "c2", Body: []byte(`{}`),
			AAD: &managedcluster.AAD{Managed: true, Tenant: tenant, EnableAzureRBAC: &on},
		})
	})
	other := rg + "/providers/Microsoft.ContainerService/managedClusters/c2"
	r.Grant(armtest.Nobody, rbac.PrincipalUser, kubeWriter, other)
	var got struct {
		OtherCluster    string
		Only, OnlyOther []wayAnswer
	}
	ask := `{"user":"` + armtest.Nobody + `","compareWithCluster":"` + other + `"}`
	r.Do("POST", cluster+"/keyreeveAccess", armtest.Owner, ask).Want(200, "").JSON(&got)
	if !strings.EqualFold(got.OtherCluster, other) || len(got.Only) != 1 || got.Only[0].Role != "Azure Kubernetes Service RBAC Reader" || len(got.OnlyOther) != 1 || got.OnlyOther[0].Role != "Azure Kubernetes Service RBAC Writer" {
		t.Errorf("%+v", got)
	}
	r.Do("POST", cluster+"/keyreeveAccess", armtest.Nobody, ask).Want(200, "") // oneself
	// Who may ask here and not there does not.
	r.Grant(armtest.App, rbac.PrincipalServicePrincipal, armtest.ReaderRole, cluster)
	r.Do("POST", cluster+"/keyreeveAccess", armtest.App, ask).Want(403, "AuthorizationFailed")
	r.Do("POST", cluster+"/keyreeveAccess", armtest.Owner, `{"user":"`+armtest.Nobody+`","compareWithCluster":"`+rg+`/providers/Microsoft.ContainerService/managedClusters/none"}`).Want(404, "ResourceNotFound")
}
