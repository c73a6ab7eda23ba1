package az

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

const grantsPath = "/v1.0/oauth2PermissionGrants"

// permissionCommands are those of `ad app permission`: what an application says it needs, and what it was given.
func permissionCommands() []command {
	api := flag{name: "api", must: true, help: "appId of the API", also: []string{"resource-id"}}
	client := flag{name: "id", must: true, help: "appId, object id or identifier URI", also: []string{"client-id"}}
	return []command{
		{
			path: "ad app permission list", short: "List the permissions that an application says it needs", flags: []flag{appID()},
			run: onApp(func(x *call, path string) (any, error) {
				app, err := x.object(path)
				return app["requiredResourceAccess"], err
			}),
		},
		{
			path: "ad app permission add", short: "Say that an application needs permissions", run: onApp(addPermissions),
			example: "keyreeve ad app permission add --id APP_ID --api 00000003-0000-0000-c000-000000000000 --api-permissions e1fe6dd8-ba31-4d61-89e7-88639da4683d=Scope",
			flags:   []flag{appID(), api, {name: "api-permissions", kind: words, must: true, help: "ID=Scope or ID=Role, with spaces between"}},
		},
		{
			path: "ad app permission delete", short: "Say that an application does not need permissions", run: onApp(deletePermissions),
			flags: []flag{appID(), api, {name: "api-permissions", kind: words, help: "ids, with spaces between (default: all of the API)"}},
		},
		{
			path: "ad app permission grant", short: "Consent to permissions that an application uses for people", run: grantPermissions,
			flags: []flag{
				client, api,
				{name: "scope", kind: words, must: true, help: "permissions by name, with spaces between"},
				{name: "consent-type", help: "AllPrincipals (default) or Principal"},
				{name: "principal-id", help: "user, for Principal"},
			},
		},
		{
			path: "ad app permission list-grants", short: "List the permissions that people's applications were given", run: listGrants,
			flags: []flag{
				{name: "id", help: "appId, object id or identifier URI"},
				odata(),
				{name: "show-resource-name", short: "r", kind: truth, help: "look up the names of the APIs"},
			},
		},
		{
			path: "ad app permission admin-consent", short: "Give an application all the permissions that it says it needs", flags: []flag{appID()},
			run: onApp(adminConsent),
		},
	}
}

// needed are the permissions that an application says it needs, by API.
func (x *call) needed(path string) ([]any, error) {
	app, err := x.object(path)
	list, _ := app["requiredResourceAccess"].([]any)
	return list, err
}

func ofAPI(api string) func(any) bool {
	return func(v any) bool {
		m, _ := v.(map[string]any)
		return str(m, "resourceAppId") == api
	}
}

func addPermissions(x *call, path string) (any, error) {
	var more []any
	for _, p := range x.words("api-permissions") {
		id, kind, ok := strings.Cut(p, "=")
		if !ok || strings.Contains(kind, "=") {
			return nil, fmt.Errorf("--api-permissions: %q is not of the form ID=Scope or ID=Role", p)
		}
		more = append(more, map[string]any{"id": id, "type": kind})
	}
	list, err := x.needed(path)
	if err != nil {
		return nil, err
	}
	api := x.word("api")
	if i := slices.IndexFunc(list, ofAPI(api)); i >= 0 {
		entry, _ := list[i].(map[string]any)
		have, _ := entry["resourceAccess"].([]any)
		entry["resourceAccess"] = append(have, more...)
	} else {
		list = append(list, map[string]any{"resourceAppId": api, "resourceAccess": more})
	}
	if _, err := x.do(http.MethodPatch, path, map[string]any{"requiredResourceAccess": list}); err != nil {
		return nil, err
	}
	x.warn("Invoking `keyreeve ad app permission grant --id %s --api %s` is needed to make the change effective", x.word("id"), api)
	return nil, nil
}

func deletePermissions(x *call, path string) (any, error) {
	list, err := x.needed(path)
	if err != nil {
		return nil, err
	}
	api := x.word("api")
	i := slices.IndexFunc(list, ofAPI(api))
	if i < 0 {
		x.warn("App %s doesn't require access to API %s.", x.word("id"), api)
		return nil, nil
	}
	if ids := x.words("api-permissions"); len(ids) > 0 {
		entry, _ := list[i].(map[string]any)
		have, _ := entry["resourceAccess"].([]any)
		left := slices.DeleteFunc(slices.Clone(have), func(v any) bool {
			m, _ := v.(map[string]any)
			return slices.Contains(ids, str(m, "id"))
		})
		if len(left) == len(have) {
			x.warn("App %s doesn't require access to API %s's permission %s.", x.word("id"), api, strings.Join(ids, ", "))
			return nil, nil
		}
		if entry["resourceAccess"] = left; len(left) > 0 {
			return x.none(http.MethodPatch, path, map[string]any{"requiredResourceAccess": list})
		}
	}
	return x.none(http.MethodPatch, path, map[string]any{"requiredResourceAccess": append(list[:i:i], list[i+1:]...)})
}

