package graph

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/store"
)

// text returns one text property of an answer.
func (a answer) text(t testing.TB, name string) string {
	t.Helper()
	s, _ := a.json(t)[name].(string)
	return s
}

// newApp registers an application as somebody and returns its object id and appId.
func (b *bench) newApp(as, name string) (object, app string) {
	b.t.Helper()
	a := b.want(b.do(as, "POST", "/v1.0/applications", `{"displayName":"`+name+`"}`), 201, "")
	return a.text(b.t, "id"), a.text(b.t, "appId")
}

// TestApplicationWireForm pins the names, their order and the nulls of a new application to those of the real service.
func TestApplicationWireForm(t *testing.T) {
	b := newBench(t)
	a := b.want(b.do("alice", "POST", "/v1.0/applications", `{"displayName":"App","keyCredentials":[]}`), 201, "")
	const want = `{"@odata.context":"CTX","id":"ID","deletedDateTime":null,"appId":"APP","applicationTemplateId":null,"disabledByMicrosoftStatus":null,` +
		`"createdDateTime":"2026-03-01T12:00:00Z","displayName":"App","description":null,"groupMembershipClaims":null,"identifierUris":[],` +
		`"isDeviceOnlyAuthSupported":null,"isFallbackPublicClient":null,"notes":null,"publisherDomain":"contoso.test","serviceManagementReference":null,` +
		`"signInAudience":"AzureADMyOrg","tags":[],"tokenEncryptionKeyId":null,"samlMetadataUrl":null,"defaultRedirectUri":null,"certification":null,` +
		`"optionalClaims":null,"servicePrincipalLockConfiguration":null,"requestSignatureVerification":null,"addIns":[],` +
		`"api":{"acceptMappedClaims":null,"knownClientApplications":[],"requestedAccessTokenVersion":null,"oauth2PermissionScopes":[],"preAuthorizedApplications":[]},` +
		`"appRoles":[],"info":{"logoUrl":null,"marketingUrl":null,"privacyStatementUrl":null,"supportUrl":null,"termsOfServiceUrl":null},"keyCredentials":[],` +
		`"parentalControlSettings":{"countriesBlockedForMinors":[],"legalAgeGroupRule":"Allow"},"passwordCredentials":[],"publicClient":{"redirectUris":[]},` +
		`"requiredResourceAccess":[],"verifiedPublisher":{"displayName":null,"verifiedPublisherId":null,"addedDateTime":null},` +
		`"web":{"homePageUrl":null,"logoutUrl":null,"redirectUris":[],"implicitGrantSettings":{"enableAccessTokenIssuance":false,"enableIdTokenIssuance":false},` +
		`"redirectUriSettings":[]},"spa":{"redirectUris":[]}}`
	got := strings.NewReplacer(a.text(t, "id"), "ID", a.text(t, "appId"), "APP", base+"/v1.0/$metadata#applications/$entity", "CTX").Replace(a.body)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	wantLocation := base + "/v2/" + b.tenant.String() + "/directoryObjects/" + a.text(t, "id") + "/Microsoft.DirectoryServices.Application"
	if got := a.header.Get("Location"); got != wantLocation {
		t.Errorf("location %s, want %s", got, wantLocation)
	}
	// who registers an application owns it
	b.want(b.do("alice", "GET", "/v1.0/applications/"+a.text(t, "id")+"/owners", ""), 200, oid("alice").String())
	b.want(b.do("alice", "GET", "/v1.0/me/ownedObjects/microsoft.graph.application", ""), 200, a.text(t, "id"))
}

