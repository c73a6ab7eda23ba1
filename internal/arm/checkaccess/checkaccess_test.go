package checkaccess_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/arm/armtest"
	"github.com/keyreeve/keyreeve/internal/arm/checkaccess"
	"github.com/keyreeve/keyreeve/internal/caller"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/store"
)

const (
	sub        = "/subscriptions/" + armtest.Sub
	cluster    = sub + "/resourceGroups/rg1/providers/Microsoft.ContainerService/managedClusters/c1"
	otherOne   = sub + "/resourceGroups/rg1/providers/Microsoft.ContainerService/managedClusters/c2"
	fleet      = sub + "/resourceGroups/rg1/providers/Microsoft.ContainerService/fleets/f1"
	check      = "/providers/Microsoft.Authorization/checkaccess?api-version=2018-09-01-preview"
	data       = "Microsoft.ContainerService/managedClusters/"
	asker      = "33333333-0000-4000-8000-0000000000a1" // reads Microsoft.Authorization at the subscription
	ownSelf    = "33333333-0000-4000-8000-0000000000a2" // the identity of cluster c1
	readerRole = "7f6c6a51-bcf8-42ba-9220-52d62157d7db" // Azure Kubernetes Service RBAC Reader
	writerRole = "a7ffa36f-339b-4b5c-8bdf-e2c188b2c0eb"
	checkRole  = "65a14201-8f6c-4c28-bec4-12619c5a9aaa" // Connected Cluster Managed Identity CheckAccess Reader
)

func newRig(t testing.TB) *armtest.Rig {
	r := armtest.New(t)
	tenant := ident.MustParse[ident.TenantID](armtest.Tenant)
	(&checkaccess.Handler{World: r.World, Auth: r.Face.Auth, LoginURL: armtest.LoginURL, Now: r.Clock.Now}).Mount(r.Face)
	r.Update(func(tx *store.Tx) error {
		for i, id := range []string{asker, ownSelf} {
			err := tx.PutServicePrincipal(directory.ServicePrincipal{
				ID: ident.MustParse[ident.ObjectID](id), Tenant: tenant, AppID: ident.Derive[ident.ClientID]("check", fmt.Sprint(i)),
				DisplayName: "asker", Type: directory.TypeApplication, AccountEnabled: true,
			})
			if err != nil {
				return err
			}
		}
		for _, n := range []string{"c1", "c2"} {
			c := managedcluster.Cluster{
				ID: ident.New[ident.ClusterID](), Subscription: ident.MustParse[ident.SubscriptionID](armtest.Sub), Tenant: tenant, Group: "rg1", Name: n,
			}
			if n == "c1" {
				c.ControlPlane.Object = ident.MustParse[ident.ObjectID](ownSelf)
			}
			if err := tx.PutCluster(c); err != nil {
				return err
			}
		}
		return nil
	})
	r.Grant(asker, rbac.PrincipalServicePrincipal, checkRole, sub)
	return r
}

// ask is a body of guard's form.
func ask(subject, scope string, actions ...string) string {
	list := make([]string, len(actions))
	for i, a := range actions {
		list[i] = `{"Id":"` + a + `","IsDataAction":true,"Attributes":null}`
	}
	return `{"Subject":{"Attributes":{"ObjectId":"` + subject + `"}},"Actions":[` + strings.Join(list, ",") + `],"Resource":{"Id":"` + scope + `"}}`
}

type decision struct{ AccessDecision, ActionID string }

func decisions(a armtest.Answer) []string {
	var list []decision
	a.Want(http.StatusOK, "").JSON(&list)
	out := make([]string, len(list))
	for i, d := range list {
		out[i] = d.AccessDecision
	}
	return out
}

