package rbac

import "github.com/keyreeve/keyreeve/internal/ident"

// Delegation is what conditions may ask of a request to write or delete a role assignment: who may assign roles may be
// narrowed to some roles, principals and kinds of principal.
type Delegation struct {
	// Request is the assignment that is asked for, and Resource the one that is there; zero for none.
	Request, Resource AssignmentAttributes
	// Later says that neither is known yet and that the decision is made again when they are: until then a condition holds
	// that does not say no.
	Later bool
}

// AssignmentAttributes are the attributes of a role assignment.
type AssignmentAttributes struct {
	Role      ident.RoleDefinitionID
	Principal ident.ObjectID
	Type      PrincipalType
}

// get returns the value of an attribute; an empty one is not there.
func (d *Delegation) get(id attribute) string {
	if d == nil || d.Later {
		return ""
	}
	of := &d.Request
	switch id {
	case attrResourceRole, attrResourcePrincipal, attrResourceType:
		of = &d.Resource
	default:
	}
	switch id {
	case attrRequestRole, attrResourceRole:
		if !of.Role.IsZero() {
			return of.Role.String()
		}
	case attrRequestPrincipal, attrResourcePrincipal:
		if !of.Principal.IsZero() {
			return of.Principal.String()
		}
	case attrRequestType, attrResourceType:
		return string(of.Type)
	default:
	}
	return ""
}
