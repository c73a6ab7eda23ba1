package az

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/keyreeve/keyreeve/internal/cli/az/shape"
	"github.com/keyreeve/keyreeve/internal/fault"
)

const (
	assignments    = "/providers/Microsoft.Authorization/roleAssignments"
	assignmentsAPI = "?api-version=2022-04-01"
)

func assignmentCommands() []command {
	who := []flag{
		{name: "assignee", help: "user principal name, object id, or name of a service principal"},
		{name: "assignee-object-id", help: "object id, which the directory is not asked about"},
	}
	role := flag{name: "role", help: "role, by name or id"}
	inherited := flag{name: "include-inherited", kind: toggle, help: "assignments above the scope, too"}
	return []command{
		{
			path: "role assignment create", short: "Assign a role", run: createAssignment,
			example: "keyreeve role assignment create --role \"Azure Kubernetes Service RBAC Reader\" --assignee dana@example.com --scope CLUSTER_ID/namespaces/dev",
			flags: append([]flag{
				{name: "role", help: "role, by name or id", must: true},
				{name: "scope", help: "where: a subscription, resource group or resource by its id", must: true},
				{name: "assignee-principal-type", help: "User, Group, ServicePrincipal or ForeignGroup"},
				{name: "description", help: "description"},
				{name: "condition", help: "condition of the assignment"},
				{name: "condition-version", help: "version of the condition (default 2.0)"},
				{name: "name", short: "n", help: "id of the assignment (default: a new one)"},
			}, who...),
		},
		{
			path: "role assignment list", short: "List role assignments", run: listAssignments,
			table: "[].{Principal:principalName, Role:roleDefinitionName, Scope:scope}",
			flags: append([]flag{
				role, scopeFlag(), rgFlag(), inherited,
				{name: "all", kind: toggle, help: "all in the subscription"},
				{name: "include-groups", kind: toggle, help: "assignments to the assignee's groups, too"},
				{name: "fill-principal-name", kind: truth, help: "whether to look names up (default true)"},
				{name: "fill-role-definition-name", kind: truth, help: "whether to look role names up (default true)"},
			}, who...),
		},
		{
			path: "role assignment update", short: "Change the condition or description of an assignment", run: updateAssignment, kind: "RoleAssignment",
			flags: []flag{{name: "role-assignment", must: true, help: "JSON of an assignment as `role assignment list` prints it, or a file with it"}},
		},
		{
			path: "role assignment delete", short: "Take roles away", run: deleteAssignments,
			flags: append([]flag{
				role, scopeFlag(), rgFlag(), inherited,
				{name: "ids", kind: words, help: "resource ids of assignments"},
				{name: "yes", short: "y", kind: toggle, help: "taken for az's sake"},
			}, who...),
		},
	}
}

type assignment struct {
	role, scope, principal, kind, name string
	more                               map[string]any
}

// assign makes an assignment.
func (x *call) assign(a assignment) (any, error) {
	scope := clean(a.scope)
	role, err := x.roleID(a.role, scope)
	if err != nil {
		return nil, err
	}
	p := map[string]any{"roleDefinitionId": role, "principalId": a.principal}
	if a.kind != "" {
		p["principalType"] = a.kind
	}
	maps.Copy(p, a.more)
	if a.name == "" {
		a.name = uuid.NewString()
	}
	return x.do(http.MethodPut, scope+assignments+"/"+url.PathEscape(a.name)+assignmentsAPI, map[string]any{"properties": p})
}

func createAssignment(x *call) (any, error) {
	a := assignment{
		role: x.word("role"), scope: x.word("scope"), name: x.word("name"), kind: x.word("assignee-principal-type"), principal: x.word("assignee-object-id"),
		more: x.properties(map[string]string{"description": "description", "condition": "condition", "condition-version": "conditionVersion"}),
	}
	if x.given("condition") && !x.given("condition-version") {
		a.more["conditionVersion"] = "2.0"
	}
	var err error
	switch {
	case x.given("assignee") == x.given("assignee-object-id"):
		return nil, errors.New("give --assignee or --assignee-object-id")
	case x.given("condition-version") && !x.given("condition"):
		return nil, errors.New("--condition-version needs --condition")
	case x.given("assignee") && a.kind != "":
		return nil, errors.New("--assignee-principal-type needs --assignee-object-id")
	case x.given("assignee"):
		a.principal, a.kind, err = x.principal(x.word("assignee"))
	case a.kind == "":
		if stubs, failed := x.byIDs([]string{a.principal}); failed == nil && len(stubs) > 0 {
			a.kind = principalType(stubs[0])
		}
	}
	if err != nil {
		return nil, err
	}
	v, err := x.assign(a)
	var f *fault.Error
	if errors.As(err, &f) && f.Code == "RoleAssignmentExists" {
		return x.existing(a)
	}
	if err != nil {
		return nil, err
	}
	return shape.Of("RoleAssignment", v), nil
}

