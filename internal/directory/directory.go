// Package directory owns the directory's objects and rules: tenants, users, groups, applications, service principals.
//
// What is where:
//
//	directory.go    tenants, users, groups, service principals
//	application.go  applications: redirect URIs by platform, what they offer (scopes, app roles) and what they ask for
//	consent.go      what was granted: PermissionGrant (delegated), AppRoleAssignment (application permissions and roles of people)
//	firstparty.go   the applications that every tenant has
//	permissions.go  the permissions of Microsoft Graph
//	roles.go        directory roles
//	access.go       who may do what
//	deleted.go      what was deleted and may be restored
//
// What an application proves itself with is in proof: ClientSecret, ClientKey (certificates), FederatedCredential. Owners
// and memberships are relations of the store.
//
// It is pure: it knows neither storage nor protocols, and takes the time as an input.
package directory

import (
	"time"

	"github.com/keyreeve/keyreeve/internal/ident"
)

// Tenant is a directory.
type Tenant struct {
	ID          ident.TenantID `json:"id"`
	DisplayName string         `json:"displayName"`
	// Domains are the verified domain names, lower case; the first is the default.
	Domains   []string  `json:"domains"`
	CreatedAt time.Time `json:"createdAt"`
	// PasswordGrantClients are the applications that may use the resource owner password grant.
	PasswordGrantClients []ident.ClientID `json:"passwordGrantClients,omitempty"`
	// Members takes away what members may do without a role (authorizationPolicy).
	Members MemberDefaults `json:"members,omitzero"`
}

// User is a person. Secrets are kept apart, as credentials.
type User struct {
	ID                ident.ObjectID `json:"id"`
	Tenant            ident.TenantID `json:"tenant"`
	UserPrincipalName string         `json:"userPrincipalName"`
	DisplayName       string         `json:"displayName"`
	MailNickname      string         `json:"mailNickname,omitempty"`
	GivenName         string         `json:"givenName,omitempty"`
	Surname           string         `json:"surname,omitempty"`
	Mail              string         `json:"mail,omitempty"`
	JobTitle          string         `json:"jobTitle,omitempty"`
	MobilePhone       string         `json:"mobilePhone,omitempty"`
	OfficeLocation    string         `json:"officeLocation,omitempty"`
	PreferredLanguage string         `json:"preferredLanguage,omitempty"`
	BusinessPhones    []string       `json:"businessPhones,omitempty"`
	Department        string         `json:"department,omitempty"`
	UsageLocation     string         `json:"usageLocation,omitempty"` // ISO 3166-1 alpha-2
	// ImmutableID ties the user to an object of another directory (onPremisesImmutableId).
	ImmutableID    string    `json:"immutableId,omitempty"`
	AccountEnabled bool      `json:"accountEnabled"`
	UserType       string    `json:"userType,omitempty"` // Member or Guest
	CreatedAt      time.Time `json:"createdAt"`
	// SessionsValidFrom ends every session begun before it (signInSessionsValidFromDateTime).
	SessionsValidFrom time.Time `json:"sessionsValidFrom"`
	// MustChangePassword asks for a new password at the next sign-in.
	MustChangePassword bool `json:"mustChangePassword,omitempty"`
}

// Group is a security group. Membership is a relation of its own.
type Group struct {
	ID                 ident.ObjectID `json:"id"`
	Tenant             ident.TenantID `json:"tenant"`
	DisplayName        string         `json:"displayName"`
	Description        string         `json:"description,omitempty"`
	MailNickname       string         `json:"mailNickname"`
	SecurityEnabled    bool           `json:"securityEnabled"`
	IsAssignableToRole bool           `json:"isAssignableToRole,omitempty"`
	CreatedAt          time.Time      `json:"createdAt"`
}

// ServicePrincipalType says where a service principal comes from.
type ServicePrincipalType string

// The service principal types.
const (
	TypeApplication     ServicePrincipalType = "Application"
	TypeManagedIdentity ServicePrincipalType = "ManagedIdentity"
)

// ServicePrincipal is an application or a managed identity as a principal of a tenant.
type ServicePrincipal struct {
	ID             ident.ObjectID       `json:"id"`
	Tenant         ident.TenantID       `json:"tenant"`
	AppID          ident.ClientID       `json:"appId"`
	DisplayName    string               `json:"displayName"`
	Type           ServicePrincipalType `json:"type"`
	AccountEnabled bool                 `json:"accountEnabled"`
	CreatedAt      time.Time            `json:"createdAt"`
	// AlternativeNames of a managed identity hold its ARM id.
	AlternativeNames []string `json:"alternativeNames,omitempty"`
	// AssignmentRequired keeps out who has no app role of the application (appRoleAssignmentRequired).
	AssignmentRequired bool     `json:"assignmentRequired,omitempty"`
	Description        string   `json:"description,omitempty"`
	Notes              string   `json:"notes,omitempty"`
	Homepage           string   `json:"homepage,omitempty"`
	LoginURL           string   `json:"loginUrl,omitempty"`
	Tags               []string `json:"tags,omitempty"`
	// SessionsValidFrom ends every token issued before it.
	SessionsValidFrom time.Time `json:"sessionsValidFrom"`
}
