package kubelogin

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/keyreeve/keyreeve/internal/kubelogin/ask"
)

// Options are the flags of get-token and convert-kubeconfig, with what the environment changes in them.
type Options struct {
	login, clientID, clientSecret, clientCert, clientCertPassword string
	username, password, identityResourceID, serverID              string
	federatedTokenFile, authorityHost, serviceConnection          string
	cacheDir, tenantID, subscription, environment, popClaims      string
	redirectURL, loginHint                                        string

	legacy, azurermEnv, popEnabled, noEnvironment, noInstanceDiscovery bool
	timeout                                                            time.Duration

	tokenCache string // ours: file, keyring or none
	verbosity  int
	env        func(string) (string, bool)
	home       string
}

// NewOptions returns them as they are when nothing is given.
func NewOptions(d Deps) *Options {
	return &Options{env: d.Environ, cacheDir: d.CacheDir(), home: d.Home()}
}

// AddFlags adds the flags of Azure's kubelogin, and the one of ours.
func (o *Options) AddFlags(fs *pflag.FlagSet) {
	s := func(p *string, name, short, usage string) { fs.StringVarP(p, name, short, *p, usage) }
	o.login, o.environment, o.tokenCache = string(ask.DeviceCode), "AzurePublicCloud", "file"
	modes := make([]string, 0, len(ask.Modes()))
	for _, m := range ask.Modes() {
		modes = append(modes, string(m))
	}
	s(&o.login, "login", "l", "how to sign in: "+strings.Join(modes, ", ")+" ($AAD_LOGIN_METHOD)")
	s(&o.clientID, "client-id", "", "the application that signs in ($AZURE_CLIENT_ID, $AAD_SERVICE_PRINCIPAL_CLIENT_ID; azurepipelines: $AZURESUBSCRIPTION_CLIENT_ID)")
	s(&o.clientSecret, "client-secret", "", "its secret, for spn ($AZURE_CLIENT_SECRET, $AAD_SERVICE_PRINCIPAL_CLIENT_SECRET)")
	s(&o.clientCert, "client-certificate", "", "its certificate and key, PEM or PFX, for spn ($AZURE_CLIENT_CERTIFICATE_PATH, $AAD_SERVICE_PRINCIPAL_CLIENT_CERTIFICATE)")
	s(&o.clientCertPassword, "client-certificate-password", "", "the PFX file's password ($AZURE_CLIENT_CERTIFICATE_PASSWORD, $AAD_SERVICE_PRINCIPAL_CLIENT_CERTIFICATE_PASSWORD)")
	s(&o.username, "username", "", "user name, for ropc ($AZURE_USERNAME, $AAD_USER_PRINCIPAL_NAME)")
	s(&o.password, "password", "", "password, for ropc ($AZURE_PASSWORD, $AAD_USER_PRINCIPAL_PASSWORD)")
	s(&o.identityResourceID, "identity-resource-id", "", "resource id of the managed identity, for msi")
	s(&o.serverID, "server-id", "", "the application that the cluster is known by: whom the token is for")
	s(&o.federatedTokenFile, "federated-token-file", "", "file with a token of another issuer, for workloadidentity ($AZURE_FEDERATED_TOKEN_FILE)")
	s(&o.authorityHost, "authority-host", "", "base URL of the token service, with a slash at the end (workloadidentity: $AZURE_AUTHORITY_HOST)")
	s(&o.serviceConnection, "azure-pipelines-service-connection-id", "", "service connection, for azurepipelines ($AZURESUBSCRIPTION_SERVICE_CONNECTION_ID)")
	s(&o.cacheDir, "token-cache-dir", "", "folder of the token cache")
	_ = fs.MarkDeprecated("token-cache-dir", "use --cache-dir instead")
	s(&o.cacheDir, "cache-dir", "", "folder of the token cache ($KUBECACHEDIR)")
	s(&o.tenantID, "tenant-id", "t", "tenant ($AZURE_TENANT_ID; azurepipelines: $AZURESUBSCRIPTION_TENANT_ID)")
	s(&o.subscription, "subscription", "s", "subscription, id or name, for azurecli")
	s(&o.environment, "environment", "e", "cloud: AzurePublicCloud, AzureUSGovernmentCloud, AzureChinaCloud, or AzureStackCloud with $AZURE_ENVIRONMENT_FILEPATH")
	fs.BoolVar(&o.legacy, "legacy", false, "ask for a version 1 token, whose audience begins with spn:")
	fs.BoolVar(&o.azurermEnv, "use-azurerm-env-vars", false, "read Terraform's variables: ARM_CLIENT_ID, ARM_CLIENT_SECRET, ARM_CLIENT_CERTIFICATE_PATH, ARM_CLIENT_CERTIFICATE_PASSWORD, ARM_TENANT_ID")
	fs.BoolVar(&o.popEnabled, "pop-enabled", false, "ask for a proof-of-possession token (interactive, ropc, spn)")
	fs.DurationVar(&o.timeout, "timeout", 60*time.Second, "how long getting a token may take, signing in included ($AZURE_CLI_TIMEOUT)")
	s(&o.popClaims, "pop-claims", "", "claims of that token, key=value with commas between; u, the cluster's resource id, has to be there")
	fs.BoolVar(&o.noEnvironment, "disable-environment-override", false, "let the environment not change what flags say")
	fs.BoolVar(&o.noInstanceDiscovery, "disable-instance-discovery", false, "trust --authority-host without asking the public cloud about it, as a private one needs")
	s(&o.redirectURL, "redirect-url", "", "where the browser comes back to, for interactive")
	s(&o.loginHint, "login-hint", "", "user name to fill in, for interactive")
	s(&o.tokenCache, "token-cache", "", "where tokens are kept: file, keyring (the sealing key in the system's keyring), none ($KEYREEVE_TOKEN_CACHE)")
}

