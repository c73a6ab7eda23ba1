package rbac

import (
	"fmt"
	"strings"

	"github.com/keyreeve/keyreeve/internal/fault"
)

// Role is a role definition made ready for decisions. It does not change.
type Role struct {
	Definition RoleDefinition
	blocks     []block
}

// block is one permission of a role: what it grants less what it takes away again.
type block struct {
	control, data rules
}

type rules struct {
	allow, except []pattern
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
	r := &Role{Definition: d, blocks: make([]block, len(d.Permissions))}
	for i, p := range d.Permissions {
		b := &r.blocks[i]
		for _, list := range []struct {
			field string
			in    []string
			out   *[]pattern
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
			*list.out = compiled
		}
	}
	return r, nil
}

func compilePatterns(in []string) ([]pattern, int, *fault.Error) {
	if len(in) == 0 {
		return nil, 0, nil
	}
	out := make([]pattern, 0, len(in))
	for i, s := range in {
		if why := badPattern(s); why != "" {
			return nil, i, fault.New(fault.Invalid, "", "An action string %s.", why)
		}
		out = append(out, compilePattern(s))
	}
	return out, 0, nil
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

// grants reports whether the role has the action; lower is the action in lower case.
func (r *Role) grants(lower []byte, data bool) bool {
	for i := range r.blocks {
		set := &r.blocks[i].control
		if data {
			set = &r.blocks[i].data
		}
		if matchAny(set.allow, lower) && !matchAny(set.except, lower) {
			return true
		}
	}
	return false
}

// Grants reports whether the role has the action, of the control plane or of the data plane.
func (r *Role) Grants(action string, data bool) bool {
	var buf [stackAction]byte
	return r.grants(lowerASCII(buf[:0], action), data)
}
