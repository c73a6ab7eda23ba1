package arm_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/arm/armtest"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

const (
	sub   = "/subscriptions/" + armtest.Sub
	group = sub + "/resourceGroups/rg1"
	thing = group + "/providers/Microsoft.ContainerService/managedClusters/c1"
)

// withThing registers routes of a resource type whose errors are bare, and makes the group rg1.
func withThing(t *testing.T) *armtest.Rig {
	r := armtest.New(t)
	const pattern = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerService/managedClusters/{name}"
	echo := func(_ http.ResponseWriter, q *arm.Request) error {
		return q.WriteJSON(http.StatusOK, map[string]string{"name": q.Param("name"), "group": q.Group.Name, "scope": q.Scope, "version": q.APIVersion})
	}
	r.Face.Handle(arm.Route{Method: http.MethodGet, Pattern: pattern, Action: "Microsoft.ContainerService/managedClusters/read", Errors: arm.Bare, Handle: echo})
	r.Face.Handle(arm.Route{Method: http.MethodPut, Pattern: pattern, Action: "Microsoft.ContainerService/managedClusters/write", Errors: arm.Bare, Handle: echo})
	r.Face.Handle(arm.Route{
		Method: http.MethodPost, Pattern: pattern + "/fail", Action: "Microsoft.ContainerService/managedClusters/fail/action", Errors: arm.Bare,
		Handle: func(_ http.ResponseWriter, q *arm.Request) error {
			switch how, _, _ := q.Query("how"); how {
			case "bare":
				return fault.New(fault.Invalid, "BadRequest", "Getting <static> credential is not allowed.")
			case "gateway":
				return arm.ResourceNotFound("Microsoft.ContainerService/managedClusters", q.Param("name"), q.Param("group"))
			case "panic":
				panic("a secret thing")
			case "target":
				return fault.New(fault.Conflict, "PropertyChangeNotAllowed", "No.").At("properties.x")
			case "twice":
				_, _, err := q.Query("x")
				return err
			}
			return fault.Wrap(errors.New("a secret thing"), "deep")
		},
	})
	r.Update(func(tx *store.Tx) error {
		return tx.PutResourceGroup(resource.Group{Subscription: ident.MustParse[ident.SubscriptionID](armtest.Sub), Name: "rg1", Location: "eastus", State: arm.StateSucceeded})
	})
	return r
}