func TestApplicationLife(t *testing.T) {
	b := newBench(t)
	object, app := b.newApp("alice", "App")
	path := "/v1.0/applications/" + object
	b.want(b.do("alice", "PATCH", path, `{"identifierUris":["api://`+app+`"],"web":{"redirectUris":["https://a.test/cb"],"homePageUrl":"https://a.test"},
		"spa":{"redirectUris":["http://localhost:3000"]},"publicClient":{"redirectUris":["myapp://auth"]},"isFallbackPublicClient":true,"notes":"n",
		"api":{"requestedAccessTokenVersion":2,"oauth2PermissionScopes":[{"id":"`+oid("scope").String()+`","value":"read","type":"User","isEnabled":true}],
		"preAuthorizedApplications":[{"appId":"`+directory.AzureCLI().String()+`","delegatedPermissionIds":["`+oid("scope").String()+`"]}]},
		"appRoles":[{"id":"`+oid("role").String()+`","value":"reader","displayName":"Reader","description":"r","allowedMemberTypes":["User"],"isEnabled":true}],
		"optionalClaims":{"accessToken":[{"name":"email","essential":false,"additionalProperties":[]}]},"tags":["a"],"groupMembershipClaims":"SecurityGroup"}`), 204, "")
	// a change of one part leaves the others
	b.want(b.do("alice", "PATCH", path, `{"web":{"redirectUris":["https://b.test/cb"]}}`), 204, "")
	a := b.want(b.do("alice", "GET", path, ""), 200, `"web":{"homePageUrl":"https://a.test","logoutUrl":null,"redirectUris":["https://b.test/cb"]`)
	for _, text := range []string{`"identifierUris":["api://` + app, `"isFallbackPublicClient":true`, `"redirectUris":["myapp://auth"]`, `"requestedAccessTokenVersion":2`, `"name":"email","source":null`} {
		b.want(a, 200, text)
	}
	// what was read can be sent back whole, but for what only the service writes
	var whole map[string]json.RawMessage
	if err := json.Unmarshal([]byte(a.body), &whole); err != nil {
		t.Fatal(err)
	}
	for _, mine := range []string{"id", "appId", "createdDateTime", "publisherDomain", "info", "parentalControlSettings", "verifiedPublisher"} {
		delete(whole, mine)
	}
	raw, err := json.Marshal(whole)
	if err != nil {
		t.Fatal(err)
	}
	b.want(b.do("alice", "PATCH", path, string(raw)), 204, "")
	b.want(b.do("alice", "GET", path, ""), 200, a.body)

	for name, filter := range map[string]string{
		"appId": "appId eq '" + app + "'", "URI": "identifierUris/any(s:s eq 'API://" + app + "')", "prefix": "startswith(displayName,'ap')", "audience": "signInAudience eq 'AzureADMyOrg' and appId eq '" + app + "'",
	} {
		if got := b.do("alice", "GET", "/v1.0/applications?$filter="+strings.ReplaceAll(filter, " ", "%20"), "").values(t, "id"); !slices.Equal(got, []string{object}) {
			t.Errorf("%s: %q", name, got)
		}
	}
	b.want(b.do("alice", "GET", "/v1.0/applications(appId='"+app+"')?$select=id", ""), 200, object)
	b.want(b.do("alice", "GET", "/v1.0/applications/"+app, ""), 404, "does not exist") // an appId is no object id
	// a scope in use has to be disabled before it goes
	b.want(b.do("alice", "PATCH", path, `{"api":{"preAuthorizedApplications":[],"oauth2PermissionScopes":[]}}`), 400, "CannotDeleteOrUpdateEnabledEntitlement")
	b.want(b.do("alice", "PATCH", path, `{"api":{"preAuthorizedApplications":[],"oauth2PermissionScopes":[{"id":"`+oid("scope").String()+`","value":"read","type":"User","isEnabled":false}]}}`), 204, "")
	b.want(b.do("alice", "PATCH", path, `{"api":{"oauth2PermissionScopes":[]}}`), 204, "")
	// others' applications are others'
	b.user("mallory", "Mallory")
	b.want(b.do("mallory", "PATCH", path, `{"notes":"mine"}`), 403, "")
	b.want(b.do("mallory", "POST", path+"/addPassword", `{}`), 403, "")
	b.want(b.do("mallory", "DELETE", path, ""), 403, "")
	b.want(b.do("alice", "DELETE", path, ""), 204, "")
	b.want(b.do("alice", "GET", path, ""), 404, "")
}

