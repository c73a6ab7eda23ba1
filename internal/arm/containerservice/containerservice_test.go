package containerservice

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/arm/armtest"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

func TestCreate(t *testing.T) {
	r := newRig(t)
	r.driver.hold = make(chan struct{})
	a := r.Do("PUT", path, armtest.Owner, body(t, entra)).Want(201, "")
	if a.Header.Get("Retry-After") != "1" || a.Header.Get("Location") != "" || a.Header.Get("Content-Type") != "application/json" {
		t.Errorf("headers %v", a.Header)
	}
	if !strings.Contains(a.Body, `"provisioningState":"Creating"`) || strings.Contains(a.Body, "identityProfile") {
		t.Errorf("body %s", a.Body)
	}
	<-r.driver.waits
	busy := r.Do("PUT", path, armtest.Owner, body(t, entra)).Want(409, "OperationNotAllowed")
	if want := "Operation is not allowed: Another operation (Creating) is in progress, please wait for it to finish before starting a new operation. " +
		"See https://aka.ms/aks-pending-operation for more details"; busy.Message() != want {
		t.Errorf("busy text %q", busy.Message())
	}
	for _, req := range [][2]string{{"POST", path + "/rotateClusterCertificates"}, {"DELETE", path}, {"PATCH", path}} {
		r.Do(req[0], req[1], armtest.Owner, `{"tags":{}}`).Want(409, "OperationNotAllowed")
	}
	close(r.driver.hold)
	r.ended(a, resource.Succeeded)
	c := r.cluster()
	d, ok := r.driver.want(c.ID)
	if !ok || d.Endpoint != c.Endpoint || d.Generation != 1 || len(d.Nodes) != 3 || d.Secrets.Cluster.Cert == "" {
		t.Errorf("desired %+v", d)
	}
	got := r.Do("GET", strings.ToUpper(path), armtest.Owner, "").Want(200, "")
	for _, want := range []string{
		`"id":"/subscriptions/` + armtest.Sub + `/resourcegroups/Group-1/providers/Microsoft.ContainerService/managedClusters/c1"`,
		`"type":"Microsoft.ContainerService/ManagedClusters"`, `"provisioningState":"Succeeded"`, `"loadBalancerSku":"Standard"`,
		`"servicePrincipalProfile":{"clientId":"msi"}`, `"nodeResourceGroup":"MC_Group-1_c1_westus2"`, `"objectId":"` + c.Kubelet.Object.String() + `"`,
		`"identity":{"type":"SystemAssigned","principalId":"` + c.ControlPlane.Object.String() + `","tenantId":"` + armtest.Tenant + `"}`,
		`"aadProfile":{"managed":true,"adminGroupObjectIDs":["` + admins + `"],"adminUsers":null,"tenantID":"` + armtest.Tenant + `"}`,
	} {
		if !strings.Contains(got.Body, want) {
			t.Errorf("no %s in %s", want, got.Body)
		}
	}
	for _, id := range []ident.ObjectID{c.ControlPlane.Object, c.Kubelet.Object} {
		if p, ok := r.World.Principal(id); !ok || p.Tenant != c.Tenant {
			t.Errorf("identity %s is not in the directory", id)
		}
	}
	if diff := cmp.Diff([]string{"clusterWritten"}, r.audited(c.ResourceID())); diff != "" {
		t.Error(diff)
	}
}

