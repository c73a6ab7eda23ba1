package gatefeed

import (
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/session"
)

// What is left of each object: what decisions read, and what their reasons name. A field that is new to an object is not
// told until it is named here.

func trimUser(u directory.User) directory.User {
	return directory.User{
		ID: u.ID, Tenant: u.Tenant, UserPrincipalName: u.UserPrincipalName, AccountEnabled: u.AccountEnabled,
		SessionsValidFrom: u.SessionsValidFrom,
	}
}

func trimServicePrincipal(p directory.ServicePrincipal) directory.ServicePrincipal {
	return directory.ServicePrincipal{
		ID: p.ID, Tenant: p.Tenant, AppID: p.AppID, Type: p.Type, AccountEnabled: p.AccountEnabled, SessionsValidFrom: p.SessionsValidFrom,
	}
}

// trimGroup keeps the name: the reason of an allow names groups.
func trimGroup(g directory.Group) directory.Group {
	return directory.Group{
		ID: g.ID, Tenant: g.Tenant, DisplayName: g.DisplayName, SecurityEnabled: g.SecurityEnabled, IsAssignableToRole: g.IsAssignableToRole,
	}
}

func trimSession(s session.Session) session.Session {
	return session.Session{ID: s.ID, Tenant: s.Tenant, User: s.User, CreatedAt: s.CreatedAt, ExpiresAt: s.ExpiresAt, RevokedAt: s.RevokedAt}
}

func trimDefinition(d rbac.RoleDefinition) rbac.RoleDefinition {
	return rbac.RoleDefinition{
		ID: d.ID, Name: d.Name, Type: d.Type, AssignableScopes: d.AssignableScopes, Permissions: d.Permissions, Tenant: d.Tenant,
	}
}

func trimAssignment(a rbac.Assignment) rbac.Assignment {
	return rbac.Assignment{
		ID: a.ID, Scope: a.Scope, RoleDefinitionID: a.RoleDefinitionID, RoleDefinitionSubscription: a.RoleDefinitionSubscription,
		PrincipalID: a.PrincipalID, PrincipalType: a.PrincipalType, Tenant: a.Tenant, Condition: a.Condition, ConditionVersion: a.ConditionVersion,
	}
}

// trimDenyAssignment keeps the name: the reason of an explanation names it.
func trimDenyAssignment(d rbac.DenyAssignment) rbac.DenyAssignment {
	return rbac.DenyAssignment{
		ID: d.ID, Tenant: d.Tenant, Name: d.Name, Permissions: d.Permissions, Scope: d.Scope, ExactScope: d.ExactScope,
		Principals: d.Principals, Excluded: d.Excluded, Condition: d.Condition, ConditionVersion: d.ConditionVersion,
	}
}

func trimCluster(c managedcluster.Cluster) managedcluster.Cluster {
	return managedcluster.Cluster{
		ID: c.ID, Subscription: c.Subscription, Tenant: c.Tenant, Group: c.Group, Name: c.Name, Location: c.Location,
		AAD: c.AAD, Attached: c.Attached, LocalAccountsDisabled: c.LocalAccountsDisabled, Epoch: c.Epoch,
		ProvisioningState: c.ProvisioningState, PowerState: c.PowerState, Endpoint: c.Endpoint,
	}
}
