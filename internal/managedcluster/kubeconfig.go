package managedcluster

import (
	"encoding/base64"
	"fmt"

	"sigs.k8s.io/yaml"
)

// Well-known applications of AKS.
const (
	ServerApp = "6dae42f8-4368-4678-94ff-3960e28e3630" // the audience of tokens for API servers
	ClientApp = "80faf920-1908-4b52-b5ef-a8e7bedfc67a" // the public client that kubelogin signs in with
)

// installHint is shown by kubectl when kubelogin is not there.
const installHint = "\nkubelogin is not installed which is required to connect to AAD enabled cluster.\n\n" +
	"To learn more, please go to https://aka.ms/aks/kubelogin\n"

// Kubeconfig is what goes into a kubeconfig.
type Kubeconfig struct {
	Kind CredentialKind
	Form CredentialForm
	// CA is the PEM bundle by which the API server is trusted.
	CA string
	// Cert and Key are the client certificate of the Static form, PEM.
	Cert, Key string
	// Authority is the base URL of the token service, without a slash at the end, for the Exec form.
	Authority string
	// AuthorityCA is the PEM bundle by which it is trusted; empty when every machine trusts it.
	AuthorityCA string
}

// The members are in the order in which they are written: alphabetical, as the real service's.
type kubeconfigFile struct {
	APIVersion     string         `json:"apiVersion"`
	Clusters       []namedCluster `json:"clusters"`
	Contexts       []namedContext `json:"contexts"`
	CurrentContext string         `json:"current-context"`
	Kind           string         `json:"kind"`
	Preferences    struct{}       `json:"preferences"`
	Users          []namedUser    `json:"users"`
}

type namedCluster struct {
	Cluster struct {
		CA     []byte `json:"certificate-authority-data"`
		Server string `json:"server"`
	} `json:"cluster"`
	Name string `json:"name"`
}

type namedContext struct {
	Context struct {
		Cluster string `json:"cluster"`
		User    string `json:"user"`
	} `json:"context"`
	Name string `json:"name"`
}

type namedUser struct {
	Name string `json:"name"`
	User user   `json:"user"`
}

type user struct {
	AuthProvider *authProvider `json:"auth-provider,omitempty"`
	Cert         []byte        `json:"client-certificate-data,omitempty"`
	Key          []byte        `json:"client-key-data,omitempty"`
	Exec         *execPlugin   `json:"exec,omitempty"`
}

type authProvider struct {
	Config map[string]string `json:"config"`
	Name   string            `json:"name"`
}

type execPlugin struct {
	APIVersion  string    `json:"apiVersion"`
	Args        []string  `json:"args"`
	Command     string    `json:"command"`
	Env         []execEnv `json:"env"`
	InstallHint string    `json:"installHint"`
	// ProvideClusterInfo stays false: with an extension in the cluster, kubelogin up to 0.2.21 at least cannot read
	// what kubectl tells it.
	ProvideClusterInfo bool `json:"provideClusterInfo"`
}

type execEnv struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// authorityCA is the variable by which a kubeconfig tells Keyreeve's kubelogin whom to trust as the authority; Azure's does not
// know it and needs SSL_CERT_FILE.
const authorityCA = "KEYREEVE_AUTHORITY_CA"

// UserName is the name of the user in a kubeconfig; az tells admins by its beginning.
func (c *Cluster) UserName(kind CredentialKind) string {
	return string(kind) + "_" + c.Group + "_" + c.Name
}

// Kubeconfig returns a kubeconfig for the cluster, as YAML.
func (c *Cluster) Kubeconfig(k Kubeconfig) ([]byte, error) {
	f := kubeconfigFile{APIVersion: "v1", Kind: "Config", CurrentContext: c.Name}
	var cluster namedCluster
	cluster.Name, cluster.Cluster.CA, cluster.Cluster.Server = c.Name, []byte(k.CA), "https://"+c.Endpoint
	var ctx namedContext
	ctx.Name, ctx.Context.Cluster, ctx.Context.User = c.Name, c.Name, c.UserName(k.Kind)
	u := namedUser{Name: c.UserName(k.Kind)}
	switch k.Form {
	case Static:
		u.User.Cert, u.User.Key = []byte(k.Cert), []byte(k.Key)
	case Exec:
		u.User.Exec = c.execPlugin(k.Authority, k.AuthorityCA)
	case AzureProvider:
		u.User.AuthProvider = c.authProvider()
	default:
		return nil, fmt.Errorf("managedcluster: no kubeconfig of form %d", k.Form)
	}
	f.Clusters, f.Contexts, f.Users = []namedCluster{cluster}, []namedContext{ctx}, []namedUser{u}
	out, err := yaml.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("managedcluster: kubeconfig: %w", err)
	}
	return out, nil
}

func (c *Cluster) applications() (server, client string) {
	if c.AAD.Managed {
		return ServerApp, ClientApp
	}
	return c.AAD.ServerAppID, c.AAD.ClientAppID
}

func (c *Cluster) execPlugin(authority, ca string) *execPlugin {
	server, client := c.applications()
	args := []string{
		"get-token",
		"--environment", "AzurePublicCloud",
		"--server-id", server,
		"--client-id", client,
		"--tenant-id", c.AAD.Tenant.String(),
		"--login", "devicecode",
		// A private authority is reached by these two alone, and the slash at the end is needed.
		"--authority-host", authority + "/",
		"--disable-instance-discovery",
	}
	if !c.AAD.Managed {
		args = append(args, "--legacy")
	}
	e := &execPlugin{
		APIVersion: "client.authentication.k8s.io/v1beta1", Command: "kubelogin", Args: args, InstallHint: installHint,
	}
	if ca != "" {
		e.Env = []execEnv{{authorityCA, base64.StdEncoding.EncodeToString([]byte(ca))}}
	}
	return e
}

func (c *Cluster) authProvider() *authProvider {
	server, client := c.applications()
	config := map[string]string{
		"apiserver-id": server, "client-id": client, "environment": "AzurePublicCloud", "tenant-id": c.AAD.Tenant.String(),
	}
	if c.AAD.Managed {
		config["config-mode"] = "1"
	}
	return &authProvider{Name: "azure", Config: config}
}
