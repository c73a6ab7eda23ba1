package kubeconfig_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/test/harness"
)

// A corpus of kubeconfigs of public Azure: one user each that kubelogin signs in, beside others of all kinds.
func corpus() map[string]string {
	const top = `apiVersion: v1
kind: Config
current-context: aks
preferences: {colors: true}
clusters:
- name: zeta
  cluster: {server: "https://z:443", insecure-skip-tls-verify: true, proxy-url: "http://proxy:1"}
- name: aks
  cluster:
    certificate-authority-data: YWJjZGVm
    server: https://aks-1.hcp.westeurope.azmk8s.io:443
    extensions:
    - name: z
      extension: {b: 1, a: [x, 1.5, null, "yes"]}
    - name: a
      extension: {provider: minikube, version: v1}
contexts:
- name: zeta
  context: {cluster: zeta, user: cert, namespace: kube-system}
- name: aks
  context: {cluster: aks, user: clusterUser_rg_aks}
users:
- name: eks
  user:
    exec: {apiVersion: client.authentication.k8s.io/v1beta1, command: aws, args: [eks, get-token], env: [{name: AWS_PROFILE, value: p}]}
- name: cert
  user: {client-certificate: /pki/c.crt, client-key: /pki/k.key, as: somebody, as-groups: [a, b], as-user-extra: {k: [v]}}
- name: basic
  user: {username: "on", password: "0123", token: "1e3"}
`
	args := func(list ...string) string {
		var b strings.Builder
		b.WriteString("- name: clusterUser_rg_aks\n  user:\n    exec:\n      apiVersion: client.authentication.k8s.io/v1beta1\n      command: kubelogin\n      env: null\n      args:\n")
		for _, a := range list {
			fmt.Fprintf(&b, "      - %q\n", a)
		}
		return b.String()
	}
	full := []string{
		"get-token", "--environment", "AzurePublicCloud", "--server-id", "6dae42f8-4368-4678-94ff-3960e28e3630",
		"--client-id", "80faf920-1908-4b52-b5ef-a8e7bedfc67a", "--tenant-id", "72f988bf-86f1-41af-91ab-2d7cd011db47", "--login", "devicecode",
	}
	provider := func(more string) string {
		return "- name: clusterUser_rg_aks\n  user:\n    auth-provider:\n      name: azure\n      config: {apiserver-id: s, client-id: c, tenant-id: t, environment: AzurePublicCloud" + more + "}\n"
	}
	return map[string]string{
		"aks":            top + args(full...),
		"aks with hint":  top + args(full...) + "      installHint: \"own hint: \\\"x\\\"\\n  second\\n\"\n",
		"interactive":    top + args(full...) + "      interactiveMode: IfAvailable\n      provideClusterInfo: false\n",
		"never":          top + args(full...) + "      interactiveMode: Never\n",
		"legacy":         top + args(append(full, "--legacy")...),
		"cache dir":      top + args(append(full, "--token-cache-dir", "/tmp/a b")...),
		"cache dirs":     top + args(append(full, "--token-cache-dir", "/tmp/x", "--cache-dir", "/tmp/y")...),
		"pop":            top + args(append(full, "--pop-enabled", "--pop-claims", "u=/ARM/ID,k=v")...),
		"pop half":       top + args(append(full, "--pop-enabled")...),
		"browser":        top + args(append(full, "--redirect-url", "http://localhost:8000", "--login-hint", "a@b.c")...),
		"no server":      top + args("get-token", "--client-id", "c", "--tenant-id", "t"),
		"no client":      top + args("get-token", "--server-id", "s", "--tenant-id", "t"),
		"no tenant":      top + args("get-token", "--server-id", "s", "--client-id", "c"),
		"short":          top + args("get-token", "--server-id", "s", "--client-id", "c", "--tenant-id", "t"),
		"a path":         top + strings.Replace(args(full...), "command: kubelogin", "command: /usr/local/bin/KubeLogin.exe", 1),
		"v1":             top + strings.Replace(args(full...), "v1beta1", "v1", 1) + "      interactiveMode: Always\n",
		"provider":       top + provider(""),
		"provider 0":     top + provider(`, config-mode: "0"`),
		"provider 1":     top + provider(`, config-mode: "1"`),
		"provider empty": top + "- name: clusterUser_rg_aks\n  user: {auth-provider: {name: azure}}\n",
		"paths":          top + args(full...) + "    client-certificate: a/../b.crt\n    client-key: ../up.key\n    tokenFile: /etc/token\n",
		"nobody":         top,
		"gcp":            top + "- name: g\n  user: {auth-provider: {name: gcp, config: {a: b}}}\n",
		"empty":          "",
		"bare":           "users:\n" + args(full...),
		"unknown fields": top + args(full...) + "      pluginPolicy: x\n    future: true\nmore: 1\n",
		"unicode":        strings.ReplaceAll(top, "kube-system", "\"k\u00fc\u2028\U0001F600\\t\"") + args(full...),
		"long lines":     strings.ReplaceAll(top, "somebody", strings.Repeat("word and ", 40)) + args(full...),
		"json":           `{"apiVersion":"v1","kind":"Config","users":[{"name":"u","user":{"exec":{"command":"kubelogin","args":["get-token","--server-id","s"],"apiVersion":"client.authentication.k8s.io/v1beta1"}}}],"clusters":[],"contexts":null,"current-context":""}`,
		"not yaml":       "a: [",
		"a list":         "- a\n",
		"twice":          top + args(full...) + args(full...),
		"wrong kind":     "apiVersion: v1\nkind: Pod\n",
		"wrong type":     "apiVersion: v1\nkind: Config\nusers: {a: b}\n",
	}
}

