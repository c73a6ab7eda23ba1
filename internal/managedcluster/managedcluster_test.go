package managedcluster

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
)

const (
	home  = "11111111-0000-4000-8000-000000000001"
	other = "11111111-0000-4000-8000-000000000002"
	guidA = "22222222-0000-4000-8000-00000000000a"
	guidB = "22222222-0000-4000-8000-00000000000b"
)

func known(t ident.TenantID) bool { return t.String() == home || t.String() == other }

func newNew(name string) New {
	return New{
		ID: ident.MustParse[ident.ClusterID](guidA), Subscription: ident.MustParse[ident.SubscriptionID]("33333333-0000-4000-8000-000000000001"),
		Tenant: ident.MustParse[ident.TenantID](home), Group: "Rg_1", Name: name, Endpoint: "127.0.0.1:10440", Domain: "aks.localhost",
		ControlPlane: Identity{Object: ident.MustParse[ident.ObjectID](guidA), Client: ident.MustParse[ident.ClientID](guidB)},
		Kubelet:      Identity{Object: ident.MustParse[ident.ObjectID](guidB), Client: ident.MustParse[ident.ClientID](guidA)},
		Now:          time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC),
	}
}

// create makes a cluster of a body that says what properties say, and brings it up.
func create(t testing.TB, properties string) Cluster {
	t.Helper()
	c, err := tryCreate("c1", put(t, properties))
	if err != nil {
		t.Fatal(err)
	}
	c.ProvisioningState = Succeeded
	return c
}

func tryCreate(name, body string) (Cluster, error) {
	req, err := Parse([]byte(body))
	if err != nil {
		return Cluster{}, err
	}
	return Create(newNew(name), req, known)
}

func tryUpdate(c Cluster, body string) (Cluster, Change, error) {
	req, err := Parse([]byte(body))
	if err != nil {
		return Cluster{}, Change{}, err
	}
	return c.Update(req, known)
}

// put is the body of a PUT with one agent pool and what properties say.
func put(t testing.TB, properties string) string {
	t.Helper()
	var props map[string]json.RawMessage
	if err := json.Unmarshal([]byte(`{"agentPoolProfiles":[{"name":"np","count":1}]}`), &props); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(properties), &props); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(map[string]any{"location": "westus2", "properties": props})
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// refusal checks a fault's code, target and a piece of its text; all empty means none.
func refusal(t *testing.T, err error, code, target, text string) {
	t.Helper()
	if code == "" {
		if err != nil {
			t.Fatalf("refused: %v", err)
		}
		return
	}
	f := fault.As(err)
	if f == nil || f.Code != code || f.Target != target || !strings.Contains(f.Public, text) {
		t.Fatalf("got %+v, want %s at %q with %q", f, code, target, text)
	}
}

