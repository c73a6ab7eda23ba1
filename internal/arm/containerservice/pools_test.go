package containerservice

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/keyreeve/keyreeve/internal/arm/armtest"
	"github.com/keyreeve/keyreeve/internal/cluster"
	"github.com/keyreeve/keyreeve/internal/resource"
)

const poolsPath = path + "/agentPools"

// poolAnswer is what tests look at of an agent pool.
type poolAnswer struct {
	ID, Name, Type string
	Properties     struct {
		ProvisioningState, Mode, OrchestratorVersion string
		Count                                        int
		PowerState                                   struct{ Code string }
		NodeLabels                                   map[string]string
		KubeletConfig                                json.RawMessage
	}
}

func (r *rig) pool(name string) poolAnswer {
	r.T.Helper()
	var p poolAnswer
	r.Do("GET", poolsPath+"/"+name, armtest.Owner, "").Want(200, "").JSON(&p)
	return p
}

// nodes are the names of the pools of the nodes that the driver was told to have, one for each node.
func (r *rig) nodes() []string {
	r.T.Helper()
	d, ok := r.driver.want(r.cluster().ID)
	if !ok {
		return nil
	}
	var out []string
	for _, n := range d.Nodes {
		out = append(out, n.Pool)
	}
	return out
}

func TestAgentPools(t *testing.T) {
	r := newRig(t)
	r.create(body(t, entra))

	a := r.Do("PUT", poolsPath+"/extra", armtest.Owner,
		`{"properties":{"count":2,"vmSize":"Standard_B2s","mode":"User","nodeLabels":{"a":"b"},"kubeletConfig":{"cpuManagerPolicy":"static"}}}`).Want(201, "")
	if a.Header.Get("Retry-After") != "1" || !strings.Contains(a.Body, `"provisioningState":"Creating"`) {
		t.Errorf("%v %s", a.Header, a.Body)
	}
	r.ended(a, resource.Succeeded)
	p, c := r.pool("EXTRA"), r.cluster()
	if p.Properties.ProvisioningState != "Succeeded" || p.Properties.Count != 2 || p.Properties.Mode != "User" || string(p.Properties.KubeletConfig) == "" ||
		p.ID != c.ResourceID()+"/agentPools/extra" || p.Name != "extra" || p.Type != "Microsoft.ContainerService/managedClusters/agentPools" {
		t.Errorf("pool %+v", p)
	}
	if diff := cmp.Diff([]string{"nodepool1", "nodepool1", "nodepool1", "extra", "extra"}, r.nodes()); diff != "" {
		t.Error(diff)
	}

	// Scaling sends the pool with another count; what is not sent stays.
	r.ended(r.Do("PUT", poolsPath+"/extra", armtest.Owner, `{"properties":{"count":0}}`).Want(200, ""), resource.Succeeded)
	if p := r.pool("extra"); p.Properties.Count != 0 || p.Properties.NodeLabels["a"] != "b" {
		t.Errorf("scaled %+v", p)
	}
	if got := r.nodes(); len(got) != 3 {
		t.Errorf("nodes %v", got)
	}

	// A stopped pool keeps its count and has no nodes.
	r.ended(r.Do("PUT", poolsPath+"/extra", armtest.Owner, `{"properties":{"count":2}}`).Want(200, ""), resource.Succeeded)
	r.ended(r.Do("PUT", poolsPath+"/extra", armtest.Owner, `{"properties":{"powerState":{"code":"Stopped"}}}`).Want(200, ""), resource.Succeeded)
	if p := r.pool("extra"); p.Properties.Count != 2 || p.Properties.PowerState.Code != "Stopped" || len(r.nodes()) != 3 {
		t.Errorf("stopped %+v, nodes %v", p, r.nodes())
	}
	// An update of the cluster that knows nothing of it leaves it so.
	r.ended(r.Do("PUT", path, armtest.Owner, r.Do("GET", path, armtest.Owner, "").Body).Want(200, ""), resource.Succeeded)
	if p := r.pool("extra"); p.Properties.PowerState.Code != "Stopped" {
		t.Errorf("after an update of the cluster: %+v", p)
	}
	r.ended(r.Do("PUT", poolsPath+"/extra", armtest.Owner, `{"properties":{"powerState":{"code":"running"}}}`).Want(200, ""), resource.Succeeded)
	if got := r.nodes(); len(got) != 5 {
		t.Errorf("started: nodes %v", got)
	}

	// Deleted: 202 with both addresses, drained first, gone after.
	before := len(r.driver.drained)
	gone := r.Do("DELETE", poolsPath+"/extra", armtest.Owner, "").Want(202, "")
	if gone.Header.Get("Location") == "" {
		t.Error("no Location")
	}
	r.ended(gone, resource.Succeeded)
	if r.driver.drained[before] != 3 || len(r.nodes()) != 3 {
		t.Errorf("drained %v, nodes %v", r.driver.drained, r.nodes())
	}
	r.Do("GET", poolsPath+"/extra", armtest.Owner, "").Want(404, "NotFound")
	r.Do("DELETE", poolsPath+"/extra", armtest.Owner, "").Want(204, "")
	if strings.Contains(r.Do("GET", path, armtest.Owner, "").Body, `"extra"`) {
		t.Error("the cluster still lists the pool")
	}
	var list struct{ Value []poolAnswer }
	r.Do("GET", poolsPath, armtest.Reader, "").Want(200, "").JSON(&list)
	if len(list.Value) != 1 {
		t.Errorf("%d pools", len(list.Value))
	}
}