// TestForm pins the answer as guard reads it.
func TestForm(t *testing.T) {
	r := newRig(t)
	r.Grant(armtest.Group, rbac.PrincipalGroup, readerRole, cluster+"/namespaces/dev")
	a := r.Do("POST", cluster+"/namespaces/dev"+check, asker, ask(armtest.Nobody, cluster+"/namespaces/dev", data+"pods/read", data+"secrets/read"))
	g := armtest.Assignment(armtest.Group, rbac.PrincipalGroup, readerRole, cluster+"/namespaces/dev")
	want := `[{"accessDecision":"Allowed","actionId":"` + data + `pods/read","isDataAction":true,"roleAssignment":{"id":"` + g.ID.String() +
		`","roleDefinitionId":"` + readerRole + `","principalId":"` + armtest.Group + `","principalType":"Group","scope":"` + cluster +
		`/namespaces/dev","condition":"","conditionVersion":"","canDelegate":false,"delegatedManagedIdentityResourceId":""},"denyAssignment":null,"timeToLiveInMs":1000},` +
		`{"accessDecision":"NotAllowed","actionId":"` + data + `secrets/read","isDataAction":true,"roleAssignment":null,"denyAssignment":null,"timeToLiveInMs":1000}]`
	if d := cmp.Diff(want, strings.TrimSpace(a.Want(http.StatusOK, "").Body)); d != "" {
		t.Error(d)
	}
	if a.Header.Get("X-Ms-Ratelimit-Remaining-Subscription-Reads") == "" {
		t.Error("guard reads how many requests are left, and finds none")
	}
	b := r.Do("POST", "/checkaccess?", asker, strings.ReplaceAll(ask(armtest.Nobody, cluster+"/namespaces/dev", data+"pods/read", data+"secrets/read"), `,"IsDataAction":true`, ""))
	if d := cmp.Diff(`{"value":`+want+`,"nextLink":null}`, strings.TrimSpace(b.Want(http.StatusOK, "").Body)); d != "" {
		t.Errorf("the decision point: %s", d)
	}
}

func TestDecisions(t *testing.T) {
	r := newRig(t)
	r.Grant(armtest.Group, rbac.PrincipalGroup, readerRole, cluster)
	r.Grant(armtest.App, rbac.PrincipalServicePrincipal, writerRole, cluster+"/namespaces/dev")
	r.Grant(armtest.Reader, rbac.PrincipalUser, readerRole, fleet)
	const arc = cluster + "/providers/Microsoft.KubernetesConfiguration/namespaces/dev"
	pods := []string{data + "pods/read"}
	many := slices.Repeat(pods, 201)
	for name, test := range map[string]struct {
		subject, scope string
		actions        []string
		want           string
	}{
		"through a group":               {armtest.Nobody, cluster, pods, "Allowed"},
		"below":                         {armtest.Nobody, cluster + "/namespaces/x", pods, "Allowed"},
		"in another case":               {armtest.Nobody, strings.ToUpper(cluster), pods, "Allowed"},
		"with a name that goes on":      {armtest.Nobody, otherOne, pods, "NotAllowed"},
		"own namespace":                 {armtest.App, cluster + "/namespaces/dev", []string{data + "pods/exec/action"}, "Allowed"},
		"namespace above":               {armtest.App, cluster, pods, "NotAllowed"},
		"longer namespace":              {armtest.App, cluster + "/namespaces/dev2", pods, "NotAllowed"},
		"the connected clusters' form":  {armtest.Nobody, arc, pods, "Allowed"},
		"managed namespace":             {armtest.Nobody, cluster + "/managedNamespaces/dev", pods, "Allowed"},
		"fleet":                         {armtest.Reader, fleet + "/managedNamespaces/dev", pods, "Allowed"},
		"control right, data asked":     {armtest.Owner, cluster, pods, "NotAllowed"},
		"unknown principal":             {"99999999-0000-4000-8000-000000000001", cluster, pods, "NotAllowed"},
		"a group":                       {armtest.Group, cluster, pods, "NotAllowed"},
		"principal of another tenant":   {armtest.Stranger, cluster, pods, "NotAllowed"},
		"action without a verb":         {armtest.Nobody, cluster, []string{data + "pods"}, "NotAllowed"},
		"more than guard's largest set": {armtest.Nobody, cluster, many, "Allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			body := ask(test.subject, test.scope, test.actions...)
			got := decisions(r.Do("POST", test.scope+check, asker, body))
			if len(got) != len(test.actions) || slices.ContainsFunc(got, func(s string) bool { return s != test.want }) {
				t.Errorf("%v, want %s", got, test.want)
			}
			var point struct{ Value []decision }
			r.Do("POST", "/checkaccess?", asker, body).Want(http.StatusOK, "").JSON(&point)
			if len(point.Value) != len(test.actions) || point.Value[0].AccessDecision != test.want {
				t.Errorf("the decision point says %v", point)
			}
		})
	}
}