// TestRefusedWrites sends what cannot be; nothing changes.
func TestRefusedWrites(t *testing.T) {
	r := newRig(t)
	r.create(body(t, entra))
	before := r.cluster()
	other := groupPath + "/providers/Microsoft.ContainerService/managedClusters/c2"
	for _, tt := range []struct {
		name, method, path, as, body string
		status                       int
		code                         string
	}{
		{"not JSON", "PUT", other, armtest.Owner, "{", 400, "InvalidRequestContent"},
		{"list", "PUT", other, armtest.Owner, "[]", 400, "InvalidRequestContent"},
		{"twice", "PUT", other, armtest.Owner, `{"location":"a","Location":"b"}`, 400, "InvalidRequestContent"},
		{"oversized", "PUT", other, armtest.Owner, `{"location":"` + strings.Repeat("x", 5<<20) + `"}`, 413, "RequestContentTooLarge"},
		{"no location", "PUT", other, armtest.Owner, `{"properties":{}}`, 400, "LocationRequired"},
		{"unknown location", "PUT", other, armtest.Owner, strings.Replace(body(t, `{}`), "westus2", "atlantis", 1), 400, "LocationNotAvailableForResourceType"},
		{"wrong type", "PUT", other, armtest.Owner, body(t, `{"disableLocalAccounts":"yes"}`), 400, "InvalidParameter"},
		{"name", "PUT", strings.TrimSuffix(other, "c2") + "-c2", armtest.Owner, body(t, `{}`), 400, "InvalidParameter"},
		{"version", "PUT", other, armtest.Owner, body(t, `{"kubernetesVersion":"1.17.9"}`), 400, "K8sVersionNotSupported"},
		{"no group", "PUT", strings.Replace(other, "Group-1", "gone", 1), armtest.Owner, body(t, `{}`), 404, "ResourceGroupNotFound"},
		{"reader", "PUT", other, armtest.Reader, body(t, `{}`), 403, "AuthorizationFailed"},
		{"managed to none", "PUT", path, armtest.Owner, body(t, `{}`), 400, "PropertyChangeNotAllowed"},
		{"other location", "PUT", path, armtest.Owner, strings.Replace(body(t, entra), "westus2", "eastus", 1), 409, "InvalidResourceLocation"},
		{"unknown tenant", "PUT", other, armtest.Owner, body(t, `{"aadProfile":{"managed":true,"tenantID":"`+admins+`"}}`), 400, "InvalidParameter"},
		{"resetAADProfile", "POST", path + "/resetAADProfile", armtest.Owner, `{}`, 400, "BadRequest"},
		{"patch of properties", "PATCH", path, armtest.Owner, `{"properties":{}}`, 400, "InvalidParameter"},
		{"patch of bad tags", "PATCH", path, armtest.Owner, `{"tags":[1]}`, 400, "InvalidParameter"},
		{"missing", "GET", other, armtest.Owner, "", 404, "ResourceNotFound"},
		{"missing patch", "PATCH", other, armtest.Owner, `{"tags":{}}`, 404, "ResourceNotFound"},
		{"missing rotate", "POST", other + "/rotateClusterCertificates", armtest.Owner, "", 404, "ResourceNotFound"},
		{"missing credential", "POST", other + "/listClusterAdminCredential", armtest.Owner, "", 404, "ResourceNotFound"},
		{"command", "POST", path + "/runCommand", armtest.Owner, `{"command":"kubectl get pods"}`, 400, "OperationNotSupported"},
		{"maintenance window", "PUT", path + "/maintenanceConfigurations/default", armtest.Owner, `{}`, 400, "OperationNotSupported"},
		{"start of one that runs", "POST", path + "/start", armtest.Owner, "", 409, "OperationNotAllowed"},
		{"abort of nothing", "POST", path + "/abort", armtest.Owner, "", 409, "OperationNotAllowed"},
		{"monitoring", "POST", path + "/listClusterMonitoringUserCredential", armtest.Owner, "", 400, "OperationNotSupported"},
		{"agent pool: name", "PUT", path + "/agentPools/X-1", armtest.Owner, `{}`, 400, "InvalidParameter"},
		{"agent pool: not JSON", "PUT", path + "/agentPools/x", armtest.Owner, `[]`, 400, "InvalidRequestContent"},
		{"agent pool: twice", "PUT", path + "/agentPools/x", armtest.Owner, `{"properties":{"count":1,"Count":2}}`, 400, "InvalidParameter"},
		{"agent pool: count", "PUT", path + "/agentPools/x", armtest.Owner, `{"properties":{"count":101}}`, 400, "InvalidParameter"},
		{"agent pool: size", "PUT", path + "/agentPools/nodepool1", armtest.Owner, `{"properties":{"vmSize":"Standard_B2s"}}`, 400, "PropertyChangeNotAllowed"},
		{"agent pool: newer than the cluster", "PUT", path + "/agentPools/x", armtest.Owner, `{"properties":{"orchestratorVersion":"1.38"}}`, 400, "K8sVersionNotSupported"},
		{"agent pool: last of its mode", "PUT", path + "/agentPools/nodepool1", armtest.Owner, `{"properties":{"mode":"User"}}`, 400, "InvalidParameter"},
		{"agent pool: last stopped", "PUT", path + "/agentPools/nodepool1", armtest.Owner, `{"properties":{"powerState":{"code":"Stopped"}}}`, 400, "InvalidParameter"},
		{"agent pool: last deleted", "DELETE", path + "/agentPools/nodepool1", armtest.Owner, "", 400, "InvalidParameter"},
		{"agent pool: power", "PUT", path + "/agentPools/x", armtest.Owner, `{"properties":{"powerState":{"code":"Off"}}}`, 400, "InvalidParameter"},
		{"agent pool: image", "POST", path + "/agentPools/nodepool1/upgradeNodeImageVersion", armtest.Owner, "", 400, "OperationNotSupported"},
		{"agent pool: reader", "PUT", path + "/agentPools/x", armtest.Reader, `{}`, 403, "AuthorizationFailed"},
		{"downgrade", "PUT", path, armtest.Owner, body(t, `{"kubernetesVersion":"1.36","aadProfile":{"managed":true}}`), 400, "OperationNotAllowed"},
		{"missing agent pool", "GET", path + "/agentPools/x", armtest.Owner, "", 404, "NotFound"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := r.Do(tt.method, tt.path, tt.as, tt.body).Want(tt.status, tt.code)
			gateway := a.Header.Get("X-Ms-Failure-Cause") != ""
			if bare := !strings.HasPrefix(a.Body, `{"error"`); bare == gateway {
				t.Errorf("form of the error: %s", a.Body)
			}
		})
	}
	if n := len(r.World.Clusters()); n != 1 {
		t.Errorf("%d clusters", n)
	}
	if diff := cmp.Diff(before, r.cluster()); diff != "" {
		t.Error(diff)
	}
}

