package containerservice

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/arm/armtest"
	"github.com/keyreeve/keyreeve/internal/arm/insights"
	locking "github.com/keyreeve/keyreeve/internal/arm/locks"
)

// TestHostileBodies sends what no client sends to every write: each answer is a refusal in ARM's form, and nothing changes.
func TestHostileBodies(t *testing.T) {
	r := newRig(t)
	(&locking.Handler{DB: r.DB}).Mount(r.Face)
	(&insights.Handler{DB: r.DB}).Mount(r.Face)
	r.create(body(t, entra))
	before := r.cluster()
	head := r.DB.Head()
	deep := func(n int) string {
		return strings.Repeat(`{"properties":`, n) + "{}" + strings.Repeat("}", n)
	}
	bodies := map[string]string{
		"nothing":           "",
		"not JSON":          "{location}",
		"half":              `{"location":"eastus"`,
		"a list":            `[{"location":"eastus"}]`,
		"a text":            `"location"`,
		"two values":        `{} {}`,
		"wrong types":       `{"location":{"a":1},"properties":[],"tags":["a"],"operation":7}`,
		"10 MB":             `{"location":"` + strings.Repeat("x", 10<<20) + `"}`,
		"10 MB of brackets": strings.Repeat("[", 10<<20),
		"deep":              `{"location":"westus2","properties":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `,"tags":1}`,
		"deep objects":      strings.TrimSuffix(deep(20_000), "}") + `,"location":1,"tags":1}`,
		"a NUL":             "{\"location\":\"west\x00us2\",\"tags\":1}",
		"not UTF-8":         "{\"\xff\":1,\"location\":2,\"properties\":3}",
		"a byte order mark": "\ufeff{}",
		"numbers":           `{"location":1e400,"properties":-0,"tags":1}`,
	}
	writes := [][2]string{
		{"PUT", path},
		{"PATCH", path},
		{"PUT", poolsPath + "/extra"},
		{"PUT", poolsPath + "/nodepool1"},
		{"PUT", groupPath},
		{"PATCH", groupPath},
		{"PATCH", path + "/providers/Microsoft.Resources/tags/default"},
		{"PATCH", groupPath + "/providers/Microsoft.Resources/tags/default"},
		{"PUT", groupPath + "/providers/Microsoft.Authorization/locks/l"},
	}
	for name, text := range bodies {
		for _, w := range writes {
			a := r.Do(w[0], w[1], armtest.Owner, text)
			if a.Status < 400 || a.Status > 413 || a.Code() == "" || a.Message() == "" {
				t.Errorf("%s, %s %s: %d %.200s", name, w[0], w[1], a.Status, a.Body)
			}
			if len(a.Body) > 4096 {
				t.Errorf("%s, %s %s: an error of %d bytes", name, w[0], w[1], len(a.Body))
			}
		}
	}
	if r.DB.Head() != head {
		t.Error("something was changed")
	}
	if diff := cmp.Diff(before, r.cluster()); diff != "" {
		t.Error(diff)
	}
}

// TestCaseTraps: names and paths in other letter case are the same things, ids keep their spelling, and members that differ only
// in case are one member.
func TestCaseTraps(t *testing.T) {
	r := newRig(t)
	r.create(body(t, entra))
	id := r.Do("GET", path, armtest.Owner, "").Body
	for _, p := range []string{strings.ToUpper(path), strings.ToLower(path), strings.Replace(path, "/c1", "/C1", 1)} {
		if got := r.Do("GET", p, armtest.Owner, "").Want(200, "").Body; got != id {
			t.Errorf("%s: %s", p, got)
		}
	}
	// A second cluster whose name differs in case alone is the first.
	r.Do("PUT", strings.Replace(path, "/c1", "/C1", 1), armtest.Owner, body(t, entra)).Want(200, "")
	if n := len(r.World.Clusters()); n != 1 {
		t.Errorf("%d clusters", n)
	}
	r.Do("PUT", path, armtest.Owner, `{"LOCATION":"westus2","Properties":{"AADPROFILE":{"MANAGED":true},"disablelocalaccounts":true}}`).Want(200, "")
	if c := r.cluster(); !c.LocalAccountsDisabled {
		t.Error("a member in another case was not read")
	}
	r.Do("PUT", path, armtest.Owner, `{"location":"westus2","properties":{"aadProfile":{"managed":true},"disableLocalAccounts":true,"DisableLocalAccounts":false}}`).
		Want(400, "InvalidParameter")
	// Letters that only Unicode takes for the same are others.
	r.Do("GET", strings.Replace(path, "/c1", "/%E2%84%831", 1), armtest.Owner, "").Want(404, "ResourceNotFound")
	r.Do("PUT", strings.Replace(path, "/c1", "/ſc1", 1), armtest.Owner, body(t, entra)).Want(400, "InvalidParameter")
}

// TestAPIVersions: any that could be one is taken; one that cannot be is refused in ARM's words.
func TestAPIVersions(t *testing.T) {
	r := newRig(t)
	r.create(body(t, entra))
	for query, want := range map[string]struct {
		status int
		code   string
	}{
		"?api-version=2017-08-31":                           {200, ""},
		"?api-version=2022-01-02-preview":                   {200, ""},
		"?API-VERSION=2024-05-01":                           {200, ""},
		"?api-version=2026-01-01":                           {200, ""}, // newer clients than this program
		"?api-version=2017-07-01":                           {400, "NoRegisteredProviderFound"},
		"?api-version=2099-01-01":                           {400, "NoRegisteredProviderFound"},
		"?api-version=2023-02-30":                           {400, "NoRegisteredProviderFound"},
		"?api-version=2014-01-01":                           {400, "InvalidApiVersionParameter"},
		"?api-version=latest":                               {400, "InvalidApiVersionParameter"},
		"?api-version=2024-05-01&api-version=2024-05-01":    {400, "InvalidApiVersionParameter"},
		"?api-version=":                                     {400, "MissingApiVersionParameter"},
		"?x=y":                                              {400, "MissingApiVersionParameter"},
		"?api-version=2024-05-01-preview'%20or%20'1'='1":    {400, "InvalidApiVersionParameter"},
		"?api-version=" + strings.Repeat("2024-05-01", 100): {400, "InvalidApiVersionParameter"},
	} {
		r.Do("GET", path+query, armtest.Owner, "").Want(want.status, want.code)
	}
	a := r.Do("GET", path+"?api-version=2099-01-01", armtest.Owner, "")
	if !strings.HasPrefix(a.Message(), "No registered resource provider found for location 'eastus' and API version '2099-01-01' for type 'managedClusters'. The supported api-versions are '2022-04-01, ") ||
		a.Header.Get("X-Ms-Failure-Cause") != "gateway" {
		t.Errorf("%s", a.Body)
	}
	a = r.Do("GET", groupPath+"?api-version=2099-01-01", armtest.Owner, "").Want(400, "InvalidApiVersionParameter")
	if !strings.HasPrefix(a.Message(), "The api-version '2099-01-01' is invalid. The supported versions are '2016-02-01, ") {
		t.Errorf("%s", a.Body)
	}
}

func TestTagsOfAnything(t *testing.T) {
	r := newRig(t)
	r.create(body(t, entra))
	const tail = "/providers/Microsoft.Resources/tags/default"
	sub := "/subscriptions/" + armtest.Sub
	for _, scope := range []string{path, groupPath, sub} {
		r.Do("PUT", scope+tail, armtest.Owner, `{"properties":{"tags":{"Team":"a","env":"dev"}}}`).Want(200, "")
		r.Do("PATCH", scope+tail, armtest.Owner, `{"operation":"Merge","properties":{"tags":{"team":"b","more":"c"}}}`).Want(200, "")
		r.Do("PATCH", scope+tail, armtest.Owner, `{"operation":"delete","properties":{"tags":{"ENV":"dev","more":"other"}}}`).Want(200, "")
		var got struct {
			ID         string
			Properties struct{ Tags map[string]string }
		}
		r.Do("GET", strings.ToUpper(scope+tail), armtest.Reader, "").Want(200, "").JSON(&got)
		if diff := cmp.Diff(map[string]string{"Team": "b", "more": "c"}, got.Properties.Tags); diff != "" {
			t.Errorf("%s: %s", scope, diff)
		}
		r.Do("PUT", scope+tail, armtest.Reader, `{}`).Want(403, "AuthorizationFailed")
		r.Do("PATCH", scope+tail, armtest.Owner, `{"operation":"Add"}`).Want(400, "InvalidTagsPatchOperation")
		r.Do("PUT", scope+tail, armtest.Owner, `{"properties":{"tags":{"a/b":"c"}}}`).Want(400, "InvalidTagNameCharacters")
		r.Do("PUT", scope+"/providers/Microsoft.Resources/tags/other", armtest.Owner, `{}`).Want(404, "TagsNotFound")
	}
	// The cluster itself says the same, and keeps all else.
	if got := r.Do("GET", path, armtest.Owner, "").Body; !strings.Contains(got, `"tags":{"Team":"b","more":"c"}`) || !strings.Contains(got, `"managed":true`) {
		t.Errorf("cluster %s", got)
	}
	var names struct {
		Value []struct {
			TagName string
			Count   struct{ Value int }
		}
	}
	r.Do("GET", sub+"/tagNames", armtest.Reader, "").Want(200, "").JSON(&names)
	uses := map[string]int{}
	for _, n := range names.Value {
		uses[n.TagName] = n.Count.Value
	}
	if uses["team"] != 2 || uses["more"] != 2 {
		t.Errorf("tag names %v", uses)
	}
	r.Do("PUT", sub+"/tagNames/x", armtest.Owner, "").Want(400, "OperationNotSupported")
	r.Do("DELETE", path+tail, armtest.Owner, "").Want(200, "")
	if got := r.Do("GET", path, armtest.Owner, "").Body; strings.Contains(got, `"tags"`) {
		t.Errorf("cluster %s", got)
	}
	r.Do("GET", groupPath+"/providers/Microsoft.ContainerService/managedClusters/none"+tail, armtest.Owner, "").Want(404, "ResourceNotFound")
	r.Do("GET", tail, armtest.Owner, "").Want(403, "AuthorizationFailed")
}
