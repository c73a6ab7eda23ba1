package store

import (
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/session"
)

// PutCode makes or replaces an authorization code.
func (tx *Tx) PutCode(c session.Code) error {
	return tx.put(feed.Private, "", c,
		`INSERT INTO authorization_codes (doc, code, session, expires_at) VALUES ($1, $2, $3, $4)
		 ON CONFLICT (code) DO UPDATE SET doc = excluded.doc, session = excluded.session, expires_at = excluded.expires_at`, c.Hash, c.Session, stamp(c.ExpiresAt))
}

// Code returns an authorization code by its hash.
func (tx *Tx) Code(hash string) (session.Code, error) {
	return one[session.Code](tx, "authorization code", "", `SELECT doc FROM authorization_codes WHERE code = $1`, hash)
}

// PutBrowser makes or replaces what a browser is remembered by.
func (tx *Tx) PutBrowser(b session.Browser) error {
	return tx.put(feed.Private, "", b,
		`INSERT INTO browsers (doc, cookie, expires_at) VALUES ($1, $2, $3)
		 ON CONFLICT (cookie) DO UPDATE SET doc = excluded.doc, expires_at = excluded.expires_at`, b.Hash, stamp(b.ExpiresAt))
}

// Browser returns what a browser is remembered by, by the hash of its cookie.
func (tx *Tx) Browser(hash string) (session.Browser, error) {
	return one[session.Browser](tx, "browser", "", `SELECT doc FROM browsers WHERE cookie = $1`, hash)
}

// DeleteBrowser forgets a browser. NotFound if it is not known.
func (tx *Tx) DeleteBrowser(hash string) error {
	return tx.remove(feed.Private, "", `DELETE FROM browsers WHERE cookie = $1`, hash)
}
