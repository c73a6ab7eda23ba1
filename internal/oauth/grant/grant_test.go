package grant_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/logintest"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/token"
)

const (
	armScope  = "https://management.core.windows.net//.default"
	userScope = armScope + " offline_access openid profile"
	tokenPath = "/organizations/oauth2/v2.0/token"
)

// with returns pairs with others put in place of, or added to, them; an empty value removes one.
func with(pairs []string, changes ...string) []string {
	out := slices.Clone(pairs)
	for i := 0; i+1 < len(changes); i += 2 {
		at := -1
		for j := 0; j+1 < len(out); j += 2 {
			if out[j] == changes[i] {
				at = j
			}
		}
		switch {
		case at < 0:
			out = append(out, changes[i], changes[i+1])
		case changes[i+1] == "":
			out = slices.Delete(out, at, at+2)
		default:
			out[at+1] = changes[i+1]
		}
	}
	return out
}

func passwordForm(s *logintest.Service) []string {
	return []string{
		"grant_type", "password", "client_id", directory.AzureCLI().String(), "username", s.Alice.UserPrincipalName,
		"password", logintest.Password, "scope", userScope, "client_info", "1",
	}
}

func secretForm(s *logintest.Service) []string {
	return []string{"grant_type", "client_credentials", "client_id", s.App.AppID.String(), "client_secret", s.AppSecret, "scope", armScope}
}