// TestUpdate changes a running cluster: what the gate reads at once, other nodes by a worker.
func TestUpdate(t *testing.T) {
	r := newRig(t)
	c := r.create(body(t, entra))
	got := r.Do("GET", path, armtest.Owner, "")
	for len(r.driver.waits) > 0 {
		<-r.driver.waits
	}
	for _, tt := range []struct {
		name, change string
		epoch        int64
		waits        int
		nodes        int
	}{
		{"as it is", `{}`, 0, 0, 3},
		{"disable", `{"disableLocalAccounts":true}`, 1, 0, 3},
		{"disable again", `{"disableLocalAccounts":true}`, 1, 0, 3},
		{"enable", `{"disableLocalAccounts":false}`, 1, 0, 3},
		{"disable once more", `{"disableLocalAccounts":true}`, 2, 0, 3},
		{"groups", `{"aadProfile":{"managed":true,"adminGroupObjectIDs":["` + armtest.Group + `","` + admins + `"]}}`, 2, 0, 3},
		{"nodes", `{"agentPoolProfiles":[{"name":"nodepool1","count":5}]}`, 2, 1, 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := r.Do("PUT", path, armtest.Owner, with(t, got.Body, tt.change)).Want(200, "")
			state := `"provisioningState":"Succeeded"`
			if tt.waits > 0 {
				state = `"provisioningState":"Updating"`
			}
			if !strings.Contains(a.Body, state) {
				t.Errorf("no %s in %s", state, a.Body)
			}
			r.ended(a, resource.Succeeded)
			now := r.cluster()
			if now.Epoch != tt.epoch || now.Generation != c.Generation || now.Endpoint != c.Endpoint || now.ControlPlane != c.ControlPlane {
				t.Errorf("cluster %+v", now)
			}
			if d, _ := r.driver.want(c.ID); len(d.Nodes) != tt.nodes || len(r.driver.waits) != tt.waits {
				t.Errorf("%d nodes after %d waits", len(d.Nodes), len(r.driver.waits))
			}
			got = r.Do("GET", path, armtest.Owner, "")
		})
	}
	want := []string{
		"clusterWritten", "clusterWritten", "clusterWritten", "localAccountsDisabled", "clusterWritten", "clusterWritten", "localAccountsEnabled",
		"clusterWritten", "localAccountsDisabled", "clusterWritten", "clusterWritten",
	}
	if diff := cmp.Diff(want, r.audited(c.ResourceID())); diff != "" {
		t.Error(diff)
	}
	r.Do("PATCH", path, armtest.Owner, `{"tags":{"env":"prod"}}`).Want(200, "")
	if got := r.Do("GET", path, armtest.Owner, ""); !strings.Contains(got.Body, `"tags":{"env":"prod"}`) {
		t.Errorf("tags: %s", got.Body)
	}
}