// TestDrainThatFails leaves the pool as it was, and says which pods did not go.
func TestDrainThatFails(t *testing.T) {
	r := newRig(t)
	r.create(body(t, entra))
	r.ended(r.Do("PUT", poolsPath+"/extra", armtest.Owner, `{"properties":{"count":3}}`).Want(201, ""), resource.Succeeded)
	r.driver.set(func(d *driver) { d.stuck = &cluster.NotDrainedError{Node: "n1", Pods: []string{"default/web"}} })
	op := r.ended(r.Do("PUT", poolsPath+"/extra", armtest.Owner, `{"properties":{"count":1}}`).Want(200, ""), resource.Failed)
	if op.ErrorCode != "PodDrainFailure" || !strings.Contains(op.ErrorMessage, "default/web") {
		t.Errorf("%s: %s", op.ErrorCode, op.ErrorMessage)
	}
	if p := r.pool("extra"); p.Properties.ProvisioningState != "Failed" || p.Properties.Count != 3 || len(r.nodes()) != 6 {
		t.Errorf("pool %+v, nodes %v", p, r.nodes())
	}
	if got := r.Do("GET", path, armtest.Owner, "").Body; !strings.Contains(got, `"provisioningState":"Succeeded","powerState"`) {
		t.Errorf("the cluster: %s", got)
	}
	r.ended(r.Do("DELETE", poolsPath+"/extra", armtest.Owner, "").Want(202, ""), resource.Failed)
	if len(r.nodes()) != 6 {
		t.Errorf("nodes %v", r.nodes())
	}
	// Whoever does not care says so.
	r.ended(r.Do("DELETE", poolsPath+"/extra?api-version=2024-05-01&ignore-pod-disruption-budget=true", armtest.Owner, "").Want(202, ""), resource.Succeeded)
	if len(r.nodes()) != 3 {
		t.Errorf("nodes %v", r.nodes())
	}
}

// TestConflictingPoolOperations: one operation of a cluster at a time, and 409 for the others.
func TestConflictingPoolOperations(t *testing.T) {
	r := newRig(t)
	r.create(body(t, entra))
	for len(r.driver.waits) > 0 {
		<-r.driver.waits
	}
	hold := make(chan struct{})
	r.driver.set(func(d *driver) { d.hold = hold })
	a := r.Do("PUT", poolsPath+"/extra", armtest.Owner, `{"properties":{"count":1}}`).Want(201, "")
	<-r.driver.waits
	if p := r.pool("nodepool1"); p.Properties.ProvisioningState != "Succeeded" {
		t.Errorf("the other pool is %s", p.Properties.ProvisioningState)
	}
	for _, req := range [][3]string{
		{"PUT", poolsPath + "/extra", `{"properties":{"count":2}}`},
		{"PUT", poolsPath + "/third", `{"properties":{"count":2}}`},
		{"DELETE", poolsPath + "/extra", ""},
		{"PUT", path, body(t, entra)},
		{"POST", path + "/stop", ""},
		{"DELETE", path, ""},
	} {
		r.Do(req[0], req[1], armtest.Owner, req[2]).Want(409, "OperationNotAllowed")
	}
	close(hold)
	r.ended(a, resource.Succeeded)
}

