package az

import (
	"net/http"
	"net/url"
	"strings"
)

func objectID() flag {
	return flag{name: "id", help: "object id or user principal name", must: true}
}

func odata() flag {
	return flag{name: "filter", help: "OData filter"}
}

func userCommands() []command {
	display := flag{name: "display-name", help: "display name, or how it begins"}
	return []command{
		{
			path: "ad user create", short: "Make a user", run: createUser,
			example: "keyreeve ad user create --display-name Dana --user-principal-name dana@example.com --password PASSWORD",
			flags: []flag{
				{name: "display-name", help: "display name", must: true},
				{name: "password", help: "password", must: true},
				{name: "user-principal-name", help: "user principal name, NAME@DOMAIN", must: true},
				{name: "force-change-password-next-sign-in", kind: truth, help: "whether a new password is asked for at the next sign-in"},
				{name: "immutable-id", help: "what ties the user to a directory elsewhere"},
				{name: "mail-nickname", help: "mail alias (default: the name before the @)"},
			},
		},
		{
			path: "ad user update", short: "Change a user",
			flags: []flag{
				objectID(),
				{name: "account-enabled", kind: truth, help: "whether the user may sign in"},
				{name: "display-name", help: "display name"},
				{name: "password", help: "password"},
				{name: "force-change-password-next-sign-in", kind: truth, help: "whether a new password is asked for at the next sign-in"},
				{name: "mail-nickname", help: "mail alias"},
			},
			run: func(x *call) (any, error) { return x.none(http.MethodPatch, "/v1.0/users/{id}", x.userBody()) },
		},
		{path: "ad user show", short: "Show a user", flags: []flag{objectID()}, get: "/v1.0/users/{id}"},
		{
			path: "ad user delete", short: "Delete a user", flags: []flag{objectID()},
			run: func(x *call) (any, error) { return x.none(http.MethodDelete, "/v1.0/users/{id}", nil) },
		},
		{
			path: "ad user list", short: "List users", flags: []flag{display, odata(), {name: "upn", help: "user principal name"}},
			example: "keyreeve ad user list --display-name Da --query '[].userPrincipalName' --output tsv",
			run: func(x *call) (any, error) {
				f := x.filters()
				if upn := x.word("upn"); upn != "" {
					f = append(f, "userPrincipalName eq "+quoted(upn))
				}
				return x.list("/v1.0/users" + filter(startsWith(f, x.word("display-name"))...))
			},
		},
		{
			path: "ad user get-member-groups", short: "List the groups that a user is in, through other groups too",
			flags: []flag{objectID(), {name: "security-enabled-only", kind: truth, help: "security groups alone"}},
			run:   userGroups,
		},
		{path: "ad signed-in-user show", short: "Show whoever is signed in", get: "/v1.0/me"},
		{
			path: "ad signed-in-user list-owned-objects", short: "List what whoever is signed in owns",
			flags: []flag{{name: "type", short: "t", help: "one kind of object, such as group or application"}},
			run:   func(x *call) (any, error) { return x.owned(x.word("type")) },
		},
	}
}

// filters is what --filter says.
func (x *call) filters() []string {
	if f := x.word("filter"); f != "" {
		return []string{f}
	}
	return nil
}

func startsWith(f []string, name string) []string {
	if name == "" {
		return f
	}
	return append(f, "startswith(displayName,"+quoted(name)+")")
}

func createUser(x *call) (any, error) {
	body := x.userBody()
	upn := x.word("user-principal-name")
	body["userPrincipalName"], body["accountEnabled"] = upn, true
	if !x.given("mail-nickname") {
		body["mailNickname"], _, _ = strings.Cut(upn, "@")
	}
	if x.given("immutable-id") {
		body["onPremisesImmutableId"] = x.word("immutable-id")
	}
	secret := body["passwordProfile"].(map[string]any) //nolint:forcetypeassert // --password is required
	secret["forceChangePasswordNextSignIn"] = x.on("force-change-password-next-sign-in")
	return x.do(http.MethodPost, "/v1.0/users", body)
}

