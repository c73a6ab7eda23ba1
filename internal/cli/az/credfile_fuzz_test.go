package az

import (
	"os"
	"path/filepath"
	"testing"

	"sigs.k8s.io/yaml"
)

// FuzzMergeKubeconfig merges whatever a server could give into whatever a person's file could hold: either the file stays as it
// is, to the byte, or it is a kubeconfig in which everything of another name is still there.
func FuzzMergeKubeconfig(f *testing.F) {
	const served = "clusters:\n- name: c\n  cluster: {server: https://c.test}\nusers:\n- name: u\n  user: {}\ncontexts:\n- name: c\n  context: {cluster: c, user: u}\ncurrent-context: c\n"
	f.Add(served, served, "", false)
	f.Add("clusters:\n- name: mine\n  cluster: {}\ncontexts: []\n", served, "other", true)
	f.Add("clusters: {}\n", served, "", true)
	f.Add("- a\n", "contexts: [1]\n", "x", false)
	f.Add("clusters: [c, {name: 1}]\n", served, "", true)
	f.Fuzz(func(t *testing.T, before, text, context string, overwrite bool) {
		file := filepath.Join(t.TempDir(), "config")
		if err := os.WriteFile(file, []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		_, failed := mergeKubeconfig(file, []byte(text), context, overwrite)
		after, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if failed != nil {
			if string(after) != before {
				t.Fatalf("%v, and the file is another one", failed)
			}
			return
		}
		var old, now, add map[string]any
		if yaml.Unmarshal([]byte(before), &old) != nil || yaml.Unmarshal([]byte(text), &add) != nil || yaml.Unmarshal(after, &now) != nil {
			t.Fatalf("%q, %q became %q", before, text, after)
		}
		for _, key := range []string{"clusters", "users", "contexts"} {
			served := map[string]bool{}
			rename(add, context)
			for _, n := range names(add[key]) {
				served[n] = true
			}
			kept := map[string]bool{}
			for _, n := range names(now[key]) {
				kept[n] = true
			}
			for _, n := range names(old[key]) {
				if !kept[n] && !served[n] {
					t.Fatalf("%s %q is gone:\n%q\n%q", key, n, before, after)
				}
			}
			if old[key] != nil {
				if _, isList := old[key].([]any); !isList {
					t.Fatalf("%s was no list and was thrown away: %q", key, before)
				}
			}
		}
	})
}

func names(v any) []string {
	list, _ := v.([]any)
	var out []string
	for _, e := range list {
		m, _ := e.(map[string]any)
		out = append(out, str(m, "name"))
	}
	return out
}
