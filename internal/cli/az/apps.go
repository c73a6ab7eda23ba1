package az

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/google/uuid"

	"github.com/keyreeve/keyreeve/internal/fault"
)

// firstPage is how many objects are listed when neither a condition nor --all is given.
const firstPage = 100

const objectTable = "sort_by([], &displayName)[].{DisplayName:displayName, Id:id, AppId:appId, CreatedDateTime:createdDateTime}"

func appID() flag {
	return flag{name: "id", help: "appId, object id or identifier URI", must: true}
}

func listAll() flag {
	return flag{name: "all", kind: toggle, help: "all of them"}
}

func mine() flag {
	return flag{name: "show-mine", kind: toggle, help: "those that the signed-in user owns"}
}

func federatedID() flag {
	return flag{name: "federated-credential-id", help: "id or name of the federated credential", must: true}
}

func parameters() flag {
	return flag{name: "parameters", help: "JSON, or a file with it", must: true}
}

// appSettings are what both the making and the update of an application take.
func appSettings() []flag {
	return []flag{
		{name: "identifier-uris", kind: words, help: "identifier URIs"},
		{name: "is-fallback-public-client", kind: truth, help: "whether the application is a public client"},
		{name: "sign-in-audience", help: "who may sign in: AzureADMyOrg, or another audience"},
		{name: "requested-access-token-version", help: "1 or 2"},
		{name: "web-home-page-url", help: "home page"},
		{name: "web-redirect-uris", kind: words, help: "redirect URIs of a web application"},
		{name: "enable-id-token-issuance", kind: truth, help: "whether ID tokens may be asked for without a code"},
		{name: "enable-access-token-issuance", kind: truth, help: "whether access tokens may be asked for without a code"},
		{name: "public-client-redirect-uris", kind: words, help: "redirect URIs of a public client"},
		{name: "app-roles", help: "JSON list of app roles, or a file with it"},
		{name: "optional-claims", help: "JSON of optional claims, or a file with it"},
		{name: "required-resource-accesses", help: "JSON list of permissions that are needed, or a file with it"},
		{name: "service-management-reference", help: "reference to a record of the service"},
	}
}

func applicationCommands() []command {
	name := flag{name: "display-name", help: "display name", must: true}
	owner := flag{name: "owner-object-id", help: "object id of the owner", must: true}
	federated := "/federatedIdentityCredentials"
	return []command{
		{
			path: "ad app create", short: "Make an application, or bring one of the name up to date", flags: append([]flag{name}, appSettings()...),
			example: "keyreeve ad app create --display-name build",
			run:     func(x *call) (any, error) { return x.createApplication(x.word("display-name"), nil) },
		},
		{
			path: "ad app update", short: "Change an application", flags: append([]flag{appID(), {name: "display-name", help: "display name"}}, appSettings()...),
			run: onApp(func(x *call, path string) (any, error) {
				body, err := x.appBody()
				if err != nil {
					return nil, err
				}
				return x.none(http.MethodPatch, path, body)
			}),
		},
		{path: "ad app show", short: "Show an application", flags: []flag{appID()}, run: onApp(func(x *call, path string) (any, error) { return x.read(path) })},
		{
			path: "ad app delete", short: "Delete an application", flags: []flag{appID()},
			run: onApp(func(x *call, path string) (any, error) { return x.none(http.MethodDelete, path, nil) }),
		},
		{
			path: "ad app list", short: "List applications", table: objectTable,
			flags: []flag{
				{name: "app-id", help: "appId"},
				{name: "display-name", help: "display name, or how it begins"},
				{name: "identifier-uri", help: "identifier URI"},
				odata(), listAll(), mine(),
			},
			run: func(x *call) (any, error) {
				if x.on("show-mine") {
					return x.owned("application")
				}
				f := x.filters()
				if x.given("app-id") {
					f = append(f, "appId eq "+quoted(x.word("app-id")))
				}
				f = startsWith(f, x.word("display-name"))
				if x.given("identifier-uri") {
					f = append(f, "identifierUris/any(s:s eq "+quoted(x.word("identifier-uri"))+")")
				}
				return x.some("/v1.0/applications", f)
			},
		},
		{path: "ad app owner list", short: "List the owners of an application", flags: []flag{appID()}, run: onApp(func(x *call, path string) (any, error) { return x.list(path + "/owners") })},
		{path: "ad app owner add", short: "Add an owner to an application", flags: []flag{appID(), owner}, run: onApp(func(x *call, path string) (any, error) { return x.addOwner(path) })},
		{
			path: "ad app owner remove", short: "Remove an owner from an application", flags: []flag{appID(), owner},
			run: onApp(func(x *call, path string) (any, error) {
				return x.none(http.MethodDelete, path+"/owners/{owner-object-id}/$ref", nil)
			}),
		},
		{path: "ad app federated-credential list", short: "List the federated credentials", flags: []flag{appID()}, run: onApp(func(x *call, path string) (any, error) { return x.list(path + federated) })},
		{
			path: "ad app federated-credential create", short: "Take tokens from elsewhere as proof", flags: []flag{appID(), parameters()},
			example: `keyreeve ad app federated-credential create --id APP_ID --parameters '{"name":"ci","issuer":"https://ci.example","subject":"repo:main","audiences":["api://AzureADTokenExchange"]}'`,
			run: onApp(func(x *call, path string) (any, error) {
				body, err := x.json("parameters")
				if err != nil {
					return nil, err
				}
				return x.do(http.MethodPost, path+federated, body)
			}),
		},
		{path: "ad app federated-credential show", short: "Show a federated credential", flags: []flag{appID(), federatedID()}, run: onApp(func(x *call, path string) (any, error) {
			return x.read(path + federated + "/{federated-credential-id}")
		})},
		{
			path: "ad app federated-credential update", short: "Change a federated credential", flags: []flag{appID(), federatedID(), parameters()},
			run: onApp(func(x *call, path string) (any, error) {
				body, err := x.json("parameters")
				if err != nil {
					return nil, err
				}
				return x.none(http.MethodPatch, path+federated+"/{federated-credential-id}", body)
			}),
		},
		{
			path: "ad app federated-credential delete", short: "Delete a federated credential", flags: []flag{appID(), federatedID()},
			run: onApp(func(x *call, path string) (any, error) {
				return x.none(http.MethodDelete, path+federated+"/{federated-credential-id}", nil)
			}),
		},
	}
}

