package convert

import (
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/kubelogin"
)

const file = `apiVersion: v1
clusters:
- cluster: {server: "https://x"} # not plain
  name: c
contexts: []
kind: Config
users:
- name: u
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1beta1
      args: [get-token, --server-id, s]
      command: kubelogin
`

// TestPlainly: what is asked plainly is done, or fails for what is in the file; everything else is left alone.
func TestPlainly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	d := kubelogin.Deps{Out: io.Discard, Err: io.Discard, Now: time.Now, Environ: func(name string) (string, bool) {
		v, ok := map[string]string{"KUBECONFIG": path, "HOME": t.TempDir()}[name]
		return v, ok
	}}
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	for _, tt := range []struct {
		args string
		done bool
		want string // in the error, or in the file
	}{
		{"convert-kubeconfig -l azurecli", true, "- azurecli"},
		{"convert-kubeconfig --login=azurecli -v 5 --kubeconfig " + path, true, "- azurecli"},
		{"convert-kubeconfig -l none", true, "is not one of"},
		{"convert-kubeconfig -l azurecli --context none", true, "no context exists"},
		{"convert-kubeconfig -l azurecli --kubeconfig /nonexistent", true, "unable to load kubeconfig"},
		{"convert-kubeconfig -l azurecli --cubeconfig x", false, "get-token, --server-id"},
		{"convert-kubeconfig -l azurecli more", false, "get-token, --server-id"},
		{"convert-kubeconfig --help", false, "get-token, --server-id"},
		{"convert-kubeconfig -h", false, "get-token, --server-id"},
		{"__complete convert-kubeconfig --context ", false, "get-token, --server-id"},
		{"", false, "get-token, --server-id"},
	} {
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		done, err := Plainly(d, strings.Fields(tt.args))
		text, readErr := os.ReadFile(path)
		if readErr != nil {
			t.Fatal(readErr)
		}
		got := string(text)
		if err != nil {
			got = err.Error()
		}
		if done != tt.done || !strings.Contains(got, tt.want) {
			t.Errorf("%q: %v\n%s", tt.args, done, got)
		}
	}
	if now := debug.SetGCPercent(100); now != 100 {
		t.Errorf("the collector is left at %d", now)
	}
}
