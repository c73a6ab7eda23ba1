package arm

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

// pollSeconds is the Retry-After of every answer about work that goes on; without it clients wait 30 seconds.
const pollSeconds = "1"

// operationsAPIVersion is the api-version in polling URLs, as the cluster service writes it.
const operationsAPIVersion = "2016-03-30"

// NewOperation describes work to start.
type NewOperation struct {
	// Resource is the id of the resource worked on, in any letter case.
	Resource string
	// Verb is what is done, as a state: Creating, Updating, Deleting … It chooses the worker.
	Verb     string
	Location string
	// Final is the status at the Location URL when the work is done: 200 or 204.
	Final int
	// Input is what the worker needs besides the resource; it must hold no secret. It may be nil.
	Input any
}

// StartOperation records work in the transaction that starts it; the Runner does it after the commit, on behalf of the
// caller. While another operation runs on the resource, it is refused with OperationNotAllowed.
func (r *Request) StartOperation(tx *store.Tx, n NewOperation) (resource.Operation, error) {
	op := resource.Operation{
		ID: ident.New[ident.OperationID](), Subscription: r.Subscription.ID, Location: n.Location, ResourceKey: strings.ToLower(n.Resource),
		Verb: n.Verb, Status: resource.InProgress, Final: n.Final, StartedAt: r.Now(), StartedBy: r.Caller.Object,
	}
	if n.Input != nil {
		raw, err := json.Marshal(n.Input)
		if err != nil {
			return op, fault.Wrap(err, "arm: input of %s", n.Verb)
		}
		op.Input = raw
	}
	running, err := tx.RunningOperation(op.ResourceKey)
	if err == nil {
		return op, OperationInProgress(running.Verb)
	}
	if !store.IsNotFound(err) {
		return op, err
	}
	op.Origin = resource.Origin{
		Tenant: r.Caller.Tenant, CallerName: r.Caller.Name, Action: r.action(), Resource: r.Scope, Correlation: r.correlation(),
	}
	r.started = &op
	return op, tx.PutOperation(op)
}

// OperationInProgress is the refusal of a write while another operation runs on the resource.
func OperationInProgress(verb string) error {
	return fault.New(fault.Conflict, "OperationNotAllowed",
		"Operation is not allowed: Another operation (%s) is in progress, please wait for it to finish before starting a new operation. "+
			"See https://aka.ms/aks-pending-operation for more details", verb)
}

// FinishOperation ends an operation: Succeeded, or Failed for the public half of cause. It reports false, and changes
// nothing, when the operation has ended already.
func FinishOperation(tx *store.Tx, now time.Time, id ident.OperationID, cause error) (bool, error) {
	status, code, message := resource.Succeeded, "", ""
	if cause != nil {
		f := fault.As(cause)
		status, code, message = resource.Failed, errorCode(f), f.Public
	}
	return endOperation(tx, now, id, status, code, message)
}

// CancelOperation ends an operation as Canceled; its worker's context ends soon after the commit. It reports false when
// the operation has ended already.
func CancelOperation(tx *store.Tx, now time.Time, id ident.OperationID, why string) (bool, error) {
	return endOperation(tx, now, id, resource.Canceled, "OperationCanceled", why)
}

func endOperation(tx *store.Tx, now time.Time, id ident.OperationID, status resource.OperationStatus, code, message string) (bool, error) {
	op, err := tx.Operation(id)
	if err != nil {
		return false, err
	}
	if op.Status != resource.InProgress {
		return false, nil
	}
	op.Status, op.ErrorCode, op.ErrorMessage, op.EndedAt = status, code, message, now.UTC()
	return true, tx.PutOperation(op)
}

// AsyncHeader points the client at the operation's status: Azure-AsyncOperation and Retry-After. Namespace is like
// Microsoft.ContainerService.
func (r *Request) AsyncHeader(namespace string, op resource.Operation) {
	r.w.Header().Set("Azure-AsyncOperation", r.operationURL(namespace, "operations", op))
	r.w.Header().Set("Retry-After", pollSeconds)
}

// LocationHeader points the client at the operation's result: Location and Retry-After.
func (r *Request) LocationHeader(namespace string, op resource.Operation) {
	r.w.Header().Set("Location", r.operationURL(namespace, "operationresults", op))
	r.w.Header().Set("Retry-After", pollSeconds)
}

func (r *Request) operationURL(namespace, kind string, op resource.Operation) string {
	return r.face.BaseURL + "/subscriptions/" + op.Subscription.String() + "/providers/" + namespace + "/locations/" +
		url.PathEscape(op.Location) + "/" + kind + "/" + op.ID.String() + "?api-version=" + operationsAPIVersion
}

