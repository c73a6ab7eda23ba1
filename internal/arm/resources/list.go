package resources

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

func inputOf(op resource.Operation) (groupInput, error) {
	var in groupInput
	if err := json.Unmarshal(op.Input, &in); err != nil {
		return in, fault.Wrap(err, "resources: input of operation %s", op.ID)
	}
	return in, nil
}

// filter is a parsed $filter of a list of groups or resources: values by lower-case field.
type filter map[string]string

// resourceFilter reads the request's $filter, in which only some fields may stand, each once.
func resourceFilter(r *arm.Request, fields ...string) (filter, error) {
	text, sent, err := r.Query("$filter")
	if err != nil || !sent || text == "" {
		return nil, err
	}
	clauses, err := arm.ParseFilter(text)
	if err != nil {
		return nil, err
	}
	out := filter{}
	for _, c := range clauses {
		i := slices.IndexFunc(fields, func(f string) bool { return c.Is(f, false) })
		key := strings.ToLower(c.Name)
		if _, twice := out[key]; i < 0 || twice {
			return nil, fault.New(fault.Invalid, "InvalidFilterInQueryString", "Invalid $filter '%s' specified in the query string.", text)
		}
		out[key] = c.Value
	}
	if _, named := out["tagname"]; !named && out.has("tagvalue") {
		return nil, fault.New(fault.Invalid, "InvalidFilterInQueryString", "Invalid $filter '%s' specified in the query string.", text)
	}
	return out, nil
}

func (f filter) has(field string) bool {
	_, ok := f[field]
	return ok
}

// is reports whether the filter lets a value through in a field; letter case does not count.
func (f filter) is(field, value string) bool {
	want, ok := f[field]
	return !ok || strings.EqualFold(want, value)
}

// tags reports whether the filter lets tags through: names are compared without case, values exactly.
func (f filter) tags(tags map[string]string) bool {
	name, ok := f["tagname"]
	if !ok {
		return true
	}
	value, valued := f["tagvalue"]
	for k, v := range tags {
		if strings.EqualFold(k, name) && (!valued || v == value) {
			return true
		}
	}
	return false
}

// listResources lists the resources, of a subscription or a group, that the caller may read.
func (h *Handler) listResources(_ http.ResponseWriter, r *arm.Request) error {
	if err := seesSubscription(r); err != nil {
		return err
	}
	match, err := resourceFilter(r, "resourceType", "resourceGroup", "name", "location", "tagName", "tagValue")
	if err != nil {
		return err
	}
	var all []arm.GenericResource
	err = h.DB.View(r.Context(), func(tx *store.Tx) error {
		for _, c := range h.Contents {
			some, err := c.Resources(tx, r.SubscriptionID(), r.Group.Name)
			if err != nil {
				return err
			}
			all = append(all, some...)
		}
		return nil
	})
	if err != nil {
		return err
	}
	expand, _, err := r.Query("$expand")
	if err != nil {
		return err
	}
	var shown []arm.GenericResource
	for _, g := range all {
		ok, err := r.Allowed(g.Type+"/read", g.ID)
		if err != nil {
			return err
		}
		if !ok || !match.is("resourcetype", g.Type) || !match.is("name", g.Name) || !match.tags(g.Tags) ||
			!match.is("location", g.Location) || match.has("resourcegroup") && !match.is("resourcegroup", groupOf(g.ID)) {
			continue
		}
		shown = append(shown, g.Expanded(expand))
	}
	slices.SortFunc(shown, func(a, b arm.GenericResource) int {
		return strings.Compare(strings.ToLower(a.ID), strings.ToLower(b.ID))
	})
	out, err := page(r, shown, func(g arm.GenericResource) string { return strings.ToLower(g.ID) })
	if err != nil {
		return err
	}
	return r.WriteJSON(http.StatusOK, out)
}

// groupOf returns the name of the group that a resource lies in.
func groupOf(id string) string {
	parsed, err := ident.ParseResourceID(id)
	if err != nil {
		return ""
	}
	return parsed.Group
}