// updateAssignment puts an assignment as it is given; the service says what of it may change.
func updateAssignment(x *call) (any, error) {
	v, err := x.json("role-assignment")
	if err != nil {
		return nil, err
	}
	given, _ := v.(map[string]any)
	scope, name := str(given, "scope"), str(given, "name")
	if scope == "" || name == "" {
		return nil, errors.New("--role-assignment needs the scope and the name of the assignment")
	}
	path := clean(scope) + assignments + "/" + url.PathEscape(name) + assignmentsAPI
	now, err := x.object(path)
	if err != nil {
		return nil, err
	}
	before, _ := now["properties"].(map[string]any)
	if strings.HasPrefix(str(before, "conditionVersion"), "2.") && strings.HasPrefix(str(given, "conditionVersion"), "1.") {
		return nil, errors.New("the condition's version cannot go back to 1.X")
	}
	p := map[string]any{}
	for _, property := range []string{
		"roleDefinitionId", "principalId", "principalType", "description", "condition", "conditionVersion", "delegatedManagedIdentityResourceId",
	} {
		if given[property] != nil {
			p[property] = given[property]
		}
	}
	if p["principalType"] == nil {
		p["principalType"] = before["principalType"]
	}
	return x.do(http.MethodPut, path, map[string]any{"properties": p})
}

// existing finds the assignment that was already there.
func (x *call) existing(a assignment) (any, error) {
	role, err := x.roleID(a.role, clean(a.scope))
	if err != nil {
		return nil, err
	}
	found, err := x.searchAssignments(clean(a.scope), a.principal, role, false, false)
	if err != nil || len(found) == 0 {
		return nil, errors.Join(errors.New("the assignment exists already, but is not seen"), err)
	}
	if err := x.names(found, clean(a.scope), true, true); err != nil {
		return nil, err
	}
	return found[0], nil
}

// principal finds whom --assignee names.
func (x *call) principal(name string) (id, kind string, err error) {
	if strings.Contains(name, "@") {
		users, err := x.objects("/v1.0/users" + filter("userPrincipalName eq "+quoted(name)))
		if err != nil || len(users) > 0 {
			return first(users), "User", err
		}
	}
	found, err := x.objects("/v1.0/servicePrincipals" + filter(principalNamed(name)))
	if err != nil || len(found) > 0 {
		return first(found), "ServicePrincipal", err
	}
	if guid.MatchString(name) {
		stubs, err := x.byIDs([]string{name})
		if err != nil {
			return "", "", err
		}
		if len(stubs) > 0 {
			return str(stubs[0], "id"), principalType(stubs[0]), nil
		}
	}
	return "", "", fmt.Errorf("the directory has no user and no service principal %q; if it is an appId, make its service principal with `keyreeve ad sp create --id %s`", name, name)
}

func first(list []map[string]any) string {
	if len(list) == 0 {
		return ""
	}
	return str(list[0], "id")
}

func principalType(o map[string]any) string {
	switch str(o, "@odata.type") {
	case "#microsoft.graph.user":
		return "User"
	case "#microsoft.graph.group":
		return "Group"
	case "#microsoft.graph.servicePrincipal":
		return "ServicePrincipal"
	case "#microsoft.graph.directoryObjectPartnerReference":
		return "ForeignGroup"
	}
	return ""
}

// assignee finds the object id that the flags name; empty if they name nobody.
func (x *call) assignee() (string, error) {
	switch {
	case x.given("assignee") && x.given("assignee-object-id"):
		return "", errors.New("give --assignee or --assignee-object-id, not both")
	case x.word("assignee") != "":
		id, _, err := x.principal(x.word("assignee"))
		return id, err
	case x.given("assignee"):
		return "", errors.New("--assignee is empty") // and would mean everybody
	}
	return x.word("assignee-object-id"), nil
}

func listAssignments(x *call) (any, error) {
	scope, at := "", ""
	s, err := x.subscription()
	if err != nil {
		return nil, err
	}
	at = "/subscriptions/" + s.ID
	if x.on("all") {
		if x.given("scope") || x.given("resource-group") {
			return nil, errors.New("--all needs neither --scope nor --resource-group")
		}
	} else {
		if scope, err = x.scope(); err != nil {
			return nil, err
		}
		at = scope
	}
	who, err := x.assignee()
	if err != nil {
		return nil, err
	}
	role := x.word("role")
	if role != "" {
		if role, err = x.roleID(role, at); err != nil {
			return nil, err
		}
	}
	found, err := x.searchAssignments(scope, who, role, x.on("include-inherited"), x.on("include-groups"))
	if err != nil {
		return nil, err
	}
	yes := func(name string) bool { return !x.given(name) || x.on(name) }
	if err := x.names(found, at, yes("fill-role-definition-name"), yes("fill-principal-name")); err != nil {
		return nil, err
	}
	out := make([]any, len(found))
	for i, a := range found {
		out[i] = a
	}
	return out, nil
}

