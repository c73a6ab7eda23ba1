package deployments

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/arm/armtest"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/resource"
)

const identities = group + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/"

// identity is a resource of a template.
func identity(name, more string) string {
	return `{"type":"Microsoft.ManagedIdentity/userAssignedIdentities","apiVersion":"2023-01-31","name":"` + name + `","location":"westus2"` + more + `}`
}

func completely(resources ...string) string {
	return strings.Replace(body(`{}`, `"resources":[`+strings.Join(resources, ",")+`]`), `"Incremental"`, `"Complete"`, 1)
}

func (r *rig) make(names ...string) {
	r.T.Helper()
	for _, n := range names {
		r.Do(http.MethodPut, identities+n, armtest.Owner, `{"location":"westus2"}`).Want(http.StatusCreated, "")
	}
}

// held are the names of the identities in the group.
func (r *rig) held() []string {
	r.T.Helper()
	var list struct{ Value []struct{ Name string } }
	r.Do(http.MethodGet, strings.TrimSuffix(identities, "/"), armtest.Owner, "").Want(http.StatusOK, "").JSON(&list)
	var out []string
	for _, x := range list.Value {
		out = append(out, x.Name)
	}
	slices.Sort(out)
	return out
}

func (r *rig) wantHeld(names ...string) {
	r.T.Helper()
	if got := r.held(); !slices.Equal(got, names) {
		r.T.Errorf("the group holds %v, want %v", got, names)
	}
}

type operation struct {
	Properties struct {
		ProvisioningOperation, ProvisioningState, StatusCode string
		StatusMessage                                        *statusBody
		TargetResource                                       *struct{ ResourceName string }
	}
}

// did are the operations of a deployment: what was done to which resource and how it went.
func (r *rig) did(name string) []string {
	r.T.Helper()
	var list struct{ Value []operation }
	r.Do(http.MethodGet, group+"/deployments/"+name+"/operations", armtest.Owner, "").Want(http.StatusOK, "").JSON(&list)
	var out []string
	for _, o := range list.Value {
		if o.Properties.TargetResource != nil {
			out = append(out, o.Properties.ProvisioningOperation+" "+o.Properties.TargetResource.ResourceName+" "+o.Properties.ProvisioningState)
		}
	}
	slices.Sort(out)
	return out
}

// Mode Complete removes what the template does not name, after it has made what it names, and what-if tells it before.
func TestComplete(t *testing.T) {
	r := newRig(t)
	r.start()
	r.make("extra", "kept", "off")
	text := completely(identity("kept", ""), identity("new", ""), identity("off", `,"condition":false`))
	var foretold struct {
		Properties struct{ Changes []change }
	}
	r.Do(http.MethodPost, base+"c/whatIf", armtest.Owner, text).Want(http.StatusOK, "").JSON(&foretold)
	var said []string
	for _, c := range foretold.Properties.Changes {
		said = append(said, last(c.ResourceID)+" "+c.ChangeType)
		if gone := c.ChangeType == "Delete"; gone != (c.Before != nil && c.After == nil) {
			t.Errorf("%+v", c)
		}
	}
	slices.Sort(said)
	if want := []string{"extra Delete", "kept NoChange", "new Create", "off Delete"}; !slices.Equal(said, want) {
		t.Errorf("foretold %v, want %v", said, want)
	}
	r.wantHeld("extra", "kept", "off")
	if op := r.put("c", armtest.Owner, text); op.Status != resource.Succeeded {
		t.Errorf("%+v", op)
	}
	r.wantHeld("kept", "new")
	if did, want := r.did("c"), []string{"Create kept Succeeded", "Create new Succeeded", "Delete extra Succeeded", "Delete off Succeeded"}; !slices.Equal(did, want) {
		t.Errorf("did %v, want %v", did, want)
	}
	if d := r.get("c"); len(d.Properties.OutputResources) != 2 {
		t.Errorf("what was removed is shown as made: %+v", d.Properties.OutputResources)
	}
	// The same again incrementally leaves what is not named.
	if op := r.put("i", armtest.Owner, body(`{}`, `"resources":[]`)); op.Status != resource.Succeeded {
		t.Errorf("%+v", op)
	}
	r.wantHeld("kept", "new")
}

// What a deployment in the template names stays, also when only the run tells its name.
func TestCompleteWithInner(t *testing.T) {
	r := newRig(t)
	r.start()
	r.make("app", "box", "car")
	inner := func(name, mode, parameters, named string) string {
		return `{"type":"Microsoft.Resources/deployments","apiVersion":"2022-09-01","name":"` + name + `","dependsOn":["first"],"properties":{"mode":"` + mode +
			`","expressionEvaluationOptions":{"scope":"inner"},"parameters":` + parameters + `,"template":{` + head + `"parameters":{"n":{"type":"string"}},"resources":[` +
			identity(named, "") + `]}}}`
	}
	first := `{"type":"Microsoft.Resources/deployments","apiVersion":"2022-09-01","name":"first","properties":{"mode":"Incremental","template":{` + head +
		`"resources":[],"outputs":{"n":{"type":"string","value":"box"}}}}}`
	text := completely(first, inner("known", "Incremental", `{"n":{"value":"app"}}`, "[parameters('n')]"),
		inner("told", "Incremental", `{"n":{"value":"[reference('first').outputs.n.value]"}}`, "[parameters('n')]"))
	a := r.Do(http.MethodPost, base+"outer/whatIf", armtest.Owner, text).Want(http.StatusOK, "")
	if strings.Contains(a.Body, `userAssignedIdentities/app","changeType":"Delete"`) || !strings.Contains(a.Body, `userAssignedIdentities/car","changeType":"Delete"`) {
		t.Errorf("foretold %s", a.Body)
	}
	if op := r.put("outer", armtest.Owner, text); op.Status != resource.Succeeded {
		t.Errorf("%+v", op)
	}
	r.wantHeld("app", "box")
	if slices.ContainsFunc(r.did("outer"), func(s string) bool { return s != "Delete car Succeeded" && strings.HasPrefix(s, "Delete") }) {
		t.Errorf("did %v", r.did("outer"))
	}
	a = r.Do(http.MethodPut, base+"outer2", armtest.Owner, completely(first, inner("known", "Complete", `{"n":{"value":"app"}}`, "app")))
	if a.Want(http.StatusBadRequest, "InvalidTemplate"); !strings.Contains(a.Message(), "outermost") {
		t.Errorf("%s", a.Body)
	}
}

