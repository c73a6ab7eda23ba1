// Package checkaccess owns the access check: may this principal do these actions there? It is what authorizers elsewhere,
// such as guard, ask Azure.
//
//	POST {scope}/providers/Microsoft.Authorization/checkaccess   version 1, beside the scope asked about
//	POST /checkaccess                                            version 2, the decision point, with an audience of its own
//
// Each answer is rbac's, from memory. Groups that a request shows are not looked at: the directory's count, as they are
// now. What cannot be decided is an error of the 5xx kind, which askers do not remember; it is never a no, and there is no
// limit on requests that could turn into one. The package decides nothing itself and writes nothing.
package checkaccess

import (
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/caller"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/web"
	"github.com/keyreeve/keyreeve/internal/world"
)

// Handler serves the access checks.
type Handler struct {
	World *world.World
	// Auth tells who sent a request to the decision point, whose tokens are for https://authorization.azure.net.
	Auth arm.Authenticator
	// LoginURL is the token service's origin, without a slash at the end.
	LoginURL string
	Now      func() time.Time
}

// checkAction is what askers need at the scope they ask about. It is among Microsoft.Authorization/*/read, which the
// built-in role for this purpose (Connected Cluster Managed Identity CheckAccess Reader) and Reader have: who may read the
// assignments of a scope could work out the answer.
const checkAction = "Microsoft.Authorization/checkAccess/read"

// Mount registers the routes.
func (h *Handler) Mount(f *arm.Face) {
	f.Handle(arm.Route{
		Method: http.MethodPost, Pattern: "/{scope...}/providers/Microsoft.Authorization/checkaccess",
		Action: arm.Self, Errors: arm.FromGateway, Handle: h.atScope,
	})
	// Clients of the decision point send no api-version and a token for another audience than Resource Manager's.
	f.Handle(arm.Route{Method: http.MethodPost, Pattern: "/checkaccess", Errors: arm.Status, Public: true, Handle: h.atPoint})
}

// atScope answers version 1: an array of decisions, in the order of the actions.
func (h *Handler) atScope(w http.ResponseWriter, r *arm.Request) error {
	q, err := parse(r, r.Prefix())
	if err != nil {
		return err
	}
	out, err := h.answer(w, r, q)
	if err != nil {
		return err
	}
	return r.WriteJSON(http.StatusOK, out)
}

// page is an answer of version 2. It is always whole.
type page struct {
	Value    []decision `json:"value"`
	NextLink *string    `json:"nextLink"`
}

// atPoint answers version 2.
func (h *Handler) atPoint(w http.ResponseWriter, r *arm.Request) error {
	who, err := h.Auth.Authenticate(r.HTTP)
	if err != nil {
		if fault.Is(err, fault.Unauthenticated) {
			w.Header().Set("WWW-Authenticate", caller.Challenge(err, h.LoginURL, ident.TenantID{}, h.Now()))
		}
		return err
	}
	r.Caller = who
	web.EventOf(r.HTTP).Add("caller", who.Object.String())
	q, err := parse(r, "")
	if err != nil {
		return err
	}
	if err := h.sameTenant(r, q.scope); err != nil {
		return err
	}
	out, err := h.answer(w, r, q)
	if err != nil {
		return fault.As(err) // without the gateway's form
	}
	return r.WriteJSON(http.StatusOK, page{Value: out})
}

// answer decides, if the caller may ask.
func (h *Handler) answer(w http.ResponseWriter, r *arm.Request, q question) ([]decision, error) {
	if err := h.mayAsk(r, q.scope); err != nil {
		return nil, err
	}
	if err := h.there(q.scope); err != nil {
		return nil, err
	}
	out, revision, err := h.decide(r.Caller.Tenant, q)
	if err != nil {
		return nil, err
	}
	ev := web.EventOf(r.HTTP)
	ev.Add("subject", q.subject.String())
	ev.Add("actions", len(q.actions))
	ev.Add("revision", int64(revision))
	// guard reads this header of a POST. There is no limit, so the number does not fall.
	w.Header().Set("X-Ms-Ratelimit-Remaining-Subscription-Reads", "11999")
	return out, nil
}

// mayAsk lets through the identity of the cluster that is asked about, and whoever has the right there.
func (h *Handler) mayAsk(r *arm.Request, scope string) error {
	if id, ok := clusterIn(scope); ok {
		c, known := h.World.ClusterByResource(id)
		if known && c.Tenant == r.Caller.Tenant && !c.ControlPlane.Object.IsZero() && c.ControlPlane.Object == r.Caller.Object {
			return nil
		}
	}
	return r.Require(checkAction, scope)
}

// there returns ResourceNotFound for a managed cluster that is gone, and for what would be in it.
func (h *Handler) there(scope string) error {
	id, ok := clusterIn(scope)
	if !ok {
		return nil
	}
	if _, known := h.World.ClusterByResource(id); known {
		return nil
	}
	parsed, err := ident.ParseResourceID(id)
	if err != nil {
		return badScope(scope)
	}
	return arm.ResourceNotFound(managedcluster.Type, parsed.Name(), parsed.Group)
}

// clusterIn returns the id of the managed cluster that a scope is, or is below.
func clusterIn(scope string) (string, bool) {
	const segments = 9 // "", subscriptions, s, resourceGroups, g, providers, namespace, type, name
	p := strings.Split(scope, "/")
	if len(p) < segments || !strings.EqualFold(p[6]+"/"+p[7], managedcluster.Type) || !strings.EqualFold(p[5], "providers") {
		return "", false
	}
	return strings.Join(p[:segments], "/"), true
}

