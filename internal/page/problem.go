package page

import (
	"net/http"
	"strconv"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/oauth"
)

// Problem shows what went wrong and what to do next.
func (p *Printer) Problem(w http.ResponseWriter, r *http.Request, err error) {
	v := View{Title: "That did not work", Time: p.stamp()}
	var status int
	if e, ok := oauth.As(err); ok {
		status = e.Status
		v.Number = e.Code()
		v.Error, v.Next = explain(e.Number)
		if status == http.StatusTooManyRequests {
			v.Error, v.Next = "Too many sign-ins from your network address went wrong.", "Wait a few minutes, then start again."
			w.Header().Set("Retry-After", "60")
		}
		if detailed(e.Number) {
			v.Resource = e.Text
		}
		if status == http.StatusUnauthorized {
			status = http.StatusBadRequest
		}
	} else {
		status = p.internal(w, fault.As(err).Kind, &v)
	}
	if rerr := p.Print(w, r, status, "problem", v); rerr != nil {
		http.Error(w, "Something went wrong.", http.StatusInternalServerError)
	}
}

// internal fills in what went wrong on the way, and returns the status.
func (p *Printer) internal(w http.ResponseWriter, kind fault.Kind, v *View) int {
	switch kind {
	case fault.Precondition:
		v.Error = "This page is out of date, was used already, or was opened in another window."
		v.Next = "Go back to the application or the terminal where you wanted to sign in, and start again there."
		return http.StatusBadRequest
	case fault.Forbidden:
		v.Error = "The request was sent by another web site, and was stopped."
		v.Next = "Nothing was changed. If you did not expect this page, close it."
		return http.StatusForbidden
	case fault.TooMany:
		w.Header().Set("Retry-After", "60")
		v.Error = "There were too many tries from your network address."
		v.Next = "Wait a few minutes. Then start again where you wanted to sign in."
		return http.StatusTooManyRequests
	case fault.Unavailable:
		v.Error, v.Next = "The service is busy.", "Wait a moment, then start again."
		return http.StatusServiceUnavailable
	case fault.TooLarge, fault.Invalid:
		v.Error, v.Next = "The request could not be read.", "Start again where you wanted to sign in."
		return http.StatusBadRequest
	default:
		v.Error = "Something went wrong on our side."
		v.Next = "Try again. If it stays so, tell your administrator and quote the correlation ID below."
		return http.StatusInternalServerError
	}
}

// Meaning shows what the number of an error means (error_uri).
func (p *Printer) Meaning(w http.ResponseWriter, r *http.Request, code string) error {
	v := View{Title: "What an error means"}
	number, err := strconv.Atoi(code)
	if err != nil || number < 1 {
		v.Error = "The address names no error."
		return p.Print(w, r, http.StatusNotFound, "problem", v)
	}
	v.Number, v.Time = "AADSTS"+strconv.Itoa(number), p.stamp()
	what, next := explain(number)
	v.Next = what + " " + next
	return p.Print(w, r, http.StatusOK, "problem", v)
}

// detailed reports whether whoever runs the application needs the error's own text to mend it.
func detailed(number int) bool {
	switch number {
	case 50011, 500113, 700016, 700054, 9002325, 501491, 90013, 900144, 9000411, 70011, 500011, 90002, 900023, 50020, 650057:
		return true
	}
	return false
}

// explain says in plain words what an AADSTS number means and what to do.
func explain(number int) (what, next string) {
	const tell = "Tell whoever runs the application, and quote what stands below."
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
	case 50020:
		return "This account belongs to another organization.", "Start again and use an account of the organization that the application asks for."
	case 50034:
		return "This account does not exist any more.", "Use another account, or ask your administrator."
	case 50173:
		return "This sign-in was ended by you or by an administrator.", "Sign in again."
	case 50011, 500113:
		return "The application wants the answer sent to an address that is not registered for it.", tell
	case 70016:
		return "The sign-in is waiting for somebody to type the code.", "Open the device page and type it."
	case 70018, 70019, 70020:
		return "The code was used already, or has expired.", "Start again where you wanted to sign in, to get a new code."
	case 65001:
		return "Nobody has allowed the application to do this on your behalf.", "Sign in to the application in a browser, where you can allow it, or ask your administrator."
	case 65004:
		return "The sign-in was declined.", "If that was not meant, start again."
	case 90094:
		return "Only an administrator may allow what this application asks for.", "Ask your administrator to allow it, and quote what stands below."
	case 700016:
		return "The application is not known here.", "Ask your administrator whether it is registered in your organization."
	case 7000215, 7000222:
		return "The application’s secret is wrong or has expired.", "Whoever runs the application must give it a new one."
	case 90002, 900023:
		return "There is no organization of that name here.", "Check the address, the domain or the tenant id."
	case 500011:
		return "The application asked for a resource that is not known here.", "Tell whoever runs the application."
	case 70011:
		return "The application asked for a permission that does not exist.", tell
	case 700054, 9002325, 501491, 90013, 900144, 9000411, 9002313:
		return "The application’s request is not right.", tell
	}
	return "The sign-in was refused.", "Tell your administrator, and quote what stands below."
}
