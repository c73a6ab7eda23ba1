package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/test/harness"
)

// person is somebody at a terminal of their own, signed in as the first administrator.
type person struct {
	t   testing.TB
	k   *harness.Keyreeve
	env []string
}

func signIn(t testing.TB, k *harness.Keyreeve) person {
	t.Helper()
	p := person{t, k, k.Env(t.TempDir())}
	p.az("login", "-u", k.Admin.UserPrincipalName, "-p", k.Admin.Password, "-o", "none")
	return p
}

func (p person) az(args ...string) string {
	p.t.Helper()
	return harness.Must(p.t, p.env, "clients/az", args...)
}

func (p person) kubectl(args ...string) string {
	p.t.Helper()
	return harness.Must(p.t, p.env, "clients/kubectl", args...)
}

// tryKubectl is kubectl for a command that may fail.
func (p person) tryKubectl(args ...string) (output string, ok bool) {
	p.t.Helper()
	stdout, stderr, status := harness.Run(p.t, p.env, "clients/kubectl", args...)
	return stdout + stderr, status == 0
}

// with is the person with one more variable set.
func (p person) with(name, value string) person {
	env := append([]string{}, p.env...)
	p.env = append(env, name+"="+value)
	return p
}

// cluster creates a cluster with one node and leaves its admin kubeconfig as the current one.
func (p person) cluster(name string, args ...string) {
	p.t.Helper()
	if p.az("group", "exists", "-n", "rg") == "false" {
		p.az("group", "create", "-n", "rg", "-l", "eastus", "-o", "none")
	}
	p.az(append([]string{"aks", "create", "-g", "rg", "-n", name, "--node-count", "1", "--generate-ssh-keys", "-o", "none"}, args...)...)
	p.az("aks", "get-credentials", "-g", "rg", "-n", name, "--admin", "--overwrite-existing")
}

// eventually waits until a condition holds.
func eventually(t testing.TB, limit time.Duration, what string, holds func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for !holds() {
		if time.Since(start) > limit {
			t.Fatalf("%s: not within %s", what, limit)
		}
		<-again.C
	}
	return time.Since(start)
}

// localkubes returns the process ids of a Keyreeve's clusters.
func localkubes(t testing.TB, k *harness.Keyreeve) []int {
	t.Helper()
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	own, err := filepath.Glob(filepath.Join(k.Data.Clusters(), "*"))
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		cmd, err := os.ReadFile(filepath.Join("/proc", d.Name(), "cmdline"))
		if err != nil || !strings.Contains(string(cmd), "localkube") {
			continue
		}
		links, err := filepath.Glob(filepath.Join("/proc", d.Name(), "fd", "*"))
		if err != nil {
			continue
		}
		for _, l := range links {
			target, err := os.Readlink(l)
			if err == nil && len(own) > 0 && strings.HasPrefix(target, k.Data.Clusters()) {
				pids = append(pids, pid)
				break
			}
		}
	}
	return pids
}

