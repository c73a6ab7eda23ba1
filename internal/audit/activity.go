package audit

import (
	"time"

	"github.com/keyreeve/keyreeve/internal/ident"
)

// ActivityKept is how long activities are kept, as long as Azure keeps them.
const ActivityKept = 90 * 24 * time.Hour

// ActivityStatus says how far a write through Resource Manager came.
type ActivityStatus string

// The statuses, in the words of the activity log.
const (
	ActivityAccepted  ActivityStatus = "Accepted" // goes on; another activity tells of its end
	ActivitySucceeded ActivityStatus = "Succeeded"
	ActivityFailed    ActivityStatus = "Failed"
)

// Activity is one entry of the activity log: a write through Resource Manager, done or refused.
type Activity struct {
	ID           ident.GUID           `json:"id"`
	At           time.Time            `json:"at"`
	Tenant       ident.TenantID       `json:"tenant"`
	Subscription ident.SubscriptionID `json:"subscription"` // zero above subscriptions
	Caller       ident.ObjectID       `json:"caller"`
	// CallerName is a user principal name or an application's id.
	CallerName string `json:"callerName,omitempty"`
	// Action is what was asked for, such as Microsoft.Resources/tags/write.
	Action string `json:"action"`
	// Resource is the id of what it was asked for, as it was sent.
	Resource string         `json:"resource"`
	Status   ActivityStatus `json:"status"`
	// Code and Message say why it failed; HTTPStatus and Method are of the answer and the request, and missing where a long
	// operation ended.
	Code       string `json:"code,omitempty"`
	Message    string `json:"message,omitempty"`
	HTTPStatus int    `json:"httpStatus,omitempty"`
	Method     string `json:"method,omitempty"`
	// Address is where the request came from.
	Address string `json:"address,omitempty"`
	// ClientRequest is the caller's own name for the request.
	ClientRequest string `json:"clientRequest,omitempty"`
	// Correlation ties together what belongs to one request; Operation is the long operation that it started.
	Correlation string `json:"correlation"`
	Operation   string `json:"operation,omitempty"`
	// Body is, of what was done to a role assignment, the assignment in JSON; empty of all else.
	Body string `json:"body,omitempty"`
}
