package graph

import (
	"net/http"
	"slices"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/store"
)

// heldRole is the assignment of an app role with the names of both sides.
type heldRole struct {
	directory.AppRoleAssignment
	principalName, resourceName string
}

func appRoleSchema() schema[heldRole] {
	text := func(name string, get func(heldRole) string) property[heldRole] {
		return property[heldRole]{name: name, value: func(r heldRole) any { return get(r) }, kind: filterText}
	}
	return schema[heldRole]{entity: "appRoleAssignment", set: "appRoleAssignments", resource: "AppRoleAssignment", area: directory.Applications, props: []property[heldRole]{
		text("id", func(r heldRole) string { return r.ID.String() }),
		{name: "deletedDateTime", value: null[heldRole]},
		text("appRoleId", func(r heldRole) string { return r.Role.String() }),
		{name: "createdDateTime", value: func(r heldRole) any { return instant(r.CreatedAt) }, kind: filterTime},
		text("principalDisplayName", func(r heldRole) string { return r.principalName }),
		text("principalId", func(r heldRole) string { return r.Principal.String() }),
		text("principalType", func(r heldRole) string { return string(r.PrincipalType) }),
		text("resourceDisplayName", func(r heldRole) string { return r.resourceName }),
		text("resourceId", func(r heldRole) string { return r.Resource.String() }),
	}}
}

// withNames adds to assignments what both sides are called.
func (rq *request) withNames(tx *store.Tx, all []directory.AppRoleAssignment) ([]heldRole, error) {
	out := make([]heldRole, 0, len(all))
	for _, a := range all {
		h := heldRole{AppRoleAssignment: a}
		o, err := rq.directoryObject(tx, a.Principal)
		if err != nil && !store.IsNotFound(err) {
			return nil, err
		}
		h.principalName = o.displayName()
		r, err := rq.principal(tx, a.Resource.String())
		if err != nil && !store.IsNotFound(err) {
			return nil, err
		}
		h.resourceName = r.DisplayName
		out = append(out, h)
	}
	return out, nil
}

func (o directoryObject) displayName() string {
	switch o.kind {
	case userObject:
		return o.user.DisplayName
	case groupObject:
		return o.group.DisplayName
	case applicationObject:
		return o.application.DisplayName
	case roleObject:
		return o.role.DisplayName
	case servicePrincipalObject, anyObject:
	}
	return o.principal.DisplayName
}

func heldID(h heldRole) ident.GrantID { return h.ID }

// appRolesOf answers the app roles that the object of the path holds; appRolesTo those that the service principal of
// the path has given.
func appRolesOf(rq *request) error {
	return listGrants(rq, appRoleSchema(), heldID, func(tx *store.Tx, a directory.Actor) (func(ident.GrantID, int) ([]heldRole, error), error) {
		id, kind, err := rq.subjectID(tx)
		if denied := a.MayRead(directory.Applications); denied != nil && (kind != userObject || a.MayReadUser(id) != nil) {
			return nil, denied
		}
		if err != nil {
			return nil, err
		}
		all, err := tx.AppRoleAssignments(id)
		if err != nil {
			return nil, err
		}
		held, err := rq.withNames(tx, all)
		return inMemory(held, heldID), err
	})
}

func appRolesTo(rq *request) error {
	return listGrants(rq, appRoleSchema(), heldID, func(tx *store.Tx, a directory.Actor) (func(ident.GrantID, int) ([]heldRole, error), error) {
		p, err := rq.principal(tx, rq.args[0])
		if denied := rq.mayReadOwned(tx, a, p.ID); denied != nil {
			return nil, denied
		}
		return func(after ident.GrantID, limit int) ([]heldRole, error) {
			part, err := tx.AppRolesAssignedTo(p.ID, after, limit)
			if err != nil {
				return nil, err
			}
			return rq.withNames(tx, part)
		}, err
	})
}

