package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/test/harness"
)

// aroundCluster is a template of an identity, a cluster after it, and an identity after the cluster.
func aroundCluster(t *testing.T, before, cluster, after string) string {
	t.Helper()
	identity := func(name, on string) string {
		return fmt.Sprintf(`{"type": "Microsoft.ManagedIdentity/userAssignedIdentities", "apiVersion": "2023-01-31", "name": %q, "location": "eastus", "dependsOn": [%s]}`, name, on)
	}
	path := filepath.Join(t.TempDir(), "template.json")
	text := fmt.Sprintf(`{
	"$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#", "contentVersion": "1.0.0.0",
	"resources": [
		%s,
		{"type": "Microsoft.ContainerService/managedClusters", "apiVersion": "2024-05-01", "name": %q, "location": "eastus", "dependsOn": [%q],
		 "identity": {"type": "SystemAssigned"},
		 "properties": {"dnsPrefix": %q, "agentPoolProfiles": [{"name": "pool1", "count": 1, "vmSize": "Standard_D2s_v3", "mode": "System"}]}},
		%s
	]}`, identity(before, ""), cluster, before, cluster, identity(after, `"`+cluster+`"`))
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestDeploymentsAreKilledAndCanceled: a deployment goes on by itself when the server is killed in the middle of it; one that is
// canceled ends at once and begins nothing more; mode Complete clears away what both have left.
func TestDeploymentsAreKilledAndCanceled(t *testing.T) {
	k := harness.Up(t)
	p := signIn(t, k)
	p.az("group", "create", "-n", "rg", "-l", "eastus", "-o", "none")
	state := func(name string) string {
		return p.az("deployment", "group", "show", "-g", "rg", "-n", name, "--query", "properties.provisioningState", "-o", "tsv")
	}
	did := func(name string) string {
		list := p.az("deployment", "operation", "group", "list", "-g", "rg", "-n", name, "-o", "tsv", "--query",
			"sort_by([?properties.targetResource], &properties.targetResource.resourceName)[].join(' ', [properties.provisioningOperation, properties.targetResource.resourceName, properties.provisioningState])")
		return strings.ReplaceAll(list, "\n", ", ")
	}
	begin := func(name, template, cluster string) {
		p.az("deployment", "group", "create", "-g", "rg", "-n", name, "-f", template, "--no-wait", "-o", "none")
		eventually(t, time.Minute, cluster+" is being made", func() bool { return strings.Contains(did(name), "Create "+cluster+" Running") })
	}
	resources := func() string {
		return strings.ReplaceAll(p.az("resource", "list", "-g", "rg", "--query", "sort(@[].name)", "-o", "tsv"), "\n", ", ")
	}

	first := aroundCluster(t, "before1", "c1", "after1")
	begin("first", first, "c1")
	k.Kill()
	k.Start()
	eventually(t, 2*time.Minute, "the deployment goes on", func() bool { return state("first") != "Running" && state("first") != "Accepted" })
	if s, d := state("first"), did("first"); s != "Succeeded" || d != "Create after1 Succeeded, Create before1 Succeeded, Create c1 Succeeded" {
		t.Fatalf("after the server was killed: %s: %s", s, d)
	}
	if s := p.az("aks", "show", "-g", "rg", "-n", "c1", "--query", "provisioningState", "-o", "tsv"); s != "Succeeded" {
		t.Errorf("the cluster is %s", s)
	}

	begin("second", aroundCluster(t, "before2", "c2", "after2"), "c2")
	p.az("deployment", "group", "cancel", "-g", "rg", "-n", "second", "-o", "none")
	if s, d := state("second"), did("second"); s != "Canceled" || d != "Create before2 Succeeded, Create c2 Canceled" {
		t.Fatalf("after it was canceled: %s: %s", s, d)
	}
	eventually(t, 2*time.Minute, "what had begun goes on", func() bool {
		return p.az("aks", "show", "-g", "rg", "-n", "c2", "--query", "provisioningState", "-o", "tsv") == "Succeeded"
	})
	if got := resources(); got != "after1, before1, before2, c1, c2" {
		t.Errorf("there are %s", got)
	}

	gone := p.az("deployment", "group", "what-if", "-g", "rg", "-f", first, "--mode", "Complete", "--no-pretty-print", "--query", "changes[?changeType=='Delete'].resourceId", "-o", "tsv")
	if strings.Count(gone, "\n") != 1 || !strings.Contains(gone, "/before2") || !strings.Contains(gone, "/c2") {
		t.Errorf("what-if would delete %s", gone)
	}
	p.az("deployment", "group", "create", "-g", "rg", "-n", "third", "-f", first, "--mode", "Complete", "-o", "none")
	if got := resources(); got != "after1, before1, c1" {
		t.Errorf("there are %s", got)
	}
}