func TestConditions(t *testing.T) {
	r := newRig(t)
	r.create(body(t, entra))
	if got := r.Do("GET", path, armtest.Owner, ""); strings.Contains(got.Body, "eTag") {
		t.Errorf("an eTag in an old api-version: %s", got.Body)
	}
	var doc struct{ ETag string }
	tag := func() string {
		r.Do("GET", path+"?api-version=2025-03-01", armtest.Owner, "").Want(200, "").JSON(&doc)
		return doc.ETag
	}
	first := tag()
	missing := path + "-missing"
	for n, tt := range []struct {
		method, path, header, value string
		status                      int
	}{
		{"PATCH", path, "If-Match", "other", 412},
		{"PATCH", path, "If-None-Match", first, 412},
		{"PUT", path, "If-None-Match", "*", 412},
		{"PUT", path, "If-Match", "other", 412},
		{"DELETE", path, "If-Match", "other", 412},
		{"PUT", missing, "If-Match", "*", 412},
		{"PATCH", path, "If-Match", `"other", "` + first + `"`, 200},
		{"PATCH", path, "If-Match", first, 412}, // it has changed
		{"PATCH", path, "If-Match", "*", 200},
		{"PATCH", path, "If-None-Match", first, 200},
	} {
		text := fmt.Sprintf(`{"tags":{"n":"%d"}}`, n)
		if tt.method == "PUT" {
			text = body(t, entra)
		}
		req := httptest.NewRequestWithContext(t.Context(), tt.method, armtest.BaseURL+tt.path+"?api-version=2025-03-01", strings.NewReader(text))
		req.Header.Set("Authorization", "Bearer "+armtest.Owner)
		req.Header.Set(tt.header, tt.value)
		rec := httptest.NewRecorder()
		r.Face.ServeHTTP(rec, req)
		if rec.Code != tt.status {
			t.Errorf("%s %s: %s: %d, want %d: %s", tt.method, tt.header, tt.value, rec.Code, tt.status, rec.Body)
		}
	}
}

func TestFailedCreate(t *testing.T) {
	r := newRig(t)
	r.driver.fail = errors.New("secret inner words")
	a := r.Do("PUT", path, armtest.Owner, body(t, entra)).Want(201, "")
	op := r.ended(a, resource.Failed)
	if op.ErrorCode != "ControlPlaneFailed" || strings.Contains(op.ErrorMessage, "inner") {
		t.Errorf("%s: %s", op.ErrorCode, op.ErrorMessage)
	}
	if got := r.Do("GET", path, armtest.Owner, ""); !strings.Contains(got.Body, `"provisioningState":"Failed"`) {
		t.Error(got.Body)
	}
	// The same PUT again mends it.
	r.driver.set(func(d *driver) { d.fail = nil })
	again := r.Do("PUT", path, armtest.Owner, body(t, entra)).Want(200, "")
	r.ended(again, resource.Succeeded)
	if c := r.cluster(); c.ProvisioningState != managedcluster.Succeeded {
		t.Error(c.ProvisioningState)
	}
}

