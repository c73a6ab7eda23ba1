package graph

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/fault"
)

// route is one operation: a method and a path of lower-case segments, in which {} stands for any one segment.
type route struct {
	method string
	path   []string
	handle func(*request) error
}

func (h *Handler) routes() []route {
	on := func(method, path string, handle func(*request) error) route {
		return route{method, strings.Split(path, "/"), handle}
	}
	const get, post, patch, del = http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete
	all := []route{
		on(post, "$batch", batch),

		on(get, "users", listUsers),
		on(get, "users/$count", countUsers),
		on(post, "users", createUser),
		on(get, "users/{}", getUser),
		on(patch, "users/{}", updateUser),
		on(del, "users/{}", deleteUser),
		on(post, "users/{}/revokesigninsessions", revokeSignInSessions),
		on(post, "users/{}/changepassword", changePassword),

		on(get, "groups", listGroups),
		on(get, "groups/$count", countGroups),
		on(post, "groups", createGroup),
		on(get, "groups/{}", getGroup),
		on(patch, "groups/{}", updateGroup),
		on(del, "groups/{}", deleteGroup),
		on(post, "groups/{}/members/$ref", addMember),
		on(del, "groups/{}/members/{}/$ref", removeMember),

		on(get, "serviceprincipals", listServicePrincipals),
		on(get, "serviceprincipals/$count", countServicePrincipals),
		on(post, "serviceprincipals", createServicePrincipal),
		on(get, "serviceprincipals/{}", getServicePrincipal),
		on(patch, "serviceprincipals/{}", updateServicePrincipal),
		on(del, "serviceprincipals/{}", deleteServicePrincipal),

		on(get, "applications", listApplications),
		on(get, "applications/$count", countApplications),
		on(post, "applications", createApplication),
		on(get, "applications/{}", getApplication),
		on(patch, "applications/{}", updateApplication),
		on(del, "applications/{}", deleteApplication),
		on(get, "applications/{}/federatedidentitycredentials", listFederated),
		on(post, "applications/{}/federatedidentitycredentials", createFederated),
		on(get, "applications/{}/federatedidentitycredentials/{}", getFederated),
		on(patch, "applications/{}/federatedidentitycredentials/{}", updateFederated),
		on(del, "applications/{}/federatedidentitycredentials/{}", deleteFederated),

		on(post, "directoryobjects/getbyids", getByIDs),
		on(get, "directoryobjects/{}", getDirectoryObject),

		on(get, "organization", listOrganization),
		on(get, "organization/{}", getOrganization),
		on(get, "domains", listDomains),
		on(get, "domains/{}", getDomain),
		on(get, "policies/authorizationpolicy", getPolicy),
		on(patch, "policies/authorizationpolicy", updatePolicy),
	}
	all = slices.Concat(all, grantRoutes(on), roleRoutes(on), deletedRoutes(on))
	for kind, t := range map[string]objectType{"groups": groupObject, "applications": applicationObject, "serviceprincipals": servicePrincipalObject} {
		all = append(all,
			on(post, kind+"/{}/owners/$ref", addOwner(t)),
			on(del, kind+"/{}/owners/{}/$ref", removeOwner(t)))
		all = append(all, related(on, kind, "owners", owners(t))...)
		if kind == "groups" {
			continue
		}
		all = append(all,
			on(post, kind+"/{}/addpassword", addPassword(t)),
			on(post, kind+"/{}/removepassword", removePassword(t)),
			on(post, kind+"/{}/addkey", addKey(t)),
			on(post, kind+"/{}/removekey", removeKey(t)))
	}
	for _, kind := range []string{"users", "groups", "serviceprincipals", "directoryobjects"} {
		all = append(all,
			on(post, kind+"/{}/getmembergroups", getMemberGroups(false)),
			on(post, kind+"/{}/getmemberobjects", getMemberGroups(true)),
			on(post, kind+"/{}/checkmembergroups", checkMemberGroups("groupIds")),
			on(post, kind+"/{}/checkmemberobjects", checkMemberGroups("ids")))
		if kind == "directoryobjects" {
			continue
		}
		all = append(all, related(on, kind, "memberof", memberOf(direct))...)
		all = append(all, related(on, kind, "transitivememberof", memberOf(transitive))...)
		if kind != "groups" {
			all = append(all, related(on, kind, "ownedobjects", ownedObjects)...)
		}
	}
	all = append(all, related(on, "groups", "members", members(direct))...)
	return append(all, related(on, "groups", "transitivemembers", members(transitive))...)
}