func TestApplicationRules(t *testing.T) {
	b := newBench(t)
	_, other := b.newApp("alice", "Other")
	object, app := b.newApp("alice", "App")
	b.want(b.do("alice", "PATCH", "/v1.0/applications(appId='"+other+"')", `{"identifierUris":["api://`+other+`/x"]}`), 204, "")
	for name, tc := range map[string]struct{ body, text string }{
		"no name":                    {`{"displayName":""}`, "A value is required for property 'displayName'"},
		"URI of somebody else":       {`{"identifierUris":["https://elsewhere.example/x"]}`, "HostNameNotOnVerifiedDomain"},
		"URI without meaning":        {`{"identifierUris":["api://name"]}`, "HostNameNotOnVerifiedDomain"},
		"URI of Resource Manager":    {`{"identifierUris":["https://management.azure.com"]}`, "already exists"},
		"URI with a wildcard":        {`{"identifierUris":["https://*.contoso.test"]}`, "Invalid value"},
		"URI of another":             {`{"identifierUris":["api://` + other + `/x"]}`, ""},
		"relative URI":               {`{"identifierUris":["contoso.test"]}`, "Invalid value"},
		"redirect, plain http":       {`{"web":{"redirectUris":["http://a.test"]}}`, "reply urls is not valid"},
		"redirect, fragment":         {`{"web":{"redirectUris":["https://a.test/#x"]}}`, "reply urls is not valid"},
		"redirect, wildcard":         {`{"spa":{"redirectUris":["https://*.a.test/"]}}`, "reply urls is not valid"},
		"redirect, script":           {`{"publicClient":{"redirectUris":["javascript:alert(1)"]}}`, "reply urls is not valid"},
		"redirect, own scheme":       {`{"web":{"redirectUris":["myapp://x"]}}`, "reply urls is not valid"},
		"redirect, user":             {`{"web":{"redirectUris":["https://good.test@evil.test/"]}}`, "reply urls is not valid"},
		"redirect, backslash":        {`{"web":{"redirectUris":["https://good.test\\@evil.test/"]}}`, "reply urls is not valid"},
		"secret of the client":       {`{"passwordCredentials":[{"secretText":"x"}]}`, "use addPassword"},
		"unknown property":           {`{"color":"x"}`, "The property 'color' does not exist"},
		"unknown inner":              {`{"web":{"color":"x"}}`, "The property 'color' does not exist"},
		"type":                       {`{"web":"x"}`, "cannot be converted"},
		"audience":                   {`{"signInAudience":"Everybody"}`, "signInAudience"},
		"version":                    {`{"api":{"requestedAccessTokenVersion":3}}`, "requestedAccessTokenVersion"},
		"role for nobody":            {`{"appRoles":[{"id":"` + other + `","displayName":"x","allowedMemberTypes":[]}]}`, "allowedMemberTypes"},
		"scope without id":           {`{"api":{"oauth2PermissionScopes":[{"value":"x"}]}}`, "'id'"},
		"scopes of one name":         {`{"api":{"oauth2PermissionScopes":[{"id":"` + other + `","value":"x"},{"id":"` + app + `","value":"X"}]}}`, "duplicate"},
		"pre-authorized for nothing": {`{"api":{"preAuthorizedApplications":[{"appId":"` + other + `","delegatedPermissionIds":["` + other + `"]}]}}`, "cannot be found"},
		"permission of no type":      {`{"requiredResourceAccess":[{"resourceAppId":"` + other + `","resourceAccess":[{"id":"` + other + `","type":"x"}]}]}`, "requiredResourceAccess"},
		"certificate":                {`{"keyCredentials":[{"key":"aGVsbG8="}]}`, "Key value is invalid certificate"},
		"certificate not there":      {`{"keyCredentials":[{"keyId":"` + other + `"}]}`, "A value is required for property 'key'"},
		"key to sign with":           {`{"keyCredentials":[{"usage":"Sign","key":"aGVsbG8="}]}`, "not supported"},
		"read-only":                  {`{"appId":"` + other + `"}`, "read-only"},
	} {
		t.Run(name, func(t *testing.T) {
			b := b.at(t)
			head := b.db.Head()
			b.want(b.do("alice", "PATCH", "/v1.0/applications/"+object, tc.body), 400, tc.text)
			if b.db.Head() != head {
				t.Error("something was written")
			}
		})
	}
}

// certificate makes a certificate and its key.
func certificate(t testing.TB, from, to time.Time) ([]byte, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CLI-Login"}, NotBefore: from, NotAfter: to}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der, key
}

