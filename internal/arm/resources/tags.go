package resources

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/store"
)

// Tags by themselves (Microsoft.Resources/tags): of a subscription, a resource group or a resource, without the right to
// change what carries them.

type tagsBody struct {
	ID         string         `json:"id"`
	Name       string         `json:"name"`
	Type       string         `json:"type"`
	Properties tagsProperties `json:"properties"`
}

type tagsProperties struct {
	Tags map[string]string `json:"tags"`
}

func tagsAnswer(scope string, tags map[string]string) tagsBody {
	if tags == nil {
		tags = map[string]string{}
	}
	return tagsBody{ID: scope + "/providers/Microsoft.Resources/tags/default", Name: "default", Type: "Microsoft.Resources/tags", Properties: tagsProperties{tags}}
}

// carrier is something that carries tags.
type carrier struct {
	scope string // its id, in its own spelling
	tags  map[string]string
	set   func(map[string]string) error
}

// carrier finds what a request's path names.
func (h *Handler) carrier(tx *store.Tx, r *arm.Request) (carrier, error) {
	scope := r.Prefix()
	if name := r.Param("name"); !strings.EqualFold(name, "default") {
		return carrier{}, fault.New(fault.NotFound, "TagsNotFound", "The tags '%s' were not found; the only ones are named default.", name)
	}
	segments := strings.Split(scope, "/")
	switch {
	case r.SubscriptionID().IsZero():
		return carrier{}, fault.New(fault.Invalid, "InvalidTagScope", "'%s' carries no tags; a subscription, a resource group and a resource do.", scope)
	case len(segments) == 3:
		s, err := tx.Subscription(r.SubscriptionID())
		return carrier{scope: subscriptionScope(r), tags: s.Tags, set: func(tags map[string]string) error {
			s.Tags = tags
			return tx.PutSubscription(s)
		}}, err
	case len(segments) == 5 && strings.EqualFold(segments[3], "resourceGroups"):
		g, err := arm.ResourceGroup(tx, r.SubscriptionID(), segments[4])
		return carrier{scope: groupID(g), tags: g.Tags, set: func(tags map[string]string) error {
			if _, err := arm.ResourceGroupForWrite(tx, g.Subscription, g.Name); err != nil {
				return err
			}
			g.Tags = tags
			return tx.PutResourceGroup(g)
		}}, err
	}
	id, err := ident.ParseResourceID(scope)
	if err != nil {
		return carrier{}, fault.New(fault.Invalid, "InvalidTagScope", "'%s' carries no tags; a subscription, a resource group and a resource do.", scope).Because(err)
	}
	for _, c := range h.Contents {
		t, ok := c.(arm.Tagged)
		if !ok {
			continue
		}
		res, known, err := t.Tags(tx, id)
		if err != nil {
			return carrier{}, err
		}
		if known {
			return carrier{scope: res.ID, tags: res.Tags, set: func(tags map[string]string) error { return t.SetTags(tx, r, id, tags) }}, nil
		}
	}
	return carrier{}, arm.ResourceNotFound(id.Type(), id.Name(), id.Group)
}

func (h *Handler) getTags(_ http.ResponseWriter, r *arm.Request) error {
	var c carrier
	err := h.DB.View(r.Context(), func(tx *store.Tx) (err error) {
		c, err = h.carrier(tx, r)
		return err
	})
	if err != nil {
		return err
	}
	return r.WriteJSON(http.StatusOK, tagsAnswer(c.scope, c.tags))
}

// changeTags sets the tags that a change makes of those that are there.
func (h *Handler) changeTags(r *arm.Request, change func(have map[string]string) map[string]string) (carrier, error) {
	var c carrier
	_, err := h.DB.Update(r.Context(), func(tx *store.Tx) (err error) {
		if c, err = h.carrier(tx, r); err != nil {
			return err
		}
		c.tags = change(c.tags)
		if err := checkTags(c.tags); err != nil {
			return err
		}
		if err := c.set(c.tags); err != nil {
			return err
		}
		return r.Audit(tx, audit.ResourceTagged, c.scope, map[string]string{"tags": strings.Join(slices.Sorted(maps.Keys(c.tags)), ",")})
	})
	return c, err
}

type tagsRequest struct {
	Operation  string         `json:"operation"`
	Properties tagsProperties `json:"properties"`
}

func (h *Handler) putTags(_ http.ResponseWriter, r *arm.Request) error {
	var in tagsRequest
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	c, err := h.changeTags(r, func(map[string]string) map[string]string { return in.Properties.Tags })
	if err != nil {
		return err
	}
	return r.WriteJSON(http.StatusOK, tagsAnswer(c.scope, c.tags))
}

