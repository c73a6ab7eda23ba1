package directory

import (
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/internal/ident"
)

func appID(s string) ident.ClientID { return ident.MustParse[ident.ClientID](s) }

// AzureCLI is the Azure CLI, a public client.
func AzureCLI() ident.ClientID { return appID("04b07795-8ddb-461a-bbee-02f9e1bf7b46") }

// AzurePowerShell is Azure PowerShell, a public client.
func AzurePowerShell() ident.ClientID { return appID("1950a258-227b-4e31-a9cf-717495945fc2") }

// AKSClient is the public client that kubelogin signs in with.
func AKSClient() ident.ClientID { return appID("80faf920-1908-4b52-b5ef-a8e7bedfc67a") }

// AKSServer is the application that stands for the API servers of all managed clusters: the audience of their tokens.
func AKSServer() ident.ClientID { return appID("6dae42f8-4368-4678-94ff-3960e28e3630") }

// ResourceManager is Azure Resource Manager.
func ResourceManager() ident.ClientID { return appID("797f4846-ba00-4fd7-ba43-dac1f8f63013") }

// MicrosoftGraph is Microsoft Graph.
func MicrosoftGraph() ident.ClientID { return appID("00000003-0000-0000-c000-000000000000") }

// DecisionPoint is the access decision point: the resource that checkaccess clients ask tokens for. They know it by its
// address alone, so its appId is ours.
func DecisionPoint() ident.ClientID {
	return ident.Derive[ident.ClientID]("first-party application", "https://authorization.azure.net")
}

// FirstParty is an application that every tenant has without registering it, under the appId that clients carry in
// their sources.
type FirstParty struct {
	AppID       ident.ClientID
	DisplayName string
	// Public clients sign people in and keep no secret.
	Public bool
	// Family clients share their refresh tokens (foci), so that one sign-in serves them all.
	Family bool
	// IdentifierURIs name it as a resource, besides its appId; without slashes at the end. Empty for a mere client.
	IdentifierURIs []string
	// Scopes are the delegated permissions a first-party client gets with .default, in the order of the scp claim.
	Scopes []string
	// GroupClaims puts the principal's groups into its tokens.
	GroupClaims bool
}

// Resource reports whether tokens can be asked for it.
func (f FirstParty) Resource() bool { return len(f.Scopes) > 0 }

// graphScopes are the delegated permissions of a first-party client at Microsoft Graph, as the Azure CLI's tokens list them.
func graphScopes() []string {
	return []string{
		"Application.ReadWrite.All", "AppRoleAssignment.ReadWrite.All", "AuditLog.Read.All", "DelegatedPermissionGrant.ReadWrite.All",
		"Directory.AccessAsUser.All", "email", "Group.ReadWrite.All", "openid", "profile", "User.Read.All", "User.ReadWrite.All",
	}
}

// firstParties lists the well-known applications (wire-contract 1).
func firstParties() []FirstParty {
	impersonate := []string{"user_impersonation"}
	return []FirstParty{
		{AppID: AzureCLI(), DisplayName: "Microsoft Azure CLI", Public: true, Family: true},
		{AppID: AzurePowerShell(), DisplayName: "Microsoft Azure PowerShell", Public: true, Family: true},
		{AppID: appID("872cd9fa-d31f-45e0-9eab-6e460a02d1f1"), DisplayName: "Visual Studio", Public: true, Family: true},
		{AppID: appID("aebc6443-996d-45c2-90f0-388ff96faa56"), DisplayName: "Visual Studio Code", Public: true, Family: true},
		{AppID: appID("c44b4083-3bb0-49c1-b47d-974e53cbdf3c"), DisplayName: "Azure Portal"},
		{AppID: AKSClient(), DisplayName: "Azure Kubernetes Service AAD Client", Public: true},
		{
			AppID: AKSServer(), DisplayName: "Azure Kubernetes Service AAD Server", Scopes: impersonate, GroupClaims: true,
			IdentifierURIs: []string{ServicePrincipalURI(AKSServer()), "api://" + AKSServer().String()},
		},
		{AppID: appID("3f4439ff-e698-4d6d-84fe-09c9d574f06b"), DisplayName: "Azure Arc-enabled Kubernetes AAD Client", Public: true},
		{
			AppID: appID("6256c85f-0aad-4d50-b960-e6e9b21efe35"), DisplayName: "Azure Arc-enabled Kubernetes AAD Server",
			Scopes: impersonate, GroupClaims: true,
		},
		{AppID: appID("7319c514-987d-4e9b-ac3d-d38c4f427f4c"), DisplayName: "Azure Kubernetes Service"},
		{
			AppID: ResourceManager(), DisplayName: "Windows Azure Service Management API", Scopes: impersonate, GroupClaims: true,
			IdentifierURIs: []string{"https://management.core.windows.net", "https://management.azure.com"},
		},
		{
			AppID: MicrosoftGraph(), DisplayName: "Microsoft Graph", Scopes: graphScopes(),
			IdentifierURIs: []string{"https://graph.microsoft.com"},
		},
		{
			AppID: DecisionPoint(), DisplayName: "Azure Authorization", Scopes: impersonate,
			IdentifierURIs: []string{"https://authorization.azure.net"},
		},
	}
}

