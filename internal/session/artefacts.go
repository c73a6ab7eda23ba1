package session

import (
	"time"

	"github.com/keyreeve/keyreeve/internal/ident"
)

// RefreshToken is one link in the chain of a session's refresh tokens (RFC 9700 4.14.2: rotation with reuse detection).
type RefreshToken struct {
	// Hash is the hex SHA-256 of the token; the token itself is never kept.
	Hash    string          `json:"hash"`
	Session ident.SessionID `json:"session"`
	Client  ident.ClientID  `json:"client"`
	User    ident.ObjectID  `json:"user"`
	// Public says that it was given to a client that keeps no secret, though the application may have one elsewhere.
	Public bool `json:"public,omitempty"`
	// Scope is what it was asked for with: what a request means that does not say (RFC 6749 6).
	Scope string `json:"scope,omitempty"`
	// HomeTenant is the tenant of the user; the token may be redeemed at any tenant the user is in.
	HomeTenant ident.TenantID `json:"homeTenant"`
	CreatedAt  time.Time      `json:"createdAt"`
	ExpiresAt  time.Time      `json:"expiresAt"`
	// FirstUsedAt is when it was first redeemed; zero while it is fresh.
	FirstUsedAt time.Time `json:"firstUsedAt"`
}

// DeviceState says how far a device sign-in has come (RFC 8628).
type DeviceState string

// The states of a device sign-in.
const (
	DevicePending  DeviceState = "pending"
	DeviceApproved DeviceState = "approved"
	DeviceDeclined DeviceState = "declined"
)

// DeviceCode is a device sign-in under way. Redeeming deletes it: a code is used once.
type DeviceCode struct {
	// Hash is the hex SHA-256 of the device code.
	Hash string `json:"hash"`
	// UserCode as the person types it, in its canonical form: upper case, no dash.
	UserCode string         `json:"userCode"`
	Client   ident.ClientID `json:"client"`
	// TenantHint is the tenant segment of the request: a tenant id, or zero for organizations and common.
	TenantHint ident.TenantID `json:"tenantHint"`
	// Scope as requested at the start; the poll need not repeat it.
	Scope string `json:"scope"`
	V1    bool   `json:"v1,omitempty"` // started at the v1 endpoint, with a resource
	// ResourceName is what the scope is for, in words for the person who approves.
	ResourceName string      `json:"resourceName,omitempty"`
	State        DeviceState `json:"state"`
	CreatedAt    time.Time   `json:"createdAt"`
	ExpiresAt    time.Time   `json:"expiresAt"`
	// User and Session are set when a person approves.
	User    ident.ObjectID  `json:"user"`
	Session ident.SessionID `json:"session"`
	// RemoteAddr is where the start came from; shown to the person who approves.
	RemoteAddr string `json:"remoteAddr,omitempty"`
}

// ReuseGrace is how long after its first use a refresh token may be redeemed again: processes that share a cache race,
// and an answer can be lost on the way. Later it is a sign of theft.
const ReuseGrace = time.Minute

// Reused reports whether redeeming the token at now is a reuse that ends its session.
func (t RefreshToken) Reused(now time.Time) bool {
	return !t.FirstUsedAt.IsZero() && now.Sub(t.FirstUsedAt) > ReuseGrace
}
