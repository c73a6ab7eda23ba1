package gatehouse

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/gatefeed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/web"
)

// ownRules is what the gates of a cluster said of its own roles and bindings, and when they last did.
type ownRules struct {
	digest string
	set    *rbac.ClusterRBAC
	at     time.Time
}

// rules takes in what a gate says of its cluster's own roles and bindings.
func (h *Handler) rules(w http.ResponseWriter, r *http.Request) error {
	g, err := h.known(r)
	if err != nil {
		return err
	}
	body, err := web.ReadBody(w, r, gatefeed.MaxRules)
	if err != nil {
		return err
	}
	var in gatefeed.OwnRules
	if err := json.Unmarshal(body, &in); err != nil {
		return fault.New(fault.Invalid, "", "The rules cannot be read.").Because(err)
	}
	return web.WriteJSON(w, http.StatusOK, "application/json", gatefeed.RulesAnswer{Want: h.Roster.takeRules(g.cluster.ID, &in, h.Now())})
}

// takeRules keeps the rules of a cluster, and reports whether the whole of them is wanted.
func (r *Roster) takeRules(c ident.ClusterID, in *gatefeed.OwnRules, now time.Time) (want bool) {
	var set *rbac.ClusterRBAC
	if in.Known && in.Whole {
		set = in.Set()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.own == nil {
		r.own = map[ident.ClusterID]ownRules{}
	}
	have := r.own[c]
	switch {
	case !in.Known:
		delete(r.own, c)
		return false
	case set != nil:
		r.own[c] = ownRules{digest: in.Digest, set: set, at: now}
		return false
	case have.set == nil || have.digest != in.Digest:
		delete(r.own, c) // what is known is no longer so
		return true
	}
	have.at = now
	r.own[c] = have
	return false
}

// Own returns a cluster's own roles and bindings as its gates see them; nil when they are not known.
func (r *Roster) Own(c ident.ClusterID, now time.Time) *rbac.ClusterRBAC {
	r.mu.Lock()
	defer r.mu.Unlock()
	if have, ok := r.own[c]; ok && now.Sub(have.at) < gatefeed.RulesLast {
		return have.set
	}
	return nil
}
