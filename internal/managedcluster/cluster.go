// Package managedcluster owns the rules of the AKS resource: what a managed cluster is, which changes of its identity
// profile and local accounts are allowed, which credentials it hands out, and what each refusal says.
//
// It is pure: no SQL, no HTTP, no clock, no certificates.
package managedcluster

import (
	"encoding/json"
	"time"

	"github.com/keyreeve/keyreeve/internal/ident"
)

// AAD is the part of properties.aadProfile that is interpreted.
type AAD struct {
	// Managed is true for the managed integration and false for the legacy one.
	Managed         bool             `json:"managed"`
	AdminGroups     []ident.ObjectID `json:"adminGroups,omitempty"` // adminGroupObjectIDs
	EnableAzureRBAC *bool            `json:"enableAzureRBAC,omitempty"`
	Tenant          ident.TenantID   `json:"tenant"` // tenantID
	ClientAppID     string           `json:"clientAppId,omitempty"`
	ServerAppID     string           `json:"serverAppId,omitempty"`
}

// Identity is a managed identity: a service principal of the cluster's tenant.
type Identity struct {
	Object ident.ObjectID `json:"object"`
	Client ident.ClientID `json:"client"`
}

// Provisioning states, as ARM spells them.
const (
	Succeeded = "Succeeded"
	Failed    = "Failed"
	Creating  = "Creating"
	Updating  = "Updating"
	Deleting  = "Deleting"
	Canceled  = "Canceled"
	Starting  = "Starting"
	Stopping  = "Stopping"
	// Rotating is the state while certificates are rotated.
	Rotating = "RotatingClusterCertificates"
)

// Power states of clusters and agent pools.
const (
	Running = "Running"
	Stopped = "Stopped"
)

// Cluster is a managed cluster as it is stored: what Keyreeve interprets as fields, the rest of the ARM body as sent.
type Cluster struct {
	ID           ident.ClusterID      `json:"id"`
	Subscription ident.SubscriptionID `json:"subscription"`
	Tenant       ident.TenantID       `json:"tenant"` // the subscription's
	Group        string               `json:"group"`
	Name         string               `json:"name"`
	Location     string               `json:"location"`

	AAD                   *AAD `json:"aad,omitempty"`
	LocalAccountsDisabled bool `json:"localAccountsDisabled"`
	// Epoch counts how often local accounts were disabled or the certificates rotated. Admin certificates of an
	// earlier epoch are void.
	Epoch int64 `json:"epoch"`
	// Generation counts what the running cluster must be started again for: new authorities, other nodes.
	Generation int64 `json:"generation"`
	// ProvisioningState and PowerState as ARM spells them.
	ProvisioningState string `json:"provisioningState"`
	PowerState        string `json:"powerState"`
	// Endpoint is the address of the API server, HOST:PORT.
	Endpoint string `json:"endpoint"`
	// FQDN is the API server's name, which its certificate carries.
	FQDN string `json:"fqdn"`
	// KubernetesVersion is what runs. NamedVersion is the version that the cluster is named for; the body holds what was
	// asked for, which may be a minor version.
	KubernetesVersion string `json:"kubernetesVersion"`
	NamedVersion      string `json:"namedVersion,omitempty"`
	NodeResourceGroup string `json:"nodeResourceGroup"`
	// ServiceCIDR and PodCIDR are the IPv4 ranges of services and pods.
	ServiceCIDR string `json:"serviceCIDR"`
	PodCIDR     string `json:"podCIDR"`
	Pools       []Pool `json:"pools"`
	// ControlPlane and Kubelet are the cluster's managed identities; they live and die with it.
	ControlPlane Identity `json:"controlPlane"`
	Kubelet      Identity `json:"kubelet"`
	// Attached is set for somebody else's API server, which Keyreeve does not run.
	Attached *Attached `json:"attached,omitempty"`

	// Body is the resource's ARM body as last accepted: fields that Keyreeve does not interpret are kept and returned.
	Body      json.RawMessage `json:"body"`
	CreatedAt time.Time       `json:"createdAt"`
	CreatedBy ident.ObjectID  `json:"createdBy"`
}

// Entra reports whether sign-in with Entra tokens is set up.
func (c *Cluster) Entra() bool { return c.AAD != nil }

// ResourceID returns the ARM id in the spelling the cluster service uses in its answers (resourcegroups in lower case).
func (c *Cluster) ResourceID() string {
	return "/subscriptions/" + c.Subscription.String() + "/resourcegroups/" + c.Group +
		"/providers/Microsoft.ContainerService/managedClusters/" + c.Name
}
