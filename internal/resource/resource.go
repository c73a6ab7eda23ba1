// Package resource owns the ARM objects that hold others: subscriptions, resource groups, and the record of a
// long-running operation. It is pure.
package resource

import (
	"encoding/json"
	"time"

	"github.com/keyreeve/keyreeve/internal/ident"
)

// Subscription is a subscription of a tenant.
type Subscription struct {
	ID          ident.SubscriptionID `json:"id"`
	Tenant      ident.TenantID       `json:"tenant"`
	DisplayName string               `json:"displayName"`
	State       string               `json:"state"` // Enabled
	Tags        map[string]string    `json:"tags,omitempty"`
	// ManagementGroup is the name of the management group that the subscription is in; empty is the tenant's root group.
	ManagementGroup string    `json:"managementGroup,omitempty"`
	CreatedAt       time.Time `json:"createdAt"`
}

// Group is a resource group. Its name keeps the spelling of its creation and is compared without case.
type Group struct {
	Subscription ident.SubscriptionID `json:"subscription"`
	Name         string               `json:"name"`
	Location     string               `json:"location"`
	ManagedBy    string               `json:"managedBy,omitempty"`
	Tags         map[string]string    `json:"tags,omitempty"`
	// State is the provisioning state: Succeeded or Deleting.
	State     string    `json:"state"`
	CreatedAt time.Time `json:"createdAt"`
}

// OperationStatus is the state of a long-running operation, in ARM's words.
type OperationStatus string

// The operation states.
const (
	InProgress OperationStatus = "InProgress"
	Succeeded  OperationStatus = "Succeeded"
	Failed     OperationStatus = "Failed"
	Canceled   OperationStatus = "Canceled"
)

// Origin is what the activity log tells of the request that started an operation.
type Origin struct {
	Tenant      ident.TenantID `json:"tenant"`
	CallerName  string         `json:"callerName"`
	Action      string         `json:"action"`
	Resource    string         `json:"resource"`
	Correlation string         `json:"correlation"`
}

// Operation is a long-running operation on a resource. It is written before the work starts, so that a crash leaves
// a record from which the work goes on.
type Operation struct {
	ID           ident.OperationID    `json:"id"`
	Subscription ident.SubscriptionID `json:"subscription"`
	Location     string               `json:"location"`
	// ResourceKey is the lower-case id of the resource worked on.
	ResourceKey string `json:"resourceKey"`
	// Verb says what is done, as in the text "Another operation (Updating) is in progress": Creating, Updating, Deleting …
	Verb   string          `json:"verb"`
	Status OperationStatus `json:"status"`
	// Final is the status of the answer at the Location URL when the work is done: 200 or 204.
	Final     int       `json:"final"`
	StartedAt time.Time `json:"startedAt"`
	// StartedBy is who asked for it, and may always see how it goes; zero for the program itself.
	StartedBy ident.ObjectID `json:"startedBy"`
	EndedAt   time.Time      `json:"endedAt"`
	// Origin is the request that started it, for the activity log.
	Origin Origin `json:"origin,omitzero"`
	// ErrorCode and ErrorMessage say why it failed.
	ErrorCode    string `json:"errorCode,omitempty"`
	ErrorMessage string `json:"errorMessage,omitempty"`
	// Input is what the worker needs to go on after a restart; it holds no secret.
	Input json.RawMessage `json:"input,omitempty"`
}
