package tokencache

import (
	"testing"
	"time"
)

// TestParked: accounts are set aside and taken back with their sessions, and belong to the identity that they were signed in as.
func TestParked(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir)
	a, b := c.Find([]byte("a"), true), c.Find([]byte("b"), true)
	put := func(e Entry, token string) {
		e.PutToken(Token{Access: token, Expires: time.Now().Add(time.Hour).Round(0).UTC()})
		e.PutSession([]byte("session of " + token))
	}
	want := func(e Entry, token string, parked int) {
		t.Helper()
		got, ok := e.Token()
		if ok != (token != "") || got.Access != token || len(e.Parked()) != parked {
			t.Errorf("%q, and %d are set aside; want %q and %d", got.Access, len(e.Parked()), token, parked)
		}
		if token != "" && string(e.Session()) != "session of "+token {
			t.Errorf("the session is %q", e.Session())
		}
	}
	put(a, "alice")
	put(b, "other")
	if err := a.Park("alice"); err != nil {
		t.Fatal(err)
	}
	want(a, "", 1)
	want(b, "other", 0)
	put(a, "bob")
	want(a, "bob", 1)
	if err := b.Unpark("alice"); err == nil {
		t.Error("an account of another identity is taken")
	}
	want(b, "other", 0)
	if err := a.Park("bob"); err != nil {
		t.Fatal(err)
	}
	if err := a.Unpark("alice"); err != nil {
		t.Fatal(err)
	}
	// Another process sees the same.
	want(open(t, dir).Find([]byte("a"), false), "alice", 1)
	// What came of an account's session goes with it.
	other := c.Find([]byte("elsewhere"), true)
	other.PutToken(Token{Access: "for something else", Owner: a.Owner("bob")})
	if err := a.DropOwned("alice"); err != nil {
		t.Fatal(err)
	}
	want(b, "other", 0)
	if _, ok := other.Token(); !ok {
		t.Error("a token of another account is forgotten")
	}
	if err := a.DropOwned("bob"); err != nil {
		t.Fatal(err)
	}
	if _, ok := other.Token(); ok {
		t.Error("a token of an account that is gone is left")
	}
	if err := a.DropParked("bob"); err != nil {
		t.Fatal(err)
	}
	if err := a.Unpark("bob"); err == nil {
		t.Error("a forgotten account is taken back")
	}
	want(a, "alice", 0)
	if err := a.Drop(); err != nil {
		t.Fatal(err)
	}
	if err := a.Park("nobody"); err != nil {
		t.Error("with nobody current there is nobody to set aside: ", err)
	}
	want(a, "", 0)
}