func grantPermissions(x *call) (any, error) {
	kind := x.word("consent-type")
	if kind == "" {
		kind = "AllPrincipals"
	}
	client, err := x.principalID(x.word("id"))
	if err != nil {
		return nil, err
	}
	api, err := x.principalID(x.word("api"))
	if err != nil {
		return nil, err
	}
	var who any
	if x.given("principal-id") {
		who = x.word("principal-id")
	}
	return x.grant(client, api, kind, who, strings.Join(x.words("scope"), " "))
}

// grant puts one consent in the place of all that the client has for the API, as az does.
func (x *call) grant(client, api, kind string, who any, scope string) (any, error) {
	old, err := x.objects(grantsPath + filter("clientId eq "+quoted(client)))
	if err != nil {
		return nil, err
	}
	for _, g := range old {
		if str(g, "resourceId") != api {
			continue
		}
		if _, err := x.do(http.MethodDelete, grantsPath+"/"+url.PathEscape(str(g, "id")), nil); err != nil {
			return nil, err
		}
	}
	return x.do(http.MethodPost, grantsPath, map[string]any{
		"clientId": client, "consentType": kind, "principalId": who, "resourceId": api, "scope": scope,
	})
}

func listGrants(x *call) (any, error) {
	if x.given("id") && x.given("filter") {
		return nil, errors.New("give --id or --filter, not both")
	}
	conditions := x.filters()
	if x.given("id") {
		client, err := x.principalID(x.word("id"))
		if err != nil {
			return nil, err
		}
		conditions = []string{"clientId eq " + quoted(client)}
	}
	grants, err := x.objects(grantsPath + filter(conditions...))
	if err != nil {
		return nil, err
	}
	out := []any{}
	for _, g := range grants {
		if x.on("show-resource-name") {
			api, err := x.object("/v1.0/servicePrincipals/" + url.PathEscape(str(g, "resourceId")))
			if err != nil {
				return nil, err
			}
			g["resourceDisplayName"] = api["displayName"]
		}
		out = append(out, g)
	}
	return out, nil
}

// adminConsent gives an application what it says it needs: for everybody, and for itself. az refuses this on every cloud but
// the public one.
func adminConsent(x *call, path string) (any, error) {
	app, err := x.object(path)
	if err != nil {
		return nil, err
	}
	found, err := x.objects("/v1.0/servicePrincipals" + filter("appId eq "+quoted(str(app, "appId"))))
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("the application has no service principal that could be given anything: make it with `keyreeve ad sp create --id %s`", str(app, "appId"))
	}
	client := first(found)
	list, _ := app["requiredResourceAccess"].([]any)
	for _, v := range list {
		entry, _ := v.(map[string]any)
		if err := x.consentTo(client, entry); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// consentTo gives a client the permissions of one API.
func (x *call) consentTo(client string, entry map[string]any) error {
	id, err := x.principalID(str(entry, "resourceAppId"))
	if err != nil {
		return err
	}
	api, err := x.object("/v1.0/servicePrincipals/" + url.PathEscape(id))
	if err != nil {
		return err
	}
	have, err := x.objects("/v1.0/servicePrincipals/" + url.PathEscape(client) + "/appRoleAssignments")
	if err != nil {
		return err
	}
	names := map[string]string{}
	scopes, _ := api["oauth2PermissionScopes"].([]any)
	for _, s := range scopes {
		m, _ := s.(map[string]any)
		names[str(m, "id")] = str(m, "value")
	}
	var wanted []string
	access, _ := entry["resourceAccess"].([]any)
	for _, v := range access {
		m, _ := v.(map[string]any)
		permission := str(m, "id")
		switch {
		case str(m, "type") != "Role" && names[permission] == "":
			return fmt.Errorf("%s has no permission %s for people", str(api, "displayName"), permission)
		case str(m, "type") != "Role":
			wanted = append(wanted, names[permission])
		case !slices.ContainsFunc(have, func(a map[string]any) bool { return str(a, "resourceId") == id && str(a, "appRoleId") == permission }):
			if _, err := x.do(http.MethodPost, "/v1.0/servicePrincipals/"+url.PathEscape(client)+"/appRoleAssignments", map[string]any{
				"principalId": client, "resourceId": id, "appRoleId": permission,
			}); err != nil {
				return err
			}
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	_, err = x.grant(client, id, "AllPrincipals", nil, strings.Join(wanted, " "))
	return err
}
