package store

import (
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/keyring"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/session"
)

func itoa(n int) string { return strconv.Itoa(n) }

// PutPassword sets the password hash (PHC form) of a user.
func (tx *Tx) PutPassword(user ident.ObjectID, hash string) error {
	_, err := tx.exec(`INSERT INTO passwords (id, hash) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET hash = excluded.hash`, user, hash)
	return err
}

// Password returns the password hash of a user.
func (tx *Tx) Password(user ident.ObjectID) (string, error) {
	texts, err := tx.texts("password", `SELECT hash FROM passwords WHERE id = $1`, user)
	if err != nil {
		return "", err
	}
	if len(texts) == 0 {
		return "", notFound("password", user.String())
	}
	return texts[0], nil
}

// PutAttempts keeps the wrong passwords in a row of an account; account is a hash of tenant and name.
func (tx *Tx) PutAttempts(account string, a proof.Attempts) error {
	return tx.put(feed.Private, "", a,
		`INSERT INTO sign_in_attempts (doc, account, last) VALUES ($1, $2, $3)
		 ON CONFLICT (account) DO UPDATE SET doc = excluded.doc, last = excluded.last`, account, stamp(a.Last))
}

// Attempts returns the wrong passwords in a row of an account; the zero Attempts if there are none.
func (tx *Tx) Attempts(account string) (proof.Attempts, error) {
	a, err := one[proof.Attempts](tx, "sign-in attempts", "", `SELECT doc FROM sign_in_attempts WHERE account = $1`, account)
	if IsNotFound(err) {
		return proof.Attempts{}, nil
	}
	return a, err
}

// DeleteAttempts forgets the wrong passwords of an account. Doing it twice is no error.
func (tx *Tx) DeleteAttempts(account string) error {
	_, err := tx.exec(`DELETE FROM sign_in_attempts WHERE account = $1`, account)
	return err
}

// PutSigningKey makes or replaces a signing key; sealed is its private half.
func (tx *Tx) PutSigningKey(k keyring.Public, sealed []byte) error {
	return tx.put(feed.SigningKey, k.KID, k,
		`INSERT INTO signing_keys (doc, kid, sealed) VALUES ($1, $2, $3)
		 ON CONFLICT (kid) DO UPDATE SET doc = excluded.doc, sealed = excluded.sealed`, k.KID, sealed)
}

// DeleteSigningKey removes a signing key.
func (tx *Tx) DeleteSigningKey(kid string) error {
	return tx.remove(feed.SigningKey, kid, `DELETE FROM signing_keys WHERE kid = $1`, kid)
}

// SigningKeys returns every signing key.
func (tx *Tx) SigningKeys() ([]keyring.Public, error) {
	return all[keyring.Public](tx, "signing key", `SELECT doc FROM signing_keys ORDER BY kid`)
}

// SealedSigningKey returns the sealed private half of a signing key.
func (tx *Tx) SealedSigningKey(kid string) ([]byte, error) {
	return tx.blob("signing key", kid, `SELECT sealed FROM signing_keys WHERE kid = $1`, kid)
}

// PutSession makes or replaces a session.
func (tx *Tx) PutSession(s session.Session) error {
	return tx.put(feed.Session, s.ID.String(), s,
		`INSERT INTO sessions (doc, id, user_id, expires_at) VALUES ($1, $2, $3, $4)
		 ON CONFLICT (id) DO UPDATE SET doc = excluded.doc, user_id = excluded.user_id, expires_at = excluded.expires_at`, s.ID, s.User, stamp(s.ExpiresAt))
}

// Session returns a session.
func (tx *Tx) Session(id ident.SessionID) (session.Session, error) {
	return one[session.Session](tx, "session", id.String(), `SELECT doc FROM sessions WHERE id = $1`, id)
}

// Sessions returns the sessions of a user.
func (tx *Tx) Sessions(user ident.ObjectID) ([]session.Session, error) {
	return all[session.Session](tx, "session", `SELECT doc FROM sessions WHERE user_id = $1 ORDER BY id`, user)
}

// PutRefreshToken makes or replaces a refresh token's record.
func (tx *Tx) PutRefreshToken(t session.RefreshToken) error {
	return tx.put(feed.Private, "", t,
		`INSERT INTO refresh_tokens (doc, token, session, expires_at) VALUES ($1, $2, $3, $4)
		 ON CONFLICT (token) DO UPDATE SET doc = excluded.doc, session = excluded.session, expires_at = excluded.expires_at`, t.Hash, t.Session, stamp(t.ExpiresAt))
}

// RefreshToken returns a refresh token's record by the token's hash.
func (tx *Tx) RefreshToken(hash string) (session.RefreshToken, error) {
	return one[session.RefreshToken](tx, "refresh token", "", `SELECT doc FROM refresh_tokens WHERE token = $1`, hash)
}

