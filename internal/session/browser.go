package session

import (
	"slices"
	"time"

	"github.com/keyreeve/keyreeve/internal/ident"
)

// Browser is what one browser is remembered by: the accounts that signed in there. It is found by the cookie that the
// browser holds, and is not itself a Session: each client that signs in through it gets one of its own.
type Browser struct {
	// Hash is the hex SHA-256 of the cookie.
	Hash      string    `json:"hash"`
	Accounts  []Account `json:"accounts,omitempty"`
	CreatedAt time.Time `json:"createdAt"`
	ExpiresAt time.Time `json:"expiresAt"`
}

// Account is one person at a browser.
type Account struct {
	User   ident.ObjectID `json:"user"`
	Tenant ident.TenantID `json:"tenant"`
	// SignedInAt is when the person last proved who they are here; zero after signing out.
	SignedInAt time.Time `json:"signedInAt"`
	// Methods are the authentication methods that were used then.
	Methods []string `json:"methods,omitempty"`
}

// The life of what a browser is remembered by.
const (
	// BrowserLife is how long a sign-in serves other clients of the same browser.
	BrowserLife = 24 * time.Hour
	// maxAccounts is how many accounts a browser shows for choosing; the oldest go first.
	maxAccounts = 8
)

// SignedIn reports whether the account's sign-in still serves at now.
func (a Account) SignedIn(now time.Time) bool {
	return !a.SignedInAt.IsZero() && now.Sub(a.SignedInAt) < BrowserLife
}

// Account returns the account of a user.
func (b Browser) Account(user ident.ObjectID) (Account, bool) {
	i := slices.IndexFunc(b.Accounts, func(a Account) bool { return a.User == user })
	if i < 0 {
		return Account{}, false
	}
	return b.Accounts[i], true
}

// With returns the browser with an account that signed in at now, at the front, under another cookie.
func (b Browser) With(hash string, a Account, now time.Time) Browser {
	rest := slices.DeleteFunc(slices.Clone(b.Accounts), func(o Account) bool { return o.User == a.User })
	out := Browser{Hash: hash, Accounts: append([]Account{a}, rest...), CreatedAt: now.UTC(), ExpiresAt: now.UTC().Add(BrowserLife)}
	if len(out.Accounts) > maxAccounts {
		out.Accounts = out.Accounts[:maxAccounts]
	}
	return out
}

// SignedOut returns the browser with an account signed out, or all of them for the zero id. They stay for choosing.
func (b Browser) SignedOut(user ident.ObjectID) Browser {
	b.Accounts = slices.Clone(b.Accounts)
	for i, a := range b.Accounts {
		if user.IsZero() || a.User == user {
			b.Accounts[i].SignedInAt, b.Accounts[i].Methods = time.Time{}, nil
		}
	}
	return b
}

// Without returns the browser without an account.
func (b Browser) Without(user ident.ObjectID) Browser {
	b.Accounts = slices.DeleteFunc(slices.Clone(b.Accounts), func(a Account) bool { return a.User == user })
	return b
}
