package deployments

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/arm/armtest"
	"github.com/keyreeve/keyreeve/internal/arm/authorization"
	"github.com/keyreeve/keyreeve/internal/arm/locks"
	"github.com/keyreeve/keyreeve/internal/arm/managedidentity"
	"github.com/keyreeve/keyreeve/internal/arm/resources"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/seal"
	"github.com/keyreeve/keyreeve/internal/store"
)

type rig struct {
	*armtest.Rig

	h      *Handler
	sealer *seal.Sealer
	// begun gets the id of each thing (Slow.Test/things) whose making has begun; it is done when release is closed.
	begun   chan string
	release chan struct{}
}

const (
	group = "/subscriptions/" + armtest.Sub + "/resourceGroups/rg"
	base  = group + "/providers/Microsoft.Resources/deployments/"
)

func newRig(t *testing.T) *rig {
	t.Helper()
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	s, err := seal.New(key)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{Rig: armtest.New(t), sealer: s, begun: make(chan string, 100), release: make(chan struct{})}
	r.Update(func(tx *store.Tx) error {
		return tx.PutResourceGroup(resource.Group{
			Subscription: ident.MustParse[ident.SubscriptionID](armtest.Sub), Name: "rg", Location: "westus2", State: arm.StateSucceeded,
		})
	})
	return r
}

// start mounts the rooms and runs the runner.
func (r *rig) start() (stop func()) {
	runner := &arm.Runner{DB: r.DB, Now: r.Clock.Now, Log: r.Log()}
	r.h = &Handler{DB: r.DB, World: r.World, Sealer: r.sealer, LoginURL: armtest.LoginURL, Now: r.Clock.Now, Log: r.Log()}
	identities := &managedidentity.Handler{DB: r.DB, EndpointURL: armtest.LoginURL + "/msi/token", Now: r.Clock.Now}
	identities.Mount(r.Face)
	contents := []arm.Contents{r.h, identities}
	r.slow(runner)
	r.h.Contents = contents
	r.h.Mount(r.Face, runner)
	groups := &resources.Handler{DB: r.DB, World: r.World, Contents: contents}
	groups.Mount(r.Face)
	groups.RegisterWorkers(runner)
	(&authorization.Handler{DB: r.DB, World: r.World, Contents: contents}).Mount(r.Face)
	(&locks.Handler{DB: r.DB, Contents: contents}).Mount(r.Face)
	return r.Run(runner)
}

const head = `"$schema":"https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#","contentVersion":"1.0.0.0",`

func body(parameters, template string) string {
	return `{"properties":{"mode":"Incremental","parameters":` + parameters + `, template:{` + head + template + `}}}`
}

// assign gives the group the role of a reader; the body is as az sends it, which is not quite JSON.
var assign = body(`{"who":{"value":"`+armtest.Group+`"},"key":{"value":"s3cret"}}`, `
	"parameters":{"who":{"type":"string"}, "key":{"type":"secureString"}}, // who gets it
	"resources":[{"type":"Microsoft.Authorization/roleAssignments","apiVersion":"2022-04-01","name":"[guid(resourceGroup().id, parameters('who'))]",
		"properties":{"roleDefinitionId":"[subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '`+armtest.ReaderRole+`')]",
			"principalId":"[parameters('who')]", "principalType":"Group"}},
		{"type":"Microsoft.Authorization/locks","apiVersion":"2020-05-01","name":"keep","properties":{"level":"CanNotDelete"},
		 "dependsOn":["[guid(resourceGroup().id, parameters('who'))]"]}],
	"outputs":{"assigned":{"type":"string","value":"[reference(guid(resourceGroup().id, parameters('who'))).principalId]"},"key":{"type":"securestring","value":"[parameters('key')]"}}`)

type deployment struct {
	Properties struct {
		ProvisioningState string
		Outputs           map[string]struct{ Value any }
		OutputResources   []reference
		Error             *resource.DeploymentError
	}
}

