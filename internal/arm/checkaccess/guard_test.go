package checkaccess_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/arm/checkaccess"
	"github.com/keyreeve/keyreeve/internal/arm/containerservice"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/graph"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/logintest"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

// guard sends what guard's Azure provider sends, and reads of the answers what it reads.
type guard struct {
	*testing.T
	s    *logintest.Service
	arm  http.Handler
	mesg http.Handler // Microsoft Graph
}

// do sends a request to the origin that its address names.
func (g *guard) do(method, address, bearer, contentType, body string) (int, http.Header, []byte) {
	g.Helper()
	req, err := http.NewRequestWithContext(g.Context(), method, address, strings.NewReader(body))
	if err != nil {
		g.Fatal(err)
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	req.Header.Set("Content-Type", contentType)
	var res *http.Response
	switch origin := req.URL.Scheme + "://" + req.URL.Host; origin {
	case logintest.ARMURL, logintest.GraphURL:
		rec := httptest.NewRecorder()
		if origin == logintest.ARMURL {
			g.arm.ServeHTTP(rec, req)
		} else {
			g.mesg.ServeHTTP(rec, req)
		}
		res = rec.Result()
	default:
		if res, err = g.s.Client.Do(req); err != nil {
			g.Fatal(err)
		}
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		g.Fatal(err)
	}
	return res.StatusCode, res.Header, raw
}

func (g *guard) read(status int, raw []byte, v any) {
	g.Helper()
	if status != http.StatusOK {
		g.Fatalf("%d %s", status, raw)
	}
	if err := json.Unmarshal(raw, v); err != nil {
		g.Fatalf("%v in %s", err, raw)
	}
}

// token is guard's client-credential flow: it wants expires_on as an integer.
func (g *guard) token(scope string) string {
	g.Helper()
	form := url.Values{
		"client_id": {g.s.App.AppID.String()}, "client_secret": {g.s.AppSecret}, "scope": {scope}, "grant_type": {"client_credentials"},
	}
	status, _, raw := g.do("POST", fmt.Sprintf("%s/%s/oauth2/v2.0/token", g.s.BaseURL, g.s.Tenant.ID), "", "application/x-www-form-urlencoded", form.Encode())
	var t struct {
		Type      string `json:"token_type"`
		Token     string `json:"access_token"`
		ExpiresOn int    `json:"expires_on"`
	}
	g.read(status, raw, &t)
	if t.Type != "Bearer" || t.Token == "" || int64(t.ExpiresOn) <= g.s.Clock.Now().Unix() {
		g.Fatalf("%s", raw)
	}
	return t.Token
}

// checkAccess is version 1 for one review, whose verdict guard takes from accessDecision alone.
func (g *guard) checkAccess(bearer, resourceID, namespace, action string, user directory.User) (int, string) {
	g.Helper()
	scope := strings.TrimPrefix(resourceID, "/") + "/namespaces/" + namespace
	var body bytes.Buffer
	err := json.NewEncoder(&body).Encode(map[string]any{
		"Subject":  map[string]any{"Attributes": map[string]any{"ObjectId": user.ID.String()}},
		"Actions":  []map[string]any{{"Id": action, "IsDataAction": true, "Attributes": nil}},
		"Resource": map[string]any{"Id": resourceID + "/namespaces/" + namespace},
	})
	if err != nil {
		g.Fatal(err)
	}
	status, header, raw := g.do("POST", logintest.ARMURL+"/"+scope+"/providers/Microsoft.Authorization/checkaccess?api-version=2018-09-01-preview",
		bearer, "application/json", body.String())
	if status != http.StatusOK {
		return status, string(raw)
	}
	if header.Get("x-ms-ratelimit-remaining-subscription-reads") == "" {
		g.Error("no number of remaining requests")
	}
	var out []struct {
		Decision       string `json:"accessDecision"`
		ActionID       string `json:"actionId"`
		IsDataAction   bool   `json:"isDataAction"`
		RoleAssignment struct {
			ID               string `json:"id"`
			RoleDefinitionID string `json:"roleDefinitionId"`
			CanDelegate      bool   `json:"canDelegate"`
		} `json:"roleAssignment"`
		DenyAssignment struct {
			IsSystemProtected string `json:"isSystemProtected"`
		} `json:"denyAssignment"`
		TimeToLiveInMs int `json:"timeToLiveInMs"`
	}
	g.read(status, raw, &out)
	if len(out) != 1 || out[0].ActionID != action || !out[0].IsDataAction || out[0].Decision == "Allowed" && out[0].RoleAssignment.ID == "" {
		g.Errorf("%s", raw)
	}
	return status, out[0].Decision
}

func newGuard(t *testing.T) (*guard, string) {
	s := logintest.Start(t)
	log := slog.New(slog.DiscardHandler)
	face := &arm.Face{
		DB: s.DB, World: s.World, Auth: s.Checker(directory.ResourceManager()), BaseURL: logintest.ARMURL, LoginURL: s.BaseURL,
		GraphURL: logintest.GraphURL, Now: s.Clock.Now, Log: log,
	}
	(&checkaccess.Handler{World: s.World, Auth: s.Checker(directory.DecisionPoint()), LoginURL: s.BaseURL, Now: s.Clock.Now}).Mount(face)
	(&containerservice.Handler{DB: s.DB, World: s.World, LoginURL: s.BaseURL, Now: s.Clock.Now, Log: log}).Mount(face, &arm.Runner{DB: s.DB, Now: s.Clock.Now, Log: log})
	mux := http.NewServeMux()
	(&graph.Handler{DB: s.DB, World: s.World, Auth: s.Checker(directory.MicrosoftGraph()), BaseURL: logintest.GraphURL, Now: s.Clock.Now, Log: log}).Mount(mux)

	subID := ident.New[ident.SubscriptionID]()
	c := managedcluster.Cluster{ID: ident.New[ident.ClusterID](), Subscription: subID, Tenant: s.Tenant.ID, Group: "rg", Name: "aks"}
	s.Update(func(tx *store.Tx) error {
		if err := tx.PutSubscription(resource.Subscription{ID: subID, Tenant: s.Tenant.ID, DisplayName: "s", State: "Enabled"}); err != nil {
			return err
		}
		team := directory.Group{ID: ident.New[ident.ObjectID](), Tenant: s.Tenant.ID, DisplayName: "team", MailNickname: "team", SecurityEnabled: true}
		if err := tx.PutGroup(team); err != nil {
			return err
		}
		if err := tx.AddMember(team.ID, s.Alice.ID); err != nil {
			return err
		}
		for _, a := range []rbac.Assignment{
			{Scope: c.ResourceID(), RoleDefinitionID: ident.MustParse[ident.RoleDefinitionID](checkRole), PrincipalID: s.AppObject, PrincipalType: rbac.PrincipalServicePrincipal},
			{Scope: c.ResourceID() + "/namespaces/dev", RoleDefinitionID: ident.MustParse[ident.RoleDefinitionID](readerRole), PrincipalID: team.ID, PrincipalType: rbac.PrincipalGroup},
		} {
			a.ID, a.Tenant, a.RoleDefinitionSubscription = ident.New[ident.RoleAssignmentID](), s.Tenant.ID, subID
			if err := tx.PutAssignment(a); err != nil {
				return err
			}
		}
		// What reads groups for guard is a directory reader.
		if err := tx.GrantDirectoryRole(directory.DirectoryReaders(), s.AppObject); err != nil {
			return err
		}
		return tx.PutCluster(c)
	})
	return &guard{T: t, s: s, arm: face, mesg: mux}, c.ResourceID()
}

// TestGuard goes the way of an unmodified guard: discovery, the groups of a user, the operations, and access checks of
// both versions.
func TestGuard(t *testing.T) {
	g, cluster := newGuard(t)
	s := g.s

	// Discovery: the version 1 document, and again below the issuer that it names.
	var doc, again struct {
		Issuer      string `json:"issuer"`
		MSGraphHost string `json:"msgraph_host"`
		JWKS        string `json:"jwks_uri"`
	}
	status, _, raw := g.do("GET", s.BaseURL+"/"+s.Tenant.ID.String()+"/.well-known/openid-configuration", "", "", "")
	g.read(status, raw, &doc)
	status, _, raw = g.do("GET", strings.TrimSuffix(doc.Issuer, "/")+"/.well-known/openid-configuration", "", "", "")
	g.read(status, raw, &again)
	if again.Issuer != doc.Issuer || doc.JWKS == "" {
		t.Errorf("issuer %q, below it %q", doc.Issuer, again.Issuer)
	}
	mesg := "https://" + doc.MSGraphHost

	// Graph: groups of a user by name, and their names.
	bearer := g.token(mesg + "/.default")
	var groups struct{ Value []string }
	for _, name := range []string{s.Alice.UserPrincipalName, s.Alice.ID.String()} {
		status, _, raw = g.do("POST", mesg+"/v1.0/users/"+name+"/getMemberGroups", bearer, "application/json", `{"securityEnabledOnly": false}`)
		if g.read(status, raw, &groups); len(groups.Value) != 1 {
			t.Fatalf("groups of %s: %s", name, raw)
		}
	}
	status, _, raw = g.do("POST", mesg+"/v1.0/servicePrincipals/"+s.AppObject.String()+"/getMemberObjects", bearer, "application/json", `{"securityEnabledOnly": false}`)
	if status != http.StatusOK {
		t.Errorf("%d %s", status, raw)
	}
	var named struct {
		Value []struct{ DisplayName string }
	}
	status, _, raw = g.do("POST", mesg+"/v1.0/directoryObjects/getByIds", bearer, "application/json", `{"ids":["`+groups.Value[0]+`"],"types":["group"]}`)
	if g.read(status, raw, &named); len(named.Value) != 1 || named.Value[0].DisplayName != "team" {
		t.Errorf("%s", raw)
	}

	// Operations: the address is put together with two slashes, and so is the scope of the token.
	bearer = g.token(logintest.ARMURL + "//.default")
	var ops struct {
		Value []struct {
			Name         string
			IsDataAction *bool
		}
		NextLink string
	}
	status, _, raw = g.do("GET", logintest.ARMURL+"//providers/Microsoft.ContainerService/operations?api-version=2018-10-31", bearer, "application/json", "")
	g.read(status, raw, &ops)
	known := map[string]bool{}
	for _, o := range ops.Value {
		if o.IsDataAction != nil && *o.IsDataAction {
			known[o.Name] = true
		}
	}
	for _, want := range []string{"pods/exec/action", "apps/deployments/write", "events.k8s.io/events/read", "serviceaccounts/impersonate/action"} {
		if !known[data+want] {
			t.Errorf("%s is not among the operations", want)
		}
	}
	if known["Microsoft.ContainerService/managedClusters/read"] {
		t.Error("a control action is said to be a data action")
	}
	// Every data action that a built-in role names is among them.
	roles, err := rbac.BuiltinRoles()
	if err != nil {
		t.Fatal(err)
	}
	for _, role := range roles {
		for _, p := range role.Permissions {
			for _, a := range p.DataActions {
				if strings.HasPrefix(a, data) && !strings.Contains(a, "*") && !known[a] {
					t.Errorf("%s of %s is not among the operations", a, role.Name)
				}
			}
		}
	}

	// Access checks, version 1.
	bearer = g.token(logintest.ARMURL + "/.default")
	for _, test := range []struct {
		user              directory.User
		namespace, action string
		want              string
	}{
		{s.Alice, "dev", "pods/read", "Allowed"},
		{s.Alice, "dev", "pods/write", "NotAllowed"},
		{s.Alice, "prod", "pods/read", "NotAllowed"},
		{s.Bob, "dev", "pods/read", "NotAllowed"},
		{s.Carol, "dev", "pods/read", "NotAllowed"},
	} {
		if status, got := g.checkAccess(bearer, cluster, test.namespace, data+test.action, test.user); got != test.want {
			t.Errorf("%s %s in %s: %d %s, want %s", test.user.UserPrincipalName, test.action, test.namespace, status, got, test.want)
		}
	}
	if status, _ := g.checkAccess(bearer, cluster+"x", "dev", data+"pods/read", s.Alice); status != http.StatusForbidden {
		t.Errorf("another cluster: %d", status)
	}

	// Access checks, version 2: an audience of its own.
	point := fmt.Sprintf(`{"Subject":{"Attributes":{"ObjectId":"%s"}},"Actions":[{"Id":"%spods/read","Attributes":null}],"Resource":{"Id":"%s/namespaces/dev","Attributes":{}},"Environment":{"Attributes":{}}}`,
		s.Alice.ID, data, cluster)
	if status, header, _ := g.do("POST", logintest.ARMURL+"/checkaccess", bearer, "application/json", point); status != http.StatusUnauthorized || header.Get("WWW-Authenticate") == "" {
		t.Errorf("a token for Resource Manager at the decision point: %d", status)
	}
	var page struct {
		Value    []struct{ AccessDecision string }
		NextLink string
	}
	bearer = g.token("https://authorization.azure.net/.default")
	status, _, raw = g.do("POST", logintest.ARMURL+"/checkaccess", bearer, "application/json", point)
	if g.read(status, raw, &page); len(page.Value) != 1 || page.Value[0].AccessDecision != "Allowed" {
		t.Errorf("%s", raw)
	}
	if status, _ := g.checkAccess(bearer, cluster, "dev", data+"pods/read", s.Alice); status != http.StatusUnauthorized {
		t.Errorf("a token for the decision point at Resource Manager: %d", status)
	}
}
