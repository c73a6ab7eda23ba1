package rbac

import (
	"bytes"
	"math/bits"
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
	hashStart = 14695981039346656037
	hashPrime = 0x9e3779b97f4a7c15
)

// hashText goes on with a hash by a text, eight bytes at a time.
func hashText[T string | []byte](h uint64, s T) uint64 {
	h ^= uint64(len(s))
	for ; len(s) >= 8; s = s[8:] {
		h = mix(h ^ (uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56))
	}
	var last uint64
	for i := range len(s) {
		last |= uint64(s[i]) << (8 * i)
	}
	return mix(h ^ last)
}

func mix(h uint64) uint64 {
	high, low := bits.Mul64(h, hashPrime)
	return high ^ low
}

// hashScope is the hash of a scope's key, segment by segment as marks go down, so that the hash of a scope is on the way to those
// below it.
func hashScope(key string) uint64 {
	h := uint64(hashStart)
	for len(key) > 0 {
		end := strings.IndexByte(key[1:], '/') + 1
		if end == 0 {
			end = len(key)
		}
		h = hashText(h, key[1:end])
		key = key[end:]
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
	each [20]uint64 // a namespace has 11, and seven levels of management groups above
	n    int
	odd  uint32 // which of them are not usual
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
func (m *marks) down(path []byte) {
	for len(path) > 0 {
		end := bytes.IndexByte(path[1:], '/') + 1
		if end == 0 {
			end = len(path)
		}
		m.hash = hashText(m.hash, path[1:end])
		m.segs++
		m.mark()
		path = path[end:]
	}
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

// raise adds the management groups above the scope, in lower case, by their hashes if they are known.
func (m *marks) raise(above []string, hashes []uint64) {
	if len(hashes) == len(above) {
		for _, h := range hashes {
			m.add(h, true)
		}
		return
	}
	for _, key := range above {
		m.add(hashScope(key), true)
	}
}

// HashScopes returns the hashes of scopes in lower case, by which they are looked up.
func HashScopes(keys []string) []uint64 {
	out := make([]uint64, len(keys))
	for i, key := range keys {
		out[i] = hashScope(key)
	}
	return out
}

// Path is a scope with all that are above it, made ready for a decision.
type Path struct{ marks marks }

// PathOf makes the scope of a request ready.
func PathOf(scope string) Path {
	p := Path{rootMarks()}
	if !plainASCII(scope) {
		p.marks.down(lowerScope(nil, scope))
		return p
	}
	scope = strings.TrimSuffix(scope, "/")
	m := &p.marks
	for len(scope) > 0 {
		end := strings.IndexByte(scope[1:], '/') + 1
		if end == 0 {
			end = len(scope)
		}
		m.hash = hashLower(m.hash, scope[1:end])
		m.segs++
		m.mark()
		scope = scope[end:]
	}
	return p
}

// hashLower is hashText of an ASCII text in lower case.
func hashLower(h uint64, s string) uint64 {
	h ^= uint64(len(s))
	for ; len(s) >= 8; s = s[8:] {
		h = mix(h ^ lowerWord(word(s)))
	}
	var last uint64
	for i := range len(s) {
		last |= uint64(s[i]) << (8 * i)
	}
	return mix(h ^ lowerWord(last))
}

// word is the first eight bytes of a text.
func word(s string) uint64 {
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 | uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

func plainASCII(s string) bool {
	for ; len(s) >= 8; s = s[8:] {
		if word(s)&tops != 0 {
			return false
		}
	}
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// Place is a cluster's scope made ready for decisions about it and its namespaces. It does not change.
type Place struct {
	inside marks  // with "/namespaces" after it
	key    string // with "/namespaces/" after it
	length int    // of the cluster's own
	marks  marks
}

// Expect has the memory fetched that a decision about a namespace looks at first.
func (p *Place) Expect() {
	if p != nil {
		Fetch(&p.inside.all)
		Fetch(&p.inside.each[4])
		Fetch(&p.inside.n)
	}
}

// NewPlace makes the resource id of a cluster ready.
func NewPlace(cluster string) *Place {
	key := scopeKey(cluster)
	if key == nowhere {
		return &Place{key: nowhere, length: len(nowhere)}
	}
	p := &Place{key: key + namespaceSegment, length: len(key), marks: rootMarks()}
	p.marks.down([]byte(key))
	p.inside = p.marks
	p.inside.down([]byte(strings.TrimSuffix(namespaceSegment, "/")))
	return p
}

// mark sets the marks of where a request is: the cluster or a namespace, which is in lower case if it can be one.
func (p *Place) mark(m *marks, req *KubeRequest) {
	if req.everywhere() || p.key == nowhere {
		*m = p.marks
		return
	}
	*m = p.inside
	m.hash = hashText(m.hash, req.Namespace)
	m.segs++
	m.mark()
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
	n := len(b)
	b = lowerASCII(b, s)
	if !isASCII(b[n:]) {
		return append(b[:n], strings.ToLower(s)...)
	}
	return b
}

// Covers reports whether an assignment at one scope applies at another: the same, or below it by whole segments, without
// case. Both start with '/'.
func Covers(assigned, scope string) bool {
	var buf [stackScope]byte
	return strings.HasPrefix(assigned, "/") && strings.HasPrefix(scope, "/") &&
		covers(strings.TrimSuffix(strings.ToLower(assigned), "/"), lowerScope(buf[:0], scope))
}
