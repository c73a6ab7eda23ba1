package handoff

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"time"

	"github.com/keyreeve/keyreeve/internal/proof"
)

// cookiePrefix has the prefix that lets browsers accept a cookie only from this very host over TLS.
const cookiePrefix = "__Host-keyreeve-signin-"

// cookieLife is how long one step may take.
const cookieLife = 15 * time.Minute

// NewID returns a fresh name for a sign-in.
func NewID() string { return proof.NewToken("")[:12] }

// Bind gives the browser a fresh cookie for a sign-in and returns its hash, for what is to belong to this browser.
func Bind(w http.ResponseWriter, id string) []byte { return bind(w, id, http.SameSiteStrictMode) }

// BindResult is Bind for a Result. The answer to a silent request takes its whole way in redirects that began at another
// site, where a strict cookie would not be sent.
func BindResult(w http.ResponseWriter, id string) []byte { return bind(w, id, http.SameSiteLaxMode) }

func bind(w http.ResponseWriter, id string, site http.SameSite) []byte {
	cookie := proof.NewToken("")
	sum := sha256.Sum256([]byte(cookie))
	//nolint:gosec // SameSite is set by the caller: strict, or lax for a result
	http.SetCookie(w, &http.Cookie{
		Name: cookiePrefix + id, Value: cookie, Path: "/", MaxAge: int(cookieLife / time.Second),
		Secure: true, HttpOnly: true, SameSite: site,
	})
	return sum[:]
}

// Bound reports whether a request comes from the browser that has the cookie of a hash.
func Bound(r *http.Request, id string, hash []byte) bool {
	cookie, err := r.Cookie(cookiePrefix + id)
	if err != nil {
		return false
	}
	sum := sha256.Sum256([]byte(cookie.Value))
	return subtle.ConstantTimeCompare(sum[:], hash) == 1
}

// Unbind makes the browser forget the cookie of a sign-in.
func Unbind(w http.ResponseWriter, id string) {
	http.SetCookie(w, &http.Cookie{
		Name: cookiePrefix + id, Path: "/", MaxAge: -1, Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
}
