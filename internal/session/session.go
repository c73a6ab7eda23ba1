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

// Life is how long a session and its refresh tokens live without being used; each use begins it anew.
const Life = 90 * 24 * time.Hour

// extendStep keeps a busy session from being written at each use.
const extendStep = 24 * time.Hour

// Used returns the session after a use at now, and whether that changed it.
func (s Session) Used(now time.Time) (Session, bool) {
	end := now.UTC().Add(Life)
	if end.Sub(s.ExpiresAt) < extendStep {
		return s, false
	}
	s.ExpiresAt = end
	return s, true
}

// Revoke returns the session ended at now. One that has ended keeps its first end and reason.
func (s Session) Revoke(now time.Time, reason string) Session {
	if s.RevokedAt.IsZero() {
		s.RevokedAt, s.Reason = now.UTC(), reason
	}
	return s
}