func TestStopAndStart(t *testing.T) {
	r := newRig(t)
	r.create(body(t, entra))
	r.ended(r.Do("POST", path+"/stop", armtest.Owner, "").Want(202, ""), resource.Succeeded)
	c := r.cluster()
	if c.PowerState != "Stopped" || c.ProvisioningState != "Succeeded" || r.nodes() != nil {
		t.Errorf("%s %s %v", c.PowerState, c.ProvisioningState, r.nodes())
	}
	if got := r.Do("GET", path, armtest.Owner, "").Body; strings.Count(got, `"powerState":{"code":"Stopped"}`) != 2 {
		t.Errorf("body %s", got)
	}
	for _, req := range [][3]string{
		{"POST", path + "/stop", ""},
		{"PUT", path, body(t, entra)},
		{"PUT", poolsPath + "/x", `{}`},
		{"DELETE", poolsPath + "/nodepool1", ""},
		{"POST", path + "/rotateClusterCertificates", ""},
	} {
		a := r.Do(req[0], req[1], armtest.Owner, req[2]).Want(409, "OperationNotAllowed")
		if !strings.Contains(a.Message(), "Power State(Stopped)") {
			t.Errorf("%s %s: %s", req[0], req[1], a.Message())
		}
	}
	// Credentials are of the record, and tags too.
	r.Do("POST", path+"/listClusterUserCredential", armtest.Owner, "").Want(200, "")
	r.Do("PATCH", path, armtest.Owner, `{"tags":{"a":"b"}}`).Want(200, "")
	// A control plane that starts leaves it stopped.
	r.restart()
	if err := r.h.StartAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r.nodes() != nil {
		t.Error("a stopped cluster was started")
	}
	r.ended(r.Do("POST", path+"/start", armtest.Owner, "").Want(202, ""), resource.Succeeded)
	if c := r.cluster(); c.PowerState != "Running" || len(r.nodes()) != 3 {
		t.Errorf("%s %v", c.PowerState, r.nodes())
	}
	if diff := cmp.Diff([]string{"clusterWritten", "clusterStopped", "clusterWritten", "clusterStarted"}, slices.DeleteFunc(r.audited(c.ResourceID()),
		func(e string) bool { return e == "clusterCredentialIssued" })); diff != "" {
		t.Error(diff)
	}
	// One that is stopped can be deleted.
	r.ended(r.Do("POST", path+"/stop", armtest.Owner, "").Want(202, ""), resource.Succeeded)
	r.ended(r.Do("DELETE", path, armtest.Owner, "").Want(202, ""), resource.Succeeded)
}

func TestAbort(t *testing.T) {
	r := newRig(t)
	r.create(body(t, entra))
	for len(r.driver.waits) > 0 {
		<-r.driver.waits
	}
	r.driver.set(func(d *driver) { d.hold = make(chan struct{}) })
	a := r.Do("PUT", poolsPath+"/extra", armtest.Owner, `{"properties":{"count":1}}`).Want(201, "")
	<-r.driver.waits
	abort := r.Do("POST", path+"/abort", armtest.Owner, "").Want(202, "")
	r.ended(a, resource.Canceled)
	r.ended(abort, resource.Succeeded)
	if c := r.cluster(); c.ProvisioningState != "Canceled" || r.pool("extra").Properties.ProvisioningState != "Canceled" {
		t.Errorf("%s %+v", c.ProvisioningState, r.pool("extra"))
	}
	// The next update goes on from there.
	r.driver.set(func(d *driver) { d.hold = nil })
	r.ended(r.Do("PUT", path, armtest.Owner, r.Do("GET", path, armtest.Owner, "").Body).Want(200, ""), resource.Succeeded)
	if c := r.cluster(); c.ProvisioningState != "Succeeded" || r.pool("extra").Properties.ProvisioningState != "Succeeded" || len(r.nodes()) != 4 {
		t.Errorf("%s %v", c.ProvisioningState, r.nodes())
	}
}