// claimsOf returns the payload of a token, unchecked.
func claimsOf(t *testing.T, raw string) map[string]any {
	t.Helper()
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		t.Fatalf("not a token: %q", raw)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(payload, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// wantError checks every member of an error answer.
func wantError(t *testing.T, s *logintest.Service, a logintest.Answer, status int, word string, number int) {
	t.Helper()
	if a.Status != status || a.Body["error"] != word {
		t.Fatalf("got %d %s, want %d %s AADSTS%d", a.Status, a.Text, status, word, number)
	}
	code := fmt.Sprintf("AADSTS%d", number)
	description := a.Str(t, "error_description")
	if !strings.HasPrefix(description, code+": ") {
		t.Errorf("error_description %q does not begin with %s", description, code)
	}
	trace, stamp := a.Str(t, "trace_id"), s.Clock.Now().UTC().Format("2006-01-02 15:04:05Z")
	tail := "\r\nTrace ID: " + trace + "\r\nCorrelation ID: " + a.Str(t, "correlation_id") + "\r\nTimestamp: " + stamp
	if !strings.HasSuffix(description, tail) {
		t.Errorf("error_description %q does not end with %q", description, tail)
	}
	if diff := cmp.Diff([]any{float64(number)}, a.Body["error_codes"]); diff != "" {
		t.Error(diff)
	}
	if a.Body["timestamp"] != stamp || a.Body["error_uri"] != fmt.Sprintf("%s/error?code=%d", s.BaseURL, number) {
		t.Errorf("timestamp %v, error_uri %v", a.Body["timestamp"], a.Body["error_uri"])
	}
	if a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("x-ms-request-id") != trace {
		t.Errorf("headers %v", a.Header)
	}
}

func TestUserAnswer(t *testing.T) {
	s := logintest.Start(t)
	a := s.Post(tokenPath, passwordForm(s)...)
	if a.Status != http.StatusOK || a.Header.Get("Cache-Control") != "no-store" {
		t.Fatal(a.Status, a.Text, a.Header)
	}
	life, ok := a.Body["expires_in"].(float64)
	if !ok || life < 3600 || life >= 4500 || a.Body["expires_on"] != float64(s.Clock.Now().Unix())+life {
		t.Errorf("expires_in %v, expires_on %v", a.Body["expires_in"], a.Body["expires_on"])
	}
	if a.Body["scope"] != userScope || a.Body["token_type"] != "Bearer" || a.Body["foci"] != "1" {
		t.Errorf("answer %s", a.Text)
	}
	info, err := base64.RawURLEncoding.DecodeString(a.Str(t, "client_info"))
	if want := fmt.Sprintf(`{"uid":"%s","utid":"%s"}`, s.Alice.ID, s.Tenant.ID); err != nil || string(info) != want {
		t.Errorf("client_info %s, want %s", info, want)
	}
	access, id := claimsOf(t, a.Str(t, "access_token")), claimsOf(t, a.Str(t, "id_token"))
	for name, want := range map[string]any{
		"aud": "https://management.core.windows.net/", "iss": s.BaseURL + "/" + s.Tenant.ID.String() + "/", "ver": "1.0",
		"oid": s.Alice.ID.String(), "tid": s.Tenant.ID.String(), "upn": s.Alice.UserPrincipalName, "unique_name": s.Alice.UserPrincipalName,
		"name": s.Alice.DisplayName, "appid": directory.AzureCLI().String(), "appidacr": "0", "idtyp": "user", "acr": "1",
		"scp": "user_impersonation", "ipaddr": "127.0.0.1",
	} {
		if access[name] != want {
			t.Errorf("access token: %s is %v, want %v", name, access[name], want)
		}
	}
	for name, want := range map[string]any{
		"aud": directory.AzureCLI().String(), "iss": s.BaseURL + "/" + s.Tenant.ID.String() + "/v2.0", "ver": "2.0",
		"oid": s.Alice.ID.String(), "tid": s.Tenant.ID.String(), "preferred_username": s.Alice.UserPrincipalName, "name": s.Alice.DisplayName,
	} {
		if id[name] != want {
			t.Errorf("id token: %s is %v, want %v", name, id[name], want)
		}
	}
	if access["sub"] == id["sub"] || access["sid"] != id["sid"] || access["uti"] == id["uti"] {
		t.Errorf("sub must differ by audience, sid must not, uti must: %v, %v", access, id)
	}
	if s.Audit(audit.SignIn) != 1 || s.Audit(audit.TokenIssued) != 1 {
		t.Error("the sign-in is not in the audit log")
	}
}

func TestApplicationAnswer(t *testing.T) {
	s := logintest.Start(t)
	tenant := "/" + s.Tenant.ID.String() + "/oauth2/v2.0/token"
	a := s.Post(tenant, with(secretForm(s), "client_info", "1", "scope", armScope+" openid offline_access profile")...)
	if a.Status != http.StatusOK {
		t.Fatal(a.Text)
	}
	for _, name := range []string{"refresh_token", "id_token", "client_info", "foci"} {
		if v, there := a.Body[name]; there {
			t.Errorf("%s is %v for an application", name, v)
		}
	}
	claims := claimsOf(t, a.Str(t, "access_token"))
	for name, want := range map[string]any{
		"oid": s.AppObject.String(), "sub": s.AppObject.String(), "idtyp": "app", "appidacr": "1", "upn": nil, "scp": nil, "sid": nil, "acr": nil,
		"idp": s.BaseURL + "/" + s.Tenant.ID.String() + "/",
	} {
		if claims[name] != want {
			t.Errorf("%s is %v, want %v", name, claims[name], want)
		}
	}

	t.Run("client_secret_basic", func(t *testing.T) {
		form := url.Values{"grant_type": {"client_credentials"}, "scope": {armScope}}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.BaseURL+tenant, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.SetBasicAuth(s.App.AppID.String(), url.QueryEscape(s.AppSecret))
		if a := s.Do(req); a.Status != http.StatusOK {
			t.Fatal(a.Text)
		}
		req.Body, _ = req.GetBody()
		req.SetBasicAuth(s.App.AppID.String(), "wrong")
		a := s.Do(req)
		wantError(t, s, a, http.StatusUnauthorized, "invalid_client", 7000215)
		if !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Basic") {
			t.Errorf("WWW-Authenticate %q", a.Header.Get("WWW-Authenticate"))
		}
	})
}

// TestRefusals goes through wire-contract 16 and the MUSTs of RFC 6749: each row is a good request with one thing wrong.
func TestRefusals(t *testing.T) {
	s := logintest.Start(t)
	home := "/" + s.Tenant.ID.String() + "/oauth2/v2.0/token"
	nobody := ident.New[ident.ClientID]().String()
	user, app := passwordForm(s), secretForm(s)
	for _, row := range []struct {
		name   string
		path   string
		form   []string
		status int
		word   string
		number int
	}{
		{"no grant type", home, with(user, "grant_type", ""), 400, "invalid_request", 900144},
		{"no client", home, with(user, "client_id", ""), 400, "invalid_request", 900144},
		{"no user name", home, with(user, "username", ""), 400, "invalid_request", 900144},
		{"no scope", home, with(user, "scope", ""), 400, "invalid_request", 900144},
		{"no device code", home, with(user, "grant_type", "device_code"), 400, "invalid_request", 900144},
		{"no refresh token", home, with(user, "grant_type", "refresh_token"), 400, "invalid_request", 900144},
		{"no resource at v1", "/common/oauth2/token", with(user, "scope", ""), 400, "invalid_request", 900144},
		{"parameter twice", home, append(with(user), "scope", userScope), 400, "invalid_request", 9000411},
		{"unknown grant", home, with(user, "grant_type", "magic"), 400, "unsupported_grant_type", 70003},
		{"grant that is none", home, with(user, "grant_type", "implicit"), 400, "unsupported_grant_type", 70003},
		{"broken claims", home, with(user, "claims", "{"), 400, "invalid_request", 9002313},
		{"token type not offered", home, with(user, "token_type", "pop"), 400, "invalid_request", 9002313},
		{"unknown tenant id", "/" + ident.New[ident.TenantID]().String() + "/oauth2/v2.0/token", user, 400, "invalid_tenant", 90002},
		{"unknown domain", "/nowhere.test/oauth2/v2.0/token", user, 400, "invalid_tenant", 90002},
		{"tenant that is no name", "/a_b/oauth2/v2.0/token", user, 400, "invalid_request", 900023},
		{"unknown client", home, with(user, "client_id", nobody), 400, "unauthorized_client", 700016},
		{"client that is no id", home, with(user, "client_id", "me"), 400, "unauthorized_client", 700016},
		{"client of another tenant", "/fabrikam.test/oauth2/v2.0/token", app, 400, "unauthorized_client", 700016},
		{"public client with a secret", home, with(user, "client_secret", "x"), 401, "invalid_client", 700025},
		{"wrong secret", home, with(app, "client_secret", "wrong"), 401, "invalid_client", 7000215},
		{"no secret", home, with(app, "client_secret", ""), 401, "invalid_client", 7000216},
		{"no secret for a user", home, with(user, "client_id", s.App.AppID.String()), 401, "invalid_client", 7000218},
		{"an assertion of no type", home, with(app, "client_secret", "", "client_assertion", "a.b.c"), 400, "invalid_request", 900144},
		{"application without a tenant", tokenPath, app, 400, "invalid_request", 50059},
		{"application without /.default", home, with(app, "scope", "https://management.azure.com/user_impersonation"), 400, "invalid_scope", 1002012},
		{"application without a resource", home, with(app, "scope", "openid"), 400, "invalid_scope", 1002012},
		{"two resources", home, with(user, "scope", armScope+" https://graph.microsoft.com/.default"), 400, "invalid_scope", 70011},
		{"default and more", home, with(user, "scope", "https://graph.microsoft.com/.default https://graph.microsoft.com/User.Read.All"), 400, "invalid_scope", 70011},
		{"no permission", home, with(user, "scope", "https://graph.microsoft.com"), 400, "invalid_scope", 70011},
		{"unknown permission", home, with(user, "scope", "https://graph.microsoft.com/Fly.All"), 400, "invalid_scope", 70011},
		{"bad character", home, with(user, "scope", "a\"b/.default"), 400, "invalid_scope", 70011},
		{"unknown resource", home, with(user, "scope", "https://nothing.test/.default"), 400, "invalid_resource", 500011},
		{"client as resource", home, with(user, "scope", directory.AzureCLI().String()+"/.default"), 400, "invalid_resource", 500011},
		{"nobody consented", home, with(user, "scope", "api://deployer/.default"), 400, "invalid_grant", 65001},
		{"wrong password", home, with(user, "password", "wrong"), 400, "invalid_grant", 50126},
		{"nobody of that name", home, with(user, "username", "nobody@contoso.test"), 400, "invalid_grant", 50126},
		{"no domain", home, with(user, "username", "alice"), 400, "invalid_grant", 50126},
		{"domain of nobody", tokenPath, with(user, "username", "alice@nowhere.test"), 400, "invalid_grant", 50126},
		{"user of another tenant", home, with(user, "username", s.Carol.UserPrincipalName), 400, "invalid_grant", 50020},
		{"client without the password grant", home, with(user, "client_id", directory.AzurePowerShell().String()), 401, "invalid_client", 7000218},
		{"tenant without the password grant", tokenPath, with(user, "username", s.Carol.UserPrincipalName), 401, "invalid_client", 7000218},
		{"made-up refresh token", home, with(user, "grant_type", "refresh_token", "refresh_token", "krr_x"), 400, "invalid_grant", 70000},
		{"made-up device code", home, with(user, "grant_type", "device_code", "device_code", "krd_x"), 400, "bad_verification_code", 70018},
		{"too large", home, with(user, "state", strings.Repeat("x", 130<<10)), 413, "invalid_request", 90013},
		{"device start by nobody", "/common/oauth2/v2.0/devicecode", []string{"client_id", nobody, "scope", armScope}, 400, "unauthorized_client", 700016},
		{"device start for nothing", "/common/oauth2/v2.0/devicecode", []string{"client_id", directory.AzureCLI().String()}, 400, "invalid_request", 900144},
	} {
		t.Run(row.name, func(t *testing.T) {
			before := s.DB.Head()
			wantError(t, s, s.Post(row.path, row.form...), row.status, row.word, row.number)
			if row.number != 50126 && s.DB.Head() != before {
				t.Error("the refused request changed something")
			}
		})
	}
	t.Run("not a post", func(t *testing.T) { wantError(t, s, s.Get(home), 405, "invalid_request", 900561) })
	t.Run("not a form", func(t *testing.T) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.BaseURL+home, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		wantError(t, s, s.Do(req), 400, "invalid_request", 9002313)
	})
	for _, secret := range []string{"wrong", logintest.Password, s.AppSecret} {
		if strings.Contains(s.Log.String(), secret) && secret != "wrong" {
			t.Errorf("the log holds a secret")
		}
	}
}

