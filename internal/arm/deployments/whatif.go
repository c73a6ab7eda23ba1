package deployments

import (
	"net/http"
	"strings"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/template"
)

// change is what a deployment would do to one resource.
type change struct {
	ResourceID        string           `json:"resourceId"`
	ChangeType        string           `json:"changeType"`
	UnsupportedReason string           `json:"unsupportedReason,omitempty"`
	Before            *template.Object `json:"before,omitempty"`
	After             *template.Object `json:"after,omitempty"`
	Delta             []propertyChange `json:"delta,omitempty"`
}

type propertyChange struct {
	Path               string           `json:"path"`
	PropertyChangeType string           `json:"propertyChangeType"`
	Before             any              `json:"before,omitempty"`
	After              any              `json:"after,omitempty"`
	Children           []propertyChange `json:"children,omitempty"`
}

// whatIf tells what a deployment would change, by what the caller may read. It changes nothing, and answers at once.
func (h *Handler) whatIf(w http.ResponseWriter, r *arm.Request) error {
	d, a, p, err := h.prepare(w, r)
	if err == nil {
		err = h.preflight(r.Context(), d, r.Caller, a, p, unfold())
	}
	if err != nil {
		return err
	}
	changes := []change{}
	named := map[string]bool{}
	for _, res := range p.Resources {
		named[strings.ToLower(res.ID)] = true
		if a.IDsOnly {
			changes = append(changes, change{ResourceID: res.ID, ChangeType: "Deploy"})
			continue
		}
		c, err := h.foretell(r, res)
		if err != nil {
			return err
		}
		changes = append(changes, c)
	}
	if d.Group != "" {
		rest, err := h.untouched(r, a, p)
		if err != nil {
			return err
		}
		changes = append(changes, rest...)
	}
	return r.WriteJSON(http.StatusOK, map[string]any{"status": succeeded, "properties": map[string]any{"correlationId": d.Correlation, "changes": changes}})
}

// untouched tells what happens to the rest of the group.
func (h *Handler) untouched(r *arm.Request, a asked, p *template.Plan) ([]change, error) {
	rest, err := h.extra(r.Context(), at(r), r.Caller, p)
	if err != nil {
		return nil, err
	}
	var out []change
	for _, x := range rest {
		ok, err := r.Allowed(x.Type+"/read", x.ID)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		c := change{ResourceID: x.ID, ChangeType: "Ignore"}
		if a.Mode == complete {
			c.ChangeType = "Delete"
		}
		if !a.IDsOnly {
			c.Before = template.NewObject("apiVersion", h.version(x.Type), "id", x.ID, "location", x.Location, "name", x.Name, "type", x.Type)
		}
		out = append(out, c)
	}
	return out, nil
}

// foretell holds a resource as it is against what the template says of it.
func (h *Handler) foretell(r *arm.Request, res *template.Resource) (change, error) {
	c := change{ResourceID: res.ID, ChangeType: "Create"}
	rep, err := h.face.Act(r.Context(), r.Caller, arm.Call{Method: http.MethodGet, ID: res.ID, APIVersion: res.APIVersion})
	if err != nil {
		return c, err
	}
	after := template.NewObject("apiVersion", res.APIVersion, "id", res.ID, "name", last(res.Name), "type", res.Type)
	for n, v := range res.Body.All() {
		after.Set(n, v)
	}
	if err := refused(rep); err != nil {
		e := fault.As(err)
		if e.Kind != fault.NotFound {
			c.ChangeType, c.UnsupportedReason = "Unsupported", e.Public
			return c, nil
		}
		c.After = after
		return c, nil
	}
	v, err := template.Read(rep.Body)
	if err != nil {
		return c, fault.Wrap(err, "answer of %s", res.ID)
	}
	now, _ := v.(*template.Object)
	before := template.NewObject("apiVersion", res.APIVersion)
	for n, x := range now.All() {
		before.Set(n, x)
	}
	c.Before, c.After = before, overlay(before, after)
	c.Delta = compare("", before, res.Body, res.Open)
	if c.ChangeType = "NoChange"; len(c.Delta) > 0 {
		c.ChangeType = "Modify"
	}
	return c, nil
}

func last(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

// overlay puts what is wanted over what is.
func overlay(before, wanted *template.Object) *template.Object {
	out := template.NewObject()
	for n, v := range before.All() {
		out.Set(n, v)
	}
	for n, v := range wanted.All() {
		if v, ok := v.(*template.Object); ok {
			if old := before.Child(n); old != nil {
				out.Set(n, overlay(old, v))
				continue
			}
		}
		if old, ok := before.Get(n); ok && (n == "id" || n == "name" || n == "type") {
			v = old // in the spelling that it has
		}
		out.Set(n, v)
	}
	return out
}

// compare lists where what is wanted differs from what is. What the template leaves open is not known, and no difference.
func compare(path string, before, wanted *template.Object, open bool) []propertyChange {
	var out []propertyChange
	for n, w := range wanted.All() {
		here := n
		if path != "" {
			here = path + "." + n
		}
		old, there := before.Get(n)
		if s, ok := w.(string); ok && open && strings.HasPrefix(s, "[") {
			continue
		}
		switch w := w.(type) {
		case nil:
			continue
		case *template.Object:
			if o, ok := old.(*template.Object); ok {
				out = append(out, compare(here, o, w, open)...)
				continue
			}
		case []any:
			if o, ok := old.([]any); ok {
				if d := elements(here, o, w, open); len(d) > 0 {
					out = append(out, propertyChange{Path: here, PropertyChangeType: "Array", Before: old, After: w, Children: d})
				}
				continue
			}
		case string:
			if o, ok := old.(string); ok && (path == "" && n == "location" && place(o) == place(w) || looksLikeID(w) && strings.EqualFold(o, w)) {
				continue
			}
		}
		switch {
		case !there:
			out = append(out, propertyChange{Path: here, PropertyChangeType: "Create", After: w})
		case !template.Same(old, w):
			out = append(out, propertyChange{Path: here, PropertyChangeType: "Modify", Before: old, After: w})
		}
	}
	return out
}

func looksLikeID(s string) bool { return strings.HasPrefix(s, "/") }

func place(s string) string { return strings.ToLower(strings.ReplaceAll(s, " ", "")) }

// elements compares lists place by place; the paths of their elements are their numbers.
func elements(_ string, before, wanted []any, open bool) []propertyChange {
	var out []propertyChange
	for i, w := range wanted {
		at := decimal(uint64(i))
		if i >= len(before) {
			out = append(out, propertyChange{Path: at, PropertyChangeType: "Create", After: w})
			continue
		}
		o, isObject := before[i].(*template.Object)
		wo, both := w.(*template.Object)
		if isObject && both {
			if d := compare("", o, wo, open); len(d) > 0 {
				out = append(out, propertyChange{Path: at, PropertyChangeType: "Modify", Children: d})
			}
			continue
		}
		if s, ok := w.(string); ok && open && strings.HasPrefix(s, "[") {
			continue
		}
		if !template.Same(before[i], w) {
			out = append(out, propertyChange{Path: at, PropertyChangeType: "Modify", Before: before[i], After: w})
		}
	}
	for i := len(wanted); i < len(before); i++ {
		out = append(out, propertyChange{Path: decimal(uint64(i)), PropertyChangeType: "Delete", Before: before[i]})
	}
	return out
}