// AddLogFlags adds the flags that Azure's has of its log library.
func (o *Options) AddLogFlags(fs *pflag.FlagSet) {
	fs.IntVarP(&o.verbosity, "v", "v", 0, "how much to say on standard error; 5 says what is done")
	fs.Bool("logtostderr", true, "taken, and without effect: everything said goes to standard error")
}

// fromEnvironment lets the environment change the options, as in Azure's: it wins over flags, later variables over earlier.
func (o *Options) fromEnvironment() {
	if v, ok := o.env("KEYREEVE_TOKEN_CACHE"); ok && v != "" && o.tokenCache == "file" {
		o.tokenCache = v
	}
	if o.noEnvironment {
		return
	}
	set := func(p *string, names ...string) {
		for _, name := range names {
			if v, ok := o.env(name); ok {
				*p = v
			}
		}
	}
	if o.azurermEnv {
		set(&o.clientID, "ARM_CLIENT_ID")
		set(&o.clientSecret, "ARM_CLIENT_SECRET")
		set(&o.clientCert, "ARM_CLIENT_CERTIFICATE_PATH")
		set(&o.clientCertPassword, "ARM_CLIENT_CERTIFICATE_PASSWORD")
		set(&o.tenantID, "ARM_TENANT_ID")
	} else {
		set(&o.clientID, "AAD_SERVICE_PRINCIPAL_CLIENT_ID", "AZURE_CLIENT_ID")
		set(&o.clientSecret, "AAD_SERVICE_PRINCIPAL_CLIENT_SECRET", "AZURE_CLIENT_SECRET")
		set(&o.clientCert, "AAD_SERVICE_PRINCIPAL_CLIENT_CERTIFICATE", "AZURE_CLIENT_CERTIFICATE_PATH")
		set(&o.clientCertPassword, "AAD_SERVICE_PRINCIPAL_CLIENT_CERTIFICATE_PASSWORD", "AZURE_CLIENT_CERTIFICATE_PASSWORD")
		set(&o.tenantID, "AZURE_TENANT_ID")
	}
	set(&o.username, "AAD_USER_PRINCIPAL_NAME", "AZURE_USERNAME")
	set(&o.password, "AAD_USER_PRINCIPAL_PASSWORD", "AZURE_PASSWORD")
	set(&o.login, "AAD_LOGIN_METHOD")
	switch ask.Mode(o.login) {
	case ask.WorkloadIdentity:
		set(&o.clientID, "AZURE_CLIENT_ID")
		set(&o.federatedTokenFile, "AZURE_FEDERATED_TOKEN_FILE")
		set(&o.authorityHost, "AZURE_AUTHORITY_HOST")
	case ask.AzurePipelines:
		fill := func(p *string, name string) {
			if *p == "" {
				set(p, name)
			}
		}
		fill(&o.clientID, "AZURESUBSCRIPTION_CLIENT_ID")
		fill(&o.tenantID, "AZURESUBSCRIPTION_TENANT_ID")
		fill(&o.serviceConnection, "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID")
	default:
	}
	if v, ok := o.env("AZURE_CLI_TIMEOUT"); ok {
		if d, err := time.ParseDuration(v); err == nil {
			o.timeout = d
		}
	}
}

// Settle lets the environment have its say and checks what came of it.
func (o *Options) Settle() error {
	o.fromEnvironment()
	return o.validate()
}

// Mode is the login mode.
func (o *Options) Mode() string { return o.login }

// SetVerbosity says how much is told on standard error.
func (o *Options) SetVerbosity(v int) { o.verbosity = v }

// Verbosity is that.
func (o *Options) Verbosity() int { return o.verbosity }

