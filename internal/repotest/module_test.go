package repotest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// forbidden modules may not be reached from the main module's code, however many imports away.
var forbidden = []struct{ packages, why string }{
	{"k8s.io/kubernetes", "it works only with replace lines, and belongs to localkube"},
	{"k8s.io/apiserver", "it brings the etcd server; webhooks need k8s.io/api types only"},
	{"go.etcd.io/etcd", "the store is SQL; etcd belongs to localkube"},
}

// pkg is what `go list -json` says of one package.
type pkg struct {
	ImportPath string
	Standard   bool
	CgoFiles   []string
	Error      *struct{ Err string }
}

// dependencies lists every package that the main module's code needs, built without cgo.
func dependencies(t *testing.T) []pkg {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-e", "-json=ImportPath,Standard,CgoFiles,Error", "./...")
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var packages []pkg
	for decoder := json.NewDecoder(bytes.NewReader(output)); ; {
		var p pkg
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

func TestDependencies(t *testing.T) {
	report(t, checkDependencies(dependencies(t)))
}

// checkDependencies finds packages that must stay out, and packages that cannot be built without cgo.
func checkDependencies(packages []pkg) []string {
	var violations []string
	for _, p := range packages {
		for _, f := range forbidden {
			if below(p.ImportPath, f.packages) {
				violations = append(violations, fmt.Sprintf("%s is among our dependencies (go mod why -m %s): %s", p.ImportPath, f.packages, f.why))
			}
		}
		switch {
		case p.Error != nil:
			violations = append(violations, fmt.Sprintf("%s does not build without cgo: %s", p.ImportPath, p.Error.Err))
		case len(p.CgoFiles) > 0 && !p.Standard:
			violations = append(violations, p.ImportPath+" uses cgo")
		}
	}
	return violations
}

func TestDependenciesAreGuarded(t *testing.T) {
	wantOne(t, checkDependencies([]pkg{{ImportPath: "k8s.io/apiserver/pkg/server"}}), "it brings the etcd server")
	wantOne(t, checkDependencies([]pkg{{ImportPath: "k8s.io/kubernetes"}}), "replace lines")
	wantOne(t, checkDependencies([]pkg{{ImportPath: "example.com/c", CgoFiles: []string{"c.go"}}}), "uses cgo")
	excluded := &struct{ Err string }{"build constraints exclude all Go files"}
	wantOne(t, checkDependencies([]pkg{{ImportPath: "example.com/c", Error: excluded}}), "does not build without cgo")
}

// goMod is what `go mod edit -json` says of a module.
type goMod struct {
	Module  struct{ Path string }
	Require []struct{ Path, Version string }
	Replace []struct {
		Old struct{ Path string }
		New struct{ Path, Version string }
	}
}

// readGoMod reads the go.mod in a folder below the repository's root.
func readGoMod(t *testing.T, dir string) goMod {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "mod", "edit", "-json")
	cmd.Dir = "../../" + dir
	output, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var mod goMod
	if err := json.Unmarshal(output, &mod); err != nil {
		t.Fatal(err)
	}
	return mod
}

// versions maps each module that is required or replaced to its version.
func (m goMod) versions() map[string]string {
	all := make(map[string]string)
	for _, require := range m.Require {
		all[require.Path] = require.Version
	}
	for _, replace := range m.Replace {
		all[replace.Old.Path] = replace.New.Version
	}
	return all
}

// A module with a replace line cannot be installed by version.
func TestModuleHasNoReplace(t *testing.T) {
	mod := readGoMod(t, ".")
	if mod.Module.Path != modulePath {
		t.Errorf("the main module is %s, these tests are about %s", mod.Module.Path, modulePath)
	}
	for _, replace := range mod.Replace {
		t.Errorf("go.mod replaces %s: `go install` by version would refuse the module", replace.Old.Path)
	}
}

// The kubectl of the tests is built with the versions that localkube has, so that what they share is compiled once.
func TestKubectlSharesVersions(t *testing.T) {
	kubectl, localkube := readGoMod(t, "tools/kubectl").versions(), readGoMod(t, "localkube").versions()
	for _, path := range slices.Sorted(maps.Keys(kubectl)) {
		if version, shared := localkube[path]; shared && version != kubectl[path] {
			t.Errorf("tools/kubectl has %s %s: run `go get %s@%s` there, as localkube has it", path, kubectl[path], path, version)
		}
	}
}

// CI and a person at a terminal run the same thing.
func TestCICallsMake(t *testing.T) {
	const script = "../../.ci/run"
	info, err := os.Stat(script)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode()&0o111 == 0 {
		t.Errorf("%s is not executable", script)
	}
	content, err := os.ReadFile(script)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(content), "\nmake test\n") {
		t.Errorf("%s has no line `make test`", script)
	}
}
