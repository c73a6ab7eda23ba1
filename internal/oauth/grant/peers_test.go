package grant_test

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/go-jose/go-jose/v4"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/keyring/keytest"
	"github.com/keyreeve/keyreeve/internal/logintest"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/store"
)

// These tests use the Azure SDK for Go, as the programs do that deploy with it.

func options(s *logintest.Service) azcore.ClientOptions {
	return azcore.ClientOptions{
		Cloud: cloud.Configuration{ActiveDirectoryAuthorityHost: s.BaseURL + "/"}, Transport: s.Client,
		Retry: policy.RetryOptions{MaxRetries: -1},
	}
}

func armToken(t *testing.T, s *logintest.Service, c azcore.TokenCredential, err error, who ident.ObjectID) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	got, err := c.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{"https://management.azure.com/.default"}})
	if err != nil {
		t.Fatal(err)
	}
	caller, err := s.Checker(directory.ResourceManager()).Check(got.Token)
	if err != nil || caller.Object != who {
		t.Fatalf("%+v, %v", caller, err)
	}
}

// certificate makes a key pair, and registers its certificate on the application.
func certificate(t *testing.T, s *logintest.Service) (*x509.Certificate, *rsa.PrivateKey) {
	t.Helper()
	key := keytest.Private(t, 1)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "deployer"},
		NotBefore: s.Clock.Now().Add(-time.Hour), NotAfter: s.Clock.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	k, err := proof.NewClientKey(der, time.Time{}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	k.ID, k.AppID, k.Owner = ident.New[ident.CredentialID](), s.App.AppID, s.App.ID
	s.Update(func(tx *store.Tx) error { return tx.PutClientKey(k) })
	return cert, key
}

func TestAzidentityClientSecret(t *testing.T) {
	s := logintest.Start(t)
	c, err := azidentity.NewClientSecretCredential(s.Tenant.ID.String(), s.App.AppID.String(), s.AppSecret,
		&azidentity.ClientSecretCredentialOptions{ClientOptions: options(s), DisableInstanceDiscovery: true})
	armToken(t, s, c, err, s.AppObject)
}

func TestAzidentityClientCertificate(t *testing.T) {
	s := logintest.Start(t)
	s.Clock.Run()
	cert, key := certificate(t, s)
	for _, chain := range []bool{false, true} {
		c, err := azidentity.NewClientCertificateCredential(s.Tenant.ID.String(), s.App.AppID.String(), []*x509.Certificate{cert}, key,
			&azidentity.ClientCertificateCredentialOptions{ClientOptions: options(s), DisableInstanceDiscovery: true, SendCertificateChain: chain})
		armToken(t, s, c, err, s.AppObject)
	}
}

// outsider is an issuer of tokens elsewhere.
type outsider struct {
	*httptest.Server
	key    *rsa.PrivateKey
	kid    string
	asked  int
	issuer string // in the metadata
}

func newOutsider(t testing.TB) *outsider {
	t.Helper()
	o := &outsider{key: keytest.Private(t, 2), kid: "one"}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		o.asked++
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": o.issuer, "jwks_uri": o.URL + "/keys"})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: o.key.Public(), KeyID: o.kid, Use: "sig", Algorithm: "RS256"}}})
	})
	o.Server = httptest.NewServer(mux)
	o.issuer = o.URL
	t.Cleanup(o.Close)
	return o
}

// sign returns a token of the issuer.
func (o *outsider) sign(t testing.TB, claims map[string]any) string {
	return sign(t, o.key, o.kid, nil, claims)
}

func sign(t testing.TB, key crypto.Signer, kid string, header map[jose.HeaderKey]any, claims map[string]any) string {
	t.Helper()
	opts := (&jose.SignerOptions{ExtraHeaders: header}).WithType("JWT")
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, opts)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := s.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

const workload = "system:serviceaccount:shop:checkout"

// trust gives a client a federated credential.
func trust(s *logintest.Service, app ident.ClientID, owner ident.ObjectID, issuer string) {
	s.Update(func(tx *store.Tx) error {
		return tx.PutFederatedCredential(proof.FederatedCredential{
			ID: ident.New[ident.ObjectID](), Owner: owner, Tenant: s.Tenant.ID, AppID: app, Name: "cluster", Issuer: issuer, Subject: workload,
			Audiences: []string{"api://AzureADTokenExchange"},
		})
	})
}

// managedIdentity makes a managed identity.
func managedIdentity(s *logintest.Service) directory.ServicePrincipal {
	p := directory.ServicePrincipal{
		ID: ident.New[ident.ObjectID](), Tenant: s.Tenant.ID, AppID: ident.New[ident.ClientID](), DisplayName: "checkout",
		Type: directory.TypeManagedIdentity, AccountEnabled: true, CreatedAt: s.Clock.Now(),
	}
	s.Update(func(tx *store.Tx) error { return tx.PutServicePrincipal(p) })
	return p
}

func TestAzidentityClientAssertion(t *testing.T) {
	s := logintest.Start(t)
	o := newOutsider(t)
	identity := managedIdentity(s)
	trust(s, s.App.AppID, s.App.ID, o.URL)
	trust(s, identity.AppID, identity.ID, o.URL)
	assertion := func(context.Context) (string, error) {
		return o.sign(t, map[string]any{
			"iss": o.URL, "sub": workload, "aud": []string{"api://AzureADTokenExchange"}, "exp": s.Clock.Now().Add(time.Hour).Unix(),
		}) + "\n", nil // files end so
	}
	for client, object := range map[ident.ClientID]ident.ObjectID{s.App.AppID: s.AppObject, identity.AppID: identity.ID} {
		c, err := azidentity.NewClientAssertionCredential(s.Tenant.ID.String(), client.String(), assertion,
			&azidentity.ClientAssertionCredentialOptions{ClientOptions: options(s), DisableInstanceDiscovery: true})
		armToken(t, s, c, err, object)
	}
	if o.asked != 1 {
		t.Errorf("the issuer was asked %d times", o.asked)
	}
}