func (r *rig) put(name, as, body string) resource.Operation {
	r.T.Helper()
	a := r.Do(http.MethodPut, base+name, as, body)
	if a.Status != http.StatusCreated && a.Status != http.StatusOK {
		r.T.Fatalf("%d %s", a.Status, a.Body)
	}
	return r.Ended(a.Header.Get("Azure-AsyncOperation"))
}

func (r *rig) get(name string) (d deployment) {
	r.T.Helper()
	r.Do(http.MethodGet, base+name, armtest.Owner, "").Want(http.StatusOK, "").JSON(&d)
	return d
}

func TestLife(t *testing.T) {
	r := newRig(t)
	r.start()
	before := r.DB.Head()
	a := r.Do(http.MethodPost, base+"d1/validate", armtest.Owner, assign).Want(http.StatusOK, "")
	if !strings.Contains(a.Body, `"validatedResources":[{"id":"`+group+`/providers/Microsoft.Authorization/roleAssignments/`) {
		t.Errorf("validated %s", a.Body)
	}
	a = r.Do(http.MethodPost, base+"d1/whatIf", armtest.Owner, assign).Want(http.StatusOK, "")
	if strings.Count(a.Body, `"changeType":"Create"`) != 2 {
		t.Errorf("what if %s", a.Body)
	}
	if now := r.DB.Head(); now != before {
		t.Errorf("asking changed something")
	}
	a = r.Do(http.MethodPut, base+"d1", armtest.Owner, assign).Want(http.StatusCreated, "")
	r.Ended(a.Header.Get("Azure-AsyncOperation"))
	path, _, _ := strings.Cut(strings.TrimPrefix(a.Header.Get("Azure-AsyncOperation"), armtest.BaseURL), "?")
	if s := r.Do(http.MethodGet, path, armtest.Owner, ""); s.Body != `{"status":"Succeeded"}` {
		t.Errorf("status %s", s.Body)
	}
	d := r.get("d1")
	if d.Properties.ProvisioningState != succeeded || d.Properties.Outputs["assigned"].Value != armtest.Group || len(d.Properties.OutputResources) != 2 {
		t.Errorf("deployment %+v", d)
	}
	for _, action := range []string{"GET d1", "GET d1/operations", "POST d1/exportTemplate"} {
		method, rest, _ := strings.Cut(action, " ")
		if a := r.Do(method, base+rest, armtest.Owner, ""); a.Status != http.StatusOK || strings.Contains(a.Body, "s3cret") {
			t.Errorf("%s: %d %s", action, a.Status, a.Body)
		}
	}
	r.DB.View(t.Context(), func(tx *store.Tx) error { //nolint:errcheck // checked below
		in, err := tx.DeploymentInput(base + "d1")
		if err != nil || len(in) == 0 || strings.Contains(string(in), "s3cret") {
			t.Errorf("kept in clear: %v", err)
		}
		return nil
	})
	a = r.Do(http.MethodPost, base+"d1/whatIf", armtest.Owner, assign).Want(http.StatusOK, "")
	if strings.Count(a.Body, `"changeType":"NoChange"`) != 2 {
		t.Errorf("what if after %s", a.Body)
	}
	r.put("d1", armtest.Owner, assign) // again: nothing to do, and no error
	if d := r.get("d1"); d.Properties.ProvisioningState != succeeded {
		t.Errorf("again %+v", d)
	}
	r.Do(http.MethodHead, base+"d1", armtest.Owner, "").Want(http.StatusNoContent, "")
	r.Do(http.MethodHead, base+"other", armtest.Owner, "").Want(http.StatusNotFound, "DeploymentNotFound")
	if a := r.Do(http.MethodGet, base+"?api-version=2021-04-01&$filter=provisioningState%20eq%20'Succeeded'", armtest.Owner, ""); strings.Count(a.Body, `"templateHash"`) != 1 {
		t.Errorf("list %s", a.Body)
	}
	r.Do(http.MethodGet, base+"?api-version=2021-04-01&$filter=name%20eq%20'x'", armtest.Owner, "").Want(http.StatusBadRequest, "InvalidFilterInQueryString")
	r.Do(http.MethodPost, base+"d1/cancel", armtest.Owner, "").Want(http.StatusConflict, "DeploymentCannotBeCancelled")
}

