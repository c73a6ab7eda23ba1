package arm

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/internal/caller"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/web"
)

// routeError is an error of a handler, with the form of its route.
type routeError struct {
	form ErrorForm
	err  error
}

func (e *routeError) Error() string { return e.err.Error() }
func (e *routeError) Unwrap() error { return e.err }

// gatewayError is an error that Resource Manager itself speaks, whatever the route.
type gatewayError struct{ err error }

func (e *gatewayError) Error() string { return e.err.Error() }
func (e *gatewayError) Unwrap() error { return e.err }

// GatewayError makes a handler's error one of Resource Manager's own: wrapped, with x-ms-failure-cause. A missing resource
// is one in the real service, whoever's it would be.
func GatewayError(err error) error {
	if err == nil {
		return nil
	}
	return &gatewayError{err: err}
}

// ResourceNotFound is the gateway's answer for a resource that is not there. Type is like
// Microsoft.ContainerService/managedClusters; group is as it was sent.
func ResourceNotFound(resourceType, name, group string) error {
	return GatewayError(fault.New(fault.NotFound, "ResourceNotFound",
		"The Resource '%s/%s' under resource group '%s' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix",
		resourceType, name, group))
}

// StateDeleting and StateSucceeded are the provisioning states of a resource group.
const (
	StateDeleting  = "Deleting"
	StateSucceeded = "Succeeded"
)

// ResourceGroup reads a resource group, or says ResourceGroupNotFound.
func ResourceGroup(tx *store.Tx, sub ident.SubscriptionID, name string) (resource.Group, error) {
	g, err := tx.ResourceGroup(sub, name)
	if store.IsNotFound(err) {
		return g, GatewayError(fault.New(fault.NotFound, "ResourceGroupNotFound", "Resource group '%s' could not be found.", name))
	}
	return g, err
}

// ResourceGroupForWrite is ResourceGroup inside the transaction that puts something into the group: one that is being
// deleted is refused.
func ResourceGroupForWrite(tx *store.Tx, sub ident.SubscriptionID, name string) (resource.Group, error) {
	g, err := ResourceGroup(tx, sub, name)
	if err == nil && g.State == StateDeleting {
		return g, groupBeingDeleted(g.Name)
	}
	return g, err
}

func groupBeingDeleted(name string) error {
	return GatewayError(fault.New(fault.Conflict, "ResourceGroupBeingDeleted",
		"The resource group '%s' is in deprovisioning state and cannot perform this operation.", name))
}

func methodNotAllowed(method string) error {
	return fault.New(fault.Unsupported, "MethodNotAllowed", "The requested resource does not support http method '%s'.", clip(method))
}

// namespaces are the providers that the face speaks of, in ARM's spelling.
func namespaces() []string {
	return []string{
		"Microsoft.Authorization", "Microsoft.Compute", "Microsoft.ContainerService", "Microsoft.Features", "Microsoft.Insights",
		"Microsoft.ManagedIdentity", "Microsoft.Management", "Microsoft.Network", "Microsoft.Resources",
	}
}

// unknownPath says what is not there about a path that no route serves.
func unknownPath(segments []string, query url.Values) error {
	at := -1
	for i, s := range segments {
		if strings.EqualFold(s, "providers") && i%2 == 0 {
			at = i
		}
	}
	if at < 0 || at+1 >= len(segments) {
		return fault.New(fault.NotFound, "ResourceNotFound", "The resource '%s' was not found.", clip(joinPath(segments)))
	}
	ns := segments[at+1]
	i := slices.IndexFunc(namespaces(), func(n string) bool { return strings.EqualFold(n, ns) })
	if i < 0 {
		return fault.New(fault.NotFound, "InvalidResourceNamespace", "The resource namespace '%s' is invalid.", clip(ns))
	}
	var types []string
	for j := at + 2; j < len(segments); j += 2 {
		types = append(types, segments[j])
	}
	if len(types) == 0 {
		return fault.New(fault.NotFound, "ResourceNotFound", "The resource '%s' was not found.", clip(joinPath(segments)))
	}
	return fault.New(fault.NotFound, "InvalidResourceType",
		"The resource type '%s' could not be found in the namespace '%s' for api version '%s'.",
		clip(strings.Join(types, "/")), namespaces()[i], clip(query.Get("api-version")))
}