// patchTags merges tags with those that are there, replaces them, or takes some away: those named with the value they have.
func (h *Handler) patchTags(_ http.ResponseWriter, r *arm.Request) error {
	var in tagsRequest
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	var change func(have map[string]string) map[string]string
	switch strings.ToLower(in.Operation) {
	case "replace":
		change = func(map[string]string) map[string]string { return in.Properties.Tags }
	case "merge":
		change = func(have map[string]string) map[string]string { return mergeTags(have, in.Properties.Tags) }
	case "delete":
		change = func(have map[string]string) map[string]string { return withoutTags(have, in.Properties.Tags) }
	default:
		return fault.New(fault.Invalid, "InvalidTagsPatchOperation", "The operation must be one of Merge, Replace and Delete.").At("operation")
	}
	c, err := h.changeTags(r, change)
	if err != nil {
		return err
	}
	return r.WriteJSON(http.StatusOK, tagsAnswer(c.scope, c.tags))
}

// mergeTags adds tags; a name that is there in another letter case keeps its spelling.
func mergeTags(have, more map[string]string) map[string]string {
	out := maps.Clone(have)
	if out == nil {
		out = map[string]string{}
	}
	for name, value := range more {
		key := name
		for n := range have {
			if strings.EqualFold(n, name) {
				key = n
			}
		}
		out[key] = value
	}
	return out
}

func withoutTags(have, gone map[string]string) map[string]string {
	out := maps.Clone(have)
	maps.DeleteFunc(out, func(name, value string) bool {
		for n, v := range gone {
			if strings.EqualFold(n, name) && v == value {
				return true
			}
		}
		return false
	})
	return out
}

func (h *Handler) deleteTags(w http.ResponseWriter, r *arm.Request) error {
	if _, err := h.changeTags(r, func(map[string]string) map[string]string { return nil }); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

type tagName struct {
	ID      string     `json:"id"`
	TagName string     `json:"tagName"`
	Count   tagCount   `json:"count"`
	Values  []tagValue `json:"values"`
}

type tagCount struct {
	Type  string `json:"type"`
	Value int    `json:"value"`
}

type tagValue struct {
	ID       string   `json:"id"`
	TagValue string   `json:"tagValue"`
	Count    tagCount `json:"count"`
}

// listTagNames lists the tags that the caller can see in use in the subscription.
func (h *Handler) listTagNames(_ http.ResponseWriter, r *arm.Request) error {
	if err := seesSubscription(r); err != nil {
		return err
	}
	uses := map[string]map[string]int{}
	count := func(tags map[string]string) {
		for name, value := range tags {
			key := strings.ToLower(name)
			if uses[key] == nil {
				uses[key] = map[string]int{}
			}
			uses[key][value]++
		}
	}
	err := h.DB.View(r.Context(), func(tx *store.Tx) error {
		groups, err := tx.ResourceGroups(r.SubscriptionID())
		if err != nil {
			return err
		}
		for _, g := range groups {
			ok, err := r.Allowed(readGroup, groupID(g))
			if err != nil {
				return err
			}
			if ok {
				count(g.Tags)
			}
		}
		for _, c := range h.Contents {
			all, err := c.Resources(tx, r.SubscriptionID(), "")
			if err != nil {
				return err
			}
			for _, res := range all {
				ok, err := r.Allowed(res.Type+"/read", res.ID)
				if err != nil {
					return err
				}
				if ok {
					count(res.Tags)
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return r.WriteJSON(http.StatusOK, tagNames(subscriptionScope(r)+"/tagNames/", uses))
}

func tagNames(base string, uses map[string]map[string]int) list[tagName] {
	out := list[tagName]{Value: []tagName{}}
	for _, name := range slices.Sorted(maps.Keys(uses)) {
		t := tagName{ID: base + name, TagName: name, Count: tagCount{Type: "Total"}, Values: []tagValue{}}
		for _, value := range slices.Sorted(maps.Keys(uses[name])) {
			n := uses[name][value]
			t.Count.Value += n
			t.Values = append(t.Values, tagValue{ID: t.ID + "/tagValues/" + value, TagValue: value, Count: tagCount{"Total", n}})
		}
		out.Value = append(out.Value, t)
	}
	return out
}

// refuseTagName refuses to make or remove the name of a tag by itself.
func refuseTagName(http.ResponseWriter, *arm.Request) error {
	return fault.New(fault.Invalid, "OperationNotSupported", "Predefined tags are not offered by this service: a tag exists where something carries it.")
}