// TestTransitions is the table of aadProfile's transitions (semantics 3.2).
func TestTransitions(t *testing.T) {
	const (
		none    = `null`
		managed = `{"managed":true,"adminGroupObjectIDs":["` + guidA + `"]}`
		rbacOn  = `{"managed":true,"enableAzureRBAC":true}`
		legacy  = `{"clientAppID":"` + guidA + `","serverAppID":"` + guidB + `","serverAppSecret":"s"}`
		change  = "PropertyChangeNotAllowed"
		fixed   = "Changing property 'aadProfile.managed' is not allowed."
	)
	yes, no := true, false
	a, b := ident.MustParse[ident.ObjectID](guidA), ident.MustParse[ident.ObjectID](guidB)
	homeID, otherID := ident.MustParse[ident.TenantID](home), ident.MustParse[ident.TenantID](other)
	groups := []ident.ObjectID{a}
	old := &AAD{ClientAppID: guidA, ServerAppID: guidB, Tenant: homeID}
	for _, tt := range []struct {
		name, from, to     string
		want               *AAD
		code, target, text string
	}{
		{name: "none, none", from: none, to: none},
		{name: "none, managed", from: none, to: managed, want: &AAD{Managed: true, AdminGroups: groups, Tenant: homeID}},
		{name: "none, managed without groups", from: none, to: `{"managed":true}`, want: &AAD{Managed: true, Tenant: homeID}},
		{name: "none, legacy", from: none, to: legacy, want: old},
		{name: "legacy, managed", from: legacy, to: managed, want: &AAD{Managed: true, AdminGroups: groups, Tenant: homeID}},
		{name: "legacy, legacy", from: legacy, to: `{"clientAppID":"` + guidA + `"}`, want: old},
		{name: "legacy, other server without secret", from: legacy, to: `{"serverAppID":"` + guidA + `"}`, code: "InvalidParameter", target: "aadProfile.serverAppSecret", text: "missing"},
		{name: "legacy, none", from: legacy, to: none, code: change, target: "aadProfile.managed", text: fixed},
		{name: "managed, none", from: managed, to: none, code: change, target: "aadProfile.managed", text: fixed},
		{name: "managed, legacy", from: managed, to: legacy, code: change, target: "aadProfile.managed", text: fixed},
		{name: "managed, false", from: managed, to: `{"managed":false}`, code: change, target: "aadProfile.managed", text: fixed},
		{name: "groups kept", from: managed, to: `{"managed":true}`, want: &AAD{Managed: true, AdminGroups: groups, Tenant: homeID}},
		{
			name: "groups changed", from: managed, to: `{"managed":true,"adminGroupObjectIDs":["` + guidB + `","` + guidA + `","` + guidB + `"]}`,
			want: &AAD{Managed: true, AdminGroups: []ident.ObjectID{b, a}, Tenant: homeID},
		},
		{name: "groups emptied", from: managed, to: `{"managed":true,"adminGroupObjectIDs":[]}`, want: &AAD{Managed: true, Tenant: homeID}},
		{name: "groups set to null", from: managed, to: `{"managed":true,"adminGroupObjectIDs":null}`, want: &AAD{Managed: true, Tenant: homeID}},
		{name: "Azure RBAC on", from: managed, to: rbacOn, want: &AAD{Managed: true, AdminGroups: groups, EnableAzureRBAC: &yes, Tenant: homeID}},
		{name: "Azure RBAC off", from: rbacOn, to: `{"managed":true,"enableAzureRBAC":false}`, want: &AAD{Managed: true, EnableAzureRBAC: &no, Tenant: homeID}},
		{name: "Azure RBAC kept", from: rbacOn, to: `{"managed":true}`, want: &AAD{Managed: true, EnableAzureRBAC: &yes, Tenant: homeID}},
		{name: "Azure RBAC without managed", from: none, to: `{"enableAzureRBAC":true}`, code: "BadRequest", target: "aadProfile.enableAzureRBAC", text: "only when"},
		{name: "Azure RBAC on legacy", from: legacy, to: `{"enableAzureRBAC":true}`, code: "BadRequest", target: "aadProfile.enableAzureRBAC", text: "only when"},
		{name: "groups without managed", from: none, to: `{"adminGroupObjectIDs":["` + guidA + `"]}`, code: "BadRequest", target: "aadProfile.adminGroupObjectIDs", text: "only when"},
		{name: "tenant changed", from: managed, to: `{"managed":true,"tenantID":"` + other + `"}`, want: &AAD{Managed: true, AdminGroups: groups, Tenant: otherID}},
		{name: "tenant kept", from: `{"managed":true,"tenantID":"` + other + `"}`, to: `{"managed":true}`, want: &AAD{Managed: true, Tenant: otherID}},
		{name: "tenant unknown", from: none, to: `{"managed":true,"tenantID":"` + guidA + `"}`, code: "InvalidParameter", target: "aadProfile.tenantID", text: "no tenant"},
		{name: "Azure RBAC in another tenant", from: none, to: `{"managed":true,"enableAzureRBAC":true,"tenantID":"` + other + `"}`, code: "BadRequest", target: "aadProfile.tenantID", text: "tenant of the subscription"},
		{name: "Azure RBAC kept, tenant changed", from: rbacOn, to: `{"managed":true,"tenantID":"` + other + `"}`, code: "BadRequest", target: "aadProfile.tenantID", text: "tenant of the subscription"},
		{name: "managed with applications", from: none, to: `{"managed":true,"serverAppID":"` + guidA + `"}`, code: "BadRequest", target: "aadProfile", text: "cannot be set"},
		{name: "legacy without server", from: none, to: `{"clientAppID":"` + guidA + `"}`, code: "InvalidParameter", target: "aadProfile.serverAppID", text: "missing"},
		{name: "legacy without secret", from: none, to: `{"clientAppID":"` + guidA + `","serverAppID":"` + guidB + `"}`, code: "InvalidParameter", target: "aadProfile.serverAppSecret", text: "missing"},
		{name: "legacy with a bad id", from: none, to: `{"clientAppID":"x","serverAppID":"y","serverAppSecret":"s"}`, code: "InvalidParameter", target: "aadProfile.clientAppID", text: "'x'"},
		{name: "a group that is no id", from: none, to: `{"managed":true,"adminGroupObjectIDs":["admins"]}`, code: "InvalidParameter", target: "aadProfile.adminGroupObjectIDs", text: "'admins'"},
		{name: "groups of the wrong type", from: none, to: `{"managed":true,"adminGroupObjectIDs":"` + guidA + `"}`, code: "InvalidParameter", target: "aadProfile.adminGroupObjectIDs", text: "list of strings"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			from := create(t, `{"aadProfile":`+tt.from+`}`)
			was, err := json.Marshal(from)
			if err != nil {
				t.Fatal(err)
			}
			after, change, err := tryUpdate(from, put(t, `{"aadProfile":`+tt.to+`}`))
			refusal(t, err, tt.code, tt.target, tt.text)
			if now, _ := json.Marshal(from); !bytes.Equal(was, now) {
				t.Error("the cluster before was changed")
			}
			if err != nil {
				return
			}
			if diff := cmp.Diff(tt.want, after.AAD); diff != "" {
				t.Error(diff)
			}
			if changed := !cmp.Equal(from.AAD, after.AAD); change.AAD != changed || change.Nodes || after.Generation != from.Generation || after.Epoch != from.Epoch {
				t.Errorf("change %+v", change)
			}
			if strings.Contains(string(after.Body)+string(after.Render("")), "serverAppSecret") {
				t.Error("the secret was kept")
			}
		})
	}
}