func TestAudienceIsSpelledAsAsked(t *testing.T) {
	s := logintest.Start(t)
	for scope, aud := range map[string]string{
		"https://management.core.windows.net//.default":                                 "https://management.core.windows.net/",
		"https://management.core.windows.net/.default":                                  "https://management.core.windows.net",
		"https://management.azure.com/.default":                                         "https://management.azure.com",
		"https://MANAGEMENT.azure.com//user_impersonation":                              "https://management.azure.com/",
		logintest.ARMURL + "//.default":                                                 logintest.ARMURL + "/",
		logintest.GraphURL + "/.default":                                                logintest.GraphURL,
		"6DAE42F8-4368-4678-94FF-3960E28E3630/.default":                                 "6dae42f8-4368-4678-94ff-3960e28e3630",
		"User.Read.All Group.ReadWrite.All":                                             directory.MicrosoftGraph().String(),
		"openid":                                                                        directory.MicrosoftGraph().String(),
		"https://graph.microsoft.com/user.read.all https://graph.microsoft.com/profile": "https://graph.microsoft.com",
	} {
		a := s.Post(tokenPath, with(passwordForm(s), "scope", scope)...)
		if a.Status != http.StatusOK || a.Body["scope"] != scope {
			t.Fatal(scope, a.Text)
		}
		if got := claimsOf(t, a.Str(t, "access_token"))["aud"]; got != aud {
			t.Errorf("%s: aud is %v, want %s", scope, got, aud)
		}
	}
	t.Run("a client may ask for itself", func(t *testing.T) {
		a := s.Post("/contoso.test/oauth2/v2.0/token", with(secretForm(s), "scope", "api://deployer/.default")...)
		if a.Status != http.StatusOK || claimsOf(t, a.Str(t, "access_token"))["aud"] != "api://deployer" {
			t.Fatal(a.Text)
		}
	})
}

