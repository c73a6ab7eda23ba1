package login

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // the thumbprint that version 1 names a certificate by
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/kubelogin/ask"
)

// Version 1 of the protocol, which no library speaks any more: a resource in place of scopes, other paths, numbers as strings.

// number is a number that may be written as a string.
type number int64

func (n *number) UnmarshalJSON(text []byte) error {
	v, err := strconv.ParseInt(strings.Trim(string(text), `"`), 10, 64)
	*n = number(v)
	return err
}

type legacyAnswer struct {
	Error        string `json:"error"`
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	ExpiresIn    number `json:"expires_in"`
	DeviceCode   string `json:"device_code"`
	UserCode     string `json:"user_code"`
	Page         string `json:"verification_url"`
	PageV2       string `json:"verification_uri"`
	Interval     number `json:"interval"`
	Message      string `json:"message"`
}

func (a *attempt) legacyPost(ctx context.Context, path string, form url.Values) (legacyAnswer, error) {
	var out legacyAnswer
	form.Set("client_id", a.r.Client)
	form.Set("resource", strings.TrimSuffix(Scope(a.r.Server), "/.default"))
	u := a.r.TenantURL() + path + "?api-version=1.0"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u, strings.NewReader(form.Encode()))
	if err != nil {
		return out, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	resp, err := a.transport.client().Do(req)
	if err != nil {
		return out, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return out, err
	}
	if err := json.Unmarshal(body, &out); err != nil {
		return out, fault.New(fault.Unavailable, "", "%s answered %s with something that is not JSON", a.r.Authority, resp.Status)
	}
	if out.Error == "" && resp.StatusCode != http.StatusOK {
		return out, fault.New(fault.Unavailable, "", "%s answered %s", a.r.Authority, resp.Status)
	}
	return out, nil
}

func (a *attempt) legacyToken(out legacyAnswer) (ask.Token, error) {
	if out.Error != "" || out.AccessToken == "" {
		return ask.Token{}, fmt.Errorf("%s", out.Error)
	}
	if out.RefreshToken != "" {
		if data, err := json.Marshal(session{Refresh: out.RefreshToken}); err == nil {
			a.kept.PutSession(data)
		}
	}
	return ask.Token{Access: out.AccessToken, Expires: a.Now().Add(time.Duration(out.ExpiresIn) * time.Second)}, nil
}

func (a *attempt) legacyDeviceCode(ctx context.Context) (ask.Token, error) {
	var kept session
	if err := json.Unmarshal(a.kept.Session(), &kept); err == nil && kept.Refresh != "" {
		out, err := a.legacyPost(ctx, "/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {kept.Refresh}})
		if err != nil {
			return ask.Token{}, err
		}
		if out.Error == "" {
			return a.legacyToken(out)
		}
		a.Debug("the session cannot be renewed: %s", out.Error)
	}
	if a.silent {
		return ask.Token{}, errAsk
	}
	a.transport.forget()
	code, err := a.legacyPost(ctx, "/oauth2/devicecode", url.Values{})
	if err != nil {
		return ask.Token{}, err
	}
	if code.Error != "" || code.DeviceCode == "" {
		return ask.Token{}, fmt.Errorf("no device code: %s", code.Error)
	}
	if code.Page == "" {
		code.Page = code.PageV2
	}
	a.prompt(code.Page, code.UserCode, code.Message)
	interval := time.Duration(max(code.Interval, 1)) * time.Second
	for {
		timer := time.NewTimer(interval)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ask.Token{}, ctx.Err()
		case <-timer.C:
		}
		out, err := a.legacyPost(ctx, "/oauth2/token", url.Values{"grant_type": {"device_code"}, "code": {code.DeviceCode}})
		switch {
		case err != nil:
			return ask.Token{}, err
		case out.Error == "authorization_pending":
		case out.Error == "slow_down":
			interval += 5 * time.Second
		default:
			return a.legacyToken(out)
		}
	}
}

func (a *attempt) legacyServicePrincipal(ctx context.Context) (ask.Token, error) {
	form := url.Values{"grant_type": {"client_credentials"}}
	if a.r.Certificate != "" {
		assertion, err := a.legacyAssertion()
		if err != nil {
			return ask.Token{}, err
		}
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", assertion)
	} else {
		form.Set("client_secret", a.r.Secret)
	}
	out, err := a.legacyPost(ctx, "/oauth2/token", form)
	if err != nil {
		return ask.Token{}, err
	}
	return a.legacyToken(out)
}

func (a *attempt) legacyAssertion() (string, error) {
	chain, key, err := readCertificate(a.r.Certificate, a.r.CertificatePassword)
	if err != nil {
		return "", err
	}
	return signLegacyAssertion(chain[0].Raw, key, a.r.TenantURL()+"/oauth2/token", a.r.Client, a.Now())
}

func signLegacyAssertion(cert []byte, key *rsa.PrivateKey, audience, client string, now time.Time) (string, error) {
	sum := sha1.Sum(cert) //nolint:gosec // a name, not a proof
	id := make([]byte, 20)
	if _, err := rand.Read(id); err != nil {
		return "", err
	}
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{
		"aud": audience, "iss": client, "sub": client, "jti": hex.EncodeToString(id),
		"nbf": now.Unix(), "exp": now.Add(10 * time.Minute).Unix(),
	})
	token.Header["x5t"] = base64.RawURLEncoding.EncodeToString(sum[:])
	token.Header["x5c"] = []string{base64.StdEncoding.EncodeToString(cert)}
	return token.SignedString(key)
}
