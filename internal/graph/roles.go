package graph

import (
	"encoding/base64"
	"net/http"
	"slices"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/store"
)

// tenantRole is a directory role as an object of a tenant.
type tenantRole struct {
	directory.Role
	id ident.ObjectID
}

func tenantRoles(t ident.TenantID) []tenantRole {
	out := []tenantRole{}
	for _, r := range directory.Roles() {
		out = append(out, tenantRole{r, directory.RoleObject(t, r.ID)})
	}
	return out
}

func roleSchema() schema[tenantRole] {
	text := func(name string, get func(tenantRole) string) property[tenantRole] {
		return property[tenantRole]{name: name, value: func(r tenantRole) any { return get(r) }, kind: filterText}
	}
	return schema[tenantRole]{
		entity: "directoryRole", set: "directoryRoles", resource: "DirectoryRole", kind: roleObject, area: directory.RoleManagement,
		id: func(r tenantRole) ident.ObjectID { return r.id }, props: []property[tenantRole]{
			text("id", func(r tenantRole) string { return r.id.String() }),
			{name: "deletedDateTime", value: null[tenantRole]},
			text("description", func(r tenantRole) string { return r.Description }),
			text("displayName", func(r tenantRole) string { return r.DisplayName }),
			text("roleTemplateId", func(r tenantRole) string { return r.ID.String() }),
		},
	}
}

func templateSchema() schema[tenantRole] {
	s := roleSchema()
	s.entity, s.set, s.resource = "directoryRoleTemplate", "directoryRoleTemplates", "DirectoryRoleTemplate"
	s.props = slices.Clone(s.props[:4])
	s.props[0].value = func(r tenantRole) any { return r.ID.String() }
	return s
}

func definitionSchema() schema[tenantRole] {
	s := templateSchema()
	s.entity, s.set, s.resource = "unifiedRoleDefinition", "roleManagement/directory/roleDefinitions", "UnifiedRoleDefinition"
	named := map[string]property[tenantRole]{}
	for _, p := range s.props {
		named[p.name] = p
	}
	s.props = []property[tenantRole]{
		named["id"], named["description"], named["displayName"],
		{name: "isBuiltIn", value: func(tenantRole) any { return true }, kind: filterBool},
		{name: "isEnabled", value: func(tenantRole) any { return true }, kind: filterBool},
		{name: "isPrivileged", value: func(r tenantRole) any { return r.Privileged }, kind: filterBool, extra: true},
		{name: "resourceScopes", value: func(tenantRole) any { return []string{"/"} }},
		{name: "templateId", value: func(r tenantRole) any { return r.ID.String() }, kind: filterText},
		{name: "version", value: func(tenantRole) any { return "1" }},
		{name: "rolePermissions", value: none[tenantRole]},
	}
	return s
}

// listMemory answers a short list that is in memory: filtered, never paged.
func listMemory[T any](rq *request, s schema[T], all func(tx *store.Tx) ([]T, error)) error {
	f := rq.query.filter
	if err := s.checkFilter(f); err != nil {
		return err
	}
	if err := s.checkSelect(rq.query.selected); err != nil {
		return err
	}
	rq.query.filter = nil
	if err := rq.plain(); err != nil {
		return err
	}
	out := collection{set: s.set}
	err := rq.view(s.area, func(tx *store.Tx) error {
		items, err := all(tx)
		for _, v := range items {
			if s.matches(f, v) {
				out.items = append(out.items, s.render(v, rq.query.selected, false))
			}
		}
		out.count = int64(len(out.items))
		return err
	})
	if err != nil {
		return err
	}
	return rq.collection(out)
}

func listRoles(s schema[tenantRole]) func(*request) error {
	return func(rq *request) error {
		return listMemory(rq, s, func(*store.Tx) ([]tenantRole, error) { return tenantRoles(rq.caller.Tenant), nil })
	}
}

// role finds a directory role by its object id, its template id, or roleTemplateId=….
func (rq *request) role(key string) (tenantRole, error) {
	const named = "roletemplateid="
	id := fold(key)
	if len(id) > len(named) && id[:len(named)] == named {
		id = id[len(named):]
	}
	for _, r := range tenantRoles(rq.caller.Tenant) {
		if r.id.String() == id || r.ID.String() == id {
			return r, nil
		}
	}
	return tenantRole{}, absent(key).Because(store.ErrNotFound)
}

