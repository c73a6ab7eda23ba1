package rbac

import (
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/ident"
)

// TestMalformed: what Kubernetes cannot have is denied to everybody, whatever they hold.
func TestMalformed(t *testing.T) {
	pods := func(change func(*KubeRequest)) KubeRequest {
		r := KubeRequest{Verb: "get", Resource: "pods", Namespace: "dev"}
		change(&r)
		return r
	}
	path := func(p string) KubeRequest { return KubeRequest{Verb: "get", NonResource: true, Path: p} }
	g := NewGrant(Assignment{ID: assignmentID(1), PrincipalID: oid(1), Scope: testCluster}, catalogue()[clusterAdminRole])
	own := ownRules().Edit()
	own.PutRole(&KubeRole{Name: "everything", Rules: []PolicyRule{
		{Verbs: []string{"*"}, APIGroups: []string{"*"}, Resources: []string{"*"}}, {Verbs: []string{"*"}, NonResourceURLs: []string{"*"}},
	}})
	own.PutBinding(&Binding{Name: "everything", RoleRef: RoleRef{Kind: KindClusterRole, Name: "everything"}, Subjects: []Subject{{Kind: KindUser, Name: "alice"}}})
	facts := newTable(map[ident.ObjectID][]ident.ObjectID{oid(2): {oid(3)}}, g)
	rules := &ClusterRules{Place: NewPlace(testCluster), AzureRoles: true, Own: own.Done(), AdminGroups: []ident.ObjectID{oid(3)}}
	for name, tt := range map[string]struct {
		req  KubeRequest
		want bool
	}{
		"plain":                {pods(func(*KubeRequest) {}), false},
		"all namespaces":       {pods(func(r *KubeRequest) { r.Namespace = "" }), false},
		"longest namespace":    {pods(func(r *KubeRequest) { r.Namespace = strings.Repeat("n", 63) }), false},
		"unknown verb":         {pods(func(r *KubeRequest) { r.Verb = "sync:now" }), false},
		"everything":           {pods(func(r *KubeRequest) { r.Verb, r.APIGroup, r.Resource = "*", "*", "*" }), false},
		"odd name":             {pods(func(r *KubeRequest) { r.Name = "../../prod/x" }), false},
		"extra's key":          {KubeRequest{Verb: "impersonate", Resource: "userextras", Subresource: "example.com/a b"}, false},
		"path":                 {path("/apis/apps/"), false},
		"dots":                 {pods(func(r *KubeRequest) { r.Namespace = ".." }), true},
		"another namespace":    {pods(func(r *KubeRequest) { r.Namespace = "../prod" }), true},
		"slash":                {pods(func(r *KubeRequest) { r.Namespace = "dev/pods" }), true},
		"star":                 {pods(func(r *KubeRequest) { r.Namespace = "*" }), true},
		"upper case":           {pods(func(r *KubeRequest) { r.Namespace = "DEV" }), true},
		"64 characters":        {pods(func(r *KubeRequest) { r.Namespace = strings.Repeat("n", 64) }), true},
		"10,000 characters":    {pods(func(r *KubeRequest) { r.Namespace = strings.Repeat("n", 10_000) }), true},
		"no verb":              {pods(func(r *KubeRequest) { r.Verb = "" }), true},
		"verb with slash":      {pods(func(r *KubeRequest) { r.Verb = "get/pods" }), true},
		"no resource":          {pods(func(r *KubeRequest) { r.Resource = "" }), true},
		"resource with slash":  {pods(func(r *KubeRequest) { r.Resource = "pods/exec" }), true},
		"group with dots":      {pods(func(r *KubeRequest) { r.APIGroup = "apps..x" }), true},
		"subresource upwards":  {pods(func(r *KubeRequest) { r.Subresource = "../secrets" }), true},
		"no path":              {path(""), true},
		"path upwards":         {path("/api/../metrics"), true},
		"path without a slash": {path("metrics"), true},
		"escaped path":         {path("/api/%2e%2e/metrics"), true},
		"long path":            {path("/" + strings.Repeat("x", 10_000)), true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tt.req.Malformed(); got != tt.want {
				t.Errorf("malformed %v, want %v", got, tt.want)
			}
			for who, ask := range map[string]ClusterAsk{
				"by role": {Principal: oid(1), Name: "bob"}, "by admin group": {Principal: oid(2), Name: "carol"}, "by binding": {Principal: oid(4), Name: "alice"},
			} {
				ask.Request = tt.req
				d := DecideCluster(&ask, rules, facts)
				if (d.Verdict == Allow) == tt.want || tt.want && d.Why != whyMalformed {
					t.Errorf("%s: %v %q", who, d.Verdict, d.Why)
				}
				if _, ways := ExplainCluster(&ask, rules, facts); tt.want && len(ways) > 0 {
					t.Errorf("%s: explained by %v", who, ways)
				}
			}
		})
	}
}
