// Package session owns sign-in sessions: what one sign-in proved, when it ends, and how its refresh tokens follow one another.
//
// It is pure; the store keeps sessions and the world tells the gate which have ended.
package session

import (
	"time"

	"github.com/keyreeve/keyreeve/internal/ident"
)

// Session is one sign-in of one user at one client. Every token that comes from it names it.
type Session struct {
	ID     ident.SessionID `json:"id"`
	Tenant ident.TenantID  `json:"tenant"`
	User   ident.ObjectID  `json:"user"`
	Client ident.ClientID  `json:"client"`
	// Methods are the authentication methods that were used (RFC 8176 amr values).
	Methods   []string  `json:"methods,omitempty"`
	CreatedAt time.Time `json:"createdAt"`
	ExpiresAt time.Time `json:"expiresAt"`
	// RevokedAt is zero while the session may be used.
	RevokedAt time.Time `json:"revokedAt"`
	// Reason says why it was revoked.
	Reason string `json:"reason,omitempty"`
}

// Live reports whether the session may still be used at now.
func (s Session) Live(now time.Time) bool {
	return s.RevokedAt.IsZero() && now.Before(s.ExpiresAt)
}
