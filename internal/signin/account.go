package signin

import (
	"net/http"
	"net/url"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/handoff"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/oauth"
	"github.com/keyreeve/keyreeve/internal/page"
	"github.com/keyreeve/keyreeve/internal/session"
	"github.com/keyreeve/keyreeve/internal/store"
)

// accountDue decides whether somebody has to choose an account, and chooses where there is nothing to choose.
//
// The answer for a program on the person's own machine, and the approval of a device, are never given without a click:
// whoever asks may pose as the client (RFC 8252 8.6).
func (h Handler) accountDue(r *http.Request, f *flow) (bool, error) {
	if !f.User.IsZero() || f.Chosen {
		return false, nil
	}
	shown := h.choices(f)
	if f.prompted(oauth.PromptLogin) || len(shown) == 0 {
		f.Chosen = true
		return false, nil
	}
	if f.prompted(oauth.PromptSelectAccount) || f.Request == nil || f.Request.Native {
		return true, nil
	}
	var live []session.Account
	for _, a := range shown {
		name := h.userName(a.User)
		if f.Hint != "" && directory.Fold(name) != directory.Fold(f.Hint) {
			continue
		}
		if ok, err := h.serves(r, f, a); err != nil {
			return false, err
		} else if ok {
			live = append(live, a)
		}
	}
	switch {
	case len(live) == 1:
		f.use(live[0])
		return false, nil
	case f.Hint != "" && len(live) == 0:
		f.Chosen = true // somebody else is expected than is remembered
		return false, nil
	}
	// With nobody signed in, prompt=none is told so, not that there is a choice.
	f.Chosen = len(live) == 0 && f.prompted(oauth.PromptNone)
	return !f.Chosen, nil
}

// choices are the accounts of this browser that the flow could be about.
func (h Handler) choices(f *flow) []session.Account {
	tenant := f.hint()
	if tenant.IsZero() && f.Request != nil && f.Request.DomainHint != "" {
		t, _ := h.Apps.World.TenantByDomain(f.Request.DomainHint)
		tenant = t.ID
	}
	var out []session.Account
	for _, a := range f.browser.Accounts {
		if _, ok := h.Apps.World.Principal(a.User); ok && (tenant.IsZero() || a.Tenant == tenant) {
			out = append(out, a)
		}
	}
	return out
}

// serves reports whether an account's earlier sign-in is enough for the flow.
func (h Handler) serves(r *http.Request, f *flow, a session.Account) (bool, error) {
	if !h.alive(f, a) {
		return false, nil
	}
	var u directory.User
	err := h.DB.View(r.Context(), func(tx *store.Tx) (err error) {
		u, err = tx.User(a.User)
		return err
	})
	if store.IsNotFound(err) {
		return false, nil
	}
	return err == nil && !u.MustChangePassword, err
}

// use goes on as an account that signed in earlier.
func (f *flow) use(a session.Account) {
	f.User, f.At, f.Methods, f.Remembered, f.Chosen = a.User, a.SignedInAt, a.Methods, true, true
}

func (h Handler) askAccount(w http.ResponseWriter, r *http.Request, f *flow, trouble string) error {
	v, status, err := h.view(w, f, "account", "Choose an account", trouble)
	if err != nil {
		return err
	}
	for _, a := range h.choices(f) {
		v.Accounts = append(v.Accounts, h.shown(a, h.alive(f, a)))
	}
	if f.Request != nil && f.Request.Native {
		v.From = "this computer"
	}
	return h.Pages.Print(w, r, status, "account", v)
}

// shown is an account as the pages show it.
func (h Handler) shown(a session.Account, alive bool) page.Account {
	name, user, _ := h.person(a.User)
	status := "Signed out"
	if alive {
		status = "Signed in"
	}
	return page.Account{ID: a.User.String(), Name: name, User: user, Status: status}
}

func (h Handler) takeAccount(_ http.ResponseWriter, r *http.Request, f *flow, form url.Values) (string, error) {
	choice := form.Get("account")
	f.Chosen = true
	if choice == "other" {
		f.Hint = ""
		return "", nil
	}
	id, err := ident.Parse[ident.ObjectID](choice)
	if err != nil {
		return "", handoff.Stale(err)
	}
	for _, a := range h.choices(f) {
		if a.User != id {
			continue
		}
		ok, err := h.serves(r, f, a)
		if ok {
			f.use(a)
		}
		f.Hint = h.userName(id)
		return "", err
	}
	return "", handoff.Stale(nil)
}

func (h Handler) userName(id ident.ObjectID) string {
	p, _ := h.Apps.World.Principal(id)
	return p.Name
}
