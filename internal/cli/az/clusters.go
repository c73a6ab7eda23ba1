package az

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

const (
	clustersAPI  = "?api-version=2025-03-01"
	clustersPath = "/subscriptions/{sub}/resourceGroups/{resource-group}/providers/Microsoft.ContainerService/managedClusters"
	clusterPath  = clustersPath + "/{name}"

	clusterTable = "{Name:name, Location:location, ResourceGroup:resourceGroup, KubernetesVersion:kubernetesVersion, " +
		"CurrentKubernetesVersion:currentKubernetesVersion, ProvisioningState:provisioningState, Fqdn:fqdn || privateFqdn}"
	versionTable = "[].{KubernetesVersion:version, IsPreview:isPreview, Upgrades:upgrades, SupportPlan:supportPlan}"
)

func inGroup() flag {
	return flag{name: "resource-group", short: "g", help: "resource group", must: true}
}

func clusterName() flag {
	return flag{name: "name", short: "n", help: "name of the cluster", must: true}
}

func theCluster() []flag { return []flag{inGroup(), clusterName()} }

// accessSettings are the settings of a cluster that both its making and its update take.
func accessSettings() []flag {
	return []flag{
		{name: "enable-aad", kind: toggle, help: "let the directory say who people are"},
		{name: "aad-admin-group-object-ids", help: "groups whose members are administrators, with commas between"},
		{name: "aad-tenant-id", help: "tenant (default: that of the subscription)"},
		{name: "enable-azure-rbac", kind: toggle, help: "let role assignments say what people may do"},
		{name: "disable-local-accounts", kind: toggle, help: "no way in without the directory"},
		{name: "tags", kind: words, help: "tags, NAME=VALUE with spaces between"},
		{name: "assign-identity", help: "resource id of a user-assigned identity"},
		{name: "enable-managed-identity", kind: toggle, help: "taken for az's sake: every cluster has one"},
		{name: "yes", short: "y", kind: toggle, help: "do not ask"},
	}
}

func clusterCommands() []command {
	return []command{
		{
			path: "aks create", short: "Make a cluster", run: createCluster, kind: "ManagedCluster", long: true,
			example: "keyreeve aks create -g dev -n first --enable-aad --enable-azure-rbac --aad-admin-group-object-ids GROUP_ID",
			flags: append([]flag{
				inGroup(), clusterName(),
				{name: "location", short: "l", help: "location (default: that of the resource group)"},
				{name: "kubernetes-version", short: "k", help: "version (default: the default one)"},
				{name: "node-count", short: "c", help: "number of nodes (default 3)"},
				{name: "node-vm-size", short: "s", help: "size of the nodes"},
				{name: "nodepool-name", help: "name of the node pool (default nodepool1)"},
				{name: "node-resource-group", help: "name of the group for what the cluster needs"},
				{name: "dns-name-prefix", short: "p", help: "beginning of the API server's name"},
				{name: "tier", help: "free, standard or premium"},
				{name: "max-pods", short: "m", help: "pods on a node at most"},
				{name: "generate-ssh-keys", kind: toggle, help: "make ~/.ssh/id_rsa if it is not there"},
				{name: "ssh-key-value", help: "public key, or a file with it (default ~/.ssh/id_rsa.pub, if it is there)"},
				{name: "no-ssh-key", short: "x", kind: toggle, help: "no key"},
				{name: "admin-username", short: "u", help: "whose key it is (default azureuser)"},
				{name: "aad-server-app-id", help: "server application of a legacy cluster"},
				{name: "aad-server-app-secret", help: "its secret"},
				{name: "aad-client-app-id", help: "client application of a legacy cluster"},
				{name: "disable-rbac", kind: truth, help: "no RBAC in Kubernetes"},
			}, accessSettings()...),
		},
		{
			path: "aks update", short: "Change a cluster", run: updateCluster, kind: "ManagedCluster", long: true,
			example: "keyreeve aks update -g dev -n first --disable-local-accounts",
			flags: append([]flag{
				inGroup(), clusterName(),
				{name: "enable-local-accounts", kind: toggle, help: "let admin credentials be had"},
				{name: "disable-azure-rbac", kind: toggle, help: "let Kubernetes RBAC alone say what people may do"},
				{name: "tier", help: "free, standard or premium"},
			}, accessSettings()...),
		},
		{
			path: "aks show", short: "Show a cluster", flags: theCluster(), get: clusterPath + clustersAPI, kind: "ManagedCluster",
			then: withoutNulls, table: clusterTable, example: "keyreeve aks show -g dev -n first --query id --output tsv",
		},
		{
			path: "aks list", short: "List clusters", flags: []flag{{name: "resource-group", short: "g", help: "those in one group"}},
			kind: "ManagedCluster", then: withoutNulls, table: "[]." + clusterTable,
			run: func(x *call) (any, error) {
				if x.given("resource-group") {
					return x.list(clustersPath + clustersAPI)
				}
				return x.list("/subscriptions/{sub}/providers/Microsoft.ContainerService/managedClusters" + clustersAPI)
			},
		},
		{
			path: "aks delete", short: "Delete a cluster", flags: theCluster(), long: true, confirm: "Are you sure you want to perform this operation?",
			run: func(x *call) (any, error) { return x.operate(http.MethodDelete, clusterPath+clustersAPI, nil, "") },
		},
		{path: "aks start", short: "Start a cluster that was stopped", flags: theCluster(), long: true, run: act("start")},
		{path: "aks stop", short: "Stop a cluster", flags: theCluster(), long: true, run: act("stop")},
		{
			path: "aks rotate-certs", short: "Give a cluster new authorities: all its certificates end", flags: theCluster(), long: true, run: act("rotateClusterCertificates"),
			confirm: "Kubernetes will be unavailable during certificate rotation process.\nAre you sure you want to perform this operation?",
		},
		{
			path: "aks wait", short: "Wait until something is so of a cluster", flags: append(theCluster(), waitFlags()...),
			run: func(x *call) (any, error) { return nil, x.wait(clusterPath+clustersAPI, "ManagedCluster") },
		},
		{
			path: "aks get-versions", short: "List the versions of Kubernetes", kind: "KubernetesVersionListResult", table: versionTable, rows: versionRows,
			flags: []flag{{name: "location", short: "l", help: "location", must: true}},
			get:   "/subscriptions/{sub}/providers/Microsoft.ContainerService/locations/{location}/kubernetesVersions" + clustersAPI,
		},
		{
			path: "aks get-credentials", short: "Put a cluster into the kubeconfig", run: getCredentials,
			example: "keyreeve aks get-credentials -g dev -n first",
			flags: append(theCluster(),
				flag{name: "admin", short: "a", kind: toggle, help: "the administrator's certificate"},
				flag{name: "file", short: "f", help: "kubeconfig to change; - prints (default: the first of $KUBECONFIG, else ~/.kube/config)"},
				flag{name: "context", help: "name of the context"},
				flag{name: "overwrite-existing", kind: toggle, help: "replace what has the same name"},
				flag{name: "format", help: "azure or exec"},
				flag{name: "public-fqdn", kind: toggle, help: "the public name of a private cluster"},
			),
		},
		{
			path: "aks install-cli", short: "Install kubectl and kubelogin, as the server has them", run: installCLI,
			flags: []flag{
				{name: "client-version", help: "version of kubectl (default: the newest there)"},
				{name: "install-location", help: "file for kubectl (default /usr/local/bin/kubectl)"},
				{name: "base-src-url", help: "where to get kubectl (default: the server)"},
				{name: "kubelogin-version", help: "version of kubelogin (default: the newest there)"},
				{name: "kubelogin-install-location", help: "file for kubelogin (default /usr/local/bin/kubelogin)"},
				{name: "kubelogin-base-src-url", short: "l", help: "where to get kubelogin (default: the server)"},
			},
		},
	}
}

