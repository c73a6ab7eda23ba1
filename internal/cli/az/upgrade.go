package az

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// upgradeCommands change what a cluster or a node pool already is: its version, its number of nodes, whether it runs.
func upgradeCommands() []command {
	version := flag{name: "kubernetes-version", short: "k", help: "version"}
	return []command{
		{
			path: "aks upgrade", short: "Upgrade a cluster to another version", run: upgradeCluster, kind: "ManagedCluster", long: true,
			confirm: "Kubernetes may be unavailable during cluster upgrades.\nAre you sure you want to perform this operation?",
			flags: append(theCluster(), version,
				flag{name: "control-plane-only", kind: toggle, help: "leave the node pools as they are"},
				flag{name: "node-image-only", kind: toggle, help: "taken for az's sake: pretended nodes have no image"},
				flag{name: "tier", help: "free, standard or premium"},
			),
		},
		{
			path: "aks scale", short: "Change the number of nodes of a cluster", run: scaleCluster, kind: "ManagedCluster", long: true,
			flags: append(theCluster(),
				flag{name: "node-count", short: "c", must: true, help: "number of nodes"},
				flag{name: "nodepool-name", help: "node pool (default: the only one)"},
			),
		},
		{
			path: "aks operation-abort", short: "End the operation that runs on a cluster", flags: theCluster(), long: true, run: act("abort"),
		},
		{
			path: "aks get-upgrades", short: "List the versions that a cluster can be upgraded to", flags: theCluster(),
			get: clusterPath + "/upgradeProfiles/default" + clustersAPI, kind: "ManagedClusterUpgradeProfile",
			table: "{Name:name, ResourceGroup:resourceGroup, MasterVersion:masterVersion, Upgrades:upgrades}", rows: upgradeRow,
		},
	}
}

// upgradeRow is what a table shows of the upgrades.
func upgradeRow(v any) any {
	m, _ := v.(map[string]any)
	control, _ := m["controlPlaneProfile"].(map[string]any)
	list, _ := control["upgrades"].([]any)
	var versions []string
	for _, u := range list {
		u, _ := u.(map[string]any)
		versions = append(versions, str(u, "kubernetesVersion"))
	}
	slices.SortFunc(versions, func(a, b string) int { return slices.Compare(numbers(a), numbers(b)) })
	if len(versions) == 0 {
		versions = []string{"None available"}
	}
	return map[string]any{
		"name": m["name"], "resourceGroup": m["resourceGroup"], "masterVersion": control["kubernetesVersion"], "upgrades": strings.Join(versions, ", "),
	}
}

func upgradeCluster(x *call) (any, error) {
	version := x.word("kubernetes-version")
	if version != "" && x.on("node-image-only") {
		return nil, errors.New("--kubernetes-version and --node-image-only exclude each other")
	}
	if x.on("node-image-only") {
		return nil, errors.New("node images are not upgraded: the nodes are pretended and have none")
	}
	body, p, err := x.cluster()
	if err != nil {
		return nil, err
	}
	if now := str(p, "kubernetesVersion"); version == "" || version == now {
		x.warn("The cluster is already on version %s and is not in a failed state. No operations will occur when upgrading to the same "+
			"version if the cluster is not in a failed state.", now)
	}
	if x.given("tier") {
		body["sku"] = sku(x.word("tier"))
	}
	p["kubernetesVersion"] = version
	if !x.on("control-plane-only") {
		for _, pool := range poolsOf(p) {
			pool["orchestratorVersion"] = version
		}
	}
	return x.operate(http.MethodPut, clusterPath+clustersAPI, body, clusterPath+clustersAPI)
}

func scaleCluster(x *call) (any, error) {
	n, err := x.number("node-count", 0)
	if err != nil {
		return nil, err
	}
	body, p, err := x.cluster()
	if err != nil {
		return nil, err
	}
	pools, name := poolsOf(p), x.word("nodepool-name")
	if len(pools) > 1 && name == "" {
		return nil, errors.New("the cluster has several node pools: name one with --nodepool-name")
	}
	for _, pool := range pools {
		if name == "" || str(pool, "name") == name {
			pool["count"] = n
			return x.operate(http.MethodPut, clusterPath+clustersAPI, body, clusterPath+clustersAPI)
		}
	}
	return nil, fmt.Errorf("the cluster has no node pool %q", name)
}

// cluster reads a cluster to be put back with changes.
func (x *call) cluster() (body, properties map[string]any, err error) {
	if body, err = x.object(clusterPath + clustersAPI); err != nil {
		return nil, nil, err
	}
	if properties, _ = body["properties"].(map[string]any); properties == nil {
		return nil, nil, errors.New("the cluster has no properties")
	}
	for _, made := range []string{"id", "name", "type", "systemData", "eTag"} {
		delete(body, made)
	}
	delete(properties, "servicePrincipalProfile")
	return body, properties, nil
}

