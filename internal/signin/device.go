package signin

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/handoff"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/logon"
	"github.com/keyreeve/keyreeve/internal/oauth"
	"github.com/keyreeve/keyreeve/internal/page"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/session"
	"github.com/keyreeve/keyreeve/internal/store"
)

// Texts that stand in more than one place.
const (
	titleCode = "Enter your code"
	badCode   = "This code is not known, was used already, or has expired. Codes are good for 15 minutes: start again where you wanted to sign in, to get a new one."
)

// showCode asks for the user code. One in the address is filled in, for the person to compare (RFC 8628 3.3.1).
func (h Handler) showCode(w http.ResponseWriter, r *http.Request) error {
	v := page.View{Title: titleCode}
	if code, ok := proof.ParseUserCode(r.URL.Query().Get("user_code")); ok {
		v.Title, v.Code = "Check your code", proof.ShowUserCode(code)
	}
	return h.Pages.Print(w, r, http.StatusOK, "code", v)
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
		return h.Pages.Print(w, r, http.StatusBadRequest, "code", page.View{Title: titleCode, Error: badCode, Code: shown})
	}
	f, err := h.load(r, state{ID: handoff.NewID(), Device: d.Hash})
	if err != nil {
		return err
	}
	return h.advance(w, r, f)
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

// confirmDue: a device is signed in only with a clear yes.
func (h Handler) confirmDue(_ *http.Request, f *flow) (bool, error) { return f.Request == nil, nil }

// askConfirmation shows what is about to happen, for the person to say yes or no.
func (h Handler) askConfirmation(w http.ResponseWriter, r *http.Request, f *flow, _ string) error {
	v, status, err := h.view(w, f, "confirm", "Is this you?", "")
	if err != nil {
		return err
	}
	d := f.device
	_, user, tenant := h.person(f.User)
	v.User, v.Tenant = user, tenantName(tenant)
	v.Resource, v.From, v.SameAddress = d.ResourceName, d.RemoteAddr, d.RemoteAddr == remoteAddr(r)
	v.Ago, v.Code = ago(h.Now().Sub(d.CreatedAt)), proof.ShowUserCode(d.UserCode)
	return h.Pages.Print(w, r, status, "confirm", v)
}

// tenantName is how pages name a tenant to those who must be sure which it is.
func tenantName(t directory.Tenant) string {
	if len(t.Domains) > 0 {
		return t.DisplayName + " (" + t.Domains[0] + ")"
	}
	return t.DisplayName
}

// takeConfirmation takes the answer and carries it out.
func (h Handler) takeConfirmation(w http.ResponseWriter, r *http.Request, f *flow, form url.Values) (string, error) {
	switch form.Get("action") {
	case "approve":
	case "decline":
		return "", h.declineDevice(w, r, f)
	default:
		return "", handoff.Stale(nil)
	}
	if err := h.approve(r, f); err != nil {
		return "", err
	}
	f.written = true
	handoff.Unbind(w, f.ID)
	return "", h.Pages.Print(w, r, http.StatusOK, "done",
		page.View{Title: "You are signed in", Done: true, App: f.client.Name, User: h.userName(f.User)})
}

// declineDevice ends the device sign-in and says so.
func (h Handler) declineDevice(w http.ResponseWriter, r *http.Request, f *flow) error {
	if err := h.decline(r, f); err != nil {
		return err
	}
	f.written = true
	handoff.Unbind(w, f.ID)
	return h.Pages.Print(w, r, http.StatusOK, "declined", page.View{Title: "Canceled", App: f.client.Name})
}

// approve begins the session and lets the device have it.
func (h Handler) approve(r *http.Request, f *flow) error {
	return h.settle(r, f, func(tx *store.Tx, d *session.DeviceCode, from logon.Origin) error {
		begun, user, err := logon.Begin(tx, f.User, f.At, h.Now(), f.Methods, from)
		if err != nil {
			return err
		}
		d.State, d.User, d.Session = session.DeviceApproved, user.ID, begun.ID
		return h.record(tx, audit.DeviceApproved, *d, user.Tenant, user.ID, from)
	})
}

// decline ends the device sign-in.
func (h Handler) decline(r *http.Request, f *flow) error {
	return h.settle(r, f, func(tx *store.Tx, d *session.DeviceCode, from logon.Origin) error {
		d.State = session.DeviceDeclined
		p, _ := h.Apps.World.Principal(f.User)
		return h.record(tx, audit.DeviceDeclined, *d, p.Tenant, f.User, from)
	})
}

// settle changes a device sign-in that still waits, once.
func (h Handler) settle(r *http.Request, f *flow, change func(*store.Tx, *session.DeviceCode, logon.Origin) error) error {
	_, err := h.DB.Update(r.Context(), func(tx *store.Tx) error {
		d, err := tx.DeviceCode(f.Device)
		if store.IsNotFound(err) {
			return oauth.BadDeviceCode()
		}
		if err != nil {
			return err
		}
		if err := waiting(d, h.Now()); err != nil {
			return err
		}
		if err := change(tx, &d, h.origin(r, f)); err != nil {
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
