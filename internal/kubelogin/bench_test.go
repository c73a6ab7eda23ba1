package kubelogin_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/test/harness"
)

// pairwise runs several commands in turn, b.N times, and reports the middle of what each took.
func pairwise(b *testing.B, names []string, commands []func() *exec.Cmd) map[string]time.Duration {
	b.Helper()
	took, cpu := make([][]time.Duration, len(names)), make([]time.Duration, len(names))
	for b.Loop() {
		for i, command := range commands {
			cmd := command()
			begun := time.Now()
			if err := cmd.Run(); err != nil {
				b.Fatalf("%s: %v", names[i], err)
			}
			took[i] = append(took[i], time.Since(begun))
			cpu[i] += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
		}
	}
	middle := map[string]time.Duration{}
	for i, name := range names {
		slices.Sort(took[i])
		middle[name] = took[i][len(took[i])/2]
		b.ReportMetric(float64(middle[name].Microseconds())/1000, name+"-ms")
		b.ReportMetric(float64(took[i][0].Microseconds())/1000, name+"-best-ms")
		b.ReportMetric(float64(cpu[i].Microseconds())/1000/float64(len(took[i])), name+"-cpu-ms")
	}
	return middle
}

// emptyProgram builds a Go program that does nothing.
func emptyProgram(b *testing.B) string {
	b.Helper()
	dir := b.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	out := filepath.Join(dir, "empty")
	if text, err := exec.CommandContext(b.Context(), "go", "build", "-o", out, filepath.Join(dir, "main.go")).CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, text)
	}
	return out
}

// BenchmarkCompareCachedToken is what every kubectl call waits for: get-token with a good token in the cache, with Azure's
// kubelogin and ours after the same sign-in. Azure's keeps its tokens in the kernel's keyring where it can, and signs in again
// where it can't, which is measured with it.
func BenchmarkCompareCachedToken(b *testing.B) {
	a := newAuthority(b)
	args := []string{
		"get-token", "-l", "ropc", "--server-id", server, "--tenant-id", tenant, "--client-id", client, "--username", user, "--password", "p",
		"--authority-host", a.URL + "/", "--disable-instance-discovery",
	}
	names, commands := []string{"empty"}, []func() *exec.Cmd{func() *exec.Cmd { return nil }}
	empty := emptyProgram(b)
	commands[0] = func() *exec.Cmd { return exec.CommandContext(b.Context(), empty) }
	for _, program := range programs {
		home := b.TempDir()
		path := harness.Program(b, program)
		command := func() *exec.Cmd {
			cmd := exec.CommandContext(b.Context(), path, args...)
			cmd.Env = append([]string{"HOME=" + home}, trust(b, program, a.CA)...)
			return cmd
		}
		if err := command().Run(); err != nil {
			b.Fatal(err)
		}
		names, commands = append(names, map[string]string{"clients/kubelogin": "azure", "kubelogin": "ours"}[program]), append(commands, command)
	}
	azure := harness.Program(b, programs[0])
	names, commands = append(names, "azure-version"), append(commands, func() *exec.Cmd { return exec.CommandContext(b.Context(), azure, "--version") })
	before := len(a.last())
	m := pairwise(b, names, commands)
	asked := len(a.last())
	b.ReportMetric(float64(m["ours"])/float64(m["azure"]), "ours/azure")
	b.ReportMetric(float64(m["ours"])/float64(m["azure-version"]), "ours/azure-version")
	b.ReportMetric(float64(m["ours"])/float64(m["empty"]), "ours/empty")
	b.ReportMetric(float64(asked)/float64(max(b.N, 1)), "sign-ins")
	if before == 0 {
		b.Fatal("nobody signed in")
	}
	if m["ours"]*2 > m["azure-version"] {
		b.Errorf("a cached token takes %s, more than half of Azure's --version, %s", m["ours"], m["azure-version"])
	}
}

// kubeconfigOf has n contexts, each with a cluster and a user of its own, as az writes them.
func kubeconfigOf(n int) string {
	var clusters, contexts, users strings.Builder
	for i := range n {
		fmt.Fprintf(&clusters, "- cluster:\n    certificate-authority-data: %s\n    server: https://c%d.hcp.test:443\n  name: c%d\n", strings.Repeat("QUJD", 400), i, i)
		fmt.Fprintf(&contexts, "- context:\n    cluster: c%d\n    user: u%d\n  name: c%d\n", i, i, i)
		fmt.Fprintf(&users, "- name: u%d\n  user:\n    exec:\n      apiVersion: client.authentication.k8s.io/v1beta1\n      args:\n      - get-token\n      - --environment\n      - AzurePublicCloud\n"+
			"      - --server-id\n      - %s\n      - --client-id\n      - %s\n      - --tenant-id\n      - %s\n      - --login\n      - devicecode\n      command: kubelogin\n      env: null\n      provideClusterInfo: false\n", i, server, client, tenant)
	}
	return "apiVersion: v1\nclusters:\n" + clusters.String() + "contexts:\n" + contexts.String() + "current-context: c0\nkind: Config\npreferences: {}\nusers:\n" + users.String()
}

// BenchmarkConvert converts a kubeconfig of 1,000 contexts, the whole process.
func BenchmarkConvert(b *testing.B) {
	text := kubeconfigOf(1000)
	path := filepath.Join(b.TempDir(), "config")
	program := harness.Program(b, "kubelogin")
	pairwise(b, []string{"ours"}, []func() *exec.Cmd{func() *exec.Cmd {
		writeFile(b, path, text)
		return exec.CommandContext(b.Context(), program, "convert-kubeconfig", "-l", "azurecli", "--kubeconfig", path)
	}})
}

// BenchmarkCompareConvert sets it beside Azure's, at 100 contexts: Azure's writes the file once for each user.
func BenchmarkCompareConvert(b *testing.B) {
	text := kubeconfigOf(100)
	path := filepath.Join(b.TempDir(), "config")
	var commands []func() *exec.Cmd
	for _, p := range programs {
		program := harness.Program(b, p)
		commands = append(commands, func() *exec.Cmd {
			writeFile(b, path, text)
			return exec.CommandContext(b.Context(), program, "convert-kubeconfig", "-l", "azurecli", "--kubeconfig", path)
		})
	}
	m := pairwise(b, []string{"azure", "ours"}, commands)
	b.ReportMetric(float64(m["ours"])/float64(m["azure"]), "ours/azure")
}
