package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/test/harness"
)

// TestRecover: the way in when all else fails, with no control plane; written down, and reported when it is back.
func TestRecover(t *testing.T) {
	k := harness.Up(t)
	p := signIn(t, k)
	p.az("group", "create", "-n", "rg", "-l", "eastus", "-o", "none")
	p.az("aks", "create", "-g", "rg", "-n", "c1", "--node-count", "1", "--generate-ssh-keys", "--enable-aad", "--disable-local-accounts", "-o", "none")
	k.Kill()

	file := filepath.Join(t.TempDir(), "recover.kubeconfig")
	_, stderr, status := harness.Run(t, p.env, "keyreeve", "cluster", "recover", "c1", "--data", string(k.Data), "--file", file)
	if status == 0 || !strings.Contains(stderr, "--reason") {
		t.Fatalf("without a reason: status %d, %s", status, stderr)
	}
	_, stderr, status = harness.Run(t, p.env, "keyreeve", "cluster", "recover", "nope", "--data", string(k.Data), "--reason", "drill")
	if status == 0 || !strings.Contains(stderr, "/managedClusters/c1") {
		t.Fatalf("with another name: status %d, %s", status, stderr)
	}
	harness.Must(t, p.env, "keyreeve", "cluster", "recover", "c1", "--data", string(k.Data), "--reason", "fire drill", "--file", file)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the kubeconfig: %v, %v", info, err)
	}
	out := p.kubectl("--kubeconfig", file, "auth", "whoami", "-o", "json")
	var who struct {
		Status struct {
			UserInfo struct{ Groups []string }
		}
	}
	if err := json.Unmarshal([]byte(out), &who); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(strings.Join(who.Status.UserInfo.Groups, " "), "system:masters") {
		t.Errorf("groups %v", who.Status.UserInfo.Groups)
	}
	p.kubectl("--kubeconfig", file, "get", "secrets", "-A")

	k.Start()
	eventually(t, 15*time.Second, "the control plane reports it", func() bool {
		return strings.Contains(k.All(), "an emergency kubeconfig was minted") && strings.Contains(k.All(), "fire drill")
	})
}

// TestTwoOnOneFolder: a second Keyreeve on the same data says who has it.
func TestTwoOnOneFolder(t *testing.T) {
	k := harness.Up(t)
	_, stderr, status := harness.Run(t, harness.BareEnv(t.TempDir()), "keyreeve", "up", "--data", string(k.Data), "--listen", k.Listen)
	if status == 0 || !strings.Contains(stderr, "another keyreeve serves this data folder") {
		t.Errorf("status %d, %s", status, stderr)
	}
}