// PutDeviceCode makes or replaces a device sign-in. Conflict if its user code is taken.
func (tx *Tx) PutDeviceCode(c session.DeviceCode) error {
	return tx.put(feed.Private, "", c,
		`INSERT INTO device_codes (doc, code, user_code, expires_at) VALUES ($1, $2, $3, $4)
		 ON CONFLICT (code) DO UPDATE SET doc = excluded.doc, user_code = excluded.user_code, expires_at = excluded.expires_at`, c.Hash, c.UserCode, stamp(c.ExpiresAt))
}

// DeviceCode returns a device sign-in by the device code's hash.
func (tx *Tx) DeviceCode(hash string) (session.DeviceCode, error) {
	return one[session.DeviceCode](tx, "device code", "", `SELECT doc FROM device_codes WHERE code = $1`, hash)
}

// DeviceCodeByUserCode returns a device sign-in by its user code in canonical form.
func (tx *Tx) DeviceCodeByUserCode(code string) (session.DeviceCode, error) {
	return one[session.DeviceCode](tx, "device code", "", `SELECT doc FROM device_codes WHERE user_code = $1`, code)
}

// DeleteDeviceCode removes a device sign-in. NotFound if it was redeemed already.
func (tx *Tx) DeleteDeviceCode(hash string) error {
	return tx.remove(feed.Private, "", `DELETE FROM device_codes WHERE code = $1`, hash)
}

// DeleteExpired removes sessions, refresh tokens, device codes and certificate records that ended before a time, what was
// deleted so long before that it cannot be restored, and
// returns how many rows went. Sessions are kept for a day longer, so that a late token meets a clear answer.
func (tx *Tx) DeleteExpired(before time.Time) (int64, error) {
	var total int64
	for _, q := range []string{
		`DELETE FROM refresh_tokens WHERE expires_at < $1`,
		`DELETE FROM device_codes WHERE expires_at < $1`,
		`DELETE FROM gate_enrollments WHERE expires_at < $1`,
		`DELETE FROM authorization_codes WHERE expires_at < $1`,
		`DELETE FROM browsers WHERE expires_at < $1`,
	} {
		n, err := tx.exec(q, stamp(before))
		if err != nil {
			return total, err
		}
		total += n
	}
	n, err := tx.exec(`DELETE FROM sign_in_attempts WHERE last < $1`, stamp(before.Add(-proof.ForgetAfter)))
	if err != nil {
		return total, err
	}
	total += n
	if n, err = tx.purgeDeleted(before.Add(-directory.RestorableFor)); err != nil {
		return total, err
	}
	total += n
	for _, q := range []struct {
		kind  feed.Kind
		query string
	}{
		{feed.Session, `DELETE FROM sessions WHERE expires_at < $1 RETURNING id`},
		{feed.Certificate, `DELETE FROM certificates WHERE expires_at < $1 RETURNING fingerprint`},
	} {
		told := len(tx.events)
		if err := tx.removeAll(q.kind, "", q.query, stamp(before.Add(-24*time.Hour))); err != nil {
			return total, err
		}
		total += int64(len(tx.events) - told)
	}
	return total, nil
}

// Audit appends a record to the audit log, in the same commit as what it records.
func (tx *Tx) Audit(r audit.Record) error {
	if !tx.writable || tx.failed != nil {
		return tx.mark() // which says why not
	}
	doc, err := json.Marshal(r)
	if err != nil {
		return fault.Wrap(err, "store: audit")
	}
	tx.records = append(tx.records, auditRow{stamp(r.At), string(doc)})
	tx.wrote = true
	return nil
}

// auditRow is a record for the audit log, as it is written.
type auditRow struct {
	at  int64
	doc string
}

// AuditRecords returns the newest records, at most limit, newest first. It is for views.
func (tx *Tx) AuditRecords(limit int) ([]audit.Record, error) {
	if tx.batch != nil {
		return nil, fault.Wrap(errors.New("the audit log is read in a View: a write's records come with its batch"), "store: audit")
	}
	return all[audit.Record](tx, "audit record", `SELECT doc FROM audit ORDER BY seq DESC LIMIT $1`, limit)
}

// SetSetting keeps a named value of the installation.
func (tx *Tx) SetSetting(name, value string) error {
	_, err := tx.exec(`INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value`, name, value)
	return err
}

// Setting returns a named value, and whether it is set.
func (tx *Tx) Setting(name string) (string, bool, error) {
	texts, err := tx.texts("setting", `SELECT value FROM settings WHERE name = $1`, name)
	if err != nil || len(texts) == 0 {
		return "", false, err
	}
	return texts[0], true, nil
}

func (tx *Tx) blob(what, key, query string, args ...any) ([]byte, error) {
	rows, err := tx.query(query, args...)
	if err != nil {
		return nil, tx.engine.failed(err, "store: read %s", what)
	}
	defer func() { _ = rows.Close() }()
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return nil, tx.engine.failed(err, "store: read %s", what)
		}
		return nil, notFound(what, key)
	}
	var b []byte
	if err := rows.Scan(&b); err != nil {
		return nil, tx.engine.failed(err, "store: read %s", what)
	}
	return b, nil
}