// GroupLocationHeader is LocationHeader for work on a whole resource group, whose results lie right below the subscription.
func (r *Request) GroupLocationHeader(op resource.Operation) {
	r.w.Header().Set("Location", r.face.BaseURL+"/subscriptions/"+op.Subscription.String()+"/operationresults/"+op.ID.String()+
		"?api-version="+url.QueryEscape(r.APIVersion))
	r.w.Header().Set("Retry-After", pollSeconds)
}

// mountOperations registers the addresses that clients poll.
func (f *Face) mountOperations() {
	f.routes.add(Route{
		Method: http.MethodGet, Pattern: "/subscriptions/{subscription}/providers/{namespace}/locations/{location}/operations/{operation}",
		Action: Self, Errors: Bare, Handle: f.operationStatus,
	})
	for _, p := range []string{
		"/subscriptions/{subscription}/providers/{namespace}/locations/{location}/operationresults/{operation}",
		"/subscriptions/{subscription}/operationresults/{operation}",
	} {
		f.routes.add(Route{Method: http.MethodGet, Pattern: p, Action: Self, Errors: Bare, Handle: f.operationResult})
	}
}

// operationTime is the form of times in the cluster service's status: up to seven digits, zeros at the end cut.
const operationTime = "2006-01-02T15:04:05.9999999Z"

type operationBody struct {
	Name      string     `json:"name"`
	Status    string     `json:"status"`
	StartTime string     `json:"startTime"`
	EndTime   string     `json:"endTime,omitempty"`
	Error     *errorBody `json:"error,omitempty"`
}

func (f *Face) operationStatus(w http.ResponseWriter, r *Request) error {
	op, err := f.operation(r)
	if err != nil {
		return err
	}
	body := operationBody{Name: op.ID.String(), Status: string(op.Status), StartTime: op.StartedAt.UTC().Format(operationTime)}
	if op.Status == resource.InProgress {
		w.Header().Set("Retry-After", pollSeconds)
	} else {
		body.EndTime = op.EndedAt.UTC().Format(operationTime)
	}
	if op.Status == resource.Failed || op.Status == resource.Canceled {
		body.Error = &errorBody{Code: op.ErrorCode, Message: op.ErrorMessage}
	}
	return r.WriteJSON(http.StatusOK, body)
}

func (f *Face) operationResult(w http.ResponseWriter, r *Request) error {
	op, err := f.operation(r)
	if err != nil {
		return err
	}
	switch op.Status {
	case resource.InProgress:
		w.Header().Set("Retry-After", pollSeconds)
		fallthrough
	case resource.Succeeded:
		// The address stays the same, with the query it was asked with.
		w.Header().Set("Location", f.BaseURL+"/"+strings.TrimLeft(r.HTTP.URL.RequestURI(), "/"))
	default:
		return GatewayError(fault.New(fault.Conflict, op.ErrorCode, "%s", op.ErrorMessage))
	}
	status := http.StatusAccepted
	if op.Status == resource.Succeeded {
		status = op.Final
	}
	w.WriteHeader(status)
	return nil
}

// operation finds the operation of a path, for those who may know of it: who started it, and who may read the resource
// or the subscription.
func (f *Face) operation(r *Request) (resource.Operation, error) {
	missing := fault.New(fault.NotFound, "NotFound", "The operation '%s' was not found.", clip(r.Param("operation")))
	id, err := ident.Parse[ident.OperationID](r.Param("operation"))
	if err != nil {
		return resource.Operation{}, missing
	}
	var op resource.Operation
	err = f.DB.View(r.Context(), func(tx *store.Tx) (err error) {
		op, err = tx.Operation(id)
		return err
	})
	if store.IsNotFound(err) || err == nil && op.Subscription != r.Subscription.ID {
		return op, missing
	}
	if err != nil {
		return op, err
	}
	if op.StartedBy == r.Caller.Object {
		return op, nil
	}
	action := resourceType(op.ResourceKey) + "/read"
	ok, err := r.Allowed(action, op.ResourceKey)
	if err != nil || ok {
		return op, err
	}
	return op, r.Require("Microsoft.Resources/subscriptions/read", "/subscriptions/"+op.Subscription.String())
}

// groupType is the type of resource groups, as actions spell it.
const groupType = "microsoft.resources/subscriptions/resourcegroups"

// resourceType returns the type of what a lower-case resource key names.
func resourceType(key string) string {
	id, err := ident.ParseResourceID(key)
	if err == nil {
		return id.Type()
	}
	if s := strings.Split(key, "/"); len(s) == 7 && s[1] == "subscriptions" && s[3] == "providers" {
		return s[4] + "/" + s[5] // right below a subscription
	}
	return groupType
}
