package signin

import (
	"net/http"

	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/session"
	"github.com/keyreeve/keyreeve/internal/store"
)

// browserCookie is what a browser is known by. It ends with the browser's session, and is sent when another site's page
// leads here: that is what signing in once is for.
const browserCookie = "__Host-keyreeve-session"

// readBrowser returns what this browser is remembered by; the zero Browser if nothing is.
func (h Handler) readBrowser(r *http.Request) (session.Browser, error) {
	cookie, err := r.Cookie(browserCookie)
	if err != nil {
		return session.Browser{}, nil //nolint:nilerr // no cookie is no error
	}
	var b session.Browser
	err = h.DB.View(r.Context(), func(tx *store.Tx) (err error) {
		b, err = tx.Browser(proof.HashToken(cookie.Value))
		return err
	})
	if store.IsNotFound(err) || err == nil && !h.Now().Before(b.ExpiresAt) {
		return session.Browser{}, nil
	}
	return b, err
}

// rememberDue reports whether the browser does not know yet that the person signed in.
func (h Handler) rememberDue(_ *http.Request, f *flow) (bool, error) {
	return !f.Remembered && !f.Kept && !f.User.IsZero(), nil
}

// remember keeps who signed in at this browser, under a fresh cookie: one that somebody planted before is worth nothing.
func (h Handler) remember(w http.ResponseWriter, r *http.Request, f *flow) error {
	cookie := proof.NewToken("")
	_, _, tenant := h.person(f.User)
	next := f.browser.With(proof.HashToken(cookie),
		session.Account{User: f.User, Tenant: tenant.ID, SignedInAt: f.At.UTC(), Methods: f.Methods}, h.Now())
	if err := h.replaceBrowser(r, f.browser.Hash, next); err != nil {
		return err
	}
	f.browser, f.Kept = next, true
	setBrowser(w, cookie)
	return nil
}

// replaceBrowser writes what a browser is remembered by in place of what it was.
func (h Handler) replaceBrowser(r *http.Request, old string, next session.Browser) error {
	_, err := h.DB.Update(r.Context(), func(tx *store.Tx) error {
		if old != "" && old != next.Hash {
			if err := tx.DeleteBrowser(old); err != nil && !store.IsNotFound(err) {
				return err
			}
		}
		return tx.PutBrowser(next)
	})
	return err
}

func setBrowser(w http.ResponseWriter, value string) {
	http.SetCookie(w, &http.Cookie{
		Name: browserCookie, Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// alive reports whether an account's sign-in at this browser still counts for a flow.
func (h Handler) alive(f *flow, a session.Account) bool {
	now := h.Now()
	p, ok := h.Apps.World.Principal(a.User)
	return ok && p.Enabled && a.SignedIn(now) && !a.SignedInAt.Before(p.ValidFrom) && !f.tooOld(a.SignedInAt, now)
}
