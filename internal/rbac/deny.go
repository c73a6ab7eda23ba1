package rbac

import (
	"slices"

	"github.com/keyreeve/keyreeve/internal/ident"
)

// DenyAssignment takes actions away whatever roles grant (Microsoft.Authorization/denyAssignments). They are made by the
// platform; no API call makes one.
type DenyAssignment struct {
	ID          ident.GUID   `json:"id"`
	Name        string       `json:"name"`
	Description string       `json:"description,omitempty"`
	Permissions []Permission `json:"permissions"`
	Scope       string       `json:"scope"`
	// ExactScope is doNotApplyToChildScopes.
	ExactScope bool `json:"doNotApplyToChildScopes"`
	// Principals to whom it applies; the zero id is everyone. Excluded ones are not denied, nor are members of excluded groups.
	Principals []ident.ObjectID `json:"principals"`
	Excluded   []ident.ObjectID `json:"excludePrincipals,omitempty"`
	// Protected is isSystemProtected.
	Protected bool `json:"isSystemProtected"`
}

// Denial is a deny assignment made ready for decisions. It does not change.
type Denial struct {
	Assignment DenyAssignment
	key        string
	blocks     []block
}

// NewDenial makes a deny assignment ready for decisions. Malformed action strings are an Invalid fault.
func NewDenial(d DenyAssignment) (*Denial, error) {
	blocks, err := compileBlocks(d.Permissions)
	if err != nil {
		return nil, err
	}
	return &Denial{Assignment: d, key: scopeKey(d.Scope), blocks: blocks}, nil
}

// denied returns the first denial that applies to a request.
func denied(q *query, principal ident.ObjectID, facts Facts) *Denial {
	for _, d := range facts.Denials() {
		if q.under(d.key) && (!d.Assignment.ExactScope || len(d.key) == len(q.scope)) && d.takes(q) && d.about(principal, facts) {
			return d
		}
	}
	return nil
}

// takes reports whether the denial has any of the actions asked for.
func (d *Denial) takes(q *query) bool {
	for i := range d.blocks {
		set := d.blocks[i].of(q.data)
		if set.hit(q) && !set.except.match(q.own) {
			return true
		}
	}
	return false
}

func (d *Denial) about(principal ident.ObjectID, facts Facts) bool {
	in := slices.Contains(d.Assignment.Principals, ident.ObjectID{})
	w := walk{facts: facts, principal: principal}
	for {
		group, _, ok := w.next()
		if !ok {
			return in
		}
		id := principal
		if group != nil {
			id = *group
		}
		if slices.Contains(d.Assignment.Excluded, id) {
			return false
		}
		in = in || slices.Contains(d.Assignment.Principals, id)
	}
}
