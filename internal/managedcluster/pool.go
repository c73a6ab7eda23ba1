package managedcluster

import (
	"regexp"
	"strings"

	"github.com/keyreeve/keyreeve/internal/fault"
)

// Bounds of agent pools.
const (
	MaxPoolCount = 100 // nodes of one pool
	MaxPools     = 100 // pools of one cluster
)

// Modes of an agent pool.
const (
	ModeSystem = "System"
	ModeUser   = "User"
)

// Taint keeps pods away that do not tolerate it.
type Taint struct {
	Key    string `json:"key"`
	Value  string `json:"value,omitempty"`
	Effect string `json:"effect"`
}

// Pool is an agent pool as far as it is interpreted.
type Pool struct {
	Name   string            `json:"name"`
	Count  int               `json:"count"`
	Mode   string            `json:"mode"`
	VMSize string            `json:"vmSize"`
	Labels map[string]string `json:"labels,omitempty"`
	Taints []Taint           `json:"taints,omitempty"`
	// State is the provisioning state of a pool that is not as its cluster is: one that is made, changed or deleted by
	// itself, or for which that failed. Empty is the cluster's.
	State string `json:"state,omitempty"`
	// Stopped pools keep their count and have no nodes.
	Stopped bool `json:"stopped,omitempty"`
}

// Nodes is how many nodes the pool has once its cluster is as recorded.
func (p Pool) Nodes() int {
	if p.Stopped || p.State == Deleting {
		return 0
	}
	return p.Count
}

func poolKeys() []string {
	return []string{
		"name", "count", "vmSize", "osDiskSizeGB", "osDiskType", "kubeletDiskType", "vnetSubnetID", "maxPods", "type",
		"availabilityZones", "enableAutoScaling", "scaleDownMode", "provisioningState", "powerState", "orchestratorVersion",
		"currentOrchestratorVersion", "enableNodePublicIP", "nodeLabels", "nodeTaints", "mode", "enableEncryptionAtHost",
		"enableUltraSSD", "osType", "osSKU", "nodeImageVersion", "upgradeSettings", "enableFIPS",
		"scaleSetPriority", "scaleSetEvictionPolicy", "spotMaxPrice", "minCount", "maxCount",
	}
}

// readPool reads an agent pool and brings its body to the form that is kept: defaults filled in, what only says
// "default" and what only the service writes left out. before is the pool's body so far, nil for a new one; mode is what a
// new one is if it does not say.
func readPool(o, before *object, version, mode string) (Pool, error) {
	r := &reader{o: o, path: "agentPoolProfile"}
	p := Pool{Mode: mode}
	p.Name, _ = r.text("name")
	if before != nil {
		inherit(o, before)
	}
	dropMeaningless(r)
	count, given := r.number("count")
	if !given {
		count = 1
	}
	if s, ok := r.text("mode"); ok && s != "" {
		p.Mode = canonical(s, ModeSystem, ModeUser)
	}
	p.VMSize, _ = r.text("vmSize")
	if r.err != nil {
		return Pool{}, r.err
	}
	switch {
	case !checkPoolName(p.Name):
		return Pool{}, invalidParameter("agentPoolProfile.name", "'%s' is not a lower-case letter followed by at most 11 lower-case letters and digits. "+
			"Please see https://aka.ms/aks-naming-rules for more details.", cut(p.Name))
	case p.Mode != ModeSystem && p.Mode != ModeUser:
		return Pool{}, invalidParameter("agentPoolProfile.mode", "'%s' is neither System nor User.", cut(p.Mode))
	case count < p.fewest() || count > MaxPoolCount:
		return Pool{}, invalidParameter("agentPoolProfile.count", "Agent pool '%s' asks for %d nodes; %d to %d are possible.", p.Name, count, p.fewest(), MaxPoolCount)
	}
	p.Count = int(count)
	if p.VMSize == "" {
		p.VMSize = "Standard_DS2_v2"
	}
	if !labelValue().MatchString(p.VMSize) {
		return Pool{}, invalidParameter("agentPoolProfile.vmSize", "'%s' is not the name of a virtual machine size.", cut(p.VMSize))
	}
	if err := readPlacement(r, &p); err != nil {
		return Pool{}, err
	}
	if err := checkPoolLimits(r, p.Name, version); err != nil {
		return Pool{}, err
	}
	fillPool(o, p, version)
	return p, nil
}

// fewest is how many nodes the pool must have: user pools may have none.
func (p Pool) fewest() int64 {
	if p.Mode == ModeUser {
		return 0
	}
	return 1
}

// readPlacement reads labels and taints.
func readPlacement(r *reader, p *Pool) error {
	r.read("nodeLabels", "an object of strings", &p.Labels)
	taints, _ := r.texts("nodeTaints")
	if r.err != nil {
		return r.err
	}
	for k, v := range p.Labels {
		if !labelKey(k) || v != "" && !labelValue().MatchString(v) {
			return invalidParameter("agentPoolProfile.nodeLabels", "'%s' is not a label of Kubernetes.", cut(k+"="+v))
		}
	}
	for _, s := range taints {
		t, ok := parseTaint(s)
		if !ok {
			return invalidParameter("agentPoolProfile.nodeTaints", "'%s' is not of the form key=value:Effect with an effect of Kubernetes.", cut(s))
		}
		for _, other := range p.Taints {
			if other.Key == t.Key && other.Effect == t.Effect {
				return invalidParameter("agentPoolProfile.nodeTaints", "'%s' has the key and effect of another taint.", cut(s))
			}
		}
		p.Taints = append(p.Taints, t)
	}
	return nil
}

