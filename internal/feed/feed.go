// Package feed owns the form of the change feed: what one commit tells those who follow the store.
//
// One commit is one Change with one Revision. A snapshot is a Change too: the events that make an empty world
// equal to the store at that revision. The package holds no state and knows neither SQL nor the network.
package feed

import (
	"encoding/json"
	"time"
)

// Revision numbers commits from 1 without gaps. 0 is the empty store.
type Revision int64

// Kind says what sort of object an event is about, and so the type of its value.
type Kind string

// The kinds, with the key and the value of their events. Secrets never travel in the feed.
const (
	Tenant           Kind = "tenant"           // key TenantID; directory.Tenant
	User             Kind = "user"             // key ObjectID; directory.User
	Group            Kind = "group"            // key ObjectID; directory.Group
	Application      Kind = "application"      // key ObjectID; directory.Application
	ServicePrincipal Kind = "servicePrincipal" // key ObjectID; directory.ServicePrincipal
	Member           Kind = "member"           // key groupID/memberID; no value
	Memberships      Kind = "memberships"      // key memberID; a list of groupIDs. Of snapshots alone: a Member event for each
	DirectoryRole    Kind = "directoryRole"    // key roleTemplateID/principalID; no value
	// PermissionGrant is consent; AppRoleAssignment a permission that an application or a person was given at a resource.
	PermissionGrant   Kind = "permissionGrant"   // key GrantID; directory.PermissionGrant
	AppRoleAssignment Kind = "appRoleAssignment" // key GrantID; directory.AppRoleAssignment
	Subscription      Kind = "subscription"      // key SubscriptionID; resource.Subscription
	ManagementGroup   Kind = "managementGroup"   // key TenantID/lower-case name; resource.ManagementGroup
	ResourceGroup     Kind = "resourceGroup"     // key lower-case resource id; resource.Group
	RoleDefinition    Kind = "roleDefinition"    // key RoleDefinitionID; rbac.RoleDefinition (custom ones)
	RoleAssignment    Kind = "roleAssignment"    // key RoleAssignmentID; rbac.Assignment
	DenyAssignment    Kind = "denyAssignment"    // key DenyAssignmentID; rbac.DenyAssignment
	Cluster           Kind = "cluster"           // key ClusterID; managedcluster.Cluster
	Certificate       Kind = "certificate"       // key hex SHA-256; pki.Issued
	Session           Kind = "session"           // key SessionID; session.Session, without its secrets
	Operation         Kind = "operation"         // key OperationID; resource.Operation
	SigningKey        Kind = "signingKey"        // key kid; keyring.Public
	// Private covers writes that followers need not know: codes, refresh tokens, credentials, audit records.
	Private Kind = "private" // key empty; no value
)

// Op says what happened to the object.
type Op string

// The operations. Put makes or replaces; Delete of an absent object is no error.
const (
	Put    Op = "put"
	Delete Op = "delete"
)

// Event is one object's change.
type Event struct {
	Kind  Kind            `json:"kind"`
	Op    Op              `json:"op"`
	Key   string          `json:"key"`
	Value json.RawMessage `json:"value,omitempty"`
}

// Change is what one commit did, in the order it was done.
type Change struct {
	Revision Revision  `json:"revision"`
	At       time.Time `json:"at"`
	Events   []Event   `json:"events"`
	// Partial is true of a part of a snapshot that more parts of the same revision follow: a large store is told in parts.
	Partial bool `json:"-"`
}