// TestAzidentityWorkloadIdentity is a pod's sign-in: its service account token comes by a file, and is exchanged.
func TestAzidentityWorkloadIdentity(t *testing.T) {
	s := logintest.Start(t)
	s.Clock.Run()
	o := newOutsider(t)
	identity := managedIdentity(s)
	trust(s, identity.AppID, identity.ID, o.URL)
	file := filepath.Join(t.TempDir(), "azure-identity-token")
	write := func(subject string) {
		text := o.sign(t, map[string]any{
			"iss": o.URL, "sub": subject, "aud": []string{"api://AzureADTokenExchange"}, "iat": s.Clock.Now().Unix(), "exp": s.Clock.Now().Add(time.Hour).Unix(),
		})
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// What the webhook puts into a pod.
	t.Setenv("AZURE_CLIENT_ID", identity.AppID.String())
	t.Setenv("AZURE_TENANT_ID", s.Tenant.ID.String())
	t.Setenv("AZURE_FEDERATED_TOKEN_FILE", file)
	credential := func() (azcore.TokenCredential, error) {
		return azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
			ClientOptions: options(s), DisableInstanceDiscovery: true,
		})
	}
	write("system:serviceaccount:shop:other")
	c, err := credential()
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://management.azure.com/.default"}})
	if refused, ok := errors.AsType[*azidentity.AuthenticationFailedError](err); !ok || !strings.Contains(refused.Error(), "AADSTS700213") {
		t.Fatalf("another service account: %v", err)
	}
	write(workload)
	c, err = credential()
	armToken(t, s, c, err, identity.ID)
}

func TestAzidentityUsernamePassword(t *testing.T) {
	s := logintest.Start(t)
	c, err := azidentity.NewUsernamePasswordCredential(s.Tenant.ID.String(), directory.AzureCLI().String(), s.Alice.UserPrincipalName, logintest.Password,
		&azidentity.UsernamePasswordCredentialOptions{ClientOptions: options(s), DisableInstanceDiscovery: true})
	armToken(t, s, c, err, s.Alice.ID)
}

func TestAzidentityDeviceCode(t *testing.T) {
	s := logintest.Start(t)
	s.Clock.Run()
	c, err := azidentity.NewDeviceCodeCredential(&azidentity.DeviceCodeCredentialOptions{
		ClientOptions: options(s), DisableInstanceDiscovery: true, TenantID: s.Tenant.ID.String(), ClientID: directory.AzureCLI().String(),
		UserPrompt: func(_ context.Context, m azidentity.DeviceCodeMessage) error {
			approve(t, s, m.UserCode)
			return nil
		},
	})
	armToken(t, s, c, err, s.Alice.ID)
}

// TestAzidentityOnBehalfOf: a service that was called by Alice calls Resource Manager as her.
func TestAzidentityOnBehalfOf(t *testing.T) {
	s := logintest.Start(t)
	s.Clock.Run()
	cert, key := certificate(t, s)
	incoming := incomingToken(t, s)
	arm, _ := s.Catalog.App(directory.ResourceManager())
	s.Update(func(tx *store.Tx) error {
		return tx.PutPermissionGrant(directory.PermissionGrant{
			ID: ident.New[ident.GrantID](), Tenant: s.Tenant.ID, Client: s.AppObject, Resource: directory.FirstPartyPrincipal(s.Tenant, arm).ID,
			Consent: directory.AllPrincipals, Scope: "user_impersonation",
		})
	})
	o := &azidentity.OnBehalfOfCredentialOptions{ClientOptions: options(s), DisableInstanceDiscovery: true}
	c, err := azidentity.NewOnBehalfOfCredentialWithSecret(s.Tenant.ID.String(), s.App.AppID.String(), incoming, s.AppSecret, o)
	armToken(t, s, c, err, s.Alice.ID)
	c, err = azidentity.NewOnBehalfOfCredentialWithCertificate(s.Tenant.ID.String(), s.App.AppID.String(), incoming, []*x509.Certificate{cert}, key, o)
	armToken(t, s, c, err, s.Alice.ID)
}

// incomingToken is what the Azure CLI calls the application with, as Alice.
func incomingToken(t *testing.T, s *logintest.Service) string {
	t.Helper()
	app := s.App
	id := ident.New[ident.PermissionID]()
	app.Scopes = []directory.PermissionScope{{ID: id, Value: "act", Type: directory.ScopeUser, Enabled: true, AdminConsentDisplayName: "Act"}}
	app.PreAuthorized = []directory.PreAuthorizedApplication{{AppID: directory.AzureCLI(), Scopes: []ident.PermissionID{id}}}
	s.Update(func(tx *store.Tx) error { return tx.PutApplication(app) })
	return s.Post("/contoso.test/oauth2/v2.0/token", "grant_type", "password", "client_id", directory.AzureCLI().String(),
		"username", s.Alice.UserPrincipalName, "password", logintest.Password, "scope", "api://deployer/.default").Str(t, "access_token")
}
