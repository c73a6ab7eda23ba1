package graph

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

// reading are the POST operations that change nothing.
var reading = regexp.MustCompile(`/(getbyids|getmembergroups|getmemberobjects|checkmembergroups|checkmemberobjects|getavailableextensionproperties|validateproperties)$`)

// openToApplications are the routes that answer an application that was given no right, and why that is right.
var openToApplications = regexp.MustCompile(`^GET (organization|domains)(/|$)`)

// Every route refuses an application that was given no right, and every write one who may only read. Nothing is changed
// and nobody's name is told.
func TestEveryRouteAsksForARight(t *testing.T) {
	b := newBench(t)
	b.group("readers", "alice")
	ids := map[string]string{
		"users": oid("admin").String(), "groups": oid("readers").String(), "serviceprincipals": oid("reader").String(), "directoryobjects": oid("admin").String(),
		"organization": b.tenant.String(), "domains": "contoso.test", "applications": oid("application reader").String(),
	}
	body := `{"ids":["` + oid("admin").String() + `"],"groupIds":["` + oid("readers").String() + `"],"securityEnabledOnly":false,"displayName":"x","mailNickname":"x",` +
		`"mailEnabled":false,"securityEnabled":true,"@odata.id":"` + base + `/v1.0/directoryObjects/` + oid("admin").String() + `"}`
	routes := (&Handler{}).routes()
	if len(routes) < 50 {
		t.Fatalf("%d routes", len(routes))
	}
	for _, rt := range routes {
		path := append([]string(nil), rt.path...)
		for i, s := range path {
			if s != "{}" {
				continue
			}
			path[i] = oid("admin").String()
			if i == 1 && ids[path[0]] != "" {
				path[i] = ids[path[0]]
			}
		}
		name := rt.method + " " + strings.Join(rt.path, "/")
		ask := func(as string) *httptest.ResponseRecorder {
			r := httptest.NewRequestWithContext(t.Context(), rt.method, base+"/v1.0/"+strings.Join(path, "/"), strings.NewReader(body))
			r.Header.Set("As", as)
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("ConsistencyLevel", "eventual")
			rec := httptest.NewRecorder()
			b.mux.ServeHTTP(rec, r)
			return rec
		}
		before := b.db.Head()
		if rec := ask("nobody at all"); rec.Code != http.StatusUnauthorized {
			t.Errorf("%s without a token: %d", name, rec.Code)
		}
		if rec := ask("app"); !openToApplications.MatchString(name) && (rec.Code < 400 || strings.Contains(rec.Body.String(), "admin@")) {
			t.Errorf("%s as an application without rights: %d %.200s", name, rec.Code, rec.Body)
		}
		if rt.method != http.MethodGet && !reading.MatchString("/"+strings.Join(rt.path, "/")) {
			if rec := ask("alice"); rec.Code < 400 {
				t.Errorf("%s as a member: %d %.200s", name, rec.Code, rec.Body)
			}
		}
		if b.db.Head() != before {
			t.Errorf("%s changed something", name)
		}
	}
}