func TestRefused(t *testing.T) {
	r := newRig(t)
	r.start()
	r.Grant(armtest.Nobody, rbac.PrincipalUser, armtest.ContributorRole, group)
	for _, c := range []struct {
		name, as, body, code, text string
		status                     int
	}{
		{"no right to assign", armtest.Nobody, assign, "InvalidTemplateDeployment", "Authorization failed for template resource", 403},
		{"no right to deploy", armtest.Reader, assign, "AuthorizationFailed", "Microsoft.Resources/deployments/write", 403},
		{"no JSON", armtest.Owner, `{"properties":{"mode":"Incremental",template:{"a"`, "InvalidRequestContent", "line 1", 400},
		{"no template", armtest.Owner, `{"properties":{"mode":"Incremental"}}`, "InvalidTemplate", "missing", 400},
		{"a mode that is none", armtest.Owner, `{"properties":{"mode":"x","template":{}}}`, "InvalidRequestContent", "mode", 400},
		{"a link", armtest.Owner, `{"properties":{"mode":"Incremental","templateLink":{"uri":"https://x"}}}`, "DeploymentFeatureNotSupported", "templateLink", 400},
		{"a key vault", armtest.Owner, body(`{"p":{"reference":{}}}`, `"resources":[]`), "DeploymentFeatureNotSupported", "key vault", 400},
		{"an unknown type", armtest.Owner, body(`{}`, `"resources":[{"type":"Microsoft.Authorization/nothings","apiVersion":"2022-04-01","name":"x"}]`), "InvalidResourceType", "nothings", 404},
		{"an unknown provider", armtest.Owner, body(`{}`, `"resources":[{"type":"Contoso.X/y","apiVersion":"2022-04-01","name":"x"}]`), "InvalidResourceNamespace", "Contoso.X", 404},
		{"another group that is missing", armtest.Owner, body(`{}`, `"resources":[{"type":"Microsoft.Resources/deployments","apiVersion":"2022-09-01","name":"x","resourceGroup":"zz","properties":{"mode":"Incremental","template":{}}}]`), "ResourceGroupNotFound", "zz", 404},
		{"an inner deployment that assigns", armtest.Nobody, body(`{}`, `"resources":[{"type":"Microsoft.Resources/deployments","apiVersion":"2022-09-01","name":"x","properties":{"mode":"Incremental","expressionEvaluationOptions":{"scope":"inner"},"template":{`+head+`"resources":[{"type":"Microsoft.Authorization/roleAssignments","apiVersion":"2022-04-01","name":"[guid('x')]","properties":{}}]}}}]`), "InvalidTemplateDeployment", "Authorization failed", 403},
		{"a parameter that is not there", armtest.Owner, body(`{"p":{"value":1}}`, `"resources":[]`), "InvalidTemplate", "do not correspond", 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := r.DB.Head()
			a := r.Do(http.MethodPut, base+"bad", c.as, c.body)
			if a.Code() != c.code || !strings.Contains(a.Message(), c.text) || a.Status != c.status {
				t.Errorf("%d %s", a.Status, a.Body)
			}
			if r.DB.Head() != before {
				t.Error("something changed")
			}
		})
	}
}

// A deployment of which a part fails says which, and does what does not depend on it.
func TestFails(t *testing.T) {
	r := newRig(t)
	r.start()
	r.put("f", armtest.Owner, body(`{}`, `"resources":[
		{"type":"Microsoft.Authorization/locks","apiVersion":"2020-05-01","name":"bad","properties":{"level":"Nonsense"}},
		{"type":"Microsoft.Authorization/locks","apiVersion":"2020-05-01","name":"after","dependsOn":["bad"],"properties":{"level":"CanNotDelete"}},
		{"type":"Microsoft.Authorization/locks","apiVersion":"2020-05-01","name":"beside","properties":{"level":"CanNotDelete"}}]`))
	d := r.get("f")
	if e := d.Properties.Error; d.Properties.ProvisioningState != failed || e == nil || e.Code != "DeploymentFailed" || len(e.Details) != 1 || e.Target == "" {
		raw, _ := json.Marshal(d)
		t.Errorf("%s", raw)
	}
	lock := group + "/providers/Microsoft.Authorization/locks/"
	r.Do(http.MethodGet, lock+"beside?api-version=2020-05-01", armtest.Owner, "").Want(http.StatusOK, "")
	if a := r.Do(http.MethodGet, lock+"after?api-version=2020-05-01", armtest.Owner, ""); a.Status != http.StatusNotFound {
		t.Errorf("what depends on a failure was made: %s", a.Body)
	}
	a := r.Do(http.MethodGet, group+"/deployments/f/operations", armtest.Owner, "").Want(http.StatusOK, "")
	if strings.Count(a.Body, `"provisioningState":"Failed"`) != 1 || !strings.Contains(a.Body, `"statusMessage"`) {
		t.Errorf("operations %s", a.Body)
	}
}

