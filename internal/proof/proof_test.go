package proof_test

import (
	"context"
	"encoding/base64"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"
	"pgregory.net/rapid"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/proof"
)

func cheap() proof.Params { return proof.Params{MemoryKiB: 64, Passes: 1, Lanes: 1} }

func hasher(t testing.TB, p proof.Params) *proof.Hasher {
	t.Helper()
	h, err := proof.NewHasher(p, 2)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestPasswords(t *testing.T) {
	h := hasher(t, cheap())
	hash, err := h.Hash(t.Context(), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	again, err := h.Hash(t.Context(), "correct horse")
	if err != nil || hash == again {
		t.Fatal("two hashes of one password are the same: no salt", err)
	}
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=64,t=1,p=1$") || strings.Contains(hash, "horse") {
		t.Errorf("hash %s", hash)
	}
	for _, row := range []struct {
		name, hash, password string
		ok                   bool
	}{
		{"right", hash, "correct horse", true},
		{"wrong", hash, "correct horsE", false},
		{"longer", hash, "correct horse ", false},
		{"empty", hash, "", false},
		{"nobody's", "", "", false},
		{"far too long", hash, strings.Repeat("a", 10_000), false},
	} {
		if ok, stale, err := h.Verify(t.Context(), row.hash, row.password); err != nil || ok != row.ok || stale {
			t.Errorf("%s: %v, %v, %v", row.name, ok, stale, err)
		}
	}
	if ok, stale, err := hasher(t, proof.Params{MemoryKiB: 128, Passes: 1, Lanes: 1}).Verify(t.Context(), hash, "correct horse"); err != nil || !ok || !stale {
		t.Error("a hash with yesterday's costs must match and be called stale")
	}
	if _, err := h.Hash(t.Context(), strings.Repeat("a", proof.MaxPassword+1)); !fault.Is(err, fault.Invalid) {
		t.Errorf("a password that is too long: %v", err)
	}
}

// TestKnownHash holds our reading of the PHC form against argon2's own function.
func TestKnownHash(t *testing.T) {
	const hash = "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$"
	key := argon2.IDKey([]byte("password"), []byte("somesaltsomesalt"), 1, 64, 1, 32)
	text := hash + strings.TrimRight(b64(key), "=")
	if ok, _, err := hasher(t, cheap()).Verify(t.Context(), text, "password"); err != nil || !ok {
		t.Error(ok, err)
	}
}

func TestDamagedHashes(t *testing.T) {
	h := hasher(t, cheap())
	good, err := h.Hash(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{
		"x", "$", strings.Replace(good, "argon2id", "argon2i", 1), strings.Replace(good, "v=19", "v=16", 1),
		strings.Replace(good, "m=64", "m=4294967295", 1), strings.Replace(good, "m=64", "m=+64", 1), strings.Replace(good, "t=1", "t=0", 1),
		strings.Replace(good, "p=1", "p=0", 1), strings.Replace(good, "p=1", "p=256", 1), good[:len(good)-4], good + "$", good + "!",
	} {
		if ok, _, err := h.Verify(t.Context(), bad, "x"); err == nil || ok {
			t.Errorf("%q: %v", bad, ok)
		}
	}
}

func TestHasherIsBounded(t *testing.T) {
	h, err := proof.NewHasher(proof.Params{MemoryKiB: 64 << 10, Passes: 3, Lanes: 1}, 1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	refused := make(chan error, 8)
	for range 8 {
		wg.Go(func() {
			_, _, err := h.Verify(ctx, "", "x")
			if err != nil {
				refused <- err
			}
		})
	}
	cancel() // those that wait for their turn give up
	wg.Wait()
	close(refused)
	for err := range refused {
		if !fault.Is(err, fault.Unavailable) {
			t.Error(err)
		}
	}
	if _, err := proof.NewHasher(proof.Params{}, 1); err == nil {
		t.Error("a hasher without costs was made")
	}
}

func TestCheckNew(t *testing.T) {
	for password, ok := range map[string]bool{
		"12345678": true, "correct horse battery": true, "pässwört": true, "1234567": false, "": false, "aaaaaaaaaaaa": false,
		"alice@contoso.test": false, "ALICE@contoso.test": false, strings.Repeat("ab", 200): false,
	} {
		if err := proof.CheckNew(password, "alice@contoso.test"); (err == nil) != ok {
			t.Errorf("%q: %v", password, err)
		}
	}
	if err := proof.CheckNew("alexandra", "alexandra@contoso.test"); err == nil {
		t.Error("the user's name is no password")
	}
}

func TestGenerated(t *testing.T) {
	seen := map[string]bool{}
	for range 200 {
		p := proof.NewPassword()
		if len(p) != 29 || strings.ContainsAny(p, "l1IO0io ") || seen[p] || proof.CheckNew(p, "admin@x.test") != nil {
			t.Fatalf("password %q", p)
		}
		seen[p] = true
		code := proof.NewUserCode()
		if back, ok := proof.ParseUserCode(proof.ShowUserCode(code)); !ok || back != code || seen[code] {
			t.Fatalf("user code %q", code)
		}
		seen[code] = true
	}
}

func TestClientSecrets(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	app := ident.New[ident.ClientID]()
	secret, record := proof.NewClientSecret(app, "ci", now, time.Hour)
	_, other := proof.NewClientSecret(app, "old", now.Add(-2*time.Hour), time.Hour)
	records := []proof.ClientSecret{other, record}
	if len(secret) != 40 || record.Hint != secret[:3] || strings.Contains(record.Hash, secret) {
		t.Errorf("secret %q, record %+v", secret, record)
	}
	for _, row := range []struct {
		name, secret string
		at           time.Time
		want         proof.SecretState
	}{
		{"good", secret, now, proof.SecretGood},
		{"good to the end", secret, now.Add(time.Hour - 1), proof.SecretGood},
		{"over", secret, now.Add(time.Hour), proof.SecretExpired},
		{"not yet", secret, now.Add(-1), proof.SecretWrong},
		{"wrong", secret + "x", now, proof.SecretWrong},
		{"its hash", record.Hash, now, proof.SecretWrong},
		{"empty", "", now, proof.SecretWrong},
	} {
		if got := proof.CheckSecret(records, row.secret, row.at); got != row.want {
			t.Errorf("%s: %v, want %v", row.name, got, row.want)
		}
	}
}

func TestAttempts(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var a proof.Attempts
	for range 9 {
		if a = a.Failed(now); a.Locked(now) {
			t.Fatal("locked too early")
		}
	}
	for _, minutes := range []int{1, 2, 4, 8, 16, 32, 60, 60} {
		a = a.Failed(now)
		lock := time.Duration(minutes) * time.Minute
		if !a.Locked(now.Add(lock-1)) || a.Locked(now.Add(lock)) {
			t.Fatalf("after %d failures it is locked until %s, want %s", a.Failures, a.LockedUntil.Sub(now), lock)
		}
		now = now.Add(lock)
	}
	if a = a.Failed(now.Add(proof.ForgetAfter)); a.Failures != 1 || a.Locked(now.Add(proof.ForgetAfter)) {
		t.Error("a day of peace must forget the failures")
	}
}

// FuzzUserCode: what is read is canonical, and reading what was shown, however it is typed, gives it back.
func FuzzUserCode(f *testing.F) {
	for _, seed := range []string{"WDJB-MJHT", "wdjb mjht", "WDJBMJHT", "wdjb—mjht", "AEIOU", "", "WDJB-MJHTX", "ＷＤＪＢ"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		code, ok := proof.ParseUserCode(typed)
		if !ok {
			return
		}
		if len(code) != 8 || strings.Trim(code, "BCDFGHJKLMNPQRSTVWXZ") != "" {
			t.Fatalf("%q was read as %q", typed, code)
		}
		letters := strings.Map(func(r rune) rune {
			if r >= 'A' && r <= 'Z' {
				return r
			}
			return -1
		}, strings.ToUpper(typed))
		if letters != code {
			t.Fatalf("%q was read as %q", typed, code)
		}
		for _, shown := range []string{proof.ShowUserCode(code), strings.ToLower(code), " " + code + " "} {
			if back, ok := proof.ParseUserCode(shown); !ok || back != code {
				t.Fatalf("%q shown as %q is read as %q", code, shown, back)
			}
		}
	})
}

// FuzzHash: reading a hash never panics or asks for much, and what matches is a hash that we could have written.
func FuzzHash(f *testing.F) {
	h := hasher(f, cheap())
	good, err := h.Hash(f.Context(), "x")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add("$argon2id$v=19$m=64,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAA")
	f.Fuzz(func(t *testing.T, hash string) {
		if strings.Contains(hash, "m=") && !strings.Contains(hash, "m=64,t=1,p=1") {
			return // costs of its own: slow, and nothing new
		}
		ok, _, err := h.Verify(t.Context(), hash, "x")
		if ok && (err != nil || !strings.HasPrefix(hash, "$argon2id$v=19$m=64,t=1,p=1$")) {
			t.Fatalf("%q matches", hash)
		}
	})
}

func TestUserCodesAreEven(t *testing.T) {
	counts := map[rune]int{}
	for range 4000 {
		for _, r := range proof.NewUserCode() {
			counts[r]++
		}
	}
	for r, n := range counts { // 32,000 letters, 1,600 each; eight standard deviations
		if n < 1280 || n > 1920 {
			t.Errorf("%c comes %d times", r, n)
		}
	}
	if len(counts) != 20 {
		t.Errorf("%d letters are used", len(counts))
	}
}

func TestRandomPasswordsVerify(t *testing.T) {
	h := hasher(t, proof.Params{MemoryKiB: 8, Passes: 1, Lanes: 1})
	rapid.Check(t, func(rt *rapid.T) {
		a, b := rapid.StringN(0, -1, 64).Draw(rt, "a"), rapid.StringN(0, -1, 64).Draw(rt, "b")
		hash, err := h.Hash(t.Context(), a)
		if err != nil {
			rt.Fatal(err)
		}
		if ok, _, err := h.Verify(t.Context(), hash, b); err != nil || ok != (a == b) {
			rt.Fatalf("%q against %q: %v, %v", a, b, ok, err)
		}
	})
}

func BenchmarkVerifyPassword(b *testing.B) {
	h := hasher(b, proof.DefaultParams())
	for b.Loop() {
		if _, _, err := h.Verify(b.Context(), "", "x"); err != nil {
			b.Fatal(err)
		}
	}
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