func TestOrderOfChecks(t *testing.T) {
	r := withThing(t)
	other := strings.Replace(thing, armtest.Sub, armtest.OtherSub, 1)
	missing := strings.Replace(thing, armtest.Sub, "22222222-0000-4000-8000-00000000000f", 1)
	for name, test := range map[string]struct {
		method, path, as string
		status           int
		code             string
	}{
		"unknown path, nobody":            {"GET", "/nothing", "", 404, "ResourceNotFound"},
		"unknown type":                    {"GET", group + "/providers/Microsoft.ContainerService/teapots/t", "", 404, "InvalidResourceType"},
		"unknown namespace":               {"GET", group + "/providers/Microsoft.Tea/teapots/t", "", 404, "InvalidResourceNamespace"},
		"wrong method, nobody":            {"DELETE", thing, "", 405, "MethodNotAllowed"},
		"malformed path":                  {"GET", group + "/../x", "", 400, "InvalidRequestUri"},
		"malformed query":                 {"GET", thing + "?%zz", "", 400, "InvalidRequestUri"},
		"no token, no version":            {"GET", thing + "?", "", 401, "AuthenticationFailed"},
		"no version":                      {"GET", thing + "?x=y", armtest.Owner, 400, "MissingApiVersionParameter"},
		"malformed version":               {"GET", thing + "?api-version=latest", armtest.Owner, 400, "InvalidApiVersionParameter"},
		"impossible version":              {"GET", thing + "?api-version=2022-13-01", armtest.Owner, 400, "InvalidApiVersionParameter"},
		"too old version":                 {"GET", thing + "?api-version=2014-12-31", armtest.Owner, 400, "InvalidApiVersionParameter"},
		"two versions":                    {"GET", thing + "?api-version=2022-01-01&api-version=2023-01-01", armtest.Owner, 400, "InvalidApiVersionParameter"},
		"malformed subscription":          {"GET", strings.Replace(thing, armtest.Sub, "x", 1), armtest.Owner, 400, "InvalidSubscriptionId"},
		"missing subscription":            {"GET", missing, armtest.Owner, 404, "SubscriptionNotFound"},
		"subscription of another tenant":  {"GET", other, armtest.Owner, 401, "InvalidAuthenticationTokenTenant"},
		"caller of another tenant":        {"GET", thing, armtest.Stranger, 401, "InvalidAuthenticationTokenTenant"},
		"no right, missing group":         {"GET", strings.Replace(thing, "rg1", "rg2", 1), armtest.Nobody, 403, "AuthorizationFailed"},
		"right, missing group":            {"GET", strings.Replace(thing, "rg1", "rg2", 1), armtest.Owner, 404, "ResourceGroupNotFound"},
		"right to read only":              {"PUT", thing, armtest.Reader, 403, "AuthorizationFailed"},
		"all good":                        {"GET", thing, armtest.Owner, 200, ""},
		"all good, HEAD":                  {"HEAD", thing, armtest.Owner, 200, ""},
		"all good, preview":               {"GET", thing + "?api-version=2026-01-01-preview", armtest.Owner, 200, ""},
		"all good, other case, slashes":   {"GET", "/" + strings.ToUpper(sub) + "/resourcegroups/RG1/PROVIDERS/microsoft.containerservice/managedclusters/C1/?API-VERSION=2022-11-01", armtest.Owner, 200, ""},
		"all good, escaped":               {"GET", strings.Replace(thing, "rg1", "%72g1", 1), armtest.Owner, 200, ""},
		"a scope longer than the granted": {"GET", strings.Replace(thing, "/c1", "/c10", 1), armtest.App, 403, "AuthorizationFailed"},
		"the granted scope":               {"GET", thing, armtest.App, 200, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if test.as == armtest.App {
				r.Grant(armtest.App, rbac.PrincipalServicePrincipal, armtest.ReaderRole, thing)
			}
			r.Do(test.method, test.path, test.as, "").Want(test.status, test.code)
		})
	}
}

