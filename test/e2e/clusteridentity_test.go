package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/test/harness"
)

// identityOf makes a user-assigned identity and returns its id and its principal.
func (p person) identityOf(name string) (id, principal string) {
	p.t.Helper()
	text := p.az("identity", "create", "-g", "rg", "-n", name, "--query", "[id, principalId]", "-o", "tsv")
	lines := strings.Fields(text)
	if len(lines) != 2 {
		p.t.Fatal(text)
	}
	return lines[0], lines[1]
}

func (p person) assignRole(principal, role, scope string) {
	p.t.Helper()
	p.az("role", "assignment", "create", "--assignee-object-id", principal, "--assignee-principal-type", "ServicePrincipal", "--role", role, "--scope", scope, "-o", "none")
}

// TestClusterIdentities gives clusters identities with az's flags: who may, what the control plane must be allowed, what an update
// changes; and the table of "Managed identity for the cluster": what is left when a cluster is made anew.
func TestClusterIdentities(t *testing.T) {
	k := harness.Up(t)
	p := signIn(t, k)
	p.az("group", "create", "-n", "rg", "-l", "eastus", "-o", "none")
	rg := p.az("group", "show", "-n", "rg", "--query", "id", "-o", "tsv")
	control, controlPrincipal := p.identityOf("control")
	nodes, _ := p.identityOf("nodes")
	other, otherPrincipal := p.identityOf("other")

	// A developer who may write clusters and read identities may not give them away.
	p.az("ad", "user", "create", "--display-name", "Dev", "--user-principal-name", "dev@keyreeve.test", "--password", testPassword, "-o", "none")
	for _, role := range []string{"Azure Kubernetes Service Contributor Role", "Reader"} {
		p.az("role", "assignment", "create", "--assignee", "dev@keyreeve.test", "--role", role, "--scope", rg, "-o", "none")
	}
	dev := apart(t, k)
	harness.Must(t, dev, "clients/az", "login", "-u", "dev@keyreeve.test", "-p", testPassword, "-o", "none")
	create := []string{"aks", "create", "-g", "rg", "-n", "c1", "-l", "eastus", "--node-count", "1", "--no-ssh-key", "-o", "none"}
	refused := func(want string, args ...string) {
		t.Helper()
		if out, stderr, status := harness.Run(t, dev, "clients/az", args...); status == 0 || !strings.Contains(stderr, want) {
			t.Errorf("az %s: status %d, want %s: %s%s", strings.Join(args[:2], " "), status, want, out, stderr)
		}
	}
	refused("LinkedAuthorizationFailed", append(create, "--enable-managed-identity", "--assign-identity", control)...)
	for _, id := range []string{control, nodes} {
		p.az("role", "assignment", "create", "--assignee", "dev@keyreeve.test", "--role", "Managed Identity Operator", "--scope", id, "-o", "none")
	}
	// The control plane's identity gives the nodes theirs, so it must be allowed to. az would grant it if it could; this is what
	// the service says of a request without.
	body, err := json.Marshal(map[string]any{
		"location": "eastus", "identity": map[string]any{"type": "UserAssigned", "userAssignedIdentities": map[string]any{control: struct{}{}}},
		"properties": map[string]any{
			"dnsPrefix": "c1", "agentPoolProfiles": []any{map[string]any{"name": "nodepool1", "count": 1, "mode": "System", "vmSize": "Standard_D2s_v5"}},
			"identityProfile": map[string]any{"kubeletidentity": map[string]any{"resourceId": nodes}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	refused("CustomKubeletIdentityMissingPermissionError", "rest", "--method", "put", "--body", string(body),
		"--url", lookup(p.env, "KEYREEVE_ARM_URL")+rg+"/providers/Microsoft.ContainerService/managedClusters/c1?api-version=2025-02-01")
	p.assignRole(controlPrincipal, "Managed Identity Operator", nodes)
	harness.Must(t, dev, "clients/az", append(create, "--enable-managed-identity", "--assign-identity", control, "--assign-kubelet-identity", nodes)...)

	show := func(name string) (kind, principal, kubelet string) {
		t.Helper()
		text := p.az("aks", "show", "-g", "rg", "-n", name, "--query",
			"[identity.type, identity.principalId || values(identity.userAssignedIdentities)[0].principalId, identityProfile.kubeletidentity.resourceId]", "-o", "tsv")
		lines := strings.Fields(text)
		if len(lines) != 3 {
			t.Fatal(text)
		}
		return lines[0], lines[1], lines[2]
	}
	check := func(what, wantKind, wantPrincipal, wantKubelet string) string {
		t.Helper()
		kind, principal, kubelet := show("c1")
		if kind != wantKind || wantPrincipal != "" && principal != wantPrincipal || wantKubelet != "" && !strings.EqualFold(kubelet, wantKubelet) {
			t.Errorf("%s: %s %s %s, want %s %s %s", what, kind, principal, kubelet, wantKind, wantPrincipal, wantKubelet)
		}
		return principal
	}
	check("made", "UserAssigned", controlPrincipal, nodes)
	if out := p.az("identity", "list-resources", "-g", "rg", "-n", "nodes", "--query", "[].name", "-o", "tsv"); out != "c1" {
		t.Errorf("the nodes' identity is used by %q", out)
	}

	// az aks update: another one for the control plane, for which az grants what it needs, and another for the nodes.
	p.assignRole(otherPrincipal, "Managed Identity Operator", nodes)
	p.az("aks", "update", "-g", "rg", "-n", "c1", "--enable-managed-identity", "--assign-identity", other, "--yes", "-o", "none")
	check("another control plane identity", "UserAssigned", otherPrincipal, nodes)
	nodes2, _ := p.identityOf("nodes2")
	p.az("aks", "update", "-g", "rg", "-n", "c1", "--assign-kubelet-identity", nodes2, "--yes", "-o", "none")
	check("another kubelet identity", "UserAssigned", otherPrincipal, nodes2)
	if out := p.az("role", "assignment", "list", "--assignee", otherPrincipal, "--scope", nodes2, "--query", "[].roleDefinitionName", "-o", "tsv"); out != "Managed Identity Operator" {
		t.Errorf("az granted %q", out)
	}
	if _, stderr, status := harness.Run(t, p.env, "clients/az", "aks", "update", "-g", "rg", "-n", "c1", "--enable-managed-identity", "--yes"); status == 0 ||
		!strings.Contains(stderr, "CustomKubeletIdentityOnlySupportedOnUserAssignedMSICluster") {
		t.Errorf("a system-assigned control plane with a custom kubelet identity: %s", stderr)
	}
	p.az("aks", "delete", "-g", "rg", "-n", "c1", "--yes")

	// The table. Role assignments are made to the identity of the first cluster of each kind, and looked for at the second's.
	for _, row := range []struct {
		kind  string
		flags []string
		keeps bool
	}{
		{"SystemAssigned", []string{"--enable-managed-identity"}, false},
		{"UserAssigned", []string{"--enable-managed-identity", "--assign-identity", control}, true},
	} {
		held := func(principal string) string {
			return p.az("role", "assignment", "list", "--scope", rg, "--query", fmt.Sprintf("[?principalId=='%s'].roleDefinitionName", principal), "-o", "tsv")
		}
		p.az(append(create, row.flags...)...)
		first := check("before", row.kind, "", "")
		p.assignRole(first, "Network Contributor", rg)
		if got := held(first); got != "Network Contributor" {
			t.Fatalf("%s: %q", row.kind, got)
		}
		p.az("aks", "delete", "-g", "rg", "-n", "c1", "--yes")
		p.az(append(create, row.flags...)...)
		second := check("after", row.kind, "", "")
		if got := held(second); (got == "Network Contributor") != row.keeps || (first == second) != row.keeps {
			t.Errorf("%s: the new cluster's identity holds %q; it is the same: %v; want that it keeps its roles: %v", row.kind, got, first == second, row.keeps)
		}
		p.az("aks", "delete", "-g", "rg", "-n", "c1", "--yes")
	}
}