// TestNamedVersions: a cluster may be named for an older version, which chooses the form of a user's kubeconfig, and moves up
// one minor version at a time. What runs is said beside it.
func TestNamedVersions(t *testing.T) {
	r := newRig(t)
	r.create(body(t, `{"kubernetesVersion":"1.23.12","aadProfile":{"managed":true}}`))
	got := r.Do("GET", path, armtest.Owner, "").Body
	if !strings.Contains(got, `"kubernetesVersion":"1.23.12","currentKubernetesVersion":"1.37.2"`) || !strings.Contains(got, `"orchestratorVersion":"1.23.12","currentOrchestratorVersion":"1.37.2"`) {
		t.Errorf("body %s", got)
	}
	form := func(query string) string {
		t.Helper()
		var out struct{ Kubeconfigs []struct{ Value []byte } }
		r.Do("POST", path+"/listClusterUserCredential?api-version=2022-11-01"+query, armtest.Owner, "").Want(200, "").JSON(&out)
		switch text := string(out.Kubeconfigs[0].Value); {
		case strings.Contains(text, "command: kubelogin"):
			return "exec"
		case strings.Contains(text, "auth-provider"):
			return "azure"
		}
		return "none"
	}
	if form("") != "azure" || form("&format=exec") != "exec" || form("&format=azure") != "azure" {
		t.Errorf("1.23: %s %s %s", form(""), form("&format=exec"), form("&format=azure"))
	}
	var up struct {
		Properties struct {
			ControlPlaneProfile struct {
				KubernetesVersion string
				Upgrades          []struct{ KubernetesVersion string }
			}
		}
	}
	r.Do("GET", path+"/upgradeProfiles/default", armtest.Owner, "").Want(200, "").JSON(&up)
	if p := up.Properties.ControlPlaneProfile; p.KubernetesVersion != "1.23.12" || len(p.Upgrades) != 2 || p.Upgrades[1].KubernetesVersion != "1.24.17" {
		t.Errorf("upgrades %+v", p)
	}
	r.Do("PUT", path, armtest.Owner, with(t, got, `{"kubernetesVersion":"1.25.16"}`)).Want(400, "OperationNotAllowed")
	r.Do("PUT", path, armtest.Owner, with(t, got, `{"kubernetesVersion":"1.22.17"}`)).Want(400, "OperationNotAllowed")
	r.ended(r.Do("PUT", path, armtest.Owner, with(t, got, `{"kubernetesVersion":"1.24.17"}`)).Want(200, ""), resource.Succeeded)
	if form("") != "exec" || form("&format=azure") != "azure" {
		t.Errorf("1.24: %s %s", form(""), form("&format=azure"))
	}
	// The control plane went first; the pool follows, and no further than the cluster.
	if v := r.pool("nodepool1").Properties.OrchestratorVersion; v != "1.23.12" {
		t.Errorf("pool %s", v)
	}
	r.Do("PUT", poolsPath+"/nodepool1", armtest.Owner, `{"properties":{"orchestratorVersion":"1.25.16"}}`).Want(400, "InvalidParameter")
	r.ended(r.Do("PUT", poolsPath+"/nodepool1", armtest.Owner, `{"properties":{"orchestratorVersion":"1.24.17"}}`).Want(200, ""), resource.Succeeded)
	if v := r.pool("nodepool1").Properties.OrchestratorVersion; v != "1.24.17" {
		t.Errorf("pool %s", v)
	}
}

