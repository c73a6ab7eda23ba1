package rbac

import (
	_ "embed"
	"encoding/json"
	"fmt"

	"github.com/keyreeve/keyreeve/internal/ident"
)

//go:embed builtin-roles.json
var builtinRoles string

// BuiltinRoles returns Azure's built-in role definitions, in the order of the catalogue. Names, ids and action strings
// are those of the public service.
func BuiltinRoles() ([]RoleDefinition, error) {
	var docs []struct {
		Name       string `json:"name"`
		Properties struct {
			RoleName         string       `json:"roleName"`
			Type             RoleType     `json:"type"`
			Description      string       `json:"description"`
			AssignableScopes []string     `json:"assignableScopes"`
			Permissions      []Permission `json:"permissions"`
		} `json:"properties"`
	}
	if err := json.Unmarshal([]byte(builtinRoles), &docs); err != nil {
		return nil, fmt.Errorf("rbac: built-in roles: %w", err)
	}
	out := make([]RoleDefinition, 0, len(docs))
	for _, d := range docs {
		id, err := ident.Parse[ident.RoleDefinitionID](d.Name)
		if err != nil {
			return nil, fmt.Errorf("rbac: built-in role %q: %w", d.Properties.RoleName, err)
		}
		out = append(out, RoleDefinition{
			ID: id, Name: d.Properties.RoleName, Type: d.Properties.Type, Description: d.Properties.Description,
			AssignableScopes: d.Properties.AssignableScopes, Permissions: d.Properties.Permissions,
		})
	}
	return out, nil
}

// Contributor is the role that may do everything but give access.
func Contributor() ident.RoleDefinitionID {
	return ident.MustParse[ident.RoleDefinitionID]("b24988ac-6180-42a0-ab88-20f7382dd24c")
}