func TestResetAAD(t *testing.T) {
	fresh := `{"clientAppID":"` + guidB + `","serverAppID":"` + guidA + `","serverAppSecret":"s"}`
	for _, tt := range []struct{ name, from, body, code, target, text string }{
		{"managed", `{"managed":true}`, fresh, "BadRequest", "", "Operation 'resetAADProfile' is not allowed for managed AAD enabled cluster."},
		{"none", `null`, fresh, "BadRequest", "", "without AAD"},
		{"legacy", `{"clientAppID":"` + guidA + `","serverAppID":"` + guidB + `","serverAppSecret":"s"}`, fresh, "", "", ""},
		{"legacy, no body", `{"clientAppID":"` + guidA + `","serverAppID":"` + guidB + `","serverAppSecret":"s"}`, `null`, "InvalidParameter", "aadProfile", "missing"},
		{"legacy, not JSON", `{"clientAppID":"` + guidA + `","serverAppID":"` + guidB + `","serverAppSecret":"s"}`, `{`, "InvalidParameter", "aadProfile", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := create(t, `{"aadProfile":`+tt.from+`}`)
			after, err := c.ResetAAD([]byte(tt.body), known)
			refusal(t, err, tt.code, tt.target, tt.text)
			if err == nil && after.AAD.ServerAppID != guidA {
				t.Errorf("%+v", after.AAD)
			}
		})
	}
}

