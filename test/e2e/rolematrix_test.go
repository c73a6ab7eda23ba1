package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/test/harness"
)

// What the roles say, written from their published definitions (the words of the roles are in the seeds' pages: Reader sees most
// objects of a namespace and no Secrets, roles or bindings; Writer writes them and has Secrets; Admin has all but writing quotas
// and namespaces; Cluster Admin has all). The letters of a row are the roles that allow it:
//
//	R Reader   W Writer   A Admin   C Cluster Admin
//	X a custom role: */read without secrets/read and pods/log/read
//
// Rows of namespaces are asked in the namespace of the assignment and in another; {ns} stands for it.
const roleTable = `
# the core group, in a namespace
GET    /api/v1/namespaces/{ns}/pods                                        RWACX
GET    /api/v1/namespaces/{ns}/pods?watch=1&timeoutSeconds=1               RWACX
GET    /api/v1/namespaces/{ns}/pods/none                                   RWACX
GET    /api/v1/namespaces/{ns}/pods/none/status                            RWACX
GET    /api/v1/namespaces/{ns}/pods/none/log                               RWAC
POST   /api/v1/namespaces/{ns}/pods                                        WAC
DELETE /api/v1/namespaces/{ns}/pods/none                                   WAC
DELETE /api/v1/namespaces/{ns}/pods?labelSelector=no%3Dbody                WAC
POST   /api/v1/namespaces/{ns}/pods/none/exec?command=true&stdout=1        WAC
GET    /api/v1/namespaces/{ns}/pods/none/exec?command=true&stdout=1        WAC
GET    /api/v1/namespaces/{ns}/pods/none/attach?stdout=1                   WAC
GET    /api/v1/namespaces/{ns}/pods/none/portforward                       WAC
POST   /api/v1/namespaces/{ns}/pods/none/eviction                          WAC
GET    /api/v1/namespaces/{ns}/configmaps                                  RWACX
PUT    /api/v1/namespaces/{ns}/configmaps/none                             WAC
GET    /api/v1/namespaces/{ns}/secrets                                     WAC
GET    /api/v1/namespaces/{ns}/secrets/none                                WAC
POST   /api/v1/namespaces/{ns}/secrets                                     WAC
GET    /api/v1/namespaces/{ns}/services                                    RWACX
DELETE /api/v1/namespaces/{ns}/services/none                               WAC
GET    /api/v1/namespaces/{ns}/endpoints                                   RWACX
GET    /api/v1/namespaces/{ns}/persistentvolumeclaims                      RWACX
POST   /api/v1/namespaces/{ns}/persistentvolumeclaims                      WAC
GET    /api/v1/namespaces/{ns}/serviceaccounts                             RWACX
POST   /api/v1/namespaces/{ns}/serviceaccounts                             WAC
POST   /api/v1/namespaces/{ns}/serviceaccounts/none/token                  WAC
GET    /api/v1/namespaces/{ns}/events                                      RWACX
POST   /api/v1/namespaces/{ns}/events                                      WAC
GET    /api/v1/namespaces/{ns}/limitranges                                 RWACX
POST   /api/v1/namespaces/{ns}/limitranges                                 AC
GET    /api/v1/namespaces/{ns}/resourcequotas                              RWACX
POST   /api/v1/namespaces/{ns}/resourcequotas                              C
DELETE /api/v1/namespaces/{ns}/resourcequotas/none                         C
GET    /api/v1/namespaces/{ns}                                             RWACX
PATCH  /api/v1/namespaces/{ns}                                             C
# groups
GET    /apis/apps/v1/namespaces/{ns}/deployments                           RWACX
POST   /apis/apps/v1/namespaces/{ns}/deployments                           WAC
DELETE /apis/apps/v1/namespaces/{ns}/deployments/none                      WAC
GET    /apis/apps/v1/namespaces/{ns}/deployments/none/scale                RWACX
PUT    /apis/apps/v1/namespaces/{ns}/deployments/none/scale                WAC
GET    /apis/apps/v1/namespaces/{ns}/controllerrevisions                   RWACX
POST   /apis/apps/v1/namespaces/{ns}/controllerrevisions                   AC
GET    /apis/batch/v1/namespaces/{ns}/jobs                                 RWACX
POST   /apis/batch/v1/namespaces/{ns}/cronjobs                             WAC
GET    /apis/autoscaling/v2/namespaces/{ns}/horizontalpodautoscalers       RWACX
GET    /apis/networking.k8s.io/v1/namespaces/{ns}/networkpolicies          RWACX
POST   /apis/networking.k8s.io/v1/namespaces/{ns}/ingresses                WAC
POST   /apis/policy/v1/namespaces/{ns}/poddisruptionbudgets                WAC
GET    /apis/events.k8s.io/v1/namespaces/{ns}/events                       RWACX
POST   /apis/events.k8s.io/v1/namespaces/{ns}/events                       AC
GET    /apis/coordination.k8s.io/v1/namespaces/{ns}/leases                 WACX
POST   /apis/coordination.k8s.io/v1/namespaces/{ns}/leases                 WAC
GET    /apis/rbac.authorization.k8s.io/v1/namespaces/{ns}/roles            ACX
POST   /apis/rbac.authorization.k8s.io/v1/namespaces/{ns}/roles            AC
GET    /apis/rbac.authorization.k8s.io/v1/namespaces/{ns}/rolebindings     ACX
DELETE /apis/rbac.authorization.k8s.io/v1/namespaces/{ns}/rolebindings/no  AC
POST   /apis/authorization.k8s.io/v1/namespaces/{ns}/localsubjectaccessreviews  AC
# custom resources: shelves are aggregated to view and edit, vaults to nothing
GET    /apis/lab.test/v1/namespaces/{ns}/shelves                           RWACX
POST   /apis/lab.test/v1/namespaces/{ns}/shelves                           WAC
GET    /apis/lab.test/v1/namespaces/{ns}/vaults                            ACX
POST   /apis/lab.test/v1/namespaces/{ns}/vaults                            AC
# of the cluster
GET    /api/v1/pods                                                        RWACX
GET    /api/v1/secrets                                                     WAC
GET    /apis/apps/v1/deployments                                           RWACX
GET    /api/v1/namespaces                                                  RWACX
POST   /api/v1/namespaces                                                  C
GET    /api/v1/nodes                                                       ACX
PATCH  /api/v1/nodes/none                                                  AC
GET    /api/v1/nodes/none/proxy/healthz                                    ACX
GET    /api/v1/persistentvolumes                                           ACX
POST   /api/v1/persistentvolumes                                           AC
GET    /apis/storage.k8s.io/v1/storageclasses                              ACX
GET    /apis/rbac.authorization.k8s.io/v1/clusterroles                     ACX
DELETE /apis/rbac.authorization.k8s.io/v1/clusterrolebindings/none         AC
GET    /apis/apiextensions.k8s.io/v1/customresourcedefinitions             ACX
POST   /apis/authorization.k8s.io/v1/subjectaccessreviews                  AC
GET    /metrics                                                            ACX
`