func poolsOf(properties map[string]any) []map[string]any {
	list, _ := properties["agentPoolProfiles"].([]any)
	var pools []map[string]any
	for _, v := range list {
		if m, ok := v.(map[string]any); ok {
			pools = append(pools, m)
		}
	}
	return pools
}

// poolChanges change a node pool; one are the flags that name it, pool is its path.
func poolChanges(one []flag, pool string) []command {
	power := func(code string) func(*call) (any, error) {
		return changed(pool, func(_ *call, p map[string]any) error {
			p["powerState"] = map[string]any{"code": code}
			return nil
		})
	}
	// What az's upgrade of a pool takes and the service refuses is refused by the service, in its words.
	return []command{
		{path: "aks nodepool start", short: "Start a node pool that was stopped", kind: "AgentPool", long: true, flags: one, run: power("Running")},
		{path: "aks nodepool stop", short: "Stop a node pool", kind: "AgentPool", long: true, flags: one, run: power("Stopped")},
		{
			path: "aks nodepool upgrade", short: "Upgrade a node pool to another version", kind: "AgentPool", long: true,
			flags: append(one[:3:3],
				flag{name: "kubernetes-version", short: "k", help: "version"},
				flag{name: "max-surge", help: "nodes more at a time, as a number or a percentage"},
				flag{name: "node-image-only", kind: toggle, help: "taken for az's sake: pretended nodes have no image"},
				flag{name: "yes", short: "y", kind: toggle, help: "do not ask"},
			),
			run: changed(pool, func(x *call, p map[string]any) error {
				if x.on("node-image-only") {
					return errors.New("node images are not upgraded: the nodes are pretended and have none")
				}
				version := x.word("kubernetes-version")
				if (version == "" || version == str(p, "orchestratorVersion")) && !x.on("yes") {
					if err := x.ask("The node pool is already on version " + str(p, "orchestratorVersion") + "."); err != nil {
						return err
					}
				}
				p["orchestratorVersion"] = version
				x.surge(p)
				return nil
			}),
		},
		{
			path: "aks nodepool update", short: "Change a node pool", kind: "AgentPool", long: true, example: "keyreeve aks nodepool update -g dev --cluster-name first -n more --labels team=a",
			flags: append(one[:3:3],
				flag{name: "labels", kind: words, help: "labels of the nodes, NAME=VALUE with spaces between"},
				flag{name: "node-taints", help: "taints of the nodes, with commas between; empty: none"},
				flag{name: "tags", kind: words, help: "tags, NAME=VALUE with spaces between"},
				flag{name: "mode", help: "User or System"},
				flag{name: "max-surge", help: "nodes more at a time, as a number or a percentage"},
			),
			run: changed(pool, updatePool),
		},
	}
}

func (x *call) surge(p map[string]any) {
	if x.given("max-surge") {
		settings, _ := p["upgradeSettings"].(map[string]any)
		if settings == nil {
			settings = map[string]any{}
		}
		settings["maxSurge"] = x.word("max-surge")
		p["upgradeSettings"] = settings
	}
}

func updatePool(x *call, p map[string]any) error {
	if !x.given("labels") && !x.given("node-taints") && !x.given("tags") && !x.given("mode") && !x.given("max-surge") {
		return errors.New("nothing to change: name at least one setting")
	}
	if x.given("labels") {
		p["nodeLabels"] = tagMap(x.words("labels"))
	}
	if x.given("tags") {
		p["tags"] = tagMap(x.words("tags"))
	}
	if x.given("node-taints") {
		p["nodeTaints"] = []string{}
		if taints := x.word("node-taints"); taints != "" {
			p["nodeTaints"] = strings.Split(taints, ",")
		}
	}
	if x.given("mode") {
		p["mode"] = x.word("mode")
	}
	x.surge(p)
	return nil
}

// changed reads a node pool, changes its properties, and puts it back.
func changed(pool string, change func(*call, map[string]any) error) func(*call) (any, error) {
	return func(x *call) (any, error) {
		body, err := x.object(pool)
		if err != nil {
			return nil, err
		}
		p, _ := body["properties"].(map[string]any)
		if p == nil {
			return nil, errors.New("the node pool has no properties")
		}
		if err := change(x, p); err != nil {
			return nil, err
		}
		return x.operate(http.MethodPut, pool, map[string]any{"properties": p}, pool)
	}
}