// TestCredentials takes secrets and certificates through their lives, of an application and of its service principal.
func TestCredentials(t *testing.T) {
	b := newBench(t)
	object, app := b.newApp("alice", "App")
	sp := b.want(b.do("alice", "POST", "/v1.0/servicePrincipals", `{"appId":"`+app+`","accountEnabled":true}`), 201, `"servicePrincipalNames":["`+app+`"]`).text(t, "id")
	for _, path := range []string{"/v1.0/applications/" + object, "/v1.0/servicePrincipals/" + sp} {
		a := b.want(b.do("alice", "POST", path+"/addPassword", `{"passwordCredential":{"displayName":"rbac","startDateTime":"2026-03-01T12:00:00Z","endDateTime":"2027-03-01T12:00:00Z"}}`), 200,
			`{"@odata.context":"`+base+`/v1.0/$metadata#microsoft.graph.passwordCredential","customKeyIdentifier":null,"displayName":"rbac","endDateTime":"2027-03-01T12:00:00Z","hint":"`)
		secret, id := a.text(t, "secretText"), a.text(t, "keyId")
		if len(secret) != 40 || a.text(t, "hint") != secret[:3] {
			t.Errorf("%s", a.body)
		}
		var records []proof.ClientSecret
		if err := b.db.View(t.Context(), func(tx *store.Tx) (err error) {
			records, err = tx.ClientSecrets(ident.MustParse[ident.ClientID](app))
			return err
		}); err != nil || proof.CheckSecret(records, secret, b.clock.Now()) != proof.SecretGood {
			t.Fatalf("%v in %v", err, records)
		}
		// It is shown once.
		got := b.want(b.do("alice", "GET", path, ""), 200, `"keyId":"`+id+`","secretText":null`)
		if strings.Contains(got.body, secret) || strings.Contains(b.log.String(), secret) {
			t.Error("the secret is shown again")
		}
		b.want(b.do("alice", "POST", path+"/removePassword", `{"keyId":"{nobody}"}`), 400, "No password credential found")
		b.want(b.do("alice", "POST", path+"/removePassword", `{"keyId":"`+id+`"}`), 204, "")
		b.want(b.do("alice", "POST", path+"/addPassword", `{"passwordCredential":{"endDateTime":"2020-01-01T00:00:00Z"}}`), 400, "lies in the past")

		der, key := certificate(t, b.clock.Now().Add(-time.Hour), b.clock.Now().Add(time.Hour))
		wrapped := strings.Join(chunks(base64.StdEncoding.EncodeToString(der), 64), "\\n") // as az sends it
		b.want(b.do("alice", "PATCH", path, `{"keyCredentials":[{"type":"AsymmetricX509Cert","usage":"Verify","key":"`+wrapped+`","keyId":"{one}","displayName":null}]}`), 204, "")
		b.want(b.do("alice", "GET", path, ""), 200, `"key":null,"keyId":"{one}"`)
		second, _ := certificate(t, b.clock.Now().Add(-time.Hour), b.clock.Now().Add(time.Hour))
		b.want(b.do("alice", "PATCH", path, `{"keyCredentials":[{"keyId":"{one}","key":null},{"keyId":"{two}","key":"`+base64.StdEncoding.EncodeToString(second)+`"}]}`), 204, "")
		// It rolls its keys with a proof that it holds one.
		b.callers["self"] = b.callers["app"]
		self := b.callers["self"]
		self.Object, self.Client = ident.MustParse[ident.ObjectID](sp), ident.MustParse[ident.ClientID](app)
		b.callers["self"] = self
		third, _ := certificate(t, b.clock.Now().Add(-time.Hour), b.clock.Now().Add(time.Hour))
		owner := path[strings.LastIndexByte(path, '/')+1:]
		roll := func(claims string) string {
			return `{"keyCredential":{"type":"AsymmetricX509Cert","usage":"Verify","key":"` + base64.StdEncoding.EncodeToString(third) + `"},"passwordCredential":null,"proof":"` + sign(t, key, claims) + `"}`
		}
		now := b.clock.Now().Unix()
		good := fmt.Sprintf(`{"aud":"%s","iss":"%s","nbf":%d,"exp":%d}`, proof.PossessionAudience, owner, now, now+600)
		for _, bad := range []string{
			strings.Replace(good, "00000002", "00000003", 1), strings.Replace(good, owner, oid("nobody").String(), 1),
			fmt.Sprintf(`{"aud":"%s","iss":"%s","nbf":%d,"exp":%d}`, proof.PossessionAudience, owner, now, now+6000), `{}`,
		} {
			b.want(b.do("self", "POST", path+"/addKey", roll(bad)), 403, "proof of possession")
		}
		b.want(b.do("self", "POST", path+"/addKey", strings.Replace(roll(good), `"proof":"`, `"proof":"x`, 1)), 403, "")
		added := b.want(b.do("self", "POST", path+"/addKey", roll(good)), 200, "#microsoft.graph.keyCredential").text(t, "keyId")
		b.want(b.do("self", "POST", path+"/removeKey", `{"keyId":"`+added+`","proof":"`+sign(t, key, good)+`"}`), 204, "")
		b.want(b.do("app", "POST", path+"/addKey", roll(good)), 403, "Authorization_RequestDenied")
		b.want(b.do("alice", "PATCH", path, `{"keyCredentials":[]}`), 204, "")
		b.want(b.do("alice", "GET", path+"?$select=keyCredentials", ""), 200, `"keyCredentials":[]`)
	}
	b.want(b.do("alice", "POST", "/v1.0/servicePrincipals", `{"appId":"`+app+`"}`), 409, "is already in use")
	b.want(b.do("alice", "POST", "/v1.0/servicePrincipals", `{"appId":"{nobody}"}`), 403, "")
	b.want(b.do("admin", "POST", "/v1.0/servicePrincipals", `{"appId":"{nobody}"}`), 400, " does not reference ")
}