type run struct {
	args []string
	env  []string
}

func runs() []run {
	var out []run
	for _, mode := range []string{"devicecode", "interactive", "spn", "ropc", "msi", "azurecli", "azd", "workloadidentity", "azurepipelines"} {
		out = append(out, run{args: []string{"-l", mode}})
		out = append(out, run{args: []string{
			"--login=" + mode, "--client-id", "given-client", "--tenant-id", "given-tenant", "--server-id", "given-server", "--environment", "AzureUSGovernmentCloud",
			"--client-secret", "sec ret", "--client-certificate", "/c.pfx", "--client-certificate-password", "pw", "--username", "u@x", "--password", "p#w: y",
			"--identity-resource-id", "/id", "--federated-token-file", "/tok", "--subscription", "sub", "--azure-pipelines-service-connection-id", "conn",
			"--redirect-url", "http://localhost", "--login-hint", "hint", "--cache-dir", "/given", "--disable-environment-override", "--legacy", "--azure-config-dir", "/az",
		}})
	}
	return append(out,
		run{env: []string{"AAD_LOGIN_METHOD=spn", "AZURE_CLIENT_ID=env-client", "AZURE_TENANT_ID=env-tenant"}},
		run{args: []string{"-l", "spn", "--client-id", "flag", "-t", "flag"}, env: []string{"AZURE_CLIENT_ID=env-client", "AAD_SERVICE_PRINCIPAL_CLIENT_ID=older", "AZURE_TENANT_ID=env-tenant"}},
		run{args: []string{"-l", "spn", "--client-id", "flag", "--use-azurerm-env-vars"}, env: []string{"ARM_CLIENT_ID=arm", "ARM_TENANT_ID=arm", "AZURE_CLIENT_ID=env"}},
		run{args: []string{"-l", "workloadidentity", "--authority-host", "https://login.microsoftonline.com/", "--client-id", "x"}, env: []string{"AZURE_CLIENT_ID=env"}},
		run{args: []string{"-l", "msi", "--identity-resource-id", "/id"}},
		run{args: []string{"-l", "interactive", "--pop-enabled", "--pop-claims", "u=/x"}},
		run{args: []string{"-l", "ropc", "--pop-enabled=false"}},
		run{args: []string{"-l", "devicecode", "--legacy=false"}},
		run{args: []string{"--context", "aks", "-l", "azurecli"}},
		run{args: []string{"--context", "zeta", "-l", "azurecli"}},
		run{args: []string{"--context", "none", "-l", "azurecli"}},
		run{args: []string{"--token-cache-dir", "/old", "-l", "azurecli"}},
		run{args: []string{"-l", "nonsense"}},
		run{args: []string{"--pop-enabled"}},
		run{args: []string{"--timeout", "0s"}},
	)
}

