package storetest

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/keyring"
	"github.com/keyreeve/keyreeve/internal/pki"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/session"
	"github.com/keyreeve/keyreeve/internal/store"
)

func signInCases() []methodCase {
	return []methodCase{
		{"passwords", "PutPassword Password", passwords},
		{"sign-in attempts", "PutAttempts Attempts DeleteAttempts", attempts},
		{"signing keys", "PutSigningKey SigningKeys SealedSigningKey DeleteSigningKey", signingKeys},
		{"sessions", "PutSession Session Sessions", sessions},
		{"refresh tokens", "PutRefreshToken RefreshToken", refreshTokens},
		{"device codes", "PutDeviceCode DeviceCode DeviceCodeByUserCode DeleteDeviceCode", deviceCodes},
		{"authorization codes", "PutCode Code", authorizationCodes},
		{"browsers", "PutBrowser Browser DeleteBrowser", browsers},
		{"what expired goes", "DeleteExpired", expiry},
		{"audit", "Audit AuditRecords", auditRecords},
		{"settings", "SetSetting Setting", settings},
	}
}

func passwords(t *testing.T, b *bench) {
	life(b, "first", "second", func(tx *store.Tx, h string) error { return tx.PutPassword(oid("u"), h) },
		func(tx *store.Tx) (string, error) { return tx.Password(oid("u")) }, nil)
}

func attempts(t *testing.T, b *bench) {
	get := func(tx *store.Tx) (proof.Attempts, error) { return tx.Attempts("account") }
	has(b, get, proof.Attempts{})
	for n := range 2 {
		a := proof.Attempts{Failures: n + 1, Last: zoned()}
		b.update(func(tx *store.Tx) error { return tx.PutAttempts("account", a) })
		has(b, get, a)
	}
	b.update(func(tx *store.Tx) error { return tx.DeleteAttempts("account") })
	has(b, get, proof.Attempts{})
	b.update(func(tx *store.Tx) error { return tx.DeleteAttempts("account") })
}

func signingKeys(t *testing.T, b *bench) {
	k := keyring.Public{KID: "kid", Algorithm: "RS256", JWK: []byte(`{"kty":"RSA"}`), CreatedAt: zoned()}
	sealed := func(tx *store.Tx) ([]byte, error) { return tx.SealedSigningKey("kid") }
	lacks(b, sealed)
	has(b, (*store.Tx).SigningKeys, nil)
	private := []byte{0, 1, 0xff, 0}
	rev := b.update(func(tx *store.Tx) error { return tx.PutSigningKey(k, private) })
	has(b, sealed, private)
	if events := b.events(rev); len(events) != 1 || strings.Contains(string(events[0].Value), "sealed") {
		t.Errorf("told %v", events)
	}
	k.RetiresAt, private = zoned(), []byte{2}
	other := keyring.Public{KID: "KID"} // key ids have case
	b.update(func(tx *store.Tx) error {
		return firstError(tx.PutSigningKey(k, private), tx.PutSigningKey(other, private))
	})
	has(b, sealed, private)
	other.JWK = []byte("null")
	has(b, (*store.Tx).SigningKeys, []keyring.Public{other, k})
	b.update(func(tx *store.Tx) error { return tx.DeleteSigningKey("kid") })
	lacks(b, sealed)
	b.refused(fault.NotFound, func(tx *store.Tx) error { return tx.DeleteSigningKey("kid") })
}

func aSession(name, user string) session.Session {
	return session.Session{ID: ident.Derive[ident.SessionID]("storetest", name), User: oid(user), Methods: []string{"pwd"}, CreatedAt: zoned(), ExpiresAt: zoned().Add(time.Hour)}
}

func sessions(t *testing.T, b *bench) {
	s := aSession("s", "u")
	changed := s
	changed.User, changed.RevokedAt, changed.Reason = oid("v"), zoned(), "why"
	life(b, s, changed, (*store.Tx).PutSession, func(tx *store.Tx) (session.Session, error) { return tx.Session(s.ID) }, nil)
	of := func(user string) func(*store.Tx) ([]session.Session, error) {
		return func(tx *store.Tx) ([]session.Session, error) { return tx.Sessions(oid(user)) }
	}
	has(b, of("u"), []session.Session{s})
	b.update(func(tx *store.Tx) error { return tx.PutSession(changed) })
	has(b, of("u"), nil)
	has(b, of("v"), []session.Session{changed})
}

