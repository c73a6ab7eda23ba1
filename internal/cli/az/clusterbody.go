package az

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"
)

func createCluster(x *call) (any, error) {
	s, err := x.subscription()
	if err != nil {
		return nil, err
	}
	location := x.word("location")
	if location == "" {
		group, err := x.object("/subscriptions/{sub}/resourcegroups/{resource-group}" + resourcesAPI)
		if err != nil {
			return nil, err
		}
		location = str(group, "location")
	}
	pool, err := x.firstPool()
	if err != nil {
		return nil, err
	}
	p := map[string]any{
		"kubernetesVersion": x.word("kubernetes-version"), "dnsPrefix": x.word("dns-name-prefix"), "agentPoolProfiles": []any{pool},
		"addonProfiles": map[string]any{}, "enableRBAC": !x.on("disable-rbac"), "disableLocalAccounts": false, "storageProfile": map[string]any{},
		"networkProfile": map[string]any{
			"podCidr": "10.244.0.0/16", "serviceCidr": "10.0.0.0/16", "dnsServiceIP": "10.0.0.10", "outboundType": "loadBalancer", "loadBalancerSku": "standard",
		},
		"bootstrapProfile": map[string]any{"artifactSource": "Direct"},
	}
	if !x.given("dns-name-prefix") {
		p["dnsPrefix"] = dnsPrefix(x.word("name"), x.word("resource-group"), s.ID)
	}
	if x.given("node-resource-group") {
		p["nodeResourceGroup"] = x.word("node-resource-group")
	}
	key, err := x.sshKey()
	if err != nil {
		return nil, err
	}
	if key != "" {
		user := x.word("admin-username")
		if user == "" {
			user = "azureuser"
		}
		p["linuxProfile"] = map[string]any{"adminUsername": user, "ssh": map[string]any{"publicKeys": []any{map[string]any{"keyData": key}}}}
	}
	body := map[string]any{"location": location, "properties": p}
	if err := x.access(body, p, false); err != nil {
		return nil, err
	}
	if body["identity"] == nil {
		body["identity"] = map[string]any{"type": "SystemAssigned"}
	}
	if x.given("tier") {
		body["sku"] = sku(x.word("tier"))
	}
	return x.operate(http.MethodPut, clusterPath+clustersAPI, body, clusterPath+clustersAPI)
}

func sku(tier string) map[string]any {
	if tier != "" {
		tier = strings.ToUpper(tier[:1]) + strings.ToLower(tier[1:])
	}
	return map[string]any{"name": "Base", "tier": tier}
}

// access puts into a cluster what the flags say of who may come in.
func (x *call) access(body, p map[string]any, change bool) error {
	aad, _ := p["aadProfile"].(map[string]any)
	legacy := x.properties(map[string]string{"aad-server-app-id": "serverAppID", "aad-server-app-secret": "serverAppSecret", "aad-client-app-id": "clientAppID"})
	switch {
	case x.on("enable-aad"):
		kept := aad
		aad = map[string]any{"managed": true}
		for _, name := range []string{"adminGroupObjectIDs", "enableAzureRBAC", "tenantID"} {
			if kept[name] != nil {
				aad[name] = kept[name]
			}
		}
	case len(legacy) > 0:
		aad = legacy
	case aad == nil && (x.given("aad-admin-group-object-ids") || x.given("aad-tenant-id") || x.on("enable-azure-rbac")):
		return errors.New("--aad-admin-group-object-ids, --aad-tenant-id and --enable-azure-rbac need --enable-aad")
	}
	if x.given("aad-admin-group-object-ids") {
		ids := []string{}
		for id := range strings.SplitSeq(x.word("aad-admin-group-object-ids"), ",") {
			if id = strings.TrimSpace(id); id != "" {
				ids = append(ids, id)
			}
		}
		aad["adminGroupObjectIDs"] = ids
	}
	if x.given("aad-tenant-id") {
		aad["tenantID"] = x.word("aad-tenant-id")
	}
	if x.on("enable-azure-rbac") || x.on("disable-azure-rbac") {
		if aad == nil {
			return errors.New("--disable-azure-rbac needs a cluster with --enable-aad")
		}
		aad["enableAzureRBAC"] = x.on("enable-azure-rbac")
	}
	if aad != nil {
		p["aadProfile"] = aad
	}
	if !change || x.on("disable-local-accounts") || x.on("enable-local-accounts") {
		p["disableLocalAccounts"] = x.on("disable-local-accounts")
	}
	if x.given("tags") {
		body["tags"] = tagMap(x.words("tags"))
	}
	if id := x.word("assign-identity"); id != "" {
		body["identity"] = map[string]any{"type": "UserAssigned", "userAssignedIdentities": map[string]any{id: map[string]any{}}}
	}
	return nil
}