// some lists what fits conditions; without any, the first page and a word that there is more.
func (x *call) some(path string, conditions []string) (any, error) {
	all, err := x.list(path + filter(conditions...))
	if err != nil || len(conditions) > 0 || x.on("all") {
		return all, err
	}
	list := all.([]any) //nolint:forcetypeassert // list returns one
	if len(list) > firstPage {
		x.warn("The result is not complete. Give --all for all, or a condition.")
		list = list[:firstPage]
	}
	return list, nil
}

// json reads a flag that holds JSON or the name of a file with it.
func (x *call) json(name string) (any, error) {
	text := []byte(x.word(name))
	if file, err := os.ReadFile(strings.TrimPrefix(x.word(name), "@")); err == nil {
		text = file
	}
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		return nil, fmt.Errorf("--%s is neither JSON nor a file with it: %w", name, err)
	}
	return v, nil
}

// appBody is what the flags that were given say of an application.
func (x *call) appBody() (map[string]any, error) {
	body := x.properties(map[string]string{
		"display-name": "displayName", "identifier-uris": "identifierUris", "is-fallback-public-client": "isFallbackPublicClient",
		"sign-in-audience": "signInAudience", "service-management-reference": "serviceManagementReference",
	})
	web := x.properties(map[string]string{"web-home-page-url": "homePageUrl", "web-redirect-uris": "redirectUris"})
	implicit := x.properties(map[string]string{"enable-id-token-issuance": "enableIdTokenIssuance", "enable-access-token-issuance": "enableAccessTokenIssuance"})
	if len(implicit) > 0 {
		web["implicitGrantSettings"] = implicit
	}
	if len(web) > 0 {
		body["web"] = web
	}
	if public := x.properties(map[string]string{"public-client-redirect-uris": "redirectUris"}); len(public) > 0 {
		body["publicClient"] = public
	}
	if x.given("requested-access-token-version") {
		body["api"] = map[string]any{"requestedAccessTokenVersion": json.RawMessage(x.word("requested-access-token-version"))}
	}
	for name, property := range map[string]string{"app-roles": "appRoles", "optional-claims": "optionalClaims", "required-resource-accesses": "requiredResourceAccess"} {
		if !x.given(name) {
			continue
		}
		v, err := x.json(name)
		if err != nil {
			return nil, err
		}
		if whole, ok := v.(map[string]any); ok && whole[property] != nil {
			v = whole[property] // a whole manifest
		}
		body[property] = v
	}
	roles, _ := body["appRoles"].([]any)
	for _, r := range roles {
		if r, ok := r.(map[string]any); ok && r["id"] == nil {
			r["id"] = uuid.NewString()
		}
	}
	return body, nil
}

// createApplication makes an application, or changes the one that has the name. more is what its body says beside the flags.
func (x *call) createApplication(name string, more map[string]any) (map[string]any, error) {
	body, err := x.appBody()
	if err != nil {
		return nil, err
	}
	maps.Copy(body, more)
	body["displayName"] = name
	found, err := x.objects("/v1.0/applications" + filter("displayName eq "+quoted(name)))
	if err != nil {
		return nil, err
	}
	var v any
	switch len(found) {
	case 0:
		v, err = x.do(http.MethodPost, "/v1.0/applications", body)
	case 1:
		path := "/v1.0/applications/" + url.PathEscape(str(found[0], "id"))
		x.warn("Found an existing application instance: (id) %s. We will patch it.", str(found[0], "id"))
		if _, err = x.do(http.MethodPatch, path, body); err == nil {
			v, err = x.read(path)
		}
	default:
		return nil, fmt.Errorf("%d applications are named %q; delete all but one", len(found), name)
	}
	m, _ := v.(map[string]any)
	return m, err
}

// onApp runs do with the path of the application that --id names.
func onApp(do func(x *call, path string) (any, error)) func(*call) (any, error) {
	return func(x *call) (any, error) {
		id := x.word("id")
		condition := "identifierUris/any(s:s eq " + quoted(id) + ")"
		if guid.MatchString(id) {
			condition = "appId eq " + quoted(id)
		}
		found, err := x.objects("/v1.0/applications" + filter(condition))
		switch {
		case err != nil:
			return nil, err
		case len(found) > 0:
			id = str(found[0], "id")
		case !guid.MatchString(id):
			return nil, fault.New(fault.NotFound, "", "no application has the identifier URI %q", id)
		}
		return do(x, "/v1.0/applications/"+url.PathEscape(id))
	}
}
