package grant_test

import (
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/keyring/keytest"
	"github.com/keyreeve/keyreeve/internal/logintest"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/store"
)

const jwtBearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

func assert(s *logintest.Service, client, tenant, assertion string) logintest.Answer {
	return s.Post("/"+tenant+"/oauth2/v2.0/token", "grant_type", "client_credentials", "client_id", client, "client_assertion_type", jwtBearer,
		"client_assertion", assertion, "scope", "https://management.azure.com/.default")
}

// TestCertificateAssertions: every spelling that clients send, and every way in which one can be wrong.
func TestCertificateAssertions(t *testing.T) {
	s := logintest.Start(t)
	cert, key := certificate(t, s)
	one, two := sha1.Sum(cert.Raw), sha256.Sum256(cert.Raw)
	id, now := s.App.AppID.String(), s.Clock.Now()
	endpoint := s.BaseURL + "/" + s.Tenant.ID.String() + "/oauth2/v2.0/token"
	good := func() map[string]any {
		return map[string]any{"iss": id, "sub": id, "aud": endpoint, "jti": t.Name(), "exp": now.Add(10 * time.Minute).Unix(), "nbf": now.Unix()}
	}
	x5t := func(v string) map[jose.HeaderKey]any { return map[jose.HeaderKey]any{"x5t": v} }
	url1 := base64.RawURLEncoding.EncodeToString(one[:])
	for name, header := range map[string]map[jose.HeaderKey]any{
		"x5t": x5t(url1), "x5t, padded": x5t(base64.URLEncoding.EncodeToString(one[:])), "x5t, standard": x5t(base64.StdEncoding.EncodeToString(one[:])),
		"x5t#S256": {"x5t#S256": base64.StdEncoding.EncodeToString(two[:])}, "both": {"x5t": url1, "x5t#S256": base64.RawURLEncoding.EncodeToString(two[:])},
	} {
		if a := assert(s, id, "contoso.test", sign(t, key, "", header, good())); a.Status != 200 || logintest.Claims(t, a.Str(t, "access_token"))["appidacr"] != "2" {
			t.Errorf("%s: %s", name, a.Text)
		}
	}
	if a := assert(s, id, "contoso.test", sign(t, key, hex.EncodeToString(one[:]), nil, good())); a.Status != 200 {
		t.Errorf("kid: %s", a.Text)
	}
	for _, aud := range []any{
		s.BaseURL + "/contoso.test/oauth2/token", s.BaseURL + "/" + s.Tenant.ID.String() + "/v2.0", s.BaseURL + "/" + s.Tenant.ID.String() + "/",
		s.BaseURL + "/adfs/t/contoso.test/oauth2/v2.0/token", s.BaseURL + "/contoso.test/oauth2/token?api-version=1.0",
		[]string{"https://elsewhere.test", endpoint},
	} {
		c := good()
		c["aud"] = aud
		if a := assert(s, id, "contoso.test", sign(t, key, "", x5t(url1), c)); a.Status != 200 {
			t.Errorf("%v: %s", aud, a.Text)
		}
	}
	fractions := good()
	fractions["exp"], fractions["iat"] = float64(now.Add(time.Minute).Unix())+0.25, float64(now.Unix())+0.5
	if a := assert(s, id, "contoso.test", "\n"+sign(t, key, "", x5t(url1), fractions)+"\r\n"); a.Status != 200 {
		t.Errorf("fractions: %s", a.Text)
	}

	other := keytest.Private(t, 3)
	for _, row := range []struct {
		name   string
		number int
		header map[jose.HeaderKey]any
		key    *rsa.PrivateKey
		change map[string]any
	}{
		{"of another application", 700021, x5t(url1), key, map[string]any{"sub": directory.AzureCLI().String()}},
		{"for another tenant", 700023, x5t(url1), key, map[string]any{"aud": s.BaseURL + "/fabrikam.test/oauth2/v2.0/token"}},
		{"for another host", 700023, x5t(url1), key, map[string]any{"aud": "https://evil.test/contoso.test/oauth2/v2.0/token"}},
		{"for another path", 700023, x5t(url1), key, map[string]any{"aud": endpoint + "/x"}},
		{"with another query", 700023, x5t(url1), key, map[string]any{"aud": endpoint + "?api-version=2.0"}},
		{"over", 700024, x5t(url1), key, map[string]any{"exp": now.Add(-5 * time.Minute).Unix()}},
		{"not yet", 700024, x5t(url1), key, map[string]any{"nbf": now.Add(6 * time.Minute).Unix()}},
		{"from the future", 700024, x5t(url1), key, map[string]any{"iat": now.Add(6 * time.Minute).Unix()}},
		{"for a year", 700024, x5t(url1), key, map[string]any{"exp": now.AddDate(1, 0, 0).Unix()}},
		{"for ever", 50027, x5t(url1), key, map[string]any{"exp": 1e18}},
		{"without an end", 50027, x5t(url1), key, map[string]any{"exp": nil}},
		{"without an audience", 50027, x5t(url1), key, map[string]any{"aud": nil}},
		{"of no registered key", 700027, x5t(base64.RawURLEncoding.EncodeToString(make([]byte, 20))), key, nil},
		{"of no key", 700027, nil, key, nil},
		{"no thumbprint", 50027, x5t("AAAA"), key, nil},
		{"signed by another key", 700027, x5t(url1), other, nil},
		{"two keys", 700027, map[jose.HeaderKey]any{"x5t": base64.RawURLEncoding.EncodeToString(make([]byte, 20)), "x5t#S256": base64.RawURLEncoding.EncodeToString(two[:])}, key, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := good()
			for k, v := range row.change {
				c[k] = v
				if v == nil {
					delete(c, k)
				}
			}
			wantError(t, s, assert(s, id, "contoso.test", sign(t, row.key, "", row.header, c)), 401, "invalid_client", row.number)
		})
	}
	wantError(t, s, assert(s, id, "contoso.test", "a.b.c"), 401, "invalid_client", 50027)
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"`+id+`","sub":"`+id+`"}`)) + "."
	wantError(t, s, assert(s, id, "contoso.test", none), 401, "invalid_client", 50027)

	t.Run("the certificate is over", func(t *testing.T) {
		s.Clock.Move(25 * time.Hour)
		c := good()
		c["exp"], c["nbf"] = s.Clock.Now().Add(time.Minute).Unix(), s.Clock.Now().Unix()
		wantError(t, s, assert(s, id, "contoso.test", sign(t, key, "", x5t(url1), c)), 401, "invalid_client", 700027)
	})
}

// TestKeysOfAnotherObject: a certificate of a service principal counts in its own tenant only.
func TestKeysOfAnotherObject(t *testing.T) {
	s := logintest.Start(t)
	cert, key := certificate(t, s)
	one := sha1.Sum(cert.Raw)
	s.Update(func(tx *store.Tx) error {
		keys, err := tx.ClientKeys(s.App.AppID)
		if err != nil {
			return err
		}
		k := keys[0]
		if err := tx.DeleteClientKey(k.Owner, k.ID); err != nil {
			return err
		}
		k.Owner = s.Carol.ID
		return tx.PutClientKey(k)
	})
	id := s.App.AppID.String()
	c := map[string]any{"iss": id, "sub": id, "aud": s.BaseURL + "/contoso.test/v2.0", "exp": s.Clock.Now().Add(time.Minute).Unix()}
	header := map[jose.HeaderKey]any{"x5t": base64.RawURLEncoding.EncodeToString(one[:])}
	wantError(t, s, assert(s, id, "contoso.test", sign(t, key, "", header, c)), 401, "invalid_client", 700027)
}

// TestFederatedAssertions: issuer, subject and audience are compared exactly; keys are asked for only where they may count.
func TestFederatedAssertions(t *testing.T) {
	s := logintest.Start(t)
	o := newOutsider(t)
	id, now := s.App.AppID.String(), s.Clock.Now()
	good := func() map[string]any {
		return map[string]any{"iss": o.URL, "sub": workload, "aud": "api://AzureADTokenExchange", "exp": now.Add(time.Hour).Unix()}
	}
	wantError(t, s, assert(s, id, "contoso.test", o.sign(t, good())), 401, "invalid_client", 70021)
	trust(s, s.App.AppID, s.App.ID, o.URL)
	for _, row := range []struct {
		name   string
		number int
		claim  string
		value  any
	}{
		{"another issuer", 700211, "iss", o.URL + "/"},
		{"an issuer in capitals", 700211, "iss", "HTTP" + o.URL[4:]},
		{"another subject", 700213, "sub", workload + "2"},
		{"a subject in capitals", 700213, "sub", "SYSTEM:serviceaccount:shop:checkout"},
		{"a pattern", 700213, "sub", "system:serviceaccount:shop:*"},
		{"another audience", 700212, "aud", []string{"https://kubernetes.default.svc"}},
		{"a subject under a name in other letters", 700213, "\u017fub", workload},
		{"over", 700024, "exp", now.Add(-time.Hour).Unix()},
		{"not yet", 700024, "nbf", now.Add(time.Hour).Unix()},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := good()
			c[row.claim] = row.value
			if row.claim == "\u017fub" { // an issuer that lets its people name claims of their own must not lend them a subject
				c["sub"] = workload + "2"
			}
			wantError(t, s, assert(s, id, "contoso.test", o.sign(t, c)), 401, "invalid_client", row.number)
		})
	}
	if o.asked != 0 {
		t.Errorf("the issuer was asked %d times for what could not count", o.asked)
	}
	forged := sign(t, keytest.Private(t, 3), "one", nil, good())
	wantError(t, s, assert(s, id, "contoso.test", forged), 401, "invalid_client", 50013)
	if a := assert(s, id, "contoso.test", o.sign(t, good())); a.Status != 200 || o.asked != 1 {
		t.Fatal(a.Text, o.asked)
	}

	t.Run("keys change", func(t *testing.T) {
		o.key, o.kid = keytest.Private(t, 3), "two"
		wantError(t, s, assert(s, id, "contoso.test", o.sign(t, good())), 401, "invalid_client", 50013) // asked a moment ago
		s.Clock.Move(30 * time.Second)
		if a := assert(s, id, "contoso.test", o.sign(t, good())); a.Status != 200 {
			t.Fatal(a.Text)
		}
		for range 20 {
			wantError(t, s, assert(s, id, "contoso.test", sign(t, o.key, "made up", nil, good())), 401, "invalid_client", 50013)
		}
		if o.asked != 2 {
			t.Errorf("made-up key ids made us ask %d times", o.asked)
		}
	})
	t.Run("the metadata names another issuer", func(t *testing.T) {
		p := newOutsider(t)
		p.issuer = "https://evil.test"
		s.Update(func(tx *store.Tx) error {
			return tx.PutFederatedCredential(proof.FederatedCredential{
				ID: s.Bob.ID, Owner: s.App.ID, Tenant: s.Tenant.ID, AppID: s.App.AppID, Name: "other", Issuer: p.URL, Subject: workload,
				Audiences: []string{"api://AzureADTokenExchange"},
			})
		})
		c := good()
		c["iss"] = p.URL
		wantError(t, s, assert(s, id, "contoso.test", p.sign(t, c)), 401, "invalid_client", 700225)
	})
}

// TestOnBehalfOfRefusals: only the service that a token was issued for may go on with it, and only as a person.
func TestOnBehalfOfRefusals(t *testing.T) {
	s := logintest.Start(t)
	incoming := incomingToken(t, s)
	ask := func(assertion string, pairs ...string) logintest.Answer {
		return s.Post("/contoso.test/oauth2/v2.0/token", append([]string{
			"grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer", "client_id", s.App.AppID.String(), "client_secret", s.AppSecret,
			"assertion", assertion, "scope", "https://management.azure.com/.default", "requested_token_use", "on_behalf_of",
		}, pairs...)...)
	}
	arm := s.Post("/contoso.test/oauth2/v2.0/token", "grant_type", "password", "client_id", directory.AzureCLI().String(),
		"username", s.Alice.UserPrincipalName, "password", logintest.Password, "scope", "https://management.azure.com/.default").Str(t, "access_token")
	own := s.Post("/contoso.test/oauth2/v2.0/token", "grant_type", "client_credentials", "client_id", s.App.AppID.String(), "client_secret", s.AppSecret,
		"scope", "api://deployer/.default").Str(t, "access_token")
	wantError(t, s, ask(arm), 400, "invalid_grant", 500131)
	wantError(t, s, ask(own), 400, "invalid_grant", 7000114)
	wantError(t, s, ask("a.b.c"), 400, "invalid_grant", 50013)
	wantError(t, s, ask(incoming), 400, "invalid_grant", 65001) // nobody consented to Resource Manager
	s.Clock.Move(time.Second)
	alice := s.Alice
	alice.SessionsValidFrom = s.Clock.Now()
	s.Update(func(tx *store.Tx) error { return tx.PutUser(alice) })
	wantError(t, s, ask(incoming), 400, "invalid_grant", 50173)
	s.Clock.Move(2 * time.Hour)
	wantError(t, s, ask(incoming), 400, "invalid_grant", 500133)
}
