package rbac

import (
	"strings"
	"unicode/utf8"

	"github.com/keyreeve/keyreeve/internal/ident"
)

// Request asks whether a principal may do an action at a scope.
type Request struct {
	Principal ident.ObjectID
	// Action is an action string, such as Microsoft.ContainerService/managedClusters/read.
	Action string
	// Data is true for a data action.
	Data bool
	// Scope is the id of what is acted upon: a resource, a resource group, a subscription, "/" or a namespace of a cluster.
	Scope string
}

// Facts are what a decision is made from. All of it is in memory.
type Facts interface {
	// GroupsOf returns every group the principal is in, directly or by nesting. The caller must not change it.
	GroupsOf(ident.ObjectID) []ident.ObjectID
	// GrantsOf returns the assignments held by exactly this principal or group. The caller must not change it.
	GrantsOf(ident.ObjectID) []*Grant
}

// Grant is an assignment with its role, made ready for decisions. It does not change.
type Grant struct {
	Assignment Assignment
	Role       *Role
	scopeKey   string  // lower case, no trailing slash; "" for the root
	path       [1]Path // what an allow through this grant says; made once, so that an allow takes no memory
}

// nowhere is the key of a malformed scope: no scope is below it, so an empty one is not the root.
const nowhere = "\x00"

// NewGrant makes an assignment ready for decisions.
func NewGrant(a Assignment, r *Role) *Grant {
	key := nowhere
	if strings.HasPrefix(a.Scope, "/") {
		key = strings.TrimSuffix(strings.ToLower(a.Scope), "/")
	}
	return &Grant{
		Assignment: a, Role: r, scopeKey: key,
		path: [1]Path{{
			AssignmentID: a.ID, RoleDefinitionID: a.RoleDefinitionID, RoleName: r.Definition.Name, Scope: a.Scope,
			Holder: a.PrincipalID, HolderType: a.PrincipalType,
		}},
	}
}

// Verdict is the outcome of a decision. The zero Verdict is Unknown, so that a forgotten one allows nothing.
type Verdict uint8

// The verdicts.
const (
	Unknown Verdict = iota // it could not be decided; neither allow nor deny
	Allow                  // a grant covers it
	Deny                   // no grant covers it
)

// String returns the verdict's name.
func (v Verdict) String() string {
	switch v {
	case Allow:
		return "allow"
	case Deny:
		return "deny"
	case Unknown:
		return "unknown"
	}
	return "unknown"
}

// Path is one way in which a principal holds an action: through this assignment, held by the principal itself or by a
// group that it is in.
type Path struct {
	AssignmentID     ident.RoleAssignmentID
	RoleDefinitionID ident.RoleDefinitionID
	RoleName         string
	// Scope of the assignment, as written there.
	Scope string
	// Holder is the principal asked about, or the group through which it holds the assignment.
	Holder     ident.ObjectID
	HolderType PrincipalType
}

// Decision is what was decided and why, as values.
type Decision struct {
	Verdict Verdict
	// Paths says through which grants: for Allow those that allow, for Unknown those whose condition could not be judged.
	// It must not be changed.
	Paths []Path
}

// Decide decides by the first grant that allows, the principal's own before those of its groups. An allow takes no memory.
//
// A grant with a condition (ABAC) allows nothing here, for conditions are not judged; where only such a grant would
// allow, the verdict is Unknown.
func Decide(req Request, facts Facts) Decision { return decide(req, facts, false) }

// Explain decides like Decide and names every grant that allows.
func Explain(req Request, facts Facts) Decision { return decide(req, facts, true) }

func decide(req Request, facts Facts, all bool) Decision {
	if !strings.HasPrefix(req.Scope, "/") {
		return Decision{Verdict: Deny}
	}
	var actionBuf [stackAction]byte
	var scopeBuf [stackScope]byte
	q := query{action: lowerASCII(actionBuf[:0], req.Action), scope: lowerScope(scopeBuf[:0], req.Scope), data: req.Data}
	var f found
	f.look(&q, facts.GrantsOf(req.Principal), all)
	if all || f.allowed == nil {
		for _, g := range facts.GroupsOf(req.Principal) {
			if f.look(&q, facts.GrantsOf(g), all); f.allowed != nil && !all {
				break
			}
		}
	}
	switch {
	case f.allowed != nil:
		return Decision{Verdict: Allow, Paths: f.allowed}
	case f.unjudged != nil:
		return Decision{Verdict: Unknown, Paths: f.unjudged}
	}
	return Decision{Verdict: Deny}
}

// query is a request in lower case. It is apart from found, which leaves decide, so that its texts can stay on the stack.
type query struct {
	action, scope []byte
	data          bool
}

type found struct {
	allowed, unjudged []Path
}

// look looks at the grants of one principal or group, all of them or up to the first that allows.
func (f *found) look(q *query, grants []*Grant, all bool) {
	for _, g := range grants {
		if !covers(g.scopeKey, q.scope) || !g.Role.grants(q.action, q.data) {
			continue
		}
		if g.Assignment.Condition != "" {
			f.unjudged = add(f.unjudged, g)
			continue
		}
		f.allowed = add(f.allowed, g)
		if !all {
			return
		}
	}
}

// add appends a grant's path; the first one takes no memory. The grant's own array is never written to: its slice has
// no room left.
func add(paths []Path, g *Grant) []Path {
	if paths == nil {
		return g.path[:1:1]
	}
	return append(paths, g.path[0])
}

// covers reports whether scope, in lower case, is at key or below it, by whole segments.
func covers(key string, scope []byte) bool {
	return len(scope) >= len(key) && string(scope[:len(key)]) == key && (len(scope) == len(key) || scope[len(key)] == '/')
}

// lowerScope appends a scope in the form in which scopes are compared: lower case, no trailing slash. Names of resource
// groups may have letters beyond ASCII.
func lowerScope(b []byte, s string) []byte {
	s = strings.TrimSuffix(s, "/")
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return append(b, strings.ToLower(s)...)
		}
	}
	return lowerASCII(b, s)
}

// Covers reports whether an assignment at one scope applies at another: the same, or below it by whole segments, without
// case. Both start with '/'.
func Covers(assigned, scope string) bool {
	var buf [stackScope]byte
	return strings.HasPrefix(assigned, "/") && strings.HasPrefix(scope, "/") &&
		covers(strings.TrimSuffix(strings.ToLower(assigned), "/"), lowerScope(buf[:0], scope))
}
