package signin

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/handoff"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/page"
)

// signOut is what the page for signing out carries.
type signOut struct {
	ID      string `json:"id"`
	Browser []byte `json:"browser"`
	handoff.SignOut
}

const signOutName = "sign-out"

// showSignOut asks who to sign out. Opening an address alone signs nobody out: any site could make a browser do that.
func (h Handler) showSignOut(w http.ResponseWriter, r *http.Request) error {
	var ask handoff.SignOut
	if text := r.URL.Query().Get("request"); text != "" {
		var err error
		if ask, err = handoff.OpenSignOut(h.Sealer, text, h.Now()); err != nil {
			return err
		}
	}
	b, err := h.readBrowser(r)
	if err != nil {
		return err
	}
	v := page.View{Title: "Sign out"}
	if ask.Origin != "" {
		v.Targets = []string{ask.Origin}
	}
	for _, a := range b.Accounts {
		if a.SignedIn(h.Now()) {
			v.Accounts = append(v.Accounts, h.shown(a, true))
		}
	}
	if len(v.Accounts) == 0 && ask.Return != "" {
		return h.leave(w, r, ask)
	}
	if len(v.Accounts) == 0 {
		return h.Pages.Print(w, r, http.StatusOK, "signedout", page.View{Title: "You are signed out", Done: true})
	}
	s := signOut{ID: handoff.NewID(), SignOut: ask}
	s.Browser = handoff.Bind(w, s.ID)
	plain, err := json.Marshal(s)
	if err != nil {
		return fault.Wrap(err, "sign-out")
	}
	v.State = base64.RawURLEncoding.EncodeToString(h.Sealer.Seal(signOutName, plain))
	return h.Pages.Print(w, r, http.StatusOK, "signout", v)
}

// postSignOut signs out whoever was chosen.
func (h Handler) postSignOut(w http.ResponseWriter, r *http.Request) error {
	form, err := readForm(w, r)
	if err != nil {
		return err
	}
	sealed, err := base64.RawURLEncoding.DecodeString(form.Get("state"))
	if err != nil {
		return handoff.Stale(err)
	}
	plain, err := h.Sealer.Open(signOutName, sealed)
	if err != nil {
		return handoff.Stale(err)
	}
	var s signOut
	if err := json.Unmarshal(plain, &s); err != nil || !handoff.Bound(r, s.ID, s.Browser) {
		return handoff.Stale(err)
	}
	b, err := h.readBrowser(r)
	if err != nil {
		return err
	}
	v := page.View{Title: "You are signed out", Done: true}
	var id ident.ObjectID
	if choice := form.Get("account"); choice != "all" {
		if id, err = ident.Parse[ident.ObjectID](choice); err != nil {
			return handoff.Stale(err)
		}
		v.User = h.userName(id)
	}
	if b.Hash != "" {
		if err := h.replaceBrowser(r, b.Hash, b.SignedOut(id)); err != nil {
			return err
		}
	}
	handoff.Unbind(w, s.ID)
	if s.Return != "" {
		return h.leave(w, r, s.SignOut)
	}
	return h.Pages.Print(w, r, http.StatusOK, "signedout", v)
}

// leave goes to where the client wants people to be after signing out.
func (h Handler) leave(w http.ResponseWriter, r *http.Request, s handoff.SignOut) error {
	to := s.Return
	if s.State != "" {
		sep := "?"
		if strings.Contains(to, "?") {
			sep = "&"
		}
		to += sep + url.Values{"state": {s.State}}.Encode()
	}
	w.Header().Set("Content-Security-Policy", page.Policy([]string{s.Origin}))
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}
