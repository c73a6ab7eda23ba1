package resources_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/arm/armtest"
	"github.com/keyreeve/keyreeve/internal/arm/resources"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

const (
	sub    = "/subscriptions/" + armtest.Sub
	groups = sub + "/resourcegroups"
	rg     = groups + "/rg1"
)

// things is a room that keeps resources in memory.
type things struct {
	mu      sync.Mutex
	all     []arm.GenericResource
	failing error
	wait    chan struct{}
}

func (c *things) Resources(_ *store.Tx, sub ident.SubscriptionID, group string) ([]arm.GenericResource, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []arm.GenericResource
	for _, g := range c.all {
		id, err := ident.ParseResourceID(g.ID)
		if err != nil {
			return nil, err
		}
		if id.Subscription == sub && (group == "" || strings.EqualFold(id.Group, group)) {
			out = append(out, g)
		}
	}
	return out, nil
}

func (c *things) Exists(*store.Tx, ident.ResourceID) (exists, known bool, err error) {
	return false, false, nil
}

func (c *things) DeleteAll(ctx context.Context, _ ident.SubscriptionID, group string) error {
	if c.wait != nil {
		select {
		case <-c.wait:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failing != nil {
		return c.failing
	}
	c.all = slices.DeleteFunc(c.all, func(g arm.GenericResource) bool {
		return strings.Contains(strings.ToLower(g.ID), "/resourcegroups/"+strings.ToLower(group)+"/")
	})
	return nil
}

func newRig(t *testing.T) (*armtest.Rig, *things) {
	r, c := armtest.New(t), &things{}
	mount(r, c)
	return r, c
}

func mount(r *armtest.Rig, c *things) *resources.Handler {
	h := &resources.Handler{DB: r.DB, World: r.World, Contents: []arm.Contents{c}}
	h.Mount(r.Face)
	return h
}

func run(r *armtest.Rig, c *things) (stop func()) {
	runner := &arm.Runner{DB: r.DB, Now: r.Clock.Now, Log: r.Log()}
	(&resources.Handler{DB: r.DB, World: r.World, Contents: []arm.Contents{c}}).RegisterWorkers(runner)
	return r.Run(runner)
}

func audited(t *testing.T, r *armtest.Rig) []audit.Event {
	t.Helper()
	var out []audit.Event
	err := r.DB.View(t.Context(), func(tx *store.Tx) error {
		records, err := tx.AuditRecords(100)
		for _, x := range records {
			if x.ActorName == "" || x.Correlation == "" {
				t.Errorf("record %+v does not say who", x)
			}
			out = append(out, x.Event)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(out)
	return out
}

func TestTenantsAndSubscriptions(t *testing.T) {
	r, _ := newRig(t)
	if diff := cmp.Diff(`{"value":[{"id":"/tenants/`+armtest.Tenant+`","tenantId":"`+armtest.Tenant+`","countryCode":"","displayName":"Contoso",`+
		`"domains":["contoso.test"],"tenantCategory":"Home","defaultDomain":"contoso.test","tenantType":"AAD"}]}`,
		r.Do("GET", "/tenants", armtest.Nobody, "").Want(200, "").Body); diff != "" {
		t.Error(diff)
	}
	one := `{"id":"` + sub + `","authorizationSource":"RoleBased","managedByTenants":[],"subscriptionId":"` + armtest.Sub + `","tenantId":"` + armtest.Tenant +
		`","displayName":"Contoso subscription","state":"Enabled","subscriptionPolicies":{"locationPlacementId":"Public_2014-09-01","quotaId":"PayAsYouGo_2014-09-01","spendingLimit":"Off"}}`
	if diff := cmp.Diff(`{"value":[`+one+`],"count":{"type":"Total","value":1}}`, r.Do("GET", "/subscriptions", armtest.Owner, "").Want(200, "").Body); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(one, r.Do("GET", sub, armtest.Reader, "").Want(200, "").Body); diff != "" {
		t.Error(diff)
	}
	r.Do("GET", "/subscriptions", "", "").Want(401, "AuthenticationFailed")
}

// A subscription shows to those who hold any role at it, above it or below it, also through a group.
func TestWhoSeesTheSubscription(t *testing.T) {
	for name, grant := range map[string]struct {
		principal string
		kind      rbac.PrincipalType
		scope     string
		sees      bool
	}{
		"no role":                      {"", "", "", false},
		"role at a resource below":     {armtest.Nobody, rbac.PrincipalUser, sub + "/resourceGroups/g/providers/N/t/n", true},
		"role at the root":             {armtest.Nobody, rbac.PrincipalUser, "/", true},
		"role of a group":              {armtest.Group, rbac.PrincipalGroup, sub + "/resourceGroups/g", true},
		"role of another":              {armtest.App, rbac.PrincipalServicePrincipal, sub, false},
		"role in another subscription": {armtest.Nobody, rbac.PrincipalUser, "/subscriptions/" + armtest.OtherSub, false},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := newRig(t)
			if grant.principal != "" {
				r.Grant(grant.principal, grant.kind, armtest.ClusterUserRole, grant.scope)
			}
			want, code, count := 403, "AuthorizationFailed", 0
			if grant.sees {
				want, code, count = 200, "", 1
			}
			for _, p := range []string{"", "/locations", "/providers", "/providers/Microsoft.ContainerService", "/resourceGroups", "/resources"} {
				r.Do("GET", sub+p, armtest.Nobody, "").Want(want, code)
			}
			var list struct{ Value []any }
			r.Do("GET", "/subscriptions", armtest.Nobody, "").Want(200, "").JSON(&list)
			if len(list.Value) != count {
				t.Errorf("%d subscriptions, want %d", len(list.Value), count)
			}
		})
	}
}

func TestLocationsAreAsRecorded(t *testing.T) {
	r, _ := newRig(t)
	var got, want struct{ Value []json.RawMessage }
	r.Do("GET", sub+"/locations?api-version=2019-11-01", armtest.Owner, "").Want(200, "").JSON(&got)
	recorded, err := os.ReadFile("testdata/locations.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(strings.ReplaceAll(string(recorded), "00000000-0000-0000-0000-000000000000", armtest.Sub)), &want); err != nil {
		t.Fatal(err)
	}
	for _, w := range want.Value {
		if !slices.ContainsFunc(got.Value, func(g json.RawMessage) bool { return string(g) == string(w) }) {
			t.Errorf("the list lacks %s", w)
		}
	}
}

func TestProviders(t *testing.T) {
	r, _ := newRig(t)
	got := r.Do("GET", sub+"/providers/microsoft.managedidentity", armtest.Owner, "").Want(200, "")
	if !strings.Contains(got.Body, `"id":"`+sub+`/providers/Microsoft.ManagedIdentity","namespace":"Microsoft.ManagedIdentity"`) ||
		!strings.Contains(got.Body, `"resourceType":"userAssignedIdentities/federatedIdentityCredentials"`) ||
		!strings.Contains(got.Body, `"registrationState":"Registered","registrationPolicy":"RegistrationRequired"}`) {
		t.Error(got.Body)
	}
	var list struct {
		Value []struct {
			Namespace, RegistrationState string
			ResourceTypes                []struct {
				ResourceType, Capabilities string
				Locations, APIVersions     []string
			}
		}
	}
	for _, path := range []string{sub + "/providers", "/providers"} {
		r.Do("GET", path, armtest.Owner, "").Want(200, "").JSON(&list)
		var names []string
		for _, p := range list.Value {
			names = append(names, p.Namespace)
			if p.RegistrationState != "Registered" {
				t.Errorf("%s is %s", p.Namespace, p.RegistrationState)
			}
			for _, rt := range p.ResourceTypes {
				if len(rt.APIVersions) == 0 || rt.ResourceType == "managedClusters" && !slices.Contains(rt.Locations, "West US 2") {
					t.Errorf("%s/%s: %+v", p.Namespace, rt.ResourceType, rt)
				}
			}
		}
		for _, want := range []string{"Microsoft.Authorization", "Microsoft.ContainerService", "Microsoft.ManagedIdentity", "Microsoft.Network", "Microsoft.Resources"} {
			if !slices.Contains(names, want) {
				t.Errorf("%s lacks %s", path, want)
			}
		}
	}
	const register = sub + "/providers/Microsoft.ContainerService/register"
	r.Do("POST", register, armtest.Owner, "").Want(200, "")
	r.Do("POST", strings.Replace(register, "/register", "/unregister", 1), armtest.Owner, "").Want(200, "")
	r.Do("POST", register, armtest.Reader, "").Want(403, "AuthorizationFailed")
	r.Do("GET", sub+"/providers/Microsoft.Tea", armtest.Owner, "").Want(404, "InvalidResourceNamespace")
	r.Do("POST", sub+"/providers/Microsoft.Tea/register", armtest.Owner, "").Want(404, "InvalidResourceNamespace")
	r.Do("POST", sub+"/providers/Microsoft.Tea/register", armtest.Nobody, "").Want(403, "AuthorizationFailed")
}

func TestGroupIsAsRecorded(t *testing.T) {
	r, _ := newRig(t)
	want := `{"id":"` + sub + `/resourceGroups/rg1","name":"rg1","type":"Microsoft.Resources/resourceGroups","location":"westus",` +
		`"managedBy":"test_admin","tags":{"a":"b","c":""},"properties":{"provisioningState":"Succeeded"}}`
	body := `{"location":"West US","managedBy":"test_admin","tags":{"a":"b","c":""}}`
	for _, step := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"PUT", rg, body, 201, want},
		{"PUT", strings.ToUpper(rg), body, 200, want}, // the name keeps its first spelling
		{"GET", rg, "", 200, want},
		{"HEAD", rg, "", 204, ""},
		{"PATCH", rg, `{"tags":{"x":"y"}}`, 200, strings.Replace(want, `{"a":"b","c":""}`, `{"x":"y"}`, 1)},
		{"PUT", rg, `{"location":"westus","managedBy":""}`, 200, strings.Replace(want, `"managedBy":"test_admin","tags":{"a":"b","c":""},`, "", 1)},
	} {
		a := r.Do(step.method, step.path, armtest.Owner, step.body).Want(step.status, "")
		if diff := cmp.Diff(step.want, a.Body); diff != "" {
			t.Errorf("%s %s: %s", step.method, step.path, diff)
		}
	}
	w := audit.ResourceGroupWritten
	if diff := cmp.Diff([]audit.Event{w, w, w, w}, audited(t, r)); diff != "" {
		t.Error(diff)
	}
}

func TestGroupRefusals(t *testing.T) {
	r, _ := newRig(t)
	r.Do("PUT", rg, armtest.Owner, `{"location":"eastus"}`).Want(201, "")
	tooMany := map[string]string{}
	for i := range 51 {
		tooMany[strings.Repeat("x", i+1)] = "y"
	}
	manyTags, err := json.Marshal(map[string]any{"location": "eastus", "tags": tooMany})
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		method, path, as, body string
		status                 int
		code                   string
	}{
		"no location":            {"PUT", groups + "/g", armtest.Owner, `{}`, 400, "LocationRequired"},
		"unknown location":       {"PUT", groups + "/g", armtest.Owner, `{"location":"mars"}`, 400, "LocationNotAvailableForResourceGroup"},
		"other location":         {"PUT", rg, armtest.Owner, `{"location":"westus"}`, 409, "InvalidResourceGroupLocation"},
		"other location, PATCH":  {"PATCH", rg, armtest.Owner, `{"location":"westus"}`, 409, "InvalidResourceGroupLocation"},
		"no body":                {"PUT", rg, armtest.Owner, ``, 400, "InvalidRequestContent"},
		"not an object":          {"PUT", rg, armtest.Owner, `[1]`, 400, "InvalidRequestContent"},
		"wrong type":             {"PUT", rg, armtest.Owner, `{"location":1}`, 400, "InvalidRequestContent"},
		"two values":             {"PUT", rg, armtest.Owner, `{"location":"eastus"} {}`, 400, "InvalidRequestContent"},
		"too long":               {"PUT", rg, armtest.Owner, `{"location":"` + strings.Repeat("x", 5<<20) + `"}`, 413, "RequestContentTooLarge"},
		"bad characters":         {"PUT", groups + "/a%20b!", armtest.Owner, `{"location":"eastus"}`, 400, "InvalidResourceGroup"},
		"name too long":          {"PUT", groups + "/" + strings.Repeat("a", 91), armtest.Owner, `{"location":"eastus"}`, 400, "InvalidResourceGroup"},
		"name ends in a period":  {"PUT", groups + "/a.", armtest.Owner, `{"location":"eastus"}`, 400, "InvalidResourceGroup"},
		"too many tags":          {"PUT", rg, armtest.Owner, string(manyTags), 400, "InvalidTags"},
		"bad tag name":           {"PUT", rg, armtest.Owner, `{"location":"eastus","tags":{"a/b":""}}`, 400, "InvalidTagNameCharacters"},
		"tag names alike":        {"PUT", rg, armtest.Owner, `{"location":"eastus","tags":{"a":"","A":""}}`, 400, "DuplicateTagName"},
		"tag value too long":     {"PUT", rg, armtest.Owner, `{"location":"eastus","tags":{"a":"` + strings.Repeat("x", 257) + `"}}`, 400, "InvalidTagValueLength"},
		"reader may not write":   {"PUT", rg, armtest.Reader, `{"location":"eastus"}`, 403, "AuthorizationFailed"},
		"reader may not delete":  {"DELETE", rg, armtest.Reader, ``, 403, "AuthorizationFailed"},
		"nobody may not look":    {"GET", rg, armtest.Nobody, ``, 403, "AuthorizationFailed"},
		"missing, GET":           {"GET", groups + "/x", armtest.Owner, ``, 404, "ResourceGroupNotFound"},
		"missing, PATCH":         {"PATCH", groups + "/x", armtest.Owner, `{}`, 404, "ResourceGroupNotFound"},
		"missing, DELETE":        {"DELETE", groups + "/x", armtest.Owner, ``, 404, "ResourceGroupNotFound"},
		"missing, resources":     {"GET", groups + "/x/resources", armtest.Owner, ``, 404, "ResourceGroupNotFound"},
		"filter, unknown field":  {"GET", groups + "?api-version=2021-04-01&$filter=" + url.QueryEscape("name eq 'x'"), armtest.Owner, ``, 400, "InvalidFilterInQueryString"},
		"filter, value only":     {"GET", groups + "?api-version=2021-04-01&$filter=" + url.QueryEscape("tagvalue eq 'x'"), armtest.Owner, ``, 400, "InvalidFilterInQueryString"},
		"filter, malformed":      {"GET", groups + "?api-version=2021-04-01&$filter=tagname", armtest.Owner, ``, 400, "InvalidFilterInQueryString"},
		"bad top":                {"GET", groups + "?api-version=2021-04-01&$top=0", armtest.Owner, ``, 400, "InvalidTopInQueryString"},
		"resources, bad filter":  {"GET", sub + "/resources?api-version=2021-04-01&$filter=x", armtest.Owner, ``, 400, "InvalidFilterInQueryString"},
		"another letter for s":   {"PUT", groups + "/%C5%BFtuff", armtest.Owner, `{"location":"eastus"}`, 400, "InvalidResourceGroup"},
		"unicode letters, digit": {"PUT", groups + "/gr%C3%BC%C3%9Fe1", armtest.Owner, `{"location":"eastus"}`, 201, ""},
		"longest name":           {"PUT", groups + "/" + strings.Repeat("a", 90), armtest.Owner, `{"location":"eastus"}`, 201, ""},
	} {
		t.Run(name, func(t *testing.T) {
			before := r.DB.Head()
			r.Do(test.method, test.path, test.as, test.body).Want(test.status, test.code)
			if test.code != "" && r.DB.Head() != before {
				t.Error("something was changed")
			}
		})
	}
	a := r.Do("PUT", rg, armtest.Owner, `{"location":"westus"}`)
	if want := "Invalid resource group location 'westus'. The Resource group already exists in location 'eastus'."; a.Message() != want {
		t.Error(cmp.Diff(want, a.Message()))
	}
	if a := r.Do("HEAD", groups+"/x", armtest.Owner, ""); a.Status != 404 {
		t.Errorf("HEAD of a missing group is %d", a.Status)
	}
}

