package arm

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/caller"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/web"
)

// Request is a request that was let through to its handler.
type Request struct {
	HTTP       *http.Request
	Caller     caller.Caller
	APIVersion string
	// Subscription is that of the path; zero if the path has none.
	Subscription resource.Subscription
	// Group is the resource group of a path that goes on below one; else, and with the action Self, zero.
	Group resource.Group
	// Scope is the id, as it was sent, of what the path acts on: the path without a collection or an action at its end.
	Scope string

	face     *Face
	route    *Route
	segments []string
	query    url.Values
	w        http.ResponseWriter
	// started is the long operation that the request began, and noted says that its activity is on record.
	started *resource.Operation
	noted   bool
	// shown is what the activity log keeps of the request's subject.
	shown string
	// admitted says that the caller is known, and is of the subscription's tenant.
	admitted bool
}

// Context returns the request's context.
func (r *Request) Context() context.Context { return r.HTTP.Context() }

// Now returns the time.
func (r *Request) Now() time.Time { return r.face.Now().UTC() }

// Param returns the segment of a {name} of the route's pattern, as it was sent. A name that the pattern lacks is a mistake
// of the program: it panics.
func (r *Request) Param(name string) string {
	s, ok := r.route.param(r.segments, name)
	if !ok {
		panic("arm: pattern " + r.route.Pattern + " has no parameter " + name)
	}
	return s
}

// Prefix returns what {scope...} at the start of the route's pattern stands for, as it was sent: "/" or an id.
func (r *Request) Prefix() string { return joinPath(r.segments[:len(r.segments)-len(r.route.params)]) }

// SubscriptionID returns the id of the path's subscription.
func (r *Request) SubscriptionID() ident.SubscriptionID { return r.Subscription.ID }

// Query returns a query parameter and whether it was sent. Letter case of the name does not count; one sent twice is
// refused.
func (r *Request) Query(name string) (string, bool, error) {
	values := r.queryValues(name)
	switch len(values) {
	case 0:
		return "", false, nil
	case 1:
		return values[0], true, nil
	}
	return "", false, fault.New(fault.Invalid, "InvalidQueryParameter", "The query parameter '%s' was sent more than once.", name)
}

func (r *Request) queryValues(name string) []string {
	var out []string
	for k, v := range r.query {
		if strings.EqualFold(k, name) {
			out = append(out, v...)
		}
	}
	return out
}

// URL returns an address of this face: its origin, a path as it goes on the wire, and a query.
func (r *Request) URL(escapedPath string, query url.Values) string {
	return r.face.BaseURL + "/" + strings.TrimLeft(escapedPath, "/") + "?" + query.Encode()
}

// Body reads the request's body, at most web.MaxBody bytes of it.
func (r *Request) Body() ([]byte, error) { return web.ReadBody(r.w, r.HTTP, web.MaxBody) }

// DecodeJSON reads the request's JSON body into v. Unknown fields are let through.
func (r *Request) DecodeJSON(v any) error { return web.DecodeJSON(r.w, r.HTTP, v) }

// WriteJSON answers with v.
func (r *Request) WriteJSON(status int, v any) error {
	return web.WriteJSON(r.w, status, contentType(r.route.Errors), v)
}

// Allowed reports whether the caller may do a control action at a scope. What cannot be decided is an Unavailable fault.
func (r *Request) Allowed(action, scope string) (bool, error) {
	return r.allowed(r.asks(action, scope, nil))
}

func (r *Request) asks(action, scope string, d *rbac.Delegation) rbac.Request {
	return rbac.Request{Principal: r.Caller.Object, Action: action, Scope: scope, Delegation: d}
}

func (r *Request) allowed(asked rbac.Request) (bool, error) {
	if _, _, err := r.face.World.Status(); err != nil {
		return false, undecided(err)
	}
	switch r.face.World.Decide(asked).Verdict {
	case rbac.Allow:
		return true, nil
	case rbac.Deny:
		return false, nil
	case rbac.Unknown:
	}
	return false, undecided(nil)
}

func undecided(cause error) error {
	return fault.New(fault.Unavailable, "AuthorizationUndecided", "Whether the request is authorized cannot be decided now. Please try again.").Because(cause)
}

// Require returns AuthorizationFailed unless the caller may do a control action at a scope.
func (r *Request) Require(action, scope string) error { return r.require(action, scope, nil) }

// RequireDelegated is Require for writing or deleting a role assignment, which conditions may narrow by what is assigned to
// whom. Handlers of Conditional routes call it once they know.
func (r *Request) RequireDelegated(action, scope string, d rbac.Delegation) error {
	return r.require(action, scope, &d)
}

func (r *Request) require(action, scope string, d *rbac.Delegation) error {
	asked := r.asks(action, scope, d)
	ok, err := r.allowed(asked)
	if err != nil {
		return err
	}
	if ok {
		return nil
	}
	if x := r.face.World.Explain(asked); x.Denial != nil && len(x.Grants) > 0 {
		return r.deniedBy(&x.Denial.Assignment, action, scope)
	}
	return r.notAuthorized(action, scope, d != nil && !d.Later)
}

// deniedBy is the refusal of what a role grants and a deny assignment takes away.
func (r *Request) deniedBy(d *rbac.DenyAssignment, action, scope string) error {
	return GatewayError(fault.New(fault.Forbidden, "DenyAssignmentAuthorizationFailed",
		"The client '%s' with object id '%s' has permission to perform action '%s' on scope '%s'; however, the access is denied because of "+
			"the deny assignment with name '%s' and Id '%s' at scope '%s'.", r.Caller.Name, r.Caller.Object, action, scope, d.Name, d.ID.Compact(), d.Scope))
}

// NotAuthorized is the refusal of an action at a scope.
func (r *Request) NotAuthorized(action, scope string) error {
	return r.notAuthorized(action, scope, false)
}

func (r *Request) notAuthorized(action, scope string, conditional bool) error {
	or := ""
	if conditional {
		or = "or an ABAC condition not fulfilled "
	}
	return GatewayError(fault.New(fault.Forbidden, "AuthorizationFailed",
		"The client '%s' with object id '%s' does not have authorization %sto perform action '%s' over scope '%s' or the scope is invalid. "+
			"If access was recently granted, please refresh your credentials.", r.Caller.Name, r.Caller.Object, or, action, scope))
}

// HoldsRole reports whether the caller, directly or through a group, holds any role at the scope, above it or below it.
func (r *Request) HoldsRole(scope string) bool {
	holds := func(principal ident.ObjectID) bool {
		for _, g := range r.face.World.GrantsOf(principal) {
			if w := r.face.World; w.Covers(r.Caller.Tenant, g.Assignment.Scope, scope) || w.Covers(r.Caller.Tenant, scope, g.Assignment.Scope) {
				return true
			}
		}
		return false
	}
	return holds(r.Caller.Object) || slices.ContainsFunc(r.face.World.GroupsOf(r.Caller.Object), holds)
}

// Audit appends a record of what the caller did to the transaction that does it, and to the activity log. Detail values are
// never secrets.
func (r *Request) Audit(tx *store.Tx, event audit.Event, target string, detail map[string]string) error {
	if err := r.noteDone(tx); err != nil {
		return err
	}
	return tx.Audit(audit.Record{
		At: r.Now(), Event: event, Tenant: r.Caller.Tenant, Actor: r.Caller.Object, ActorName: r.Caller.Name,
		Target: target, Correlation: web.EventOf(r.HTTP).RequestID.String(), Detail: detail,
	})
}
