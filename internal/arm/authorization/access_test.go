package authorization_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/arm/armtest"
	"github.com/keyreeve/keyreeve/internal/arm/authorization"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

const (
	kubeReader = "7f6c6a51-bcf8-42ba-9220-52d62157d7db"
	kubeWriter = "a7ffa36f-339b-4b5c-8bdf-e2c188b2c0eb"
)

// accessRig has cluster c1 with Azure roles on: the group reads namespace dev, Reader writes the cluster, and a binding lets
// Nobody list nodes.
func accessRig(t *testing.T) *armtest.Rig {
	r := armtest.New(t)
	known := true
	e := rbac.NewClusterRBAC().Edit()
	e.PutRole(&rbac.KubeRole{Name: "nodes", Rules: []rbac.PolicyRule{{Verbs: []string{"list"}, APIGroups: []string{""}, Resources: []string{"nodes"}}}})
	e.PutBinding(&rbac.Binding{Name: "b", RoleRef: rbac.RoleRef{Kind: rbac.KindClusterRole, Name: "nodes"}, Subjects: []rbac.Subject{{Kind: rbac.KindUser, Name: "nobody@contoso.test"}}})
	own := e.Done()
	(&authorization.Handler{DB: r.DB, World: r.World, Contents: []arm.Contents{oneCluster{}}, Own: func(ident.ClusterID) *rbac.ClusterRBAC {
		if known {
			return own
		}
		return nil
	}}).Mount(r.Face)
	on := true
	tenant := ident.MustParse[ident.TenantID](armtest.Tenant)
	r.Update(func(tx *store.Tx) error {
		subID := ident.MustParse[ident.SubscriptionID](armtest.Sub)
		if err := tx.PutResourceGroup(resource.Group{Subscription: subID, Name: "rg1", Location: "eastus", State: arm.StateSucceeded}); err != nil {
			return err
		}
		return tx.PutCluster(managedcluster.Cluster{
			ID: ident.New[ident.ClusterID](), Subscription: subID, Tenant: tenant, Group: "rg1", Name: "c1", Body: []byte(`{}`),
			AAD: &managedcluster.AAD{Managed: true, Tenant: tenant, EnableAzureRBAC: &on},
		})
	})
	r.Grant(armtest.Group, rbac.PrincipalGroup, kubeReader, cluster+"/namespaces/dev")
	r.Grant(armtest.Reader, rbac.PrincipalUser, kubeWriter, cluster)
	return r
}

type wayAnswer struct {
	Kind, Role, Scope, Binding string
	Via                        []struct{ DisplayName string }
	Namespace                  string
}

type explained struct {
	Decision, Reason, Scope string
	Principal               struct{ Name string }
	Actions, WouldGrant     []string
	Paths                   []wayAnswer
	Revision                int64
}

func TestExplain(t *testing.T) {
	r := accessRig(t)
	for _, c := range []struct {
		as, body, decision, path, would string
	}{
		{armtest.Nobody, `{"verb":"get","resource":"pods","subresource":"log","namespace":"dev"}`, "allow", "roleAssignment Azure Kubernetes Service RBAC Reader via group", ""},
		{armtest.Nobody, `{"verb":"get","resource":"secrets","namespace":"dev"}`, "deny", "", "Azure Kubernetes Service RBAC Admin, Azure Kubernetes Service RBAC Cluster Admin, Azure Kubernetes Service RBAC Writer"},
		{armtest.Nobody, `{"verb":"list","resource":"nodes"}`, "allow", "kubernetesBinding ClusterRole/nodes", ""},
		{armtest.Nobody, `{"verb":"get","path":"/metrics"}`, "deny", "", "Azure Kubernetes Service RBAC Admin, Azure Kubernetes Service RBAC Cluster Admin"},
		{armtest.Owner, `{"user":"nobody@contoso.test","verb":"get","resource":"pods","namespace":"dev"}`, "allow", "roleAssignment Azure Kubernetes Service RBAC Reader via group", ""},
		{armtest.Owner, `{"user":"` + armtest.Reader + `","verb":"create","resource":"pods","subresource":"exec","namespace":"x"}`, "allow", "roleAssignment Azure Kubernetes Service RBAC Writer", ""},
		{armtest.Owner, `{"user":"nobody@contoso.test","verb":"get","resource":"pods","namespace":"../dev"}`, "deny", "", ""},
	} {
		var got explained
		r.Do("POST", cluster+"/keyreeveExplain", c.as, c.body).Want(200, "").JSON(&got)
		var paths []string
		for _, p := range got.Paths {
			s := p.Kind + " " + p.Role
			for _, g := range p.Via {
				s += " via " + g.DisplayName
			}
			paths = append(paths, s)
		}
		slices.Sort(got.WouldGrant)
		if got.Decision != c.decision || strings.Join(paths, "; ") != c.path || strings.Join(got.WouldGrant, ", ") != c.would || got.Revision == 0 {
			t.Errorf("%s: %+v, paths %v", c.body, got, paths)
		}
	}
}