// Catalog finds well-known applications. It is made once and never changed.
type Catalog struct {
	apps []FirstParty
	byID map[ident.ClientID]FirstParty
	uris map[string]ident.ClientID
	// offered is what each offers.
	offered map[ident.ClientID]offer
}

// NewCatalog returns the catalog of an installation. arm and graph are the base URLs of its Resource Manager and Graph:
// clients that were told of a private cloud name these as resources. Empty ones are left out.
func NewCatalog(arm, graph string) *Catalog {
	c := &Catalog{apps: firstParties(), byID: map[ident.ClientID]FirstParty{}, uris: map[string]ident.ClientID{}, offered: map[ident.ClientID]offer{}}
	for i, a := range c.apps {
		switch {
		case a.AppID == ResourceManager() && arm != "":
			a.IdentifierURIs = append(a.IdentifierURIs, strings.TrimRight(arm, "/"))
		case a.AppID == MicrosoftGraph() && graph != "":
			a.IdentifierURIs = append(a.IdentifierURIs, strings.TrimRight(graph, "/"))
		}
		c.apps[i] = a
		c.byID[a.AppID], c.offered[a.AppID] = a, offersOf(a)
		for _, u := range a.IdentifierURIs {
			c.uris[Fold(u)] = a.AppID
		}
	}
	return c
}

// App returns a well-known application by its appId.
func (c *Catalog) App(id ident.ClientID) (FirstParty, bool) {
	a, ok := c.byID[id]
	return a, ok
}

// WellKnown reports whether an application is one that every tenant has.
func WellKnown(id ident.ClientID) bool {
	return slices.ContainsFunc(firstParties(), func(a FirstParty) bool { return a.AppID == id })
}

// Apps returns every well-known application.
func (c *Catalog) Apps() []FirstParty { return slices.Clone(c.apps) }

// Resource returns the well-known resource that a name stands for, and the aud of tokens for it. The name is its appId,
// with or without spn: before it, or an identifier URI without regard to case and a slash at the end; aud keeps the slash, since clients compare it.
func (c *Catalog) Resource(name string) (a FirstParty, aud string, ok bool) {
	trimmed, slash := strings.CutSuffix(name, "/")
	if id, known := c.uris[Fold(trimmed)]; known {
		a = c.byID[id]
		i := slices.IndexFunc(a.IdentifierURIs, func(u string) bool { return strings.EqualFold(u, trimmed) })
		aud = a.IdentifierURIs[i]
		if slash && strings.Contains(aud, "://") {
			aud += "/"
		}
		return a, aud, a.Resource()
	}
	id, aud, ok := ByAppID(trimmed)
	if !ok {
		return FirstParty{}, "", false
	}
	a, ok = c.byID[id]
	return a, aud, ok && a.Resource()
}

// ServicePrincipalURI is the other spelling of an appId as the name of a resource, spn:APPID.
func ServicePrincipalURI(id ident.ClientID) string { return "spn:" + id.String() }

// ByAppID reads the name of a resource that is its appId, in either spelling, and returns the aud of tokens for that name.
func ByAppID(name string) (id ident.ClientID, aud string, ok bool) {
	const prefix = "spn:"
	long := len(name) > len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
	if long {
		name = name[len(prefix):]
	}
	id, err := ident.Parse[ident.ClientID](name)
	if err != nil {
		return id, "", false
	}
	if long {
		return id, ServicePrincipalURI(id), true
	}
	return id, id.String(), true
}

// Audiences returns every aud value in which tokens for a resource may be spelled.
func (c *Catalog) Audiences(id ident.ClientID) []string {
	a, ok := c.byID[id]
	if !ok {
		return nil
	}
	out := []string{}
	for _, u := range a.IdentifierURIs {
		if strings.Contains(u, "://") {
			out = append(out, u+"/")
		}
		if u != ServicePrincipalURI(id) {
			out = append(out, u)
		}
	}
	return append(out, id.String(), ServicePrincipalURI(id))
}

// FirstPartyPrincipal returns the service principal that stands for a well-known application in a tenant. Its id is the
// same on every run.
func FirstPartyPrincipal(t Tenant, a FirstParty) ServicePrincipal {
	return ServicePrincipal{
		ID:     ident.Derive[ident.ObjectID]("first-party service principal", t.ID.String(), a.AppID.String()),
		Tenant: t.ID, AppID: a.AppID, DisplayName: a.DisplayName, Type: TypeApplication, AccountEnabled: true, CreatedAt: t.CreatedAt,
	}
}
