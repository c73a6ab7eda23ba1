// Package audit owns the record of what was done: a closed list of events, and which fields each may carry.
//
// Fields are values of the product, never secrets: no token, password, code or key goes into one.
package audit

import (
	"time"

	"github.com/keyreeve/keyreeve/internal/ident"
)

// Event names what happened. The list is closed.
type Event string

// The events.
const (
	SignIn                 Event = "signIn"
	SignInFailed           Event = "signInFailed"
	TokenIssued            Event = "tokenIssued"
	RefreshReused          Event = "refreshTokenReused"
	CodeReused             Event = "authorizationCodeReused"
	DeviceApproved         Event = "deviceApproved"
	DeviceDeclined         Event = "deviceDeclined"
	SessionRevoked         Event = "sessionRevoked"
	UserCreated            Event = "userCreated"
	UserUpdated            Event = "userUpdated"
	UserDeleted            Event = "userDeleted"
	GroupCreated           Event = "groupCreated"
	GroupUpdated           Event = "groupUpdated"
	GroupDeleted           Event = "groupDeleted"
	MemberAdded            Event = "memberAdded"
	MemberRemoved          Event = "memberRemoved"
	OwnerAdded             Event = "ownerAdded"
	OwnerRemoved           Event = "ownerRemoved"
	ApplicationCreated     Event = "applicationCreated"
	ApplicationUpdated     Event = "applicationUpdated"
	ApplicationDeleted     Event = "applicationDeleted"
	PrincipalCreated       Event = "servicePrincipalCreated"
	PrincipalUpdated       Event = "servicePrincipalUpdated"
	PrincipalDeleted       Event = "servicePrincipalDeleted"
	AppCredentialAdded     Event = "applicationCredentialAdded"
	AppCredentialRemoved   Event = "applicationCredentialRemoved"
	FederationWritten      Event = "federatedCredentialWritten"
	FederationDeleted      Event = "federatedCredentialDeleted"
	ConsentGiven           Event = "consentGiven"
	ConsentTaken           Event = "consentTaken"
	AppRoleGiven           Event = "appRoleAssigned"
	AppRoleTaken           Event = "appRoleUnassigned"
	DirectoryRoleGiven     Event = "directoryRoleAssigned"
	DirectoryRoleTaken     Event = "directoryRoleUnassigned"
	ObjectRestored         Event = "objectRestored"
	ObjectPurged           Event = "objectPurged"
	PasswordChanged        Event = "passwordChanged"
	PolicyUpdated          Event = "policyUpdated"
	RoleAssigned           Event = "roleAssignmentCreated"
	RoleUnassigned         Event = "roleAssignmentDeleted"
	DenyAssigned           Event = "denyAssignmentWritten"
	DenyUnassigned         Event = "denyAssignmentDeleted"
	RoleDefinitionWritten  Event = "roleDefinitionWritten"
	RoleDefinitionDeleted  Event = "roleDefinitionDeleted"
	ManagementGroupWritten Event = "managementGroupWritten"
	ManagementGroupDeleted Event = "managementGroupDeleted"
	SubscriptionMoved      Event = "subscriptionMoved"
	ResourceGroupWritten   Event = "resourceGroupWritten"
	ResourceGroupDeleted   Event = "resourceGroupDeleted"
	ResourceTagged         Event = "resourceTagged"
	LockWritten            Event = "lockWritten"
	LockDeleted            Event = "lockDeleted"
	ClusterWritten         Event = "clusterWritten"
	ClusterDeleted         Event = "clusterDeleted"
	ClusterStarted         Event = "clusterStarted"
	ClusterStopped         Event = "clusterStopped"
	ClusterCertsRotated    Event = "clusterCertificatesRotated"
	LocalAccountsDisabled  Event = "localAccountsDisabled"
	LocalAccountsEnabled   Event = "localAccountsEnabled"
	CredentialIssued       Event = "clusterCredentialIssued"
	CertificateRevoked     Event = "clusterCertificateRevoked"
	GateTokenIssued        Event = "gateTokenIssued"
	GateEnrolled           Event = "gateEnrolled"
	ClusterRecovered       Event = "clusterRecovered"
	SigningKeyRotated      Event = "signingKeyRotated"
)

// Record is one entry of the audit log.
type Record struct {
	At     time.Time      `json:"at"`
	Event  Event          `json:"event"`
	Tenant ident.TenantID `json:"tenant"`
	// Actor is who did it; ActorName is readable: a user principal name, an application's name, or a program's.
	Actor     ident.ObjectID `json:"actor"`
	ActorName string         `json:"actorName,omitempty"`
	// Target is what it was done to: an object id, a resource id, a fingerprint.
	Target string `json:"target,omitempty"`
	// Correlation is the request id shown to the caller.
	Correlation string `json:"correlation,omitempty"`
	// Detail holds further values by name.
	Detail map[string]string `json:"detail,omitempty"`
}
