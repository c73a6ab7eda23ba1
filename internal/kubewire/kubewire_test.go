package kubewire

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the golden files")

func settings(minor int) Settings {
	return Settings{
		Minor: minor, Dir: "/var/lib/keyreeve-gate/apiserver", GateURL: "https://127.0.0.1:9443", Cluster: "0d2f8b3e-8b3b-4b55-9f3e-6c5d1f0e7a11",
	}
}

// golden compares with a file that localkube's tests hold against Kubernetes' own types.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestFiles(t *testing.T) {
	for _, minor := range []int{30, 32, 34, 37} {
		s := settings(minor)
		files, err := s.Files()
		if err != nil {
			t.Fatal(err)
		}
		golden(t, fmt.Sprintf("authorization-1.%d.yaml", minor), files[AuthorizationFile])
		for _, d := range Distributions() {
			doc, err := s.APIServer(d)
			if err != nil {
				t.Fatal(err)
			}
			if minor == 30 || minor == 37 {
				golden(t, fmt.Sprintf("apiserver-%s-1.%d.yaml", d, minor), doc)
			}
			checkFlags(t, d, s, string(doc))
		}
	}
	files, err := settings(37).Files()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, AuthorizationKubeconfig, files[AuthorizationKubeconfig])
	golden(t, AuthenticationKubeconfig, files[AuthenticationKubeconfig])
	golden(t, "gate-rbac.yaml", MirrorManifest())
	if _, err := settings(29).Files(); err == nil {
		t.Error("files for 1.29")
	}
}

// checkFlags: the webhook for tokens is there, the gate is asked first, nothing names --authorization-mode, and the gate's
// folder is where the pod sees it.
func checkFlags(t *testing.T, d Distribution, s Settings, doc string) {
	t.Helper()
	var parsed map[string]any
	if err := yaml.UnmarshalStrict([]byte(doc), &parsed); err != nil {
		t.Error(err)
	}
	for _, f := range s.Flags() {
		if d == Talos && f.Name == "authorization-config" {
			if strings.Contains(doc, f.Name) {
				t.Errorf("talos refuses the flag %s", f.Name)
			}
			continue
		}
		if !strings.Contains(doc, f.Name) || !strings.Contains(doc, f.Value) {
			t.Errorf("%s 1.%d lacks %s=%s:\n%s", d, s.Minor, f.Name, f.Value, doc)
		}
	}
	if strings.Contains(doc, "authorization-mode") {
		t.Errorf("%s names authorization-mode:\n%s", d, doc)
	}
	if d == Talos && strings.Index(doc, "type: Webhook") > strings.Index(doc, "type: Node") {
		t.Errorf("talos: the gate is not first:\n%s", doc)
	}
	if d != K3s && !strings.Contains(doc, s.Dir+"\n") && !strings.Contains(doc, s.Dir+":") {
		t.Errorf("%s does not show the folder to the pod:\n%s", d, doc)
	}
	if has := strings.Contains(doc, "ConstrainedImpersonation=false"); has != (s.Minor >= 36) {
		t.Errorf("%s 1.%d: ConstrainedImpersonation %v", d, s.Minor, has)
	}
}

func TestParse(t *testing.T) {
	for text, want := range map[string]int{"1.33": 33, "v1.33.4": 33, "v1.34.1+k3s1": 34, "1.30": 30, "1.29": 0, "2.33": 0, "": 0, "1.": 0, "1.-3": 0, "1.x": 0, "v1.3x": 0} {
		got, err := ParseMinor(text)
		if got != want || (err == nil) != (want != 0) {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	for _, d := range Distributions() {
		if got, err := ParseDistribution(strings.ToUpper(string(d))); got != d || err != nil {
			t.Errorf("%s: %s, %v", d, got, err)
		}
		guide := settings(37).Guide(d, "away-gate")
		for _, want := range []string{"away-gate/gate-rbac.yaml", d.Minimum(), "10 s", "system:masters", "Constrained impersonation"} {
			if !strings.Contains(guide, want) {
				t.Errorf("the guide for %s lacks %q", d, want)
			}
		}
	}
	if _, err := ParseDistribution("openshift"); err == nil {
		t.Error("openshift is taken")
	}
}
