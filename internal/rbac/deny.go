package rbac

import (
	"bytes"
	"slices"
	"time"

	"github.com/keyreeve/keyreeve/internal/ident"
)

// DenyAssignment takes actions away whatever roles grant (Microsoft.Authorization/denyAssignments).
type DenyAssignment struct {
	ID          ident.DenyAssignmentID `json:"id"`
	Tenant      ident.TenantID         `json:"tenant"`
	Name        string                 `json:"name"`
	Description string                 `json:"description,omitempty"`
	Permissions []Permission           `json:"permissions"`
	Scope       string                 `json:"scope"`
	// ExactScope is doNotApplyToChildScopes.
	ExactScope bool `json:"doNotApplyToChildScopes"`
	// Principals to whom it applies; the zero id is everyone. Excluded ones are not denied, nor are members of excluded groups.
	Principals []DenyPrincipal `json:"principals"`
	Excluded   []DenyPrincipal `json:"excludePrincipals,omitempty"`
	// Protected is isSystemProtected: no API call changes or deletes it.
	Protected        bool      `json:"isSystemProtected"`
	Condition        string    `json:"condition,omitempty"`
	ConditionVersion string    `json:"conditionVersion,omitempty"`
	CreatedOn        time.Time `json:"createdOn"`
	UpdatedOn        time.Time `json:"updatedOn"`
	CreatedBy        string    `json:"createdBy,omitempty"`
	UpdatedBy        string    `json:"updatedBy,omitempty"`
}

// DenyPrincipal is somebody whom a deny assignment names.
type DenyPrincipal struct {
	ID   ident.ObjectID `json:"id"`
	Type PrincipalType  `json:"type"`
}

// PrincipalEveryone is the type of the principal with the zero id, which stands for everyone.
const PrincipalEveryone PrincipalType = "SystemDefined"

// Denial is a deny assignment made ready for decisions. It does not change.
type Denial struct {
	Assignment DenyAssignment
	key        string
	hash       uint64 // of key
	blocks     []block
	condition  *Condition // nil for none, and for one that cannot be read: then it denies always
}

// NewDenial makes a deny assignment ready for decisions. Malformed action strings are an Invalid fault.
func NewDenial(d DenyAssignment) (*Denial, error) {
	blocks, err := compileBlocks(d.Permissions)
	if err != nil {
		return nil, err
	}
	out := &Denial{Assignment: d, key: scopeKey(d.Scope), blocks: blocks}
	out.hash = hashScope(out.key)
	if d.Condition != "" && d.ConditionVersion == ConditionVersion {
		if c, err := ParseCondition(d.Condition); err == nil {
			out.condition = c
		}
	}
	return out, nil
}

// Denials are the deny assignments of a tenant, by scope. A decision looks only at those of the scopes that it is under: with
// none there it costs one comparison. A nil *Denials has none. Who changes one sees to it that nobody reads it meanwhile.
type Denials struct {
	mask   uint64 // of their scopes
	places map[uint64][]*Denial
	all    []*Denial // in the order of their ids
}

// Put adds a deny assignment, in the place of one of the same id.
func (s *Denials) Put(d *Denial) {
	s.Remove(d.Assignment.ID)
	i, _ := s.find(d.Assignment.ID)
	s.all = slices.Insert(s.all, i, d)
	if s.places == nil {
		s.places = map[uint64][]*Denial{}
	}
	s.places[d.hash] = append(s.places[d.hash], d)
	s.mask |= bit(d.hash)
}

// Remove takes a deny assignment out, if it is there.
func (s *Denials) Remove(id ident.DenyAssignmentID) {
	i, there := s.find(id)
	if !there {
		return
	}
	d := s.all[i]
	s.all = slices.Delete(s.all, i, i+1)
	list := slices.DeleteFunc(s.places[d.hash], func(x *Denial) bool { return x == d })
	if s.places[d.hash] = list; len(list) > 0 {
		return
	}
	delete(s.places, d.hash)
	s.mask = 0
	for h := range s.places {
		s.mask |= bit(h)
	}
}

// Len returns how many there are.
func (s *Denials) Len() int {
	if s == nil {
		return 0
	}
	return len(s.all)
}

func (s *Denials) find(id ident.DenyAssignmentID) (int, bool) {
	return slices.BinarySearchFunc(s.all, id, func(d *Denial, id ident.DenyAssignmentID) int {
		return bytes.Compare(d.Assignment.ID[:], id[:])
	})
}

