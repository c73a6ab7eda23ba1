// Package account owns a person's sign-ins on one machine: the file that keeps them, for its owner alone, and the access
// tokens that come of them.
//
// It talks to the token service as any client does and knows nothing of what the tokens are used for.
package account

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/filelock"
)

// Kinds of sign-in, as az names them.
const (
	User             = "user"
	ServicePrincipal = "servicePrincipal"
)

// CLI is the appId under which az, and this client with it, signs people in.
const CLI = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"

// spare is how long an access token must still be good to be used.
const spare = 5 * time.Minute

// Subscription is a subscription as seen by one sign-in.
type Subscription struct {
	ID            string `json:"id"`
	Name          string `json:"name"`
	State         string `json:"state"`
	TenantID      string `json:"tenantId"`
	TenantName    string `json:"tenantName,omitempty"`
	TenantDomain  string `json:"tenantDomain,omitempty"`
	UserName      string `json:"userName"`
	UserType      string `json:"userType"`
	AssignedIdent string `json:"assignedIdentity,omitempty"`
	Default       bool   `json:"default,omitempty"`
}

// SignIn is one sign-in: who, and what gets tokens for them.
type SignIn struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	TenantID string `json:"tenantId"`
	// Refresh is a user's refresh token.
	Refresh string `json:"refreshToken,omitempty"`
	// Secret, Certificate (a PEM file with its key) or Assertion is what a service principal shows.
	Secret      string `json:"secret,omitempty"`
	Certificate string `json:"certificate,omitempty"`
	Assertion   string `json:"assertion,omitempty"`
	// Managed says that the machine's own identity is used: empty for the system's, or a client id.
	Managed *string `json:"managed,omitempty"`
	// Tokens are access tokens by what they are for.
	Tokens map[string]Token `json:"tokens,omitempty"`
}

// Token is an access token.
type Token struct {
	Access  string    `json:"accessToken"`
	Expires time.Time `json:"expires"`
}

type contents struct {
	SignIns       []SignIn       `json:"signIns"`
	Subscriptions []Subscription `json:"subscriptions"`
}

// Accounts are the sign-ins of one machine with one server.
type Accounts struct {
	// Path is the file.
	Path string
	// Login is the token service's origin.
	Login string
	HTTP  *http.Client
	Now   func() time.Time

	c contents
}

// ErrSignedOut says that nobody is signed in.
var ErrSignedOut = errors.New("please sign in first: keyreeve login")

// Open reads the file; there may be none yet.
func (a *Accounts) Open() error {
	text, err := os.ReadFile(a.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sign-ins: %w", err)
	}
	var c contents
	if err := json.Unmarshal(text, &c); err != nil {
		return fmt.Errorf("sign-ins: %s cannot be read; remove it and sign in again: %w", a.Path, err)
	}
	a.c = c
	return nil
}

