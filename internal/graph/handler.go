package graph

import (
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/caller"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/logon"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/web"
	"github.com/keyreeve/keyreeve/internal/world"
)

// Auth says who asks. Its errors are faults: Unauthenticated, or Unavailable when it cannot know.
type Auth interface {
	Authenticate(r *http.Request) (caller.Caller, error)
}

// Handler serves the Graph origin. All fields but Catalog and Logon are needed.
type Handler struct {
	DB    *store.DB
	World *world.World
	Auth  Auth
	// Catalog knows the names of applications that nobody registers; without it they have only their appId.
	Catalog *directory.Catalog
	// Logon checks the old password of who changes it; without it, people cannot change theirs here.
	Logon *logon.Service
	// HashPassword makes the stored form of a password.
	HashPassword func(password string) (string, error)
	// BaseURL is the origin that clients use, without a trailing slash: https://graph.example.com:8445.
	BaseURL string
	// LoginURL is the login address, which challenges name.
	LoginURL string
	Now      func() time.Time
	Log      *slog.Logger
}

// Mount puts the face on a mux that serves its origin alone.
func (h *Handler) Mount(mux *http.ServeMux) {
	routes := h.routes()
	a := web.Adapter{Log: h.Log, Now: h.Now, Face: "graph", WriteError: h.writeError}
	mux.Handle("/", a.Handle(func(w http.ResponseWriter, r *http.Request) error { return h.serve(routes, w, r) }))
}

// request is one request, parsed.
type request struct {
	h       *Handler
	routes  []route
	w       http.ResponseWriter
	r       *http.Request
	caller  caller.Caller
	version string // v1.0 or beta
	// path is the path below the version as it was sent; args are the variable segments of the route.
	path  string
	args  []string
	query options
	// me is set when the path named its user by /me.
	me bool
}

func (h *Handler) serve(routes []route, w http.ResponseWriter, r *http.Request) error {
	h.stamp(w, r)
	c, err := h.Auth.Authenticate(r)
	if err != nil {
		return err
	}
	return h.dispatch(routes, w, r, c)
}

// dispatch answers a request of a caller who is known.
func (h *Handler) dispatch(routes []route, w http.ResponseWriter, r *http.Request, c caller.Caller) error {
	version, segments, err := splitPath(r.URL.EscapedPath())
	if err != nil {
		return err
	}
	rq := &request{h: h, routes: routes, w: w, r: r, caller: c, version: version, path: joinPath(segments)}
	if len(segments) > 0 && fold(segments[0]) == "me" {
		if c.Kind != caller.User {
			return fault.New(fault.Invalid, "BadRequest", "/me request is only valid with delegated authentication flow.")
		}
		rq.me = true
		segments = append([]string{"users", c.Object.String()}, segments[1:]...)
	}
	handle, args, err := match(routes, r.Method, segments)
	if err != nil {
		return err
	}
	rq.args = args
	if rq.query, err = parseOptions(r.URL.RawQuery); err != nil {
		return err
	}
	rq.query.eventual = fold(strings.TrimSpace(r.Header.Get("ConsistencyLevel"))) == "eventual"
	if err := checkConditions(r); err != nil {
		return err
	}
	return handle(rq)
}

// checkConditions refuses a request with a condition. No object that is served here has an entity tag, as none has at
// Microsoft Graph; who sends one means to guard against lost updates, and must not believe to be guarded.
func checkConditions(r *http.Request) error {
	for _, name := range []string{"If-Match", "If-Unmodified-Since"} {
		if v := r.Header.Get(name); v != "" && v != "*" {
			return fault.New(fault.Precondition, "PreconditionFailed", "The condition of header '%s' does not hold: the resource has no entity tag.", name).At(preconditionTarget)
		}
	}
	return nil
}

// stamp writes the headers that every answer has.
func (h *Handler) stamp(w http.ResponseWriter, r *http.Request) {
	ev := web.EventOf(r)
	w.Header().Set("Request-Id", ev.RequestID.String())
	w.Header().Set("Client-Request-Id", clientRequestID(ev))
	w.Header().Set("Cache-Control", "no-cache")
}

// clientRequestID is what the client called its request; the request's own id if it did not.
func clientRequestID(ev *web.Event) string {
	if ev.ClientRequestID != "" {
		return ev.ClientRequestID
	}
	return ev.RequestID.String()
}

// actor makes the caller into what the rules of the directory know. Whether it is a guest stands in the directory.
func (rq *request) actor(tx *store.Tx) (directory.Actor, error) {
	a := directory.Actor{ID: rq.caller.Object, Application: rq.caller.Kind != caller.User, Roles: rq.caller.Roles}
	t, err := tx.Tenant(rq.caller.Tenant)
	if err != nil {
		return a, err
	}
	a.Members = t.Members
	if a.Application {
		a.Permissions = rq.h.appPermissions(rq.caller.Tenant, a.ID)
		return a, nil
	}
	a.Permissions = rq.caller.Scopes
	u, err := tx.User(a.ID)
	if store.IsNotFound(err) || err == nil && u.Tenant != rq.caller.Tenant {
		return a, fault.New(fault.Unauthenticated, "InvalidAuthenticationToken", "The identity of the calling user could not be found.")
	}
	a.Guest = u.UserType == guest
	return a, err
}

const guest = "Guest"

// appPermissions are the permissions that an application has at Microsoft Graph now, whatever its token says.
func (h *Handler) appPermissions(tenant ident.TenantID, principal ident.ObjectID) []string {
	graph, ok := h.World.ServicePrincipalOf(tenant, directory.MicrosoftGraph())
	if !ok {
		return nil
	}
	var out []string
	for _, held := range h.World.AppRoleAssignments(principal) {
		if value, ok := directory.GraphPermission(held.Role); ok && held.Resource == graph.ID {
			out = append(out, value)
		}
	}
	return out
}

// view reads for a caller who may read an area of the directory.
func (rq *request) view(area directory.Area, fn func(tx *store.Tx) error) error {
	return rq.read(func(tx *store.Tx, a directory.Actor) error {
		if err := a.MayRead(area); err != nil {
			return err
		}
		return fn(tx)
	})
}

// read reads; fn decides with the actor what it may.
func (rq *request) read(fn func(tx *store.Tx, a directory.Actor) error) error {
	return rq.h.DB.View(rq.r.Context(), func(tx *store.Tx) error {
		a, err := rq.actor(tx)
		if err != nil {
			return err
		}
		return fn(tx, a)
	})
}

// update writes; fn decides with the actor what it may.
func (rq *request) update(fn func(tx *store.Tx, a directory.Actor) error) error {
	_, err := rq.h.DB.Update(rq.r.Context(), func(tx *store.Tx) error {
		a, err := rq.actor(tx)
		if err != nil {
			return err
		}
		return fn(tx, a)
	})
	return err
}

// audit records what was done to an object, in the transaction that does it.
func (rq *request) audit(tx *store.Tx, event audit.Event, target ident.ObjectID, detail map[string]string) error {
	return tx.Audit(audit.Record{
		At: rq.h.Now().UTC(), Event: event, Tenant: rq.caller.Tenant, Actor: rq.caller.Object, ActorName: rq.caller.Name,
		Target: target.String(), Correlation: web.EventOf(rq.r).RequestID.String(), Detail: detail,
	})
}
