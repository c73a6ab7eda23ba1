package keyring

import (
	"encoding/json"
	"time"
)

// Public is the published half of a signing key, and the times that rule its life:
//
//	created ── published ──► active from ── signs ──► superseded ── verifies ──► retired
type Public struct {
	KID       string          `json:"kid"`
	Algorithm string          `json:"algorithm"` // RS256 or ES256
	JWK       json.RawMessage `json:"jwk"`       // RFC 7517, public members only
	CreatedAt time.Time       `json:"createdAt"`
	// ActiveFrom is when it starts to sign; it is published before, so that caches learn it.
	ActiveFrom time.Time `json:"activeFrom"`
	// RetiresAt is when it stops to verify; zero while it is not superseded.
	RetiresAt time.Time `json:"retiresAt"`
}