// giveAppRole makes an assignment.
func giveAppRole(rq *request) error {
	b, err := rq.body()
	if err != nil {
		return err
	}
	r := directory.AppRoleAssignment{ID: ident.New[ident.GrantID](), Tenant: rq.caller.Tenant, CreatedAt: rq.h.Now().UTC()}
	_, readErr := b.fieldsInto([]fieldOf{{"principalId", &r.Principal}, {"resourceId", &r.Resource}, {"appRoleId", &r.Role}})
	if readErr == nil {
		readErr = b.rest("microsoft.graph.appRoleAssignment", func(name string) bool { _, ok := appRoleSchema().find(name); return ok })
	}
	var out heldRole
	err = rq.update(func(tx *store.Tx, a directory.Actor) error {
		resource, err := rq.appRoleResource(tx, a, r.Resource.String())
		if err != nil {
			return err
		}
		if readErr != nil {
			return readErr
		}
		// The path names one side; the body must agree.
		id, _, err := rq.subjectID(tx)
		if err != nil {
			return err
		}
		if id != r.Principal && id != r.Resource {
			return badRequest("The principal or resource of the assignment is not the object that the request was sent to.").At("principalId")
		}
		if err := rq.checkAppRole(tx, resource, &r); err != nil {
			return err
		}
		err = tx.PutAppRoleAssignment(r)
		if store.IsExists(err) {
			return fault.New(fault.Invalid, "Request_BadRequest", "Permission being assigned already exists on the object").Because(err)
		}
		if err != nil {
			return err
		}
		all, err := rq.withNames(tx, []directory.AppRoleAssignment{r})
		if err != nil {
			return err
		}
		out = all[0]
		return rq.audit(tx, audit.AppRoleGiven, r.Principal, map[string]string{
			"displayName": out.principalName, "resource": out.resourceName, "resourceId": r.Resource.String(), "appRoleId": r.Role.String(),
		})
	})
	if err != nil {
		return err
	}
	s := appRoleSchema()
	return rq.entity(http.StatusCreated, s.set, s.render(out, nil, false))
}

// appRoleResource finds the resource of an assignment, for an actor who may give and take its roles.
func (rq *request) appRoleResource(tx *store.Tx, a directory.Actor, key string) (principal, error) {
	p, err := rq.principal(tx, key)
	if err != nil && !store.IsNotFound(err) {
		return p, err
	}
	owner := false
	if err == nil {
		var failed error
		if owner, failed = tx.Owns(a.ID, p.ID); failed != nil {
			return p, failed
		}
	}
	if denied := a.MayAssignAppRole(p.AppID == directory.MicrosoftGraph(), owner); denied != nil {
		return p, denied
	}
	return p, err
}

// checkAppRole holds that the resource offers the role, and to that type of principal.
func (rq *request) checkAppRole(tx *store.Tx, resource principal, r *directory.AppRoleAssignment) error {
	o, err := rq.directoryObject(tx, r.Principal)
	if err != nil {
		return err
	}
	member := directory.MemberUser
	switch o.kind {
	case userObject:
		r.PrincipalType = directory.PrincipalUser
	case groupObject:
		r.PrincipalType = directory.PrincipalGroup
	case servicePrincipalObject:
		r.PrincipalType, member = directory.PrincipalServicePrincipal, directory.MemberApplication
	case applicationObject, roleObject, anyObject:
		return badRequest("App roles are held by users, groups and service principals.").At("principalId")
	}
	if r.Role.IsZero() {
		if len(resource.app.AppRoles) > 0 && member == directory.MemberApplication {
			return badRequest("Permission being assigned was not found on application '%s'", resource.AppID).At("appRoleId")
		}
		return nil // the default role
	}
	i := slices.IndexFunc(resource.app.AppRoles, func(role directory.AppRole) bool { return role.ID == r.Role && role.Enabled })
	if i < 0 {
		return badRequest("Permission being assigned was not found on application '%s'", resource.AppID).At("appRoleId")
	}
	if !slices.Contains(resource.app.AppRoles[i].AllowedMembers, member) {
		return badRequest("Not a valid permission for the type of principal: its allowed member types are others.").At("appRoleId")
	}
	return nil
}

func takeAppRole(rq *request) error {
	err := rq.update(func(tx *store.Tx, a directory.Actor) error {
		id, err := ident.Parse[ident.GrantID](rq.args[1])
		if err != nil {
			return absent(rq.args[1])
		}
		r, err := tx.AppRoleAssignment(id)
		if err != nil && !store.IsNotFound(err) {
			return err
		}
		missing := err != nil || r.Tenant != rq.caller.Tenant
		if _, err := rq.appRoleResource(tx, a, r.Resource.String()); err != nil && (!missing || fault.Is(err, fault.Forbidden)) {
			return err
		}
		if missing {
			return absent(rq.args[1])
		}
		subject, _, err := rq.subjectID(tx)
		if err != nil {
			return err
		}
		if subject != r.Principal && subject != r.Resource {
			return absent(rq.args[1])
		}
		if err := tx.DeleteAppRoleAssignment(id); err != nil {
			return err
		}
		return rq.audit(tx, audit.AppRoleTaken, r.Principal, map[string]string{"resourceId": r.Resource.String(), "appRoleId": r.Role.String()})
	})
	if err != nil {
		return err
	}
	return rq.noContent()
}