// TestLocalAccounts is what turning local accounts off and on does, and which credentials are handed out then.
func TestLocalAccounts(t *testing.T) {
	const refused = "Getting static credential is not allowed because this cluster is set to disable local accounts."
	for _, tt := range []struct {
		entra, disabled bool
		admin, user     CredentialForm
	}{
		{false, false, Static, Static}, {true, false, Static, Exec}, {false, true, 0, 0}, {true, true, 0, Exec},
	} {
		c := create(t, fmt.Sprintf(`{"aadProfile":%s,"disableLocalAccounts":%v}`, map[bool]string{true: `{"managed":true}`, false: `null`}[tt.entra], tt.disabled))
		for kind, want := range map[CredentialKind]CredentialForm{ClusterAdmin: tt.admin, ClusterUser: tt.user} {
			form, err := c.CredentialForm(kind, "")
			if form != want || (err != nil) != (want == 0) {
				t.Errorf("%+v: %s: %d, %v", tt, kind, form, err)
			}
			if err != nil {
				refusal(t, err, "BadRequest", "", refused)
			}
		}
	}
	c := create(t, `{"aadProfile":{"managed":true}}`)
	for format, want := range map[string]CredentialForm{"": Exec, "exec": Exec, "EXEC": Exec, "azure": AzureProvider, "x": 0} {
		if form, err := c.CredentialForm(ClusterUser, format); form != want || (err != nil) != (want == 0) {
			t.Errorf("format %q: %d, %v", format, form, err)
		}
	}
	c.ProvisioningState = Deleting
	_, err := c.CredentialForm(ClusterAdmin, "")
	refusal(t, err, "OperationNotAllowed", "", "(Deleting)")

	// Off is a new epoch, whenever it was on before; on is none, and saying nothing leaves it.
	c = create(t, `{}`)
	for i, step := range []struct {
		say           string
		epoch         int64
		off           bool
		toOff, toOff2 bool
	}{
		{`{}`, 0, false, false, false},
		{`{"disableLocalAccounts":true}`, 1, true, true, false},
		{`{}`, 1, true, false, false},
		{`{"disableLocalAccounts":false}`, 1, false, false, true},
		{`{"disableLocalAccounts":true}`, 2, true, true, false},
	} {
		next, change, err := tryUpdate(c, put(t, step.say))
		if err != nil {
			t.Fatal(err)
		}
		if next.Epoch != step.epoch || next.LocalAccountsDisabled != step.off || change.LocalAccountsDisabled != step.toOff || change.LocalAccountsEnabled != step.toOff2 {
			t.Errorf("step %d: epoch %d, off %v, change %+v", i, next.Epoch, next.LocalAccountsDisabled, change)
		}
		c = next
	}
	if r := c.Rotated(); r.Epoch != c.Epoch+1 || r.Generation != c.Generation+1 {
		t.Errorf("rotated %+v", r)
	}
}