func getRole(s schema[tenantRole]) func(*request) error {
	return func(rq *request) error {
		return getEntity(rq, s, func(_ *store.Tx, a directory.Actor) (tenantRole, error) {
			if err := a.MayRead(directory.RoleManagement); err != nil {
				return tenantRole{}, err
			}
			return rq.role(rq.args[0])
		})
	}
}

// activateRole answers POST directoryRoles: every role is active here, so it is a conflict, as at Microsoft Graph for
// one that is.
func activateRole(rq *request) error {
	return rq.update(func(_ *store.Tx, a directory.Actor) error {
		if err := a.MayManageRoles(); err != nil {
			return err
		}
		return fault.New(fault.Conflict, "Request_MultipleObjectsWithSameKeyValue", "A conflicting object with one or more of the specified property values is present in the directory.")
	})
}

// holders returns those who hold a role, of the caller's tenant.
func (rq *request) holders(tx *store.Tx, role ident.DirectoryRoleID) ([]ident.ObjectID, error) {
	all, err := tx.DirectoryRoleHolders(role)
	if err != nil {
		return nil, err
	}
	out := []ident.ObjectID{}
	for _, id := range all {
		_, err := rq.directoryObject(tx, id)
		if store.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, id)
	}
	return out, nil
}

func roleMembers(cast objectType, count bool) func(*request) error {
	return func(rq *request) error {
		return rq.related(cast, count, func(tx *store.Tx, a directory.Actor) (idSource, error) {
			if err := a.MayRead(directory.RoleManagement); err != nil {
				return nil, err
			}
			r, err := rq.role(rq.args[0])
			if err != nil {
				return nil, err
			}
			ids, err := rq.holders(tx, r.ID)
			return listed(ids), err
		})
	}
}

// giveRole gives a directory role to a user, a service principal, or a group that may hold it.
func (rq *request) giveRole(tx *store.Tx, role directory.Role, id ident.ObjectID) error {
	o, err := rq.directoryObject(tx, id)
	if err != nil {
		return err
	}
	switch {
	case o.kind == groupObject && !o.group.IsAssignableToRole:
		return badRequest("The group is not assignable to roles: isAssignableToRole must be true, which is said when a group is created.").At("principalId")
	case o.kind == applicationObject || o.kind == roleObject:
		return badRequest("A directory role is held by users, groups and service principals.").At("principalId")
	}
	held, err := tx.DirectoryRoles(id)
	if err != nil {
		return err
	}
	if slices.Contains(held, role.ID) {
		return fault.New(fault.Invalid, "Request_BadRequest", "A conflicting object with one or more of the specified property values is present in the directory.").Because(store.ErrExists)
	}
	if err := tx.GrantDirectoryRole(role.ID, id); err != nil {
		return err
	}
	return rq.audit(tx, audit.DirectoryRoleGiven, id, map[string]string{"role": role.DisplayName, "roleTemplateId": role.ID.String()})
}

func (rq *request) takeRole(tx *store.Tx, role directory.Role, id ident.ObjectID) error {
	// Roles of another tenant's people are not this tenant's to take.
	if _, err := rq.directoryObject(tx, id); err != nil {
		return err
	}
	err := rq.keepAdministrator(tx, func() error { return tx.RevokeDirectoryRole(role.ID, id) })
	if store.IsNotFound(err) {
		return absent(id.String())
	}
	if err != nil {
		return err
	}
	return rq.audit(tx, audit.DirectoryRoleTaken, id, map[string]string{"role": role.DisplayName, "roleTemplateId": role.ID.String()})
}

func addRoleMember(rq *request) error {
	b, err := rq.body()
	if err != nil {
		return err
	}
	ref, err := b.reference()
	if err != nil {
		return err
	}
	err = rq.update(func(tx *store.Tx, a directory.Actor) error {
		if err := a.MayManageRoles(); err != nil {
			return err
		}
		r, err := rq.role(rq.args[0])
		if err != nil {
			return err
		}
		id, err := reference(ref)
		if err != nil {
			return err
		}
		return rq.giveRole(tx, r.Role, id)
	})
	if err != nil {
		return err
	}
	return rq.noContent()
}

func removeRoleMember(rq *request) error {
	err := rq.update(func(tx *store.Tx, a directory.Actor) error {
		if err := a.MayManageRoles(); err != nil {
			return err
		}
		r, err := rq.role(rq.args[0])
		if err != nil {
			return err
		}
		id, err := objectID(rq.args[1])
		if err != nil {
			return err
		}
		return rq.takeRole(tx, r.Role, id)
	})
	if err != nil {
		return err
	}
	return rq.noContent()
}

