package signin

import (
	"bytes"
	"net/http"
	"net/url"
	"strconv"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/oauth"
	"github.com/keyreeve/keyreeve/internal/web"
)

// view is what a page shows.
type view struct {
	Title, Error string
	// State goes on to the next step.
	State string
	// Host names this service; Reference is the request's id.
	Host, Reference string

	Code, User, App, Tenant, Resource string
	From, Ago                         string
	SameAddress, Done                 bool

	// Next says what to do about a problem, Again offers to start again.
	Next, Number, Time string
	Again              bool
}

func (h Handler) render(w http.ResponseWriter, r *http.Request, status int, page string, v view) error {
	v.Reference = web.EventOf(r).RequestID.String()
	if u, err := url.Parse(h.BaseURL); err == nil {
		v.Host = u.Host
	}
	var buf bytes.Buffer
	if err := pages.ExecuteTemplate(&buf, page, v); err != nil {
		return fault.Wrap(err, "page %s", page)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(buf.Bytes())
	return nil
}

// stale refuses a state that is over, used, or of another browser.
func stale(cause error) error {
	return fault.New(fault.Precondition, "stale", "This page is out of date.").Because(cause)
}

// writeError shows what went wrong and what to do next.
func (h Handler) writeError(w http.ResponseWriter, r *http.Request, err error) {
	secureHeaders(w)
	v := view{Title: "That did not work", Time: h.Now().UTC().Format("2006-01-02 15:04:05 UTC"), Again: true}
	status := http.StatusBadRequest
	f := fault.As(err)
	if e, ok := oauth.As(err); ok {
		status = e.Status
		v.Number = e.Code()
		v.Error, v.Next = explain(e.Number)
	} else {
		switch f.Kind {
		case fault.Precondition:
			v.Error = "This page is out of date, was used already, or was opened in another window."
			v.Next = "Start again and go through the steps in one window."
		case fault.Forbidden:
			status = http.StatusForbidden
			v.Error = "The request was sent by another web site, and was stopped."
			v.Next = "Nothing was changed. If you did not expect this page, close it."
		case fault.TooMany:
			status = http.StatusTooManyRequests
			w.Header().Set("Retry-After", "60")
			v.Error = "Too many wrong codes were typed from your network address."
			v.Next = "Wait a few minutes. Then start again where you wanted to sign in, and use the new code."
		case fault.Unavailable:
			status = http.StatusServiceUnavailable
			v.Error, v.Next = "The service is busy.", "Wait a moment, then start again."
		case fault.TooLarge, fault.Invalid:
			v.Error, v.Next = "The request could not be read.", "Start again."
		default:
			status = http.StatusInternalServerError
			v.Error = "Something went wrong on our side."
			v.Next = "Try again. If it stays so, tell your administrator and quote the correlation ID below."
		}
	}
	if rerr := h.render(w, r, status, "problem", v); rerr != nil {
		http.Error(w, "Something went wrong.", http.StatusInternalServerError)
	}
}

// explain says in plain words what an AADSTS number means and what to do.
func explain(number int) (what, next string) {
	switch number {
	case 50053:
		return "This account is locked for a while, after too many wrong passwords.",
			"Wait some minutes, then start again. If it was not you who typed them, tell your administrator."
	case 50055:
		return "The password has run out.", "Sign in on a page like this one: there a new password can be chosen."
	case 50057:
		return "This account is disabled.", "Ask your administrator to enable it, or use another account."
	case 50126:
		return "The user name or the password is not right.", "Check both and start again."
	case 50034:
		return "This account does not exist any more.", "Use another account, or ask your administrator."
	case 50173:
		return "This sign-in was ended by you or by an administrator.", "Sign in again."
	case 70016:
		return "The sign-in is waiting for somebody to type the code.", "Open the device page and type it."
	case 70018, 70019, 70020:
		return "The code was used already, or has expired.", "Start again where you wanted to sign in, to get a new code."
	case 65004:
		return "The sign-in was declined on the device page.", "If that was not meant, start again."
	case 700016:
		return "The application is not known here.", "Ask your administrator whether it is registered in your organization."
	case 7000215, 7000222:
		return "The application’s secret is wrong or has expired.", "Whoever runs the application must give it a new one."
	case 90002, 900023:
		return "There is no organization of that name here.", "Check the address, the domain or the tenant id."
	case 500011:
		return "The application asked for a resource that is not known here.", "Tell whoever runs the application."
	}
	return "The sign-in was refused.", "Tell your administrator, and quote what stands below."
}

// showError explains the number that an error answer's error_uri carries.
func (h Handler) showError(w http.ResponseWriter, r *http.Request) error {
	v := view{Title: "What an error means"}
	number, err := strconv.Atoi(r.URL.Query().Get("code"))
	if err != nil || number < 1 {
		v.Error = "The address names no error."
		return h.render(w, r, http.StatusNotFound, "problem", v)
	}
	v.Number = "AADSTS" + strconv.Itoa(number)
	v.Time = h.Now().UTC().Format("2006-01-02 15:04:05 UTC")
	what, next := explain(number)
	v.Next = what + " " + next
	return h.render(w, r, http.StatusOK, "problem", v)
}

// notOffered answers clients that sign in by redirects, which this service does not offer, with the ways that it does.
func (h Handler) notOffered(w http.ResponseWriter, r *http.Request) error {
	return h.render(w, r, http.StatusBadRequest, "problem", view{
		Title: "Use a device code", Error: "Signing in by a redirect from an application is not offered by this service.",
		Next: "Close this window. In a terminal, sign in with a device code instead: “az login --use-device-code”, or “kubelogin get-token --login devicecode”.",
	})
}

// readForm reads a posted form. A field that comes twice is refused.
func readForm(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	if !web.IsForm(r) {
		return nil, fault.New(fault.Invalid, "", "The body is not a form.")
	}
	body, err := web.ReadBody(w, r, maxForm)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, fault.New(fault.Invalid, "", "The form cannot be read.").Because(err)
	}
	for name, values := range form {
		if len(values) > 1 {
			return nil, fault.New(fault.Invalid, "", "A field came twice.").At(name)
		}
	}
	return form, nil
}