// TestRefusedBodies holds what a create does not take, field by field.
func TestRefusedBodies(t *testing.T) {
	pools := func(s string) string { return `{"agentPoolProfiles":` + s + `}` }
	network := func(s string) string { return `{"networkProfile":` + s + `}` }
	var many []string
	for i := range MaxPools + 1 {
		many = append(many, fmt.Sprintf(`{"name":"p%d"}`, i))
	}
	for _, tt := range []struct{ name, properties, code, target, text string }{
		{"no pools", pools(`[]`), "InvalidParameter", "agentPoolProfiles", "Required parameter agentPoolProfiles is missing"},
		{"null pools", pools(`null`), "InvalidParameter", "agentPoolProfiles", "missing"},
		{"pools of the wrong type", pools(`{}`), "InvalidParameter", "agentPoolProfiles", "list of objects"},
		{"a pool of the wrong type", pools(`[1]`), "InvalidParameter", "agentPoolProfiles[0]", "object"},
		{"many pools", pools("[" + strings.Join(many, ",") + "]"), "InvalidParameter", "agentPoolProfiles", "at most 100"},
		{"a pool twice", pools(`[{"name":"a"},{"name":"a"}]`), "InvalidParameter", "agentPoolProfiles", "twice"},
		{"no system pool", pools(`[{"name":"a","mode":"User"}]`), "InvalidParameter", "agentPoolProfiles", "at least one system mode"},
		{"mode", pools(`[{"name":"a","mode":"Gateway"}]`), "InvalidParameter", "agentPoolProfile.mode", "Gateway"},
		{"no name", pools(`[{}]`), "InvalidParameter", "agentPoolProfile.name", "aks-naming-rules"},
		{"upper case name", pools(`[{"name":"Np"}]`), "InvalidParameter", "agentPoolProfile.name", "'Np'"},
		{"digit first", pools(`[{"name":"1a"}]`), "InvalidParameter", "agentPoolProfile.name", ""},
		{"long name", pools(`[{"name":"abcdefghijklm"}]`), "InvalidParameter", "agentPoolProfile.name", ""},
		{"count 0", pools(`[{"name":"a","count":0}]`), "InvalidParameter", "agentPoolProfile.count", "1 to 100"},
		{"count 101", pools(`[{"name":"a","count":101}]`), "InvalidParameter", "agentPoolProfile.count", "101 nodes"},
		{"count 1.5", pools(`[{"name":"a","count":1.5}]`), "InvalidParameter", "agentPoolProfile.count", "whole number"},
		{"count text", pools(`[{"name":"a","count":"3"}]`), "InvalidParameter", "agentPoolProfile.count", "whole number"},
		{"size", pools(`[{"name":"a","vmSize":"a b"}]`), "InvalidParameter", "agentPoolProfile.vmSize", ""},
		{"Windows", pools(`[{"name":"a","osType":"Windows"}]`), "InvalidParameter", "agentPoolProfile.osType", "only Linux"},
		{"autoscaling", pools(`[{"name":"a","enableAutoScaling":true}]`), "InvalidParameter", "agentPoolProfile.enableAutoScaling", "no cluster autoscaler"},
		{"version of a pool", pools(`[{"name":"a","orchestratorVersion":"1.99"}]`), "K8sVersionNotSupported", "kubernetesVersion", "1.99"},
		{"label", pools(`[{"name":"a","nodeLabels":{"a b":"c"}}]`), "InvalidParameter", "agentPoolProfile.nodeLabels", "a b"},
		{"label type", pools(`[{"name":"a","nodeLabels":{"a":1}}]`), "InvalidParameter", "agentPoolProfile.nodeLabels", ""},
		{"taint", pools(`[{"name":"a","nodeTaints":["a=b"]}]`), "InvalidParameter", "agentPoolProfile.nodeTaints", "a=b"},
		{"taint effect", pools(`[{"name":"a","nodeTaints":["a=b:Never"]}]`), "InvalidParameter", "agentPoolProfile.nodeTaints", ""},
		{"taint twice", pools(`[{"name":"a","nodeTaints":["a=b:NoSchedule","a=c:NoSchedule"]}]`), "InvalidParameter", "agentPoolProfile.nodeTaints", "another taint"},
		{"pods", network(`{"podCidr":"10.244.0.0"}`), "InvalidParameter", "networkProfile.podCidr", "IPv4 range"},
		{"pods IPv6", network(`{"podCidr":"fd00::/48"}`), "InvalidParameter", "networkProfile.podCidr", ""},
		{"pods not masked", network(`{"podCidr":"10.244.0.1/16"}`), "InvalidParameter", "networkProfile.podCidr", "10.244.0.0/16"},
		{"pods small", network(`{"podCidr":"10.244.0.0/21"}`), "InvalidParameter", "networkProfile.podCidr", "8 to 20"},
		{"services large", network(`{"serviceCidr":"10.0.0.0/11"}`), "InvalidParameter", "networkProfile.serviceCidr", "12 to 28"},
		{"overlap", network(`{"podCidr":"10.0.0.0/8"}`), "InvalidParameter", "networkProfile.podCidr", "overlaps"},
		{"dns outside", network(`{"dnsServiceIP":"10.1.0.10"}`), "InvalidParameter", "networkProfile.dnsServiceIP", ""},
		{"dns first", network(`{"dnsServiceIP":"10.0.0.1"}`), "InvalidParameter", "networkProfile.dnsServiceIP", ""},
		{"two ranges", network(`{"podCidrs":["10.244.0.0/16","10.245.0.0/16"]}`), "InvalidParameter", "networkProfile.podCidrs", "one range"},
		{"ranges differ", network(`{"podCidr":"10.244.0.0/16","podCidrs":["10.245.0.0/16"]}`), "InvalidParameter", "networkProfile.podCidrs", "same as"},
		{"dual stack", network(`{"ipFamilies":["IPv4","IPv6"]}`), "InvalidParameter", "networkProfile.ipFamilies", "IPv4"},
		{"nodes without room", `{"networkProfile":{"podCidr":"10.244.0.0/20"},"agentPoolProfiles":[{"name":"a","count":17}]}`, "InvalidParameter", "networkProfile.podCidr", "room for 16"},
		{"prefix", `{"dnsPrefix":"a_b"}`, "InvalidParameter", "dnsPrefix", ""},
		{"prefix long", `{"dnsPrefix":"` + strings.Repeat("a", 55) + `"}`, "InvalidParameter", "dnsPrefix", ""},
		{"version", `{"kubernetesVersion":"1.99"}`, "K8sVersionNotSupported", "kubernetesVersion", "Version 1.99 is not supported in this region."},
		{"no RBAC", `{"enableRBAC":false}`, "InvalidParameter", "enableRBAC", "not offered"},
		{"AAD without RBAC", `{"enableRBAC":false,"aadProfile":{"managed":true}}`, "BadRequest", "enableRBAC", "needs Kubernetes RBAC"},
		{"own group", `{"nodeResourceGroup":"RG_1"}`, "InvalidParameter", "nodeResourceGroup", "must not be"},
		{"long group", `{"nodeResourceGroup":"` + strings.Repeat("a", 81) + `"}`, "InvalidParameter", "nodeResourceGroup", "80"},
		{"group with a dot at its end", `{"nodeResourceGroup":"a."}`, "InvalidParameter", "nodeResourceGroup", ""},
		{"service principal", `{"servicePrincipalProfile":{"clientId":"` + guidA + `","secret":"s"}}`, "InvalidParameter", "servicePrincipalProfile.clientId", "managed identity"},
		{"private", `{"apiServerAccessProfile":{"enablePrivateCluster":true}}`, "InvalidParameter", "apiServerAccessProfile.enablePrivateCluster", "not offered"},
		{"authorized addresses", `{"apiServerAccessProfile":{"authorizedIPRanges":["1.2.3.4/32"]}}`, "InvalidParameter", "apiServerAccessProfile.authorizedIPRanges", "not offered"},
		{"issuer", `{"oidcIssuerProfile":{"enabled":true}}`, "InvalidParameter", "oidcIssuerProfile.enabled", "not offered"},
		{"workload identity", `{"securityProfile":{"workloadIdentity":{"enabled":true}}}`, "InvalidParameter", "securityProfile.workloadIdentity.enabled", "not offered"},
		{"flag", `{"disableLocalAccounts":1}`, "InvalidParameter", "disableLocalAccounts", "true or false"},
		{"object", `{"aadProfile":[]}`, "InvalidParameter", "aadProfile", "object"},
		{"member twice", `{"aadProfile":{"managed":true,"MANAGED":false}}`, "InvalidParameter", "aadProfile", "twice"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tryCreate("c1", put(t, tt.properties))
			refusal(t, err, tt.code, tt.target, tt.text)
		})
	}
	for _, tt := range []struct{ name, body, code, target, text string }{
		{"location", `{"properties":{}}`, "LocationRequired", "location", "required"},
		{"location type", `{"location":1}`, "InvalidParameter", "location", "string"},
		{"identity", `{"location":"a","identity":{"type":"UserAssigned"}}`, "InvalidParameter", "identity.type", "SystemAssigned"},
		{"sku", `{"location":"a","sku":{"name":"Automatic"}}`, "InvalidParameter", "sku.name", "Base"},
		{"tier", `{"location":"a","sku":{"tier":"Gold"}}`, "InvalidParameter", "sku.tier", "Gold"},
		{"tags", `{"location":"a","tags":{"a":1}}`, "InvalidParameter", "tags", "strings"},
		{"tag", `{"location":"a","tags":{"a<b":"c"},"properties":{"agentPoolProfiles":[{"name":"a"}]}}`, "InvalidParameter", "tags", "a<b"},
		{"properties", `{"location":"a","properties":7}`, "InvalidParameter", "properties", "object"},
		{"null", `null`, "InvalidRequestContent", "", "one JSON object"},
		{"empty", ``, "InvalidRequestContent", "", "EOF"},
		{"more", `{} {}`, "InvalidRequestContent", "", "more than one value"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tryCreate("c1", tt.body)
			refusal(t, err, tt.code, tt.target, tt.text)
		})
	}
}

