package az

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

const (
	definitions    = "/providers/Microsoft.Authorization/roleDefinitions"
	definitionsAPI = "?api-version=2022-05-01-preview"
)

func scopeFlag() flag {
	return flag{name: "scope", help: "where: a subscription, resource group or resource by its id (default: the subscription)"}
}

func rgFlag() flag {
	return flag{name: "resource-group", short: "g", help: "resource group, in place of a scope"}
}

func definitionCommands() []command {
	name := flag{name: "name", short: "n", help: "name, or id"}
	custom := flag{name: "custom-role-only", kind: truth, help: "custom roles alone"}
	definition := flag{name: "role-definition", help: "JSON, or a file with it", must: true}
	return []command{
		{
			path: "role definition list", short: "List role definitions", kind: "RoleDefinition", flags: []flag{name, scopeFlag(), rgFlag(), custom},
			table: "[].{Name:roleName, Type:type, Description:description}",
			run: func(x *call) (any, error) {
				scope, err := x.scope()
				if err != nil {
					return nil, err
				}
				return x.searchDefinitions(scope, x.word("name"), x.on("custom-role-only"))
			},
		},
		{
			path: "role definition show", short: "Show a role definition", kind: "RoleDefinition",
			flags: []flag{{name: "name", short: "n", help: "the definition's id at --scope"}, scopeFlag(), {name: "id", help: "resource id of the definition"}},
			run: func(x *call) (any, error) {
				if id := x.word("id"); id != "" {
					return x.read(clean(id) + definitionsAPI)
				}
				if !x.given("name") || !x.given("scope") {
					return nil, errors.New("give --id, or --name and --scope")
				}
				return x.read(clean(x.word("scope")) + definitions + "/{name}" + definitionsAPI)
			},
		},
		{
			path: "role definition create", short: "Make a custom role", kind: "RoleDefinition", flags: []flag{definition},
			example: `keyreeve role definition create --role-definition '{"Name":"Pod viewer","Actions":[],"DataActions":["Microsoft.ContainerService/managedClusters/pods/read"],"AssignableScopes":["/subscriptions/SUBSCRIPTION"]}'`,
			run:     func(x *call) (any, error) { return x.putDefinition(false) },
		},
		{
			path: "role definition update", short: "Change a custom role", kind: "RoleDefinition", flags: []flag{definition},
			run: func(x *call) (any, error) { return x.putDefinition(true) },
		},
		{
			path: "role definition delete", short: "Delete a custom role", flags: []flag{{name: "name", short: "n", help: "name, or id", must: true}, scopeFlag(), rgFlag(), custom},
			run: func(x *call) (any, error) {
				scope, err := x.scope()
				if err != nil {
					return nil, err
				}
				found, err := x.searchDefinitions(scope, x.word("name"), x.on("custom-role-only"))
				if err != nil {
					return nil, err
				}
				for _, d := range found {
					m, _ := d.(map[string]any)
					if _, err := x.do(http.MethodDelete, scope+definitions+"/"+url.PathEscape(str(m, "name"))+definitionsAPI, nil); err != nil {
						return nil, err
					}
				}
				return nil, nil
			},
		},
	}
}

// scope is where a command works: --scope, --resource-group or the subscription.
func (x *call) scope() (string, error) {
	scope, group := x.word("scope"), x.word("resource-group")
	if scope != "" && group != "" {
		return "", errors.New("give --scope or --resource-group, not both")
	}
	if scope != "" {
		return clean(scope), nil
	}
	path := "/subscriptions/{sub}"
	if group != "" {
		path += "/resourceGroups/{resource-group}"
	}
	return x.fill(path)
}

// clean makes a path of a scope as a person writes it.
func clean(scope string) string { return "/" + strings.Trim(escapePath(scope), "/") }

// escapePath escapes each part of a path.
func escapePath(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return strings.Join(parts, "/")
}