// userBody is what the flags that were given say of a user.
func (x *call) userBody() map[string]any {
	body := x.properties(map[string]string{"display-name": "displayName", "mail-nickname": "mailNickname"})
	if x.given("account-enabled") {
		body["accountEnabled"] = x.on("account-enabled")
	}
	secret := x.properties(map[string]string{"password": "password"})
	if x.given("force-change-password-next-sign-in") {
		secret["forceChangePasswordNextSignIn"] = x.on("force-change-password-next-sign-in")
	}
	if len(secret) > 0 {
		body["passwordProfile"] = secret
	}
	return body
}

// properties are the values of the flags that were given, by the names they have in a body.
func (x *call) properties(names map[string]string) map[string]any {
	body := map[string]any{}
	for name, property := range names {
		switch {
		case !x.given(name):
		case kindOf(x.cmd.Flags().Lookup(name)) == "words":
			body[property] = x.words(name)
		case kindOf(x.cmd.Flags().Lookup(name)) == "word":
			body[property] = x.word(name)
		default:
			body[property] = x.on(name)
		}
	}
	return body
}

func userGroups(x *call) (any, error) {
	ids, err := x.strings(http.MethodPost, "/v1.0/users/{id}/getMemberGroups", map[string]any{"securityEnabledOnly": x.on("security-enabled-only")})
	if err != nil {
		return nil, err
	}
	names := map[string]any{}
	if len(ids) > 0 {
		stubs, err := x.byIDs(ids)
		if err != nil {
			return nil, err
		}
		for _, s := range stubs {
			names[str(s, "id")] = s["displayName"]
		}
	}
	out := []any{}
	for _, id := range ids {
		out = append(out, map[string]any{"id": id, "displayName": names[id]})
	}
	return out, nil
}

// strings makes a request whose answer is a list of strings.
func (x *call) strings(method, path string, body any) ([]string, error) {
	v, err := x.do(method, path, body)
	if err != nil {
		return nil, err
	}
	m, _ := v.(map[string]any)
	list, _ := m["value"].([]any)
	var out []string
	for _, s := range list {
		if s, ok := s.(string); ok {
			out = append(out, s)
		}
	}
	return out, nil
}

// byIDs finds directory objects by their ids.
func (x *call) byIDs(ids []string) ([]map[string]any, error) {
	var out []map[string]any
	for len(ids) > 0 {
		n := min(len(ids), 1000)
		v, err := x.do(http.MethodPost, "/v1.0/directoryObjects/getByIds", map[string]any{
			"ids": ids[:n], "types": []string{"user", "group", "servicePrincipal", "directoryObjectPartnerReference"},
		})
		if err != nil {
			return nil, err
		}
		m, _ := v.(map[string]any)
		list, _ := m["value"].([]any)
		for _, o := range list {
			if o, ok := o.(map[string]any); ok {
				out = append(out, o)
			}
		}
		ids = ids[n:]
	}
	return out, nil
}

// owned lists what the signed-in user owns, of one kind.
func (x *call) owned(kind string) (any, error) {
	all, err := x.objects("/v1.0/me/ownedObjects")
	if err != nil {
		return nil, err
	}
	out := []any{}
	for _, o := range all {
		t := str(o, "@odata.type")
		if kind == "" || strings.EqualFold(t, kind) || strings.EqualFold(t[strings.LastIndex(t, ".")+1:], kind) {
			out = append(out, o)
		}
	}
	return out, nil
}

// reference is how a body points to a directory object.
func (x *call) reference(id string) (map[string]any, error) {
	h, err := x.open()
	if err != nil {
		return nil, err
	}
	return map[string]any{"@odata.id": h.server.Graph + "/v1.0/directoryObjects/" + url.PathEscape(id)}, nil
}
