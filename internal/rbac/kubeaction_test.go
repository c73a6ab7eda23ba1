package rbac

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// kubeAsk reads a request in short: "verb group:resource/sub name @namespace" or "verb /path". The star is a star.
func kubeAsk(text string) KubeRequest {
	rest, namespace, _ := strings.Cut(text, " @")
	f := strings.SplitN(rest, " ", 3)
	if strings.HasPrefix(f[1], "/") {
		return KubeRequest{Verb: f[0], NonResource: true, Path: f[1]}
	}
	r := KubeRequest{Verb: f[0], Namespace: namespace}
	group, resource, ok := strings.Cut(f[1], ":")
	if !ok {
		group, resource = "", f[1]
	}
	r.APIGroup = group
	r.Resource, r.Subresource, _ = strings.Cut(resource, "/")
	if len(f) == 3 {
		r.Name = f[2]
	}
	return r
}

// TestActionsOf holds the mapping. Parent is written with a '+' when it implies the own action.
func TestActionsOf(t *testing.T) {
	for _, c := range []struct{ ask, own, parent, custom string }{
		{ask: "get pods", own: "pods/read"},
		{ask: "list pods", own: "pods/read"},
		{ask: "watch pods", own: "pods/read"},
		{ask: "create pods", own: "pods/write"},
		{ask: "update pods", own: "pods/write"},
		{ask: "patch pods", own: "pods/write"},
		{ask: "delete pods", own: "pods/delete"},
		{ask: "deletecollection pods", own: "pods/delete"},
		{ask: "patch apps:deployments", own: "apps/deployments/write"},
		// Every verb maps; guard has no action for those below.
		{ask: "approve certificates.k8s.io:certificatesigningrequests", own: "certificates.k8s.io/certificatesigningrequests/approve/action"},
		{ask: "frobnicate pods", own: "pods/frobnicate/action"},
		{ask: "bind rbac.authorization.k8s.io:clusterroles view", own: "rbac.authorization.k8s.io/clusterroles/bind/action"},
		{ask: "escalate rbac.authorization.k8s.io:roles", own: "rbac.authorization.k8s.io/roles/escalate/action"},
		{ask: "use policy:podsecuritypolicies", own: "policy/podsecuritypolicies/use/action"},
		{ask: "impersonate users bob", own: "users/impersonate/action"},
		{ask: "impersonate groups x", own: "groups/impersonate/action"},
		{ask: "impersonate serviceaccounts x @dev", own: "serviceaccounts/impersonate/action"},
		{ask: "impersonate authentication.k8s.io:userextras/oid x", own: "authentication.k8s.io/userextras/impersonate/action"},
		{ask: "impersonate authentication.k8s.io:userextras/Any.Host/key x", own: "authentication.k8s.io/userextras/impersonate/action"},
		// Subresources; guard has the parent's action for all but pods/exec.
		{ask: "create pods/exec", own: "pods/exec/action"},
		{ask: "get pods/exec", own: "pods/exec/action"},
		{ask: "get pods/attach", own: "pods/attach/action", parent: "+pods/write"},
		{ask: "create pods/portforward", own: "pods/portforward/action", parent: "+pods/write"},
		{ask: "get pods/log", own: "pods/log/read", parent: "+pods/read"},
		{ask: "get pods/proxy", own: "pods/proxy/read", parent: "+pods/write"},
		{ask: "delete services/proxy", own: "services/proxy/delete", parent: "+services/delete"},
		{ask: "create pods/eviction", own: "pods/eviction/write", parent: "+pods/write"},
		{ask: "patch pods/ephemeralcontainers", own: "pods/ephemeralcontainers/write", parent: "pods/write"},
		{ask: "get pods/status", own: "pods/status/read", parent: "+pods/read"},
		{ask: "patch pods/status", own: "pods/status/write", parent: "pods/write"},
		{ask: "update apps:deployments/scale", own: "apps/deployments/scale/write", parent: "+apps/deployments/write"},
		{ask: "update apps:daemonsets/scale", own: "apps/daemonsets/scale/write", parent: "apps/daemonsets/write"},
		{ask: "create serviceaccounts/token", own: "serviceaccounts/token/write", parent: "+serviceaccounts/write"},
		{ask: "update namespaces/finalize", own: "namespaces/finalize/write", parent: "namespaces/write"},
		{ask: "get nodes/proxy", own: "nodes/proxy/read", parent: "nodes/read"},
		{ask: "sign pods/log", own: "pods/log/sign/action"},
		// Custom resources
		{ask: "list example.com:widgets", own: "example.com/widgets/read", custom: "customresources/read"},
		{ask: "update example.com:widgets/status", own: "example.com/widgets/status/write", parent: "example.com/widgets/write", custom: "customresources/write"},
		{ask: "sync example.com:widgets", own: "example.com/widgets/sync/action", custom: "customresources/sync/action"},
		{ask: "get resource.k8s.io:resourceclaims", own: "resource.k8s.io/resourceclaims/read", custom: "customresources/read"},
		{ask: "get metrics.k8s.io:pods", own: "metrics.k8s.io/pods/read"},
		// Paths
		{ask: "get /metrics", own: "metrics/read"},
		{ask: "get /healthz/etcd", own: "healthz/etcd/read"},
		{ask: "post /debug/flags/v", own: "debug/flags/v/write"},
		{ask: "get /", own: "read"},
		{ask: "trace /x", own: "x/trace/action"},
		// Many at once
		{ask: "* pods", own: "pods/*"},
		{ask: "get *", own: "*/read"},
		{ask: "* *:*", own: "*/*"},
		{ask: "get apps:*", own: "apps/*/read"},
		{ask: "get *:pods", own: "*/pods/read"},
		// Nothing that a role could cover
		{ask: "get Pods"},
		{ask: "get pods/../secrets"},
		{ask: "get a..b"},
		{ask: "get -x"},
		{ask: "get /a/../b"},
		{ask: "get /a//b"},
		{ask: "get /%2e"},
		{ask: "get/read pods"},
		{ask: "get /.."},
		{ask: "get .:pods"},
		{ask: "get p*"},
		{ask: "get " + strings.Repeat("x", 10_000)},
		{ask: "get pods/é"},
		{ask: "é pods"},
	} {
		t.Run(c.ask[:min(len(c.ask), 40)], func(t *testing.T) {
			got, ok := ActionsOf(kubeAsk(c.ask))
			if ok != (c.own != "") {
				t.Fatalf("ok %v: %+v", ok, got)
			}
			full := func(s string) string {
				if s == "" {
					return ""
				}
				return KubeCluster + "/" + s
			}
			parent, implied := strings.CutPrefix(c.parent, "+")
			want := KubeActions{Own: full(c.own), Parent: full(parent), Implied: implied, Custom: full(c.custom)}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestKubeScope(t *testing.T) {
	for _, c := range []struct {
		ask, want string
		ok        bool
	}{
		{"get pods", testCluster, true},
		{"get pods @dev", testCluster + "/namespaces/dev", true},
		{"get /metrics", testCluster, true},
		{"get pods @DEV", "", false},
		{"get pods @../dev", "", false},
		{"get pods @a/b", "", false},
		{"get pods @-a", "", false},
		{"get pods @a.b", "", false},
		{"get pods @" + strings.Repeat("a", 64), "", false},
		{"get pods @" + strings.Repeat("a", 63), testCluster + "/namespaces/" + strings.Repeat("a", 63), true},
	} {
		if got, ok := KubeScope(testCluster, kubeAsk(c.ask)); got != c.want || ok != c.ok {
			t.Errorf("%.40s: %q, %v", c.ask, got, ok)
		}
	}
}

// bootstrap are the rules of Kubernetes' own aggregated roles.
func bootstrap(t testing.TB) map[string][]PolicyRule {
	t.Helper()
	raw, err := os.ReadFile("testdata/bootstrap-1.37.json")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Source string                  `json:"source"`
		Roles  map[string][]PolicyRule `json:"roles"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Roles) != 3 || doc.Source == "" {
		t.Fatalf("odd: %+v", doc)
	}
	return doc.Roles
}

// TestImpliedByBootstrap derives the table of subresources from Kubernetes' own roles and compares: a subresource follows
// its parent where a default role holds both, and nowhere else.
func TestImpliedByBootstrap(t *testing.T) {
	roles := bootstrap(t)
	holds := func(verb, group, resource, sub string, names ...string) bool {
		req := KubeRequest{Verb: verb, APIGroup: group, Resource: resource, Subresource: sub}
		for _, n := range names {
			if slices.ContainsFunc(roles[n], func(r PolicyRule) bool { return r.covers(&req) }) {
				return true
			}
		}
		return false
	}
	verbs := map[string]string{"read": "get", "write": "create", "delete": "delete"}
	type pair struct{ group, resource string }
	resources, subs := map[pair]bool{{"example.com", "widgets"}: true, {"", "nodes"}: true}, map[string]bool{"ephemeralcontainers": true, "finalize": true, "x": true}
	for _, rules := range roles {
		for _, r := range rules {
			for _, g := range r.APIGroups {
				for _, s := range r.Resources {
					resource, sub, has := strings.Cut(s, "/")
					resources[pair{g, resource}] = true
					if has {
						subs[sub] = true
					}
				}
			}
		}
	}
	for p := range resources {
		for sub := range subs {
			if p.group == "" && p.resource == "pods" && sub == "exec" {
				continue // published by name
			}
			for _, suffix := range []string{"read", "write", "delete"} {
				want := ""
				switch verb := verbs[suffix]; {
				case suffix == "read" && holds(verb, p.group, p.resource, sub, "view") && holds(verb, p.group, p.resource, "", "view"):
					want = "read"
				case holds(verb, p.group, p.resource, sub, "edit", "admin") && holds(verb, p.group, p.resource, "", "edit", "admin", "view"):
					if want = suffix; suffix == "read" {
						want = "write"
					}
				}
				own := suffix
				if session(p.group, p.resource, sub) {
					own = "action"
					if want == "delete" {
						continue
					}
				}
				if got := impliedBy(p.group, p.resource, sub, own); got != want {
					t.Errorf("%s/%s/%s, %s: implied by %q, Kubernetes' roles say %q", p.group, p.resource, sub, suffix, got, want)
				}
			}
		}
	}
}

// slowNames is the mapping written down once more, with texts and regular expressions.
func slowNames(r KubeRequest) (KubeActions, bool) {
	words := map[bool]map[string]string{
		false: {"get": "read", "list": "read", "watch": "read", "create": "write", "update": "write", "patch": "write", "delete": "delete", "deletecollection": "delete", "*": "*"},
		true:  {"get": "read", "head": "read", "options": "read", "post": "write", "put": "write", "patch": "write", "delete": "delete", "*": "*"},
	}
	part := regexp.MustCompile(`\A(\*|[a-z0-9]([a-z0-9._-]{0,251}[a-z0-9])?)\z`)
	if !regexp.MustCompile(`\A(\*|[A-Za-z0-9][A-Za-z0-9:_-]{0,252})\z`).MatchString(r.Verb) {
		return KubeActions{}, false
	}
	suffix := words[r.NonResource][r.Verb]
	if suffix == "" {
		suffix = r.Verb + "/action"
	}
	join := func(parts ...string) string {
		return strings.Join(slices.DeleteFunc(append([]string{KubeCluster}, parts...), func(s string) bool { return s == "" }), "/")
	}
	if r.NonResource {
		for i, s := range strings.Split(r.Path, "/") {
			last := i == strings.Count(r.Path, "/")
			if (i == 0) != (s == "") && !(last && s == "") || s == "." || s == ".." {
				return KubeActions{}, false
			}
		}
		if len(r.Path) > 1024 || !regexp.MustCompile(`\A/[!-~]*\z`).MatchString(r.Path) || strings.ContainsAny(r.Path, `?#%\`) {
			return KubeActions{}, false
		}
		if r.Path == "/" {
			return KubeActions{Own: join(suffix)}, true
		}
		return KubeActions{Own: KubeCluster + r.Path + "/" + suffix}, true
	}
	sub := r.Subresource
	if r.Verb == "impersonate" {
		sub = ""
	}
	for _, s := range []string{r.APIGroup, sub} {
		if s != "" && (!part.MatchString(s) || strings.Contains(s, "..")) {
			return KubeActions{}, false
		}
	}
	if !part.MatchString(r.Resource) || strings.Contains(r.Resource, "..") {
		return KubeActions{}, false
	}
	group := r.APIGroup
	if group == "*" && r.Resource == "*" {
		group = ""
	}
	var out KubeActions
	own, door := suffix, ""
	if group == "" && r.Resource == "pods" && slices.Contains([]string{"exec", "attach", "portforward"}, sub) {
		own, door = "action", sub
	}
	out.Own = join(group, r.Resource, sub, own)
	if sub != "" && !strings.HasSuffix(own, "/action") {
		by := impliedBy(r.APIGroup, r.Resource, sub, own)
		switch {
		case by != "":
			out.Parent, out.Implied = join(group, r.Resource, by), true
		case door == "":
			out.Parent = join(group, r.Resource, own)
		}
	}
	if r.APIGroup != "" && r.APIGroup != "*" && r.Resource != "*" && !published(r.APIGroup, r.Resource) {
		out.Custom = join("customresources", suffix)
	}
	return out, true
}

func genKube() *rapid.Generator[KubeRequest] {
	return rapid.Custom(func(t *rapid.T) KubeRequest {
		pick := func(what string, from ...string) string { return rapid.SampledFrom(from).Draw(t, what) }
		verb := pick("verb", "get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "impersonate", "bind", "use", "approve", "*", "", "G/T", "head", "post")
		if rapid.IntRange(0, 5).Draw(t, "kind") == 0 {
			return KubeRequest{Verb: verb, NonResource: true, Path: pick("path", "/", "/metrics", "/healthz/etcd", "/a/../b", "/a//b", "", "x", "/logs/*", "/a/")}
		}
		return KubeRequest{
			Verb: verb, APIGroup: pick("group", "", "apps", "batch", "extensions", "example.com", "*", "rbac.authorization.k8s.io", "resource.k8s.io", "X"),
			Resource:    pick("resource", "pods", "services", "deployments", "secrets", "widgets", "roles", "users", "groups", "resourcequotas", "namespaces", "resourceclaims", "*", "", "a/b"),
			Subresource: pick("sub", "", "", "", "log", "exec", "attach", "status", "scale", "proxy", "token", "ephemeralcontainers", "*", "x/y"),
			Name:        pick("name", "", "web", "system:masters"), Namespace: pick("namespace", "", "dev", "prod", "DEV", "../dev", "dev/"),
		}
	})
}

func TestActionsOfAgainstSlow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := genKube().Draw(t, "request")
		got, ok := ActionsOf(r)
		want, wantOK := slowNames(r)
		if got != want || ok != wantOK {
			t.Fatalf("got %+v %v, the slow way says %+v %v", got, ok, want, wantOK)
		}
	})
}

func FuzzActionsOf(f *testing.F) {
	f.Add("get", false, "", "apps", "deployments", "scale")
	f.Add("get", true, "/metrics", "", "", "")
	f.Add("impersonate", false, "", "authentication.k8s.io", "userextras", "x/y")
	f.Fuzz(func(t *testing.T, verb string, non bool, path, group, resource, sub string) {
		r := KubeRequest{Verb: verb, NonResource: non, Path: path}
		if !non {
			r = KubeRequest{Verb: verb, APIGroup: group, Resource: resource, Subresource: sub}
		}
		got, ok := ActionsOf(r)
		want, wantOK := slowNames(r)
		if got != want || ok != wantOK {
			t.Fatalf("%+v: got %+v %v, the slow way says %+v %v", r, got, ok, want, wantOK)
		}
	})
}
