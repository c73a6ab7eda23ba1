package e2e

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/keyreeve/keyreeve/test/harness"
)

// TestChart installs the Helm chart in a cluster whose namespace takes no pod that may do more than it needs: every object is
// accepted by a real API server, its pods are made and said to run, and an upgrade to certificates and an authority of an
// operator's goes through. The nodes are pretended, so no container of it starts.
func TestChart(t *testing.T) {
	k := harness.Up(t)
	env := k.Env(t.TempDir())
	harness.Must(t, env, "keyreeve", "login", "-u", k.Admin.UserPrincipalName, "-p", k.Admin.Password, "-o", "none")
	harness.Must(t, env, "keyreeve", "group", "create", "-n", "rg", "-l", "eastus", "-o", "none")
	harness.Must(t, env, "keyreeve", "aks", "create", "-g", "rg", "-n", "c1", "--node-count", "2", "--no-ssh-key", "-o", "none")
	config := filepath.Join(t.TempDir(), "config")
	harness.Must(t, env, "keyreeve", "aks", "get-credentials", "-g", "rg", "-n", "c1", "--admin", "-f", config)
	env = append(env, "KUBECONFIG="+config)
	kubectl := func(args ...string) string { return harness.Must(t, env, "clients/kubectl", args...) }
	kubectl("create", "namespace", "keyreeve")
	kubectl("label", "namespace", "keyreeve", "pod-security.kubernetes.io/enforce=restricted")
	for name, key := range map[string]string{"keyreeve-seal-key": "seal.key", "keyreeve-database": "dsn", "keyreeve-admin": "password"} {
		kubectl("create", "secret", "generic", name, "-n", "keyreeve", "--from-literal", key+"=x")
	}
	chart := filepath.Join(harness.Root(t), "deploy", "helm", "keyreeve")
	helm := func(args ...string) { harness.Must(t, env, "clients/helm", append(args, "-n", "keyreeve")...) }
	helm("install", "kr", chart, "--wait", "--timeout", "60s")
	for _, face := range []string{"login", "arm", "graph"} {
		kubectl("create", "secret", "generic", face+"-tls", "-n", "keyreeve", "--from-literal", "tls.crt=x", "--from-literal", "tls.key=x")
	}
	kubectl("create", "configmap", "corporate", "-n", "keyreeve", "--from-literal", "ca.crt=x")
	helm("upgrade", "kr", chart, "--wait", "--timeout", "60s", "--set", "init.enabled=false,authority.configMap=corporate",
		"--set", "tls.login=login-tls,tls.arm=arm-tls,tls.graph=graph-tls,federation.privateNetworks={10.20.0.0/16}")
	var got struct {
		Items []struct {
			Spec struct {
				ServiceAccountName string `json:"serviceAccountName"`
				InitContainers     []any  `json:"initContainers"`
			} `json:"spec"`
			Status struct {
				Phase string `json:"phase"`
			} `json:"status"`
		} `json:"items"`
	}
	if err := json.Unmarshal([]byte(kubectl("get", "pods", "-n", "keyreeve", "-o", "json", "-l", "app.kubernetes.io/instance=kr")), &got); err != nil {
		t.Fatal(err)
	}
	running := 0
	for _, p := range got.Items {
		if p.Status.Phase == "Running" && len(p.Spec.InitContainers) == 0 && p.Spec.ServiceAccountName == "kr" {
			running++
		}
	}
	if running != 2 {
		t.Errorf("%d pods of two run: %+v", running, got.Items)
	}
	helm("uninstall", "kr", "--wait", "--timeout", "60s")
}
