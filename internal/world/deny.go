package world

import (
	"encoding/json"
	"fmt"

	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/rbac"
)

// applyDenyAssignment keeps deny assignments by tenant: one at a management group, whose name another tenant may use too, or
// for everyone, counts for the people of its own tenant alone.
func (w *World) applyDenyAssignment(e feed.Event, put bool) error {
	id, err := ident.Parse[ident.DenyAssignmentID](e.Key)
	if err != nil {
		return err
	}
	if tenant, ok := w.denialOf[id]; ok {
		delete(w.denialOf, id)
		w.denials[tenant].Remove(id)
		if w.denials[tenant].Len() == 0 {
			delete(w.denials, tenant)
		}
	}
	if !put {
		return nil
	}
	var d rbac.DenyAssignment
	if err := json.Unmarshal(e.Value, &d); err != nil {
		return err
	}
	if d.ID != id {
		return fmt.Errorf("value is of deny assignment %s", d.ID)
	}
	denial, err := rbac.NewDenial(d)
	if err != nil {
		return err
	}
	if w.denials[d.Tenant] == nil {
		w.denials[d.Tenant] = new(rbac.Denials)
	}
	w.denials[d.Tenant].Put(denial)
	w.denialOf[id] = d.Tenant
	return nil
}
