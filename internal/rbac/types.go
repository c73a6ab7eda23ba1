package rbac

import (
	"time"

	"github.com/keyreeve/keyreeve/internal/ident"
)

// Permission is one block of a role definition. Patterns are action strings in which '*' stands for any run of
// characters, segments included; letter case does not count.
type Permission struct {
	Actions        []string `json:"actions"`
	NotActions     []string `json:"notActions"`
	DataActions    []string `json:"dataActions"`
	NotDataActions []string `json:"notDataActions"`
}

// RoleType says who made a role definition.
type RoleType string

// The role types, in ARM's spelling.
const (
	BuiltInRole RoleType = "BuiltInRole"
	CustomRole  RoleType = "CustomRole"
)

// RoleDefinition is a named set of permissions (Microsoft.Authorization/roleDefinitions).
type RoleDefinition struct {
	ID               ident.RoleDefinitionID `json:"id"`
	Name             string                 `json:"name"` // roleName
	Type             RoleType               `json:"type"`
	Description      string                 `json:"description"`
	AssignableScopes []string               `json:"assignableScopes"`
	Permissions      []Permission           `json:"permissions"`
	Tenant           ident.TenantID         `json:"tenant"` // zero for built-in roles
	CreatedOn        time.Time              `json:"createdOn"`
	UpdatedOn        time.Time              `json:"updatedOn"`
	CreatedBy        string                 `json:"createdBy,omitempty"`
	UpdatedBy        string                 `json:"updatedBy,omitempty"`
}

// PrincipalType says what kind of object holds an assignment, in ARM's spelling.
type PrincipalType string

// The principal types.
const (
	PrincipalUser             PrincipalType = "User"
	PrincipalGroup            PrincipalType = "Group"
	PrincipalServicePrincipal PrincipalType = "ServicePrincipal"
)

// Assignment gives a principal a role at a scope (Microsoft.Authorization/roleAssignments).
type Assignment struct {
	ID ident.RoleAssignmentID `json:"id"`
	// Scope as it was sent, without a trailing slash; compared without case. "/" is the root.
	Scope            string                 `json:"scope"`
	RoleDefinitionID ident.RoleDefinitionID `json:"roleDefinitionId"`
	// RoleDefinitionSubscription is the subscription whose prefix the role definition id carries in answers.
	RoleDefinitionSubscription ident.SubscriptionID `json:"roleDefinitionSubscription"`
	PrincipalID                ident.ObjectID       `json:"principalId"`
	PrincipalType              PrincipalType        `json:"principalType"`
	Tenant                     ident.TenantID       `json:"tenant"`
	Description                string               `json:"description,omitempty"`
	Condition                  string               `json:"condition,omitempty"`
	ConditionVersion           string               `json:"conditionVersion,omitempty"`
	CreatedOn                  time.Time            `json:"createdOn"`
	UpdatedOn                  time.Time            `json:"updatedOn"`
	CreatedBy                  string               `json:"createdBy,omitempty"`
	UpdatedBy                  string               `json:"updatedBy,omitempty"`
}