type router func(method, path string, handle func(*request) error) route

// grantRoutes are those of consent and app roles.
func grantRoutes(on router) []route {
	out := []route{
		on(http.MethodGet, "oauth2permissiongrants", listConsents),
		on(http.MethodPost, "oauth2permissiongrants", createConsent),
		on(http.MethodGet, "oauth2permissiongrants/{}", getConsent),
		on(http.MethodPatch, "oauth2permissiongrants/{}", updateConsent),
		on(http.MethodDelete, "oauth2permissiongrants/{}", deleteConsent),
		on(http.MethodGet, "serviceprincipals/{}/approleassignedto", appRolesTo),
		on(http.MethodPost, "serviceprincipals/{}/approleassignedto", giveAppRole),
		on(http.MethodDelete, "serviceprincipals/{}/approleassignedto/{}", takeAppRole),
	}
	for _, kind := range []string{"users", "groups", "serviceprincipals"} {
		out = append(out,
			on(http.MethodGet, kind+"/{}/approleassignments", appRolesOf),
			on(http.MethodPost, kind+"/{}/approleassignments", giveAppRole),
			on(http.MethodDelete, kind+"/{}/approleassignments/{}", takeAppRole))
		if kind != "groups" {
			out = append(out, on(http.MethodGet, kind+"/{}/oauth2permissiongrants", consentsOf))
		}
	}
	return out
}

// roleRoutes are those of directory roles, in both forms.
func roleRoutes(on router) []route {
	const below = "rolemanagement/directory/"
	return append([]route{
		on(http.MethodGet, "directoryroles", listRoles(roleSchema())),
		on(http.MethodPost, "directoryroles", activateRole),
		on(http.MethodGet, "directoryroles/{}", getRole(roleSchema())),
		on(http.MethodPost, "directoryroles/{}/members/$ref", addRoleMember),
		on(http.MethodDelete, "directoryroles/{}/members/{}/$ref", removeRoleMember),
		on(http.MethodGet, "directoryroletemplates", listRoles(templateSchema())),
		on(http.MethodGet, "directoryroletemplates/{}", getRole(templateSchema())),
		on(http.MethodGet, below+"roledefinitions", listRoles(definitionSchema())),
		on(http.MethodGet, below+"roledefinitions/{}", getRole(definitionSchema())),
		on(http.MethodGet, below+"roleassignments", listHoldings),
		on(http.MethodPost, below+"roleassignments", createHolding),
		on(http.MethodGet, below+"roleassignments/{}", getHolding),
		on(http.MethodDelete, below+"roleassignments/{}", deleteHolding),
	}, related(on, "directoryroles", "members", roleMembers)...)
}

// deletedRoutes are those of what was deleted and may be restored.
func deletedRoutes(on router) []route {
	const items = "directory/deleteditems"
	out := []route{
		on(http.MethodGet, items+"/{}", getDeleted),
		on(http.MethodDelete, items+"/{}", purge),
		on(http.MethodPost, items+"/{}/restore", restore),
	}
	for _, kind := range []directory.Kind{directory.KindUser, directory.KindGroup, directory.KindApplication, directory.KindServicePrincipal} {
		out = append(out, on(http.MethodGet, items+"/microsoft.graph."+fold(string(kind)), listDeleted(kind)))
	}
	return out
}

// related makes the routes of a collection of directory objects: the whole, cast to one type, and counted.
func related(on router, kind, name string, list func(cast objectType, count bool) func(*request) error) []route {
	base := kind + "/{}/" + name
	out := []route{on(http.MethodGet, base, list(anyObject, false)), on(http.MethodGet, base+"/$count", list(anyObject, true))}
	for _, cast := range []objectType{userObject, groupObject, servicePrincipalObject, applicationObject, roleObject} {
		typed := base + "/microsoft.graph." + fold(string(cast))
		out = append(out, on(http.MethodGet, typed, list(cast, false)), on(http.MethodGet, typed+"/$count", list(cast, true)))
	}
	return out
}