type nameList struct {
	Value    []struct{ Name string }
	NextLink string
}

func (l nameList) names() string {
	var out []string
	for _, v := range l.Value {
		out = append(out, v.Name)
	}
	return strings.Join(out, " ")
}

func TestListGroups(t *testing.T) {
	r, _ := newRig(t)
	for _, g := range []struct{ name, body string }{
		{"b", `{"location":"eastus","tags":{"Env":"prod"}}`}, {"A", `{"location":"eastus","tags":{"env":"test"}}`}, {"c", `{"location":"eastus"}`},
	} {
		r.Do("PUT", groups+"/"+g.name, armtest.Owner, g.body).Want(201, "")
	}
	r.Grant(armtest.Nobody, rbac.PrincipalUser, armtest.ReaderRole, sub+"/resourceGroups/C")
	for name, test := range map[string]struct{ as, query, want string }{
		"all":          {armtest.Owner, "", "A b c"},
		"what may be":  {armtest.Nobody, "", "c"},
		"tag":          {armtest.Owner, "&$filter=" + url.QueryEscape("tagName eq 'env'"), "A b"},
		"tag, value":   {armtest.Owner, "&$filter=" + url.QueryEscape("tagname eq 'ENV' and tagvalue eq 'prod'"), "b"},
		"value's case": {armtest.Owner, "&$filter=" + url.QueryEscape("tagname eq 'env' and tagvalue eq 'PROD'"), ""},
		"no such tag":  {armtest.Owner, "&$filter=" + url.QueryEscape("tagname eq 'x'"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			var list nameList
			a := r.Do("GET", groups+"?api-version=2021-04-01"+test.query, test.as, "").Want(200, "")
			a.JSON(&list)
			if list.names() != test.want || list.NextLink != "" || strings.Contains(a.Body, "null") {
				t.Errorf("%s", a.Body)
			}
		})
	}
	// By pages: every group once.
	var all []string
	for path := groups + "?api-version=2021-04-01&$top=2"; path != ""; {
		var list nameList
		r.Do("GET", path, armtest.Owner, "").Want(200, "").JSON(&list)
		all = append(all, list.names())
		path = strings.TrimPrefix(list.NextLink, armtest.BaseURL)
	}
	if diff := cmp.Diff([]string{"A b", "c"}, all); diff != "" {
		t.Error(diff)
	}
}

