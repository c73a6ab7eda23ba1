package managedcluster

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/keyreeve/keyreeve/internal/fault"
)

// DefaultVersion is the Kubernetes version of a cluster that asks for none. It is also the one that every cluster runs:
// an older version is a name, by which clients choose the form of credentials and which upgrades move along.
const DefaultVersion = "1.37.2"

// Version is a Kubernetes version that may be named.
type Version struct {
	Minor string // 1.37
	// Patch is the newest patch that may be named; the older ones may too.
	Patch   string
	Default bool
	// Runs is true for the one whose clusters run what they are named for.
	Runs bool
	// Upgrades are the versions listed that a cluster of this one may go to.
	Upgrades []string
}

// release is a minor version with its newest patch that may be named.
type release struct{ minor, patch int }

// releases are those that AKS has had since its managed Entra integration, oldest first.
func releases() []release {
	return []release{
		{18, 20},
		{19, 16},
		{20, 15},
		{21, 14},
		{22, 17},
		{23, 17},
		{24, 17},
		{25, 16},
		{26, 15},
		{27, 16},
		{28, 15},
		{29, 15},
		{30, 14},
		{31, 13},
		{32, 9},
		{33, 5},
		{34, 3},
		{35, 2},
		{36, 1},
		{37, 2},
	}
}

func (r release) String() string { return fmt.Sprintf("1.%d.%d", r.minor, r.patch) }

func (r release) before(o release) bool {
	return r.minor < o.minor || r.minor == o.minor && r.patch < o.patch
}

// Versions returns the versions that may be named, oldest first.
func Versions() []Version {
	all := releases()
	out := make([]Version, len(all))
	for i, r := range all {
		out[i] = Version{Minor: fmt.Sprintf("1.%d", r.minor), Patch: r.String(), Upgrades: upgrades(r)}
		out[i].Default = r.String() == DefaultVersion
		out[i].Runs = out[i].Default
	}
	return out
}

// upgrades returns the listed versions that a cluster may go to: the newest patch of its minor version and of the next.
func upgrades(from release) []string {
	out := []string{}
	for _, r := range releases() {
		if r.minor == from.minor && r.patch > from.patch || r.minor == from.minor+1 {
			out = append(out, r.String())
		}
	}
	return out
}

// parseRelease reads 1.MINOR.PATCH, or 1.MINOR for the newest patch, of a version that may be named.
func parseRelease(s string) (release, bool) {
	parts := strings.Split(s, ".")
	if len(parts) < 2 || len(parts) > 3 || parts[0] != "1" {
		return release{}, false
	}
	number := func(s string) int {
		n, err := strconv.Atoi(s)
		if err != nil || len(s) > 3 || strconv.Itoa(n) != s {
			return -1
		}
		return n
	}
	minor := number(parts[1])
	i := slices.IndexFunc(releases(), func(r release) bool { return r.minor == minor })
	if i < 0 {
		return release{}, false
	}
	r := releases()[i]
	if len(parts) == 3 {
		patch := number(parts[2])
		if patch < 0 || patch > r.patch {
			return release{}, false
		}
		r.patch = patch
	}
	return r, true
}

// ResolveVersion returns the version that a text names: empty is the default, a minor version stands for its newest patch.
func ResolveVersion(asked string) (string, error) {
	if asked == "" {
		return DefaultVersion, nil
	}
	r, ok := parseRelease(asked)
	if !ok {
		return "", fault.New(fault.Invalid, "K8sVersionNotSupported",
			"Version %s is not supported in this region. Please use [az aks get-versions] command to get the supported version list in this region. "+
				"For more information, please check https://aka.ms/supported-version-list", cut(asked)).At("kubernetesVersion")
	}
	return r.String(), nil
}

// Version returns the version that the cluster is named for. KubernetesVersion is what runs.
func (c *Cluster) Version() string {
	if c.NamedVersion == "" {
		return DefaultVersion
	}
	return c.NamedVersion
}

// Upgrades returns the versions that the cluster may go to.
func (c *Cluster) Upgrades() []string {
	r, _ := parseRelease(c.Version())
	return upgrades(r)
}

// settleVersion settles the version that the cluster is named for. It only ever goes up, by one minor version at a time.
func (c *Cluster) settleVersion(req *Request, before *Cluster, old *object) error {
	was, _ := (&reader{o: old}).text("kubernetesVersion")
	if req.kubernetesVersion == "" {
		req.kubernetesVersion = was
	}
	if req.kubernetesVersion == "" {
		req.kubernetesVersion = DefaultVersion
	}
	name, err := ResolveVersion(req.kubernetesVersion)
	if err != nil {
		return err
	}
	c.KubernetesVersion = DefaultVersion
	if before == nil {
		c.NamedVersion = name
		return nil
	}
	from, _ := parseRelease(before.Version())
	to, _ := parseRelease(name)
	if req.kubernetesVersion == fmt.Sprintf("1.%d", from.minor) {
		to = from // the minor version that it has, whichever patch
	}
	verb := "Upgrading"
	switch {
	case to.before(from):
		verb = "Downgrading"
	case to.minor <= from.minor+1:
		c.NamedVersion = to.String()
		return nil
	}
	return fault.New(fault.Invalid, "OperationNotAllowed",
		"%s Kubernetes version %s to %s is not allowed. Available upgrades: [%s]. Please see https://aka.ms/aks-supported-k8s-ver for version details.",
		verb, from, to, strings.Join(upgrades(from), " ")).At("kubernetesVersion")
}

// execSince is the minor version from which a user's kubeconfig runs kubelogin unless asked otherwise.
const execSince = 24

// defaultsToExec reports whether users get the exec form when they ask for none.
func (c *Cluster) defaultsToExec() bool {
	r, ok := parseRelease(c.Version())
	return !ok || c.IsAttached() || r.minor >= execSince
}
