package signin

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/oauth"
)

func (h Handler) passwordDue(_ *http.Request, f *flow) (bool, error) { return f.User.IsZero(), nil }

func (h Handler) askPassword(w http.ResponseWriter, r *http.Request, f *flow, trouble string) error {
	v, status, err := h.view(w, f, "password", "Sign in", trouble)
	if err != nil {
		return err
	}
	v.User = f.Hint
	return h.Pages.Print(w, r, status, "signin", v)
}

// takePassword takes name and password.
func (h Handler) takePassword(_ http.ResponseWriter, r *http.Request, f *flow, form url.Values) (string, error) {
	f.Hint = strings.TrimSpace(form.Get("username"))
	if f.Hint == "" || form.Get("password") == "" {
		return "Type your user name and your password.", nil
	}
	v, err := h.Logon.Password(r.Context(), f.hint(), f.Hint, form.Get("password"), h.origin(r, f))
	if err != nil {
		if text, ok := correctable(err); ok {
			return text, nil
		}
		return "", err
	}
	f.User, f.At, f.Methods, f.MustChange = v.User.ID, v.At, []string{oauth.AMRPassword}, v.MustChange
	return "", nil
}

// correctable returns the text for refusals that the person may be able to mend on the same page.
func correctable(err error) (string, bool) {
	e, ok := oauth.As(err)
	if !ok {
		return "", false
	}
	switch e.Number {
	case oauth.BadCredentials().Number:
		return "The user name or the password is not right. Check both, and that Caps Lock is off.", true
	case oauth.OtherTenant("", "").Number:
		return "This account belongs to another organization than the one that the application asked for. Use another account.", true
	}
	return "", false
}

func (h Handler) newPasswordDue(_ *http.Request, f *flow) (bool, error) { return f.MustChange, nil }

func (h Handler) askNewPassword(w http.ResponseWriter, r *http.Request, f *flow, trouble string) error {
	v, status, err := h.view(w, f, "newpassword", "Choose a new password", trouble)
	if err != nil {
		return err
	}
	v.User = h.userName(f.User)
	return h.Pages.Print(w, r, status, "newpassword", v)
}

func (h Handler) takeNewPassword(_ http.ResponseWriter, r *http.Request, f *flow, form url.Values) (string, error) {
	fresh := form.Get("new")
	if fresh != form.Get("again") {
		return "The two passwords are not the same. Type the new one again in both fields.", nil
	}
	err := h.Logon.ChangePassword(r.Context(), f.User, f.At, fresh, h.origin(r, f))
	if fault.Is(err, fault.Invalid) {
		text := strings.TrimPrefix(fault.As(err).Public, "The specified password does not comply with password complexity requirements: ")
		return "This password cannot be used: " + text, nil
	}
	f.MustChange = false
	return "", err
}