// roleRow is one row of the table.
type roleRow struct{ method, path, roles string }

func (r roleRow) namespaced() bool { return strings.Contains(r.path, "{ns}") }

func roleRows(t *testing.T) []roleRow {
	t.Helper()
	var rows []roleRow
	for line := range strings.Lines(roleTable) {
		f := strings.Fields(line)
		if len(f) == 0 || f[0] == "#" {
			continue
		}
		if len(f) != 3 {
			t.Fatalf("row %q", line)
		}
		rows = append(rows, roleRow{f[0], f[1], f[2]})
	}
	return rows
}

// holder is a principal with one role at one scope.
type holder struct {
	letter, role string
	scope        string // "" or /namespaces/dev
	kind         string // user, nested group, service principal, managed identity
	name         string
	ask          *asker
}

func (h holder) String() string {
	return fmt.Sprintf("%s by %s at cluster%s", h.letter, h.kind, h.scope)
}

// allows says what the table says.
func (h holder) allows(r roleRow, ns string) bool {
	return strings.Contains(r.roles, h.letter) && (h.scope == "" || r.namespaced() && ns == "dev")
}

const shelves = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: KINDs.lab.test}
spec:
  group: lab.test
  scope: Namespaced
  names: {plural: KINDs, singular: KIND, kind: KIND}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
