// Package login owns how kubelogin gets an access token: one function for each login mode, on top of MSAL and azidentity,
// which speak the protocols. It knows nothing of flags, caches on disk or kubectl.
//
//	Request ──► Client.Token ──► MSAL / azidentity ──► transport (trust, clock, what the server said) ──► authority
package login

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/fault"
)

// Mode is a login mode, spelled as in --login.
type Mode string

// The login modes, in the order in which they are listed to people.
const (
	DeviceCode       Mode = "devicecode"
	Interactive      Mode = "interactive"
	ServicePrincipal Mode = "spn"
	Password         Mode = "ropc"
	ManagedIdentity  Mode = "msi"
	AzureCLI         Mode = "azurecli"
	AzureDevCLI      Mode = "azd"
	WorkloadIdentity Mode = "workloadidentity"
	AzurePipelines   Mode = "azurepipelines"
)

// Modes returns all modes.
func Modes() []Mode {
	return []Mode{DeviceCode, Interactive, ServicePrincipal, Password, ManagedIdentity, AzureCLI, AzureDevCLI, WorkloadIdentity, AzurePipelines}
}

// Request says whose token is wanted, for what, and how to get it. Together with the environment of other programs that
// a mode runs, it is the whole identity.
type Request struct {
	Mode      Mode
	Authority string // base URL of the token service, with a slash at the end
	Tenant    string
	Client    string
	Server    string // the audience
	// PoPHost is the u claim of a proof-of-possession token; empty for a bearer token.
	PoPHost string
	Legacy  bool // version 1 tokens

	Username            string
	LoginHint           string
	Subscription        string
	IdentityResourceID  string
	FederatedTokenFile  string
	ServiceConnection   string
	Certificate         string // a path
	Secret              string
	Password            string
	CertificatePassword string

	// What does not decide whose token it is.

	RedirectURL         string        `json:"-"`
	NoInstanceDiscovery bool          `json:"-"`
	Timeout             time.Duration `json:"-"`
	// AuthorityCA holds certificates, PEM, that vouch for the authority beside those of the system.
	AuthorityCA []byte `json:"-"`
	// GitHub and Pipelines are what a pipeline's service hands to its jobs.
	GitHubURL, GitHubToken, PipelinesToken string `json:"-"`
}

// Token is an access token. Access is the bare one, also where a proof of possession goes around it.
type Token struct {
	Access  string
	Expires time.Time
}

// Session is what is kept from one sign-in to the next.
type Session interface {
	Session() []byte
	PutSession([]byte)
}

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
func (c *Client) Token(ctx context.Context, r Request, kept Session, silent bool) (Token, error) {
	if err := r.complete(); err != nil {
		return Token{}, err
	}
	t, err := newTransport(r, c.Now)
	if err != nil {
		return Token{}, err
	}
	defer t.close()
	a := &attempt{Client: c, r: r, transport: t, kept: kept, silent: silent}
	token, err := a.token(ctx)
	if err != nil {
		return Token{}, a.explain(ctx, err)
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
	r         Request
	transport *transport
	kept      Session
	silent    bool
}

func (a *attempt) token(ctx context.Context) (Token, error) {
	switch a.r.Mode {
	case DeviceCode:
		if a.r.Legacy {
			return a.legacyDeviceCode(ctx)
		}
		return a.public(ctx, a.deviceCode)
	case Interactive:
		return a.public(ctx, a.interactive)
	case Password:
		return a.public(ctx, a.password)
	case ServicePrincipal:
		if a.r.Legacy {
			return a.legacyServicePrincipal(ctx)
		}
		return a.servicePrincipal(ctx)
	case WorkloadIdentity:
		return a.workloadIdentity(ctx)
	case ManagedIdentity:
		return a.managedIdentity(ctx)
	case AzureCLI:
		return a.azureCLI(ctx)
	case AzureDevCLI:
		return a.azureDevCLI(ctx)
	case AzurePipelines:
		return a.azurePipelines(ctx)
	}
	return Token{}, fault.New(fault.Invalid, "", "%q is not a login mode", string(a.r.Mode))
}

// complete reports what a mode needs and the request does not have.
func (r Request) complete() error {
	need := func(value, flag, variable string) error {
		if value != "" {
			return nil
		}
		if variable != "" {
			variable = " or set " + variable
		}
		return fault.New(fault.Invalid, "", "login mode %s needs %s: give it%s", r.Mode, flag, variable)
	}
	first := func(errs ...error) error {
		for _, err := range errs {
			if err != nil {
				return err
			}
		}
		return nil
	}
	client, tenant := need(r.Client, "--client-id", "AZURE_CLIENT_ID"), need(r.Tenant, "--tenant-id", "AZURE_TENANT_ID")
	switch r.Mode {
	case DeviceCode, Interactive:
		return first(client, tenant)
	case Password:
		return first(client, tenant, need(r.Username, "--username", "AZURE_USERNAME"), need(r.Password, "--password", "AZURE_PASSWORD"))
	case ServicePrincipal:
		secret := need(r.Secret+r.Certificate, "--client-secret or --client-certificate", "AZURE_CLIENT_SECRET or AZURE_CLIENT_CERTIFICATE_PATH")
		return first(client, tenant, secret)
	case WorkloadIdentity:
		if r.gitHub() {
			return first(client, tenant)
		}
		return first(client, tenant, need(r.FederatedTokenFile, "--federated-token-file", "AZURE_FEDERATED_TOKEN_FILE"))
	case AzurePipelines:
		return first(
			need(r.Client, "--client-id", "AZURESUBSCRIPTION_CLIENT_ID"), need(r.Tenant, "--tenant-id", "AZURESUBSCRIPTION_TENANT_ID"),
			need(r.ServiceConnection, "--azure-pipelines-service-connection-id", "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID"),
			need(r.PipelinesToken, "the job's access token", "SYSTEM_ACCESSTOKEN"),
		)
	case ManagedIdentity, AzureCLI, AzureDevCLI:
	}
	return nil
}

// gitHub reports whether the assertion comes from GitHub Actions.
func (r Request) gitHub() bool { return r.GitHubURL != "" && r.GitHubToken != "" }

// tenantURL is the authority of the request's tenant.
func (r Request) tenantURL() string { return r.Authority + url.PathEscape(r.Tenant) }