// searchAssignments lists assignments, shaped. Without a scope it looks through the whole subscription.
func (x *call) searchAssignments(scope, who, role string, inherited, groups bool) ([]map[string]any, error) {
	where, condition := scope, "atScope()"
	switch {
	case scope != "" && who != "" && groups:
		condition += " and assignedTo(" + quoted(who) + ")"
	case scope == "" && who == "":
		where, condition = "/subscriptions/{sub}", ""
	case scope == "" && groups:
		where, condition = "/subscriptions/{sub}", "assignedTo("+quoted(who)+")"
	case scope == "":
		where, condition = "/subscriptions/{sub}", "principalId eq "+quoted(who)
	}
	path := where + assignments + assignmentsAPI
	if condition != "" {
		path += "&$filter=" + url.QueryEscape(condition)
	}
	found, err := x.list(path)
	if err != nil {
		return nil, err
	}
	var out []map[string]any
	for _, o := range shape.List("RoleAssignment", found).([]any) { //nolint:forcetypeassert // list returns one
		a, ok := o.(map[string]any)
		switch {
		case !ok:
		case scope != "" && !inherited && !strings.EqualFold(escapePath(str(a, "scope")), scope):
		case role != "" && str(a, "roleDefinitionId") != role:
		case who != "" && !groups && str(a, "principalId") != who:
		default:
			out = append(out, a)
		}
	}
	return out, nil
}

// names puts the names of roles and principals into assignments.
func (x *call) names(list []map[string]any, scope string, roles, principals bool) error {
	if len(list) == 0 {
		return nil
	}
	if roles {
		defs, err := x.objects(scope + definitions + definitionsAPI)
		if err != nil {
			return err
		}
		byID := map[string]any{}
		for _, d := range defs {
			p, _ := d["properties"].(map[string]any)
			byID[str(d, "id")] = p["roleName"]
		}
		for _, a := range list {
			a["roleDefinitionName"] = byID[str(a, "roleDefinitionId")]
		}
	}
	if !principals {
		return nil
	}
	var ids []string
	for _, a := range list {
		ids = append(ids, str(a, "principalId"))
	}
	slices.Sort(ids)
	stubs, err := x.byIDs(slices.Compact(ids))
	if err != nil {
		return nil //nolint:nilerr // who may not read the directory still sees the assignments
	}
	byID := map[string]string{}
	for _, o := range stubs {
		byID[str(o, "id")] = displayable(o)
	}
	for _, a := range list {
		a["principalName"] = byID[str(a, "principalId")]
	}
	return nil
}

// displayable is a principal's name in a list.
func displayable(o map[string]any) string {
	if upn := str(o, "userPrincipalName"); upn != "" {
		return upn
	}
	if names, _ := o["servicePrincipalNames"].([]any); len(names) > 0 {
		if name, ok := names[0].(string); ok {
			return name
		}
	}
	return str(o, "displayName")
}

func deleteAssignments(x *call) (any, error) {
	for _, id := range x.words("ids") {
		if _, err := x.do(http.MethodDelete, clean(id)+assignmentsAPI, nil); err != nil {
			return nil, err
		}
	}
	if x.given("ids") {
		return nil, nil
	}
	if !x.given("assignee") && !x.given("assignee-object-id") && !x.given("role") && !x.given("resource-group") && !x.given("scope") {
		return nil, errors.New("say which: --ids, --assignee, --assignee-object-id, --role, --resource-group or --scope")
	}
	for _, name := range []string{"assignee", "assignee-object-id", "role", "resource-group", "scope"} {
		if x.given(name) && x.word(name) == "" {
			return nil, fmt.Errorf("--%s is empty, which would mean all", name)
		}
	}
	scope, err := x.scope()
	if err != nil {
		return nil, err
	}
	who, err := x.assignee()
	if err != nil {
		return nil, err
	}
	role := x.word("role")
	if role != "" {
		if role, err = x.roleID(role, scope); err != nil {
			return nil, err
		}
	}
	found, err := x.searchAssignments(scope, who, role, x.on("include-inherited"), false)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, errors.New("no assignment matches, so none was deleted")
	}
	for _, a := range found {
		if _, err := x.do(http.MethodDelete, escapePath(str(a, "id"))+assignmentsAPI, nil); err != nil {
			return nil, err
		}
	}
	return nil, nil
}