// near reports whether one of them might be at one of the scopes.
func (s *Denials) near(m *marks) bool { return s != nil && s.mask&m.all != 0 }

// denied returns the first deny assignment that applies to a request.
func denied(q *query, principal ident.ObjectID, facts Facts) *Denial {
	s := facts.Denials(principal)
	if !s.near(&q.marks) {
		return nil
	}
	if q.marks.deep {
		return firstOf(s.all, q, principal, facts)
	}
	for _, h := range q.marks.each[:q.marks.n] {
		if bit(h)&s.mask == 0 {
			continue
		}
		if d := firstOf(s.places[h], q, principal, facts); d != nil {
			return d
		}
	}
	return nil
}

func firstOf(list []*Denial, q *query, principal ident.ObjectID, facts Facts) *Denial {
	for _, d := range list {
		if d.at(q) && d.takes(q) && d.about(principal, facts) {
			return d
		}
	}
	return nil
}

// at reports whether the request is where the denial counts.
func (d *Denial) at(q *query) bool {
	if d.Assignment.ExactScope {
		return string(q.scope) == d.key
	}
	return q.under(d.key)
}

// keepDenials begins the control actions on deny assignments, which no deny assignment takes away: else one could be made
// that nobody ever gets rid of.
const keepDenials = "microsoft.authorization/denyassignments/"

// takes reports whether the denial has any of the actions asked for. What its condition does not know counts as denied.
func (d *Denial) takes(q *query) bool {
	if !q.data && bytes.HasPrefix(q.own, []byte(keepDenials)) {
		return false
	}
	for i := range d.blocks {
		set := d.blocks[i].of(q.data)
		if set.hit(q) && !set.except.match(q.own) {
			return d.condition == nil || d.condition.denies(q)
		}
	}
	return false
}

// denies reports whether the condition of a deny assignment holds or is not known, unless what it asks about will be known later:
// then it is asked again.
func (c *Condition) denies(q *query) bool {
	switch c.root.eval(q) {
	case isTrue:
		return true
	case isUnknown:
		return q.delegation == nil || !q.delegation.Later
	case isFalse:
	}
	return false
}

// hit reports whether the rules have any of what is asked for, by any of its names.
func (s *rules) hit(q *query) bool {
	if q.glob {
		return s.allow.meets(q.own) || len(q.parent) > 0 && s.allow.meets(q.parent) || len(q.custom) > 0 && s.allow.meets(q.custom)
	}
	return s.allow.match(q.own) || len(q.parent) > 0 && s.allow.match(q.parent) || len(q.custom) > 0 && s.allow.match(q.custom)
}

// about reports whether the denial is for a principal.
func (d *Denial) about(principal ident.ObjectID, facts Facts) bool {
	in := namedIn(d.Assignment.Principals, ident.ObjectID{})
	w := begin(facts, principal)
	for {
		group, _, ok := w.next()
		if !ok {
			return in
		}
		id := principal
		if group != nil {
			id = *group
		}
		if namedIn(d.Assignment.Excluded, id) {
			return false
		}
		in = in || namedIn(d.Assignment.Principals, id)
	}
}

func namedIn(list []DenyPrincipal, id ident.ObjectID) bool {
	for i := range list {
		if list[i].ID == id {
			return true
		}
	}
	return false
}

// DenialsAbout lists the deny assignments that take data actions away from a principal somewhere in a cluster.
func DenialsAbout(principal ident.ObjectID, rules *ClusterRules, facts Facts) []*Denial {
	s := facts.Denials(principal)
	if s == nil || !rules.AzureRoles {
		return nil
	}
	var out []*Denial
	for _, d := range s.all {
		if slices.ContainsFunc(d.blocks, block.ofKubernetes) && rules.touches(d) && d.about(principal, facts) {
			out = append(out, d)
		}
	}
	return out
}

// touches reports whether a deny assignment is at the cluster, above it so that it counts there, or at a namespace.
func (r *ClusterRules) touches(d *Denial) bool {
	scope := r.Place.Scope()
	switch {
	case covers(scope, []byte(d.key)):
		return true
	case d.Assignment.ExactScope:
		return false
	}
	return covers(d.key, []byte(scope)) || slices.Contains(r.Above, d.key)
}
