package az

import (
	"maps"
	"net/http"
	"net/url"
	"strings"
)

const (
	identitiesAPI  = "?api-version=2023-01-31"
	identitiesPath = "/providers/Microsoft.ManagedIdentity/userAssignedIdentities"
	identityPath   = "/subscriptions/{sub}/resourceGroups/{resource-group}" + identitiesPath + "/{name}" + identitiesAPI
	federatedPath  = "/subscriptions/{sub}/resourceGroups/{resource-group}" + identitiesPath + "/{identity-name}/federatedIdentityCredentials"
	federatedOne   = federatedPath + "/{name}" + identitiesAPI
)

func identityCommands() []command {
	name := flag{name: "name", short: "n", help: "name of the identity", must: true}
	identity := flag{name: "identity-name", help: "name of the identity", must: true}
	credential := flag{name: "name", short: "n", help: "name of the federated credential", must: true}
	settings := []flag{
		inGroup(), identity, credential,
		{name: "issuer", help: "who issues the tokens", must: true},
		{name: "subject", help: "whom they are about", must: true},
		{name: "audiences", kind: words, help: "whom they are for (default api://AzureADTokenExchange)"},
	}
	return []command{
		{
			path: "identity create", short: "Make a user-assigned managed identity", kind: "Identity", example: "keyreeve identity create -g dev -n builds",
			flags: []flag{inGroup(), name, {name: "location", short: "l", help: "location (default: that of the resource group)"}, {name: "tags", kind: words, help: "tags, NAME=VALUE with spaces between"}},
			run: func(x *call) (any, error) {
				location := x.word("location")
				if location == "" {
					group, err := x.object("/subscriptions/{sub}/resourcegroups/{resource-group}" + resourcesAPI)
					if err != nil {
						return nil, err
					}
					location = str(group, "location")
				}
				body := map[string]any{"location": location}
				if x.given("tags") {
					body["tags"] = tagMap(x.words("tags"))
				}
				return x.do(http.MethodPut, identityPath, body)
			},
		},
		{path: "identity show", short: "Show a managed identity", kind: "Identity", flags: []flag{inGroup(), name}, get: identityPath},
		{
			path: "identity list", short: "List managed identities", kind: "Identity", flags: []flag{{name: "resource-group", short: "g", help: "those in one group"}},
			run: func(x *call) (any, error) {
				where := "/subscriptions/{sub}"
				if x.given("resource-group") {
					where += "/resourceGroups/{resource-group}"
				}
				return x.list(where + identitiesPath + identitiesAPI)
			},
		},
		{
			path: "identity list-resources", short: "List the resources that an identity is assigned to",
			flags: []flag{
				inGroup(), name,
				{name: "filter", help: "OData condition"},
				{name: "orderby", help: "property to sort by"},
				{name: "skip", help: "how many to leave out at the beginning"},
				{name: "skip-token", help: "where a page before ended"},
				{name: "top", help: "how many at most"},
			},
			run: listIdentityResources,
		},
		{
			path: "identity delete", short: "Delete a managed identity", flags: []flag{inGroup(), name},
			run: func(x *call) (any, error) { return x.none(http.MethodDelete, identityPath, nil) },
		},
		{
			path: "identity federated-credential create", short: "Take tokens from elsewhere as proof of an identity", flags: settings, run: putFederated, then: flattenFederated,
		},
		{
			path: "identity federated-credential update", short: "Change a federated credential", flags: settings, run: putFederated, then: flattenFederated,
		},
		{path: "identity federated-credential show", short: "Show a federated credential", flags: []flag{inGroup(), identity, credential}, get: federatedOne, then: flattenFederated},
		{
			path: "identity federated-credential list", short: "List the federated credentials of an identity", flags: []flag{inGroup(), identity},
			get: federatedPath + identitiesAPI, list: true, then: flattenFederated,
		},
		{
			path: "identity federated-credential delete", short: "Delete a federated credential", flags: []flag{inGroup(), identity, credential}, confirm: "Are you sure you want to perform this operation?",
			run: func(x *call) (any, error) { return x.none(http.MethodDelete, federatedOne, nil) },
		},
	}
}

// associatedAPI is the last version of the API that tells of an identity's resources.
const associatedAPI = "?api-version=2021-09-30-preview"

func listIdentityResources(x *call) (any, error) {
	query := url.Values{}
	for name, parameter := range map[string]string{"filter": "$filter", "orderby": "$orderby", "skip": "$skip", "top": "$top", "skip-token": "$skiptoken"} {
		if x.given(name) {
			query.Set(parameter, x.word(name))
		}
	}
	path := strings.TrimSuffix(identityPath, identitiesAPI) + "/listAssociatedResources" + associatedAPI
	if len(query) > 0 {
		path += "&" + query.Encode()
	}
	v, err := x.do(http.MethodPost, path, map[string]any{})
	if err != nil {
		return nil, err
	}
	m, _ := v.(map[string]any)
	list, _ := m["value"].([]any)
	return list, nil
}

func putFederated(x *call) (any, error) {
	audiences := x.words("audiences")
	if len(audiences) == 0 {
		audiences = []string{"api://AzureADTokenExchange"}
	}
	return x.do(http.MethodPut, federatedOne, map[string]any{"properties": map[string]any{
		"issuer": x.word("issuer"), "subject": x.word("subject"), "audiences": audiences,
	}})
}

// flattenFederated puts the properties into the object. az says of these only what the service said.
func flattenFederated(v any) any {
	if list, ok := v.([]any); ok {
		for i := range list {
			list[i] = flattenFederated(list[i])
		}
		return list
	}
	m, ok := v.(map[string]any)
	if !ok {
		return v
	}
	p, _ := m["properties"].(map[string]any)
	delete(m, "properties")
	maps.Copy(m, p)
	return m
}
