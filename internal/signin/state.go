package signin

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"time"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/proof"
)

// step is what a page asks for next.
type step string

const (
	stepSignIn   step = "signin"
	stepPassword step = "password"
	stepConfirm  step = "confirm"
)

// state is what has been shown so far.
type state struct {
	// Next is the only step it may be used for.
	Next step `json:"next"`
	// Device is the hash of the device code.
	Device string `json:"device"`
	// User is set once a password was right, at a time.
	User ident.ObjectID `json:"user"`
	At   time.Time      `json:"at"`
	// Browser is the hash of the cookie it belongs to.
	Browser []byte    `json:"browser"`
	Expires time.Time `json:"expires"`
}

// cookieName has the prefix that lets browsers accept it only from this very host over TLS.
const cookieName = "__Host-keyreeve-signin"

const (
	stateLife = 15 * time.Minute
	stateName = "signin-state"
)

// putState binds a state to a fresh cookie and returns the text for the page. Each step gets another cookie, so that
// what somebody planted before a step is worth nothing after it.
func (h Handler) putState(w http.ResponseWriter, s state) (string, error) {
	cookie := proof.NewToken("")
	sum := sha256.Sum256([]byte(cookie))
	s.Browser, s.Expires = sum[:], h.Now().Add(stateLife)
	plain, err := json.Marshal(s)
	if err != nil {
		return "", fault.Wrap(err, "sign-in state")
	}
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Value: cookie, Path: "/", MaxAge: int(stateLife / time.Second),
		Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
	return base64.RawURLEncoding.EncodeToString(h.Sealer.Seal(stateName, plain)), nil
}

// getState returns the state of a page that this browser was shown, for the step it was made for.
func (h Handler) getState(r *http.Request, text string, want step) (state, error) {
	var s state
	sealed, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return s, stale(err)
	}
	plain, err := h.Sealer.Open(stateName, sealed)
	if err != nil {
		return s, stale(err)
	}
	if err := json.Unmarshal(plain, &s); err != nil {
		return s, stale(err)
	}
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return s, stale(err)
	}
	sum := sha256.Sum256([]byte(cookie.Value))
	if subtle.ConstantTimeCompare(sum[:], s.Browser) != 1 || s.Next != want || !h.Now().Before(s.Expires) {
		return s, stale(nil)
	}
	return s, nil
}

// dropState makes the browser forget its cookie.
func dropState(w http.ResponseWriter) {
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Path: "/", MaxAge: -1, Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
}
