package onboard

import (
	"cmp"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// program is one client for one platform.
type program struct {
	name, version, os, arch string
	path                    string
}

// file is the program's name on its platform.
func (p program) file() string {
	if p.os == "windows" {
		return p.name + ".exe"
	}
	return p.name
}

var versionForm = regexp.MustCompile(`^v[0-9]{1,4}(\.[0-9]{1,6}){2}(-[0-9A-Za-z.-]{1,40})?$`)

// client names the client that is built from a module; a program that says it is built from one needs no folder to say so.
func client(module string) string {
	switch module {
	case "k8s.io/kubernetes":
		return "kubectl"
	case "github.com/Azure/kubelogin":
		return "kubelogin"
	}
	return ""
}

// find lists the clients in a folder: programs that say themselves what they are, and
//
//	kubectl/VERSION/bin/OS/ARCH/kubectl
//	kubelogin/VERSION/bin/OS_ARCH/kubelogin
func find(dir string) ([]program, error) {
	if dir == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("clients: %w", err)
	}
	var all []program
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		name, _, _ := strings.Cut(strings.TrimSuffix(e.Name(), ".exe"), "-")
		if name != "kubectl" && name != "kubelogin" {
			continue
		}
		if e.IsDir() {
			all = append(all, tree(name, path)...)
		} else if p, ok := selfDescribed(path); ok {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b program) int {
		return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.version, b.version), strings.Compare(a.os, b.os), strings.Compare(a.arch, b.arch))
	})
	return slices.CompactFunc(all, func(a, b program) bool {
		return a.name == b.name && a.version == b.version && a.os == b.os && a.arch == b.arch
	}), nil
}

// tree lists the programs in the folder of one client.
func tree(name, dir string) []program {
	pattern := filepath.Join(dir, "*", "bin", "*", "*", name+"*")
	if name == "kubelogin" {
		pattern = filepath.Join(dir, "*", "bin", "*", name+"*")
	}
	paths, _ := filepath.Glob(pattern) // the pattern is well formed
	var all []program
	for _, path := range paths {
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			continue
		}
		parts := strings.Split(filepath.ToSlash(rel), "/")
		p := program{name: name, version: parts[0], path: path}
		if name == "kubelogin" {
			p.os, p.arch, _ = strings.Cut(parts[2], "_")
		} else {
			p.os, p.arch = parts[2], parts[3]
		}
		info, err := os.Stat(path)
		if err == nil && info.Mode().IsRegular() && versionForm.MatchString(p.version) && p.file() == parts[len(parts)-1] {
			all = append(all, p)
		}
	}
	return all
}

// selfDescribed reads from a Go program which client it is, and for which platform.
func selfDescribed(path string) (program, bool) {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return program{}, false
	}
	p := program{name: client(info.Main.Path), version: info.Main.Version, path: path}
	for _, s := range info.Settings {
		switch s.Key {
		case "GOOS":
			p.os = s.Value
		case "GOARCH":
			p.arch = s.Value
		}
	}
	return p, p.name != "" && p.os != "" && p.arch != "" && versionForm.MatchString(p.version)
}

// newer says whether one version comes after another. One before its release comes before it.
func newer(a, b string) bool {
	a, preA, _ := strings.Cut(strings.TrimPrefix(a, "v"), "-")
	b, preB, _ := strings.Cut(strings.TrimPrefix(b, "v"), "-")
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(as), len(bs)) {
		x, _ := strconv.Atoi(as[i]) // digits: see versionForm
		y, _ := strconv.Atoi(bs[i])
		if x != y {
			return x > y
		}
	}
	if (preA == "") != (preB == "") {
		return preA == ""
	}
	return preA > preB
}
