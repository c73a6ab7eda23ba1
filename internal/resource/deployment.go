package resource

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/ident"
)

// Deployment is a template that was deployed, or is being deployed, into a resource group or a subscription. It holds no
// value of a secure parameter.
type Deployment struct {
	Subscription ident.SubscriptionID `json:"subscription"`
	// Group is the name of the resource group; empty for a deployment of the subscription, which has a location.
	Group    string `json:"group,omitempty"`
	Name     string `json:"name"`
	Location string `json:"location,omitempty"`
	// Mode is Incremental or Complete, State the provisioning state: Accepted, Running, Succeeded, Failed or Canceled.
	Mode      string            `json:"mode"`
	State     string            `json:"state"`
	Operation ident.OperationID `json:"operation"`
	// By is who deploys: every resource is written with what that principal may do at that moment.
	By           ident.ObjectID    `json:"by"`
	Tags         map[string]string `json:"tags,omitempty"`
	Correlation  string            `json:"correlation"`
	Hash         string            `json:"hash"`
	StartedAt    time.Time         `json:"startedAt"`
	EndedAt      time.Time         `json:"endedAt,omitzero"`
	Parameters   json.RawMessage   `json:"parameters,omitempty"`
	Outputs      json.RawMessage   `json:"outputs,omitempty"`
	Providers    json.RawMessage   `json:"providers,omitempty"`
	Dependencies json.RawMessage   `json:"dependencies,omitempty"`
	Steps        []DeploymentStep  `json:"steps,omitempty"`
	Error        *DeploymentError  `json:"error,omitempty"`
}

// DeploymentStep is what a deployment does with one resource.
type DeploymentStep struct {
	ID string `json:"id"`
	// Action is Create or Delete; State is Running, Succeeded or Failed.
	Action     string           `json:"action"`
	Resource   string           `json:"resource"`
	Type       string           `json:"type"`
	Name       string           `json:"name"`
	State      string           `json:"state"`
	StatusCode string           `json:"statusCode,omitempty"`
	StartedAt  time.Time        `json:"startedAt"`
	EndedAt    time.Time        `json:"endedAt,omitzero"`
	Error      *DeploymentError `json:"error,omitempty"`
}

// DeploymentError is an error as answers show it.
type DeploymentError struct {
	Code    string            `json:"code"`
	Message string            `json:"message"`
	Target  string            `json:"target,omitempty"`
	Details []DeploymentError `json:"details,omitempty"`
}

// Scope returns the id of what the deployment deploys into.
func (d Deployment) Scope() string {
	id := "/subscriptions/" + d.Subscription.String()
	if d.Group != "" {
		id += "/resourceGroups/" + d.Group
	}
	return id
}

// ID returns the deployment's id.
func (d Deployment) ID() string {
	return d.Scope() + "/providers/Microsoft.Resources/deployments/" + d.Name
}

// Key is the form in which ids are compared.
func (d Deployment) Key() string { return strings.ToLower(d.ID()) }

// Active reports whether the deployment has not ended.
func (d Deployment) Active() bool { return d.State == "Accepted" || d.State == "Running" }
