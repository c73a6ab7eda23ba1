package rbac

import (
	"bytes"
	"slices"
	"strings"
)

// ConditionVersion is the only version of conditions there is.
const ConditionVersion = "2.0"

// Condition is a parsed condition of a role assignment (Azure ABAC, version 2.0). It does not change.
//
// What is not known is neither true nor false: an attribute that a request lacks makes a comparison unknown, and a condition
// that is unknown as a whole does not hold.
type Condition struct {
	text string
	root *condNode
}

// String returns the condition as it was written.
func (c *Condition) String() string { return c.text }

// attribute is an attribute of a request that conditions may speak of.
type attribute uint8

// The attributes. Group and kind are of custom resources alone; kind is the resource's plural name, as Azure documents.
const (
	attrNone attribute = iota
	attrGroup
	attrKind
	attrSubresource
	attrName
	// Of role assignments, as asked for and as they are.
	attrRequestRole
	attrRequestPrincipal
	attrRequestType
	attrResourceRole
	attrResourcePrincipal
	attrResourceType
)

// guid reports whether the attribute's values are GUIDs, which have operators of their own.
func (a attribute) guid() bool {
	return a == attrRequestRole || a == attrRequestPrincipal || a == attrResourceRole || a == attrResourcePrincipal
}

// attributeOf knows the attributes by their names in lower case; those of role assignments are not the same of what is asked
// for and of what is there.
func attributeOf(lower string, resource bool) attribute {
	if name, ok := strings.CutPrefix(lower, "microsoft.authorization/roleassignments:"); ok {
		first := attrRequestRole
		if resource {
			first = attrResourceRole
		}
		if i := slices.Index([]string{"roledefinitionid", "principalid", "principaltype"}, name); i >= 0 {
			return first + attribute(i)
		}
		return attrNone
	}
	switch lower {
	case "microsoft.containerservice/managedclusters/customresources:group":
		return attrGroup
	case "microsoft.containerservice/managedclusters/customresources:kind":
		return attrKind
	case "microsoft.containerservice/managedclusters/resources:subresource":
		return attrSubresource
	case "microsoft.containerservice/managedclusters/resources:name":
		return attrName
	}
	return attrNone
}

// attributes are the values of a request's attributes; an empty one is not there.
type attributes struct{ group, kind, subresource, name string }

func (a *attributes) get(id attribute) string {
	switch id {
	case attrGroup:
		return a.group
	case attrKind:
		return a.kind
	case attrSubresource:
		return a.subresource
	case attrName:
		return a.name
	default:
	}
	return ""
}

// attribute returns the value of an attribute of the request, and whether it is known; what is not there is empty. Of a request for
// many things it is not known where they differ.
func (q *query) attribute(id attribute) (value string, known bool) {
	if id >= attrRequestRole {
		return q.delegation.get(id), q.delegation == nil || !q.delegation.Later
	}
	v := q.attributes.get(id)
	if v == "*" && id == attrSubresource || q.maybe && (id == attrGroup || id == attrKind) {
		return "", false
	}
	return v, true
}

// truth is a value of three-valued logic.
type truth uint8

const (
	isUnknown truth = iota
	isFalse
	isTrue
)

func truthOf(b bool) truth {
	if b {
		return isTrue
	}
	return isFalse
}

type condOp uint8

const (
	opAnd condOp = iota + 1
	opOr
	opNot
	opAction    // ActionMatches
	opSubAction // SubOperationMatches
	opExists
	opCompare
)

type condNode struct {
	op      condOp
	kids    []*condNode
	pattern pattern // of opAction
	attr    attribute
	compare comparison
}

type compareOp uint8

const (
	cmpEquals compareOp = iota
	cmpStartsWith
	cmpLike
)

// comparison compares an attribute, which has one value, with one or several. The quantifier over the left side then means
// nothing, and the one over the right side says whether any or all must hold.
type comparison struct {
	op     compareOp
	not    bool // of each single comparison: NotEquals with "any" holds when some value differs
	fold   bool // letter case does not count
	all    bool
	values []string
}

// holds reports whether the condition is true for a request.
func (c *Condition) holds(q *query) bool {
	t := c.root.eval(q)
	return t == isTrue || t == isUnknown && q.delegation != nil && q.delegation.Later
}

func (n *condNode) eval(q *query) truth {
	switch n.op {
	case opAnd:
		out := isTrue
		for _, k := range n.kids {
			switch k.eval(q) {
			case isFalse:
				return isFalse
			case isUnknown:
				out = isUnknown
			case isTrue:
			}
		}
		return out
	case opOr:
		out := isFalse
		for _, k := range n.kids {
			switch k.eval(q) {
			case isTrue:
				return isTrue
			case isUnknown:
				out = isUnknown
			case isFalse:
			}
		}
		return out
	case opNot:
		switch n.kids[0].eval(q) {
		case isTrue:
			return isFalse
		case isFalse:
			return isTrue
		case isUnknown:
		}
		return isUnknown
	case opAction:
		return n.action(q)
	case opSubAction:
		return isFalse // no action here has suboperations
	case opExists:
		v, known := q.attribute(n.attr)
		if !known {
			return isUnknown
		}
		return truthOf(v != "")
	case opCompare:
		v, _ := q.attribute(n.attr)
		if v == "" {
			return isUnknown
		}
		return truthOf(n.compare.holds(v))
	}
	return isUnknown
}

// action reports whether a request is the action, by any of its names: a restriction of customresources/read must not be
// got round because the same resource also has a name of its own. Of a subresource that its resource's action does not imply it
// is not known when only that one matches, so that neither a restriction is got round nor an exception taken for wider than it is;
// nor of a request for many actions, unless all of them match.
func (n *condNode) action(q *query) truth {
	parent := len(q.parent) > 0 && n.pattern.match(q.parent)
	if n.pattern.match(q.own) || parent && q.implied || len(q.custom) > 0 && !q.maybe && n.pattern.match(q.custom) {
		return isTrue
	}
	if parent || q.glob {
		return isUnknown
	}
	return isFalse
}

func (c *comparison) holds(v string) bool {
	for _, w := range c.values {
		if (c.one(v, w) != c.not) != c.all {
			return !c.all
		}
	}
	return c.all
}

func (c *comparison) one(v, w string) bool {
	if c.fold {
		v, w = string(lowerASCII(nil, v)), string(lowerASCII(nil, w))
	}
	switch c.op {
	case cmpEquals:
		return v == w
	case cmpStartsWith:
		return len(v) >= len(w) && v[:len(w)] == w
	case cmpLike:
		return like([]byte(v), w)
	}
	return false
}

// like matches a value with a pattern of '*' (any run), '?' (any one byte) and '\', which takes the next character as it is.
func like(v []byte, p string) bool {
	// The last star and where in v it began to match: going back there is enough.
	star, back := -1, 0
	i, j := 0, 0
	for i < len(v) {
		if j < len(p) && p[j] == '*' {
			star, back = j, i
			j++
			continue
		}
		if n := likeOne(v[i], p[j:]); n > 0 {
			i++
			j += n
			continue
		}
		if star < 0 {
			return false
		}
		back++
		i, j = back, star+1
	}
	return len(bytes.Trim([]byte(p[j:]), "*")) == 0
}

// likeOne returns how many bytes of the pattern the byte uses up; 0 when it does not match.
func likeOne(c byte, p string) int {
	switch {
	case p == "":
		return 0
	case p[0] == '\\' && len(p) > 1:
		if p[1] == c {
			return 2
		}
		return 0
	case p[0] == '?' || p[0] == c:
		return 1
	}
	return 0
}
