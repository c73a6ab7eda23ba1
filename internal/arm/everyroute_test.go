package arm_test

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/arm/armtest"
	"github.com/keyreeve/keyreeve/internal/arm/authorization"
	"github.com/keyreeve/keyreeve/internal/arm/checkaccess"
	"github.com/keyreeve/keyreeve/internal/arm/containerservice"
	"github.com/keyreeve/keyreeve/internal/arm/deployments"
	"github.com/keyreeve/keyreeve/internal/arm/insights"
	"github.com/keyreeve/keyreeve/internal/arm/locks"
	"github.com/keyreeve/keyreeve/internal/arm/managedidentity"
	"github.com/keyreeve/keyreeve/internal/arm/managementgroups"
	"github.com/keyreeve/keyreeve/internal/arm/resources"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

// answersNobody are the routes that answer a caller without any right, and why that is right.
var answersNobody = map[string]string{
	"GET /subscriptions": "an empty list",
	"GET /tenants":       "the caller's own tenant",
	"GET /providers":     "what the service offers",
	"GET /providers/microsoft.containerservice/operations":      "what the service offers",
	"GET /providers/microsoft.authorization/roledefinitions":    "the catalogue of built-in roles",
	"GET /providers/microsoft.authorization/roledefinitions/{}": "the catalogue of built-in roles",
	"GET {scope}/providers/microsoft.authorization/permissions": "what the caller itself may do",
	"GET /providers/microsoft.management/managementgroups":      "an empty list",
}

// Questions about somebody else.
const (
	aboutOwner = `{"properties":{},"user":"owner@contoso.test","verb":"get","resource":"pods"}`
	aboutSelf  = `{"verb":"get","resource":"pods"}`
	checkOwner = `{"Subject":{"Attributes":{"ObjectId":"` + armtest.Owner + `"}},"Actions":[{"Id":"a/b/read"}],"Resource":{"Id":"/subscriptions/` + armtest.Sub + `/resourceGroups/there-rg"}}`
)

// everyRoute is a face with every room of the service, and one of each thing that a path can name.
func everyRoute(t *testing.T) *armtest.Rig {
	t.Helper()
	r := armtest.New(t)
	aks := &containerservice.Handler{DB: r.DB, World: r.World, LoginURL: armtest.LoginURL, Now: r.Clock.Now, Log: r.Log()}
	runner := &arm.Runner{DB: r.DB, Now: r.Clock.Now, Log: r.Log()}
	contents := []arm.Contents{aks}
	aks.Mount(r.Face, runner)
	(&resources.Handler{DB: r.DB, World: r.World, Contents: contents}).Mount(r.Face)
	(&authorization.Handler{DB: r.DB, World: r.World, Contents: contents}).Mount(r.Face)
	(&managementgroups.Handler{DB: r.DB, World: r.World}).Mount(r.Face)
	(&managedidentity.Handler{DB: r.DB, Now: r.Clock.Now}).Mount(r.Face)
	(&insights.Handler{DB: r.DB}).Mount(r.Face)
	(&deployments.Handler{DB: r.DB, World: r.World, Contents: contents, Now: r.Clock.Now, Log: r.Log()}).Mount(r.Face, runner)
	(&locks.Handler{DB: r.DB, Contents: contents}).Mount(r.Face)
	(&checkaccess.Handler{World: r.World, Auth: r.Authenticator(), LoginURL: armtest.LoginURL, Now: r.Clock.Now}).Mount(r.Face)
	tenant := ident.MustParse[ident.TenantID](armtest.Tenant)
	subscription := ident.MustParse[ident.SubscriptionID](armtest.Sub)
	r.Update(func(tx *store.Tx) error {
		if err := tx.PutResourceGroup(resource.Group{Subscription: subscription, Name: "there-rg", Location: "eastus", State: arm.StateSucceeded}); err != nil {
			return err
		}
		if err := tx.PutManagementGroup(resource.ManagementGroup{Tenant: tenant, Name: "there-mg"}); err != nil {
			return err
		}
		azure := true
		return tx.PutCluster(managedcluster.Cluster{
			ID: ident.New[ident.ClusterID](), Subscription: subscription, Tenant: tenant, Group: "there-rg", Name: "there-c", Location: "eastus", ProvisioningState: managedcluster.Succeeded,
			AAD: &managedcluster.AAD{Managed: true, Tenant: tenant, EnableAzureRBAC: &azure}, Body: []byte(`{"properties":{}}`),
		})
	})
	return r
}

var routeParam = regexp.MustCompile(`\{[^}]*\}`)