// update changes the file. Processes that run at the same time take turns, and each begins with what the last one wrote.
func (a *Accounts) update(change func() error) (err error) {
	if err := os.MkdirAll(filepath.Dir(a.Path), 0o700); err != nil {
		return fmt.Errorf("sign-ins: %w", err)
	}
	lock, err := os.OpenFile(a.Path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("sign-ins: %w", err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := filelock.Wait(lock); err != nil {
		return fmt.Errorf("sign-ins: %w", err)
	}
	if err := a.Open(); err != nil {
		return err
	}
	if err := change(); err != nil {
		return err
	}
	text, err := json.MarshalIndent(a.c, "", "  ")
	if err != nil {
		return fmt.Errorf("sign-ins: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(a.Path), "."+filepath.Base(a.Path)+"-*") // for its owner alone
	if err != nil {
		return fmt.Errorf("sign-ins: %w", err)
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), a.Path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("sign-ins: %w", err), os.Remove(f.Name()))
	}
	return nil
}

// Subscriptions returns those of all sign-ins.
func (a *Accounts) Subscriptions() []Subscription { return slices.Clone(a.c.Subscriptions) }

// Subscription finds one by its id or name; empty means the default one.
func (a *Accounts) Subscription(name string) (Subscription, error) {
	if len(a.c.Subscriptions) == 0 {
		return Subscription{}, ErrSignedOut
	}
	for _, s := range a.c.Subscriptions {
		if name == "" && s.Default || name != "" && (strings.EqualFold(s.ID, name) || strings.EqualFold(s.Name, name)) {
			return s, nil
		}
	}
	if name == "" {
		return a.c.Subscriptions[0], nil
	}
	return Subscription{}, fmt.Errorf("you are signed in to no subscription %q: `keyreeve account list` names yours", name)
}

// SetDefault makes a subscription the one that commands work on.
func (a *Accounts) SetDefault(name string) error {
	return a.update(func() error {
		s, err := a.Subscription(name)
		if err != nil {
			return err
		}
		for i := range a.c.Subscriptions {
			x := &a.c.Subscriptions[i]
			x.Default = x.ID == s.ID && x.UserName == s.UserName
		}
		return nil
	})
}

// Keep remembers a sign-in and its subscriptions, in place of an earlier one of the same name. The first subscription
// becomes the default.
func (a *Accounts) Keep(in SignIn, subs []Subscription) error {
	return a.update(func() error {
		a.drop(in.Name)
		a.c.SignIns = append(a.c.SignIns, in)
		for i := range a.c.Subscriptions {
			a.c.Subscriptions[i].Default = false
		}
		for i, s := range subs {
			s.UserName, s.UserType, s.Default = in.Name, in.Type, i == 0
			a.c.Subscriptions = append(a.c.Subscriptions, s)
		}
		return nil
	})
}

func (a *Accounts) drop(name string) bool {
	n := len(a.c.SignIns)
	a.c.SignIns = slices.DeleteFunc(a.c.SignIns, func(s SignIn) bool { return strings.EqualFold(s.Name, name) })
	a.c.Subscriptions = slices.DeleteFunc(a.c.Subscriptions, func(s Subscription) bool { return strings.EqualFold(s.UserName, name) })
	if len(a.c.Subscriptions) > 0 && !slices.ContainsFunc(a.c.Subscriptions, func(s Subscription) bool { return s.Default }) {
		a.c.Subscriptions[0].Default = true
	}
	return len(a.c.SignIns) < n
}

// Forget removes a sign-in, and says whether there was one. Empty means that of the default subscription.
func (a *Accounts) Forget(name string) (bool, error) {
	var found bool
	err := a.update(func() error {
		if name == "" {
			s, err := a.Subscription("")
			if err != nil {
				return err
			}
			name = s.UserName
		}
		found = a.drop(name)
		return nil
	})
	return found, err
}

// Token returns an access token of a subscription's sign-in, for an audience.
func (a *Accounts) Token(ctx context.Context, s Subscription, audience string) (Token, error) {
	if t, ok := a.cached(s.UserName, audience); ok {
		return t, nil
	}
	var t Token
	err := a.update(func() error {
		var ok bool
		if t, ok = a.cached(s.UserName, audience); ok {
			return nil // another process was faster
		}
		i := a.find(s.UserName)
		if i < 0 {
			return ErrSignedOut
		}
		in := &a.c.SignIns[i]
		var err error
		t, err = a.renew(ctx, in, audience)
		if err != nil {
			return err
		}
		in.keep(audience, t, a.Now())
		return nil
	})
	return t, err
}

func (a *Accounts) find(name string) int {
	return slices.IndexFunc(a.c.SignIns, func(in SignIn) bool { return strings.EqualFold(in.Name, name) })
}

func (a *Accounts) cached(name, audience string) (Token, bool) {
	i := a.find(name)
	if i < 0 {
		return Token{}, false
	}
	t, ok := a.c.SignIns[i].Tokens[audience]
	return t, ok && t.Expires.Sub(a.Now()) > spare
}

func (in *SignIn) keep(audience string, t Token, now time.Time) {
	if in.Tokens == nil {
		in.Tokens = map[string]Token{}
	}
	for name, old := range in.Tokens {
		if old.Expires.Before(now) {
			delete(in.Tokens, name)
		}
	}
	in.Tokens[audience] = t
}