// TestResume ends the control plane in the middle of each operation: the next one goes on with it.
func TestResume(t *testing.T) {
	r := newRig(t)
	r.driver.hold = make(chan struct{})
	step := func(name string, ask func() armtest.Answer, status int) {
		t.Run(name, func(t *testing.T) {
			r.driver.set(func(d *driver) { d.hold = make(chan struct{}) })
			a := ask().Want(status, "")
			<-r.driver.waits
			r.restart()
			if err := r.h.StartAll(t.Context()); err != nil {
				t.Fatal(err)
			}
			<-r.driver.waits
			r.driver.set(func(d *driver) { close(d.hold) })
			r.ended(a, resource.Succeeded)
		})
	}
	step("create", func() armtest.Answer { return r.Do("PUT", path, armtest.Owner, body(t, entra)) }, 201)
	c := r.cluster()
	step("nodes", func() armtest.Answer {
		return r.Do("PUT", path, armtest.Owner, body(t, `{"aadProfile":{"managed":true},"agentPoolProfiles":[{"name":"nodepool1","count":1}]}`))
	}, 200)
	step("rotate", func() armtest.Answer { return r.Do("POST", path+"/rotateClusterCertificates", armtest.Owner, "") }, 202)
	if d, _ := r.driver.want(c.ID); d.Generation != 2 || len(d.Nodes) != 1 {
		t.Errorf("desired %+v", d)
	}
	step("delete", func() armtest.Answer { return r.Do("DELETE", path, armtest.Owner, "") }, 202)
	if _, ok := r.World.Cluster(c.ID); ok {
		t.Error("the cluster is still there")
	}
}

func TestRotate(t *testing.T) {
	r := newRig(t)
	c := r.create(body(t, entra))
	before, _ := r.driver.want(c.ID)
	first := r.kubeconfig("listClusterAdminCredential", "clusterAdmin")
	a := r.Do("POST", path+"/rotateClusterCertificates", armtest.Owner, "").Want(202, "")
	if a.Body != "" || a.Header.Get("Location") == "" || a.Header.Get("Retry-After") != "1" {
		t.Errorf("%v %s", a.Header, a.Body)
	}
	r.ended(a, resource.Succeeded)
	if got := r.Do("GET", strings.TrimPrefix(a.Header.Get("Location"), armtest.BaseURL), armtest.Owner, ""); got.Status != 204 {
		t.Errorf("result %d", got.Status)
	}
	after, _ := r.driver.want(c.ID)
	now := r.cluster()
	if after.Generation != before.Generation+1 || now.Epoch != c.Epoch+1 || after.Secrets.Cluster == before.Secrets.Cluster ||
		after.Secrets.ServiceAccount == before.Secrets.ServiceAccount || after.Secrets.FrontProxy == before.Secrets.FrontProxy {
		t.Error("not everything was replaced")
	}
	if i := r.issued(first.cert); i.Epoch >= now.Epoch {
		t.Error("the old certificate is of the new epoch")
	}
	second := r.kubeconfig("listClusterAdminCredential", "clusterAdmin")
	if i := r.issued(second.cert); i.Epoch != now.Epoch || string(second.ca) != after.Secrets.Cluster.Cert {
		t.Error("the new kubeconfig is not of the new authority")
	}
}

