package grant_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/keyring"
	"github.com/keyreeve/keyreeve/internal/keyring/keytest"
	"github.com/keyreeve/keyreeve/internal/logintest"
)

// signedWith is the algorithm that a token's header names.
func signedWith(t *testing.T, raw string) string {
	t.Helper()
	first, _, _ := strings.Cut(raw, ".")
	text, err := base64.RawURLEncoding.DecodeString(first)
	var header struct{ Alg string }
	if err != nil || json.Unmarshal(text, &header) != nil {
		t.Fatalf("no token: %v", err)
	}
	return header.Alg
}

// TestES256ForOurselves: with it, what is for Resource Manager and Graph is signed with ES256 and nothing else is; libraries
// that we did not write get such tokens and check them by what discovery says.
func TestES256ForOurselves(t *testing.T) {
	s := logintest.StartES256(t)
	ctx := oidc.ClientContext(t.Context(), s.Client)
	provider, err := oidc.NewProvider(ctx, s.BaseURL+"/"+s.Tenant.ID.String()+"/")
	if err != nil {
		t.Fatal(err)
	}
	cred, err := confidential.NewCredFromSecret(s.AppSecret)
	if err != nil {
		t.Fatal(err)
	}
	msal, err := confidential.New(s.BaseURL+"/"+s.Tenant.ID.String(), s.App.AppID.String(), cred,
		confidential.WithHTTPClient(s.Client), confidential.WithInstanceDiscovery(false))
	if err != nil {
		t.Fatal(err)
	}
	for resource, want := range map[string]string{
		"https://management.azure.com": "ES256", logintest.GraphURL: "ES256", "https://graph.microsoft.com": "ES256",
		"api://deployer": "RS256", directory.AKSServer().String(): "RS256",
	} {
		res, err := msal.AcquireTokenByCredential(t.Context(), []string{resource + "/.default"})
		if err != nil {
			t.Fatal(resource, err)
		}
		if got := signedWith(t, res.AccessToken); got != want {
			t.Errorf("%s: signed with %s, want %s", resource, got, want)
		}
		tok, err := provider.VerifierContext(ctx, &oidc.Config{SkipClientIDCheck: true, Now: s.Clock.Now}).Verify(ctx, res.AccessToken)
		if err != nil || tok.Subject != s.AppObject.String() {
			t.Errorf("%s: go-oidc: %v", resource, err)
		}
	}
	// A person's id token stays with RS256, whatever it came with.
	a := s.Post("/contoso.test/oauth2/v2.0/token", "grant_type", "password", "client_id", directory.AzureCLI().String(),
		"username", s.Alice.UserPrincipalName, "password", logintest.Password, "scope", "https://management.azure.com/.default openid")
	if a.Status != 200 || signedWith(t, a.Str(t, "id_token")) != "RS256" || signedWith(t, a.Str(t, "access_token")) != "ES256" {
		t.Fatal(a.Text)
	}
	if who, err := s.Checker(directory.ResourceManager()).Check(a.Str(t, "access_token")); err != nil || who.Object != s.Alice.ID {
		t.Error(who, err)
	}
	// The key set has both, RS256 first, and discovery names both.
	var set struct {
		Keys []struct{ Kty, Alg, Crv, KID string }
	}
	if err := json.Unmarshal([]byte(s.Get("/contoso.test/discovery/v2.0/keys").Text), &set); err != nil || len(set.Keys) != 2 ||
		set.Keys[0].Alg != "RS256" || set.Keys[1].Alg != "ES256" || set.Keys[1].Crv != "P-256" {
		t.Errorf("%+v, %v", set, err)
	}
	if doc := s.Get("/contoso.test/v2.0/.well-known/openid-configuration").Text; !strings.Contains(doc, `"id_token_signing_alg_values_supported":["RS256","ES256"]`) {
		t.Error(doc)
	}
}

// TestRS256WithoutTheOther: unless it was asked for, and while it has no key, RS256 signs all.
func TestRS256WithoutTheOther(t *testing.T) {
	get := func(s *logintest.Service) string {
		return signedWith(t, s.Post("/contoso.test/oauth2/v2.0/token",
			"grant_type", "client_credentials", "client_id", s.App.AppID.String(), "client_secret", s.AppSecret,
			"scope", "https://management.azure.com/.default").Str(t, "access_token"))
	}
	plain, s := logintest.Start(t), logintest.StartES256(t)
	if got := get(plain); got != "RS256" {
		t.Error(got)
	}
	if doc := plain.Get("/contoso.test/v2.0/.well-known/openid-configuration").Text; strings.Contains(doc, "ES256") {
		t.Error(doc)
	}
	if got := get(s); got != "ES256" {
		t.Error(got)
	}
	if err := s.Ring.Load(keyring.Of(keyring.RS256, s.World.SigningKeys()), keytest.Sealer(t), nil); err != nil {
		t.Fatal(err)
	}
	if got := get(s); got != "RS256" {
		t.Errorf("without a key: %s", got)
	}
}