func sign(t testing.TB, key *ecdsa.PrivateKey, claims string) string {
	t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := s.Sign([]byte(claims))
	if err != nil {
		t.Fatal(err)
	}
	out, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func chunks(s string, size int) (out []string) {
	for len(s) > size {
		out, s = append(out, s[:size]), s[size:]
	}
	return append(out, s)
}

func TestFederatedCredentials(t *testing.T) {
	b := newBench(t)
	object, _ := b.newApp("alice", "App")
	path := "/beta/applications/" + object + "/federatedIdentityCredentials"
	const body = `{"name":"Testing","issuer":"https://token.actions.githubusercontent.com/","subject":"repo:octo-org/octo-repo:environment:Production","description":"Testing","audiences":["api://AzureADTokenExchange"]}`
	a := b.want(b.do("alice", "POST", path, body), 201, `{"@odata.context":"`+base+`/beta/$metadata#applications('`+object+`')/federatedIdentityCredentials/$entity","id":"`)
	id := a.text(t, "id")
	if want := strings.Replace(body, `{`, `"id":"`+id+`",`, 1); !strings.HasSuffix(a.body, want) {
		t.Errorf("%s\nwant at the end %s", a.body, want)
	}
	b.want(b.do("alice", "POST", path, body), 409, "FederatedIdentityCredential with name Testing already exists.")
	b.want(b.do("alice", "POST", path, strings.Replace(body, "Testing", "Other", 1)), 409, "same issuer and subject already exists")
	for name, tc := range map[string][2]string{
		"name": {"Testing", "a b"}, "issuer": {"https://token", "http://token"}, "subject": {"repo:octo-org/octo-repo:environment:Production", ""},
		"audiences": {`["api://AzureADTokenExchange"]`, `["a","b"]`}, "unknown": {`"description"`, `"color"`},
	} {
		b.want(b.do("alice", "POST", path, strings.Replace(strings.Replace(body, tc[0], tc[1], 1), "environment", "env-"+name, 1)), 400, "")
	}
	for _, key := range []string{id, "testing", "name=Testing"} {
		b.want(b.do("alice", "GET", path+"/"+key, ""), 200, id)
	}
	b.want(b.do("alice", "PATCH", path+"/Testing", `{"name":"Testing","subject":"other"}`), 204, "")
	b.want(b.do("alice", "PATCH", path+"/Testing", `{"name":"Renamed"}`), 400, "cannot be changed")
	b.want(b.do("alice", "GET", path+"?$filter=subject%20eq%20'other'", ""), 200, id)
	b.want(b.do("alice", "GET", path+"?$filter=subject%20eq%20'none'", ""), 200, `"value":[]`)
	b.user("mallory", "Mallory")
	b.want(b.do("mallory", "POST", path, body), 403, "")
	b.want(b.do("mallory", "DELETE", path+"/"+id, ""), 403, "")
	one, err := ident.Parse[ident.ObjectID](id)
	if err != nil {
		t.Fatal(err)
	}
	b.write(func(tx *store.Tx) error {
		c, err := tx.FederatedCredential(ident.MustParse[ident.ObjectID](object), one)
		if err != nil {
			return err
		}
		for i := range proof.MaxFederated - 1 {
			c.ID, c.Name, c.Subject = ident.New[ident.ObjectID](), fmt.Sprintf("more-%d", i), fmt.Sprintf("more %d", i)
			if err := tx.PutFederatedCredential(c); err != nil {
				return err
			}
		}
		return nil
	})
	last := strings.NewReplacer("Testing", "last", "Production", "last").Replace(body)
	b.want(b.do("alice", "POST", path, last), 400, "the limit is 10000")
	b.want(b.do("alice", "PATCH", path+"/"+id, `{"subject":"another"}`), 204, "") // one that is there may change
	b.want(b.do("alice", "DELETE", path+"/more-7", ""), 204, "")
	b.want(b.do("alice", "POST", path, last), 201, "")
	b.want(b.do("alice", "DELETE", path+"/"+id, ""), 204, "")
	b.want(b.do("alice", "DELETE", path+"/"+id, ""), 404, "")
}
