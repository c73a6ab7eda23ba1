package signin

import (
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/keyreeve/keyreeve/internal/consent"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/handoff"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/logon"
	"github.com/keyreeve/keyreeve/internal/oauth"
	"github.com/keyreeve/keyreeve/internal/page"
	"github.com/keyreeve/keyreeve/internal/session"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/web"
)

// step is one thing that a person may have to do. A step that only does something has no ask and no take.
type step struct {
	name string
	// due reports whether it has to be done yet.
	due func(h Handler, r *http.Request, f *flow) (bool, error)
	// ask shows its page; trouble says what was wrong the last time.
	ask func(h Handler, w http.ResponseWriter, r *http.Request, f *flow, trouble string) error
	// take reads what was answered. Trouble that the person can mend on the same page is returned as text.
	take func(h Handler, w http.ResponseWriter, r *http.Request, f *flow, form url.Values) (trouble string, err error)
	// do does what needs no person.
	do func(h Handler, w http.ResponseWriter, r *http.Request, f *flow) error
}

// steps are those of every sign-in, in order. What proves who somebody is comes before remember; a second factor has
// its place after the password, and rules about who may sign in from where before consent.
func steps() []step {
	return []step{
		{name: "account", due: Handler.accountDue, ask: Handler.askAccount, take: Handler.takeAccount},
		{name: "password", due: Handler.passwordDue, ask: Handler.askPassword, take: Handler.takePassword},
		{name: "newpassword", due: Handler.newPasswordDue, ask: Handler.askNewPassword, take: Handler.takeNewPassword},
		{name: "remember", due: Handler.rememberDue, do: Handler.remember},
		{name: "consent", due: Handler.consentDue, ask: Handler.askConsent, take: Handler.takeConsent},
		{name: "confirm", due: Handler.confirmDue, ask: Handler.askConfirmation, take: Handler.takeConfirmation},
	}
}

// flow is a state with what it stands for now.
type flow struct {
	state
	// device is the device sign-in that waits, unless a client's request does.
	device session.DeviceCode
	client consent.Client
	// browser is what this browser is remembered by; zero if it is not known.
	browser session.Browser
	// written is set when the answer is.
	written bool
}

// hint is the tenant that must be signed in to: the one that was asked, or that of an application of one tenant.
func (f *flow) hint() ident.TenantID {
	t := f.device.TenantHint
	if f.Request != nil {
		t = f.Request.Tenant
	}
	if t.IsZero() {
		t = f.client.Tenant
	}
	return t
}

// targets are the origins that the forms of the flow may lead to.
func (f *flow) targets() []string {
	if f.Request == nil {
		return nil
	}
	return []string{f.Request.Origin}
}

// prompted reports whether the client asked for a prompt.
func (f *flow) prompted(p string) bool {
	return f.Request != nil && slices.Contains(f.Request.Prompts, p)
}

// load finds what a state stands for.
func (h Handler) load(r *http.Request, s state) (*flow, error) {
	f := &flow{state: s}
	var err error
	id := ident.ClientID{}
	if s.Request != nil {
		id = s.Request.Client
	} else {
		if f.device, err = h.device(r.Context(), func(tx *store.Tx) (session.DeviceCode, error) { return tx.DeviceCode(s.Device) }); err != nil {
			return nil, err
		}
		id = f.device.Client
	}
	if f.client, err = h.Apps.Client(id.String(), ident.TenantID{}, ""); err != nil {
		return nil, err
	}
	f.browser, err = h.readBrowser(r)
	return f, err
}

// begin takes over from oauth/authorize.
func (h Handler) begin(w http.ResponseWriter, r *http.Request) error {
	req, err := handoff.OpenRequest(h.Sealer, r.URL.Query().Get("request"), h.Now())
	if err != nil {
		return err
	}
	f, err := h.load(r, state{ID: req.ID, Request: &req, Hint: req.LoginHint})
	if err != nil {
		return err
	}
	return h.advance(w, r, f)
}

// taking returns what serves the form of a step.
func (h Handler) taking(s step) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		form, err := readForm(w, r)
		if err != nil {
			return err
		}
		st, err := h.getState(r, form.Get("state"), s.name)
		if err != nil {
			return err
		}
		f, err := h.load(r, st)
		if err != nil {
			return err
		}
		trouble, err := s.take(h, w, r, f, form)
		if err != nil || f.written {
			return err
		}
		if trouble != "" {
			return s.ask(h, w, r, f, trouble)
		}
		return h.advance(w, r, f)
	}
}

