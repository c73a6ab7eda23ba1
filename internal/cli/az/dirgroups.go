package az

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

func directoryGroupCommands() []command {
	group := flag{name: "group", short: "g", help: "object id or display name; how the name begins, if one group's alone does so", must: true}
	member := flag{name: "member-id", help: "object id of the member", must: true}
	owner := flag{name: "owner-object-id", help: "object id of the owner", must: true}
	security := flag{name: "security-enabled-only", kind: truth, help: "security groups alone"}
	return []command{
		{
			path: "ad group create", short: "Make a group", run: createGroup,
			example: "keyreeve ad group create --display-name myAKSAdminGroup --mail-nickname myAKSAdminGroup",
			flags: []flag{
				{name: "display-name", help: "display name", must: true},
				{name: "mail-nickname", help: "mail alias", must: true},
				{name: "description", help: "description"},
				{name: "force", kind: truth, help: "make one even if one of these names is there"},
			},
		},
		{path: "ad group show", short: "Show a group", flags: []flag{group}, run: onGroup(func(x *call, path string) (any, error) { return x.read(path) })},
		{
			path: "ad group delete", short: "Delete a group", flags: []flag{group},
			run: onGroup(func(x *call, path string) (any, error) { return x.none(http.MethodDelete, path, nil) }),
		},
		{
			path: "ad group list", short: "List groups", flags: []flag{{name: "display-name", help: "display name, or how it begins"}, odata()},
			example: `keyreeve ad group list --filter "displayname eq 'admins'" --output table`,
			run: func(x *call) (any, error) {
				return x.list("/v1.0/groups" + filter(startsWith(x.filters(), x.word("display-name"))...))
			},
		},
		{
			path: "ad group get-member-groups", short: "List the groups that a group is in, through other groups too", flags: []flag{group, security},
			run: onGroup(func(x *call, path string) (any, error) {
				ids, err := x.strings(http.MethodPost, path+"/getMemberGroups", map[string]any{"securityEnabledOnly": x.on("security-enabled-only")})
				if ids == nil {
					ids = []string{}
				}
				return ids, err
			}),
		},
		{
			path: "ad group member list", short: "List the members of a group", flags: []flag{group},
			run: onGroup(func(x *call, path string) (any, error) { return x.list(path + "/members") }),
		},
		{
			path: "ad group member add", short: "Add a member to a group", flags: []flag{group, member},
			run: onGroup(func(x *call, path string) (any, error) { return x.add(path+"/members", x.word("member-id")) }),
		},
		{
			path: "ad group member remove", short: "Remove a member from a group", flags: []flag{group, member},
			run: onGroup(func(x *call, path string) (any, error) {
				return x.none(http.MethodDelete, path+"/members/{member-id}/$ref", nil)
			}),
		},
		{
			path: "ad group member check", short: "Say whether somebody is in a group, through other groups too", flags: []flag{group, member},
			run: onGroup(func(x *call, path string) (any, error) {
				id := path[strings.LastIndexByte(path, '/')+1:]
				in, err := x.strings(http.MethodPost, "/v1.0/directoryObjects/{member-id}/checkMemberGroups", map[string]any{"groupIds": []string{id}})
				return map[string]any{"value": slices.Contains(in, id)}, err
			}),
		},
		{
			path: "ad group owner list", short: "List the owners of a group", flags: []flag{group},
			run: onGroup(func(x *call, path string) (any, error) { return x.list(path + "/owners") }),
		},
		{
			path: "ad group owner add", short: "Add an owner to a group", flags: []flag{group, owner},
			run: onGroup(func(x *call, path string) (any, error) { return x.addOwner(path) }),
		},
		{
			path: "ad group owner remove", short: "Remove an owner from a group", flags: []flag{group, owner},
			run: onGroup(func(x *call, path string) (any, error) {
				return x.none(http.MethodDelete, path+"/owners/{owner-object-id}/$ref", nil)
			}),
		},
	}
}

func createGroup(x *call) (any, error) {
	name, nick := x.word("display-name"), x.word("mail-nickname")
	if !x.on("force") {
		there, err := x.objects("/v1.0/groups" + filter("displayName eq "+quoted(name), "mailNickname eq "+quoted(nick)))
		if err != nil {
			return nil, err
		}
		switch len(there) {
		case 0:
		case 1:
			x.warn("A group with the same display name and mail nickname already exists, returning.")
			return there[0], nil
		default:
			return nil, fmt.Errorf("%d groups have these names; delete them first, or give --force", len(there))
		}
	}
	body := map[string]any{"displayName": name, "mailNickname": nick, "mailEnabled": false, "securityEnabled": true}
	if x.given("description") {
		body["description"] = x.word("description")
	}
	return x.do(http.MethodPost, "/v1.0/groups", body)
}

// onGroup runs do with the path of the group that --group names.
func onGroup(do func(x *call, path string) (any, error)) func(*call) (any, error) {
	return func(x *call) (any, error) {
		id, err := x.groupID(x.word("group"))
		if err != nil {
			return nil, err
		}
		return do(x, "/v1.0/groups/"+url.PathEscape(id))
	}
}

// groupID finds a group: by its id, its name, or the beginning of its name.
func (x *call) groupID(name string) (string, error) {
	if guid.MatchString(name) {
		return name, nil
	}
	for _, condition := range []string{"displayName eq " + quoted(name), "startswith(displayName," + quoted(name) + ")"} {
		found, err := x.objects("/v1.0/groups" + filter(condition))
		if err != nil {
			return "", err
		}
		switch len(found) {
		case 0:
		case 1:
			return str(found[0], "id"), nil
		default:
			return "", fmt.Errorf("%d groups match the name %q: give the object id", len(found), name)
		}
	}
	return "", fmt.Errorf("no group matches the name %q: `keyreeve ad group list` names them", name)
}

// add puts a directory object into a collection of references.
func (x *call) add(path, id string) (any, error) {
	ref, err := x.reference(id)
	if err != nil {
		return nil, err
	}
	return x.none(http.MethodPost, path+"/$ref", ref)
}

// addOwner adds an owner who is not one yet.
func (x *call) addOwner(path string) (any, error) {
	owners, err := x.objects(path + "/owners")
	if err != nil {
		return nil, err
	}
	id := x.word("owner-object-id")
	for _, o := range owners {
		if strings.EqualFold(str(o, "id"), id) {
			return nil, nil
		}
	}
	return x.add(path+"/owners", id)
}
