package login

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/cache"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/public"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/kubelogin/ask"
)

// errAsk says that only a person can go on.
var errAsk = errors.New("signing in again needs a person")

// msalCache lends MSAL what an earlier sign-in left. MSAL sees one identity's data only: ours.
type msalCache struct {
	data []byte
	kept ask.Session
	pop  []byte // the key of a proof of possession, kept beside it
}

func (m *msalCache) Replace(_ context.Context, c cache.Unmarshaler, _ cache.ReplaceHints) error {
	if len(m.data) == 0 {
		return nil
	}
	// What cannot be read is as good as nothing: the next Export replaces it.
	_ = c.Unmarshal(m.data)
	return nil
}

func (m *msalCache) Export(_ context.Context, c cache.Marshaler, _ cache.ExportHints) error {
	data, err := c.Marshal()
	if err != nil {
		return err
	}
	m.data = withoutTokens(data)
	m.kept.PutSession(joinSession(m.pop, m.data))
	return nil
}

// withoutTokens takes the access tokens out of MSAL's cache. MSAL is asked when the one at hand is too old, by a clock that is
// not its own: to find it again would be of no use.
func withoutTokens(data []byte) []byte {
	var all map[string]json.RawMessage
	if json.Unmarshal(data, &all) != nil {
		return data
	}
	delete(all, "AccessToken")
	out, err := json.Marshal(all)
	if err != nil {
		return data
	}
	return out
}

// public runs a mode in which a person signs in to an application that has no secret: from the session while there is one,
// by asking otherwise.
func (a *attempt) public(ctx context.Context, byHand func(context.Context, public.Client, *scheme) (public.AuthResult, error)) (ask.Token, error) {
	key, data := splitSession(a.kept.Session())
	s, err := a.scheme(key)
	if err != nil {
		return ask.Token{}, err
	}
	store := &msalCache{data: data, kept: a.kept, pop: s.pem()}
	open := func() (public.Client, error) {
		return public.New(a.r.Client, public.WithAuthority(a.r.TenantURL()), public.WithInstanceDiscovery(!a.r.NoInstanceDiscovery),
			public.WithHTTPClient(a.transport.client()), public.WithCache(store))
	}
	client, err := open()
	if err != nil {
		return ask.Token{}, err
	}
	if accounts, err := client.Accounts(ctx); err == nil && len(accounts) == 1 {
		opts := []public.AcquireSilentOption{public.WithSilentAccount(accounts[0])}
		if s != nil {
			opts = append(opts, public.WithAuthenticationScheme(s))
		}
		result, err := client.AcquireTokenSilent(ctx, []string{Scope(a.r.Server)}, opts...)
		if err == nil {
			return s.token(result.AccessToken, result.ExpiresOn), nil
		}
		a.Debug("the session cannot be renewed: %v", err)
		if a.transport.refusal() == nil || ctx.Err() != nil {
			return ask.Token{}, err // nobody answered: asking a person would not help
		}
	}
	// What the session is worth is known now: nothing. The next one begins with nothing of the last account.
	store.data = nil
	if client, err = open(); err != nil {
		return ask.Token{}, err
	}
	if a.silent && a.r.Mode != ask.Password {
		return ask.Token{}, errAsk
	}
	a.transport.forget()
	result, err := byHand(ctx, client, s)
	if err != nil {
		return ask.Token{}, err
	}
	return s.token(result.AccessToken, result.ExpiresOn), nil
}

func (a *attempt) password(ctx context.Context, client public.Client, s *scheme) (public.AuthResult, error) {
	var opts []public.AcquireByUsernamePasswordOption
	if s != nil {
		opts = append(opts, public.WithAuthenticationScheme(s))
	}
	//nolint:staticcheck // a password grant is what the mode is
	return client.AcquireTokenByUsernamePassword(ctx, []string{Scope(a.r.Server)}, a.r.Username, a.r.Password, opts...)
}

func (a *attempt) interactive(ctx context.Context, client public.Client, s *scheme) (public.AuthResult, error) {
	opts := []public.AcquireInteractiveOption{public.WithOpenURL(func(url string) error {
		if err := a.OpenBrowser(ctx, url); err != nil {
			a.Debug("browser: %v", err)
			_, _ = fmt.Fprintf(a.Err, "No browser could be opened (%v). Open this page in one on this machine:\n\n  %s\n\n", err, url)
		} else {
			_, _ = fmt.Fprintf(a.Err, "Sign in in the browser. If none came up, open this page in one on this machine:\n\n  %s\n\n", url)
		}
		return nil
	})}
	if a.r.RedirectURL != "" {
		opts = append(opts, public.WithRedirectURI(a.r.RedirectURL))
	}
	if a.r.LoginHint != "" {
		opts = append(opts, public.WithLoginHint(a.r.LoginHint))
	}
	if s != nil {
		opts = append(opts, public.WithAuthenticationScheme(s))
	}
	return client.AcquireTokenInteractive(ctx, []string{Scope(a.r.Server)}, opts...)
}

// confidential asks as an application that proves itself.
func (a *attempt) confidential(ctx context.Context, cred confidential.Credential, s *scheme) (ask.Token, error) {
	client, err := confidential.New(a.r.TenantURL(), a.r.Client, cred, confidential.WithX5C(),
		confidential.WithInstanceDiscovery(!a.r.NoInstanceDiscovery), confidential.WithHTTPClient(a.transport.client()))
	if err != nil {
		return ask.Token{}, err
	}
	var opts []confidential.AcquireByCredentialOption
	if s != nil {
		opts = append(opts, confidential.WithAuthenticationScheme(s))
	}
	result, err := client.AcquireTokenByCredential(ctx, []string{Scope(a.r.Server)}, opts...)
	if err != nil {
		return ask.Token{}, err
	}
	return s.token(result.AccessToken, result.ExpiresOn), nil
}

func (a *attempt) servicePrincipal(ctx context.Context) (ask.Token, error) {
	var cred confidential.Credential
	if a.r.Certificate != "" {
		chain, key, err := readCertificate(a.r.Certificate, a.r.CertificatePassword)
		if err != nil {
			return ask.Token{}, err
		}
		if now := a.Now(); now.After(chain[0].NotAfter) {
			a.warn("the certificate in %s ended on %s", a.r.Certificate, chain[0].NotAfter.Format("2006-01-02"))
		}
		if cred, err = confidential.NewCredFromCert([]*x509.Certificate{chain[0]}, key); err != nil {
			return ask.Token{}, fault.New(fault.Invalid, "", "the certificate in %s cannot be used: %v", a.r.Certificate, err)
		}
	} else {
		var err error
		if cred, err = confidential.NewCredFromSecret(a.r.Secret); err != nil {
			return ask.Token{}, err
		}
	}
	key, _ := splitSession(a.kept.Session())
	s, err := a.scheme(key)
	if err != nil {
		return ask.Token{}, err
	}
	token, err := a.confidential(ctx, cred, s)
	if err == nil && s != nil {
		a.kept.PutSession(joinSession(s.pem(), nil))
	}
	return token, err
}

func (a *attempt) workloadIdentity(ctx context.Context) (ask.Token, error) {
	assertion := func(context.Context, confidential.AssertionRequestOptions) (string, error) {
		return a.assertionFromFile()
	}
	if a.r.GitHub() {
		assertion = func(ctx context.Context, _ confidential.AssertionRequestOptions) (string, error) {
			return a.assertionFromGitHub(ctx)
		}
	}
	return a.confidential(ctx, confidential.NewCredFromAssertionCallback(assertion), nil)
}