func thing(name, group string) arm.GenericResource {
	return arm.GenericResource{
		ID: sub + "/resourcegroups/" + group + "/providers/Microsoft.ContainerService/managedClusters/" + name, Name: name,
		Type: "Microsoft.ContainerService/managedClusters", Location: "eastus", Tags: map[string]string{"n": name},
	}
}

func TestListResources(t *testing.T) {
	r, c := newRig(t)
	r.Do("PUT", rg, armtest.Owner, `{"location":"eastus"}`).Want(201, "")
	c.all = []arm.GenericResource{thing("c2", "rg1"), thing("c1", "RG1"), thing("c3", "rg2")}
	r.Grant(armtest.Nobody, rbac.PrincipalUser, armtest.ReaderRole, c.all[2].ID)
	for name, test := range map[string]struct{ as, path, filter, want string }{
		"all":            {armtest.Owner, sub, "", "c1 c2 c3"},
		"of a group":     {armtest.Owner, rg, "", "c1 c2"},
		"what may be":    {armtest.Nobody, sub, "", "c3"},
		"of a type":      {armtest.Owner, sub, "resourceType eq 'microsoft.containerservice/managedclusters' and name eq 'c1'", "c1"},
		"of no type":     {armtest.Owner, sub, "resourceType eq 'X/y'", ""},
		"by tag":         {armtest.Owner, sub, "tagName eq 'n' and tagValue eq 'c2'", "c2"},
		"by group":       {armtest.Owner, sub, "resourceGroup eq 'RG2'", "c3"},
		"in a location":  {armtest.Owner, sub, "location eq 'eastus'", "c1 c2 c3"},
		"in no location": {armtest.Owner, sub, "location eq 'westus'", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var list nameList
			r.Do("GET", test.path+"/resources?api-version=2021-04-01&$filter="+url.QueryEscape(test.filter), test.as, "").Want(200, "").JSON(&list)
			if list.names() != test.want {
				t.Errorf("%q, want %q", list.names(), test.want)
			}
		})
	}
}