// searchDefinitions lists definitions by name or id.
func (x *call) searchDefinitions(scope, name string, custom bool) ([]any, error) {
	where := scope + definitions + definitionsAPI
	if name != "" && !guid.MatchString(name) {
		where += "&$filter=" + url.QueryEscape("roleName eq "+quoted(name))
	}
	found, err := x.objects(where)
	if err != nil {
		return nil, err
	}
	out := []any{}
	for _, d := range found {
		p, _ := d["properties"].(map[string]any)
		if name != "" && str(d, "name") != name && str(p, "roleName") != name || custom && str(p, "type") != "CustomRole" {
			continue
		}
		out = append(out, d)
	}
	return out, nil
}

// putDefinition makes or changes a custom role from --role-definition.
func (x *call) putDefinition(change bool) (any, error) {
	v, err := x.json("role-definition")
	if err != nil {
		return nil, err
	}
	in, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("--role-definition is not a JSON object")
	}
	d := map[string]any{} // names may begin with a capital, as Azure PowerShell writes them
	for key, value := range in {
		first, size := utf8.DecodeRuneInString(key)
		d[string(unicode.ToLower(first))+key[size:]] = value
	}
	scopes, _ := d["assignableScopes"].([]any)
	name, id := str(d, "name"), uuid.NewString()
	if change {
		if name, id, scopes, err = x.definitionToChange(d, scopes); err != nil {
			return nil, err
		}
	}
	if name == "" || len(scopes) == 0 {
		return nil, errors.New("the definition needs a name and assignableScopes")
	}
	permissions, ok := d["permissions"]
	if !ok {
		permissions = []any{permission(d)}
	}
	first, _ := scopes[0].(string)
	return x.do(http.MethodPut, clean(first)+definitions+"/"+id+definitionsAPI, map[string]any{"properties": map[string]any{
		"roleName": name, "description": d["description"], "type": "CustomRole", "assignableScopes": scopes, "permissions": permissions,
	}})
}

func permission(d map[string]any) map[string]any {
	p := map[string]any{}
	for _, name := range []string{"actions", "notActions", "dataActions", "notDataActions"} {
		if d[name] != nil {
			p[name] = d[name]
		}
	}
	return p
}

// definitionToChange finds the role that an update is about: by its id, or by its name.
func (x *call) definitionToChange(d map[string]any, scopes []any) (name, id string, at []any, err error) {
	if whole := str(d, "id"); whole != "" {
		return str(d, "roleName"), url.PathEscape(whole[strings.LastIndexByte(whole, '/')+1:]), scopes, nil
	}
	if len(scopes) == 0 {
		s, err := x.subscription()
		if err != nil {
			return "", "", nil, err
		}
		scopes = []any{"/subscriptions/" + s.ID}
	}
	first, _ := scopes[0].(string)
	found, err := x.searchDefinitions(clean(first), str(d, "name"), false)
	if err != nil {
		return "", "", nil, err
	}
	if len(found) != 1 {
		return "", "", nil, fmt.Errorf("%d role definitions are named %q", len(found), str(d, "name"))
	}
	m, _ := found[0].(map[string]any)
	p, _ := m["properties"].(map[string]any)
	return str(p, "roleName"), url.PathEscape(str(m, "name")), scopes, nil
}

var wholeRoleID = regexp.MustCompile(`(?i)^/subscriptions/.+/providers/Microsoft.Authorization/roleDefinitions/`)

// roleID finds a role definition's resource id by its name, its id, or that itself.
func (x *call) roleID(role, scope string) (string, error) {
	if wholeRoleID.MatchString(role) {
		return role, nil
	}
	if guid.MatchString(role) {
		s, err := x.subscription()
		return "/subscriptions/" + s.ID + definitions + "/" + role, err
	}
	found, err := x.objects(scope + definitions + definitionsAPI + "&$filter=" + url.QueryEscape("roleName eq "+quoted(role)))
	if err != nil {
		return "", err
	}
	if len(found) != 1 {
		return "", fmt.Errorf("%d roles are named %q: `keyreeve role definition list` names them", len(found), role)
	}
	return str(found[0], "id"), nil
}