// A registered application is named by its appId, with or without spn: before it, at both endpoints; another tenant's is unknown
// however it is spelled.
func TestSpellingsOfAppID(t *testing.T) {
	s := logintest.Start(t)
	id := s.App.AppID.String()
	for _, c := range []struct{ path, name, value, aud string }{
		{"/contoso.test/oauth2/v2.0/token", "scope", id + "/.default", id},
		{"/contoso.test/oauth2/v2.0/token", "scope", "spn:" + id + "/.default", "spn:" + id},
		{"/contoso.test/oauth2/v2.0/token", "scope", "SPN:" + strings.ToUpper(id) + "/.default", "spn:" + id},
		{"/contoso.test/oauth2/token", "resource", id, id},
		{"/contoso.test/oauth2/token", "resource", "spn:" + id, "spn:" + id},
		{"/contoso.test/oauth2/token", "resource", "spn:" + id + "/", "spn:" + id},
	} {
		a := s.Post(c.path, with(with(secretForm(s), "scope", ""), c.name, c.value)...)
		if a.Status != http.StatusOK {
			t.Errorf("%s: %s", c.value, a.Text)
			continue
		}
		if aud := claimsOf(t, a.Str(t, "access_token"))["aud"]; aud != c.aud {
			t.Errorf("%s: aud is %v, want %s", c.value, aud, c.aud)
		}
	}
	for _, bad := range []string{"spn:" + ident.New[ident.ClientID]().String(), "spn:spn:" + id, "spn:deployer", "spn:"} {
		if a := s.Post("/contoso.test/oauth2/token", with(with(secretForm(s), "scope", ""), "resource", bad)...); a.Status != http.StatusBadRequest {
			t.Errorf("%s: %s", bad, a.Text)
		}
	}
}

