package tokencache

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// Of an identity that is a person's, several accounts may have been signed in: one is current, the others are parked. A parked
// one is an entry of its own that says which identity it belongs to.

// parked is the entry for an account of this identity.
func (e Entry) parked(account string) Entry {
	return e.cache.Find([]byte("parked "+e.name+" "+account), true)
}

// Park sets the current account aside under a name, and leaves nobody current.
func (e Entry) Park(account string) error {
	if e.name == "" {
		return nil
	}
	t, ok := e.Token()
	if !ok {
		return e.Drop()
	}
	to := e.parked(account)
	t.Parked = e.name
	if session := e.Session(); session != nil {
		to.PutSession(session)
	}
	to.PutToken(t)
	if got, ok := to.Token(); !ok || got.Access != t.Access {
		return fmt.Errorf("the account cannot be set aside: the token cache in %s takes no files", e.cache.Dir)
	}
	return e.Drop()
}

// Unpark makes a parked account current, in place of the one that is.
func (e Entry) Unpark(account string) error {
	from := e.parked(account)
	t, ok := from.Token()
	if !ok || t.Parked != e.name {
		return fmt.Errorf("no account %q is set aside", account)
	}
	t.Parked = ""
	session := from.Session()
	if err := e.Drop(); err != nil {
		return err
	}
	if session != nil {
		e.PutSession(session)
	}
	e.PutToken(t)
	if got, ok := e.Token(); !ok || got.Access != t.Access {
		return fmt.Errorf("the account cannot be made current: the token cache in %s takes no files", e.cache.Dir)
	}
	return from.Drop()
}

// DropParked forgets a parked account.
func (e Entry) DropParked(account string) error { return e.parked(account).Drop() }

// Owner is what tokens that come of an account's session are marked with.
func (e Entry) Owner(account string) string { return e.name + " " + account }

// DropOwned forgets the tokens that came of an account's session.
func (e Entry) DropOwned(account string) error {
	var errs []error
	e.each(func(other Entry, t Token) {
		if t.Owner == e.Owner(account) {
			errs = append(errs, other.Drop())
		}
	})
	return errors.Join(errs...)
}

// Parked returns the tokens of the accounts that are set aside.
func (e Entry) Parked() []Token {
	var out []Token
	e.each(func(_ Entry, t Token) {
		if t.Parked == e.name {
			out = append(out, t)
		}
	})
	return out
}

// each goes through all tokens that the cache holds.
func (e Entry) each(f func(Entry, Token)) {
	if e.name == "" {
		return
	}
	files, err := os.ReadDir(e.cache.Dir)
	if err != nil {
		return
	}
	for _, file := range files {
		name, ok := strings.CutSuffix(file.Name(), ".token")
		if !ok {
			continue
		}
		other := Entry{cache: e.cache, name: name}
		if t, ok := other.Token(); ok {
			f(other, t)
		}
	}
}
