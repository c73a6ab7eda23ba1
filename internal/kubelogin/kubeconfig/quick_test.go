package kubeconfig

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"
)

// FuzzQuickRead: what the quick way reads, the library reads as the same.
func FuzzQuickRead(f *testing.F) {
	for _, s := range []string{
		"a: b\n", "a:\n- b: c\n  d: --e\n- x\n", "a: |\n  b\n  c\nd: e\n", "a: |2\n\n  b\n\n  c\n", "a:\n  b: \"x y\"\n  c: 'z'\n", "a: null\nb: {}\nc: []\nd: true\n",
		"a: 6dae42f8-4368-4678-94ff-3960e28e3630\n", "a: https://x:1/y\n", "a:\n  - b\n", "a: b: c\n", "a:\n    b: c\n  d: e\n", "a: |\n   b\n  c\n", "a: x\n\n", "a: |\n  ", "a: |\n  0", "a: ---\n", "---\na: b\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, ok := quickJSON(data)
		if !ok {
			return
		}
		want, err := yaml.YAMLToJSON(data)
		if err != nil {
			t.Fatalf("the library refuses %q: %v\nquick: %s", data, err, got)
		}
		var a, b any
		if err := json.Unmarshal(got, &a); err != nil {
			t.Fatalf("%q: %s: %v", data, got, err)
		}
		if err := json.Unmarshal(want, &b); err != nil || !reflect.DeepEqual(a, b) {
			t.Fatalf("%q\nquick   %s\nlibrary %s", data, got, want)
		}
	})
}

// TestQuickWrite: what the quick way writes is what the library writes, and it is read back the quick way.
func TestQuickWrite(t *testing.T) {
	word := rapid.OneOf(
		rapid.StringMatching(`[A-Za-z/-][A-Za-z0-9/_.@:=+-]{0,12}`), rapid.StringMatching(`[ -~]{0,20}`), rapid.StringMatching(`[a-z \n]{0,12}`),
		rapid.StringMatching(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), rapid.String(),
		rapid.SampledFrom([]string{"", "true", "No", "null", "~", "1", "1e3", "0x1", "2001-01-01", installHint, "\n\nx\n\n  To y\n", "a: b", "- x", "#", "x #y", "!", "&a", "*a", "=", "<<", ".inf"}),
	)
	quick := 0
	rapid.Check(t, func(t *rapid.T) {
		exec := &execConfig{Command: word.Draw(t, "command"), Args: rapid.SliceOfN(word, 0, 3).Draw(t, "args"), APIVersion: word.Draw(t, "version"), InstallHint: word.Draw(t, "hint")}
		if rapid.Bool().Draw(t, "env") {
			exec.Env = []environment{{word.Draw(t, "name"), word.Draw(t, "value")}}
		}
		c := &config{
			Kind: "Config", APIVersion: "v1", CurrentContext: word.Draw(t, "current"),
			Clusters: []*namedCluster{{Name: word.Draw(t, "cluster"), Cluster: cluster{Server: word.Draw(t, "server"), CAData: rapid.SliceOf(rapid.Byte()).Draw(t, "ca"), InsecureSkipTLSVerify: rapid.Bool().Draw(t, "skip")}}},
			Contexts: []*namedContext{{Name: word.Draw(t, "context"), Context: contextBody{Cluster: word.Draw(t, "its cluster"), User: word.Draw(t, "its user"), Namespace: word.Draw(t, "namespace")}}},
			Users:    []*namedUser{{Name: word.Draw(t, "user"), User: user{Exec: exec, Token: word.Draw(t, "token"), Username: word.Draw(t, "username")}}},
		}
		got, ok := c.quickText()
		if !ok {
			return
		}
		quick++
		want, err := c.slowText()
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("quick:\n%s\nlibrary, %v:\n%s", got, err, want)
		}
	})
	if quick == 0 {
		t.Error("the quick way was never taken")
	}
}

// TestPlainByte holds the two words of bits to what they stand for.
func TestPlainByte(t *testing.T) {
	for i := range 256 {
		c := byte(i)
		if want := letter(c) || digit(c) || c < 128 && strings.ContainsRune("/_.@:=+-", rune(c)); plainByte(c) != want {
			t.Errorf("%q: %v", c, !want)
		}
	}
}