// httpStatus is the one table from the kind of a fault to its HTTP status.
func httpStatus(f *fault.Error) int {
	switch f.Kind {
	case fault.Invalid:
		return http.StatusBadRequest
	case fault.Unauthenticated:
		return http.StatusUnauthorized
	case fault.Forbidden:
		return http.StatusForbidden
	case fault.NotFound:
		return http.StatusNotFound
	case fault.Conflict:
		return http.StatusConflict
	case fault.TooLarge:
		return http.StatusRequestEntityTooLarge
	case fault.TooMany:
		return http.StatusTooManyRequests
	case fault.Unavailable:
		return http.StatusServiceUnavailable
	case fault.Unsupported:
		return http.StatusMethodNotAllowed
	case fault.Precondition:
		return http.StatusPreconditionFailed
	case fault.Internal:
	}
	return http.StatusInternalServerError
}

// errorCode is the code of a fault that came without one.
func errorCode(f *fault.Error) string {
	if f.Code != "" {
		return f.Code
	}
	switch f.Kind {
	case fault.Invalid:
		return "BadRequest"
	case fault.Unauthenticated:
		return "AuthenticationFailed"
	case fault.Forbidden:
		return "AuthorizationFailed"
	case fault.NotFound:
		return "NotFound"
	case fault.Conflict:
		return "Conflict"
	case fault.TooLarge:
		return "RequestContentTooLarge"
	case fault.TooMany:
		return "TooManyRequests"
	case fault.Unavailable:
		return "ServerBusy"
	case fault.Unsupported:
		return "MethodNotAllowed"
	case fault.Precondition:
		return "PreconditionFailed"
	case fault.Internal:
	}
	return "InternalServerError"
}

// errorBody is an error as it is written; the keys are in the order of the recorded answers.
type errorBody struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Target  string `json:"target,omitempty"`
	// Details are the errors that this one is made of.
	Details []Detail `json:"details,omitempty"`
}

type bareError struct {
	Code    string  `json:"code"`
	Details *string `json:"details"`
	Message string  `json:"message"`
	Subcode string  `json:"subcode"`
	Target  string  `json:"target,omitempty"`
}

type statusError struct {
	StatusCode int    `json:"statusCode"`
	Message    string `json:"message"`
}

// writeError writes an error in the form of its route, or the gateway's.
func (f *Face) writeError(w http.ResponseWriter, r *http.Request, err error) {
	form := FromGateway
	if e, ok := errors.AsType[*routeError](err); ok {
		form = e.form
		if _, ok := errors.AsType[*gatewayError](err); ok {
			form = FromGateway
		}
	}
	e := fault.As(err)
	if e.Kind == fault.Internal {
		// The public half of an internal fault tells nothing but where to look.
		e = fault.New(fault.Internal, "InternalServerError",
			"Encountered internal server error. Diagnostic information: activity id '%s'.", web.EventOf(r).RequestID)
	}
	status := httpStatus(e)
	if e.Kind == fault.Unavailable || e.Kind == fault.TooMany {
		w.Header().Set("Retry-After", "1")
	}
	var body any
	switch form {
	case Bare:
		body = bareError{Code: errorCode(e), Message: e.Public, Target: e.Target}
	case Status:
		body = statusError{StatusCode: status, Message: e.Public}
	case FromGateway:
		w.Header().Set("X-Ms-Failure-Cause", "gateway")
		fallthrough
	default:
		body = map[string]errorBody{"error": {Code: errorCode(e), Message: e.Public, Target: e.Target, Details: detailsOf(err)}}
	}
	if err := web.WriteJSON(w, status, contentType(form), body); err != nil {
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
	}
}

func contentType(form ErrorForm) string {
	if form == Bare {
		return "application/json"
	}
	return "application/json; charset=utf-8"
}

// challenge says where to get a token, as Resource Manager does: with the subscription's tenant where the path has one, from
// which clients learn their authority.
func (f *Face) challenge(w http.ResponseWriter, req *Request, err error) {
	var tenant ident.TenantID
	if s := req.segments; len(s) >= 2 && strings.EqualFold(s[0], "subscriptions") {
		if id, err := ident.Parse[ident.SubscriptionID](s[1]); err == nil {
			if sub, ok := f.World.Subscription(id); ok {
				tenant = sub.Tenant
			}
		}
	}
	w.Header().Set("WWW-Authenticate", caller.Challenge(err, f.LoginURL, tenant, f.Now()))
}