func refreshTokens(t *testing.T, b *bench) {
	s := aSession("s", "u")
	r := session.RefreshToken{Hash: "Hash", Session: s.ID, User: s.User, CreatedAt: zoned(), ExpiresAt: zoned()}
	used := r
	used.FirstUsedAt = zoned().Add(time.Nanosecond)
	b.refused(fault.Internal, func(tx *store.Tx) error { return tx.PutRefreshToken(r) }) // no token without its session
	b.update(func(tx *store.Tx) error { return tx.PutSession(s) })
	life(b, r, used, (*store.Tx).PutRefreshToken, func(tx *store.Tx) (session.RefreshToken, error) { return tx.RefreshToken("Hash") }, nil)
	lacks(b, func(tx *store.Tx) (session.RefreshToken, error) { return tx.RefreshToken("hash") }) // hashes have case
}

func deviceCodes(t *testing.T, b *bench) {
	c := session.DeviceCode{Hash: "h", UserCode: "ABC", State: session.DevicePending, CreatedAt: zoned(), ExpiresAt: zoned()}
	changed := c
	changed.UserCode, changed.State, changed.User = "XYZ", session.DeviceApproved, oid("u")
	life(b, c, changed, (*store.Tx).PutDeviceCode, func(tx *store.Tx) (session.DeviceCode, error) { return tx.DeviceCode("h") },
		func(tx *store.Tx) error { return tx.DeleteDeviceCode("h") })
	byUser := func(code string) func(*store.Tx) (session.DeviceCode, error) {
		return func(tx *store.Tx) (session.DeviceCode, error) { return tx.DeviceCodeByUserCode(code) }
	}
	b.update(func(tx *store.Tx) error { return tx.PutDeviceCode(c) })
	has(b, byUser("ABC"), c)
	b.update(func(tx *store.Tx) error { return tx.PutDeviceCode(changed) })
	lacks(b, byUser("ABC"))
	has(b, byUser("XYZ"), changed)
	second := changed
	second.Hash = "other"
	b.refused(fault.Conflict, func(tx *store.Tx) error { return tx.PutDeviceCode(second) })
	// A conflict leaves the transaction good: a new code can be tried in it.
	b.update(func(tx *store.Tx) error {
		checkFault(t, tx.PutDeviceCode(second), fault.Conflict)
		second.UserCode = "NEW"
		return tx.PutDeviceCode(second)
	})
	has(b, byUser("NEW"), second)
}

func expiry(t *testing.T, b *bench) {
	now := zoned()
	live, dead, late := aSession("live", "u"), aSession("dead", "u"), aSession("late", "u")
	live.ExpiresAt, late.ExpiresAt, dead.ExpiresAt = now, now.Add(-24*time.Hour), now.Add(-24*time.Hour-1)
	cert := func(name string, end time.Time) pki.Issued {
		return pki.Issued{Fingerprint: name, Cluster: ident.Derive[ident.ClusterID]("storetest", "c"), NotAfter: end}
	}
	b.update(func(tx *store.Tx) error {
		return firstError(
			tx.PutSession(live), tx.PutSession(late), tx.PutSession(dead),
			tx.PutRefreshToken(session.RefreshToken{Hash: "live", Session: live.ID, ExpiresAt: now}),
			tx.PutRefreshToken(session.RefreshToken{Hash: "dead", Session: live.ID, ExpiresAt: now.Add(-1)}),
			tx.PutRefreshToken(session.RefreshToken{Hash: "of the dead", Session: dead.ID, ExpiresAt: now.Add(time.Hour)}),
			tx.PutDeviceCode(session.DeviceCode{Hash: "live", UserCode: "1", ExpiresAt: now.AddDate(7000, 0, 0)}), // past what a stamp holds
			tx.PutDeviceCode(session.DeviceCode{Hash: "dead", UserCode: "2", ExpiresAt: now.Add(-1)}),
			tx.PutDeviceCode(session.DeviceCode{Hash: "ancient", UserCode: "3", ExpiresAt: time.Date(1, 2, 3, 0, 0, 0, 0, time.UTC)}),
			tx.PutCertificate(cert("live", now)), tx.PutCertificate(cert("dead", now.Add(-25*time.Hour))),
			tx.PutAttempts("live", proof.Attempts{Last: now}), tx.PutAttempts("dead", proof.Attempts{Failures: 1, Last: now.Add(-proof.ForgetAfter - 1)}),
		)
	})
	rev := b.update(func(tx *store.Tx) error {
		n, err := tx.DeleteExpired(now)
		if n != 6 {
			t.Errorf("%d rows went, want 6", n)
		}
		return err
	})
	b.told(rev, "delete session "+dead.ID.String(), "delete certificate dead")
	has(b, func(tx *store.Tx) (session.Session, error) { return tx.Session(late.ID) }, late)
	lacks(b, func(tx *store.Tx) (session.Session, error) { return tx.Session(dead.ID) })
	lacks(b, func(tx *store.Tx) (session.RefreshToken, error) { return tx.RefreshToken("dead") })
	lacks(b, func(tx *store.Tx) (session.RefreshToken, error) { return tx.RefreshToken("of the dead") })
	lacks(b, func(tx *store.Tx) (session.DeviceCode, error) { return tx.DeviceCode("dead") })
	lacks(b, func(tx *store.Tx) (session.DeviceCode, error) { return tx.DeviceCode("ancient") })
	lacks(b, func(tx *store.Tx) (pki.Issued, error) { return tx.Certificate("dead") })
	has(b, func(tx *store.Tx) (string, error) {
		_, err1 := tx.RefreshToken("live")
		_, err2 := tx.DeviceCode("live")
		_, err3 := tx.Certificate("live")
		return "", firstError(err1, err2, err3)
	}, "")
	if again := b.update(func(tx *store.Tx) error { _, err := tx.DeleteExpired(now); return err }); again != rev {
		t.Errorf("finding nothing took revision %d", again)
	}
}