func TestNodeResourceGroup(t *testing.T) {
	r := newRig(t)
	c := r.create(body(t, entra))
	groups := "/subscriptions/" + armtest.Sub + "/resourceGroups/"
	got := r.Do("GET", groups+"mc_group-1_c1_westus2", armtest.Owner, "").Want(200, "").Body
	if !strings.Contains(got, `"managedBy":"`+c.ResourceID()+`"`) || !strings.Contains(got, `"name":"MC_Group-1_c1_westus2"`) {
		t.Errorf("group %s", got)
	}
	other := strings.Replace(path, "/c1", "/c2", 1)
	r.Do("PUT", other, armtest.Owner, body(t, `{"nodeResourceGroup":"MC_Group-1_c1_westus2"}`)).Want(400, "NodeResourceGroupAlreadyExists")
	r.ended(r.Do("PUT", other, armtest.Owner, body(t, `{"nodeResourceGroup":"my-nodes"}`)).Want(201, ""), resource.Succeeded)
	r.Do("GET", groups+"my-nodes", armtest.Owner, "").Want(200, "")
	r.ended(r.Do("DELETE", other, armtest.Owner, "").Want(202, ""), resource.Succeeded)
	r.Do("GET", groups+"my-nodes", armtest.Owner, "").Want(404, "ResourceGroupNotFound")

	// With its group goes the cluster, and with the cluster its nodes' group.
	op := r.Do("DELETE", groupPath, armtest.Owner, "").Want(202, "")
	r.Ended(op.Header.Get("Location"))
	r.Do("GET", groups+"MC_Group-1_c1_westus2", armtest.Owner, "").Want(404, "ResourceGroupNotFound")
	r.Do("GET", groupPath, armtest.Owner, "").Want(404, "ResourceGroupNotFound")
}

// TestPoolsAgree walks through random requests and holds what is recorded, what is answered and what the driver was told
// against each other after each.
func TestPoolsAgree(t *testing.T) {
	r := newRig(t)
	r.create(body(t, entra))
	rapid.Check(t, func(rt *rapid.T) {
		for range rapid.IntRange(1, 4).Draw(rt, "steps") {
			name := rapid.SampledFrom([]string{"nodepool1", "a", "b", "B"}).Draw(rt, "pool")
			var a armtest.Answer
			if rapid.Bool().Draw(rt, "delete") {
				a = r.Do("DELETE", poolsPath+"/"+name, armtest.Owner, "")
			} else {
				p := map[string]any{}
				if rapid.Bool().Draw(rt, "counted") {
					p["count"] = rapid.IntRange(-1, 4).Draw(rt, "count")
				}
				if m := rapid.SampledFrom([]string{"", "System", "user", "Odd"}).Draw(rt, "mode"); m != "" {
					p["mode"] = m
				}
				if s := rapid.SampledFrom([]string{"", "Stopped", "Running"}).Draw(rt, "power"); s != "" {
					p["powerState"] = map[string]string{"code": s}
				}
				raw, _ := json.Marshal(map[string]any{"properties": p})
				a = r.Do("PUT", poolsPath+"/"+name, armtest.Owner, string(raw))
			}
			if url := a.Header.Get("Azure-AsyncOperation"); url != "" {
				if op := r.Ended(url); op.Status != resource.Succeeded {
					rt.Fatalf("%s %s", op.ErrorCode, op.ErrorMessage)
				}
			} else if a.Status != 204 && a.Status != 400 {
				rt.Fatalf("answer %d %s", a.Status, a.Body)
			}
			agree(rt, r)
		}
	})
}

func agree(t *rapid.T, r *rig) {
	c := r.cluster()
	var list struct{ Value []poolAnswer }
	r.Do("GET", poolsPath, armtest.Owner, "").JSON(&list)
	if len(list.Value) != len(c.Pools) {
		t.Fatalf("%d pools in the body, %d in the record", len(list.Value), len(c.Pools))
	}
	want, system := 0, false
	for i, p := range list.Value {
		q := c.Pools[i]
		stopped := p.Properties.PowerState.Code == "Stopped"
		if p.Name != q.Name || p.Properties.Count != q.Count || p.Properties.Mode != q.Mode || stopped != q.Stopped || p.Properties.ProvisioningState != "Succeeded" {
			t.Fatalf("body %+v, record %+v", p, q)
		}
		if !stopped {
			want += p.Properties.Count
			system = system || p.Properties.Mode == "System"
		}
	}
	if got := len(r.nodes()); got != want || !system {
		t.Fatalf("%d nodes, want %d; a system pool runs: %t", got, want, system)
	}
}