// sameTenant refuses scopes of subscriptions that are not of the caller's tenant, as if they were not there.
func (h *Handler) sameTenant(r *arm.Request, scope string) error {
	p := strings.Split(scope, "/")
	if len(p) < 3 || !strings.EqualFold(p[1], "subscriptions") {
		return nil
	}
	id, err := ident.Parse[ident.SubscriptionID](p[2])
	if err != nil {
		return badScope(scope)
	}
	if s, ok := h.World.Subscription(id); !ok || s.Tenant != r.Caller.Tenant {
		return fault.New(fault.NotFound, "SubscriptionNotFound", "The subscription '%s' could not be found.", id)
	}
	return nil
}

// question is a request, parsed.
type question struct {
	subject ident.ObjectID
	scope   string
	actions []action
}

type action struct {
	id   string
	data bool
	// What conditions ask about, of requests to Kubernetes.
	customGroup, customKind, subresource string
}

// request is the body of both versions. Groups, attributes of the environment and of the resource are let through unread.
type request struct {
	Subject struct {
		Attributes struct {
			ObjectID string `json:"ObjectId"`
		} `json:"Attributes"`
	} `json:"Subject"`
	Actions []struct {
		ID string `json:"Id"`
		// IsDataAction is left out by guard's version 2, which asks about nothing else.
		IsDataAction *bool `json:"IsDataAction"`
		// Attributes are of a cluster's type: customResources:group, customResources:kind, resources:subresource.
		Attributes map[string]string `json:"Attributes"`
	} `json:"Actions"`
	Resource struct {
		ID string `json:"Id"`
	} `json:"Resource"`
}

// Bounds of a request. guard asks about at most 200 actions at a time.
const (
	maxActions = 2000
	maxAction  = 1024 // bytes
	maxScope   = 2048 // bytes
)

// parse reads a request. scope is that of the path, or empty when only the body names one.
func parse(r *arm.Request, scope string) (question, error) {
	var body request
	if err := r.DecodeJSON(&body); err != nil {
		return question{}, err
	}
	subject, err := ident.Parse[ident.ObjectID](body.Subject.Attributes.ObjectID)
	if err != nil || subject.IsZero() {
		return question{}, fault.New(fault.Invalid, "InvalidSubject", "The object id of the subject must be a GUID.").At("Subject.Attributes.ObjectId")
	}
	named := body.Resource.ID
	if named != "" && !strings.HasPrefix(named, "/") {
		named = "/" + named
	}
	if scope == "" || named != "" {
		if !cleanScope(named) {
			return question{}, badScope(body.Resource.ID)
		}
		if scope != "" && !strings.EqualFold(strings.TrimSuffix(named, "/"), strings.TrimSuffix(scope, "/")) {
			return question{}, fault.New(fault.Invalid, "InvalidResourceId", "The resource of the body is not that of the path.").At("Resource.Id")
		}
	}
	if scope == "" {
		scope = named
	}
	if len(body.Actions) == 0 || len(body.Actions) > maxActions {
		return question{}, fault.New(fault.Invalid, "InvalidActions", "The request must have between 1 and %d actions.", maxActions).At("Actions")
	}
	q := question{subject: subject, scope: scope, actions: make([]action, len(body.Actions))}
	for i, a := range body.Actions {
		if !cleanAction(a.ID) {
			return question{}, fault.New(fault.Invalid, "InvalidAction",
				"An action must be of printable ASCII without blanks, at most %d bytes, and without wildcards.", maxAction).At("Actions")
		}
		q.actions[i] = action{
			id: a.ID, data: a.IsDataAction == nil || *a.IsDataAction, customGroup: attribute(a.Attributes, "customResources:group"),
			customKind: attribute(a.Attributes, "customResources:kind"), subresource: attribute(a.Attributes, "resources:subresource"),
		}
	}
	return q, nil
}

// attribute returns an attribute of managed clusters; letter case of its name does not count. Of one that is there in two
// spellings, nothing is known.
func attribute(of map[string]string, name string) string {
	var found []string
	for k, v := range of {
		if strings.EqualFold(k, managedcluster.Type+"/"+name) {
			found = append(found, v)
		}
	}
	if len(found) != 1 {
		return ""
	}
	return found[0]
}

// cleanAction reports whether an action can be decided. One with a wildcard can not: it asks for many at once, of which a
// role may have taken some away.
func cleanAction(s string) bool {
	if s == "" || len(s) > maxAction {
		return false
	}
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' || c == '*' {
			return false
		}
	}
	return true
}

// cleanScope reports whether an id from a body reads back as the same segments.
func cleanScope(s string) bool {
	if s == "/" {
		return true
	}
	s = strings.TrimSuffix(s, "/")
	if len(s) > maxScope || !strings.HasPrefix(s, "/") {
		return false
	}
	for seg := range strings.SplitSeq(s[1:], "/") {
		if seg == "" || seg == "." || seg == ".." || strings.ContainsFunc(seg, func(c rune) bool { return unicode.IsControl(c) || c == '\\' || c == unicode.ReplacementChar }) {
			return false
		}
	}
	return true
}

func badScope(s string) error {
	const shown = 128
	if len(s) > shown {
		s = strings.ToValidUTF8(s[:shown], "") + "…"
	}
	return fault.New(fault.Invalid, "InvalidResourceId", "The resource id '%s' is not valid.", s).At("Resource.Id")
}
