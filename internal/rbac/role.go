package rbac

import (
	"fmt"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
)

// Role is a role definition made ready for decisions. It does not change.
type Role struct {
	Definition RoleDefinition
	blocks     []block
	follows    Aggregate
}

// block is one permission of a role: what it grants less what it takes away again.
type block struct {
	control, data rules
}

type rules struct {
	allow, except patterns
}

// maxPattern bounds an action string in bytes; Azure's longest are below 200.
const maxPattern = 1024

// Compile makes a role definition ready for decisions. A definition without an id or a name, an unknown type, a scope
// that does not start with '/', or a malformed action string is an Invalid fault that names the field.
func Compile(d RoleDefinition) (*Role, error) {
	if d.ID.IsZero() {
		return nil, fault.New(fault.Invalid, "", "The role definition has no id.").At("id")
	}
	if d.Name == "" {
		return nil, fault.New(fault.Invalid, "", "The role definition has no name.").At("roleName")
	}
	if d.Type != BuiltInRole && d.Type != CustomRole {
		return nil, fault.New(fault.Invalid, "", "The role type must be %s or %s.", BuiltInRole, CustomRole).At("type")
	}
	for i, s := range d.AssignableScopes {
		if !strings.HasPrefix(s, "/") {
			return nil, fault.New(fault.Invalid, "", "An assignable scope must start with '/'.").At(fmt.Sprintf("assignableScopes[%d]", i))
		}
	}
	blocks, err := compileBlocks(d.Permissions)
	if err != nil {
		return nil, err
	}
	return &Role{Definition: d, blocks: blocks, follows: follows(d)}, nil
}

// The built-in roles that mean more than their action strings.
const (
	kubeReader       = "7f6c6a51-bcf8-42ba-9220-52d62157d7db" // Azure Kubernetes Service RBAC Reader
	kubeWriter       = "a7ffa36f-339b-4b5c-8bdf-e2c188b2c0eb" // Azure Kubernetes Service RBAC Writer
	kubeClusterAdmin = "b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b" // Azure Kubernetes Service RBAC Cluster Admin
)

// Aggregate says which of Kubernetes' aggregated roles a role follows for resources that Azure does not list.
type Aggregate uint8

// The aggregated roles: edit holds what view holds.
const (
	AggregateView Aggregate = 1 << iota
	AggregateEdit
)

func follows(d RoleDefinition) Aggregate {
	if d.Type != BuiltInRole {
		return 0
	}
	switch d.ID.String() {
	case kubeReader:
		return AggregateView
	case kubeWriter:
		return AggregateView | AggregateEdit
	}
	return 0
}

func (r *Role) clusterAdmin() bool {
	return r.Definition.Type == BuiltInRole && r.Definition.ID == ident.MustParse[ident.RoleDefinitionID](kubeClusterAdmin)
}

func compileBlocks(permissions []Permission) ([]block, error) {
	blocks := make([]block, len(permissions))
	for i, p := range permissions {
		b := &blocks[i]
		for _, list := range []struct {
			field string
			in    []string
			out   *patterns
		}{
			{"actions", p.Actions, &b.control.allow},
			{"notActions", p.NotActions, &b.control.except},
			{"dataActions", p.DataActions, &b.data.allow},
			{"notDataActions", p.NotDataActions, &b.data.except},
		} {
			compiled, at, err := compilePatterns(list.in)
			if err != nil {
				return nil, err.At(fmt.Sprintf("permissions[%d].%s[%d]", i, list.field, at))
			}
			if list.out == &b.control.allow || list.out == &b.control.except {
				compiled = newPatterns(withParents(list.in))
			}
			*list.out = compiled
		}
	}
	return blocks, nil
}

// withParents adds to patterns such as TYPE/*/read what they say of the type itself, TYPE/read: Managed Identity Operator
// reads and assigns identities by such patterns alone. It holds for what is granted and for what is taken out, and for
// control actions: data actions of a cluster name what lies in it.
func withParents(in []string) []string {
	out := slices.Clip(in)
	for _, s := range in {
		if before, after, ok := strings.Cut(s, "/*/"); ok && strings.Contains(before, "/") {
			out = append(out, before+"/"+after)
		}
	}
	return out
}

func compilePatterns(in []string) (patterns, int, *fault.Error) {
	for i, s := range in {
		if why := badPattern(s); why != "" {
			return patterns{}, i, fault.New(fault.Invalid, "", "An action string %s.", why)
		}
	}
	return newPatterns(in), 0, nil
}

// badPattern says what is wrong with an action string, if anything. Only printable ASCII is let in: that makes "without
// case" mean one thing.
func badPattern(s string) string {
	if s == "" {
		return "is empty"
	}
	if len(s) > maxPattern {
		return fmt.Sprintf("is longer than %d bytes", maxPattern)
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return "has a character other than printable ASCII"
		}
	}
	return ""
}

// of returns the rules of one plane.
func (b *block) of(data bool) *rules {
	if data {
		return &b.data
	}
	return &b.control
}

// grants reports whether the rules grant a request: by its own action, by its resource's where that implies it, or as a custom
// resource. What is taken away under any of its names is not granted.
func (s *rules) grants(q *query) bool {
	if !s.allow.match(q.own) && !(q.implied && s.allow.match(q.parent)) && !(len(q.custom) > 0 && !q.maybe && s.allow.match(q.custom)) {
		return false
	}
	return !s.excepts(q)
}

func (s *rules) excepts(q *query) bool {
	if len(s.except.texts) == 0 {
		return false
	}
	if q.glob {
		return s.except.meets(q.own) || len(q.parent) > 0 && s.except.meets(q.parent) || len(q.custom) > 0 && s.except.meets(q.custom)
	}
	return s.except.match(q.own) || len(q.parent) > 0 && s.except.match(q.parent) || len(q.custom) > 0 && s.except.match(q.custom)
}

// covers reports whether the role grants a request.
func (r *Role) covers(q *query) bool {
	for i := range r.blocks {
		if r.blocks[i].of(q.data).grants(q) {
			return true
		}
	}
	return r.follows != 0 && len(q.custom) > 0 && !q.maybe && q.rules != nil && q.rules.aggregated(r.follows, q.kube)
}

// Grants reports whether the role has the action, of the control plane or of the data plane.
func (r *Role) Grants(action string, data bool) bool {
	var buf [stackAction]byte
	q := query{data: data}
	q.own = lowerASCII(buf[:0], action)
	return r.covers(&q)
}