// TestGroupsOfTheRequest: neither shown groups nor missing ones change an answer.
func TestGroupsOfTheRequest(t *testing.T) {
	r := newRig(t)
	r.Grant(armtest.Group, rbac.PrincipalGroup, readerRole, cluster)
	forged := strings.Replace(ask(armtest.App, cluster, data+"pods/read"), `"}}`, `","Groups":["`+armtest.Group+`"]}}`, 1)
	if got := decisions(r.Do("POST", cluster+check, asker, forged)); got[0] != "NotAllowed" {
		t.Error("a shown group was trusted")
	}
	r.Update(func(tx *store.Tx) error {
		return tx.RemoveMember(ident.MustParse[ident.ObjectID](armtest.Group), ident.MustParse[ident.ObjectID](armtest.Nobody))
	})
	stale := strings.Replace(ask(armtest.Nobody, cluster, data+"pods/read"), `"}}`, `","Groups":["`+armtest.Group+`"]}}`, 1)
	if got := decisions(r.Do("POST", cluster+check, asker, stale)); got[0] != "NotAllowed" {
		t.Error("a member that left is still allowed")
	}
}

func TestDisabled(t *testing.T) {
	r := newRig(t)
	r.Grant(armtest.Nobody, rbac.PrincipalUser, readerRole, cluster)
	r.Update(func(tx *store.Tx) error {
		u, err := tx.User(ident.MustParse[ident.ObjectID](armtest.Nobody))
		if err != nil {
			return err
		}
		u.AccountEnabled = false
		return tx.PutUser(u)
	})
	if got := decisions(r.Do("POST", cluster+check, asker, ask(armtest.Nobody, cluster, data+"pods/read"))); got[0] != "NotAllowed" {
		t.Error("a disabled user is allowed")
	}
}

// TestControlActions: an action of the control plane is asked for with IsDataAction false.
func TestControlActions(t *testing.T) {
	r := newRig(t)
	body := strings.Replace(ask(armtest.Owner, cluster, "Microsoft.ContainerService/managedClusters/read"), `"IsDataAction":true`, `"IsDataAction":false`, 1)
	if got := decisions(r.Do("POST", cluster+check, asker, body)); got[0] != "Allowed" {
		t.Errorf("the owner: %v", got)
	}
}

// TestConditions: the attributes that guard sends with an action decide the conditions of assignments.
func TestConditions(t *testing.T) {
	r := newRig(t)
	r.Update(func(tx *store.Tx) error {
		a := armtest.Assignment(armtest.App, rbac.PrincipalServicePrincipal, "3498e952-d568-435e-9b2c-8d77e338d7f7", cluster)
		a.Condition = "((!(ActionMatches{'" + data + "customresources/read'})) OR (@Request[" + data + "customResources:group] StringEquals 'example.com'))"
		a.ConditionVersion = "2.0"
		return tx.PutAssignment(a)
	})
	for attributes, want := range map[string]string{
		`{"` + data + `customResources:group":"example.com","` + data + `customResources:kind":"widgets"}`: "Allowed",
		`{"` + data + `customResources:group":"other.com","` + data + `customResources:kind":"widgets"}`:   "NotAllowed",
		`null`: "NotAllowed",
	} {
		body := strings.Replace(ask(armtest.App, cluster, data+"customresources/read"), `"Attributes":null`, `"Attributes":`+attributes, 1)
		if got := decisions(r.Do("POST", cluster+check, asker, body)); got[0] != want {
			t.Errorf("%s: %s, want %s", attributes, got[0], want)
		}
	}
	if got := decisions(r.Do("POST", cluster+check, asker, ask(armtest.App, cluster, data+"pods/read"))); got[0] != "Allowed" {
		t.Errorf("an action that the condition is not about: %s", got[0])
	}
}

func TestWhoMayAsk(t *testing.T) {
	r := newRig(t)
	body := ask(armtest.Nobody, cluster, data+"pods/read")
	for name, test := range map[string]struct {
		as, scope string
		status    int
		code      string
	}{
		"nobody signed in":           {"", cluster, 401, "AuthenticationFailed"},
		"without the right":          {armtest.App, cluster, 403, "AuthorizationFailed"},
		"reader":                     {armtest.Reader, cluster, 200, ""},
		"the cluster":                {ownSelf, cluster, 200, ""},
		"the cluster's namespace":    {ownSelf, cluster + "/namespaces/dev", 200, ""},
		"the cluster about another":  {ownSelf, otherOne, 403, "AuthorizationFailed"},
		"the cluster about its sub":  {ownSelf, sub, 403, "AuthorizationFailed"},
		"somebody of another tenant": {armtest.Stranger, cluster, 401, "InvalidAuthenticationTokenTenant"},
		"gone cluster":               {asker, strings.Replace(cluster, "c1", "gone", 1), 404, "ResourceNotFound"},
	} {
		t.Run(name, func(t *testing.T) {
			body := strings.Replace(body, cluster, test.scope, 1)
			r.Do("POST", test.scope+check, test.as, body).Want(test.status, test.code)
			want := test.status
			if test.as == armtest.Stranger {
				want = http.StatusNotFound // the decision point does not say whose it is
			}
			if a := r.Do("POST", "/checkaccess?", test.as, body); a.Status != want || want != http.StatusOK && !strings.Contains(a.Body, fmt.Sprintf(`{"statusCode":%d,"message":"`, want)) {
				t.Errorf("the decision point says %d %s, want %d", a.Status, a.Body, want)
			}
		})
	}
}