// TestFixedProperties holds what an update does not change.
func TestFixedProperties(t *testing.T) {
	c := create(t, `{"dnsPrefix":"p","networkProfile":{"networkPlugin":"kubenet","podCidr":"10.244.0.0/16"},"agentPoolProfiles":[{"name":"np","vmSize":"Standard_A"},{"name":"two"}]}`)
	for _, tt := range []struct{ name, properties, code, target string }{
		{"prefix", `{"dnsPrefix":"q"}`, "PropertyChangeNotAllowed", "dnsPrefix"},
		{"node group", `{"nodeResourceGroup":"q"}`, "PropertyChangeNotAllowed", "nodeResourceGroup"},
		{"node group in other case", `{"nodeResourceGroup":"mc_RG_1_C1_westus2"}`, "", ""},
		{"RBAC", `{"enableRBAC":false}`, "PropertyChangeNotAllowed", "enableRBAC"},
		{"pods", `{"networkProfile":{"podCidr":"10.245.0.0/16"}}`, "PropertyChangeNotAllowed", "networkProfile.podCidr"},
		{"services", `{"networkProfile":{"serviceCidr":"10.1.0.0/16"}}`, "PropertyChangeNotAllowed", "networkProfile.serviceCidr"},
		{"dns", `{"networkProfile":{"dnsServiceIP":"10.0.0.11"}}`, "PropertyChangeNotAllowed", "networkProfile.dnsServiceIP"},
		{"plugin", `{"networkProfile":{"networkPlugin":"azure"}}`, "PropertyChangeNotAllowed", "networkProfile.networkPlugin"},
		{"size", `{"agentPoolProfiles":[{"name":"np","vmSize":"Standard_B"},{"name":"two"}]}`, "PropertyChangeNotAllowed", "agentPoolProfile.vmSize"},
		{"pool missing", `{"agentPoolProfiles":[{"name":"np"}]}`, "BadRequest", "agentPoolProfiles"},
		{"version", `{"kubernetesVersion":"1.37"}`, "", ""},
		{"nothing", `{"agentPoolProfiles":null}`, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			properties := tt.properties
			if !strings.Contains(properties, "agentPoolProfiles") {
				properties = `{"agentPoolProfiles":null,` + properties[1:]
			}
			_, _, err := tryUpdate(c, put(t, properties))
			refusal(t, err, tt.code, tt.target, "")
		})
	}
	_, _, err := tryUpdate(c, `{"location":"eastus"}`)
	refusal(t, err, "InvalidResourceLocation", "", "already exists in location 'westus2'")
	if _, _, err := tryUpdate(c, `{"location":"West US 2"}`); err != nil {
		t.Error(err)
	}
}

