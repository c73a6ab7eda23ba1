// Package ident owns the identifiers of the system: GUIDs typed by what they name, and ARM resource ids.
//
// It parses, prints and makes them. It never looks anything up and knows nothing of storage or protocols.
package ident

import (
	"crypto/rand"
	"crypto/sha256"
	"database/sql/driver"
	"encoding/hex"
	"errors"
	"fmt"
)

// The kinds of object an ID may name. They exist only to keep one kind from being used as another.
type (
	tenantKind           struct{}
	objectKind           struct{}
	clientKind           struct{}
	subscriptionKind     struct{}
	roleDefinitionKind   struct{}
	roleAssignmentKind   struct{}
	denyAssignmentKind   struct{}
	clusterKind          struct{}
	sessionKind          struct{}
	operationKind        struct{}
	genericKind          struct{}
	credentialKind       struct{}
	directoryRoleKindTag struct{}
	permissionKind       struct{}
	grantKind            struct{}
)

// Typed identifiers. All are GUIDs in 8-4-4-4-12 lower-case text form.
type (
	// TenantID names a directory (tid).
	TenantID = ID[tenantKind]
	// ObjectID names a directory object: user, group, service principal, application (oid).
	ObjectID = ID[objectKind]
	// ClientID names an application by its appId, as a client or as a resource.
	ClientID = ID[clientKind]
	// SubscriptionID names a subscription.
	SubscriptionID = ID[subscriptionKind]
	// RoleDefinitionID names a role definition.
	RoleDefinitionID = ID[roleDefinitionKind]
	// RoleAssignmentID names a role assignment.
	RoleAssignmentID = ID[roleAssignmentKind]
	// DenyAssignmentID names a deny assignment.
	DenyAssignmentID = ID[denyAssignmentKind]
	// ClusterID names a managed cluster for as long as it lives; a cluster made again under the same
	// resource id has another one.
	ClusterID = ID[clusterKind]
	// SessionID names a sign-in session: every token that came from one sign-in carries it (sid).
	SessionID = ID[sessionKind]
	// OperationID names a long-running operation.
	OperationID = ID[operationKind]
	// CredentialID names a password or key credential (keyId).
	CredentialID = ID[credentialKind]
	// DirectoryRoleID names a directory role by its template id.
	DirectoryRoleID = ID[directoryRoleKindTag]
	// PermissionID names what an application offers: a delegated permission or an app role.
	PermissionID = ID[permissionKind]
	// GrantID names a consent or the assignment of an app role.
	GrantID = ID[grantKind]
	// GUID is an identifier of no particular kind, such as a trace id.
	GUID = ID[genericKind]
)

// ErrInvalid is the cause of every parse error of an ID.
var ErrInvalid = errors.New("not a GUID")

// ID is a 128-bit identifier of one kind. The zero ID names nothing.
type ID[K any] [16]byte

// New returns a fresh random ID (RFC 9562 version 4).
func New[T ~[16]byte]() T {
	var id T
	// crypto/rand.Read never returns an error.
	_, _ = rand.Read(id[:])
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}

// Derive returns the ID that name always has within space (RFC 9562 version 8: SHA-256, cut to 122 bits).
// It serves objects whose id must be the same on every run, such as first-party service principals.
func Derive[T ~[16]byte](space string, name ...string) T {
	h := sha256.New()
	fmt.Fprintf(h, "%d:%s", len(space), space)
	for _, n := range name {
		fmt.Fprintf(h, "%d:%s", len(n), n)
	}
	var id T
	copy(id[:], h.Sum(nil))
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id
}

// Parse reads the 36-character text form, in either letter case. Braces, URN prefixes and missing dashes are refused.
func Parse[T ~[16]byte](s string) (T, error) {
	var b [16]byte
	if !parse(&b, s) {
		return T{}, fmt.Errorf("%w: %q", ErrInvalid, cut(s))
	}
	return T(b), nil
}

// ParseBytes is Parse for text in bytes.
func ParseBytes[T ~[16]byte](s []byte) (T, error) {
	var b [16]byte
	if !parse(&b, s) {
		return T{}, fmt.Errorf("%w: %q", ErrInvalid, cut(string(s)))
	}
	return T(b), nil
}

// MustParse is Parse for constants; it panics on a bad one.
func MustParse[T ~[16]byte](s string) T {
	id, err := Parse[T](s)
	if err != nil {
		panic(err)
	}
	return id
}

// IsGUID reports whether s has the text form of an ID.
func IsGUID(s string) bool {
	var b [16]byte
	return parse(&b, s)
}

// The places of the 16 pairs of digits, and what a digit is worth; 255 for what is none.
const (
	places = "\x00\x02\x04\x06\x09\x0b\x0e\x10\x13\x15\x18\x1a\x1c\x1e\x20\x22"
	none16 = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
	none96 = none16 + none16 + none16 + none16 + none16 + none16
	digits = none16 + none16 + none16 +
		"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\xff\xff\xff\xff\xff\xff" +
		"\xff\x0a\x0b\x0c\x0d\x0e\x0f\xff\xff\xff\xff\xff\xff\xff\xff\xff" + none16 +
		"\xff\x0a\x0b\x0c\x0d\x0e\x0f\xff\xff\xff\xff\xff\xff\xff\xff\xff" + none16 +
		none96 + none16 + none16
)

func parse[S string | []byte](dst *[16]byte, s S) bool {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return false
	}
	bad := byte(0)
	for i := range dst {
		at := places[i]
		high, low := digits[s[at]], digits[s[at+1]]
		bad |= high | low
		dst[i] = high<<4 | low&15
	}
	return bad < 16
}

func cut(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}

// IsZero reports whether the ID names nothing.
func (id ID[K]) IsZero() bool { return id == ID[K]{} }

// String returns the lower-case text form.
func (id ID[K]) String() string {
	var b [36]byte
	return string(id.AppendText(b[:0]))
}

// AppendText appends the text form to b.
func (id ID[K]) AppendText(b []byte) []byte {
	b = hex.AppendEncode(b, id[0:4])
	b = append(b, '-')
	b = hex.AppendEncode(b, id[4:6])
	b = append(b, '-')
	b = hex.AppendEncode(b, id[6:8])
	b = append(b, '-')
	b = hex.AppendEncode(b, id[8:10])
	b = append(b, '-')
	return hex.AppendEncode(b, id[10:16])
}

// Compact returns the text form without dashes, as some ARM error texts print it.
func (id ID[K]) Compact() string { return hex.EncodeToString(id[:]) }

// MarshalText makes IDs strings in JSON; the zero ID is the empty string.
func (id ID[K]) MarshalText() ([]byte, error) {
	if id.IsZero() {
		return []byte{}, nil
	}
	return id.AppendText(nil), nil
}

// UnmarshalText reads what MarshalText wrote.
func (id *ID[K]) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*id = ID[K]{}
		return nil
	}
	v, err := ParseBytes[ID[K]](b)
	if err != nil {
		return err
	}
	*id = v
	return nil
}

// Value stores an ID in a database as its text form.
func (id ID[K]) Value() (driver.Value, error) {
	if id.IsZero() {
		return nil, nil
	}
	return id.String(), nil
}

// Scan reads what Value stored.
func (id *ID[K]) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*id = ID[K]{}
		return nil
	case string:
		return id.UnmarshalText([]byte(v))
	case []byte:
		return id.UnmarshalText(v)
	}
	return fmt.Errorf("%w: column of type %T", ErrInvalid, src)
}