// holding is one principal's holding of a directory role (unifiedRoleAssignment). Its id is made of both.
type holding struct {
	role      directory.Role
	principal ident.ObjectID
}

func (h holding) id() string {
	return base64.RawURLEncoding.EncodeToString(slices.Concat(h.role.ID[:], h.principal[:]))
}

func parseHolding(id string) (holding, error) {
	raw, err := base64.RawURLEncoding.DecodeString(id)
	if err != nil || len(raw) != 2*len(ident.GUID{}) {
		return holding{}, absent(id)
	}
	role, ok := directory.FindRole(ident.DirectoryRoleID(raw[:16]))
	h := holding{role, ident.ObjectID(raw[16:])}
	if !ok || h.id() != id {
		return holding{}, absent(id)
	}
	return h, nil
}

func holdingSchema() schema[holding] {
	text := func(name string, get func(holding) string) property[holding] {
		return property[holding]{name: name, value: func(h holding) any { return get(h) }, kind: filterText}
	}
	return schema[holding]{
		entity: "unifiedRoleAssignment", set: "roleManagement/directory/roleAssignments", resource: "UnifiedRoleAssignment", area: directory.RoleManagement,
		props: []property[holding]{
			text("id", holding.id),
			text("principalId", func(h holding) string { return h.principal.String() }),
			text("directoryScopeId", func(holding) string { return "/" }),
			text("roleDefinitionId", func(h holding) string { return h.role.ID.String() }),
			{name: "appScopeId", value: null[holding]},
		},
	}
}

func listHoldings(rq *request) error {
	return listMemory(rq, holdingSchema(), func(tx *store.Tx) ([]holding, error) {
		var out []holding
		for _, r := range directory.Roles() {
			ids, err := rq.holders(tx, r.ID)
			if err != nil {
				return nil, err
			}
			for _, id := range ids {
				out = append(out, holding{r, id})
			}
		}
		return out, nil
	})
}

// holding finds the assignment that the path names.
func (rq *request) holding(tx *store.Tx) (holding, error) {
	h, err := parseHolding(rq.args[0])
	if err != nil {
		return h, err
	}
	ids, err := rq.holders(tx, h.role.ID)
	if err != nil {
		return h, err
	}
	if !slices.Contains(ids, h.principal) {
		return h, absent(rq.args[0])
	}
	return h, nil
}

func getHolding(rq *request) error {
	s := holdingSchema()
	if err := s.checkSelect(rq.query.selected); err != nil {
		return err
	}
	if err := rq.plain(); err != nil {
		return err
	}
	var h holding
	err := rq.view(s.area, func(tx *store.Tx) (err error) {
		h, err = rq.holding(tx)
		return err
	})
	if err != nil {
		return err
	}
	return rq.entity(http.StatusOK, s.set, s.render(h, rq.query.selected, false))
}

func createHolding(rq *request) error {
	b, err := rq.body()
	if err != nil {
		return err
	}
	var h holding
	var role ident.DirectoryRoleID
	scope, app := "/", ""
	_, readErr := b.fieldsInto([]fieldOf{{"principalId", &h.principal}, {"roleDefinitionId", &role}, {"directoryScopeId", &scope}, {"appScopeId", &app}})
	if readErr == nil {
		readErr = b.rest("microsoft.graph.unifiedRoleAssignment", nothing)
	}
	err = rq.update(func(tx *store.Tx, a directory.Actor) error {
		if err := a.MayManageRoles(); err != nil {
			return err
		}
		if readErr != nil {
			return readErr
		}
		if scope != "/" || app != "" {
			return badRequest("Roles are assigned for the whole directory: directoryScopeId must be '/'.").At("directoryScopeId")
		}
		var ok bool
		if h.role, ok = directory.FindRole(role); !ok {
			return absent(role.String())
		}
		return rq.giveRole(tx, h.role, h.principal)
	})
	if err != nil {
		return err
	}
	s := holdingSchema()
	return rq.entity(http.StatusCreated, s.set, s.render(h, nil, false))
}

func deleteHolding(rq *request) error {
	err := rq.update(func(tx *store.Tx, a directory.Actor) error {
		if err := a.MayManageRoles(); err != nil {
			return err
		}
		h, err := rq.holding(tx)
		if err != nil {
			return err
		}
		return rq.takeRole(tx, h.role, h.principal)
	})
	if err != nil {
		return err
	}
	return rq.noContent()
}