func TestDeleteGroup(t *testing.T) {
	r, c := newRig(t)
	c.wait = make(chan struct{})
	c.all = []arm.GenericResource{thing("c1", "rg1"), thing("c2", "rg2")}
	for _, g := range []string{"rg1", "rg10"} {
		r.Do("PUT", groups+"/"+g, armtest.Owner, `{"location":"eastus"}`).Want(201, "")
		r.Grant(armtest.Nobody, rbac.PrincipalUser, armtest.ReaderRole, sub+"/resourceGroups/"+g+"/providers/N/t/n")
	}
	stop := run(r, c)

	a := r.Do("DELETE", rg, armtest.Owner, "").Want(202, "")
	poll := strings.TrimPrefix(a.Header.Get("Location"), armtest.BaseURL)
	if !strings.HasPrefix(poll, sub+"/operationresults/") || a.Header.Get("Azure-AsyncOperation") != "" || a.Header.Get("Retry-After") != "1" || a.Body != "" {
		t.Fatalf("%v %q", a.Header, a.Body)
	}
	if a := r.Do("DELETE", rg, armtest.Owner, "").Want(202, ""); strings.TrimPrefix(a.Header.Get("Location"), armtest.BaseURL) != poll {
		t.Error("asked again, it points elsewhere")
	}
	if a := r.Do("GET", rg, armtest.Owner, "").Want(200, ""); !strings.Contains(a.Body, `"provisioningState":"Deleting"`) {
		t.Error(a.Body)
	}
	r.Do("PUT", rg, armtest.Owner, `{"location":"eastus"}`).Want(409, "ResourceGroupBeingDeleted")
	r.Do("PATCH", rg, armtest.Owner, `{}`).Want(409, "ResourceGroupBeingDeleted")
	if a := r.Do("GET", poll, armtest.Owner, "").Want(202, ""); a.Header.Get("Retry-After") != "1" || a.Header.Get("Location") == "" {
		t.Errorf("%v", a.Header)
	}

	// A restart in the middle changes nothing.
	stop()
	if err := r.DB.Close(); err != nil {
		t.Fatal(err)
	}
	r.Open()
	mount(r, c)
	run(r, c)
	close(c.wait)
	if op := r.Ended(poll); op.Status != resource.Succeeded {
		t.Fatalf("%+v", op)
	}
	if a := r.Do("GET", poll, armtest.Owner, "").Want(200, ""); a.Body != "" {
		t.Error(a.Body)
	}
	r.Do("GET", rg, armtest.Owner, "").Want(404, "ResourceGroupNotFound")
	r.Do("GET", groups+"/rg10", armtest.Owner, "").Want(200, "")
	if diff := cmp.Diff([]arm.GenericResource{thing("c2", "rg2")}, c.all); diff != "" {
		t.Error(diff)
	}
	var scopes []string
	for _, g := range r.World.GrantsOf(ident.MustParse[ident.ObjectID](armtest.Nobody)) {
		scopes = append(scopes, g.Assignment.Scope)
	}
	if diff := cmp.Diff([]string{sub + "/resourceGroups/rg10/providers/N/t/n"}, scopes); diff != "" {
		t.Error(diff)
	}
	if events := audited(t, r); !slices.Equal(events, []audit.Event{audit.ResourceGroupWritten, audit.ResourceGroupWritten, audit.ResourceGroupDeleted}) {
		t.Errorf("audited %v", events)
	}
}

func TestDeleteGroupThatFails(t *testing.T) {
	r, c := newRig(t)
	c.failing = errors.New("a secret thing")
	r.Do("PUT", rg, armtest.Owner, `{"location":"eastus"}`).Want(201, "")
	run(r, c)
	poll := strings.TrimPrefix(r.Do("DELETE", rg, armtest.Owner, "").Want(202, "").Header.Get("Location"), armtest.BaseURL)
	if op := r.Ended(poll); op.Status != resource.Failed {
		t.Fatalf("%+v", op)
	}
	if a := r.Do("GET", poll, armtest.Owner, "").Want(409, "InternalServerError"); strings.Contains(a.Body, "secret") {
		t.Error(a.Body)
	}
	// What is left can be used, and deleted again.
	r.Do("PUT", rg, armtest.Owner, `{"location":"eastus"}`).Want(200, "")
	c.mu.Lock()
	c.failing = nil
	c.mu.Unlock()
	poll = r.Do("DELETE", rg, armtest.Owner, "").Want(202, "").Header.Get("Location")
	if op := r.Ended(poll); op.Status != resource.Succeeded {
		t.Fatalf("%+v", op)
	}
}
