package world

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/rbac"
)

// Users and role assignments come in millions when a world is built, and encoding/json takes microseconds for each. What the
// store writes is simpler than what JSON allows: an object of plain texts and literals. A document is read as that, and what is not
// that simple is left to encoding/json, so that what comes out, or the error, is what encoding/json would give.

// userDocument is what decisions read of a directory.User.
type userDocument struct {
	Tenant            ident.TenantID `json:"tenant"`
	UserPrincipalName string         `json:"userPrincipalName"`
	DisplayName       string         `json:"displayName"`
	AccountEnabled    bool           `json:"accountEnabled"`
	SessionsValidFrom time.Time      `json:"sessionsValidFrom"`
}

func readUser(raw []byte) (userDocument, error) {
	if u, ok := plainUser(raw); ok {
		return u, nil
	}
	var u userDocument
	err := json.Unmarshal(raw, &u)
	return u, err
}

func plainUser(raw []byte) (u userDocument, ok bool) {
	d := document{rest: raw}
	for d.next() {
		switch string(d.name) {
		case "tenant":
			takeID(&d, &u.Tenant)
		case "userPrincipalName":
			u.UserPrincipalName = string(d.text())
		case "displayName":
			u.DisplayName = string(d.text())
		case "accountEnabled":
			u.AccountEnabled = d.truth()
		case "sessionsValidFrom":
			u.SessionsValidFrom = d.time()
		default:
			d.other("tenant", "userPrincipalName", "displayName", "accountEnabled", "sessionsValidFrom")
		}
	}
	return u, d.ended
}

// assignmentDocument is what decisions read of a rbac.Assignment.
type assignmentDocument struct {
	ID               ident.RoleAssignmentID `json:"id"`
	Scope            string                 `json:"scope"`
	RoleDefinitionID ident.RoleDefinitionID `json:"roleDefinitionId"`
	PrincipalID      ident.ObjectID         `json:"principalId"`
	PrincipalType    rbac.PrincipalType     `json:"principalType"`
	Tenant           ident.TenantID         `json:"tenant"`
	Condition        string                 `json:"condition"`
	ConditionVersion string                 `json:"conditionVersion"`
}

func readAssignment(raw []byte) (assignmentDocument, error) {
	if a, ok := plainAssignment(raw); ok {
		return a, nil
	}
	var a assignmentDocument
	err := json.Unmarshal(raw, &a)
	return a, err
}

func plainAssignment(raw []byte) (a assignmentDocument, ok bool) {
	d := document{rest: raw}
	for d.next() {
		switch string(d.name) {
		case "id":
			takeID(&d, &a.ID)
		case "scope":
			a.Scope = string(d.text())
		case "roleDefinitionId":
			takeID(&d, &a.RoleDefinitionID)
		case "principalId":
			takeID(&d, &a.PrincipalID)
		case "principalType":
			a.PrincipalType = principalType(d.text())
		case "tenant":
			takeID(&d, &a.Tenant)
		case "condition":
			a.Condition = string(d.text())
		case "conditionVersion":
			a.ConditionVersion = string(d.text())
		default:
			d.other("id", "scope", "roleDefinitionId", "principalId", "principalType", "tenant", "condition", "conditionVersion")
		}
	}
	return a, d.ended
}

// principalType takes no memory for the types that there are.
func principalType(b []byte) rbac.PrincipalType {
	for _, t := range []rbac.PrincipalType{rbac.PrincipalGroup, rbac.PrincipalUser, rbac.PrincipalServicePrincipal} {
		if string(b) == string(t) {
			return t
		}
	}
	return rbac.PrincipalType(b)
}

// document goes along the members of an object. It gives up, and next is then false without ended, on what is not simple or not JSON.
type document struct {
	rest   []byte
	name   []byte
	begun  bool
	failed bool
	ended  bool // with nothing after it
}

func (d *document) fail() { d.failed = true }

func (d *document) space() {
	for len(d.rest) > 0 && (d.rest[0] == ' ' || d.rest[0] == '\n' || d.rest[0] == '\t' || d.rest[0] == '\r') {
		d.rest = d.rest[1:]
	}
}

// take goes past a byte, and reports whether it was there.
func (d *document) take(c byte) bool {
	if len(d.rest) == 0 || d.rest[0] != c {
		return false
	}
	d.rest = d.rest[1:]
	return true
}