// TestAccess holds what each built-in role may do.
func TestAccess(t *testing.T) {
	r := newRig(t)
	r.create(body(t, entra))
	r.Grant(armtest.Nobody, rbac.PrincipalUser, armtest.ClusterUserRole, path)
	for _, tt := range []struct {
		as, method, path string
		status           int
	}{
		{armtest.Nobody, "POST", path + "/listClusterUserCredential", 200},
		{armtest.Nobody, "POST", path + "/listClusterAdminCredential", 403},
		{armtest.Nobody, "POST", path + "/accessProfiles/clusterUser/listCredential", 403},
		{armtest.Nobody, "DELETE", path, 403},
		{armtest.Reader, "GET", path, 200},
		{armtest.Reader, "GET", path + "/agentPools", 200},
		{armtest.Reader, "POST", path + "/listClusterUserCredential", 403},
		{armtest.Reader, "POST", path + "/rotateClusterCertificates", 403},
		{armtest.Reader, "PATCH", path, 403},
		{armtest.Stranger, "GET", path, 401},
		{armtest.App, "GET", path, 403},
		{armtest.App, "GET", path + "x", 403}, // access is checked before existence
		{armtest.App, "GET", "/subscriptions/" + armtest.Sub + "/providers/Microsoft.ContainerService/managedClusters", 403},
	} {
		if a := r.Do(tt.method, tt.path, tt.as, "{}"); a.Status != tt.status {
			t.Errorf("%s %s as %s: %d, want %d: %s", tt.method, tt.path, tt.as, a.Status, tt.status, a.Body)
		}
	}
	// A list holds what its reader may see.
	r.Grant(armtest.App, rbac.PrincipalServicePrincipal, armtest.ReaderRole, path)
	list := r.Do("GET", groupPath+"/providers/Microsoft.ContainerService/managedClusters", armtest.App, "").Want(200, "")
	var value struct{ Value []struct{ Name string } }
	list.JSON(&value)
	one := r.Do("GET", path, armtest.Owner, "").Want(200, "")
	if len(value.Value) != 1 || list.Body != `{"value":[`+one.Body+`]}` {
		t.Error(list.Body)
	}
	// That of a group holds nothing of others, whatever their reader may see in it.
	const other = "/subscriptions/" + armtest.Sub + "/resourceGroups/group-2"
	r.Do("PUT", other, armtest.Owner, `{"location":"westeurope"}`).Want(201, "")
	r.Grant(armtest.Nobody, rbac.PrincipalUser, armtest.ReaderRole, other)
	for _, as := range []string{armtest.Nobody, armtest.Owner} {
		if list := r.Do("GET", other+"/providers/Microsoft.ContainerService/managedClusters", as, "").Want(200, ""); list.Body != `{"value":[]}` {
			t.Errorf("%s finds in another group: %.300s", as, list.Body)
		}
	}
	r.Do("GET", other+"x/providers/Microsoft.ContainerService/managedClusters", armtest.Owner, "").Want(404, "ResourceGroupNotFound")
	r.Do("GET", other+"x/providers/Microsoft.ContainerService/managedClusters", armtest.App, "").Want(403, "AuthorizationFailed")
}