// Each removal needs the right to it, and nothing is done when one lacks. A lock keeps what it is on, and says so.
func TestCompleteRefused(t *testing.T) {
	r := newRig(t)
	r.start()
	r.make("extra", "locked")
	r.Grant(armtest.Nobody, rbac.PrincipalUser, armtest.ContributorRole, group)
	before := r.DB.Head()
	// Who may write identities but not delete them: a contributor of the one, nothing more of the others.
	r.Grant(armtest.App, rbac.PrincipalServicePrincipal, armtest.ReaderRole, group)
	r.Grant(armtest.App, rbac.PrincipalServicePrincipal, armtest.ContributorRole, identities+"extra")
	r.Grant(armtest.App, rbac.PrincipalServicePrincipal, armtest.ContributorRole, base+"c")
	for _, action := range []string{http.MethodPut + " c", http.MethodPost + " c/whatIf", http.MethodPost + " c/validate"} {
		method, rest, _ := strings.Cut(action, " ")
		a := r.Do(method, base+rest, armtest.App, completely(identity("extra", "")))
		a.Want(http.StatusForbidden, "InvalidTemplateDeployment")
		if !strings.Contains(a.Message(), "Authorization failed for template resource 'locked'") || !strings.Contains(a.Message(), "userAssignedIdentities/delete") {
			t.Errorf("%s: %s", action, a.Body)
		}
	}
	r.wantHeld("extra", "locked")
	if before == r.DB.Head() {
		t.Fatal("the grants left no trace")
	}
	r.Do(http.MethodPut, identities+"locked/providers/Microsoft.Authorization/locks/keep?api-version=2020-05-01", armtest.Owner,
		`{"properties":{"level":"CanNotDelete"}}`).Want(http.StatusCreated, "")
	before = r.DB.Head()
	for _, action := range []string{http.MethodPut + " c", http.MethodPost + " c/whatIf"} {
		method, rest, _ := strings.Cut(action, " ")
		a := r.Do(method, base+rest, armtest.Owner, completely())
		if a.Want(http.StatusConflict, "ScopeLocked"); !strings.Contains(a.Message(), "locked") {
			t.Errorf("%s: %s", action, a.Body)
		}
	}
	if r.DB.Head() != before {
		t.Error("something changed")
	}
	r.wantHeld("extra", "locked")
	const sub = "/subscriptions/" + armtest.Sub + "/providers/Microsoft.Resources/deployments/c"
	r.Do(http.MethodPut, sub, armtest.Owner, strings.Replace(completely(), `{"properties"`, `{"location":"westus2","properties"`, 1)).
		Want(http.StatusBadRequest, "InvalidDeploymentMode")
}

// A lock that is set while the deployment runs keeps what it is on; the rest goes, and the deployment says which stayed.
func TestCompleteLockedMeanwhile(t *testing.T) {
	r := newRig(t)
	r.start()
	r.make("extra", "locked")
	a := r.Do(http.MethodPut, base+"c", armtest.Owner, completely(thing("t"))).Want(http.StatusCreated, "")
	<-r.begun
	r.Do(http.MethodPut, identities+"locked/providers/Microsoft.Authorization/locks/keep?api-version=2020-05-01", armtest.Owner,
		`{"properties":{"level":"CanNotDelete"}}`).Want(http.StatusCreated, "")
	close(r.release)
	r.Ended(a.Header.Get("Azure-AsyncOperation"))
	r.wantHeld("locked")
	d := r.get("c")
	if e := d.Properties.Error; d.Properties.ProvisioningState != failed || e == nil || len(e.Details) != 1 || e.Details[0].Code != "ScopeLocked" {
		t.Errorf("%+v", d.Properties)
	}
	if did, want := r.did("c"), []string{"Create t Succeeded", "Delete extra Succeeded", "Delete locked Failed"}; !slices.Equal(did, want) {
		t.Errorf("did %v, want %v", did, want)
	}
}

// Nothing is removed when something could not be made.
func TestCompleteFails(t *testing.T) {
	r := newRig(t)
	r.start()
	r.make("extra")
	r.put("c", armtest.Owner, completely(`{"type":"Microsoft.Authorization/locks","apiVersion":"2020-05-01","name":"bad","properties":{"level":"Nonsense"}}`))
	if d := r.get("c"); d.Properties.ProvisioningState != failed {
		t.Errorf("%+v", d)
	}
	r.wantHeld("extra")
}