`

const aggregated = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: shelves-view, labels: {rbac.authorization.k8s.io/aggregate-to-view: "true"}}
rules: [{apiGroups: [lab.test], resources: [shelves], verbs: [get, list, watch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: shelves-edit, labels: {rbac.authorization.k8s.io/aggregate-to-edit: "true"}}
rules: [{apiGroups: [lab.test], resources: [shelves], verbs: [create, update, patch, delete]}]
`

// holders makes every holder: five roles, two scopes, four ways to hold it.
func (e *estate) holders(c target, robots map[string]robot) []holder {
	e.t.Helper()
	outside := newForge(e.t)
	outside.subject = "holder"
	custom := ident.New[ident.GUID]().String()
	e.manage(http.MethodPut, e.root+"/providers/Microsoft.Authorization/roleDefinitions/"+custom, authorizationVersion, map[string]any{"properties": map[string]any{
		"roleName": "Look around", "type": "CustomRole", "assignableScopes": []string{e.root},
		"permissions": []any{map[string]any{
			"dataActions":    []string{"Microsoft.ContainerService/managedClusters/*/read"},
			"notDataActions": []string{"Microsoft.ContainerService/managedClusters/secrets/read", "Microsoft.ContainerService/managedClusters/pods/log/read"},
		}},
	}}, nil)
	var out []holder
	for letter, role := range map[string]string{"R": readerRole, "W": writerRole, "A": adminRole, "C": clusterAdminRole, "X": custom} {
		for where, scope := range map[string]string{"c": "", "n": "/namespaces/dev"} {
			name := "direct" + where + strings.ToLower(letter)
			e.assign(c.id+scope, role, e.user(name), "User")
			out = append(out, holder{letter, role, scope, "user", name, e.byToken(c, e.userToken(name))})

			name = "nested" + where + strings.ToLower(letter)
			e.assign(c.id+scope, role, e.group("outer-"+name, e.group("inner-"+name, e.user(name))), "Group")
			out = append(out, holder{letter, role, scope, "nested group", name, e.byToken(c, e.userToken(name))})

			r := robots[letter+where]
			e.assign(c.id+scope, role, r.id.String(), "ServicePrincipal")
			token := e.token(url.Values{"grant_type": {"client_credentials"}, "client_id": {r.client.String()}, "client_secret": {r.secret}})
			out = append(out, holder{letter, role, scope, "service principal", r.id.String(), e.byToken(c, token)})

			id, client := e.managedIdentity("identity"+where+strings.ToLower(letter), outside)
			e.assign(c.id+scope, role, id, "ServicePrincipal")
			token = e.token(url.Values{"grant_type": {"client_credentials"}, "client_id": {client}, "client_assertion_type": {jwtBearer}, "client_assertion": {outside.token(exchange)}})
			out = append(out, holder{letter, role, scope, "managed identity", id, e.byToken(c, token)})
		}
	}
	return out
}

const jwtBearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// managedIdentity makes a user-assigned identity that signs in with tokens of the forge, and returns its principal and client id.
func (e *estate) managedIdentity(name string, from *forge) (principal, client string) {
	e.t.Helper()
	var out struct {
		Properties struct{ PrincipalID, ClientID string }
	}
	const version = "2023-01-31"
	path := e.root + "/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/" + name
	e.manage(http.MethodPut, path, version, map[string]any{"location": "eastus"}, &out)
	e.manage(http.MethodPut, path+"/federatedIdentityCredentials/one", version, map[string]any{"properties": map[string]any{
		"issuer": from.URL, "subject": from.subject, "audiences": []string{exchange},
	}}, nil)
	return out.Properties.PrincipalID, out.Properties.ClientID
}

// robot is a service principal that may sign in with a secret.
type robot struct {
	id     ident.ObjectID
	client ident.ClientID
	secret string
}