func TestDelete(t *testing.T) {
	r := newRig(t)
	c := r.create(body(t, entra))
	k := r.kubeconfig("listClusterAdminCredential", "clusterAdmin")
	fingerprint := r.issued(k.cert).Fingerprint
	r.Grant(armtest.Nobody, rbac.PrincipalUser, armtest.ReaderRole, path+"/namespaces/ns1")
	r.Grant(armtest.Nobody, rbac.PrincipalUser, armtest.ReaderRole, path+"2")
	r.Grant(c.Kubelet.Object.String(), rbac.PrincipalServicePrincipal, armtest.ReaderRole, groupPath)
	r.driver.set(func(d *driver) { d.hold = make(chan struct{}) })
	a := r.Do("DELETE", path, armtest.Owner, "").Want(202, "")
	again := r.Do("DELETE", path, armtest.Owner, "").Want(202, "")
	if a.Header.Get("Azure-AsyncOperation") != again.Header.Get("Azure-AsyncOperation") || a.Body != "" {
		t.Error("the second DELETE does not follow the first")
	}
	r.Do("POST", path+"/listClusterUserCredential", armtest.Owner, "").Want(409, "OperationNotAllowed")
	r.driver.set(func(d *driver) { close(d.hold) })
	r.ended(a, resource.Succeeded)
	r.Do("GET", path, armtest.Owner, "").Want(404, "ResourceNotFound")
	if a := r.Do("DELETE", path, armtest.Owner, ""); a.Status != 204 {
		t.Errorf("missing: %d", a.Status)
	}
	if diff := cmp.Diff([]ident.ClusterID{c.ID}, r.driver.deleted); diff != "" {
		t.Error(diff)
	}
	if _, ok := r.World.Certificate(fingerprint); ok {
		t.Error("the certificate's record is still there")
	}
	for _, id := range []ident.ObjectID{c.ControlPlane.Object, c.Kubelet.Object} {
		if _, ok := r.World.Principal(id); ok {
			t.Error("an identity is still in the directory")
		}
	}
	err := r.DB.View(t.Context(), func(tx *store.Tx) error {
		all, err := tx.Assignments(c.Tenant)
		for _, a := range all {
			if strings.HasPrefix(a.Scope, path+"/") || strings.HasPrefix(a.Scope, nodeGroupScope(c)) {
				t.Errorf("assignment at %s is still there", a.Scope)
			}
		}
		if !slices.ContainsFunc(all, func(a rbac.Assignment) bool { return a.Scope == path+"2" }) {
			t.Error("an assignment elsewhere is gone")
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	// Another cluster of the name is another cluster.
	if again := r.create(body(t, entra)); again.ID == c.ID || again.ControlPlane == c.ControlPlane {
		t.Error("the new cluster is the old one")
	}
}

// TestDeleteGroup deletes a group while its cluster is being made.
func TestDeleteGroup(t *testing.T) {
	r := newRig(t)
	r.driver.set(func(d *driver) { d.hold = make(chan struct{}) })
	create := r.Do("PUT", path, armtest.Owner, body(t, entra)).Want(201, "")
	<-r.driver.waits
	a := r.Do("DELETE", groupPath, armtest.Owner, "").Want(202, "")
	<-r.driver.waits // the deletion has come to the driver: the making was given up
	r.driver.set(func(d *driver) { close(d.hold) })
	if op := r.Ended(create.Header.Get("Azure-AsyncOperation")); op.Status != resource.Canceled {
		t.Errorf("creation %s", op.Status)
	}
	if op := r.Ended(a.Header.Get("Location")); op.Status != resource.Succeeded {
		t.Errorf("deletion %s: %s", op.Status, op.ErrorMessage)
	}
	r.Do("GET", groupPath, armtest.Owner, "").Want(404, "ResourceGroupNotFound")
	if n := len(r.World.Clusters()); n != 0 {
		t.Errorf("%d clusters are left", n)
	}
}

// TestContents holds what other rooms learn of a group's clusters.
func TestContents(t *testing.T) {
	r := newRig(t)
	c := r.create(body(t, entra))
	list := r.Do("GET", groupPath+"/resources", armtest.Owner, "").Want(200, "")
	for _, want := range []string{`"id":"` + c.ResourceID() + `"`, `"type":"Microsoft.ContainerService/managedClusters"`, `"tags":{"team":"a"}`, `"name":"Base"`} {
		if !strings.Contains(list.Body, want) {
			t.Errorf("no %s in %s", want, list.Body)
		}
	}
	err := r.DB.View(t.Context(), func(tx *store.Tx) error {
		for _, tt := range []struct {
			id            string
			exists, known bool
		}{
			{path, true, true},
			{path + "/namespaces/ns1", true, true},
			{path + "2", false, true},
			{strings.ToUpper(path), true, true},
			{groupPath + "/providers/Microsoft.Network/virtualNetworks/v", false, false},
		} {
			id, err := ident.ParseResourceID(tt.id)
			if err != nil {
				return err
			}
			if exists, known, err := r.h.Exists(tx, id); exists != tt.exists || known != tt.known || err != nil {
				t.Errorf("%s: %v, %v, %v", tt.id, exists, known, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestEndpoints gives every cluster an address of its own, and says so when there is none left.
func TestEndpoints(t *testing.T) {
	r := newRig(t)
	seen := map[string]bool{}
	for _, name := range []string{"c1", "c2", "c3"} {
		p := strings.TrimSuffix(path, "c1") + name
		r.ended(r.Do("PUT", p, armtest.Owner, body(t, `{}`)).Want(201, ""), resource.Succeeded)
		c, _ := r.World.ClusterByResource(p)
		seen[c.Endpoint] = true
	}
	if len(seen) != 3 {
		t.Errorf("endpoints %v", seen)
	}
	r.Do("PUT", strings.TrimSuffix(path, "c1")+"c4", armtest.Owner, body(t, `{}`)).Want(503, "QuotaExceeded")
}

// TestNoSecretAtRest looks for keys in the database file.
func TestNoSecretAtRest(t *testing.T) {
	r := newRig(t)
	c := r.create(body(t, entra))
	d, _ := r.driver.want(c.ID)
	err := r.DB.View(t.Context(), func(tx *store.Tx) error {
		sealed, err := tx.ClusterSecrets(c.ID)
		if err != nil {
			return err
		}
		stored, err := json.Marshal(c)
		for _, secret := range []string{d.Secrets.Cluster.Key, d.Secrets.ServiceAccount, d.Secrets.FrontProxy.Key} {
			core := strings.Split(secret, "\n")[1]
			if strings.Contains(string(sealed), core) || strings.Contains(string(stored), core) {
				t.Error("a key is stored in clear")
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