// act posts an action on a cluster.
func act(action string) func(*call) (any, error) {
	return func(x *call) (any, error) {
		return x.operate(http.MethodPost, clusterPath+"/"+action+clustersAPI, nil, "")
	}
}

// withoutNulls takes away what az takes away from clusters that it shows.
func withoutNulls(v any) any {
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			withoutNulls(x)
		}
	case map[string]any:
		drop(v, "tags")
		if p, ok := v["servicePrincipalProfile"].(map[string]any); ok {
			drop(p, "secret")
		}
		pools, _ := v["agentPoolProfiles"].([]any)
		for _, p := range pools {
			if p, ok := p.(map[string]any); ok {
				drop(p, "osDiskSizeGb")
				drop(p, "vnetSubnetId")
			}
		}
	}
	return v
}

// versionRows makes a row of each patch version, the newest first.
func versionRows(v any) any {
	m, _ := v.(map[string]any)
	values, _ := m["values"].([]any)
	var rows []any
	for _, minor := range values {
		minor, _ := minor.(map[string]any)
		capabilities, _ := minor["capabilities"].(map[string]any)
		patches, _ := minor["patchVersions"].(map[string]any)
		for version, patch := range patches {
			patch, _ := patch.(map[string]any)
			upgrades := joined(patch["upgrades"])
			if upgrades == "" {
				upgrades = "None available"
			}
			rows = append(rows, map[string]any{
				"version": version, "isPreview": minor["isPreview"], "upgrades": upgrades, "supportPlan": joined(capabilities["supportPlan"]),
			})
		}
	}
	slices.SortFunc(rows, func(a, b any) int {
		x, _ := a.(map[string]any)
		y, _ := b.(map[string]any)
		return slices.Compare(numbers(str(y, "version")), numbers(str(x, "version")))
	})
	return rows
}

func joined(v any) string {
	list, _ := v.([]any)
	var texts []string
	for _, x := range list {
		texts = append(texts, fmt.Sprint(x))
	}
	return strings.Join(texts, ", ")
}

// numbers are the parts of a version.
func numbers(version string) []int {
	var out []int
	for part := range strings.SplitSeq(version, ".") {
		n, _ := strconv.Atoi(part) // what is no number comes first
		out = append(out, n)
	}
	return out
}

