package proof

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/ident"
)

// ClientSecret is a password credential of an application (passwordCredential). The secret itself is shown once.
type ClientSecret struct {
	ID ident.CredentialID `json:"id"` // keyId
	// Owner is the object that has it: the application, or a service principal, whose secrets count in its own tenant
	// only. Zero is the application.
	Owner       ident.ObjectID `json:"owner,omitzero"`
	AppID       ident.ClientID `json:"appId"`
	DisplayName string         `json:"displayName,omitempty"`
	Hint        string         `json:"hint"` // its first three characters
	// Hash is the hex SHA-256 of the secret: it is random, so a slow hash would add nothing.
	Hash    string    `json:"hash"`
	StartAt time.Time `json:"startAt"`
	EndAt   time.Time `json:"endAt"`
}

// secretAlphabet is that of Entra's client secrets, without characters that shells and URLs treat specially.
const secretAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-."

// NewClientSecret makes a client secret of 40 characters (240 bits) that is good from now for life. The record goes
// to the store; the secret itself is shown once and kept nowhere.
func NewClientSecret(app ident.ClientID, displayName string, now time.Time, life time.Duration) (secret string, record ClientSecret) {
	// The first and last character are letters, so that no shell, flag parser or trimming reader damages it.
	secret = randomText(secretAlphabet[:52], 1) + randomText(secretAlphabet, 38) + randomText(secretAlphabet[:52], 1)
	return secret, ClientSecret{
		ID: ident.New[ident.CredentialID](), AppID: app, DisplayName: displayName, Hint: secret[:3], Hash: HashToken(secret),
		StartAt: now.UTC(), EndAt: now.UTC().Add(life),
	}
}

// HashToken returns the hex SHA-256 of a random secret, the form in which it is kept.
func HashToken(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// SecretState says what presenting a client secret means.
type SecretState int

// The states.
const (
	SecretWrong SecretState = iota
	SecretExpired
	SecretGood
)

// CheckSecret compares a presented secret with all of an application's, each in constant time.
func CheckSecret(records []ClientSecret, presented string, now time.Time) SecretState {
	hash := []byte(HashToken(presented))
	state := SecretWrong
	for _, r := range records {
		if subtle.ConstantTimeCompare(hash, []byte(r.Hash)) != 1 || now.Before(r.StartAt) {
			continue
		}
		if now.Before(r.EndAt) {
			return SecretGood
		}
		state = SecretExpired
	}
	return state
}

// NewToken returns an opaque token of 256 random bits behind a prefix that tells secret scanners whose it is.
func NewToken(prefix string) string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return prefix + base64.RawURLEncoding.EncodeToString(b[:])
}

// userCodeAlphabet has neither vowels, so that no words appear, nor digits (RFC 8628 6.1).
const userCodeAlphabet = "BCDFGHJKLMNPQRSTVWXZ"

// userCodeSize makes 20^8 codes, 34.6 bits: enough for 15 minutes behind a limit on guesses (RFC 8628 5.1).
const userCodeSize = 8

// NewUserCode returns a fresh user code in canonical form, such as WDJBMJHT.
func NewUserCode() string { return randomText(userCodeAlphabet, userCodeSize) }

// ShowUserCode returns a canonical user code as people read it: WDJB-MJHT.
func ShowUserCode(code string) string {
	if len(code) != userCodeSize {
		return code
	}
	return code[:userCodeSize/2] + "-" + code[userCodeSize/2:]
}

// ParseUserCode returns the canonical form of a typed user code: case, dashes and spaces do not count.
func ParseUserCode(typed string) (string, bool) {
	if len(typed) > 64 {
		return "", false
	}
	var b strings.Builder
	for _, r := range strings.ToUpper(typed) {
		switch {
		case r == '-' || r == ' ' || r == '\u2010' || r == '\u2011' || r == '\u2013' || r == '\u00a0':
		case r < 0x80 && strings.ContainsRune(userCodeAlphabet, r):
			b.WriteRune(r)
		default:
			return "", false
		}
	}
	return b.String(), b.Len() == userCodeSize
}
