package managementgroups

import (
	"net/http"
	"strings"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

type subscriptionBody struct {
	Properties subscriptionProperties `json:"properties"`
	ID         string                 `json:"id"`
	Type       string                 `json:"type"`
	Name       string                 `json:"name"`
}

type subscriptionProperties struct {
	Tenant      string `json:"tenant"`
	DisplayName string `json:"displayName"`
	Parent      named  `json:"parent"`
	State       string `json:"state"`
}

func subscriptionAnswer(g resource.ManagementGroup, s resource.Subscription) subscriptionBody {
	state := s.State
	if state == "Enabled" {
		state = "Active" // as this provider spells it
	}
	return subscriptionBody{
		Properties: subscriptionProperties{Tenant: s.Tenant.String(), DisplayName: s.DisplayName, Parent: named{ID: g.ID()}, State: state},
		ID:         g.ID() + "/subscriptions/" + s.ID.String(), Type: resource.ManagementGroupType + "/subscriptions", Name: s.ID.String(),
	}
}

func (h *Handler) listSubscriptions(_ http.ResponseWriter, r *arm.Request) error {
	t, g, err := h.find(r, readSubscription)
	if err != nil {
		return err
	}
	out := list[subscriptionBody]{Value: []subscriptionBody{}}
	for _, s := range t.in(g) {
		out.Value = append(out.Value, subscriptionAnswer(g, s))
	}
	out.Count = len(out.Value)
	return r.WriteJSON(http.StatusOK, out)
}

// named returns the subscription of the path, if it is in the group.
func subscriptionIn(t *tree, g resource.ManagementGroup, text string) (resource.Subscription, error) {
	for _, s := range t.in(g) {
		if strings.EqualFold(s.ID.String(), text) {
			return s, nil
		}
	}
	return resource.Subscription{}, fault.New(fault.NotFound, "NotFound", "The subscription '%s' is not in the management group '%s'.", clip(text), g.Name)
}

func clip(s string) string {
	const most = 64
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

func (h *Handler) getSubscription(_ http.ResponseWriter, r *arm.Request) error {
	t, g, err := h.find(r, readSubscription)
	if err != nil {
		return err
	}
	s, err := subscriptionIn(t, g, r.Param("sub"))
	if err != nil {
		return err
	}
	return r.WriteJSON(http.StatusOK, subscriptionAnswer(g, s))
}

// move puts a subscription into a group. It changes who has access to the subscription, so it takes the right to write at the
// group and to assign roles at the subscription; and the right to take it out of where it is.
func (h *Handler) move(r *arm.Request, id ident.SubscriptionID, to func(*tree) (resource.ManagementGroup, error)) (g resource.ManagementGroup, s resource.Subscription, err error) {
	_, err = h.DB.Update(r.Context(), func(tx *store.Tx) error {
		t, err := treeOf(tx, r.Caller.Tenant)
		if err != nil {
			return err
		}
		if g, err = to(t); err != nil {
			return err
		}
		s, err = tx.Subscription(id)
		if store.IsNotFound(err) || err == nil && s.Tenant != r.Caller.Tenant {
			return fault.New(fault.NotFound, "SubscriptionNotFound", "The subscription '%s' could not be found.", id)
		}
		if err != nil {
			return err
		}
		from, _ := t.group(s.ManagementGroup)
		if strings.EqualFold(from.Name, g.Name) {
			return nil
		}
		scope := "/subscriptions/" + id.String()
		if err := firstOf(r.Require(assignRoles, scope), r.Require(writeSubscription, g.ID())); err != nil {
			return err
		}
		if !from.IsRoot() {
			if err := r.Require(writeSubscription, from.ID()); err != nil {
				return err
			}
		}
		s.ManagementGroup = g.Name
		if g.IsRoot() {
			s.ManagementGroup = ""
		}
		if err := tx.PutSubscription(s); err != nil {
			return err
		}
		return r.Audit(tx, audit.SubscriptionMoved, scope, map[string]string{"from": from.Name, "to": g.Name})
	})
	return g, s, err
}

func subscriptionParam(r *arm.Request) (ident.SubscriptionID, error) {
	id, err := ident.Parse[ident.SubscriptionID](r.Param("sub"))
	if err != nil {
		return id, fault.New(fault.Invalid, "InvalidSubscriptionId", "The provided subscription identifier '%s' is malformed or invalid.", clip(r.Param("sub")))
	}
	return id, nil
}

func (h *Handler) addSubscription(w http.ResponseWriter, r *arm.Request) error {
	id, err := subscriptionParam(r)
	if err != nil {
		return err
	}
	name := r.Param("group")
	if err := r.Require(writeSubscription, resource.ManagementGroupID(name)); err != nil {
		return err
	}
	g, s, err := h.move(r, id, func(t *tree) (resource.ManagementGroup, error) {
		g, ok := t.group(name)
		if !ok {
			return g, missing(name)
		}
		return g, nil
	})
	if err != nil {
		return err
	}
	if r.APIVersion < "2020-05-01" { // older clients expect no body
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return r.WriteJSON(http.StatusOK, subscriptionAnswer(g, s))
}

// removeSubscription takes a subscription out of a group; it falls back to the root group.
func (h *Handler) removeSubscription(w http.ResponseWriter, r *arm.Request) error {
	id, err := subscriptionParam(r)
	if err != nil {
		return err
	}
	t, g, err := h.find(r, deleteSubscription)
	if err != nil {
		return err
	}
	if _, err := subscriptionIn(t, g, id.String()); err != nil {
		w.WriteHeader(http.StatusNoContent)
		return nil //nolint:nilerr // it is not there: nothing is left to do
	}
	if err := h.detach(r, id, g); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// detach moves a subscription to the root group: taking it out needs no right there.
func (h *Handler) detach(r *arm.Request, id ident.SubscriptionID, from resource.ManagementGroup) error {
	_, err := h.DB.Update(r.Context(), func(tx *store.Tx) error {
		s, err := tx.Subscription(id)
		if err != nil || s.Tenant != from.Tenant || !strings.EqualFold(s.ManagementGroup, from.Name) {
			return err // moved meanwhile
		}
		scope := "/subscriptions/" + id.String()
		if err := r.Require(assignRoles, scope); err != nil {
			return err
		}
		s.ManagementGroup = ""
		if err := tx.PutSubscription(s); err != nil {
			return err
		}
		return r.Audit(tx, audit.SubscriptionMoved, scope, map[string]string{"from": from.Name, "to": from.Tenant.String()})
	})
	return err
}
