package resources

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

// groupBody is a resource group as it is written; the keys are in the order of the recorded answers.
type groupBody struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	Type       string            `json:"type"`
	Location   string            `json:"location"`
	ManagedBy  string            `json:"managedBy,omitempty"`
	Tags       map[string]string `json:"tags,omitempty"`
	Properties groupProperties   `json:"properties"`
}

type groupProperties struct {
	ProvisioningState string `json:"provisioningState"`
}

// groupID is the id of a group in the spelling of answers.
func groupID(g resource.Group) string {
	return "/subscriptions/" + g.Subscription.String() + "/resourceGroups/" + g.Name
}

func groupAnswer(g resource.Group) groupBody {
	return groupBody{
		ID: groupID(g), Name: g.Name, Type: "Microsoft.Resources/resourceGroups", Location: g.Location, ManagedBy: g.ManagedBy,
		Tags: g.Tags, Properties: groupProperties{ProvisioningState: g.State},
	}
}

// groupRequest is the body of PUT and PATCH.
type groupRequest struct {
	Location  string            `json:"location"`
	ManagedBy *string           `json:"managedBy"`
	Tags      map[string]string `json:"tags"`
}

// maxGroupName bounds a group's name in characters.
const maxGroupName = 90

// checkGroupName holds a name for a group against ARM's rule: 1 to 90 letters, digits, '-', '.', '(', ')' and '_', not
// ending in a period. A letter that is only another form of one in lower case, such as ſ of s, is refused: by some rules the two are
// the same and by others not, and a name must be one group's by all of them.
func checkGroupName(name string) error {
	var odd []rune
	for _, c := range name {
		good := unicode.IsLetter(c) || unicode.IsDigit(c) || strings.ContainsRune("-.()_", c)
		lower := unicode.ToLower(c)
		if (!good || unicode.ToLower(unicode.ToUpper(lower)) != lower) && !slices.Contains(odd, c) {
			odd = append(odd, c)
		}
	}
	switch {
	case len(odd) > 0:
		return fault.New(fault.Invalid, "InvalidResourceGroup",
			"The provided resource group name '%s' has these invalid characters: '%s'. The name can only be a letter, digit, '-', '.', '(', ')' or '_'.",
			name, string(odd))
	case utf8.RuneCountInString(name) > maxGroupName:
		return fault.New(fault.Invalid, "InvalidResourceGroup",
			"The provided resource group name '%s' is too long. The name can have at most %d characters.", name, maxGroupName)
	case strings.HasSuffix(name, "."):
		return fault.New(fault.Invalid, "InvalidResourceGroup", "The provided resource group name '%s' must not end with a '.'.", name)
	}
	return nil
}

// Limits of tags.
const (
	maxTags     = 50
	maxTagName  = 512
	maxTagValue = 256
)

// checkTags holds tags against ARM's rules. Names that differ only in letter case are one name.
func checkTags(tags map[string]string) error {
	if len(tags) > maxTags {
		return fault.New(fault.Invalid, "InvalidTags", "The number of tags '%d' is over the limit of '%d'.", len(tags), maxTags)
	}
	seen := make(map[string]bool, len(tags))
	for name, value := range tags {
		key := strings.ToLower(name)
		switch {
		case name == "" || strings.ContainsAny(name, `<>%&\?/`):
			return fault.New(fault.Invalid, "InvalidTagNameCharacters",
				`The tag name '%s' is not valid. It must not be empty or have any of these characters: '<,>,%%,&,\,?,/'.`, name)
		case utf8.RuneCountInString(name) > maxTagName:
			return fault.New(fault.Invalid, "InvalidTagNameLength", "A tag name is longer than %d characters.", maxTagName)
		case utf8.RuneCountInString(value) > maxTagValue:
			return fault.New(fault.Invalid, "InvalidTagValueLength", "The value of the tag '%s' is longer than %d characters.", name, maxTagValue)
		case seen[key]:
			return fault.New(fault.Invalid, "DuplicateTagName", "The tag name '%s' is there twice.", name)
		}
		seen[key] = true
	}
	return nil
}

func locationNames() string {
	var names []string
	for _, l := range resource.Locations() {
		names = append(names, l.Name)
	}
	slices.Sort(names)
	return strings.Join(names, ",")
}

// placeGroup returns the location of a group from what was sent.
func placeGroup(sent string) (string, error) {
	if sent == "" {
		return "", fault.New(fault.Invalid, "LocationRequired", "The location property is required for this definition.")
	}
	l, ok := resource.FindLocation(sent)
	if !ok {
		return "", fault.New(fault.Invalid, "LocationNotAvailableForResourceGroup",
			"The provided location '%s' is not available for resource group. List of available regions is '%s'.", sent, locationNames())
	}
	return l.Name, nil
}

