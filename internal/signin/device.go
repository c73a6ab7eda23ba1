package signin

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/logon"
	"github.com/keyreeve/keyreeve/internal/oauth"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/session"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/web"
)

// Texts that stand in more than one place.
const (
	titleCode   = "Enter your code"
	titleSignIn = "Sign in"
	badCode     = "This code is not known, was used already, or has expired. Codes are good for 15 minutes: start again where you wanted to sign in, to get a new one."
)

func (h Handler) startAgain(w http.ResponseWriter, r *http.Request) error {
	http.Redirect(w, r, "/device", http.StatusSeeOther)
	return nil
}

// showCode asks for the user code. One in the address is filled in, for the person to compare (RFC 8628 3.3.1).
func (h Handler) showCode(w http.ResponseWriter, r *http.Request) error {
	v := view{Title: titleCode}
	if code, ok := proof.ParseUserCode(r.URL.Query().Get("user_code")); ok {
		v.Title, v.Code = "Check your code", proof.ShowUserCode(code)
	}
	return h.render(w, r, http.StatusOK, "code", v)
}

// postCode takes the user code.
func (h Handler) postCode(w http.ResponseWriter, r *http.Request) error {
	form, err := readForm(w, r)
	if err != nil {
		return err
	}
	from, now := remoteAddr(r), h.Now()
	if !h.guesses.Left(from, now) {
		return fault.New(fault.TooMany, "guesses", "Too many wrong codes.")
	}
	typed := form.Get("user_code")
	code, ok := proof.ParseUserCode(typed)
	var d session.DeviceCode
	if ok {
		d, err = h.device(r.Context(), func(tx *store.Tx) (session.DeviceCode, error) { return tx.DeviceCodeByUserCode(code) })
	}
	if !ok || err != nil {
		if err != nil && !isBadCode(err) {
			return err
		}
		h.guesses.Allow(from, now)
		shown := ""
		if ok {
			shown = proof.ShowUserCode(code)
		}
		return h.render(w, r, http.StatusBadRequest, "code", view{Title: titleCode, Error: badCode, Code: shown})
	}
	return h.askPassword(w, r, d, "", "")
}

// device reads a device sign-in that still waits for a person.
func (h Handler) device(ctx context.Context, read func(*store.Tx) (session.DeviceCode, error)) (session.DeviceCode, error) {
	var d session.DeviceCode
	err := h.DB.View(ctx, func(tx *store.Tx) (err error) {
		d, err = read(tx)
		return err
	})
	if store.IsNotFound(err) {
		return d, oauth.BadDeviceCode()
	}
	if err != nil {
		return d, err
	}
	return d, waiting(d, h.Now())
}

// waiting reports why a device sign-in waits for nobody any more.
func waiting(d session.DeviceCode, now time.Time) error {
	switch {
	case !now.Before(d.ExpiresAt):
		return oauth.DeviceExpired(false)
	case d.State != session.DevicePending:
		return oauth.BadDeviceCode()
	}
	return nil
}

func isBadCode(err error) bool {
	e, ok := oauth.As(err)
	return ok && (e.Word == oauth.BadVerificationCode || e.Word == oauth.ExpiredToken)
}

// askPassword shows the sign-in page.
func (h Handler) askPassword(w http.ResponseWriter, r *http.Request, d session.DeviceCode, user, trouble string) error {
	text, err := h.putState(w, state{Next: stepSignIn, Device: d.Hash})
	if err != nil {
		return err
	}
	status := http.StatusOK
	if trouble != "" {
		status = http.StatusBadRequest
	}
	v := view{Title: titleSignIn, Error: trouble, State: text, User: user, App: h.appName(d.Client)}
	if t, ok := h.World.Tenant(d.TenantHint); ok {
		v.Tenant = t.DisplayName
	}
	return h.render(w, r, status, "signin", v)
}

// resume reads the form of a step and what it goes on from.
func (h Handler) resume(w http.ResponseWriter, r *http.Request, want step) (url.Values, state, session.DeviceCode, error) {
	form, err := readForm(w, r)
	if err != nil {
		return nil, state{}, session.DeviceCode{}, err
	}
	s, err := h.getState(r, form.Get("state"), want)
	if err != nil {
		return nil, s, session.DeviceCode{}, err
	}
	d, err := h.device(r.Context(), func(tx *store.Tx) (session.DeviceCode, error) { return tx.DeviceCode(s.Device) })
	return form, s, d, err
}