// advance goes to the first step that is still due, or ends the sign-in.
func (h Handler) advance(w http.ResponseWriter, r *http.Request, f *flow) error {
	for _, s := range steps() {
		due, err := s.due(h, r, f)
		if err != nil {
			return h.give(w, r, f, err)
		}
		switch {
		case !due:
		case s.do != nil:
			if err := s.do(h, w, r, f); err != nil {
				return h.give(w, r, f, err)
			}
		case f.prompted(oauth.PromptNone):
			return h.refuse(w, r, f, h.silent(f, s))
		default:
			return s.ask(h, w, r, f, "")
		}
	}
	return h.finish(w, r, f)
}

// silent is why a request that forbade asking is refused.
func (h Handler) silent(f *flow, s step) *oauth.Error {
	switch s.name {
	case "account":
		return oauth.ChoiceNeeded()
	case "consent":
		return oauth.ConsentNeeded(f.client.ID.String(), f.client.Name)
	}
	return oauth.SignInNeeded()
}

// give shows a refusal to the person, or to the client that forbade asking.
func (h Handler) give(w http.ResponseWriter, r *http.Request, f *flow, err error) error {
	if e, ok := oauth.As(err); ok && f.prompted(oauth.PromptNone) {
		return h.refuse(w, r, f, e)
	}
	return err
}

// finish hands the result over: to oauth/authorize, or to the device.
func (h Handler) finish(w http.ResponseWriter, r *http.Request, f *flow) error {
	if f.Request == nil {
		return h.lost(w, r) // the last step of a device sign-in ends it
	}
	return h.handBack(w, r, f, handoff.Result{User: f.User, At: f.At, Methods: f.Methods, Remembered: f.Remembered})
}

// refuse hands a refusal back to the client.
func (h Handler) refuse(w http.ResponseWriter, r *http.Request, f *flow, e *oauth.Error) error {
	return h.handBack(w, r, f, handoff.Result{User: f.User, Refusal: handoff.Refuse(e)})
}

func (h Handler) handBack(w http.ResponseWriter, r *http.Request, f *flow, out handoff.Result) error {
	out.Request, out.Ended, out.Browser = *f.Request, h.Now(), handoff.BindResult(w, f.ID)
	text, err := out.Seal(h.Sealer)
	if err != nil {
		return err
	}
	f.written = true
	w.Header().Set("Content-Security-Policy", page.Policy(f.targets()))
	http.Redirect(w, r, h.BaseURL+handoff.FinishPath+"?result="+text, http.StatusSeeOther)
	return nil
}

// view is what every page of a flow shows.
func (h Handler) view(w http.ResponseWriter, f *flow, next, title, trouble string) (page.View, int, error) {
	text, err := h.putState(w, f.state, next)
	if err != nil {
		return page.View{}, 0, err
	}
	status := http.StatusOK
	if trouble != "" {
		status = http.StatusBadRequest
	}
	v := page.View{Title: title, Error: trouble, State: text, App: f.client.Name, Targets: f.targets()}
	if t, ok := h.Apps.World.Tenant(f.hint()); ok {
		v.Tenant = t.DisplayName
	}
	return v, status, nil
}

func (h Handler) origin(r *http.Request, f *flow) logon.Origin {
	o := logon.Origin{Client: f.client.ID, RemoteAddr: remoteAddr(r), Correlation: web.EventOf(r).RequestID.String(), Method: "device code"}
	if f.Request != nil {
		o.Method = "browser"
		if f.Request.Correlation != "" {
			o.Correlation = f.Request.Correlation
		}
	}
	return o
}

// person is who signs in, as the world knows them.
func (h Handler) person(id ident.ObjectID) (name, userName string, tenant directory.Tenant) {
	p, ok := h.Apps.World.Principal(id)
	if !ok {
		return "", "", directory.Tenant{}
	}
	tenant, _ = h.Apps.World.Tenant(p.Tenant)
	return p.DisplayName, p.Name, tenant
}

// tooOld reports whether a sign-in at a time is longer ago than the client allows (max_age).
func (f *flow) tooOld(at, now time.Time) bool {
	return f.Request != nil && f.Request.MaxAge >= 0 && now.Sub(at) > time.Duration(f.Request.MaxAge)*time.Second
}
