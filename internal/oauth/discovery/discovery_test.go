package discovery_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/keyring/keytest"
	"github.com/keyreeve/keyreeve/internal/logintest"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/token"
)

// TestDocuments goes through the addresses of wire-contract 5.1 and 3.2: which tenant their URLs name, and which issuer.
func TestDocuments(t *testing.T) {
	s := logintest.Start(t)
	id := s.Tenant.ID.String()
	v1, v2 := token.IssuerV1(s.BaseURL, s.Tenant.ID), token.IssuerV2(s.BaseURL, s.Tenant.ID)
	for _, row := range []struct{ path, segment, endpoints, issuer string }{
		{"/" + id + "/v2.0", id, "/oauth2/v2.0/", v2},
		{"/" + strings.ToUpper(id) + "/V2.0", id, "/oauth2/v2.0/", v2},
		{"/contoso.test/v2.0", id, "/oauth2/v2.0/", v2},
		{"/organizations/v2.0", "organizations", "/oauth2/v2.0/", s.BaseURL + "/{tenantid}/v2.0"},
		{"/Common/v2.0", "common", "/oauth2/v2.0/", s.BaseURL + "/{tenantid}/v2.0"},
		{"/" + id, id, "/oauth2/", v1},
		{"//" + id, id, "/oauth2/", v1},
		{"/organizations", "organizations", "/oauth2/", s.BaseURL + "/{tenantid}/"},
		{"/adfs/t/" + id, id, "/oauth2/v2.0/", v2},
		{"/adfs/t/organizations", "organizations", "/oauth2/v2.0/", s.BaseURL + "/{tenantid}/v2.0"},
		{"/adfs/anything/common", "common", "/oauth2/v2.0/", s.BaseURL + "/{tenantid}/v2.0"},
		{"/adfs", "organizations", "/oauth2/v2.0/", s.BaseURL + "/{tenantid}/v2.0"},
	} {
		a := s.Get(row.path + "/.well-known/openid-configuration")
		if a.Status != http.StatusOK {
			t.Errorf("%s: %d %s", row.path, a.Status, a.Text)
			continue
		}
		at := s.BaseURL + "/" + row.segment + row.endpoints
		for name, want := range map[string]string{
			"token_endpoint": at + "token", "authorization_endpoint": at + "authorize", "device_authorization_endpoint": at + "devicecode",
			"issuer": row.issuer, "msgraph_host": "graph.keyreeve.test:8445", "cloud_instance_name": "127.0.0.1",
		} {
			if got := a.Str(t, name); got != want {
				t.Errorf("%s: %s is %s, want %s", row.path, name, got, want)
			}
		}
		if endpoint := a.Str(t, "token_endpoint"); strings.Count(endpoint, "token") != 1 {
			t.Errorf("%s: MSAL Go replaces every %q of %s", row.path, "token", endpoint)
		}
		keys := s.Get(strings.TrimPrefix(a.Str(t, "jwks_uri"), s.BaseURL))
		var set jose.JSONWebKeySet
		if err := json.Unmarshal([]byte(keys.Text), &set); err != nil || len(set.Keys) != 1 {
			t.Errorf("%s: keys: %v in %s", row.path, err, keys.Text)
		}
	}
}

// TestIssuersServeTheirOwnDocument: OpenID Connect Discovery 4.3, for both forms at once.
func TestIssuersServeTheirOwnDocument(t *testing.T) {
	s := logintest.Start(t)
	for _, issuer := range []string{token.IssuerV1(s.BaseURL, s.Tenant.ID), token.IssuerV2(s.BaseURL, s.Tenant.ID)} {
		path := strings.TrimSuffix(strings.TrimPrefix(issuer, s.BaseURL), "/") + "/.well-known/openid-configuration"
		if got := s.Get(path).Str(t, "issuer"); got != issuer {
			t.Errorf("%s names the issuer %s", path, got)
		}
	}
}

func TestUnknownTenants(t *testing.T) {
	s := logintest.Start(t)
	for path, number := range map[string]string{
		"/nowhere.test/v2.0/.well-known/openid-configuration":                               "AADSTS90002",
		"/" + ident.New[ident.TenantID]().String() + "/.well-known/openid-configuration":    "AADSTS90002",
		"/adfs/t/nowhere.test/.well-known/openid-configuration":                             "AADSTS90002",
		"/nowhere.test/discovery/v2.0/keys":                                                 "AADSTS90002",
		"/a%20b/v2.0/.well-known/openid-configuration":                                      "AADSTS900023",
		"/" + strings.Repeat("a", 64) + "/v2.0/.well-known/openid-configuration":            "AADSTS900023",
		"/consumers/v2.0/.well-known/openid-configuration":                                  "AADSTS90002",
		"/common/discovery/instance":                                                        "AADSTS900144",
		"/common/discovery/instance?authorization_endpoint=https://login.elsewhere.test/x/": "AADSTS50049",
		"/common/discovery/instance?authorization_endpoint=http://127.0.0.1/common/":        "AADSTS50049",
		"/common/userrealm/alice":                                                           "AADSTS9002313",
	} {
		a := s.Get(path)
		if a.Status != http.StatusBadRequest || !strings.HasPrefix(a.Str(t, "error_description"), number+": ") {
			t.Errorf("%s: %d %s, want %s", path, a.Status, a.Text, number)
		}
	}
}

