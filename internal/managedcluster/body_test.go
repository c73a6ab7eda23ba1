package managedcluster

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
)

// TestRecorded holds the members of answers, and their order, against those recorded from the real service.
func TestRecorded(t *testing.T) {
	for _, tt := range []struct{ keys, request, state string }{
		{"create", "create", Creating}, {"create-aad", "create-aad", Creating}, {"create-legacy", "create-legacy", Creating}, {"succeeded", "create", Succeeded},
	} {
		t.Run(tt.keys, func(t *testing.T) {
			request, err := os.ReadFile("testdata/" + tt.request + ".request.json")
			if err != nil {
				t.Fatal(err)
			}
			recorded, err := os.ReadFile("testdata/" + tt.keys + ".keys")
			if err != nil {
				t.Fatal(err)
			}
			req, err := Parse(request)
			if err != nil {
				t.Fatal(err)
			}
			c, err := Create(newNew("c1"), req, func(ident.TenantID) bool { return true })
			if err != nil {
				t.Fatal(err)
			}
			c.ProvisioningState = tt.state
			want := strings.Fields(string(recorded))
			got := slices.DeleteFunc(keysOf(t, c.Render("2022-11-01"), ""), func(k string) bool { return !slices.Contains(want, k) })
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// keysOf lists the members of a JSON document by path, in their order.
func keysOf(t *testing.T, raw json.RawMessage, path string) []string {
	t.Helper()
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) == nil {
		var out []string
		for _, v := range list {
			out = append(out, keysOf(t, v, path+"[]")...)
		}
		return out
	}
	o, err := parseObject(raw, nil)
	if err != nil {
		return nil
	}
	var out []string
	for _, k := range o.keys {
		p := strings.TrimPrefix(path+"."+k, ".")
		out = append(append(out, p), keysOf(t, o.values[k], p)...)
	}
	return out
}

func TestKubeconfig(t *testing.T) {
	legacy := create(t, `{"aadProfile":{"clientAppID":"`+guidA+`","serverAppID":"`+guidB+`","serverAppSecret":"s"}}`)
	managed := create(t, `{"aadProfile":{"managed":true}}`)
	for _, tt := range []struct {
		name string
		c    Cluster
		k    Kubeconfig
		want []string
	}{
		{"static", managed, Kubeconfig{Kind: ClusterAdmin, Form: Static, CA: "ca", Cert: "crt", Key: "key"}, []string{
			"certificate-authority-data: Y2E=\n    server: https://127.0.0.1:10440\n  name: c1\n", "current-context: c1\n",
			"- name: clusterAdmin_Rg_1_c1\n  user:\n    client-certificate-data: Y3J0\n    client-key-data: a2V5\n",
		}},
		{"legacy exec", legacy, Kubeconfig{Kind: ClusterUser, Form: Exec, CA: "ca", Authority: "https://login"}, []string{
			"--server-id\n      - " + guidB, "--client-id\n      - " + guidA, "- --legacy\n", "- https://login/\n",
		}},
		{"legacy azure", legacy, Kubeconfig{Kind: ClusterUser, Form: AzureProvider, CA: "ca"}, []string{"apiserver-id: " + guidB, "name: azure\n"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, err := tt.c.Kubeconfig(tt.k)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range tt.want {
				if !strings.Contains(string(out), want) {
					t.Errorf("no %q in\n%s", want, out)
				}
			}
			if strings.Contains(string(out), "config-mode") || !strings.HasSuffix(string(out), "\n") {
				t.Errorf("%s", out)
			}
		})
	}
	want, err := os.ReadFile("testdata/kubeconfig-exec.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got, err := managed.Kubeconfig(Kubeconfig{Kind: ClusterUser, Form: Exec, CA: "ca", Authority: "https://login.test:8443"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Error(diff)
	}
	got, err = managed.Kubeconfig(Kubeconfig{Kind: ClusterUser, Form: Exec, CA: "ca", Authority: "https://login.test:8443", AuthorityCA: "authority"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Replace(string(want), "      env: null\n", "      env:\n      - name: KEYREEVE_AUTHORITY_CA\n        value: YXV0aG9yaXR5\n", 1), string(got)); diff != "" {
		t.Errorf("with a private authority:\n%s", diff)
	}
	if _, err := managed.Kubeconfig(Kubeconfig{}); err == nil {
		t.Error("no form was taken")
	}
}

// TestRoundTrip holds that what a GET shows can be put back and changes nothing: PUT(GET(x)) = x.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		properties := map[string]any{"agentPoolProfiles": drawPools(rt)}
		maybe := func(key string, value func() any) {
			if rapid.Bool().Draw(rt, key) {
				properties[key] = value()
			}
		}
		maybe("disableLocalAccounts", func() any { return rapid.Bool().Draw(rt, "off") })
		maybe("aadProfile", func() any {
			a := map[string]any{"managed": true, "future": rapid.String().Draw(rt, "future")}
			if rapid.Bool().Draw(rt, "rbac") {
				a["enableAzureRBAC"] = rapid.Bool().Draw(rt, "on")
			}
			a["adminGroupObjectIDs"] = rapid.SliceOf(rapid.SampledFrom([]string{guidA, guidB})).Draw(rt, "groups")
			return a
		})
		maybe("kubernetesVersion", func() any { return rapid.SampledFrom([]string{"", "1.37", "1.37.2"}).Draw(rt, "version") })
		maybe("networkProfile", func() any {
			return map[string]any{"loadBalancerSku": rapid.SampledFrom([]string{"standard", "Standard"}).Draw(rt, "lb"), "outboundType": rapid.SampledFrom([]string{"loadBalancer", "userDefinedRouting"}).Draw(rt, "out")}
		})
		maybe("someday", func() any {
			return map[string]any{"a": rapid.StringN(0, 8, -1).Draw(rt, "a"), "b": []any{1, nil, "<&>"}}
		})
		body, err := json.Marshal(map[string]any{
			"location": "westus2", "properties": properties, "tags": rapid.MapOf(rapid.StringMatching(`[a-z]{1,5}`), rapid.StringMatching(`.{0,9}`)).Draw(rt, "tags"),
			"sku": map[string]any{"tier": rapid.SampledFrom([]string{"Free", "Paid", "standard", ""}).Draw(rt, "tier")},
		})
		if err != nil {
			rt.Fatal(err)
		}
		c, err := tryCreate("c1", string(body))
		if err != nil {
			rt.Fatalf("%v: %s", err, body)
		}
		c.ProvisioningState = rapid.SampledFrom([]string{Creating, Succeeded, Failed}).Draw(rt, "state")
		sameAgain(rt, c)
	})
}

func drawPools(rt *rapid.T) []any {
	out := []any{map[string]any{"name": "np", "count": rapid.IntRange(1, 100).Draw(rt, "count")}}
	if rapid.Bool().Draw(rt, "second") {
		out = append(out, map[string]any{
			"name": "two", "mode": rapid.SampledFrom([]string{"User", "System", "user"}).Draw(rt, "mode"), "spotMaxPrice": rapid.SampledFrom([]any{-1, 0.5}).Draw(rt, "price"),
			"nodeTaints": rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a=b:NoSchedule", "c:NoExecute", "x.io/y=:PreferNoSchedule"}), 0, 3, rapid.ID[string]).Draw(rt, "taints"),
			"nodeLabels": rapid.MapOf(rapid.StringMatching(`[a-z]{1,3}`), rapid.StringMatching(`[a-z0-9]{0,3}`)).Draw(rt, "labels"),
		})
	}
	return out
}

// sameAgain puts back what a GET shows and compares.
func sameAgain(t interface {
	Fatalf(format string, args ...any)
}, c Cluster,
) {
	shown := c.Render("2025-03-01")
	again, change, err := tryUpdate(c, string(shown))
	if err != nil {
		t.Fatalf("put back: %v\n%s", err, shown)
	}
	if change != (Change{}) {
		t.Fatalf("putting back changed %+v", change)
	}
	if diff := cmp.Diff(c, again, cmp.Comparer(func(a, b json.RawMessage) bool { return bytes.Equal(a, b) })); diff != "" {
		t.Fatalf("putting back changed something: %s", diff)
	}
}

// FuzzParse throws bytes at the reader of bodies. It must not panic; what it takes has a JSON form that it takes again, and
// a cluster made of it comes back the same.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"create", "create-aad", "create-legacy"} {
		text, err := os.ReadFile("testdata/" + name + ".request.json")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	for _, s := range []string{"{}", "null", `{"properties":{"agentPoolProfiles":[{"name":"a","Count":1e2}]},"location":"A b"}`, `{"a":1,"A":2}`, `{"properties":{"aadProfile":{"managed":null}}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		req, err := Parse(body)
		if err != nil {
			if k := fault.As(err).Kind; k != fault.Invalid {
				t.Fatalf("kind %s: %v", k, err)
			}
			return
		}
		c, err := Create(newNew("c1"), req, known)
		if err != nil {
			if k := fault.As(err).Kind; k != fault.Invalid {
				t.Fatalf("kind %s: %v", k, err)
			}
			return
		}
		if !json.Valid(c.Render("2025-03-01")) || len(c.Pools) == 0 || c.AAD != nil && !known(c.AAD.Tenant) {
			t.Fatalf("cluster %+v of %q", c, body)
		}
		sameAgain(t, c)
	})
}