// TestOthersKeepTheirPaths: Azure's makes relative paths of everybody absolute, or shorter, and rewrites a file for that alone.
// Ours leaves what it does not convert as it is.
func TestOthersKeepTheirPaths(t *testing.T) {
	azure, ours := harness.Program(t, "clients/kubelogin"), harness.Program(t, "kubelogin")
	text := strings.ReplaceAll(corpus()["nobody"], "/pki/k.key", "../k.key")
	r := run{args: []string{"-l", "azurecli"}}
	if got, _ := convert(t, azure, text, r); got == text {
		t.Error("Azure's kubelogin does not do that any more: the difference can go")
	}
	if got, status := convert(t, ours, text, r); got != text || status != 0 {
		t.Errorf("status %d, and the file is now\n%s", status, got)
	}
	text += corpus()["aks"][len(corpus()["nobody"]):]
	if got, _ := convert(t, ours, text, r); !strings.Contains(got, "client-key: ../k.key\n") || !strings.Contains(got, "- azurecli\n") {
		t.Errorf("the file is now\n%s", got)
	}
}

// convert runs a program on a copy of a kubeconfig and returns what became of it.
func convert(t *testing.T, program, text string, r run) (string, int) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "config")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), program, append([]string{"convert-kubeconfig", "--kubeconfig", path}, r.args...)...)
	cmd.Env = append(r.env, "HOME="+dir)
	out, _ := cmd.CombinedOutput()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("%s left files behind: %v", program, entries)
	}
	return strings.ReplaceAll(string(data), dir, "DIR"), cmd.ProcessState.ExitCode() + 0*len(out)
}

// TestConversionsAreAzures converts a corpus with Azure's kubelogin and ours: the same bytes, the same exit status.
func TestConversionsAreAzures(t *testing.T) {
	azure, ours := harness.Program(t, "clients/kubelogin"), harness.Program(t, "kubelogin")
	cases := runs()
	for name, text := range corpus() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for i, r := range cases {
				// Every text by every plain mode; the other flags with the texts in turn, and with the first of them always.
				if i >= 18 && name != "aks" && (i+len(name))%5 != 0 {
					continue
				}
				want, wantStatus := convert(t, azure, text, r)
				got, status := convert(t, ours, text, r)
				if got != want || status != wantStatus {
					t.Errorf("%v %v\nours, status %d:\n%s\nAzure's, status %d:\n%s", r.args, r.env, status, got, wantStatus, want)
				}
			}
		})
	}
}

// TestSeveralUsers: Azure's writes a file once for each user, in no order, and the default that it reads back is missing at
// the one written last. Ours is one of its results: the one where the last by name is last.
func TestSeveralUsers(t *testing.T) {
	azure, ours := harness.Program(t, "clients/kubelogin"), harness.Program(t, "kubelogin")
	text := corpus()["aks"] + strings.ReplaceAll(corpus()["aks"][strings.Index(corpus()["aks"], "- name: clusterUser"):], "clusterUser", "another")
	got, _ := convert(t, ours, text, run{args: []string{"-l", "azurecli"}})
	for range 40 {
		if want, _ := convert(t, azure, text, run{args: []string{"-l", "azurecli"}}); got == want {
			return
		}
	}
	t.Errorf("none of 40 conversions by Azure's kubelogin is ours:\n%s", got)
}

// TestSeveralFiles: users are written to the files that they come from, and a file without any keeps its bytes.
func TestSeveralFiles(t *testing.T) {
	programs := []string{harness.Program(t, "clients/kubelogin"), harness.Program(t, "kubelogin")}
	var results [2][]byte
	for i, program := range programs {
		dir := t.TempDir()
		texts := []string{corpus()["nobody"], strings.ReplaceAll(corpus()["aks"], "name: cert", "name: other"), strings.ReplaceAll(corpus()["provider"], "clusterUser_rg_aks", "third")}
		var paths []string
		for n, text := range texts {
			paths = append(paths, filepath.Join(dir, fmt.Sprint(n)))
			if err := os.WriteFile(paths[n], []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.CommandContext(t.Context(), program, "convert-kubeconfig", "-l", "azurecli")
		cmd.Env = []string{"HOME=" + dir, "KUBECONFIG=" + strings.Join(append(paths, filepath.Join(dir, "missing")), ":")}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		for _, p := range paths {
			data, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			results[i] = append(results[i], data...)
		}
	}
	if !bytes.Equal(results[0], results[1]) {
		t.Errorf("ours:\n%s\nAzure's:\n%s", results[1], results[0])
	}
}
