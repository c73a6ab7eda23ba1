package az

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func kubeconfig(name, user, server string) []byte {
	return []byte("apiVersion: v1\nkind: Config\nclusters:\n- name: " + name + "\n  cluster: {server: " + server + "}\ncontexts:\n- name: " + name +
		"\n  context: {cluster: " + name + ", user: " + user + "}\nusers:\n- name: " + user + "\n  user: {token: t}\ncurrent-context: " + name + "\n")
}

func TestMergeKubeconfig(t *testing.T) {
	file := filepath.Join(t.TempDir(), "new", "config")
	for _, step := range []struct {
		text              []byte
		context, want     string
		overwrite, refuse bool
	}{
		{text: kubeconfig("a", "clusterUser_g_a", "https://1"), want: "a"},
		{text: kubeconfig("a", "clusterUser_g_a", "https://1"), want: "a"},
		{text: kubeconfig("a", "clusterUser_g_a", "https://2"), refuse: true},
		{text: kubeconfig("a", "clusterUser_g_a", "https://2"), want: "a", overwrite: true},
		{text: kubeconfig("a", "clusterAdmin_g_a", "https://2"), want: "a-admin"},
		{text: kubeconfig("b", "clusterUser_g_b", "https://3"), context: "mine", want: "mine"},
	} {
		before, _ := os.ReadFile(file)
		got, err := mergeKubeconfig(file, step.text, step.context, step.overwrite)
		if (err != nil) != step.refuse || got != step.want {
			t.Fatalf("%s: %q, %v", step.text, got, err)
		}
		if after, _ := os.ReadFile(file); step.refuse && string(after) != string(before) {
			t.Error("refused, and changed the file")
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"current-context: mine", "https://2", "https://3", "name: a-admin"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}
