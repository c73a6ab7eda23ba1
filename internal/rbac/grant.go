package rbac

import (
	"slices"

	"github.com/keyreeve/keyreeve/internal/ident"
)

// Held is what decisions need of an assignment.
type Held struct {
	ID               ident.RoleAssignmentID
	Scope            string // as it was sent
	RoleDefinitionID ident.RoleDefinitionID
	PrincipalID      ident.ObjectID
	PrincipalType    PrincipalType
	Tenant           ident.TenantID
	Condition        string
}

// Grant is an assignment with its role, made ready for decisions. It does not change.
type Grant struct {
	Assignment Held
	Role       *Role
	key        string     // of the scope
	hash       uint64     // of the key
	condition  *Condition // nil for none
	void       bool       // its condition cannot be read: it grants nothing
	usual      bool       // its scope is one of those at which assignments usually are
	self       [1]*Grant  // what a decision by this grant names; made once, so that an allow takes no memory
}

// NewGrant makes an assignment ready for decisions. With a condition that cannot be read, it grants nothing. A nil role is one
// that is not defined; such a grant must not be put among Grants.
func NewGrant(a Assignment, r *Role) *Grant { return newGrant(a, r, scopeKey(a.Scope)) }

func newGrant(a Assignment, r *Role, key string) *Grant {
	g := &Grant{
		Assignment: Held{
			ID: a.ID, Scope: a.Scope, RoleDefinitionID: a.RoleDefinitionID, PrincipalID: a.PrincipalID, PrincipalType: a.PrincipalType.shared(),
			Tenant: a.Tenant, Condition: a.Condition,
		},
		Role: r, key: key,
	}
	g.hash, g.usual = hashScope(g.key), usual(segments(g.key))
	if a.Condition != "" || a.ConditionVersion != "" {
		c, err := ParseCondition(a.Condition)
		g.condition, g.void = c, err != nil || a.ConditionVersion != ConditionVersion
	}
	g.self[0] = g
	return g
}

// shared is the same type as a constant, which takes no memory of its own.
func (t PrincipalType) shared() PrincipalType {
	for _, known := range []PrincipalType{PrincipalUser, PrincipalGroup, PrincipalServicePrincipal} {
		if t == known {
			return known
		}
	}
	return t
}

// Regrant is the same assignment with its role as it is now; nil for a role that is not defined.
func Regrant(g *Grant, r *Role) *Grant {
	next := *g
	next.Role = r
	next.self[0] = &next
	return &next
}

// Void reports whether the grant grants nothing because its condition cannot be read.
func (g *Grant) Void() bool { return g.void }

// applies reports whether the grant covers a request.
func (g *Grant) applies(q *query) bool {
	if g.void || !q.under(g.key) || q.clusterAdmin && !g.Role.clusterAdmin() || !g.Role.covers(q) {
		return false
	}
	return g.condition == nil || g.condition.holds(q)
}

// Grants are the grants of one principal or group, in the order of their assignments' ids. They do not change: With and
// Without make the next ones. A nil *Grants has none.
type Grants struct {
	mask   uint64 // of the scopes; everything when one of them is not usual
	hashes []uint64
	list   []*Grant
}

// everything is the mask that has something in common with every other.
const everything = ^uint64(0)

// at reports whether one of the grants is at the scope with a hash.
func (s *Grants) at(hash uint64) bool { return s != nil && slices.Contains(s.hashes, hash) }

// List returns the grants. It must not be changed.
func (s *Grants) List() []*Grant {
	if s == nil {
		return nil
	}
	return s.list
}

// With returns the grants and one more, in the place of one of the same id.
func (s *Grants) With(g *Grant) *Grants {
	i, there := s.find(g.Assignment.ID)
	list := slices.Clone(s.List())
	if there {
		list[i] = g
	} else {
		list = slices.Insert(list, i, g)
	}
	return newGrants(list)
}

// Without returns the grants but one; nil when none is left.
func (s *Grants) Without(id ident.RoleAssignmentID) *Grants {
	i, there := s.find(id)
	switch {
	case !there:
		return s
	case len(s.list) == 1:
		return nil
	}
	return newGrants(slices.Delete(slices.Clone(s.list), i, i+1))
}

func (s *Grants) find(id ident.RoleAssignmentID) (int, bool) {
	return slices.BinarySearchFunc(s.List(), id, func(g *Grant, id ident.RoleAssignmentID) int {
		return slices.Compare(g.Assignment.ID[:], id[:])
	})
}

func newGrants(list []*Grant) *Grants {
	s := &Grants{list: list, hashes: make([]uint64, len(list))}
	for i, g := range list {
		s.hashes[i] = g.hash
		if g.usual {
			s.mask |= bit(s.hashes[i])
		} else {
			s.mask = everything
		}
	}
	return s
}

// near reports whether first might return one.
func (s *Grants) near(m *marks) bool {
	return s != nil && s.mask&m.usual != 0 && slices.ContainsFunc(s.hashes, m.has)
}

// first returns the first grant from the i-th on that covers a request, and its place; nil when there is none.
func (s *Grants) first(q *query, i int) (*Grant, int) {
	if s == nil || s.mask&q.marks.usual == 0 {
		return nil, 0
	}
	for ; i < len(s.hashes); i++ {
		if !q.marks.has(s.hashes[i]) {
			continue
		}
		if g := s.list[i]; g.applies(q) {
			return g, i
		}
	}
	return nil, 0
}