func (h *Handler) putGroup(_ http.ResponseWriter, r *arm.Request) error {
	var body groupRequest
	if err := r.DecodeJSON(&body); err != nil {
		return err
	}
	name := r.Param("group")
	if err := checkGroupName(name); err != nil {
		return err
	}
	location, err := placeGroup(body.Location)
	if err != nil {
		return err
	}
	if err := checkTags(body.Tags); err != nil {
		return err
	}
	status := http.StatusOK
	var group resource.Group
	_, err = h.DB.Update(r.Context(), func(tx *store.Tx) error {
		g, err := tx.ResourceGroup(r.SubscriptionID(), name)
		switch {
		case store.IsNotFound(err):
			status = http.StatusCreated
			g = resource.Group{Subscription: r.SubscriptionID(), Name: name, Location: location, State: arm.StateSucceeded, CreatedAt: r.Now()}
		case err != nil:
			return err
		case g.Location != location:
			return fault.New(fault.Conflict, "InvalidResourceGroupLocation",
				"Invalid resource group location '%s'. The Resource group already exists in location '%s'.", location, g.Location)
		default:
			if g, err = arm.ResourceGroupForWrite(tx, r.SubscriptionID(), name); err != nil {
				return err
			}
		}
		g.Tags = body.Tags
		if err := h.manage(tx, &g, body.ManagedBy); err != nil {
			return err
		}
		group = g
		return h.writeGroup(tx, r, g)
	})
	if err != nil {
		return err
	}
	return r.WriteJSON(status, groupAnswer(group))
}

func (h *Handler) writeGroup(tx *store.Tx, r *arm.Request, g resource.Group) error {
	if err := tx.PutResourceGroup(g); err != nil {
		return err
	}
	return r.Audit(tx, audit.ResourceGroupWritten, groupID(g), map[string]string{"location": g.Location})
}

func (h *Handler) patchGroup(_ http.ResponseWriter, r *arm.Request) error {
	var body groupRequest
	if err := r.DecodeJSON(&body); err != nil {
		return err
	}
	if err := checkTags(body.Tags); err != nil {
		return err
	}
	var group resource.Group
	_, err := h.DB.Update(r.Context(), func(tx *store.Tx) error {
		g, err := arm.ResourceGroupForWrite(tx, r.SubscriptionID(), r.Param("group"))
		if err != nil {
			return err
		}
		if body.Location != "" && resource.LocationKey(body.Location) != g.Location {
			return fault.New(fault.Conflict, "InvalidResourceGroupLocation",
				"Invalid resource group location '%s'. The Resource group already exists in location '%s'.", body.Location, g.Location)
		}
		if body.Tags != nil {
			g.Tags = body.Tags
		}
		if err := h.manage(tx, &g, body.ManagedBy); err != nil {
			return err
		}
		group = g
		return h.writeGroup(tx, r, g)
	})
	if err != nil {
		return err
	}
	return r.WriteJSON(http.StatusOK, groupAnswer(group))
}

func (h *Handler) readGroup(r *arm.Request) (resource.Group, error) {
	var g resource.Group
	err := h.DB.View(r.Context(), func(tx *store.Tx) (err error) {
		g, err = arm.ResourceGroup(tx, r.SubscriptionID(), r.Param("group"))
		return err
	})
	return g, err
}

func (h *Handler) getGroup(_ http.ResponseWriter, r *arm.Request) error {
	g, err := h.readGroup(r)
	if err != nil {
		return err
	}
	return r.WriteJSON(http.StatusOK, groupAnswer(g))
}

func (h *Handler) headGroup(w http.ResponseWriter, r *arm.Request) error {
	if _, err := h.readGroup(r); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// listGroups lists the groups that the caller may read.
func (h *Handler) listGroups(_ http.ResponseWriter, r *arm.Request) error {
	if err := seesSubscription(r); err != nil {
		return err
	}
	match, err := resourceFilter(r, "tagName", "tagValue")
	if err != nil {
		return err
	}
	var groups []resource.Group
	err = h.DB.View(r.Context(), func(tx *store.Tx) (err error) {
		groups, err = tx.ResourceGroups(r.SubscriptionID())
		return err
	})
	if err != nil {
		return err
	}
	var shown []groupBody
	for _, g := range groups {
		ok, err := r.Allowed(readGroup, groupID(g))
		if err != nil {
			return err
		}
		if ok && match.tags(g.Tags) {
			shown = append(shown, groupAnswer(g))
		}
	}
	out, err := page(r, shown, func(g groupBody) string { return strings.ToLower(g.Name) })
	if err != nil {
		return err
	}
	return r.WriteJSON(http.StatusOK, out)
}

// page cuts a list, which is ordered by key, to what $top and $skiptoken ask for.
func page[T any](r *arm.Request, all []T, key func(T) string) (list[T], error) {
	out := list[T]{Value: []T{}}
	top := len(all)
	text, sent, err := r.Query("$top")
	if err != nil {
		return out, err
	}
	if sent {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return out, fault.New(fault.Invalid, "InvalidTopInQueryString", "Invalid $top '%s' specified in the query string.", text)
		}
		top = min(n, top)
	}
	after, _, err := r.Query("$skiptoken")
	if err != nil {
		return out, err
	}
	for _, v := range all {
		if after != "" && key(v) <= after {
			continue
		}
		if len(out.Value) == top {
			q := url.Values{"api-version": {r.APIVersion}, "$top": {text}, "$skiptoken": {key(out.Value[top-1])}}
			for _, name := range []string{"$filter", "$expand"} {
				if f, ok, _ := r.Query(name); ok {
					q.Set(name, f)
				}
			}
			out.NextLink = r.URL(r.HTTP.URL.EscapedPath(), q)
			break
		}
		out.Value = append(out.Value, v)
	}
	return out, nil
}

