package repotest

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// koConfig is what we use of ko's configuration.
type koConfig struct {
	DefaultBaseImage string   `json:"defaultBaseImage"`
	DefaultPlatforms []string `json:"defaultPlatforms"`
	Builds           []struct {
		ID      string   `json:"id"`
		Main    string   `json:"main"`
		Env     []string `json:"env"`
		Flags   []string `json:"flags"`
		Ldflags []string `json:"ldflags"`
	} `json:"builds"`
}

// TestImageBuild reads the configuration of the image build: what it names is there, and images run as nobody special.
func TestImageBuild(t *testing.T) {
	text, err := os.ReadFile("../../.ko.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var c koConfig
	if err := yaml.UnmarshalStrict(text, &c); err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(c.DefaultBaseImage, ":nonroot") || len(c.DefaultPlatforms) == 0 || len(c.Builds) == 0 {
		t.Errorf("%+v", c)
	}
	for _, b := range c.Builds {
		source, err := os.ReadFile(filepath.Join("../..", b.Main, "main.go"))
		if err != nil || !strings.Contains(string(source), "package main") {
			t.Errorf("%s: %v", b.ID, err)
		}
		if !slices.Contains(b.Env, "CGO_ENABLED=0") {
			t.Errorf("%s: the base image has no C library", b.ID)
		}
		for _, f := range b.Ldflags {
			if name, ok := strings.CutPrefix(f, "-X main."); ok {
				if name, _, _ = strings.Cut(name, "="); !strings.Contains(string(source), name) {
					t.Errorf("%s: main has no variable %s", b.ID, name)
				}
			}
		}
	}
}

// TestSystemdUnit holds the unit to systemd where it is installed, and everywhere to its form and to the commands there are.
func TestSystemdUnit(t *testing.T) {
	const path = "../../deploy/systemd/keyreeve.service"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	section, set := "", map[string][]string{}
	for n, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		switch name, value, ok := strings.Cut(line, "="); {
		case line == "" || line[0] == '#':
		case line[0] == '[' && strings.HasSuffix(line, "]"):
			section = strings.Trim(line, "[]")
			if !slices.Contains([]string{"Unit", "Service", "Install"}, section) {
				t.Errorf("line %d: section %s", n+1, section)
			}
		case !ok || section == "":
			t.Errorf("line %d: %s", n+1, line)
		default:
			set[section+"."+name] = append(set[section+"."+name], value)
		}
	}
	for name, want := range map[string]string{
		"Service.ExecStart": "/usr/bin/keyreeve serve --config ", "Service.ExecStartPre": "/usr/bin/keyreeve config check ",
		"Service.User": "keyreeve", "Service.NoNewPrivileges": "true", "Service.ProtectSystem": "strict", "Service.UMask": "0077",
		"Install.WantedBy": "multi-user.target",
	} {
		if got := set[name]; len(got) != 1 || !strings.HasPrefix(got[0], want) {
			t.Errorf("%s is %q, want %s", name, got, want)
		}
	}
	verify, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("systemd-analyze is not installed: the unit's form was checked alone")
		return
	}
	// The program is not installed where the unit looks for it; anything will do to verify the rest.
	unit := filepath.Join(t.TempDir(), "keyreeve.service")
	if err := os.WriteFile(unit, []byte(strings.ReplaceAll(string(text), "/usr/bin/keyreeve", "/bin/true")), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(verify, "verify", "--man=no", unit).CombinedOutput()
	if err != nil || strings.Contains(string(out), "keyreeve.service:") {
		t.Errorf("%v: %s", err, out)
	}
}