// robots puts service principals into the directory while nobody serves it.
func (e *estate) robots(names ...string) map[string]robot {
	e.t.Helper()
	e.k.Stop()
	out := map[string]robot{}
	ctx, now := e.t.Context(), time.Now().UTC()
	db, err := store.Open(ctx, store.Options{Path: e.k.Data.Database(), Now: time.Now})
	if err != nil {
		e.t.Fatal(err)
	}
	tenant, err := ident.Parse[ident.TenantID](e.k.Admin.TenantID)
	if err != nil {
		e.t.Fatal(err)
	}
	_, err = db.Update(ctx, func(tx *store.Tx) error {
		var errs []error
		for _, n := range names {
			r := robot{id: ident.New[ident.ObjectID](), client: ident.New[ident.ClientID]()}
			var record proof.ClientSecret
			r.secret, record = proof.NewClientSecret(r.client, n, now, time.Hour)
			out[n] = r
			errs = append(errs,
				tx.PutApplication(directory.Application{ID: ident.New[ident.ObjectID](), Tenant: tenant, AppID: r.client, DisplayName: n, CreatedAt: now}),
				tx.PutServicePrincipal(directory.ServicePrincipal{ID: r.id, Tenant: tenant, AppID: r.client, DisplayName: n, Type: directory.TypeApplication, AccountEnabled: true, CreatedAt: now}),
				tx.PutClientSecret(record))
		}
		return errors.Join(errs...)
	})
	if err := errors.Join(err, db.Close()); err != nil {
		e.t.Fatal(err)
	}
	e.k.Start()
	return out
}