func TestKeysFollowTheStore(t *testing.T) {
	s := logintest.Start(t)
	next := keytest.Key(t, 1, s.Clock.Now().AddDate(0, 0, 1))
	s.Update(func(tx *store.Tx) error { return tx.PutSigningKey(next.Public, []byte("sealed")) })
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(s.Get("/common/discovery/keys").Text), &set); err != nil {
		t.Fatal(err)
	}
	if len(set.Keys) != 2 || set.Keys[1].KeyID != next.KID {
		t.Errorf("the key that signs must come first, then the next one: %v", set.Keys)
	}
}

func TestInstanceDiscovery(t *testing.T) {
	s := logintest.Start(t)
	host := strings.TrimPrefix(s.BaseURL, "https://")
	for asked, segment := range map[string]string{
		s.BaseURL + "/common/oauth2/v2.0/authorize":              "common",
		"https://127.0.0.1/Organizations/oauth2/v2.0/authorize":  "organizations", // clients that leave out the port
		s.BaseURL + "/contoso.test/oauth2/v2.0/authorize":        s.Tenant.ID.String(),
		s.BaseURL + "/adfs/t/contoso.test/oauth2/v2.0/authorize": s.Tenant.ID.String(),
	} {
		a := s.Get("/common/discovery/instance?api-version=1.1&authorization_endpoint=" + url.QueryEscape(asked))
		if want := s.BaseURL + "/" + segment + "/v2.0/.well-known/openid-configuration"; a.Str(t, "tenant_discovery_endpoint") != want {
			t.Errorf("%s: %s", asked, a.Text)
		}
		if !strings.Contains(a.Text, `"metadata":[{"preferred_network":"`+host+`","preferred_cache":"`+host+`","aliases":["`+host+`","127.0.0.1"]}]`) {
			t.Errorf("metadata in %s", a.Text)
		}
	}
}

func TestUserRealm(t *testing.T) {
	s := logintest.Start(t)
	known, nobody := s.Get("/common/userrealm/alice@contoso.test?api-version=1.0"), s.Get("/common/UserRealm/Nobody@Contoso.test?api-version=1.0")
	if !strings.EqualFold(nobody.Text, known.Text) {
		t.Errorf("the answer tells who exists: %s, %s", known.Text, nobody.Text)
	}
	if known.Str(t, "account_type") != "Managed" || known.Str(t, "domain_name") != "contoso.test" || known.Str(t, "cloud_instance_name") == "" ||
		known.Str(t, "cloud_audience_urn") == "" {
		t.Error(known.Text)
	}
	if a := s.Get("/common/userrealm/x@nowhere.test"); a.Str(t, "account_type") != "Unknown" {
		t.Error(a.Text)
	}
}

func TestCatalog(t *testing.T) {
	c := directory.NewCatalog("https://arm.test:8444/", "https://graph.test:8445")
	for _, row := range []struct {
		name, aud string
		id        ident.ClientID
	}{
		{"https://arm.test:8444/", "https://arm.test:8444/", directory.ResourceManager()},
		{"https://management.azure.com", "https://management.azure.com", directory.ResourceManager()},
		{directory.AKSServer().String(), directory.AKSServer().String(), directory.AKSServer()},
		{"SPN:" + directory.AKSServer().String(), "spn:" + directory.AKSServer().String(), directory.AKSServer()},
		{"spn:" + directory.MicrosoftGraph().String(), "spn:" + directory.MicrosoftGraph().String(), directory.MicrosoftGraph()},
		{"HTTPS://GRAPH.test:8445/", "https://graph.test:8445/", directory.MicrosoftGraph()},
	} {
		a, aud, ok := c.Resource(row.name)
		if !ok || a.AppID != row.id || aud != row.aud {
			t.Errorf("%s: %s %q %v", row.name, a.AppID, aud, ok)
		}
		found := false
		for _, accepted := range c.Audiences(row.id) {
			found = found || accepted == aud
		}
		if !found {
			t.Errorf("%s: tokens for it are refused by it: %q is not in %q", row.name, aud, c.Audiences(row.id))
		}
	}
	for _, no := range []string{"", "/", "https://arm.test:8444//", directory.AzureCLI().String(), "https://arm.test", "spn:", "spn:x", "spn:spn:" + directory.AKSServer().String(), "spn:" + directory.AzureCLI().String()} {
		if _, _, ok := c.Resource(no); ok {
			t.Errorf("%q is a resource", no)
		}
	}
}
