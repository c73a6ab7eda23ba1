package arm

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/keyreeve/keyreeve/internal/caller"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/web"
	"github.com/keyreeve/keyreeve/internal/world"
)

// Authenticator finds out who sent a request. It returns a fault of kind Unauthenticated whose code and text may be shown,
// or one of kind Unavailable when it cannot know.
type Authenticator interface {
	Authenticate(r *http.Request) (caller.Caller, error)
}

// Face is the Resource Manager API. The rooms below it register their routes with Handle before the first request; then
// it is an http.Handler for a listener of its own. It must not be put behind an http.ServeMux, which would redirect
// paths such as //metadata/endpoints.
type Face struct {
	DB    *store.DB
	World *world.World
	Auth  Authenticator
	// BaseURL is the face's own origin, LoginURL, GraphURL and PortalURL those of the other faces: https, no slash at the end.
	BaseURL, LoginURL, GraphURL, PortalURL string
	// Supports tells which api-versions a resource type has; without it, none is known to be too old.
	Supports func(namespace, kind string) (s Supported, known bool)
	// CloudName is the name the metadata documents give; empty is "Keyreeve".
	CloudName string
	Now       func() time.Time
	Log       *slog.Logger

	own      sync.Once
	routes   table
	serving  sync.Once
	handler  http.Handler
	refusals waiting
}

// Handle registers a route. It panics on one that is not whole or there twice.
func (f *Face) Handle(r Route) {
	f.own.Do(f.mountOwn)
	f.routes.add(r)
}

func (f *Face) mountOwn() {
	f.mountMetadata()
	f.mountOperations()
}

// ServeHTTP serves the API.
func (f *Face) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.own.Do(f.mountOwn)
	f.serving.Do(func() {
		f.handler = web.Adapter{Log: f.Log, Now: f.Now, Face: "arm", WriteError: f.writeError}.Handle(f.serve)
	})
	f.handler.ServeHTTP(w, r)
}

// serve takes a request through the checks that every route shares, in their order.
func (f *Face) serve(w http.ResponseWriter, httpReq *http.Request) error {
	return f.serveAs(f.Auth, w, httpReq)
}

func (f *Face) serveAs(auth Authenticator, w http.ResponseWriter, httpReq *http.Request) error {
	req, err := f.routed(w, httpReq)
	if err != nil {
		return err
	}
	req.auth = auth
	if req.route.Public {
		return handled(req.route, w, req)
	}
	err = f.admit(w, req)
	if err == nil {
		err = handled(req.route, w, req)
	}
	f.note(req, err)
	return err
}

// routed finds the route of a request.
func (f *Face) routed(w http.ResponseWriter, httpReq *http.Request) (*Request, error) {
	f.standardHeaders(w, httpReq)
	segments, err := splitPath(httpReq.URL.EscapedPath())
	if err != nil {
		return nil, err
	}
	query, err := url.ParseQuery(httpReq.URL.RawQuery)
	if err != nil {
		return nil, fault.New(fault.Invalid, "InvalidRequestUri", "The request URI is invalid: the query is malformed.")
	}
	leaf := f.routes.find(segments)
	if leaf == nil {
		return nil, unknownPath(segments, query)
	}
	route, allowed := leaf.route(httpReq.Method)
	if route == nil {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		return nil, methodNotAllowed(httpReq.Method)
	}
	return &Request{HTTP: httpReq, Scope: route.scope(segments), face: f, route: route, segments: segments, query: query, w: w}, nil
}

func handled(route *Route, w http.ResponseWriter, req *Request) error {
	if err := route.Handle(w, req); err != nil {
		return &routeError{form: route.Errors, err: err}
	}
	return nil
}