const verbDeleting = "Deleting"

// deleteGroup starts the deletion of a group with all that is in it. Asked again while it runs, it points to the same work.
func (h *Handler) deleteGroup(w http.ResponseWriter, r *arm.Request) error {
	var op resource.Operation
	_, err := h.DB.Update(r.Context(), func(tx *store.Tx) error {
		g, err := arm.ResourceGroup(tx, r.SubscriptionID(), r.Param("group"))
		if err != nil {
			return err
		}
		if err := notManaged(g); err != nil {
			return err
		}
		if op, err = tx.RunningOperation(strings.ToLower(groupID(g))); err == nil || !store.IsNotFound(err) {
			return err
		}
		op, err = r.StartOperation(tx, arm.NewOperation{
			Resource: groupID(g), Verb: verbDeleting, Location: g.Location, Final: http.StatusOK, Input: groupInput{Name: g.Name},
		})
		if err != nil {
			return err
		}
		g.State = arm.StateDeleting
		if err := tx.PutResourceGroup(g); err != nil {
			return err
		}
		return r.Audit(tx, audit.ResourceGroupDeleted, groupID(g), map[string]string{"operation": op.ID.String()})
	})
	if err != nil {
		return err
	}
	r.GroupLocationHeader(op)
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// notManaged refuses to delete a group that lives and dies with a resource, such as the nodes' group of a cluster.
func notManaged(g resource.Group) error {
	if g.ManagedBy == "" {
		return nil
	}
	if _, err := ident.ParseResourceID(g.ManagedBy); err != nil {
		return nil //nolint:nilerr // anything may be written there; only a resource takes its group with it
	}
	return fault.New(fault.Conflict, "ResourceGroupDeletionBlocked",
		"The resource group '%s' is managed by '%s' and goes with it: delete that instead.", g.Name, g.ManagedBy)
}

// manage says what a group is managed by, if that is to change. What manages it now, and is there, does not give it away.
func (h *Handler) manage(tx *store.Tx, g *resource.Group, by *string) error {
	if by == nil || strings.EqualFold(*by, g.ManagedBy) {
		return nil
	}
	if id, err := ident.ParseResourceID(g.ManagedBy); err == nil {
		for _, c := range h.Contents {
			there, _, err := c.Exists(tx, id)
			if err != nil {
				return err
			}
			if there {
				return fault.New(fault.Conflict, "ResourceGroupManagedByMismatch",
					"The resource group '%s' is managed by '%s', and cannot be managed by '%s'.", g.Name, g.ManagedBy, *by)
			}
		}
	}
	g.ManagedBy = *by
	return nil
}

// groupInput is what the deletion of a group needs to know besides its key.
type groupInput struct {
	Name string `json:"name"`
}

// groupDeleter deletes a group: first what is in it, room by room, then itself with the role assignments at it and below.
func (h *Handler) groupDeleter() arm.Worker {
	return arm.Worker{
		Do: func(ctx context.Context, op resource.Operation) error {
			in, err := inputOf(op)
			if err != nil {
				return err
			}
			for _, c := range h.Contents {
				if err := c.DeleteAll(ctx, op.Subscription, in.Name); err != nil {
					return err
				}
			}
			return nil
		},
		Succeeded: func(tx *store.Tx, op resource.Operation) error {
			in, err := inputOf(op)
			if err != nil {
				return err
			}
			if err := tx.DeleteAssignmentsBelow(op.ResourceKey); err != nil {
				return err
			}
			if err := tx.DeleteLocksBelow(op.ResourceKey); err != nil {
				return err
			}
			if err := tx.DeleteResourceGroup(op.Subscription, in.Name); err != nil && !store.IsNotFound(err) {
				return err
			}
			return nil
		},
		Failed: func(tx *store.Tx, op resource.Operation, _ error) error {
			in, err := inputOf(op)
			if err != nil {
				return err
			}
			g, err := tx.ResourceGroup(op.Subscription, in.Name)
			if err != nil {
				return err
			}
			g.State = arm.StateSucceeded // what is left of it can be used, and deleted again
			return tx.PutResourceGroup(g)
		},
	}
}
