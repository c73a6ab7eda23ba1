// Package locks owns Microsoft.Authorization/locks: which scopes are locked, against deletion or against any change.
//
// It keeps locks and shows them. That they hold is arm's concern, which asks for them before every write; they bind everybody,
// owners too, until somebody who may removes them.
package locks

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

// Handler serves the routes of this room.
type Handler struct {
	DB *store.DB
	// Contents are the rooms that know whether a resource is there.
	Contents []arm.Contents
}

const lockType = "Microsoft.Authorization/locks"

// Mount registers the routes.
func (h *Handler) Mount(f *arm.Face) {
	const list = "/{scope...}/providers/Microsoft.Authorization/locks"
	for _, r := range []arm.Route{
		{Method: http.MethodGet, Pattern: list, Action: lockType + "/read", Handle: h.list},
		{Method: http.MethodGet, Pattern: list + "/{name}", Action: lockType + "/read", Handle: h.get},
		{Method: http.MethodPut, Pattern: list + "/{name}", Action: lockType + "/write", Handle: h.put},
		{Method: http.MethodDelete, Pattern: list + "/{name}", Action: lockType + "/delete", Handle: h.remove},
	} {
		r.Errors = arm.FromGateway
		f.Handle(r)
	}
}

type body struct {
	Properties properties `json:"properties"`
	ID         string     `json:"id"`
	Type       string     `json:"type"`
	Name       string     `json:"name"`
}

type properties struct {
	Level resource.LockLevel `json:"level"`
	Notes string             `json:"notes,omitempty"`
}

func render(l resource.Lock) body {
	return body{
		Properties: properties{Level: l.Level, Notes: l.Notes}, ID: l.Scope + "/providers/" + lockType + "/" + l.Name, Type: lockType, Name: l.Name,
	}
}

// scope returns the scope of a request's path, which must be there and be one that can be locked.
func (h *Handler) scope(tx *store.Tx, r *arm.Request) (string, error) {
	scope := r.Prefix()
	segments := strings.Split(scope, "/")
	switch {
	case r.SubscriptionID().IsZero():
		return "", fault.New(fault.Invalid, "InvalidLockScope", "The scope '%s' cannot be locked; a subscription, a resource group and a resource can.", scope)
	case len(segments) == 3:
		return scope, nil
	case len(segments) == 5 && strings.EqualFold(segments[3], "resourceGroups"):
		g, err := arm.ResourceGroup(tx, r.SubscriptionID(), segments[4])
		return "/subscriptions/" + r.SubscriptionID().String() + "/resourceGroups/" + g.Name, err
	}
	id, err := ident.ParseResourceID(scope)
	if err != nil {
		return "", fault.New(fault.Invalid, "InvalidLockScope", "The scope '%s' cannot be locked; a subscription, a resource group and a resource can.", scope).Because(err)
	}
	for _, c := range h.Contents {
		exists, known, err := c.Exists(tx, id)
		if err != nil {
			return "", err
		}
		if known && exists {
			return id.String(), nil
		}
	}
	return "", arm.ResourceNotFound(id.Type(), id.Name(), id.Group)
}

func (h *Handler) list(_ http.ResponseWriter, r *arm.Request) error {
	text, _, err := r.Query("$filter")
	if err != nil {
		return err
	}
	above := false
	if text != "" {
		clauses, err := arm.ParseFilter(text)
		if err != nil {
			return err
		}
		if len(clauses) != 1 || !clauses[0].Is("atScope", true) {
			return fault.New(fault.Invalid, "InvalidFilterInQueryString", "Invalid $filter '%s' specified in the query string.", text)
		}
		above = true
	}
	value := []body{}
	err = h.DB.View(r.Context(), func(tx *store.Tx) error {
		scope, err := h.scope(tx, r)
		if err != nil {
			return err
		}
		locks, err := tx.Locks(r.SubscriptionID())
		for _, l := range locks {
			if above && resource.Within(scope, l.Scope) || !above && resource.Within(l.Scope, scope) {
				value = append(value, render(l))
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	return r.WriteJSON(http.StatusOK, map[string]any{"value": value})
}

func (h *Handler) find(tx *store.Tx, r *arm.Request) (resource.Lock, error) {
	scope, err := h.scope(tx, r)
	if err != nil {
		return resource.Lock{}, err
	}
	l, err := tx.Lock(scope, r.Param("name"))
	if store.IsNotFound(err) {
		return l, fault.New(fault.NotFound, "LockNotFound", "The lock '%s' could not be found.", r.Param("name"))
	}
	return l, err
}

func (h *Handler) get(_ http.ResponseWriter, r *arm.Request) error {
	var l resource.Lock
	err := h.DB.View(r.Context(), func(tx *store.Tx) (err error) {
		l, err = h.find(tx, r)
		return err
	})
	if err != nil {
		return err
	}
	return r.WriteJSON(http.StatusOK, render(l))
}

// Bounds of a lock.
const (
	maxName  = 90
	maxNotes = 512
)

func check(name string, p properties) (resource.LockLevel, error) {
	if len(name) > maxName || strings.ContainsAny(name, `<>%&:?/`) || strings.HasSuffix(name, ".") {
		return "", fault.New(fault.Invalid, "InvalidLockName", "The lock name has at most %d characters without <>%%&:?/ and does not end with a period.", maxName)
	}
	if len(p.Notes) > maxNotes {
		return "", fault.New(fault.Invalid, "InvalidLockNotes", "The notes of a lock have at most %d characters.", maxNotes)
	}
	for _, level := range []resource.LockLevel{resource.CanNotDelete, resource.ReadOnly} {
		if strings.EqualFold(string(level), string(p.Level)) {
			return level, nil
		}
	}
	return "", fault.New(fault.Invalid, "InvalidLockLevel", "The level of a lock is CanNotDelete or ReadOnly.").At("properties.level")
}

func (h *Handler) put(_ http.ResponseWriter, r *arm.Request) error {
	var in struct {
		Properties properties `json:"properties"`
	}
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	level, err := check(r.Param("name"), in.Properties)
	if err != nil {
		return err
	}
	status := http.StatusOK
	var l resource.Lock
	_, err = h.DB.Update(r.Context(), func(tx *store.Tx) error {
		scope, err := h.scope(tx, r)
		if err != nil {
			return err
		}
		l, err = tx.Lock(scope, r.Param("name"))
		if store.IsNotFound(err) {
			status = http.StatusCreated
			l = resource.Lock{Subscription: r.SubscriptionID(), Scope: scope, Name: r.Param("name"), CreatedAt: r.Now()}
		} else if err != nil {
			return err
		}
		l.Level, l.Notes, l.UpdatedAt = level, in.Properties.Notes, r.Now()
		if err := tx.PutLock(l); err != nil {
			return err
		}
		return r.Audit(tx, audit.LockWritten, render(l).ID, map[string]string{"level": string(l.Level)})
	})
	if err != nil {
		return err
	}
	return r.WriteJSON(status, render(l))
}

// remove removes a lock; one that is not there is no error.
func (h *Handler) remove(w http.ResponseWriter, r *arm.Request) error {
	missing := false
	_, err := h.DB.Update(r.Context(), func(tx *store.Tx) error {
		l, err := h.find(tx, r)
		if fault.Is(err, fault.NotFound) {
			missing = true
			return nil
		}
		if err != nil {
			return err
		}
		if err := tx.DeleteLock(l.Scope, l.Name); err != nil {
			return err
		}
		return r.Audit(tx, audit.LockDeleted, render(l).ID, nil)
	})
	if err != nil {
		return err
	}
	if missing {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	w.WriteHeader(http.StatusOK)
	return nil
}
