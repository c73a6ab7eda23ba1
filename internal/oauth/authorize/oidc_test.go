package authorize_test

import (
	"context"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/zitadel/oidc/v3/pkg/client/rp"
	zhttp "github.com/zitadel/oidc/v3/pkg/http"
	zoidc "github.com/zitadel/oidc/v3/pkg/oidc"
	"golang.org/x/oauth2"

	"github.com/keyreeve/keyreeve/internal/logintest"
)

// These tests use OpenID Connect clients that know nothing of Entra: they hold every answer against the standards.

// TestGoOIDC signs in with coreos/go-oidc and x/oauth2, refreshes, and asks who it is.
func TestGoOIDC(t *testing.T) {
	s := logintest.Start(t)
	s.Clock.Run()
	const place = "https://app.test/cb"
	app := webApp(s, place)
	allow(s, app, "openid profile email offline_access")
	ctx := oidc.ClientContext(t.Context(), s.Client)
	provider, err := oidc.NewProvider(ctx, s.BaseURL+"/"+s.Tenant.ID.String()+"/v2.0")
	if err != nil {
		t.Fatal(err)
	}
	config := oauth2.Config{
		ClientID: app.AppID.String(), ClientSecret: s.AppSecret, Endpoint: provider.Endpoint(), RedirectURL: place,
		Scopes: []string{oidc.ScopeOpenID, "profile", "email", oidc.ScopeOfflineAccess},
	}
	proof := oauth2.GenerateVerifier()
	p := s.Person()
	address := config.AuthCodeURL("state", oidc.Nonce("nonce"), oauth2.S256ChallengeOption(proof))
	p.At(p.Send("GET", strings.TrimPrefix(address, s.BaseURL)), 200, "Sign in")
	q := p.Location(p.SignIn(s.Alice.UserPrincipalName), place)
	got, err := config.Exchange(ctx, q.Get("code"), oauth2.VerifierOption(proof))
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := got.Extra("id_token").(string)
	id, err := provider.VerifierContext(ctx, &oidc.Config{ClientID: config.ClientID}).Verify(ctx, raw)
	if err != nil || id.Nonce != "nonce" {
		t.Fatal(err, id)
	}
	if iss := q.Get("iss"); iss != id.Issuer {
		t.Errorf("iss is %s, want %s", iss, id.Issuer) // RFC 9207
	}
	info, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(got))
	if err != nil || info.Subject != id.Subject || info.Email != s.Alice.Mail {
		t.Fatal(err, info)
	}
	got.Expiry = time.Now().Add(-time.Hour)
	fresh, err := config.TokenSource(ctx, got).Token()
	if err != nil || fresh.AccessToken == got.AccessToken || fresh.RefreshToken == got.RefreshToken {
		t.Fatal(err)
	}
}

// TestZitadelRP signs in with zitadel's relying party, as a second opinion.
func TestZitadelRP(t *testing.T) {
	s := logintest.Start(t)
	s.Clock.Run()
	site := http.NewServeMux()
	server := httptest.NewTLSServer(site)
	defer server.Close()
	place := server.URL + "/cb"
	app := webApp(s, place)
	allow(s, app, "openid profile email offline_access")
	key := []byte("0123456789abcdef0123456789abcdef")
	party, err := rp.NewRelyingPartyOIDC(t.Context(), s.BaseURL+"/"+s.Tenant.ID.String()+"/v2.0", app.AppID.String(), s.AppSecret, place,
		[]string{"openid", "profile", "email", "offline_access"}, rp.WithHTTPClient(s.Client),
		rp.WithPKCE(zhttp.NewCookieHandler(key, key)), rp.WithCookieHandler(zhttp.NewCookieHandler(key, key)))
	if err != nil {
		t.Fatal(err)
	}
	var signedIn *zoidc.Tokens[*zoidc.IDTokenClaims]
	site.Handle("/login", rp.AuthURLHandler(func() string { return "state" }, party))
	site.Handle("/cb", rp.CodeExchangeHandler(func(_ http.ResponseWriter, _ *http.Request, tokens *zoidc.Tokens[*zoidc.IDTokenClaims], _ string, _ rp.RelyingParty) {
		signedIn = tokens
	}, party))
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := server.Client()
	browser.Jar = jar
	browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	visit := func(address string) string {
		t.Helper()
		req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := browser.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res.Header.Get("Location")
	}
	p := s.Person()
	p.At(p.Send("GET", strings.TrimPrefix(visit(server.URL+"/login"), s.BaseURL)), 200, "Sign in")
	a := p.SignIn(s.Alice.UserPrincipalName)
	p.Location(a, place)
	visit(a.Header.Get("Location"))
	if signedIn == nil || signedIn.IDTokenClaims.PreferredUsername != s.Alice.UserPrincipalName {
		t.Fatalf("%+v", signedIn)
	}
	info, err := rp.Userinfo[*zoidc.UserInfo](t.Context(), signedIn.AccessToken, "Bearer", signedIn.IDTokenClaims.Subject, party)
	if err != nil || info.Name != s.Alice.DisplayName {
		t.Fatal(err, info)
	}
}
