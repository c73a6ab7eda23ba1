package rbac

import (
	"strings"
	"unicode/utf8"
)

// nowhere is the key of a malformed scope: no scope is below it, so an empty one is not the root.
const nowhere = "\x00"

// scopeKey is the form of an assignment's scope in which scopes are compared: lower case, no slash at the end; "" for the root.
func scopeKey(scope string) string {
	if !strings.HasPrefix(scope, "/") {
		return nowhere
	}
	return strings.TrimSuffix(strings.ToLower(scope), "/")
}

// A scope is looked up by hash before it is compared: a holder may have assignments in thousands of places, and a request is
// in five at most that usually have any (the root, a subscription, a group, a resource, a namespace).

const (
	hashStart = 14695981039346656037 // FNV-1a
	hashPrime = 1099511628211
)

func hashBytes(h uint64, s string) uint64 {
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * hashPrime
	}
	return h
}

// bit is a hash's place in a mask.
func bit(h uint64) uint64 { return 1 << ((h ^ h>>32) >> 8 & 63) }

// segments counts the segments of a scope's key.
func segments(key string) int { return strings.Count(key, "/") }

// usual reports whether assignments are usually made at a scope of so many segments.
func usual(segments int) bool {
	return segments == 0 || segments == 2 || segments == 4 || segments >= 8 && segments%2 == 0
}

// marks are the hashes of a scope and of all above it, as masks.
type marks struct {
	all   uint64 // of every scope from the root down
	usual uint64 // of the usual ones
	hash  uint64 // of the scope itself
	segs  int
	// each is the hash of every scope from the root down, as far as there is room; deep is true when there was not.
	each [12]uint64
	n    int
	odd  uint16 // which of them are not usual
	deep bool
}

func rootMarks() marks {
	m := marks{hash: hashStart}
	m.mark()
	return m
}

// has reports whether the hash may be that of one of the scopes.
func (m *marks) has(h uint64) bool {
	if bit(h)&m.all == 0 {
		return false
	}
	if m.deep {
		return true
	}
	for i := m.n - 1; i >= 0; i-- {
		if m.each[i] == h {
			return true
		}
	}
	return false
}

// down goes down a path, which is in lower case and begins with '/'.
func (m marks) down(path []byte) marks {
	for i := range len(path) {
		if path[i] == '/' {
			if i > 0 {
				m.mark()
			}
			m.segs++
		}
		m.hash = (m.hash ^ uint64(path[i])) * hashPrime
	}
	if len(path) > 0 {
		m.mark()
	}
	return m
}

func (m *marks) mark() { m.add(m.hash, usual(m.segs)) }

// add notes the hash of a scope that is above.
func (m *marks) add(h uint64, usual bool) {
	m.all |= bit(h)
	if usual {
		m.usual |= bit(h)
	}
	if m.n == len(m.each) {
		m.deep = true
		return
	}
	m.each[m.n] = h
	if !usual {
		m.odd |= 1 << m.n
	}
	m.n++
}

// Place is a cluster's scope made ready for decisions about it and its namespaces. It does not change.
type Place struct {
	key    string // with "/namespaces/" after it
	length int    // of the cluster's own
	marks  marks
}

// NewPlace makes the resource id of a cluster ready.
func NewPlace(cluster string) *Place {
	key := scopeKey(cluster)
	if key == nowhere {
		return &Place{key: nowhere, length: len(nowhere)}
	}
	return &Place{key: key + namespaceSegment, length: len(key), marks: rootMarks().down([]byte(key))}
}

// Scope returns the cluster's scope, in lower case.
func (p *Place) Scope() string { return p.key[:p.length] }

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