func TestOptionalParts(t *testing.T) {
	s := logintest.Start(t)
	a := s.Post(tokenPath, with(passwordForm(s), "scope", armScope, "client_info", "",
		"claims", `{"access_token":{"xms_cc":{"values":["CP1"]},"nbf":{"essential":true,"value":"1"}}}`)...)
	for _, name := range []string{"refresh_token", "foci", "id_token", "client_info"} {
		if v, there := a.Body[name]; there {
			t.Errorf("%s is there without being asked for: %v", name, v)
		}
	}
	if diff := cmp.Diff([]any{"CP1"}, claimsOf(t, a.Str(t, "access_token"))["xms_cc"]); diff != "" {
		t.Error(diff)
	}
}

func TestGroupsAndRolesInTokens(t *testing.T) {
	s := logintest.Start(t)
	var ids []ident.ObjectID
	s.Update(func(tx *store.Tx) error {
		if err := tx.GrantDirectoryRole(directory.GlobalAdministrator(), s.Alice.ID); err != nil {
			return err
		}
		for i := range token.GroupLimit + 1 {
			g := directory.Group{
				ID: ident.New[ident.ObjectID](), Tenant: s.Tenant.ID, DisplayName: fmt.Sprintf("g%d", i), MailNickname: fmt.Sprintf("g%d", i),
				SecurityEnabled: true, CreatedAt: s.Clock.Now(),
			}
			ids = append(ids, g.ID)
			if err := tx.PutGroup(g); err != nil {
				return err
			}
			if i > 0 { // the first one holds the second: Alice gets it by nesting
				member := s.Alice.ID
				if err := tx.AddMember(g.ID, member); err != nil {
					return err
				}
			}
		}
		return tx.AddMember(ids[0], ids[1])
	})
	ask := func(scope string) map[string]any {
		t.Helper()
		return claimsOf(t, s.Post(tokenPath, with(passwordForm(s), "scope", scope)...).Str(t, "access_token"))
	}
	over := ask(directory.AKSServer().String() + "/.default")
	if over["groups"] != nil {
		t.Error("more than 200 groups are listed")
	}
	want := map[string]any{"src1": map[string]any{
		"endpoint": logintest.GraphURL + "/v1.0/users/" + s.Alice.ID.String() + "/getMemberObjects",
	}}
	if diff := cmp.Diff(want, over["_claim_sources"]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]any{directory.GlobalAdministrator().String(), token.MemberWID}, over["wids"]); diff != "" {
		t.Error(diff)
	}
	s.Update(func(tx *store.Tx) error { return tx.RemoveMember(ids[200], s.Alice.ID) })
	exact := ask(directory.AKSServer().String() + "/.default")
	if groups, ok := exact["groups"].([]any); !ok || len(groups) != 200 || !slices.Contains(groups, any(ids[0].String())) {
		t.Errorf("groups %v", exact["groups"])
	}
	if graph := ask("https://graph.microsoft.com/.default"); graph["groups"] != nil || graph["_claim_names"] != nil {
		t.Error("tokens for Graph carry no groups")
	}
}

func TestV1(t *testing.T) {
	s := logintest.Start(t)
	resource := "https://management.core.windows.net/"
	a := s.Post("/contoso.test/oauth2/token?api-version=1.0", with(passwordForm(s), "scope", "", "resource", resource)...)
	if a.Status != http.StatusOK {
		t.Fatal(a.Text)
	}
	for _, name := range []string{"expires_in", "ext_expires_in", "expires_on", "not_before"} {
		a.Str(t, name) // strings, in v1
	}
	if a.Body["resource"] != resource || a.Body["scope"] != "user_impersonation" {
		t.Error(a.Text)
	}
	if aud := claimsOf(t, a.Str(t, "access_token"))["aud"]; aud != resource {
		t.Errorf("aud %v", aud)
	}
	id := claimsOf(t, a.Str(t, "id_token"))
	if id["ver"] != "1.0" || id["upn"] != s.Alice.UserPrincipalName || id["iss"] != s.BaseURL+"/"+s.Tenant.ID.String()+"/" {
		t.Errorf("id token %v", id)
	}
	again := s.Post("/contoso.test/oauth2/token", "grant_type", "refresh_token", "client_id", directory.AzureCLI().String(),
		"resource", "spn:"+directory.AKSServer().String(), "refresh_token", a.Str(t, "refresh_token"))
	if aud := claimsOf(t, again.Str(t, "access_token"))["aud"]; aud != "spn:"+directory.AKSServer().String() {
		t.Errorf("aud %v", aud)
	}
}
