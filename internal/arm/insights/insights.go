// Package insights owns the activity log as Microsoft.Insights shows it: who asked for which write through Resource Manager,
// when, and what came of it.
//
// It reads what arm's core wrote down, and writes nothing.
package insights

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/store"
)

// Handler serves the activity log.
type Handler struct {
	DB *store.DB

	face *arm.Face
}

const readEvents = "Microsoft.Insights/eventtypes/values/read"

// Mount registers the routes.
func (h *Handler) Mount(f *arm.Face) {
	h.face = f
	const path = "/providers/Microsoft.Insights/eventtypes/management/values"
	for _, pattern := range []string{path, "/subscriptions/{subscription}" + path} {
		f.Handle(arm.Route{Method: http.MethodGet, Pattern: pattern, Action: arm.Self, Errors: arm.Wrapped, Handle: h.list})
	}
}

// pageSize is how many activities an answer holds at most. Some are two events, which stay on one page.
const pageSize = 200

func (h *Handler) list(_ http.ResponseWriter, r *arm.Request) error {
	text, _, err := r.Query("$filter")
	if err != nil {
		return err
	}
	q, err := parseQuery(text, r.Now())
	if err != nil {
		return err
	}
	if err := r.Require(readEvents, q.scope(r.SubscriptionID())); err != nil {
		return err
	}
	token, _, err := r.Query("$skipToken")
	if err != nil {
		return err
	}
	before, err := parsePlace(token)
	if err != nil {
		return err
	}
	// Who reads after a request finds it.
	if err := h.face.WriteActivity(r.Context()); err != nil {
		return err
	}
	value := []event{}
	taken, next := 0, ""
	var last store.ActivityPlace
	err = h.DB.View(r.Context(), func(tx *store.Tx) error {
		return tx.Activities(r.Caller.Tenant, r.SubscriptionID(), q.from, q.to, before, func(at store.ActivityPlace, a audit.Activity) bool {
			if !q.takes(a) {
				return true
			}
			events := slices.DeleteFunc(render(at.Seq, a), func(e event) bool { return q.status != "" && !strings.EqualFold(q.status, e.Status.Value) })
			if len(events) == 0 {
				return true
			}
			if taken == pageSize {
				next = fmt.Sprintf("%d-%d", last.At, last.Seq)
				return false
			}
			value, last = append(value, events...), at
			taken++
			return true
		})
	})
	if err != nil {
		return err
	}
	out := map[string]any{"value": value}
	if next != "" {
		query := url.Values{"api-version": {r.APIVersion}, "$skipToken": {next}}
		if text != "" {
			query.Set("$filter", text)
		}
		out["nextLink"] = r.URL(r.HTTP.URL.EscapedPath(), query)
	}
	return r.WriteJSON(http.StatusOK, out)
}

// parsePlace reads a $skipToken; an empty one is the beginning.
func parsePlace(token string) (store.ActivityPlace, error) {
	if token == "" {
		return store.ActivityPlace{}, nil
	}
	at, seq, ok := strings.Cut(token, "-")
	a, err1 := strconv.ParseInt(at, 10, 64)
	s, err2 := strconv.ParseInt(seq, 10, 64)
	if !ok || err1 != nil || err2 != nil || a < 1 || s < 1 {
		return store.ActivityPlace{}, fault.New(fault.Invalid, "BadRequest", "The $skipToken is not one of this service.")
	}
	return store.ActivityPlace{At: a, Seq: s}, nil
}

// query is what a $filter asks for; empty texts ask for nothing.
type query struct {
	from, to                                                   time.Time
	group, provider, resource, correlation, caller, status, op string
}

// parseQuery reads a $filter of the activity log.
func parseQuery(text string, now time.Time) (query, error) {
	q := query{from: now.Add(-audit.ActivityKept), to: now.Add(time.Minute)}
	if text == "" {
		return q, nil
	}
	clauses, err := arm.ParseRanges(text)
	if err != nil {
		return q, err
	}
	bad := func(why string) error {
		return fault.New(fault.Invalid, "BadRequest", "The $filter of the activity log is not understood: %s.", why)
	}
	fields := map[string]*string{
		"resourcegroupname": &q.group, "resourceprovider": &q.provider, "resourceuri": &q.resource, "resourceid": &q.resource,
		"correlationid": &q.correlation, "caller": &q.caller, "status": &q.status, "operations": &q.op,
	}
	for _, c := range clauses {
		name := strings.ToLower(c.Name)
		switch field, known := fields[name]; {
		case c.Call:
			return q, bad("it has no functions")
		case name == "eventtimestamp":
			t, err := time.Parse(time.RFC3339Nano, c.Value)
			if err != nil {
				return q, bad("a time is not of the form 2006-01-02T15:04:05Z")
			}
			if c.Op == "le" {
				q.to = t
			} else {
				q.from = t
			}
			if c.Op == "eq" {
				q.to = t
			}
		case name == "eventchannels":
			// Everything here is of the channel Operation.
			if c.Op != "eq" || !strings.Contains(strings.ToLower(c.Value), "operation") {
				return q, bad("only the channel Operation is kept")
			}
		case !known || c.Op != "eq":
			return q, bad("there is no field '" + clip(c.Name) + "' to compare so")
		case *field != "":
			return q, bad("'" + clip(c.Name) + "' is there twice")
		default:
			*field = c.Value
		}
	}
	return q, nil
}

func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}

// scope is where the caller must be allowed to read: as narrow as what is asked for.
func (q query) scope(sub ident.SubscriptionID) string {
	if sub.IsZero() {
		return "/"
	}
	root := "/subscriptions/" + sub.String()
	if q.resource != "" && under(q.resource, root) {
		return q.resource
	}
	if q.group != "" && !strings.ContainsAny(q.group, "/\\") {
		return root + "/resourceGroups/" + q.group
	}
	return root
}

// under reports whether an id is another or lies below it, without relative parts.
func under(id, above string) bool {
	id, above = strings.ToLower(id), strings.ToLower(above)
	return !strings.Contains(id+"/", "/../") && !strings.Contains(id+"/", "/./") && !strings.Contains(id, "//") &&
		(id == above || strings.HasPrefix(id, above+"/"))
}

// takes reports whether an activity is asked for; of its events, the status says which.
func (q query) takes(a audit.Activity) bool {
	is := func(want, have string) bool { return want == "" || strings.EqualFold(want, have) }
	place := locate(a.Resource)
	return is(q.group, place.group) && is(q.provider, place.provider) && (q.resource == "" || under(a.Resource, q.resource)) &&
		is(q.correlation, a.Correlation) && is(q.op, a.Action) &&
		(is(q.caller, a.CallerName) || is(q.caller, a.Caller.String()))
}
