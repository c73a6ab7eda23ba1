package rbac

import (
	"testing"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
)

const (
	delegatedWrite  = "Microsoft.Authorization/roleAssignments/write"
	delegatedDelete = "Microsoft.Authorization/roleAssignments/delete"
	readerGUID      = "7f6c6a51-bcf8-42ba-9220-52d62157d7db"
	writerGUID      = "a7ffa36f-339b-4b5c-8bdf-e2c188b2c0eb"
	adminGUID       = "b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b"
	requestRole     = "@Request[Microsoft.Authorization/roleAssignments:RoleDefinitionId]"
	resourceRole    = "@Resource[Microsoft.Authorization/roleAssignments:RoleDefinitionId]"
	requestType     = "@Request[Microsoft.Authorization/roleAssignments:PrincipalType]"
	requestWho      = "@Request[Microsoft.Authorization/roleAssignments:PrincipalId]"
)

// constrainRoles is the portal's form of "only these roles".
func constrainRoles(roles, more string) string {
	return `(
 (
  !(ActionMatches{'` + delegatedWrite + `'})
 )
 OR
 (
  ` + requestRole + ` ForAnyOfAnyValues:GuidEquals {` + roles + `}` + more + `
 )
)
AND
(
 (
  !(ActionMatches{'` + delegatedDelete + `'})
 )
 OR
 (
  ` + resourceRole + ` ForAnyOfAnyValues:GuidEquals {` + roles + `}
 )
)`
}

func TestDelegation(t *testing.T) {
	attrs := func(role string, who byte, kind PrincipalType) AssignmentAttributes {
		return AssignmentAttributes{Role: ident.MustParse[ident.RoleDefinitionID](role), Principal: oid(who), Type: kind}
	}
	asked := func(role string, who byte, kind PrincipalType) *Delegation {
		return &Delegation{Request: attrs(role, who, kind)}
	}
	there := func(role string, who byte, kind PrincipalType) *Delegation {
		return &Delegation{Resource: attrs(role, who, kind)}
	}
	two := "7f6c6a51bcf842ba922052d62157d7db, " + writerGUID
	users := " AND " + requestType + " ForAnyOfAnyValues:StringEqualsIgnoreCase {'user'}"
	for name, c := range map[string]struct {
		condition, action string
		d                 *Delegation
		want              bool
	}{
		"one of the roles": {constrainRoles(two, ""), delegatedWrite, asked(readerGUID, 1, PrincipalUser), true},
		"another role":     {constrainRoles(two, ""), delegatedWrite, asked(adminGUID, 1, PrincipalUser), false},
		"what is there does not count for a write": {constrainRoles(two, ""), delegatedWrite, there(readerGUID, 1, PrincipalUser), false},
		"delete one of the roles":                  {constrainRoles(two, ""), delegatedDelete, there(writerGUID, 1, PrincipalUser), true},
		"delete another role":                      {constrainRoles(two, ""), delegatedDelete, there(adminGUID, 1, PrincipalUser), false},
		"reading is not targeted":                  {constrainRoles(two, ""), "Microsoft.Authorization/roleAssignments/read", nil, true},
		"right kind":                               {constrainRoles(two, users), delegatedWrite, asked(readerGUID, 1, PrincipalUser), true},
		"wrong kind":                               {constrainRoles(two, users), delegatedWrite, asked(readerGUID, 1, PrincipalGroup), false},
		"kind not known":                           {constrainRoles(two, users), delegatedWrite, asked(readerGUID, 1, ""), false},
		"all but one role":                         {requestRole + " ForAnyOfAllValues:GuidNotEquals {" + adminGUID + ", " + writerGUID + "}", delegatedWrite, asked(readerGUID, 1, PrincipalUser), true},
		"all but one role, that one":               {requestRole + " ForAnyOfAllValues:GuidNotEquals {" + adminGUID + ", " + writerGUID + "}", delegatedWrite, asked(adminGUID, 1, PrincipalUser), false},
		"a principal":                              {requestWho + " GuidEquals '" + oid(7).String() + "'", delegatedWrite, asked(readerGUID, 7, PrincipalUser), true},
		"another principal":                        {requestWho + " GuidEquals " + oid(7).String(), delegatedWrite, asked(readerGUID, 8, PrincipalUser), false},
		"not known yet":                            {constrainRoles(two, users), delegatedWrite, &Delegation{Later: true}, true},
		"not known yet, but no":                    {"ActionMatches{'x'} AND " + requestRole + " GuidEquals " + adminGUID, delegatedWrite, &Delegation{Later: true}, false},
		"not known yet, exists":                    {"NOT Exists " + requestRole, delegatedWrite, &Delegation{Later: true}, true},
		"exists":                                   {"Exists " + requestRole, delegatedWrite, asked(readerGUID, 1, PrincipalUser), true},
		"exists not":                               {"Exists " + resourceRole, delegatedWrite, asked(readerGUID, 1, PrincipalUser), false},
		"no assignment at all":                     {requestRole + " GuidEquals " + adminGUID, "a/b/read", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewGrant(Assignment{ID: assignmentID(1), PrincipalID: oid(9), Scope: "/", Condition: c.condition, ConditionVersion: "2.0"}, builtin(t, "Owner"))
			if g.Void() {
				_, err := ParseCondition(c.condition)
				t.Fatal(err)
			}
			d := Decide(Request{Principal: oid(9), Action: c.action, Scope: "/subscriptions/s", Delegation: c.d}, newTable(nil, g))
			if got := d.Verdict == Allow; got != c.want {
				t.Errorf("%s", d.Verdict)
			}
		})
	}
	for _, text := range []string{
		requestRole + " StringEquals 'x'", requestRole + " GuidEquals 'x'", requestRole + " GuidEquals {}", requestRole + " GuidEquals {" + adminGUID + " " + writerGUID + "}",
		requestRole + " GuidEquals {" + two + "}", requestType + " GuidEquals " + adminGUID, requestRole + " GuidLike " + adminGUID,
		"@Request[Microsoft.Authorization/roleAssignments:Scope] StringEquals 'x'", "@Principal[Microsoft.Directory/CustomSecurityAttributes/Value:a] StringEquals 'x'",
	} {
		if _, err := ParseCondition(text); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
