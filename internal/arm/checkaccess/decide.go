package checkaccess

import (
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/rbac"
)

// timeToLive is how long a decision may be remembered, in milliseconds. Azure says five minutes; here what was revoked is
// gone within a second.
const timeToLive = 1000

// The decisions.
const (
	allowed    = "Allowed"
	notAllowed = "NotAllowed"
)

// decision is the answer about one action, as clients read it: keys, order and nulls are the real service's.
type decision struct {
	AccessDecision string      `json:"accessDecision"`
	ActionID       string      `json:"actionId"`
	IsDataAction   bool        `json:"isDataAction"`
	RoleAssignment *assignment `json:"roleAssignment"`
	DenyAssignment *denial     `json:"denyAssignment"`
	TimeToLiveInMs int         `json:"timeToLiveInMs"`
}

// assignment is the role assignment through which an action is allowed. Ids are bare GUIDs.
type assignment struct {
	ID                                 string `json:"id"`
	RoleDefinitionID                   string `json:"roleDefinitionId"`
	PrincipalID                        string `json:"principalId"`
	PrincipalType                      string `json:"principalType"`
	Scope                              string `json:"scope"`
	Condition                          string `json:"condition"`
	ConditionVersion                   string `json:"conditionVersion"`
	CanDelegate                        bool   `json:"canDelegate"`
	DelegatedManagedIdentityResourceID string `json:"delegatedManagedIdentityResourceId"`
}

// denial is the deny assignment that takes an action away.
type denial struct {
	ID                      string               `json:"id"`
	Name                    string               `json:"name"`
	Description             string               `json:"description"`
	Scope                   string               `json:"scope"`
	DoNotApplyToChildScopes bool                 `json:"doNotApplyToChildScopes"`
	Principals              []rbac.DenyPrincipal `json:"principals"`
	ExcludePrincipals       []rbac.DenyPrincipal `json:"excludePrincipals"`
	Condition               string               `json:"condition"`
	ConditionVersion        string               `json:"conditionVersion"`
}

func takenBy(d *rbac.Denial) *denial {
	if d == nil {
		return nil
	}
	a := &d.Assignment
	out := &denial{
		ID: a.ID.String(), Name: a.Name, Description: a.Description, Scope: a.Scope, DoNotApplyToChildScopes: a.ExactScope,
		Principals: a.Principals, ExcludePrincipals: a.Excluded, Condition: a.Condition, ConditionVersion: a.ConditionVersion,
	}
	if out.ExcludePrincipals == nil {
		out.ExcludePrincipals = []rbac.DenyPrincipal{}
	}
	return out
}

// decide answers every action, and says from which revision. If one cannot be decided, none is answered.
func (h *Handler) decide(tenant ident.TenantID, q question) ([]decision, feed.Revision, error) {
	revision, _, err := h.World.Status()
	if err != nil {
		return nil, 0, undecided(err)
	}
	p, ok := h.World.Principal(q.subject)
	standing := ok && p.Tenant == tenant && p.Enabled
	out := make([]decision, len(q.actions))
	for i, a := range q.actions {
		out[i] = decision{AccessDecision: notAllowed, ActionID: a.id, IsDataAction: a.data, TimeToLiveInMs: timeToLive}
		if !standing {
			continue // nobody's, another tenant's, or disabled: no role of theirs counts
		}
		d := h.World.Decide(rbac.Request{
			Principal: q.subject, Action: a.id, Data: a.data, Scope: q.scope,
			CustomGroup: a.customGroup, CustomKind: a.customKind, Subresource: a.subresource,
		})
		switch d.Verdict {
		case rbac.Allow:
			out[i].AccessDecision = allowed
			if len(d.Grants) > 0 {
				out[i].RoleAssignment = through(d.Grants[0])
			}
		case rbac.Deny:
			out[i].DenyAssignment = takenBy(d.Denial)
		default:
			return nil, 0, undecided(nil)
		}
	}
	return out, revision, nil
}

// through writes the way in which an action is held.
func through(g *rbac.Grant) *assignment {
	a := &g.Assignment
	out := &assignment{
		ID: a.ID.String(), RoleDefinitionID: a.RoleDefinitionID.String(), PrincipalID: a.PrincipalID.String(),
		PrincipalType: string(a.PrincipalType), Scope: a.Scope, Condition: a.Condition,
	}
	if a.Condition != "" {
		out.ConditionVersion = rbac.ConditionVersion
	}
	return out
}

func undecided(cause error) error {
	return fault.New(fault.Unavailable, "AuthorizationUndecided", "Access cannot be decided now. Please try again.").Because(cause)
}