// checkPoolLimits refuses what would be promised and not kept.
func checkPoolLimits(r *reader, name, version string) error {
	scaling := r.flag("enableAutoScaling")
	osType, _ := r.text("osType")
	orchestrator, _ := r.text("orchestratorVersion")
	if r.err != nil {
		return r.err
	}
	if scaling != nil && *scaling {
		return invalidParameter("agentPoolProfile.enableAutoScaling", "Agent pool '%s' cannot scale by itself: this service offers no cluster autoscaler.", name)
	}
	if osType != "" && !strings.EqualFold(osType, "Linux") {
		return invalidParameter("agentPoolProfile.osType", "Agent pool '%s': only Linux is offered.", name)
	}
	if orchestrator != "" {
		v, err := ResolveVersion(orchestrator)
		if err != nil {
			return err
		}
		pool, _ := parseRelease(v)
		if cluster, ok := parseRelease(version); ok && cluster.before(pool) {
			return invalidParameter("agentPoolProfile.orchestratorVersion",
				"Agent pool '%s' asks for %s, which is newer than the cluster's %s: upgrade the cluster first.", name, cut(orchestrator), version)
		}
	}
	return nil
}

// dropMeaningless removes members that only say "default", which do not come back (recorded/README 4).
func dropMeaningless(r *reader) {
	for key, empty := range map[string]string{
		"osDiskSizeGB": "0", "vmSize": `""`, "orchestratorVersion": `""`, "spotMaxPrice": "-1.0", "nodeTaints": "[]", "nodeLabels": "{}",
		"scaleSetPriority": `"Regular"`, "scaleSetEvictionPolicy": `"Delete"`, "osDiskType": `""`, "availabilityZones": "[]",
	} {
		if r.o.isNull(key) || string(r.o.values[key]) == empty || key == "spotMaxPrice" && string(r.o.values[key]) == "-1" {
			r.o.remove(key)
		}
	}
	r.o.remove("provisioningState", "powerState", "nodeImageVersion", "currentOrchestratorVersion", "eTag")
	for _, key := range append([]string(nil), r.o.keys...) {
		if r.o.isNull(key) {
			r.o.remove(key)
		}
	}
}

func fillPool(o *object, p Pool, version string) {
	o.put("name", p.Name)
	o.put("count", p.Count)
	o.put("vmSize", p.VMSize)
	o.put("mode", p.Mode)
	o.put("osType", "Linux")
	o.defaultTo("osDiskSizeGB", 128)
	o.defaultTo("osDiskType", "Managed")
	o.defaultTo("kubeletDiskType", "OS")
	o.defaultTo("maxPods", 110)
	o.defaultTo("type", "VirtualMachineScaleSets")
	o.defaultTo("enableAutoScaling", false)
	o.defaultTo("orchestratorVersion", version)
	o.defaultTo("enableNodePublicIP", false)
	o.defaultTo("enableEncryptionAtHost", false)
	o.defaultTo("enableUltraSSD", false)
	o.defaultTo("osSKU", "Ubuntu")
	o.defaultTo("upgradeSettings", newObject())
	o.defaultTo("enableFIPS", false)
	o.order(poolKeys())
}

// checkPools checks the pools of a cluster together.
func checkPools(pools []Pool) error {
	if len(pools) == 0 {
		return fault.New(fault.Invalid, "InvalidParameter", "Required parameter agentPoolProfiles is missing (null).").At("agentPoolProfiles")
	}
	if len(pools) > MaxPools {
		return invalidParameter("agentPoolProfiles", "A cluster has at most %d agent pools.", MaxPools)
	}
	system := false
	seen := map[string]bool{}
	for _, p := range pools {
		if seen[p.Name] {
			return invalidParameter("agentPoolProfiles", "Agent pool '%s' is there twice.", p.Name)
		}
		seen[p.Name] = true
		system = system || p.Mode == ModeSystem && p.State != Deleting && !p.Stopped
	}
	if !system {
		return fault.New(fault.Invalid, "InvalidParameter", "There has to be at least one system mode agent pool.").At("agentPoolProfiles")
	}
	return nil
}

// canonical returns the member of a list that s equals without case, or s.
func canonical(s string, members ...string) string {
	for _, m := range members {
		if strings.EqualFold(s, m) {
			return m
		}
	}
	return s
}

func parseTaint(s string) (Taint, bool) {
	body, effect, ok := strings.Cut(s, ":")
	if !ok {
		return Taint{}, false
	}
	key, value, _ := strings.Cut(body, "=")
	t := Taint{Key: key, Value: value, Effect: effect}
	switch effect {
	case "NoSchedule", "PreferNoSchedule", "NoExecute":
	default:
		return Taint{}, false
	}
	return t, labelKey(key) && (value == "" || labelValue().MatchString(value))
}

// labelValue matches a non-empty label value of Kubernetes.
func labelValue() *regexp.Regexp {
	return regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`)
}

// labelKey reports whether s is a label key of Kubernetes: a name, and before it perhaps a DNS name and a slash.
func labelKey(s string) bool {
	if prefix, name, ok := strings.Cut(s, "/"); ok {
		if len(prefix) > 253 || !regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`).MatchString(prefix) {
			return false
		}
		s = name
	}
	return labelValue().MatchString(s)
}