// TestPools holds which changes of pools reach the nodes, and that what an update leaves out stays.
func TestPools(t *testing.T) {
	c := create(t, `{"agentPoolProfiles":[{"name":"np","count":2,"nodeLabels":{"a":"b"},"nodeTaints":["k=v:NoSchedule"],"maxPods":30,"future":{"x":1}}]}`)
	for _, tt := range []struct {
		name, pools string
		nodes       bool
		want        []Pool
	}{
		{"as it is", `[{"name":"np"}]`, false, c.Pools},
		{"more", `[{"name":"np","count":3}]`, true, []Pool{{Name: "np", Count: 3, Mode: "System", VMSize: "Standard_DS2_v2", Labels: map[string]string{"a": "b"}, Taints: c.Pools[0].Taints}}},
		{"no labels", `[{"name":"np","nodeLabels":{}}]`, true, []Pool{{Name: "np", Count: 2, Mode: "System", VMSize: "Standard_DS2_v2", Taints: c.Pools[0].Taints}}},
		{"no taints", `[{"name":"np","nodeTaints":[]}]`, true, []Pool{{Name: "np", Count: 2, Mode: "System", VMSize: "Standard_DS2_v2", Labels: map[string]string{"a": "b"}}}},
		{"another", `[{"name":"np"},{"name":"two","mode":"user"}]`, true, append(slices.Clone(c.Pools), Pool{Name: "two", Count: 1, Mode: "User", VMSize: "Standard_DS2_v2"})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			after, change, err := tryUpdate(c, put(t, `{"agentPoolProfiles":`+tt.pools+`}`))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, after.Pools); diff != "" || change.Nodes != tt.nodes {
				t.Error(change, diff)
			}
			if body := string(after.Body); !strings.Contains(body, `"maxPods":30`) || !strings.Contains(body, `"future":{"x":1}`) {
				t.Errorf("lost something: %s", body)
			}
		})
	}
}

func TestNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"a": true, "A1": true, "a-b_c": true, strings.Repeat("a", 63): true, "": false, "-a": false, "a_": false, "a.b": false, "a b": false, "ä": false, strings.Repeat("a", 64): false,
	} {
		if err := CheckName(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
	if got := NodeGroup("rg", "c", "westus2"); got != "MC_rg_c_westus2" {
		t.Error(got)
	}
	if got := NodeGroup(strings.Repeat("g", 90), "c", "westus2"); len(got) != 80 {
		t.Errorf("%d characters", len(got))
	}
	if got := defaultDNSPrefix("my_cluster_1", "resource(group).1", "33333333-x"); got != "mycluster1-resourcegroup1-333333" {
		t.Error(got)
	}
	c := create(t, `{}`)
	digits := fmt.Sprintf("%08d", c.hash("nodes")%100_000_000)
	for n, suffix := range map[int]string{0: "000000", 9: "000009", 10: "00000a", 35: "00000z", 36: "000010", 99: "00002r"} {
		if got := c.NodeName("np", n); got != "aks-np-"+digits+"-vmss"+suffix {
			t.Errorf("%d: %s", n, got)
		}
	}
	again := create(t, `{}`)
	if again.NodeName("np", 0) != c.NodeName("np", 0) || again.FQDN != c.FQDN {
		t.Error("names are not stable")
	}
	if label := c.FQDN[:strings.IndexByte(c.FQDN, '.')]; len(label) > 63 || c.ServiceIP() != "10.0.0.1" {
		t.Error(c.FQDN, c.ServiceIP())
	}
}

func TestVersions(t *testing.T) {
	for asked, want := range map[string]string{
		"": "1.37.2", "1.37": "1.37.2", "1.37.2": "1.37.2", "1.37.1": "1.37.1", "1.23": "1.23.17", "1.23.5": "1.23.5",
		"1.23.18": "", "1.17": "", "1.38": "", "1.023": "", "1.23.": "", "1.23.5.1": "", "2.23": "", "1.-1": "", "1": "", "v1.37.2": "", "1.37.2 ": "",
	} {
		if got, err := ResolveVersion(asked); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", asked, got, err)
		}
	}
	if c := create(t, `{"kubernetesVersion":"1.37"}`); !strings.Contains(string(c.Render("")), `"kubernetesVersion":"1.37","currentKubernetesVersion":"1.37.2"`) {
		t.Error("the alias does not come back")
	}
}