// firstPool is the node pool that a new cluster begins with.
func (x *call) firstPool() (map[string]any, error) {
	pool, err := x.newPool()
	if err != nil {
		return nil, err
	}
	pool["mode"], pool["name"] = "System", "nodepool1"
	if x.given("nodepool-name") {
		pool["name"] = x.word("nodepool-name")
	}
	return pool, nil
}

// newPool is a node pool as the flags say.
func (x *call) newPool() (map[string]any, error) {
	count, err := x.number("node-count", 3)
	if err != nil {
		return nil, err
	}
	pool := map[string]any{
		"count": count, "vmSize": x.word("node-vm-size"), "osType": "Linux", "enableAutoScaling": false, "type": "VirtualMachineScaleSets", "mode": "User",
		"orchestratorVersion": x.word("kubernetes-version"), "upgradeSettings": map[string]any{}, "enableNodePublicIP": false,
		"scaleSetPriority": "Regular", "scaleSetEvictionPolicy": "Delete", "spotMaxPrice": -1, "nodeTaints": []string{}, "enableEncryptionAtHost": false,
		"enableUltraSSD": false, "enableFIPS": false,
	}
	if x.given("mode") {
		pool["mode"] = x.word("mode")
	}
	if x.given("max-pods") {
		if pool["maxPods"], err = x.number("max-pods", 0); err != nil {
			return nil, err
		}
	}
	if x.given("node-taints") {
		pool["nodeTaints"] = strings.Split(x.word("node-taints"), ",")
	}
	if x.given("labels") {
		pool["nodeLabels"] = tagMap(x.words("labels"))
	}
	return pool, nil
}

func (x *call) number(name string, otherwise int) (int, error) {
	if !x.given(name) {
		return otherwise, nil
	}
	n, err := strconv.Atoi(x.word(name))
	if err != nil || n < 0 {
		return 0, fmt.Errorf("--%s %q is not a number", name, x.word(name))
	}
	return n, nil
}

var notInName = regexp.MustCompile(`[^A-Za-z0-9-]`)

// dnsPrefix is made of the names of cluster, resource group and subscription, as az makes it.
func dnsPrefix(name, group, sub string) string {
	cut := func(s string, n int) string { return s[:min(len(s), n)] }
	name = cut(notInName.ReplaceAllString(name, ""), 10)
	if name == "" || !('a' <= name[0]|0x20 && name[0]|0x20 <= 'z') {
		name = cut("a"+name, 10)
	}
	return name + "-" + cut(notInName.ReplaceAllString(group, ""), 16) + "-" + cut(sub, 6)
}

// sshKey returns the public key for a cluster's nodes; none if there is none and none is to be made.
func (x *call) sshKey() (string, error) {
	if x.on("no-ssh-key") {
		return "", nil
	}
	value := x.word("ssh-key-value")
	if value != "" {
		if text, err := os.ReadFile(value); err == nil {
			value = string(text)
		}
		if _, _, _, _, err := ssh.ParseAuthorizedKey([]byte(value)); err != nil {
			return "", fmt.Errorf("--ssh-key-value is neither a public key nor a file with one: %w", err)
		}
		return value, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("no home folder for an SSH key: %w", err)
	}
	file := filepath.Join(home, ".ssh", "id_rsa")
	text, err := os.ReadFile(file + ".pub")
	if errors.Is(err, fs.ErrNotExist) {
		if !x.on("generate-ssh-keys") {
			return "", nil
		}
		return makeSSHKey(file)
	}
	return string(text), err
}

// makeSSHKey makes a key pair in two new files.
func makeSSHKey(file string) (string, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return "", fmt.Errorf("SSH key: %w", err)
	}
	public, err := ssh.NewPublicKey(&key.PublicKey)
	if err != nil {
		return "", fmt.Errorf("SSH key: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return "", fmt.Errorf("SSH key: %w", err)
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", fmt.Errorf("SSH key: %w", err)
	}
	err = pem.Encode(f, &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	if err = errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("SSH key: %w", err)
	}
	text := ssh.MarshalAuthorizedKey(public)
	return string(text), os.WriteFile(file+".pub", text, 0o644) //nolint:gosec // a public key
}