func TestAccessQuestionsRefused(t *testing.T) {
	r := accessRig(t)
	const ok = `{"verb":"get","resource":"pods"}`
	for name, c := range map[string]struct {
		as, path, body string
		status         int
		code           string
	}{
		"about another":             {armtest.Nobody, cluster + "/keyreeveExplain", `{"user":"owner@contoso.test","verb":"get","resource":"pods"}`, 403, "AuthorizationFailed"},
		"about one who is not":      {armtest.Nobody, cluster + "/keyreeveExplain", `{"user":"ghost@contoso.test","verb":"get","resource":"pods"}`, 403, "AuthorizationFailed"},
		"one who is not":            {armtest.Owner, cluster + "/keyreeveExplain", `{"user":"ghost@contoso.test","verb":"get","resource":"pods"}`, 400, "PrincipalNotFound"},
		"of another tenant":         {armtest.Owner, cluster + "/keyreeveExplain", `{"user":"stranger@fabrikam.test","verb":"get","resource":"pods"}`, 400, "PrincipalNotFound"},
		"by another tenant":         {armtest.Stranger, cluster + "/keyreeveExplain", ok, 401, "InvalidAuthenticationTokenTenant"},
		"who can, without right":    {armtest.Nobody, cluster + "/keyreeveWhoCan", ok, 403, "AuthorizationFailed"},
		"access, without right":     {armtest.Nobody, cluster + "/keyreeveAccess", `{"user":"owner@contoso.test"}`, 403, "AuthorizationFailed"},
		"compare, without right":    {armtest.Nobody, cluster + "/keyreeveAccess", `{"compareWith":"owner@contoso.test"}`, 403, "AuthorizationFailed"},
		"no cluster":                {armtest.Owner, rg + "/providers/Microsoft.ContainerService/managedClusters/c2/keyreeveExplain", ok, 404, "ResourceNotFound"},
		"no verb":                   {armtest.Owner, cluster + "/keyreeveExplain", `{"resource":"pods"}`, 400, "InvalidParameter"},
		"no resource":               {armtest.Owner, cluster + "/keyreeveExplain", `{"verb":"get"}`, 400, "InvalidParameter"},
		"path and resource":         {armtest.Owner, cluster + "/keyreeveExplain", `{"verb":"get","resource":"pods","path":"/x"}`, 400, "InvalidParameter"},
		"path and namespace":        {armtest.Owner, cluster + "/keyreeveWhoCan", `{"verb":"get","path":"/x","namespace":"dev"}`, 400, "InvalidParameter"},
		"nobody":                    {"", cluster + "/keyreeveExplain", ok, 401, "AuthenticationFailed"},
		"read is not a method here": {armtest.Owner, cluster + "/keyreeveNothing", ok, 404, "InvalidResourceType"},
	} {
		t.Run(name, func(t *testing.T) { r.Do("POST", c.path, c.as, c.body).Want(c.status, c.code) })
	}
}

// TestWhoCanAgrees asks who can, explains for everybody, and decides: all three say the same.
func TestWhoCanAgrees(t *testing.T) {
	r := accessRig(t)
	everybody := []string{armtest.Owner, armtest.Nobody, armtest.Reader, armtest.App}
	for _, ask := range []string{
		`"verb":"get","resource":"pods","namespace":"dev"`, `"verb":"get","resource":"pods"`, `"verb":"list","resource":"nodes"`,
		`"verb":"create","resource":"pods","subresource":"exec","namespace":"prod"`, `"verb":"get","path":"/metrics"`,
		`"verb":"delete","group":"example.com","resource":"widgets"`,
	} {
		var who struct {
			Principals []struct {
				ID    string
				Paths []wayAnswer
			}
			Complete bool
		}
		r.Do("POST", cluster+"/keyreeveWhoCan", armtest.Owner, "{"+ask+"}").Want(200, "").JSON(&who)
		if !who.Complete {
			t.Errorf("%s: not complete", ask)
		}
		for _, id := range everybody {
			var one explained
			r.Do("POST", cluster+"/keyreeveExplain", armtest.Owner, fmt.Sprintf(`{"user":%q,%s}`, id, ask)).Want(200, "").JSON(&one)
			listed := false
			for _, p := range who.Principals {
				listed = listed || p.ID == id && len(p.Paths) == len(one.Paths)
			}
			if listed != (one.Decision == "allow") {
				t.Errorf("%s, %s: who-can says %v, explain %+v", ask, id, listed, one)
			}
		}
	}
}

func TestAccess(t *testing.T) {
	r := accessRig(t)
	var got struct {
		Access, Only, OnlyOther []wayAnswer
		Complete, Enabled       bool
	}
	r.Do("POST", cluster+"/keyreeveAccess", armtest.Owner, `{"user":"nobody@contoso.test","compareWith":"reader@contoso.test"}`).Want(200, "").JSON(&got)
	short := func(list []wayAnswer) string {
		var out []string
		for _, w := range list {
			out = append(out, w.Kind+" "+w.Role+" in "+w.Namespace)
		}
		return strings.Join(out, "; ")
	}
	const mine = "kubernetesBinding ClusterRole/nodes in ; roleAssignment Azure Kubernetes Service RBAC Reader in dev"
	if short(got.Access) != mine || short(got.Only) != mine || short(got.OnlyOther) != "roleAssignment Azure Kubernetes Service RBAC Writer in " || !got.Complete || !got.Enabled {
		t.Errorf("%+v", got)
	}
}

func TestAssignmentWithCondition(t *testing.T) {
	r := newRig(t)
	const c = `!(ActionMatches{'Microsoft.ContainerService/managedClusters/customresources/read'}) OR @Request[Microsoft.ContainerService/managedClusters/customResources:group] StringEquals 'example.com'`
	a := r.Do("PUT", cluster+assignments+"/"+guid(1), armtest.Owner, give(kubeReader, armtest.App, `,"condition":"`+c+`","conditionVersion":"2.0"`)).Want(201, "")
	var body struct {
		Properties struct{ Condition, ConditionVersion string }
	}
	a.JSON(&body)
	if body.Properties.Condition != c || body.Properties.ConditionVersion != "2.0" {
		t.Errorf("%+v", body)
	}
	g := r.World.GrantsOf(ident.MustParse[ident.ObjectID](armtest.App))
	if len(g) != 1 || g[0].Void() || g[0].Assignment.Condition != c {
		t.Errorf("%+v", g)
	}
}