func auditRecords(t *testing.T, b *bench) {
	record := func(n int) audit.Record {
		return audit.Record{At: zoned().Add(-time.Duration(n) * time.Hour), Event: audit.SignIn, Tenant: b.tenant, Actor: oid("u"), Detail: map[string]string{"n": strings.Repeat("x", n)}}
	}
	for n := range 4 {
		b.update(func(tx *store.Tx) error { return tx.Audit(record(n)) })
	}
	// The newest is what was written last, whatever time it bears.
	has(b, func(tx *store.Tx) ([]audit.Record, error) { return tx.AuditRecords(2) }, []audit.Record{record(3), record(2)})
	has(b, func(tx *store.Tx) (int, error) { rs, err := tx.AuditRecords(100); return len(rs), err }, 4)
	b.refused(fault.NotFound, func(tx *store.Tx) error {
		return firstError(tx.Audit(record(9)), tx.DeleteUser(oid("nobody"))) // what is not done is not recorded
	})
	has(b, func(tx *store.Tx) (int, error) { rs, err := tx.AuditRecords(100); return len(rs), err }, 4)
}

func settings(t *testing.T, b *bench) {
	get := func(tx *store.Tx) ([]any, error) { v, ok, err := tx.Setting("Name"); return []any{v, ok}, err }
	has(b, get, []any{"", false})
	for _, v := range []string{"first", "", "é\n"} {
		b.update(func(tx *store.Tx) error { return tx.SetSetting("Name", v) })
		has(b, get, []any{v, true})
	}
	b.view(func(tx *store.Tx) error {
		_, ok, err := tx.Setting("name")
		if diff := cmp.Diff(false, ok); diff != "" {
			t.Error(diff)
		}
		return err
	})
}

func authorizationCodes(t *testing.T, b *bench) {
	s := aSession("s", "u")
	b.update(func(tx *store.Tx) error { return tx.PutSession(s) })
	c := session.Code{Hash: "Hash", Session: s.ID, User: s.User, CreatedAt: zoned(), ExpiresAt: zoned()}
	used := c
	used.RedeemedAt = zoned()
	life(b, c, used, (*store.Tx).PutCode, func(tx *store.Tx) (session.Code, error) { return tx.Code("Hash") }, nil)
	lacks(b, func(tx *store.Tx) (session.Code, error) { return tx.Code("hash") }) // hashes have case
}

func browsers(t *testing.T, b *bench) {
	v := session.Browser{Hash: "Hash", CreatedAt: zoned(), ExpiresAt: zoned(), Accounts: []session.Account{{User: oid("u"), SignedInAt: zoned(), Methods: []string{"pwd"}}}}
	changed := v.SignedOut(oid("u"))
	life(b, v, changed, (*store.Tx).PutBrowser, func(tx *store.Tx) (session.Browser, error) { return tx.Browser("Hash") },
		func(tx *store.Tx) error { return tx.DeleteBrowser("Hash") })
}