func TestBadRequests(t *testing.T) {
	r := newRig(t)
	good := ask(armtest.Nobody, cluster, data+"pods/read")
	for name, test := range map[string]struct{ body, code string }{
		"no JSON":           {`{`, "InvalidRequestContent"},
		"no subject":        {strings.Replace(good, armtest.Nobody, "", 1), "InvalidSubject"},
		"subject no GUID":   {strings.Replace(good, armtest.Nobody, "alice", 1), "InvalidSubject"},
		"no actions":        {ask(armtest.Nobody, cluster), "InvalidActions"},
		"too many":          {ask(armtest.Nobody, cluster, slices.Repeat([]string{"a/b"}, 2001)...), "InvalidActions"},
		"empty action":      {ask(armtest.Nobody, cluster, ""), "InvalidAction"},
		"wildcard":          {ask(armtest.Nobody, cluster, data+"*"), "InvalidAction"},
		"long action":       {ask(armtest.Nobody, cluster, strings.Repeat("x", 1025)), "InvalidAction"},
		"another resource":  {ask(armtest.Nobody, otherOne, data+"pods/read"), "InvalidResourceId"},
		"relative resource": {ask(armtest.Nobody, cluster+"/namespaces/../../c1", data+"pods/read"), "InvalidResourceId"},
		"empty segment":     {ask(armtest.Nobody, cluster+"//namespaces", data+"pods/read"), "InvalidResourceId"},
		"backslash":         {ask(armtest.Nobody, cluster+`/namespaces/a\\b`, data+"pods/read"), "InvalidResourceId"},
	} {
		t.Run(name, func(t *testing.T) {
			r.Do("POST", cluster+check, asker, test.body).Want(http.StatusBadRequest, test.code)
			if a := r.Do("POST", "/checkaccess?", asker, test.body); a.Status < 400 && name != "another resource" {
				t.Errorf("the decision point says %d %s", a.Status, a.Body)
			}
		})
	}
	for _, path := range []string{"/namespaces/../..", "/namespaces/a%2Fb", "/namespaces//"} {
		if a := r.Do("POST", cluster+path+check, asker, good); a.Status < 400 {
			t.Errorf("%s: %d %s", path, a.Status, a.Body)
		}
	}
}

// TestUnknown: what cannot be decided is an error that guard does not remember.
func TestUnknown(t *testing.T) {
	r := newRig(t)
	r.Grant(armtest.Nobody, rbac.PrincipalUser, readerRole, cluster)
	body := ask(armtest.Nobody, cluster, data+"pods/read")
	r.Broken = fault.New(fault.Unavailable, "ServiceUnavailable", "The directory cannot be read at the moment.")
	r.Do("POST", cluster+check, asker, body).Want(http.StatusServiceUnavailable, "ServiceUnavailable")
	if a := r.Do("POST", "/checkaccess?", asker, body); a.Status != http.StatusServiceUnavailable {
		t.Errorf("%d", a.Status)
	}
	r.Broken = caller.ForGraph(nil)
	r.Update(func(tx *store.Tx) error {
		a := armtest.Assignment(armtest.App, rbac.PrincipalServicePrincipal, readerRole, cluster)
		a.Condition, a.ConditionVersion = "@Request[a:b] StringEquals 'no such language", "2.0"
		return tx.PutAssignment(a)
	})
	if a := r.Do("POST", cluster+check, asker, ask(armtest.App, cluster, data+"pods/read")); a.Status == http.StatusOK && strings.Contains(a.Body, `"Allowed"`) {
		t.Errorf("a condition that cannot be read allows: %s", a.Body)
	}
}
