package graph

import (
	"errors"
	"net/http"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/logon"
	"github.com/keyreeve/keyreeve/internal/oauth"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/web"
)

// changePassword changes the caller's own password, which it must know. Wrong guesses count as those at sign-in do.
func changePassword(rq *request) error {
	b, err := rq.body()
	if err != nil {
		return err
	}
	var old, fresh string
	if _, err := b.fieldsInto([]fieldOf{{"currentPassword", &old}, {"newPassword", &fresh}}); err != nil {
		return err
	}
	if err := b.rest("changePassword", nothing); err != nil {
		return err
	}
	var u directory.User
	err = rq.read(func(tx *store.Tx, a directory.Actor) error {
		var err error
		u, err = rq.user(tx, rq.args[0])
		if denied := a.MayChangeOwnPassword(u.ID); denied != nil {
			return denied
		}
		return err
	})
	if err != nil {
		return err
	}
	if rq.h.Logon == nil {
		return fault.New(fault.Unsupported, "NotSupported", "Passwords cannot be changed here.")
	}
	if err := directory.CheckPassword(fresh); err != nil {
		return err
	}
	from := logon.Origin{Client: rq.caller.Client, RemoteAddr: rq.r.RemoteAddr, Correlation: web.EventOf(rq.r).RequestID.String(), Method: "changePassword"}
	known, err := rq.h.Logon.Password(rq.r.Context(), rq.caller.Tenant, u.UserPrincipalName, old, from)
	if err == nil {
		err = rq.h.Logon.ChangePassword(rq.r.Context(), u.ID, known.At, fresh, from)
	}
	if refusal, ok := errors.AsType[*oauth.Error](err); ok {
		return badRequest("The specified current password is not correct, or the account is locked.").At("currentPassword").Because(refusal)
	}
	if f := fault.As(err); f != nil && f.Kind == fault.Invalid {
		return badRequest("The specified password does not comply with password complexity requirements: %s", f.Public).At("newPassword").Because(err)
	}
	if err != nil {
		return err
	}
	return rq.noContent()
}

func policyObject(t directory.Tenant) object {
	return object{
		{"id", "authorizationPolicy"},
		{"deletedDateTime", nil},
		{"displayName", "Authorization Policy"},
		{"description", "Used to manage authorization related settings across the company."},
		{"allowInvitesFrom", "none"},
		{"allowedToSignUpEmailBasedSubscriptions", false},
		{"allowedToUseSSPR", false},
		{"allowEmailVerifiedUsersToJoinOrganization", false},
		{"blockMsolPowerShell", true},
		{"guestUserRoleId", "2af84b1e-32c8-42b7-82bc-daa82404023b"},
		{"defaultUserRolePermissions", object{
			{"allowedToCreateApps", !t.Members.NoApplications},
			{"allowedToCreateSecurityGroups", !t.Members.NoGroups},
			{"allowedToCreateTenants", false},
			{"allowedToReadBitlockerKeysForOwnedDevice", false},
			{"allowedToReadOtherUsers", true},
			{"permissionGrantPoliciesAssigned", []string{"ManagePermissionGrantsForSelf.microsoft-user-default-low"}},
		}},
	}
}

func getPolicy(rq *request) error {
	if err := rq.plain(); err != nil {
		return err
	}
	var t directory.Tenant
	err := rq.view(directory.Policies, func(tx *store.Tx) (err error) {
		t, err = tx.Tenant(rq.caller.Tenant)
		return err
	})
	if err != nil {
		return err
	}
	return rq.write(http.StatusOK, append(object{rq.context("policies/authorizationPolicy/$entity")}, policyObject(t).pick(rq.query.selected)...))
}

// updatePolicy changes what members may do by default.
func updatePolicy(rq *request) error {
	b, err := rq.body()
	if err != nil {
		return err
	}
	err = rq.update(func(tx *store.Tx, a directory.Actor) error {
		if err := a.MayChangePolicy(); err != nil {
			return err
		}
		t, err := tx.Tenant(rq.caller.Tenant)
		if err != nil {
			return err
		}
		b := b.clone()
		o, err := b.object("defaultUserRolePermissions", "microsoft.graph.defaultUserRolePermissions")
		if err != nil {
			return err
		}
		if err := b.rest("microsoft.graph.authorizationPolicy", func(name string) bool { return policyObject(t).has(name) }); err != nil {
			return err
		}
		if o == nil {
			return nil
		}
		apps, groups := !t.Members.NoApplications, !t.Members.NoGroups
		if _, err := o.fieldsInto([]fieldOf{{"allowedToCreateApps", &apps}, {"allowedToCreateSecurityGroups", &groups}}); err != nil {
			return err
		}
		if err := o.rest("microsoft.graph.defaultUserRolePermissions", nothing); err != nil {
			return err
		}
		t.Members = directory.MemberDefaults{NoApplications: !apps, NoGroups: !groups}
		if err := tx.PutTenant(t); err != nil {
			return err
		}
		return rq.auditTenant(tx, audit.PolicyUpdated, t.Members)
	})
	if err != nil {
		return err
	}
	return rq.noContent()
}

func (rq *request) auditTenant(tx *store.Tx, event audit.Event, m directory.MemberDefaults) error {
	detail := map[string]string{"allowedToCreateApps": "true", "allowedToCreateSecurityGroups": "true"}
	if m.NoApplications {
		detail["allowedToCreateApps"] = "false"
	}
	if m.NoGroups {
		detail["allowedToCreateSecurityGroups"] = "false"
	}
	return rq.audit(tx, event, rq.caller.Object, detail)
}

func (o object) has(name string) bool {
	for _, f := range o {
		if f.name == name {
			return true
		}
	}
	return false
}
