package session_test

import (
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/session"
)

// TestCodeVerifies uses the example of RFC 7636, appendix B.
func TestCodeVerifies(t *testing.T) {
	const verifier, challenge = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
	for _, row := range []struct {
		challenge, verifier string
		want                bool
	}{
		{challenge, verifier, true},
		{challenge, "", false},
		{challenge, challenge, false},
		{challenge, verifier + "x", false},
		{challenge, verifier[:42], false},
		{"", "", true},
		{"", verifier, false},
	} {
		if got := (session.Code{Challenge: row.challenge}).Verifies(row.verifier); got != row.want {
			t.Errorf("%q, %q: %t", row.challenge, row.verifier, got)
		}
	}
	for text, want := range map[string]bool{
		challenge: true, "": false, challenge + "=": false, challenge[:42]: false, verifier: false, strings.Repeat("A", 43): true, challenge[:42] + "N": false,
	} {
		if text == verifier {
			continue // 32 bytes as well: nobody can tell
		}
		if got := session.IsChallenge(text); got != want {
			t.Errorf("%q: %t", text, got)
		}
	}
}

func TestBrowser(t *testing.T) {
	now := time.Now()
	var b session.Browser
	users := make([]ident.ObjectID, 10)
	for i := range users {
		users[i] = ident.New[ident.ObjectID]()
		b = b.With("h", session.Account{User: users[i], SignedInAt: now}, now)
	}
	if len(b.Accounts) != 8 || b.Accounts[0].User != users[9] {
		t.Fatalf("%d accounts, the newest is not the first", len(b.Accounts))
	}
	b = b.With("h2", session.Account{User: users[5], SignedInAt: now}, now)
	if len(b.Accounts) != 8 || b.Accounts[0].User != users[5] || b.Hash != "h2" {
		t.Fatal("an account is there twice, or not at the front")
	}
	out := b.SignedOut(users[5])
	if a, _ := out.Account(users[5]); a.SignedIn(now) {
		t.Error("still signed in")
	}
	if a, _ := b.Account(users[5]); !a.SignedIn(now) || a.SignedIn(now.Add(session.BrowserLife)) {
		t.Error("signing out changed the value that it was asked of, or a sign-in never ends")
	}
	for _, a := range b.SignedOut(ident.ObjectID{}).Accounts {
		if a.SignedIn(now) {
			t.Error("somebody is still signed in")
		}
	}
}
