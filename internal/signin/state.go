package signin

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/handoff"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/web"
)

// state is one sign-in on its way: where it came from, and what has been shown so far.
type state struct {
	// ID tells it apart from others of the same browser.
	ID string `json:"id"`
	// Next is the only step it may be used for.
	Next string `json:"next"`
	// Device is the hash of the device code; or Request is what a client asked for.
	Device  string           `json:"device,omitempty"`
	Request *handoff.Request `json:"request,omitempty"`

	// Chosen is set once an account was chosen, or another one asked for.
	Chosen bool `json:"chosen,omitempty"`
	// Hint is the user name to begin with.
	Hint string `json:"hint,omitempty"`
	// User is set once it is known who signs in, with when and how they proved it. Remembered says: earlier, at this browser.
	User       ident.ObjectID `json:"user"`
	At         time.Time      `json:"at"`
	Methods    []string       `json:"methods,omitempty"`
	Remembered bool           `json:"remembered,omitempty"`
	// Kept is set once the browser remembers the person.
	Kept bool `json:"kept,omitempty"`
	// MustChange asks for a new password.
	MustChange bool `json:"mustChange,omitempty"`
	// Consented is set once the person allowed what the client asks for.
	Consented bool `json:"consented,omitempty"`

	// Browser is the hash of the cookie it belongs to.
	Browser []byte    `json:"browser"`
	Expires time.Time `json:"expires"`
}

const (
	stateLife = 15 * time.Minute
	stateName = "signin-state"
)

// putState binds a state to a fresh cookie and returns the text for the page. Each step gets another cookie, so that
// what somebody planted before a step is worth nothing after it.
func (h Handler) putState(w http.ResponseWriter, s state, next string) (string, error) {
	s.Next, s.Browser, s.Expires = next, handoff.Bind(w, s.ID), h.Now().Add(stateLife)
	plain, err := json.Marshal(s)
	if err != nil {
		return "", fault.Wrap(err, "sign-in state")
	}
	return base64.RawURLEncoding.EncodeToString(h.Sealer.Seal(stateName, plain)), nil
}

// getState returns the state of a page that this browser was shown, for the step it was made for.
func (h Handler) getState(r *http.Request, text, want string) (state, error) {
	var s state
	sealed, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return s, handoff.Stale(err)
	}
	plain, err := h.Sealer.Open(stateName, sealed)
	if err != nil {
		return s, handoff.Stale(err)
	}
	if err := json.Unmarshal(plain, &s); err != nil {
		return s, handoff.Stale(err)
	}
	if !handoff.Bound(r, s.ID, s.Browser) || s.Next != want || !h.Now().Before(s.Expires) {
		return s, handoff.Stale(nil)
	}
	return s, nil
}

// readForm reads a posted form. A field that comes twice is refused.
func readForm(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	if !web.IsForm(r) {
		return nil, fault.New(fault.Invalid, "", "The body is not a form.")
	}
	body, err := web.ReadBody(w, r, maxForm)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, fault.New(fault.Invalid, "", "The form cannot be read.").Because(err)
	}
	for name, values := range form {
		if len(values) > 1 {
			return nil, fault.New(fault.Invalid, "", "A field came twice.").At(name)
		}
	}
	return form, nil
}
