package managedcluster

import (
	"strings"

	"github.com/keyreeve/keyreeve/internal/fault"
)

// CredentialKind says which credential is asked for; it is the name of the kubeconfig in the answer.
type CredentialKind string

// The credential kinds.
const (
	ClusterUser  CredentialKind = "clusterUser"
	ClusterAdmin CredentialKind = "clusterAdmin"
)

// CredentialForm is what a kubeconfig holds.
type CredentialForm int

// The forms.
const (
	// Static holds a client certificate.
	Static CredentialForm = iota + 1
	// Exec runs kubelogin.
	Exec
	// AzureProvider is the auth provider of kubectl before 1.26.
	AzureProvider
)

// CredentialForm decides what a credential call hands out, or why nothing. format is the query parameter of the same
// name: azure, exec, or empty for the default of the cluster's version. It counts for users of Entra clusters alone.
func (c *Cluster) CredentialForm(kind CredentialKind, format string) (CredentialForm, error) {
	if c.ProvisioningState == Deleting {
		return 0, fault.New(fault.Conflict, "OperationNotAllowed",
			"Operation is not allowed: Another operation (Deleting) is in progress, please wait for it to finish before starting a new operation. "+
				"See https://aka.ms/aks-pending-operation for more details")
	}
	if kind == ClusterUser && c.Entra() {
		switch strings.ToLower(format) {
		case "":
			if !c.defaultsToExec() {
				return AzureProvider, nil
			}
			return Exec, nil
		case "exec":
			return Exec, nil
		case "azure":
			return AzureProvider, nil
		}
		return 0, invalidParameter("format", "'%s' is neither azure nor exec.", cut(format))
	}
	if c.IsAttached() {
		return 0, noCertificates()
	}
	if c.LocalAccountsDisabled {
		return 0, fault.New(fault.Invalid, "BadRequest", "Getting static credential is not allowed because this cluster is set to disable local accounts.")
	}
	return Static, nil
}