// TestControlPlaneIsKilledUnderLoad: controllers, scheduler and service accounts of a cluster depend neither on the
// control plane nor on its gate; who signs in meets "unknown", not "no"; and a control plane that comes back takes the
// running cluster as it is.
func TestControlPlaneIsKilledUnderLoad(t *testing.T) {
	k := harness.Up(t)
	p := signIn(t, k)
	p.cluster("c1")
	before := localkubes(t, k)
	if len(before) != 1 {
		t.Fatalf("%d processes for one cluster", len(before))
	}

	// A service account that may make deployments, and its token.
	p.kubectl("create", "serviceaccount", "robot")
	p.kubectl("create", "rolebinding", "robot", "--clusterrole", "edit", "--serviceaccount", "default:robot")
	token := p.kubectl("create", "token", "robot", "--duration", "1h")
	server := p.kubectl("config", "view", "--raw", "-o", "jsonpath={.clusters[?(@.name=='c1')].cluster.server}")
	ca := filepath.Join(t.TempDir(), "ca.crt")
	data := p.kubectl("config", "view", "--raw", "-o", "go-template={{range .clusters}}{{index .cluster \"certificate-authority-data\" | base64decode}}{{end}}")
	if err := os.WriteFile(ca, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	robot := p.with("KUBECONFIG", "/dev/null")
	as := []string{"--server", server, "--certificate-authority", ca, "--token", token}
	run := func(args ...string) string { return robot.kubectl(append(args, as...)...) }

	run("create", "deployment", "web", "--image", "nginx", "--replicas", "2")
	k.Kill()

	// Load while nobody is there: scale up and down, make and delete, each seen through by controllers and scheduler.
	for i, replicas := range []int{20, 3, 30, 5} {
		run("scale", "deployment/web", "--replicas", fmt.Sprint(replicas))
		run("rollout", "status", "deployment/web", "--timeout", "60s")
		name := fmt.Sprintf("batch-%d", i)
		run("create", "job", name, "--image", "busybox")
		run("wait", "--for", "condition=complete", "job/"+name, "--timeout", "60s")
	}
	if out, ok := p.tryKubectl("get", "nodes"); ok || strings.Contains(out, "Forbidden") && strings.Contains(out, "is forbidden: User") {
		t.Errorf("with no gate, an admin's certificate was answered with a decision:\n%s", out)
	}

	k.Start()
	t.Logf("ready %s after the start on existing data", k.ReadyAfter.Round(time.Millisecond))
	took := eventually(t, 15*time.Second, "an admin's certificate works again", func() bool {
		_, ok := p.tryKubectl("get", "nodes")
		return ok
	})
	t.Logf("an admin's certificate works %s after that", took.Round(time.Millisecond))
	if after := localkubes(t, k); len(after) != 1 || after[0] != before[0] {
		t.Errorf("the cluster's process is %v, want the same as before: %v", after, before)
	}
	if got := p.kubectl("get", "deployment", "web", "-o", "jsonpath={.status.readyReplicas}"); got != "5" {
		t.Errorf("%s replicas are ready, want 5", got)
	}
}

// TestEverythingIsKilled: control plane and cluster die together; both come back with their data.
func TestEverythingIsKilled(t *testing.T) {
	k := harness.Up(t)
	p := signIn(t, k)
	p.cluster("c1")
	p.kubectl("create", "configmap", "kept", "--from-literal", "a=b")
	pids := localkubes(t, k)
	if len(pids) != 1 {
		t.Fatalf("%d processes for one cluster", len(pids))
	}
	k.Kill()
	killProcess(t, pids[0])
	k.Start()
	took := eventually(t, 30*time.Second, "the cluster is back", func() bool {
		_, ok := p.tryKubectl("get", "configmap", "kept")
		return ok
	})
	t.Logf("the cluster answers %s after the control plane", took.Round(time.Millisecond))

	// Only the cluster dies: the supervisor brings it back.
	pids = localkubes(t, k)
	if len(pids) != 1 {
		t.Fatalf("%d processes for one cluster", len(pids))
	}
	killProcess(t, pids[0])
	took = eventually(t, 30*time.Second, "the cluster is back", func() bool {
		_, ok := p.tryKubectl("get", "configmap", "kept")
		return ok
	})
	t.Logf("a killed cluster answers again after %s", took.Round(time.Millisecond))
	if state := p.az("aks", "show", "-g", "rg", "-n", "c1", "--query", "provisioningState", "-o", "tsv"); state != "Succeeded" {
		t.Errorf("provisioningState %s", state)
	}
}

// TestKilledWhileCreating: a create that was acknowledged goes on after the control plane is killed in the middle of it.
func TestKilledWhileCreating(t *testing.T) {
	k := harness.Up(t)
	p := signIn(t, k)
	p.az("group", "create", "-n", "rg", "-l", "eastus", "-o", "none")
	p.az("aks", "create", "-g", "rg", "-n", "c1", "--node-count", "1", "--generate-ssh-keys", "--no-wait")
	k.Kill()
	k.Start()
	p.az("aks", "wait", "-g", "rg", "-n", "c1", "--created", "--interval", "1", "--timeout", "60")
	p.az("aks", "get-credentials", "-g", "rg", "-n", "c1", "--admin")
	if out := p.kubectl("get", "nodes", "-o", "name"); !strings.HasPrefix(out, "node/aks-nodepool1-") {
		t.Errorf("nodes: %s", out)
	}
	p.az("aks", "delete", "-g", "rg", "-n", "c1", "--yes")
	if pids := localkubes(t, k); len(pids) != 0 {
		t.Errorf("processes left after the cluster was deleted: %v", pids)
	}
	if left, _ := filepath.Glob(filepath.Join(k.Data.Clusters(), "*")); len(left) != 0 {
		t.Errorf("folders left after the cluster was deleted: %v", left)
	}
}

func killProcess(t *testing.T, pid int) {
	t.Helper()
	proc, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := proc.Kill(); err != nil {
		t.Fatal(err)
	}
}