// admit decides whether a request may go on to its handler, and fills in what it is about.
func (f *Face) admit(w http.ResponseWriter, req *Request) error {
	who, err := req.auth.Authenticate(req.HTTP)
	if err != nil {
		if fault.Is(err, fault.Unauthenticated) {
			f.challenge(w, req, err)
		}
		return err
	}
	req.Caller = who
	ev := web.EventOf(req.HTTP)
	ev.Add("caller", who.Object.String())
	if req.APIVersion, err = apiVersion(req); err != nil {
		return err
	}
	if err := f.checkVersion(req); err != nil {
		return err
	}
	if err := f.subscription(w, req); err != nil {
		return err
	}
	req.admitted = true
	if req.route.Action == Self {
		return f.locked(req) // who may not look must not learn which groups there are
	}
	var later *rbac.Delegation
	if req.route.Conditional {
		later = &rbac.Delegation{Later: true}
	}
	if err := req.require(req.route.Action, req.Scope, later); err != nil {
		return err
	}
	if err := f.resourceGroup(req); err != nil {
		return err
	}
	return f.locked(req)
}

// subscription finds the subscription of the path and holds it against the caller's tenant.
func (f *Face) subscription(w http.ResponseWriter, req *Request) error {
	if len(req.segments) < 2 || !strings.EqualFold(req.segments[0], "subscriptions") {
		return nil
	}
	text := req.segments[1]
	id, err := ident.Parse[ident.SubscriptionID](text)
	if err != nil {
		return fault.New(fault.Invalid, "InvalidSubscriptionId", "The provided subscription identifier '%s' is malformed or invalid.", clip(text))
	}
	sub, ok := f.World.Subscription(id)
	if !ok {
		return fault.New(fault.NotFound, "SubscriptionNotFound", "The subscription '%s' could not be found.", id)
	}
	if sub.Tenant != req.Caller.Tenant {
		err := wrongTenant(f.LoginURL, req.Caller.Tenant, sub.Tenant)
		f.challenge(w, req, err)
		return err
	}
	req.Subscription = sub
	return nil
}

// resourceGroup finds the group of a path that goes on below it, or checks that the scope of a path lies in one that is
// there. A group that is being deleted takes no writes.
func (f *Face) resourceGroup(req *Request) error {
	s := req.segments
	if len(s) < 5 || !strings.EqualFold(s[0], "subscriptions") || !strings.EqualFold(s[2], "resourceGroups") {
		return nil
	}
	var group resource.Group
	err := f.DB.View(req.Context(), func(tx *store.Tx) (err error) {
		group, err = ResourceGroup(tx, req.Subscription.ID, s[3])
		return err
	})
	if err != nil {
		return err
	}
	if slices.Contains([]string{http.MethodPut, http.MethodPatch, http.MethodPost}, req.HTTP.Method) && group.State == StateDeleting {
		return groupBeingDeleted(group.Name)
	}
	req.Group = group
	return nil
}

var apiVersionForm = regexp.MustCompile(`^(20[0-9]{2})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])(-(?i:preview|alpha|beta|rc|privatepreview))?$`)

// apiVersion returns the api-version of a request. Any is good that has the form of one and is not before 2015.
func apiVersion(req *Request) (string, error) {
	values := req.queryValues("api-version")
	switch {
	case len(values) == 0 || values[0] == "":
		return "", fault.New(fault.Invalid, "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required for all requests.")
	case len(values) > 1 || !apiVersionForm.MatchString(values[0]) || values[0] < "2015":
		return "", fault.New(fault.Invalid, "InvalidApiVersionParameter",
			"The api-version '%s' is invalid. The supported versions are dates of the form YYYY-MM-DD, optionally followed by '-preview'.", clip(values[0]))
	}
	return values[0], nil
}

// clip bounds a piece of a request that goes back in an error text.
func clip(s string) string {
	const most = 128
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

func wrongTenant(login string, have, want ident.TenantID) *fault.Error {
	return fault.New(fault.Unauthenticated, "InvalidAuthenticationTokenTenant",
		"The access token is from the wrong issuer '%s'. It must match the tenant '%s' associated with this subscription. "+
			"Please use the authority (URL) '%s' to get the token. Note, if the subscription is transferred to another tenant there is no "+
			"impact to the services, but information about new tenant could take time to propagate (up to an hour). If you just "+
			"transferred your subscription and see this error message, please try back later.",
		issuer(login, have)+"/", issuer(login, want)+"/", issuer(login, want))
}

func issuer(login string, t ident.TenantID) string { return fmt.Sprintf("%s/%s", login, t) }