// routePath fills in a route's pattern. What has a name is named there-… and can be replaced.
func routePath(pattern, scope string) string {
	values := map[string]string{
		"subscription": armtest.Sub, "group": "there-rg", "cluster": "there-c", "name": "there-c", "location": "eastus", "namespace": "Microsoft.ContainerService",
		"managementGroup": "there-mg", "mg": "there-mg",
	}
	return routeParam.ReplaceAllStringFunc(strings.Replace(pattern, "{scope...}", scope, 1), func(s string) string {
		if v, ok := values[strings.Trim(s, "{}")]; ok {
			return v
		}
		return "00000000-0000-4000-8000-000000000001"
	})
}

const (
	thereGroup   = "subscriptions/" + armtest.Sub + "/resourceGroups/there-rg"
	thereCluster = thereGroup + "/providers/Microsoft.ContainerService/managedClusters/there-c"
)

// Who has no right learns from no route which groups, clusters and management groups there are: what is there and what is not get
// the same answer.
func TestNobodyLearnsWhatIsThere(t *testing.T) {
	r := everyRoute(t)
	asked := 0
	for _, route := range r.Face.Routes() {
		if route.Public {
			continue
		}
		for _, scope := range []string{thereGroup, thereCluster, "providers/Microsoft.Management/managementGroups/there-mg"} {
			path := routePath(route.Pattern, scope)
			for _, body := range []string{"{}", aboutOwner, aboutSelf, `{"compareWithCluster":"/` + thereCluster + `"}`, checkOwner} {
				for _, part := range []string{"there-rg", "there-c", "there-mg"} {
					absent := strings.Replace(part, "there", "absent", 1)
					if !strings.Contains(path+body, part) {
						continue
					}
					asked++
					yes := r.Do(route.Method, path, armtest.Nobody, body)
					no := r.Do(route.Method, strings.ReplaceAll(path, part, absent), armtest.Nobody, strings.ReplaceAll(body, part, absent))
					if got := strings.ReplaceAll(no.Body, absent, part); yes.Status != no.Status || yes.Body != got {
						t.Errorf("%s %s %s:\n%s is there:     %d %.200s\n%s is not there: %d %.200s", route.Method, route.Pattern, body, part, yes.Status, yes.Body, part, no.Status, got)
					}
				}
			}
			if !strings.Contains(route.Pattern, "{scope...}") {
				break
			}
		}
	}
	if asked < 500 {
		t.Errorf("%d questions", asked)
	}
}

// Every route of the face refuses who has no right there, changes nothing, and tells nobody's name.
func TestEveryRouteAsksForARight(t *testing.T) {
	r := everyRoute(t)
	routes := r.Face.Routes()
	if len(routes) < 50 {
		t.Fatalf("%d routes", len(routes))
	}
	seen := map[string]bool{}
	for _, route := range routes {
		if route.Public {
			continue
		}
		key := route.Method + " " + routeParam.ReplaceAllStringFunc(strings.ToLower(strings.Replace(route.Pattern, "/{scope...}", "{scope}", 1)), func(s string) string {
			if s == "{scope}" {
				return s
			}
			return "{}"
		})
		path := routePath(route.Pattern, thereGroup)
		if strings.HasSuffix(key, "/identities/default") {
			path = routePath(route.Pattern, thereCluster) // of a resource
		}
		seen[key] = true
		before := r.DB.Head()
		if strings.HasSuffix(key, "roledefinitions/{}") {
			path = strings.TrimSuffix(path, "/there-c") + "/" + armtest.ReaderRole
		}
		body := aboutOwner
		if strings.HasSuffix(key, "checkaccess") {
			body = checkOwner
		}
		res := r.Do(route.Method, path, armtest.Nobody, body)
		refused := res.Status == http.StatusForbidden
		if strings.Contains(key, "locations/{}/operations/") || strings.Contains(key, "/operationresults/") {
			refused = res.Status == http.StatusNotFound // the id of somebody else's operation is none
		}
		if why := answersNobody[key]; why != "" {
			refused = res.Status == http.StatusOK
		}
		if !refused {
			t.Errorf("%s (%s): %d %.300s", key, path, res.Status, res.Body)
		}
		if r.DB.Head() != before {
			t.Errorf("%s changed something", key)
		}
		for _, secret := range []string{"owner@", "Contoso subscription"} {
			if strings.Contains(res.Body, secret) && !strings.Contains(key, "tenants") {
				t.Errorf("%s tells %s: %s", key, secret, res.Body)
			}
		}
		if res := r.Do(route.Method, path, "", ""); res.Status != http.StatusUnauthorized {
			t.Errorf("%s without a token: %d", key, res.Status)
		}
	}
	var keys []string
	for k := range answersNobody {
		if !seen[k] {
			keys = append(keys, k)
		}
	}
	if slices.Sort(keys); len(keys) > 0 {
		t.Errorf("these routes are not there: %q", keys)
	}
}
