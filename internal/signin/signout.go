package signin

import (
	"encoding/base64"
	"encoding/json"
	"net/http"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/handoff"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/page"
)

// signOut is what the page for signing out carries.
type signOut struct {
	ID      string `json:"id"`
	Browser []byte `json:"browser"`
	// Return is where to go afterwards; it was found to be registered.
	Return string `json:"return,omitempty"`
}

const signOutName = "sign-out"

// showSignOut asks who to sign out. Opening an address alone signs nobody out: any site could make a browser do that.
func (h Handler) showSignOut(w http.ResponseWriter, r *http.Request) error {
	b, err := h.readBrowser(r)
	if err != nil {
		return err
	}
	v := page.View{Title: "Sign out"}
	for _, a := range b.Accounts {
		if a.SignedIn(h.Now()) {
			v.Accounts = append(v.Accounts, h.shown(a, true))
		}
	}
	if len(v.Accounts) == 0 {
		return h.Pages.Print(w, r, http.StatusOK, "signedout", page.View{Title: "You are signed out", Done: true})
	}
	s := signOut{ID: handoff.NewID()}
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
	return h.Pages.Print(w, r, http.StatusOK, "signedout", v)
}