// A deployment of a subscription makes a group and, in it, what an inner deployment says.
func TestSubscription(t *testing.T) {
	r := newRig(t)
	r.start()
	const at = "/subscriptions/" + armtest.Sub + "/providers/Microsoft.Resources/deployments/s1"
	text := strings.Replace(body(`{}`, `"resources":[
		{"type":"Microsoft.Resources/resourceGroups","apiVersion":"2022-09-01","name":"made","location":"[deployment().location]"},
		{"type":"Microsoft.Resources/deployments","apiVersion":"2022-09-01","name":"inner","resourceGroup":"made","dependsOn":["[subscriptionResourceId('Microsoft.Resources/resourceGroups','made')]", "made"],
		 "properties":{"mode":"Incremental","expressionEvaluationOptions":{"scope":"inner"},"parameters":{"n":{"value":"keep"}},
			"template":{`+head+`"parameters":{"n":{"type":"string"}},"resources":[{"type":"Microsoft.Authorization/locks","apiVersion":"2020-05-01","name":"[parameters('n')]","properties":{"level":"CanNotDelete"}}],
				"outputs":{"where":{"type":"string","value":"[resourceGroup().location]"}}}}}],
		"outputs":{"where":{"type":"string","value":"[reference(resourceId('made','Microsoft.Resources/deployments','inner'), '2022-09-01').outputs.where.value]"}}`), `{"properties"`, `{"location":"West US 2","properties"`, 1)
	text = strings.Replace(text, `"[subscriptionResourceId('Microsoft.Resources/resourceGroups','made')]", `, "", 1)
	a := r.Do(http.MethodPut, at, armtest.Owner, text).Want(http.StatusCreated, "")
	r.Ended(a.Header.Get("Azure-AsyncOperation"))
	var d deployment
	got := r.Do(http.MethodGet, at, armtest.Owner, "").Want(http.StatusOK, "")
	got.JSON(&d)
	if d.Properties.ProvisioningState != succeeded || d.Properties.Outputs["where"].Value != "westus2" {
		t.Errorf("%s", got.Body)
	}
	r.Do(http.MethodPut, at, armtest.Owner, body(`{}`, `"resources":[]`)).Want(http.StatusBadRequest, "LocationRequired")
}

// A deployment on record when the program starts goes on, with the values it began with; one whose starter may not sign in any
// more fails.
func TestRestart(t *testing.T) {
	for _, disabled := range []bool{false, true} {
		r := newRig(t)
		stop := r.start()
		stop() // nobody works: the deployment waits
		a := r.Do(http.MethodPut, base+"d1", armtest.Owner, assign).Want(http.StatusCreated, "")
		if disabled {
			r.Update(func(tx *store.Tx) error {
				u, err := tx.User(ident.MustParse[ident.ObjectID](armtest.Owner))
				if err != nil {
					return err
				}
				u.AccountEnabled = false
				return tx.PutUser(u)
			})
		}
		r.Open()
		r.start()
		op := r.Ended(a.Header.Get("Azure-AsyncOperation"))
		if want := map[bool]resource.OperationStatus{false: resource.Succeeded, true: resource.Failed}[disabled]; op.Status != want {
			t.Errorf("disabled %v: %+v", disabled, op)
		}
	}
}
