package login

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/kubelogin/ask"
)

// exchangeAudience is what an outside issuer's token must be meant for to be exchanged.
const exchangeAudience = "api://AzureADTokenExchange"

// maxAssertion bounds an outside token and the answer that carries it.
const maxAssertion = 1 << 20

func (a *attempt) clientOptions() azcore.ClientOptions {
	return azcore.ClientOptions{
		Cloud:     cloud.Configuration{ActiveDirectoryAuthorityHost: a.r.Authority},
		Transport: a.transport.client(),
		// A person waits, and the bound is ours.
		Retry: policy.RetryOptions{MaxRetries: 2},
	}
}

func (a *attempt) fromCredential(ctx context.Context, cred azcore.TokenCredential) (ask.Token, error) {
	t, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{Scope(a.r.Server)}, TenantID: a.r.Tenant})
	if err != nil {
		return ask.Token{}, err
	}
	return ask.Token{Access: t.Token, Expires: t.ExpiresOn}, nil
}

func (a *attempt) managedIdentity(ctx context.Context) (ask.Token, error) {
	opts := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: a.clientOptions()}
	// The endpoint of identities is at hand, so it is asked once more than a distant one.
	opts.Retry.MaxRetries = 3
	switch {
	case a.r.Client != "":
		opts.ID = azidentity.ClientID(a.r.Client)
	case a.r.IdentityResourceID != "":
		opts.ID = azidentity.ResourceID(a.r.IdentityResourceID)
	}
	cred, err := azidentity.NewManagedIdentityCredential(opts)
	if err != nil {
		return ask.Token{}, err
	}
	return a.fromCredential(ctx, cred)
}

func (a *attempt) azureCLI(ctx context.Context) (ask.Token, error) {
	cred, err := azidentity.NewAzureCLICredential(&azidentity.AzureCLICredentialOptions{TenantID: a.r.Tenant, Subscription: a.r.Subscription})
	if err != nil {
		return ask.Token{}, err
	}
	return a.fromCredential(ctx, cred)
}

func (a *attempt) azureDevCLI(ctx context.Context) (ask.Token, error) {
	cred, err := azidentity.NewAzureDeveloperCLICredential(&azidentity.AzureDeveloperCLICredentialOptions{TenantID: a.r.Tenant})
	if err != nil {
		return ask.Token{}, err
	}
	return a.fromCredential(ctx, cred)
}

func (a *attempt) azurePipelines(ctx context.Context) (ask.Token, error) {
	cred, err := azidentity.NewAzurePipelinesCredential(a.r.Tenant, a.r.Client, a.r.ServiceConnection, a.r.PipelinesToken,
		&azidentity.AzurePipelinesCredentialOptions{ClientOptions: a.clientOptions(), DisableInstanceDiscovery: a.r.NoInstanceDiscovery})
	if err != nil {
		return ask.Token{}, err
	}
	return a.fromCredential(ctx, cred)
}

// assertionFromFile reads the token that a pod or a machine has of its own issuer. It is read at each use: it is rotated.
func (a *attempt) assertionFromFile() (string, error) {
	f, err := os.Open(a.r.FederatedTokenFile)
	if err != nil {
		return "", fault.New(fault.Invalid, "", "the federated token cannot be read: %v", err)
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxAssertion))
	if err != nil {
		return "", fault.New(fault.Invalid, "", "the federated token cannot be read: %v", err)
	}
	token := strings.TrimSpace(string(text))
	if strings.Count(token, ".") != 2 {
		return "", fault.New(fault.Invalid, "", "%s holds no token (a JWT of three parts)", a.r.FederatedTokenFile)
	}
	return token, nil
}

// assertionFromGitHub asks GitHub Actions for the job's token.
func (a *attempt) assertionFromGitHub(ctx context.Context) (string, error) {
	bad := func(format string, args ...any) error {
		return fault.New(fault.Unavailable, "", "GitHub Actions gave no token: "+format+
			". The job needs `permissions: id-token: write`", args...)
	}
	u, err := url.Parse(a.r.GitHubURL)
	if err != nil {
		return "", bad("ACTIONS_ID_TOKEN_REQUEST_URL is no URL")
	}
	q := u.Query()
	q.Set("audience", exchangeAudience)
	u.RawQuery = q.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return "", bad("%v", err)
	}
	req.Header.Set("Authorization", "Bearer "+a.r.GitHubToken)
	req.Header.Set("Accept", "application/json; api-version=2.0")
	resp, err := a.transport.client().Do(req)
	if err != nil {
		return "", bad("%v", err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAssertion))
	if err != nil {
		return "", bad("%v", err)
	}
	if resp.StatusCode != http.StatusOK {
		return "", bad("it answered %s: %.200s", resp.Status, strings.TrimSpace(string(body)))
	}
	var out struct {
		Value string `json:"value"`
	}
	if err := json.Unmarshal(body, &out); err != nil || out.Value == "" {
		return "", bad("its answer holds none")
	}
	return out.Value, nil
}
