// Package handoff owns what the browser flow of OAuth (oauth/authorize) and the sign-in pages (signin) say to each other.
// Neither knows the other; a browser carries the words between them:
//
//	authorize ── Request ──► /signin … pages … ── Result ──► /oauth2/finish ── code ──► the client
//
// Both are sealed, so that nobody can read or change them, and expire. A Result belongs to the browser that the pages
// were shown in: it is bound to a cookie, and worth nothing elsewhere.
package handoff

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/oauth"
	"github.com/keyreeve/keyreeve/internal/seal"
)

// Where the two meet, below the login address.
const (
	SignInPath  = "/signin"
	FinishPath  = "/oauth2/finish"
	SignOutPath = "/signin/signout"
)

// Request asks the pages to sign somebody in, for a client whose request was found to be right.
type Request struct {
	// ID tells apart the sign-ins that one browser has open.
	ID     string         `json:"id"`
	Client ident.ClientID `json:"client"`
	// Tenant that was asked, or zero for organizations and common.
	Tenant ident.TenantID `json:"tenant"`
	V1     bool           `json:"v1,omitempty"`
	// Redirect is where the answer goes, and Named whether the request said so itself.
	Redirect string `json:"redirect"`
	Named    bool   `json:"named,omitempty"`
	// Native says that a program on the person's own machine gets the answer: whoever runs there can pose as the client.
	Native bool `json:"native,omitempty"`
	// Public says that a client gets the answer that keeps no secret.
	Public bool `json:"public,omitempty"`
	// Origin is that of Redirect.
	Origin string `json:"origin"`
	Mode   string `json:"mode"`
	State  string `json:"state,omitempty"`
	// Scope, in v1 the resource.
	Scope     string `json:"scope"`
	Nonce     string `json:"nonce,omitempty"`
	Challenge string `json:"challenge,omitempty"`
	// Prompts say what must be asked, or that nothing may be (none).
	Prompts []string `json:"prompts,omitempty"`
	// LoginHint is who will probably sign in, DomainHint of which organization.
	LoginHint  string `json:"loginHint,omitempty"`
	DomainHint string `json:"domainHint,omitempty"`
	// MaxAge is how many seconds ago the person may have signed in at most; negative if that does not matter.
	MaxAge int64 `json:"maxAge"`
	// AdminConsent asks an administrator to allow all that the client wants, for everybody; no code is given.
	AdminConsent bool `json:"adminConsent,omitempty"`
	// Correlation is the client's own id of the request, or ours.
	Correlation string    `json:"correlation,omitempty"`
	At          time.Time `json:"at"`
}

// requestLife is how long somebody may take to sign in.
const requestLife = time.Hour

// Result is what came of it.
type Result struct {
	Request Request `json:"request"`
	// User proved who they are at a time, by methods. Remembered says that it was earlier, for another client.
	User       ident.ObjectID `json:"user"`
	At         time.Time      `json:"at"`
	Methods    []string       `json:"methods,omitempty"`
	Remembered bool           `json:"remembered,omitempty"`
	// Refusal is why nobody was signed in.
	Refusal *Refusal `json:"refusal,omitempty"`
	// Browser is the hash of the cookie of the browser that it belongs to.
	Browser []byte    `json:"browser"`
	Ended   time.Time `json:"ended"`
}

// resultLife bounds the way of a Result through one redirect.
const resultLife = 2 * time.Minute

// Refusal is an oauth.Error on its way.
type Refusal struct {
	Word     string `json:"word"`
	Number   int    `json:"number"`
	Text     string `json:"text"`
	Suberror string `json:"suberror,omitempty"`
}

// Refuse returns the form of an error that travels.
func Refuse(e *oauth.Error) *Refusal {
	return &Refusal{Word: e.Word, Number: e.Number, Text: e.Text, Suberror: e.Suberror}
}

// Error returns the error itself.
func (r Refusal) Error() *oauth.Error {
	return &oauth.Error{Status: 400, Word: r.Word, Number: r.Number, Text: r.Text, Suberror: r.Suberror}
}

// The names under which the two are sealed, so that one does not open as the other.
const (
	requestName = "sign-in request"
	resultName  = "sign-in result"
	signOutName = "sign-out request"
)

// Seal returns the request as a text for an address.
func (r Request) Seal(s *seal.Sealer) (string, error) { return sealed(s, requestName, r) }

// Seal returns the result as a text for an address.
func (r Result) Seal(s *seal.Sealer) (string, error) { return sealed(s, resultName, r) }

// OpenRequest returns the request of a text. Errors are faults of kind Precondition.
func OpenRequest(s *seal.Sealer, text string, now time.Time) (Request, error) {
	var r Request
	if err := open(s, requestName, text, &r); err != nil {
		return r, err
	}
	return r, fresh(r.At, requestLife, now)
}

// OpenResult returns the result of a text. Errors are faults of kind Precondition.
func OpenResult(s *seal.Sealer, text string, now time.Time) (Result, error) {
	var r Result
	if err := open(s, resultName, text, &r); err != nil {
		return r, err
	}
	return r, fresh(r.Ended, resultLife, now)
}

// SignOut asks the pages to sign somebody out.
type SignOut struct {
	// Return is where to go afterwards; empty to stay. It was found to be registered; Origin is its own.
	Return string `json:"return,omitempty"`
	Origin string `json:"origin,omitempty"`
	State  string `json:"state,omitempty"`
	// Hint is who will probably sign out.
	Hint string    `json:"hint,omitempty"`
	At   time.Time `json:"at"`
}

// Seal returns the request as a text for an address.
func (r SignOut) Seal(s *seal.Sealer) (string, error) { return sealed(s, signOutName, r) }

// OpenSignOut returns the request of a text. Errors are faults of kind Precondition.
func OpenSignOut(s *seal.Sealer, text string, now time.Time) (SignOut, error) {
	var r SignOut
	if err := open(s, signOutName, text, &r); err != nil {
		return r, err
	}
	return r, fresh(r.At, requestLife, now)
}

func sealed(s *seal.Sealer, name string, v any) (string, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return "", fault.Wrap(err, "%s", name)
	}
	return base64.RawURLEncoding.EncodeToString(s.Seal(name, plain)), nil
}

func open(s *seal.Sealer, name, text string, v any) error {
	box, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return Stale(err)
	}
	plain, err := s.Open(name, box)
	if err != nil {
		return Stale(err)
	}
	if err := json.Unmarshal(plain, v); err != nil {
		return Stale(err)
	}
	return nil
}

func fresh(at time.Time, life time.Duration, now time.Time) error {
	if age := now.Sub(at); age >= life {
		return Stale(fmt.Errorf("it is %s old", age))
	}
	return nil
}

// Stale refuses what is over, used, or of another browser.
func Stale(cause error) error {
	return fault.New(fault.Precondition, "stale", "This page is out of date.").Because(cause)
}