// postSignIn takes name and password.
func (h Handler) postSignIn(w http.ResponseWriter, r *http.Request) error {
	form, _, d, err := h.resume(w, r, stepSignIn)
	if err != nil {
		return err
	}
	user := strings.TrimSpace(form.Get("username"))
	if user == "" || form.Get("password") == "" {
		return h.askPassword(w, r, d, user, "Type your user name and your password.")
	}
	v, err := h.Logon.Password(r.Context(), d.TenantHint, user, form.Get("password"), h.origin(r, d))
	if err != nil {
		if text, ok := correctable(err); ok {
			return h.askPassword(w, r, d, user, text)
		}
		return err
	}
	next := state{Device: d.Hash, User: v.User.ID, At: v.At}
	if v.MustChange {
		return h.askNewPassword(w, r, next, v.User.UserPrincipalName, "")
	}
	return h.askConfirmation(w, r, d, next)
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

// askNewPassword shows the page on which a password is changed.
func (h Handler) askNewPassword(w http.ResponseWriter, r *http.Request, s state, user, trouble string) error {
	s.Next = stepPassword
	text, err := h.putState(w, s)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if trouble != "" {
		status = http.StatusBadRequest
	}
	return h.render(w, r, status, "newpassword", view{Title: "Choose a new password", Error: trouble, State: text, User: user})
}

// postPassword takes the new password.
func (h Handler) postPassword(w http.ResponseWriter, r *http.Request) error {
	form, s, d, err := h.resume(w, r, stepPassword)
	if err != nil {
		return err
	}
	user := h.userName(s.User)
	fresh := form.Get("new")
	if fresh != form.Get("again") {
		return h.askNewPassword(w, r, s, user, "The two passwords are not the same. Type the new one again in both fields.")
	}
	err = h.Logon.ChangePassword(r.Context(), s.User, s.At, fresh, h.origin(r, d))
	if fault.Is(err, fault.Invalid) {
		text := strings.TrimPrefix(fault.As(err).Public, "The specified password does not comply with password complexity requirements: ")
		return h.askNewPassword(w, r, s, user, "This password cannot be used: "+text)
	}
	if err != nil {
		return err
	}
	return h.askConfirmation(w, r, d, s)
}

// askConfirmation shows what is about to happen, for the person to say yes or no.
func (h Handler) askConfirmation(w http.ResponseWriter, r *http.Request, d session.DeviceCode, s state) error {
	s.Next = stepConfirm
	text, err := h.putState(w, s)
	if err != nil {
		return err
	}
	p, _ := h.World.Principal(s.User)
	tenant, _ := h.World.Tenant(p.Tenant)
	name := tenant.DisplayName
	if len(tenant.Domains) > 0 {
		name += " (" + tenant.Domains[0] + ")"
	}
	return h.render(w, r, http.StatusOK, "confirm", view{
		Title: "Is this you?", State: text, User: p.Name, Tenant: name, App: h.appName(d.Client), Resource: d.ResourceName,
		From: d.RemoteAddr, SameAddress: d.RemoteAddr == remoteAddr(r), Ago: ago(h.Now().Sub(d.CreatedAt)),
		Code: proof.ShowUserCode(d.UserCode),
	})
}

// postConfirm takes the answer and carries it out.
func (h Handler) postConfirm(w http.ResponseWriter, r *http.Request) error {
	form, s, d, err := h.resume(w, r, stepConfirm)
	if err != nil {
		return err
	}
	v := view{Title: "You are signed in", Done: true, App: h.appName(d.Client), User: h.userName(s.User)}
	name := "done"
	switch form.Get("action") {
	case "approve":
		err = h.approve(r, s)
	case "decline":
		v.Title, v.Done, name = "Canceled", false, "declined"
		err = h.decline(r, s)
	default:
		return stale(nil)
	}
	if err != nil {
		return err
	}
	dropState(w)
	return h.render(w, r, http.StatusOK, name, v)
}

// approve begins the session and lets the device have it.
func (h Handler) approve(r *http.Request, s state) error {
	return h.settle(r, s, func(tx *store.Tx, d *session.DeviceCode, from logon.Origin) error {
		begun, user, err := logon.Begin(tx, s.User, s.At, h.Now(), []string{oauth.AMRPassword}, from)
		if err != nil {
			return err
		}
		d.State, d.User, d.Session = session.DeviceApproved, user.ID, begun.ID
		return h.record(tx, audit.DeviceApproved, *d, user.Tenant, user.ID, from)
	})
}

// decline ends the device sign-in.
func (h Handler) decline(r *http.Request, s state) error {
	return h.settle(r, s, func(tx *store.Tx, d *session.DeviceCode, from logon.Origin) error {
		d.State = session.DeviceDeclined
		p, _ := h.World.Principal(s.User)
		return h.record(tx, audit.DeviceDeclined, *d, p.Tenant, s.User, from)
	})
}

// settle changes a device sign-in that still waits, once.
func (h Handler) settle(r *http.Request, s state, change func(*store.Tx, *session.DeviceCode, logon.Origin) error) error {
	_, err := h.DB.Update(r.Context(), func(tx *store.Tx) error {
		d, err := tx.DeviceCode(s.Device)
		if store.IsNotFound(err) {
			return oauth.BadDeviceCode()
		}
		if err != nil {
			return err
		}
		if err := waiting(d, h.Now()); err != nil {
			return err
		}
		if err := change(tx, &d, h.origin(r, d)); err != nil {
			return err
		}
		return tx.PutDeviceCode(d)
	})
	return err
}

func (h Handler) record(tx *store.Tx, e audit.Event, d session.DeviceCode, t ident.TenantID, who ident.ObjectID, from logon.Origin) error {
	return tx.Audit(audit.Record{
		At: h.Now(), Event: e, Tenant: t, Actor: who, ActorName: h.userName(who), Target: d.Client.String(),
		Correlation: from.Correlation,
		Detail:      map[string]string{"remoteAddr": from.RemoteAddr, "askedFrom": d.RemoteAddr, "session": d.Session.String()},
	})
}

func (h Handler) origin(r *http.Request, d session.DeviceCode) logon.Origin {
	return logon.Origin{
		Client: d.Client, RemoteAddr: remoteAddr(r), Correlation: web.EventOf(r).RequestID.String(), Method: "device code",
	}
}

func (h Handler) userName(id ident.ObjectID) string {
	p, _ := h.World.Principal(id)
	return p.Name
}

// appName is how people know a client.
func (h Handler) appName(id ident.ClientID) string {
	if a, ok := h.Catalog.App(id); ok {
		return a.DisplayName
	}
	if a, ok := h.World.Application(id); ok {
		return a.DisplayName
	}
	return id.String()
}

// ago says how long ago something was, in words.
func ago(d time.Duration) string {
	switch n := int(d / time.Minute); {
	case d < 10*time.Second:
		return "just now"
	case n == 0:
		return "less than a minute ago"
	case n == 1:
		return "a minute ago"
	default:
		return fmt.Sprintf("%d minutes ago", n)
	}
}