// TestRolesOnTheAPIServer asks a real API server every row of the table as every holder: five roles, at the cluster and at a
// namespace, held directly, through nested groups, as a service principal and as a managed identity.
func TestRolesOnTheAPIServer(t *testing.T) {
	e := newEstate(t)
	var names []string
	for _, letter := range "RWACX" {
		names = append(names, string(letter)+"c", string(letter)+"n")
	}
	robots := e.robots(names...)
	c := e.embedded("c1", e.group("admins"))
	for _, kind := range []string{"shelve", "vault"} {
		e.apply(strings.ReplaceAll(shelves, "KIND", kind))
	}
	e.apply(aggregated)
	e.p.kubectl("create", "namespace", "dev")
	e.p.kubectl("create", "namespace", "prod")
	e.p.kubectl("wait", "--for", "condition=Established", "crd/shelves.lab.test", "crd/vaults.lab.test", "--timeout", "30s")
	holders, rows := e.holders(c, robots), roleRows(t)
	// The gate mirrors the ClusterRoles by watch: wait until it has the last.
	eventually(t, 10*time.Second, "the gate knows the aggregated roles", func() bool {
		code, _ := holderOf(holders, "W", "").ask.do(http.MethodPost, c.server+"/apis/lab.test/v1/namespaces/dev/shelves?dryRun=All", nil)
		return code != http.StatusForbidden
	})

	var asked, allowed int
	var mu sync.Mutex
	var wg sync.WaitGroup
	slots := make(chan struct{}, 4)
	for _, h := range holders {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			for _, r := range rows {
				for _, ns := range []string{"dev", "prod"} {
					if !r.namespaced() && ns == "prod" {
						continue
					}
					code, text := ask(h.ask, c, r, ns)
					got := code != http.StatusForbidden
					mu.Lock()
					if asked++; got {
						allowed++
					}
					mu.Unlock()
					if code == http.StatusUnauthorized || code >= 500 && code != http.StatusServiceUnavailable && !strings.Contains(r.path, "/proxy/") {
						t.Errorf("%s: %s %s: %d %.200s", h, r.method, r.path, code, text)
					} else if want := h.allows(r, ns); got != want {
						t.Errorf("%s: %s %s in %s: %d, want allowed %v: %.300s", h, r.method, r.path, ns, code, want, text)
					}
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d requests, %d of them allowed", asked, allowed)
	t.Run("can-i", func(t *testing.T) { canI(t, e, c, holders) })
}

func holderOf(list []holder, letter, scope string) holder {
	for _, h := range list {
		if h.letter == letter && h.scope == scope && h.kind == "user" {
			return h
		}
	}
	return holder{}
}

// ask asks a row, so that nothing is changed. What has no right body is refused after it was allowed.
func ask(a *asker, c target, r roleRow, ns string) (int, string) {
	path := strings.ReplaceAll(r.path, "{ns}", ns)
	if r.method != http.MethodGet {
		mark := "?"
		if strings.Contains(path, "?") {
			mark = "&"
		}
		path += mark + "dryRun=All"
	}
	var body any
	if r.method != http.MethodGet && r.method != http.MethodDelete {
		body = map[string]any{}
	}
	return a.do(r.method, c.server+path, body)
}

// apply applies objects as the cluster's admin.
func (e *estate) apply(text string) {
	e.t.Helper()
	file := e.t.TempDir() + "/objects.yaml"
	writeFile(e.t, file, text)
	e.p.kubectl("apply", "-f", file)
}

// canI asks by kubectl: its own question first, and then in another's name, which takes the right to play them, the right to ask
// (everybody's), and the verdict.
func canI(t *testing.T, e *estate, c target, holders []holder) {
	env := append(append([]string{}, e.p.env...), "KUBECONFIG=/dev/null")
	run := func(h holder, args ...string) (string, bool) {
		args = append([]string{"--server", c.server, "--certificate-authority", c.ca, "--token", h.ask.token, "auth", "can-i"}, args...)
		stdout, stderr, status := harness.Run(t, env, "clients/kubectl", args...)
		return strings.TrimSpace(stdout + stderr), status == 0
	}
	boss := holderOf(holders, "C", "")
	for _, q := range []struct {
		args  []string
		roles string
		ns    bool
	}{
		{[]string{"get", "secrets", "-n", "dev"}, "WAC", true},
		{[]string{"create", "pods/exec", "-n", "dev"}, "WAC", true},
		{[]string{"list", "deployments.apps", "-n", "dev"}, "RWACX", true},
		{[]string{"create", "rolebindings.rbac.authorization.k8s.io", "-n", "dev"}, "AC", true},
		{[]string{"create", "resourcequotas", "-n", "dev"}, "C", true},
		{[]string{"list", "nodes"}, "ACX", false},
		{[]string{"list", "pods", "-A"}, "RWACX", false},
		{[]string{"create", "namespaces"}, "C", false},
	} {
		for _, h := range holders {
			if h.kind != "user" {
				continue
			}
			want := strings.Contains(q.roles, h.letter) && (h.scope == "" || q.ns)
			answer := map[bool]string{true: "yes", false: "no"}[want]
			if out, ok := run(boss, append(q.args, "--as", h.name+"@keyreeve.test")...); ok != want || !strings.HasSuffix(firstWord(out), answer) {
				t.Errorf("%s asked about by a cluster admin: %v: %s, want %s", h, q.args, out, answer)
			}
			if h.letter == "R" || h.letter == "C" { // the others are the same way
				if out, ok := run(h, q.args...); ok != want || !strings.HasSuffix(firstWord(out), answer) {
					t.Errorf("%s: %v: %s, want %s", h, q.args, out, answer)
				}
			}
		}
	}
	// Who may not play somebody is not told what they may.
	for _, letter := range []string{"R", "W", "X"} {
		if out, ok := run(holderOf(holders, letter, ""), "get", "pods", "--as", "directcr@keyreeve.test"); ok || !strings.Contains(out, "cannot impersonate resource") {
			t.Errorf("%s plays another: %s", letter, out)
		}
	}
	var review map[string]any
	code, text := boss.ask.do(http.MethodPost, c.server+"/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", map[string]any{
		"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
		"spec": map[string]any{"resourceAttributes": map[string]any{"verb": "get", "resource": "nodes"}},
	})
	if err := json.Unmarshal([]byte(text), &review); err != nil || code != http.StatusCreated {
		t.Errorf("%d %s", code, text)
	}
}

// firstWord is the answer without kubectl's warnings.
func firstWord(out string) string {
	for line := range strings.Lines(out) {
		if w := strings.TrimSpace(line); w == "yes" || w == "no" || strings.HasPrefix(w, "no ") {
			return strings.Fields(w)[0]
		}
	}
	return out
}
