package managedcluster

import "github.com/keyreeve/keyreeve/internal/fault"

// DefaultVersion is the Kubernetes version of a cluster that asks for none.
const DefaultVersion = "1.37.2"

// Version is a Kubernetes version that is offered.
type Version struct {
	Minor   string // 1.37
	Patches []string
	Default bool
}

// Versions returns the versions offered, oldest first.
func Versions() []Version {
	return []Version{{Minor: "1.37", Patches: []string{DefaultVersion}, Default: true}}
}

// ResolveVersion returns the version to run for one asked for: empty is the default, a minor version stands for its
// newest patch.
func ResolveVersion(asked string) (string, error) {
	if asked == "" {
		return DefaultVersion, nil
	}
	for _, v := range Versions() {
		newest := v.Patches[len(v.Patches)-1]
		if asked == v.Minor {
			return newest, nil
		}
		for _, p := range v.Patches {
			if asked == p {
				return p, nil
			}
		}
	}
	return "", fault.New(fault.Invalid, "K8sVersionNotSupported",
		"Version %s is not supported in this region. Please use [az aks get-versions] command to get the supported version list in this region. "+
			"For more information, please check https://aka.ms/supported-version-list", cut(asked)).At("kubernetesVersion")
}
