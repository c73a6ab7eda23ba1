package managedcluster

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/fault"
)

// FuzzPutPool holds whatever a body makes of a cluster's agent pools against what the cluster says of itself: the record and
// the ARM body agree, the same request again changes nothing, and there is always a system pool.
func FuzzPutPool(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"properties":{"count":3,"mode":"System"}}`, `{"properties":{"Count":0,"powerState":{"code":"Stopped"}}}`, `null`, `{"properties":null}`,
		`{"properties":{"nodeTaints":["a=b:NoSchedule"],"nodeLabels":{"a":"b"},"x":{"y":[1,2]}}}`, `{"properties":{"name":"other","count":1e2}}`,
		`{"properties":{"orchestratorVersion":"1.20","vmSize":"","availabilityZones":["1"]}}`, `{"properties":{"count":1,"COUNT":2}}`,
	} {
		f.Add("pool1", []byte(s))
		f.Add("nodepool1", []byte(s))
	}
	base := create(f, `{"agentPoolProfiles":[{"name":"nodepool1","count":1,"mode":"System"}]}`)
	f.Fuzz(func(t *testing.T, name string, body []byte) {
		c, change, err := base.PutPool(name, body)
		if err != nil {
			if k := fault.As(err).Kind; k != fault.Invalid {
				t.Fatalf("kind %s: %v", k, err)
			}
			return
		}
		if change.Created == strings.EqualFold(name, "nodepool1") {
			t.Fatalf("%q created: %t", name, change.Created)
		}
		agreed(t, c)
		again, second, err := c.PutPool(name, body)
		if err != nil || second.Nodes || second.Created {
			t.Fatalf("the same again: %+v, %v", second, err)
		}
		if diff := cmp.Diff(c.Pools, again.Pools); diff != "" {
			t.Fatal(diff)
		}
		if len(c.Pools) == 2 {
			gone, err := c.DeletePool(name)
			if err != nil {
				t.Fatal(err)
			}
			settled := gone.Settled()
			agreed(t, settled)
			if diff := cmp.Diff(base.Pools, settled.Pools); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}

// agreed holds a cluster's record against its body.
func agreed(t *testing.T, c Cluster) {
	t.Helper()
	var doc struct {
		Properties struct {
			AgentPoolProfiles []struct {
				Name, Mode, VMSize string
				Count              int
				PowerState         struct{ Code string }
			}
		}
	}
	if err := json.Unmarshal(c.Render("2024-05-01"), &doc); err != nil {
		t.Fatal(err)
	}
	pools := doc.Properties.AgentPoolProfiles
	if len(pools) != len(c.Pools) || len(c.AgentPools()) != len(pools) {
		t.Fatalf("%d pools in the body, %d in the record", len(pools), len(c.Pools))
	}
	system := false
	for i, p := range c.Pools {
		q := pools[i]
		if q.Name != p.Name || q.Mode != p.Mode || q.VMSize != p.VMSize || q.Count != p.Count || (q.PowerState.Code == Stopped) != p.Stopped {
			t.Fatalf("body %+v, record %+v", q, p)
		}
		system = system || p.Mode == ModeSystem && p.Nodes() > 0
	}
	if !system {
		t.Fatal("no system pool with nodes")
	}
}

// TestUpgradePath: from any version one gets to the newest by the upgrades that are listed, each of which is taken.
func TestUpgradePath(t *testing.T) {
	c := create(t, `{"kubernetesVersion":"1.18.5"}`)
	seen := 0
	for len(c.Upgrades()) > 0 {
		next := c.Upgrades()
		to := next[len(next)-1]
		req, err := Parse([]byte(put(t, `{"kubernetesVersion":"`+to+`"}`)))
		if err != nil {
			t.Fatal(err)
		}
		after, _, err := c.Update(req, known)
		if err != nil {
			t.Fatalf("%s to %s: %v", c.Version(), to, err)
		}
		if after.Version() != to || after.KubernetesVersion != DefaultVersion {
			t.Fatalf("%s, runs %s", after.Version(), after.KubernetesVersion)
		}
		c = after
		seen++
	}
	if c.Version() != DefaultVersion || seen != 19 {
		t.Errorf("ended at %s after %d upgrades", c.Version(), seen)
	}
}

// TestExecSince: the form of a user's kubeconfig by the version that the cluster is named for.
func TestExecSince(t *testing.T) {
	for version, want := range map[string]CredentialForm{
		"": Exec, "1.37": Exec, "1.24": Exec, "1.24.0": Exec, "1.23.17": AzureProvider, "1.23": AzureProvider, "1.18": AzureProvider,
	} {
		c := create(t, `{"kubernetesVersion":"`+version+`","aadProfile":{"managed":true}}`)
		if got, err := c.CredentialForm(ClusterUser, ""); err != nil || got != want {
			t.Errorf("%q: %v, %v, want %v", version, got, err, want)
		}
		for format, form := range map[string]CredentialForm{"exec": Exec, "Azure": AzureProvider} {
			if got, err := c.CredentialForm(ClusterUser, format); err != nil || got != form {
				t.Errorf("%q, %s: %v, %v", version, format, got, err)
			}
		}
		if got, err := c.CredentialForm(ClusterAdmin, ""); err != nil || got != Static {
			t.Errorf("%q, admin: %v, %v", version, got, err)
		}
	}
}
