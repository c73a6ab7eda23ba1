package az

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/keyreeve/keyreeve/internal/fault"
)

func principalCommands() []command {
	return []command{
		{
			path: "ad sp create", short: "Make the service principal of an application", flags: []flag{appID()},
			run: func(x *call) (any, error) {
				id := x.word("id")
				condition := "identifierUris/any(s:s eq " + quoted(id) + ")"
				if guid.MatchString(id) {
					condition = "appId eq " + quoted(id)
				}
				found, err := x.objects("/v1.0/applications" + filter(condition))
				if err != nil {
					return nil, err
				}
				if len(found) > 0 {
					id = str(found[0], "appId")
				} else if app, err := x.object("/v1.0/applications/" + url.PathEscape(id)); err == nil {
					id = str(app, "appId")
				}
				return x.do(http.MethodPost, "/v1.0/servicePrincipals", map[string]any{"appId": id, "accountEnabled": true})
			},
		},
		{path: "ad sp show", short: "Show a service principal", flags: []flag{appID()}, run: onPrincipal(func(x *call, path string) (any, error) { return x.read(path) })},
		{
			path: "ad sp delete", short: "Delete a service principal", flags: []flag{appID()},
			run: onPrincipal(func(x *call, path string) (any, error) { return x.none(http.MethodDelete, path, nil) }),
		},
		{
			path: "ad sp list", short: "List service principals", table: objectTable,
			flags: []flag{{name: "display-name", help: "display name, or how it begins"}, {name: "spn", help: "one of its names"}, odata(), listAll(), mine()},
			run: func(x *call) (any, error) {
				if x.on("show-mine") {
					return x.owned("servicePrincipal")
				}
				f := x.filters()
				if x.given("spn") {
					f = append(f, principalNamed(x.word("spn")))
				}
				return x.some("/v1.0/servicePrincipals", startsWith(f, x.word("display-name")))
			},
		},
		{path: "ad sp owner list", short: "List the owners of a service principal", flags: []flag{appID()}, run: onPrincipal(func(x *call, path string) (any, error) { return x.list(path + "/owners") })},
		{
			path: "ad sp create-for-rbac", short: "Make an application with a service principal, a secret and roles", run: createForRBAC,
			example: "keyreeve ad sp create-for-rbac --name build --role \"Azure Kubernetes Service Cluster User Role\" --scopes /subscriptions/SUBSCRIPTION",
			flags: append([]flag{
				{name: "display-name", short: "n", also: []string{"name"}, help: "display name (default: one with the time in it)"},
				{name: "role", help: "role to assign, by name or id"},
				{name: "scopes", kind: words, help: "where to assign it"},
				{name: "years", help: "how many years the secret is good for (default 1)"},
				{name: "create-password", kind: truth, help: "whether to make a secret (default true)"},
				{name: "json-auth", also: []string{"sdk-auth"}, kind: truth, help: "print what SDKs read, with the cloud's addresses"},
			}, certificateFlags()...),
		},
	}
}

func principalNamed(name string) string {
	return "servicePrincipalNames/any(c:c eq " + quoted(name) + ")"
}

// onPrincipal runs do with the path of the service principal that --id names.
func onPrincipal(do func(x *call, path string) (any, error)) func(*call) (any, error) {
	return func(x *call) (any, error) {
		id, err := x.principalID(x.word("id"))
		if err != nil {
			return nil, err
		}
		return do(x, "/v1.0/servicePrincipals/"+url.PathEscape(id))
	}
}

func (x *call) principalID(name string) (string, error) {
	found, err := x.objects("/v1.0/servicePrincipals" + filter(principalNamed(name)))
	switch {
	case err != nil:
		return "", err
	case len(found) > 0:
		return str(found[0], "id"), nil
	case guid.MatchString(name):
		return name, nil
	}
	return "", fault.New(fault.NotFound, "", "no service principal is named %q", name)
}

func createForRBAC(x *call) (any, error) {
	role, scopes := x.word("role"), x.words("scopes")
	if (role == "") != (len(scopes) == 0) {
		return nil, errors.New("give both --role and --scopes, or neither")
	}
	now := x.d.Now().UTC()
	name := x.word("display-name")
	if name == "" {
		name = "azure-cli-" + now.Format("2006-01-02-15-04-05")
	}
	until, err := x.expiry(now)
	if err != nil {
		return nil, err
	}
	there, err := x.objects("/v1.0/servicePrincipals" + filter("displayName eq "+quoted(name)))
	if err != nil {
		return nil, err
	}
	var more map[string]any
	file := ""
	if x.wantsCertificate() {
		c, err := x.certificate(now, until)
		if err != nil {
			return nil, err
		}
		more, file = map[string]any{"keyCredentials": []any{x.keyCredential(c, nil, now, until)}}, c.file
	}
	app, err := x.createApplication(name, more)
	if err != nil {
		return nil, err
	}
	path := "/v1.0/applications/" + url.PathEscape(str(app, "id"))
	if err := x.dropSecrets(path, app); err != nil {
		return nil, err
	}
	var password any
	if more == nil && (!x.given("create-password") || x.on("create-password")) {
		if password, err = x.newSecret(path, "rbac", now, until); err != nil {
			return nil, err
		}
	}
	id := ""
	if len(there) > 0 {
		id = str(there[0], "id")
	} else {
		v, err := x.do(http.MethodPost, "/v1.0/servicePrincipals", map[string]any{"appId": app["appId"], "accountEnabled": true})
		if err != nil {
			return nil, err
		}
		m, _ := v.(map[string]any)
		id = str(m, "id")
	}
	for _, scope := range scopes {
		x.warn("Creating '%s' role assignment under scope '%s'", role, scope)
		if _, err := x.assign(assignment{role: role, scope: scope, principal: id, kind: "ServicePrincipal"}); err != nil {
			return nil, fmt.Errorf("the service principal %s is there, but its role is not assigned: %w", id, err)
		}
	}
	if password != nil || file != "" {
		x.warn("%s", secretWarning)
	}
	return x.rbacResult(app, name, password, file)
}

const secretWarning = "The output includes credentials that you must protect. Be sure that you do not include these credentials in your code " +
	"or check the credentials into your source control."

func (x *call) rbacResult(app map[string]any, name string, password any, file string) (any, error) {
	s, err := x.subscription()
	if err != nil {
		return nil, err
	}
	if !x.on("json-auth") {
		out := map[string]any{"appId": app["appId"], "displayName": name, "password": password, "tenant": s.TenantID}
		if file != "" {
			x.warn("Please copy %s to a safe place. When you run `keyreeve login`, provide the file path in the --certificate argument", file)
			out["fileWithCertAndPrivateKey"] = file
		}
		return out, nil
	}
	e := x.host.server
	secret, value := "clientSecret", password
	if password == nil {
		secret, value = "clientCertificate", file
	}
	return map[string]any{
		"clientId": app["appId"], secret: value, "subscriptionId": s.ID, "tenantId": s.TenantID,
		"activeDirectoryEndpointUrl": e.Login, "resourceManagerEndpointUrl": e.ARM + "/", "managementEndpointUrl": e.ARM + "/",
		"activeDirectoryGraphResourceId": "https://graph.windows.net/",
	}, nil
}