func drop(m map[string]any, name string) {
	if m[name] == nil {
		delete(m, name)
	}
}

func updateCluster(x *call) (any, error) {
	if x.on("enable-local-accounts") && x.on("disable-local-accounts") {
		return nil, errors.New("--enable-local-accounts and --disable-local-accounts exclude each other")
	}
	if x.on("enable-azure-rbac") && x.on("disable-azure-rbac") {
		return nil, errors.New("--enable-azure-rbac and --disable-azure-rbac exclude each other")
	}
	body, err := x.object(clusterPath + clustersAPI)
	if err != nil {
		return nil, err
	}
	p, _ := body["properties"].(map[string]any)
	if p == nil {
		return nil, errors.New("the cluster has no properties")
	}
	before := len(x.changes())
	if before == 0 && !x.on("yes") {
		return nil, errors.New("nothing to change: name at least one setting, or give --yes to put the cluster as it is")
	}
	if err := x.access(body, p, true); err != nil {
		return nil, err
	}
	if x.given("tier") {
		body["sku"] = sku(x.word("tier"))
	}
	for _, made := range []string{"id", "name", "type", "systemData", "eTag"} {
		delete(body, made)
	}
	return x.operate(http.MethodPut, clusterPath+clustersAPI, body, clusterPath+clustersAPI)
}

// changes are the flags that change a cluster and were given.
func (x *call) changes() []string {
	var list []string
	settings := accessSettings() // the last is --yes, which changes nothing
	for _, f := range append(settings[:len(settings)-1],
		flag{name: "enable-local-accounts"}, flag{name: "disable-azure-rbac"}, flag{name: "tier"}) {
		if x.given(f.name) {
			list = append(list, f.name)
		}
	}
	return list
}

func poolCommands() []command {
	pools := clustersPath + "/{cluster-name}/agentPools"
	pool := pools + "/{name}" + clustersAPI
	cluster := flag{name: "cluster-name", help: "name of the cluster", must: true}
	name := flag{name: "name", short: "n", help: "name of the node pool", must: true, also: []string{"nodepool-name"}}
	one := []flag{inGroup(), cluster, name}
	row := "{Name:name, OsType:osType, KubernetesVersion:orchestratorVersion, VmSize:vmSize, OsDiskSizeGB:osDiskSizeGB, Count:count, " +
		"MaxPods:maxPods, ProvisioningState:provisioningState, Mode:mode}"
	count := flag{name: "node-count", short: "c", help: "number of nodes (default 3)"}
	return append([]command{
		{
			path: "aks nodepool list", short: "List the node pools of a cluster", flags: []flag{inGroup(), cluster}, get: pools + clustersAPI, list: true,
			kind: "AgentPool", table: "[]." + row,
		},
		{path: "aks nodepool show", short: "Show a node pool", flags: one, get: pool, kind: "AgentPool", table: row},
		{
			path: "aks nodepool add", short: "Add a node pool", kind: "AgentPool", long: true,
			flags: append(one[:3:3], count,
				flag{name: "node-vm-size", short: "s", help: "size of the nodes"},
				flag{name: "mode", help: "User or System (default User)"},
				flag{name: "kubernetes-version", short: "k", help: "version (default: the cluster's)"},
				flag{name: "max-pods", short: "m", help: "pods on a node at most"},
				flag{name: "labels", kind: words, help: "labels of the nodes, NAME=VALUE with spaces between"},
				flag{name: "node-taints", help: "taints of the nodes, with commas between"},
				flag{name: "tags", kind: words, help: "tags, NAME=VALUE with spaces between"},
			),
			run: func(x *call) (any, error) {
				body, err := x.newPool()
				if err != nil {
					return nil, err
				}
				body["scaleDownMode"], body["upgradeSettings"] = "Delete", map[string]any{"undrainableNodeBehavior": "Schedule"}
				if x.given("tags") {
					body["tags"] = tagMap(x.words("tags"))
				}
				return x.operate(http.MethodPut, pool, map[string]any{"properties": body}, pool)
			},
		},
		{
			path: "aks nodepool scale", short: "Change the number of nodes", kind: "AgentPool", long: true, flags: append(one[:3:3], count),
			run: func(x *call) (any, error) {
				n, err := x.number("node-count", 3)
				if err != nil {
					return nil, err
				}
				body, err := x.object(pool)
				if err != nil {
					return nil, err
				}
				p, _ := body["properties"].(map[string]any)
				p["count"] = n
				return x.operate(http.MethodPut, pool, map[string]any{"properties": p}, pool)
			},
		},
		{
			path: "aks nodepool delete", short: "Delete a node pool", flags: one, long: true,
			run: func(x *call) (any, error) { return x.operate(http.MethodDelete, pool, nil, "") },
		},
		{
			path: "aks nodepool wait", short: "Wait until something is so of a node pool", flags: append(one[:3:3], waitFlags()...),
			run: func(x *call) (any, error) { return nil, x.wait(pool, "AgentPool") },
		},
	}, poolChanges(one, pool)...)
}