// next goes to the next member's value.
func (d *document) next() bool {
	if d.failed {
		return false
	}
	d.space()
	switch {
	case !d.begun:
		d.begun = true
		if !d.take('{') {
			return false
		}
		d.space()
		if d.take('}') {
			d.end()
			return false
		}
	case d.take(','):
		d.space()
	default:
		if d.take('}') {
			d.end()
		}
		return false
	}
	return d.member()
}

func (d *document) end() {
	d.space()
	d.ended = len(d.rest) == 0
}

// member reads a name and goes past its colon.
func (d *document) member() bool {
	d.name = d.text()
	d.space()
	if !d.take(':') {
		d.fail()
	}
	d.space()
	return !d.failed
}

// text reads a text in which nothing is escaped.
func (d *document) text() []byte {
	if !d.take('"') {
		d.fail()
		return nil
	}
	i := bytes.IndexByte(d.rest, '"')
	if i < 0 || !plain(d.rest[:i]) {
		d.fail()
		return nil
	}
	s := d.rest[:i]
	d.rest = d.rest[i+1:]
	return s
}

// plain reports whether the bytes of a text stand for themselves.
func plain(s []byte) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	ascii := true
	for b := s; len(b) > 0; {
		w := uint64(ones) * 'a'
		if len(b) >= 8 {
			w, b = binary.LittleEndian.Uint64(b), b[8:]
		} else {
			for i, c := range b {
				w = w&^(0xff<<(8*i)) | uint64(c)<<(8*i)
			}
			b = nil
		}
		slash := w ^ ones*'\\'
		if ((w-ones*' ')&^w|(slash-ones)&^slash)&tops != 0 {
			return false
		}
		ascii = ascii && w&tops == 0
	}
	return ascii || utf8.Valid(s)
}

func (d *document) literal(s string) bool {
	if len(d.rest) < len(s) || string(d.rest[:len(s)]) != s {
		return false
	}
	d.rest = d.rest[len(s):]
	return true
}

func (d *document) truth() bool {
	if d.literal("true") {
		return true
	}
	if !d.literal("false") {
		d.fail()
	}
	return false
}

func takeID[T ~[16]byte](d *document, to *T) {
	id, err := ident.ParseBytes[T](d.text())
	if err != nil {
		d.fail()
	}
	*to = id
}

func (d *document) time() (t time.Time) {
	s := d.rest
	n := len(d.text())
	if d.failed || t.UnmarshalJSON(s[:n+2]) != nil {
		d.fail()
	}
	return t
}

// other goes past a value that nobody wants. Names are compared without case in JSON, as a last resort: one that is so like a
// wanted one is not simple.
func (d *document) other(wanted ...string) {
	for _, w := range wanted {
		if len(w) == len(d.name) && strings.EqualFold(w, string(d.name)) {
			d.fail()
		}
	}
	for _, c := range d.name {
		if c >= utf8.RuneSelf { // some letters beyond ASCII are like ASCII ones
			d.fail()
		}
	}
	d.skip(16)
}

// skip goes past any value, to a depth.
func (d *document) skip(depth int) {
	if len(d.rest) == 0 || depth == 0 {
		d.fail()
		return
	}
	switch c := d.rest[0]; {
	case c == '"':
		d.text()
	case c == '{':
		d.skipList('}', depth)
	case c == '[':
		d.skipList(']', depth)
	case c == '-' || '0' <= c && c <= '9':
		d.number()
	case !d.literal("true") && !d.literal("false") && !d.literal("null"):
		d.fail()
	}
}

// skipList goes past an object or an array.
func (d *document) skipList(end byte, depth int) {
	d.rest = d.rest[1:]
	d.space()
	if d.take(end) {
		return
	}
	for !d.failed {
		if d.space(); end == '}' {
			d.member()
		}
		d.skip(depth - 1)
		d.space()
		if d.failed || d.take(end) {
			return
		}
		if !d.take(',') {
			d.fail()
		}
	}
}

// number goes past a number: an integer without a zero in front; others are not simple.
func (d *document) number() {
	d.take('-')
	i := 0
	for i < len(d.rest) && '0' <= d.rest[i] && d.rest[i] <= '9' {
		i++
	}
	if i == 0 || i > 1 && d.rest[0] == '0' || i < len(d.rest) && strings.IndexByte(".eE", d.rest[i]) >= 0 {
		d.fail()
		return
	}
	d.rest = d.rest[i:]
}