func (o *Options) validate() error {
	if !slices.Contains(ask.Modes(), ask.Mode(o.login)) {
		return fmt.Errorf("login mode %q is not one of %v", o.login, ask.Modes())
	}
	if o.authorityHost != "" {
		u, err := url.ParseRequestURI(o.authorityHost)
		if err != nil || u.Scheme == "" || u.Host == "" {
			return fmt.Errorf("authority host %q is not a URL such as https://login.example.com/", o.authorityHost)
		}
		if !strings.HasSuffix(o.authorityHost, "/") {
			return fmt.Errorf("authority host %q needs a slash at its end", o.authorityHost)
		}
	}
	switch {
	case o.popEnabled && o.popClaims == "":
		return fmt.Errorf("--pop-enabled needs --pop-claims, such as u=/subscriptions/.../managedClusters/NAME")
	case o.popClaims != "" && !o.popEnabled:
		return fmt.Errorf("--pop-claims needs --pop-enabled")
	case o.timeout <= 0:
		return fmt.Errorf("--timeout has to be more than nothing")
	case o.tokenCache != "file" && o.tokenCache != "keyring" && o.tokenCache != "none":
		return fmt.Errorf("--token-cache %q is not one of file, keyring, none", o.tokenCache)
	}
	return nil
}

// The token services of the clouds.
const (
	publicCloud     = "https://login.microsoftonline.com/"
	governmentCloud = "https://login.microsoftonline.us/"
	chinaCloud      = "https://login.chinacloudapi.cn/"
)

// authority is the base URL of the token service. An unknown cloud is the public one, as in Azure's; one of one's own is
// described in a file.
func (o *Options) authority() (string, error) {
	if o.authorityHost != "" {
		return o.authorityHost, nil
	}
	switch strings.ToUpper(o.environment) {
	case "AZUREUSGOVERNMENT", "AZUREUSGOVERNMENTCLOUD":
		return governmentCloud, nil
	case "AZURECHINACLOUD":
		return chinaCloud, nil
	case "AZURESTACKCLOUD":
		path, ok := o.env("AZURE_ENVIRONMENT_FILEPATH")
		if !ok || path == "" {
			return publicCloud, nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("the environment file cannot be read: %w", err)
		}
		var file struct {
			Endpoint string `json:"activeDirectoryEndpoint"`
		}
		if err := json.Unmarshal(data, &file); err != nil {
			return "", fmt.Errorf("the environment file %s is no JSON object: %w", path, err)
		}
		u, err := url.ParseRequestURI(file.Endpoint)
		if err != nil || u.Host == "" || u.Scheme != "https" {
			return "", fmt.Errorf("the environment file %s has no activeDirectoryEndpoint that is an https URL", path)
		}
		return strings.TrimSuffix(file.Endpoint, "/") + "/", nil
	}
	return publicCloud, nil
}

// request is what the options ask for.
func (o *Options) request() (ask.Request, error) {
	authority, err := o.authority()
	if err != nil {
		return ask.Request{}, err
	}
	r := ask.Request{
		Mode: ask.Mode(o.login), Authority: authority, Tenant: o.tenantID, Client: o.clientID, Server: o.serverID,
		Legacy: o.legacy, LoginHint: o.loginHint, RedirectURL: o.redirectURL, NoInstanceDiscovery: o.noInstanceDiscovery, Timeout: o.timeout,
	}
	get := func(name string) string { v, _ := o.env(name); return v }
	// A value that the mode does not use is no part of the identity, and no secret of another mode is carried along.
	switch r.Mode {
	case ask.ServicePrincipal:
		r.Certificate, r.CertificatePassword = o.clientCert, o.clientCertPassword
		if r.Certificate == "" {
			r.Secret = o.clientSecret
		}
	case ask.Password:
		r.Username, r.Password = o.username, o.password
	case ask.ManagedIdentity:
		r.IdentityResourceID = o.identityResourceID
	case ask.AzureCLI:
		r.Subscription = o.subscription
	case ask.WorkloadIdentity:
		r.GitHubURL, r.GitHubToken = get("ACTIONS_ID_TOKEN_REQUEST_URL"), get("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
		r.FederatedTokenFile = o.federatedTokenFile
	case ask.AzurePipelines:
		r.ServiceConnection, r.PipelinesToken = o.serviceConnection, get("SYSTEM_ACCESSTOKEN")
	case ask.DeviceCode, ask.Interactive, ask.AzureDevCLI:
	}
	switch r.Mode {
	case ask.Interactive, ask.Password, ask.ServicePrincipal:
		// Version 1 has no such tokens; as in Azure's, it wins.
		if o.popEnabled && !(r.Legacy && r.Mode == ask.ServicePrincipal) {
			if r.PoPHost, err = ask.ParsePoPClaims(o.popClaims); err != nil {
				return r, err
			}
		}
	default:
	}
	return r, nil
}
