// Package login owns how kubelogin gets an access token: one function for each login mode, on top of MSAL and azidentity,
// which speak the protocols. It knows nothing of flags, caches on disk or kubectl.
//
//	Request ──► Client.Token ──► MSAL / azidentity ──► transport (trust, clock, what the server said) ──► authority
package login

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/kubelogin/ask"
)

// Client gets tokens.
type Client struct {
	// Err is where the person at the terminal is told what to do; Terminal says that it is one.
	Err      io.Writer
	Terminal bool
	Now      func() time.Time
	// Getenv reads the environment.
	Getenv func(string) string
	// Debug is told what is done, without secrets.
	Debug func(format string, args ...any)
	// OpenBrowser shows a page to the person.
	OpenBrowser func(ctx context.Context, url string) error
}

// Scope returns the scope that asks for an audience.
func Scope(server string) string {
	server = strings.TrimRight(server, "/")
	if strings.HasSuffix(server, "/.default") {
		return server
	}
	return server + "/.default"
}

// Token gets a token. Kept is what earlier calls for the same identity kept. With silent set, a person is not asked.
func (c *Client) Token(ctx context.Context, r ask.Request, kept ask.Session, silent bool) (ask.Token, error) {
	if err := r.Complete(); err != nil {
		return ask.Token{}, err
	}
	t, err := newTransport(r, c.Now)
	if err != nil {
		return ask.Token{}, err
	}
	defer t.close()
	a := &attempt{Client: c, r: r, transport: t, kept: kept, silent: silent}
	token, err := a.token(ctx)
	if err != nil {
		return ask.Token{}, a.explain(ctx, err)
	}
	if skew := t.skew(); skew.Abs() > tolerableSkew {
		c.warn("%s", skewText(skew))
	}
	return token, nil
}

func (c *Client) warn(format string, args ...any) {
	_, _ = fmt.Fprintf(c.Err, "kubelogin: warning: "+format+"\n", args...)
}

// attempt is one run for a token.
type attempt struct {
	*Client
	r         ask.Request
	transport *transport
	kept      ask.Session
	silent    bool
}

func (a *attempt) token(ctx context.Context) (ask.Token, error) {
	switch a.r.Mode {
	case ask.DeviceCode:
		if a.r.Legacy {
			return a.legacyDeviceCode(ctx)
		}
		return a.public(ctx, a.deviceCode)
	case ask.Interactive:
		return a.public(ctx, a.interactive)
	case ask.Password:
		return a.public(ctx, a.password)
	case ask.ServicePrincipal:
		if a.r.Legacy {
			return a.legacyServicePrincipal(ctx)
		}
		return a.servicePrincipal(ctx)
	case ask.WorkloadIdentity:
		return a.workloadIdentity(ctx)
	case ask.ManagedIdentity:
		return a.managedIdentity(ctx)
	case ask.AzureCLI:
		return a.azureCLI(ctx)
	case ask.AzureDevCLI:
		return a.azureDevCLI(ctx)
	case ask.AzurePipelines:
		return a.azurePipelines(ctx)
	}
	return ask.Token{}, fault.New(fault.Invalid, "", "%q is not a login mode", string(a.r.Mode))
}
