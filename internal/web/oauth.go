package web

import (
	"net/http"
	"time"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/oauth"
)

// OAuth adapts a handler that returns *oauth.Error besides faults, so that the log tells them from faults of ours.
func OAuth(h Handler) Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		err := h(w, r)
		e, ok := oauth.As(err)
		if !ok {
			return err
		}
		kind := fault.Invalid
		switch {
		case e.Word == oauth.ServerError:
			kind = fault.Internal
		case e.Status == http.StatusServiceUnavailable:
			kind = fault.Unavailable
		case e.Status == http.StatusTooManyRequests:
			kind = fault.TooMany
		case e.Status == http.StatusUnauthorized:
			kind = fault.Unauthenticated
		}
		if cause := e.Unwrap(); cause != nil {
			EventOf(r).Add("why", cause.Error())
		}
		return fault.New(kind, e.Code(), "%s", e.Text).Because(e)
	}
}

// OAuthError is the one map from errors to OAuth errors.
func OAuthError(err error) *oauth.Error {
	if e, ok := oauth.As(err); ok {
		return e
	}
	f := fault.As(err)
	switch f.Kind {
	case fault.TooLarge:
		return oauth.TooLarge()
	case fault.Unavailable:
		return oauth.Busy().Because(err)
	case fault.TooMany:
		return oauth.TooMany().Because(err)
	case fault.Invalid:
		return oauth.Malformed(f.Public).Because(err)
	default:
		return oauth.Internal(err)
	}
}

// OAuthErrors returns the error writer of the token service's endpoints; base is the login address.
func OAuthErrors(base string, now func() time.Time) ErrorWriter {
	return func(w http.ResponseWriter, r *http.Request, err error) {
		e := OAuthError(err)
		ev := EventOf(r)
		NoStore(w)
		w.Header().Set("x-ms-request-id", ev.RequestID.String())
		if _, _, basic := r.BasicAuth(); basic && e.Status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Basic realm="token"`) // RFC 6749 5.2
		}
		if e.Status == http.StatusTooManyRequests || e.Status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "1")
		}
		_ = WriteJSON(w, e.Status, "application/json; charset=utf-8",
			e.Body(base, ev.RequestID.String(), Correlation(ev), now()))
	}
}

// Correlation is the client's own id of a request if it is a GUID, else the request's id.
func Correlation(ev *Event) string {
	if ident.IsGUID(ev.ClientRequestID) {
		return ev.ClientRequestID
	}
	return ev.RequestID.String()
}

// NoStore keeps an answer out of every cache (RFC 6749 5.1).
func NoStore(w http.ResponseWriter) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Pragma", "no-cache")
}