func TestRequestValues(t *testing.T) {
	r := withThing(t)
	path := strings.Replace(thing, "resourceGroups/rg1", "resourcegroups/RG1", 1) + "/"
	got := map[string]string{}
	r.Do("GET", path+"?api-version=2022-11-01", armtest.Owner, "").Want(200, "").JSON(&got)
	want := map[string]string{"name": "c1", "group": "rg1", "scope": strings.TrimSuffix(path, "/"), "version": "2022-11-01"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRefusalTexts(t *testing.T) {
	r := withThing(t)
	post := thing + "/fail?api-version=2022-11-01"
	for name, test := range map[string]struct {
		method, path, as, want string
	}{
		"authorization failed": {"POST", post, armtest.Nobody, `{"error":{"code":"AuthorizationFailed","message":"The client 'nobody@contoso.test' with object id '` +
			armtest.Nobody + `' does not have authorization to perform action 'Microsoft.ContainerService/managedClusters/fail/action' over scope '` + thing +
			`' or the scope is invalid. If access was recently granted, please refresh your credentials."}}`},
		"authorization failed, application": {"POST", post, armtest.App, `{"error":{"code":"AuthorizationFailed","message":"The client '` + armtest.App + `' with object id '` +
			armtest.App + `' does not have authorization to perform action 'Microsoft.ContainerService/managedClusters/fail/action' over scope '` + thing +
			`' or the scope is invalid. If access was recently granted, please refresh your credentials."}}`},
		"group": {"GET", strings.Replace(thing, "rg1", "RG9", 1), armtest.Owner, `{"error":{"code":"ResourceGroupNotFound","message":"Resource group 'RG9' could not be found."}}`},
		"resource": {"POST", post + "&how=gateway", armtest.Owner, `{"error":{"code":"ResourceNotFound","message":"The Resource 'Microsoft.ContainerService/managedClusters/c1' ` +
			`under resource group 'rg1' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix"}}`},
		"bare":        {"POST", post + "&how=bare", armtest.Owner, `{"code":"BadRequest","details":null,"message":"Getting <static> credential is not allowed.","subcode":""}`},
		"bare target": {"POST", post + "&how=target", armtest.Owner, `{"code":"PropertyChangeNotAllowed","details":null,"message":"No.","subcode":"","target":"properties.x"}`},
		"twice":       {"POST", post + "&how=twice&x=1&x=2", armtest.Owner, `{"code":"InvalidQueryParameter","details":null,"message":"The query parameter 'x' was sent more than once.","subcode":""}`},
		"no version":  {"GET", thing + "?a=b", armtest.Owner, `{"error":{"code":"MissingApiVersionParameter","message":"The api-version query parameter (?api-version=) is required for all requests."}}`},
		"other tenant": {"GET", thing, armtest.Stranger, `{"error":{"code":"InvalidAuthenticationTokenTenant","message":"The access token is from the wrong issuer '` + armtest.LoginURL + `/` +
			armtest.OtherTenant + `/'. It must match the tenant '` + armtest.LoginURL + `/` + armtest.Tenant + `/' associated with this subscription. Please use the authority (URL) '` +
			armtest.LoginURL + `/` + armtest.Tenant + `' to get the token. Note, if the subscription is transferred to another tenant there is no impact to the services, but ` +
			`information about new tenant could take time to propagate (up to an hour). If you just transferred your subscription and see this error message, please try back later."}}`},
	} {
		t.Run(name, func(t *testing.T) {
			a := r.Do(test.method, test.path, test.as, "")
			if diff := cmp.Diff(test.want, a.Body); diff != "" {
				t.Error(diff)
			}
			wrapped := strings.HasPrefix(test.want, `{"error"`)
			contentType := "application/json"
			if wrapped {
				contentType += "; charset=utf-8"
			}
			if got := a.Header.Get("Content-Type"); got != contentType {
				t.Errorf("content type %q", got)
			}
			if got := a.Header.Get("x-ms-failure-cause"); (got == "gateway") != wrapped {
				t.Errorf("x-ms-failure-cause %q", got)
			}
		})
	}
}

func TestInternalErrorsTellNothing(t *testing.T) {
	r := withThing(t)
	for _, how := range []string{"", "panic"} {
		a := r.Do("POST", thing+"/fail?api-version=2022-11-01&how="+how, armtest.Owner, "").Want(500, "InternalServerError")
		if strings.Contains(a.Body, "secret") {
			t.Errorf("%q: the answer tells the cause: %s", how, a.Body)
		}
		if !strings.Contains(a.Body, a.Header.Get("x-ms-request-id")) {
			t.Errorf("%q: the answer does not name the request: %s", how, a.Body)
		}
	}
}

func TestChallenge(t *testing.T) {
	r := withThing(t)
	for name, test := range map[string]struct {
		path, as, want string
	}{
		"no token":                 {thing, "", `Bearer authorization_uri="` + armtest.LoginURL + "/" + armtest.Tenant + `"`},
		"no token, no such tenant": {strings.Replace(thing, armtest.Sub, "22222222-0000-4000-8000-00000000000f", 1), "", `Bearer authorization_uri="` + armtest.LoginURL + `/common"`},
		"bad token":                {thing, "x", `Bearer authorization_uri="` + armtest.LoginURL + "/" + armtest.Tenant + `", error="invalid_token", error_description="`},
		"wrong tenant":             {thing, armtest.Stranger, `Bearer authorization_uri="` + armtest.LoginURL + "/" + armtest.Tenant + `", error="invalid_token", error_description="`},
	} {
		t.Run(name, func(t *testing.T) {
			a := r.Do("GET", test.path, test.as, "")
			got := a.Header.Get("WWW-Authenticate")
			if a.Status != 401 || !strings.HasPrefix(got, test.want) {
				t.Errorf("%d %s", a.Status, got)
			}
		})
	}
}

func TestUndecidedIsNeitherDenyNorAllow(t *testing.T) {
	r := withThing(t)
	r.Broken = fault.New(fault.Unavailable, "ServerBusy", "Keys are not known.")
	a := r.Do("GET", thing, armtest.Owner, "").Want(503, "ServerBusy")
	if a.Header.Get("Retry-After") == "" || a.Header.Get("WWW-Authenticate") != "" {
		t.Errorf("headers %v", a.Header)
	}
	r.Broken = nil
	conditional := armtest.Assignment(armtest.Nobody, rbac.PrincipalUser, armtest.ReaderRole, sub)
	conditional.Condition = "@Resource[x] StringEquals 'y'"
	r.Update(func(tx *store.Tx) error { return tx.PutAssignment(conditional) })
	r.Do("GET", thing, armtest.Nobody, "").Want(403, "AuthorizationFailed") // a condition that cannot be read grants nothing
	if err := r.World.Apply(feed.Change{}); err == nil {
		t.Fatal("the world takes an old change")
	}
	r.Do("GET", thing, armtest.Owner, "").Want(503, "AuthorizationUndecided")
	r.Do("GET", thing, armtest.Nobody, "").Want(503, "AuthorizationUndecided")
}

func TestDeletingGroupTakesNoWrites(t *testing.T) {
	r := withThing(t)
	r.Update(func(tx *store.Tx) error {
		g, err := tx.ResourceGroup(ident.MustParse[ident.SubscriptionID](armtest.Sub), "rg1")
		if err != nil {
			return err
		}
		g.State = arm.StateDeleting
		return tx.PutResourceGroup(g)
	})
	r.Do("GET", thing, armtest.Owner, "").Want(200, "")
	r.Do("PUT", thing, armtest.Owner, "{}").Want(409, "ResourceGroupBeingDeleted")
	r.Do("POST", thing+"/fail", armtest.Owner, "{}").Want(409, "ResourceGroupBeingDeleted")
}

func TestStandardHeaders(t *testing.T) {
	r := withThing(t)
	for _, test := range []struct{ method, path, as string }{{"GET", thing, armtest.Owner}, {"GET", thing, ""}, {"GET", "/nothing", ""}} {
		a := r.Do(test.method, test.path, test.as, "")
		for _, h := range []string{"x-ms-request-id", "x-ms-correlation-request-id", "x-ms-routing-request-id", "x-ms-ratelimit-remaining-subscription-reads"} {
			if a.Header.Get(h) == "" {
				t.Errorf("%s: no %s", test.path, h)
			}
		}
		if a.Header.Get("Cache-Control") != "no-cache" || a.Header.Get("Expires") != "-1" {
			t.Errorf("%s: %v", test.path, a.Header)
		}
	}
}

func TestMetadata(t *testing.T) {
	r := armtest.New(t)
	const rest = `"media":"https://arm.test:8444/","graphAudience":"https://graph.windows.net/","graph":"https://graph.windows.net/","name":"Keyreeve",` +
		`"suffixes":{"acrLoginServer":"azurecr.arm.test","keyVaultDns":"vault.arm.test","sqlServerHostname":"database.arm.test","storage":"core.arm.test"},` +
		`"batch":"https://arm.test:8444/","resourceManager":"https://arm.test:8444/","vmImageAliasDoc":"https://arm.test:8444/",` +
		`"activeDirectoryDataLake":"https://arm.test:8444/","sqlManagement":"https://arm.test:8444/","microsoftGraphResourceId":"https://graph.test:8445/","gallery":"https://arm.test:8444/"}`
	const audiences = `"audiences":["https://management.core.windows.net/","https://management.azure.com/"]`
	for version, want := range map[string]string{
		"2015-01-01": `{"galleryEndpoint":"https://arm.test:8444/","graphEndpoint":"https://graph.windows.net/","portalEndpoint":"https://arm.test:8444/",` +
			`"authentication":{"loginEndpoint":"https://login.test:8443/adfs/t",` + audiences + `}}`,
		"2019-05-01": `[{"portal":"https://arm.test:8444/","authentication":{"loginEndpoint":"https://login.test:8443/adfs/t",` + audiences + `,"tenant":"common","identityProvider":"AAD"},` + rest + `]`,
		"2022-09-01": `{"portal":"https://arm.test:8444/","authentication":{"loginEndpoint":"https://login.test:8443/",` + audiences + `,"tenant":"common","identityProvider":"AAD"},` + rest,
	} {
		for _, path := range []string{"/metadata/endpoints", "//metadata/endpoints"} {
			a := r.Do("GET", path+"?api-version="+version, "", "").Want(200, "")
			if diff := cmp.Diff(want, a.Body); diff != "" {
				t.Errorf("%s %s: %s", path, version, diff)
			}
		}
	}
	r.Do("GET", "/metadata/endpoints?", "", "").Want(400, "MissingApiVersionParameter")
	r.Do("GET", "/metadata/endpoints?api-version=x", "", "").Want(400, "InvalidApiVersionParameter")
	r.Do("POST", "/metadata/endpoints", "", "").Want(405, "MethodNotAllowed")
}

func TestAuditHelperNamesTheCaller(t *testing.T) {
	r := armtest.New(t)
	r.Face.Handle(arm.Route{
		Method: http.MethodPost, Pattern: "/subscriptions/{subscription}/do", Action: "Microsoft.Resources/subscriptions/read",
		Handle: func(w http.ResponseWriter, q *arm.Request) error {
			_, err := r.DB.Update(q.Context(), func(tx *store.Tx) error {
				return q.Audit(tx, audit.ClusterWritten, "t", map[string]string{"a": "b"})
			})
			return err
		},
	})
	a := r.Do("POST", sub+"/do", armtest.Owner, "").Want(200, "")
	var records []audit.Record
	if err := r.DB.View(t.Context(), func(tx *store.Tx) (err error) {
		records, err = tx.AuditRecords(10)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	want := []audit.Record{{
		At: r.Clock.Now(), Event: audit.ClusterWritten, Tenant: ident.MustParse[ident.TenantID](armtest.Tenant),
		Actor: ident.MustParse[ident.ObjectID](armtest.Owner), ActorName: "owner@contoso.test", Target: "t",
		Correlation: a.Header.Get("x-ms-request-id"), Detail: map[string]string{"a": "b"},
	}}
	if diff := cmp.Diff(want, records); diff != "" {
		t.Error(diff)
	}
}

// BenchmarkRequest is one read of a resource through every check of the core, its group read from the store included.
func BenchmarkRequest(b *testing.B) {
	r := armtest.New(b)
	r.Face.Handle(arm.Route{
		Method: http.MethodGet, Action: "Microsoft.ContainerService/managedClusters/read",
		Pattern: "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerService/managedClusters/{name}",
		Handle:  func(_ http.ResponseWriter, q *arm.Request) error { return q.WriteJSON(http.StatusOK, q.Group) },
	})
	r.Update(func(tx *store.Tx) error {
		return tx.PutResourceGroup(resource.Group{Subscription: ident.MustParse[ident.SubscriptionID](armtest.Sub), Name: "rg1", Location: "eastus", State: arm.StateSucceeded})
	})
	for b.Loop() {
		if a := r.Do("GET", thing, armtest.Owner, ""); a.Status != http.StatusOK {
			b.Fatal(a.Body)
		}
	}
}
