// Package directory owns the directory's objects and rules: tenants, users, groups, applications, service principals.
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

// Application is the registration of a client or a resource.
type Application struct {
	ID             ident.ObjectID `json:"id"`
	AppID          ident.ClientID `json:"appId"`
	Tenant         ident.TenantID `json:"tenant"`
	DisplayName    string         `json:"displayName"`
	IdentifierURIs []string       `json:"identifierUris,omitempty"`
	// RedirectURIs of public clients and web applications; matched exactly (RFC 9700 2.1).
	RedirectURIs []string `json:"redirectUris,omitempty"`
	// Public clients keep no secret (RFC 6749 2.1).
	Public    bool      `json:"public,omitempty"`
	CreatedAt time.Time `json:"createdAt"`
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
	// SessionsValidFrom ends every token issued before it.
	SessionsValidFrom time.Time `json:"sessionsValidFrom"`
}