// match finds the operation for a path. Fixed segments go before variable ones, whatever their order in the table.
func match(routes []route, method string, segments []string) (func(*request) error, []string, error) {
	var best *route
	known := false
	for i := range routes {
		rt := &routes[i]
		if !fits(rt.path, segments) {
			continue
		}
		known = true
		if rt.method == method && (best == nil || firstVariable(rt.path) > firstVariable(best.path)) {
			best = rt
		}
	}
	if best != nil {
		var args []string
		for i, p := range best.path {
			if p == "{}" {
				args = append(args, segments[i])
			}
		}
		return best.handle, args, nil
	}
	if known {
		return nil, nil, fault.New(fault.Unsupported, "Request_BadRequest", "Specified HTTP method is not allowed for the request target.").At(methodTarget)
	}
	return nil, nil, fault.New(fault.Invalid, "BadRequest", "Resource not found for the segment '%s'.", unknownSegment(routes, segments))
}

// methodTarget marks the fault of a method that a path does not have, which Graph answers with 405.
const methodTarget = "method"

func fits(pattern, segments []string) bool {
	if len(pattern) != len(segments) {
		return false
	}
	for i, p := range pattern {
		if p != "{}" && p != fold(segments[i]) {
			return false
		}
	}
	return true
}

func firstVariable(pattern []string) int {
	if i := slices.Index(pattern, "{}"); i >= 0 {
		return i
	}
	return len(pattern)
}

// unknownSegment returns the first segment that no route has after those before it.
func unknownSegment(routes []route, segments []string) string {
	for n := 1; n <= len(segments); n++ {
		if !slices.ContainsFunc(routes, func(rt route) bool { return len(rt.path) >= n && fits(rt.path[:n], segments[:n]) }) {
			return segments[n-1]
		}
	}
	if len(segments) == 0 {
		return ""
	}
	return segments[len(segments)-1]
}

const maxSegments = 16

// splitPath parses an escaped request path into the version and the segments below it, each unescaped. A key in
// parentheses, users('x') or servicePrincipals(appId='x'), becomes a segment of its own, and the namespace before the
// name of an action goes.
func splitPath(escaped string) (version string, segments []string, err error) {
	parts := strings.Split(strings.Trim(escaped, "/"), "/")
	if len(parts) > maxSegments {
		return "", nil, fault.New(fault.Invalid, "BadRequest", "The request URI has too many segments.")
	}
	switch fold(parts[0]) {
	case "v1.0":
		version = "v1.0"
	case "beta":
		version = "beta"
	default:
		return "", nil, fault.New(fault.Invalid, "BadRequest", "Invalid version: %s", printable(parts[0]))
	}
	for _, p := range parts[1:] {
		s, err := url.PathUnescape(p)
		if err != nil || s == "" {
			return "", nil, fault.New(fault.Invalid, "BadRequest", "The request URI is not valid.")
		}
		name, key, ok := strings.Cut(s, "(")
		if ok && strings.HasSuffix(key, ")") && name != "" {
			key = unquoteKey(strings.TrimSuffix(key, ")"))
			if key == "" { // also users('')
				return "", nil, fault.New(fault.Invalid, "BadRequest", "The request URI is not valid.")
			}
			segments = append(segments, name, key)
			continue
		}
		segments = append(segments, withoutNamespace(s))
	}
	return version, segments, nil
}

// unquoteKey takes the quotes off a key predicate; a named key, appId='x', keeps its name: appId=x.
func unquoteKey(key string) string {
	name, value, named := strings.Cut(key, "=")
	if !named {
		name, value = "", key
	}
	if len(value) >= 2 && value[0] == '\'' && value[len(value)-1] == '\'' {
		value = strings.ReplaceAll(value[1:len(value)-1], "''", "'")
	}
	if named {
		return name + "=" + value
	}
	return value
}

func withoutNamespace(s string) string {
	const namespace = "microsoft.graph."
	if len(s) <= len(namespace) || fold(s[:len(namespace)]) != namespace {
		return s
	}
	switch fold(s[len(namespace):]) {
	case "user", "group", "serviceprincipal", "application", "directoryrole":
		return s // a cast, not an action
	}
	return s[len(namespace):]
}

func joinPath(segments []string) string {
	var b strings.Builder
	for _, s := range segments {
		b.WriteString("/" + url.PathEscape(s))
	}
	return b.String()
}

func fold(s string) string { return directory.Fold(s) }

// printable cuts what a client sent to what an error may show of it.
func printable(s string) string {
	const most = 120
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
