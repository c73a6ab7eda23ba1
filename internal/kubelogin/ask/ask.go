// Package ask owns the words in which kubelogin is asked for a token: login modes, and all that decides whose token it is and how it
// is got. The way to a cached token needs these and nothing of the protocols.
package ask

import (
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

// AuthorityCAVariable is the variable by which a kubeconfig carries the certificates of its authority: PEM, or that in base64.
const AuthorityCAVariable = "KEYREEVE_AUTHORITY_CA"

// Complete reports what a mode needs and the request does not have.
func (r Request) Complete() error {
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
		if r.GitHub() {
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

// GitHub reports whether the assertion comes from GitHub Actions.
func (r Request) GitHub() bool { return r.GitHubURL != "" && r.GitHubToken != "" }

// TenantURL is the authority of the request's tenant.
func (r Request) TenantURL() string { return r.Authority + url.PathEscape(r.Tenant) }

// ParsePoPClaims returns the host, claim u, of key=value pairs between commas. Other claims are taken and, as by Azure's
// kubelogin, not sent.
func ParsePoPClaims(text string) (string, error) {
	host := ""
	for pair := range strings.SplitSeq(text, ",") {
		key, value, ok := strings.Cut(pair, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if !ok || key == "" || value == "" {
			return "", fault.New(fault.Invalid, "", "--pop-claims: %q is not of the form key=value", pair)
		}
		if key == "u" {
			host, _, _ = strings.Cut(value, "=")
		}
	}
	if host == "" {
		return "", fault.New(fault.Invalid, "", "--pop-claims needs the claim u, the cluster's resource id: u=/subscriptions/...")
	}
	return host, nil
}
