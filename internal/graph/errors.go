package graph

import (
	"net/http"
	"strings"

	"github.com/keyreeve/keyreeve/internal/caller"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/web"
)

// wireError is the error object of Microsoft Graph, in the order the service writes it.
type wireError struct {
	Code       string       `json:"code"`
	Message    string       `json:"message"`
	Details    []wireDetail `json:"details,omitempty"`
	InnerError innerError   `json:"innerError"`
}

type wireDetail struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Target  string `json:"target"`
}

type innerError struct {
	Date            string `json:"date"`
	RequestID       string `json:"request-id"`
	ClientRequestID string `json:"client-request-id"`
}

// writeError is the one table from faults to Graph's answers.
func (h *Handler) writeError(w http.ResponseWriter, r *http.Request, err error) {
	f := fault.As(err)
	status, code := http.StatusInternalServerError, "InternalServerError"
	switch f.Kind {
	case fault.Invalid, fault.Precondition:
		status, code = http.StatusBadRequest, "Request_BadRequest"
		if f.Target == preconditionTarget {
			status = http.StatusPreconditionFailed
		}
	case fault.Unauthenticated:
		status, code = http.StatusUnauthorized, "InvalidAuthenticationToken"
		if w.Header().Get("WWW-Authenticate") == "" {
			challenge := `Bearer realm=""`
			if caller.Challengeable(err) {
				challenge += ", " + strings.TrimPrefix(caller.Challenge(err, h.LoginURL, ident.TenantID{}, h.Now()), "Bearer ")
			}
			w.Header().Set("WWW-Authenticate", challenge)
		}
	case fault.Forbidden:
		status, code = http.StatusForbidden, "Authorization_RequestDenied"
	case fault.NotFound:
		status, code = http.StatusNotFound, "Request_ResourceNotFound"
	case fault.Conflict:
		status, code = http.StatusConflict, "Request_MultipleObjectsWithSameKeyValue"
	case fault.TooLarge:
		status, code = http.StatusRequestEntityTooLarge, "RequestEntityTooLarge"
	case fault.TooMany:
		status, code = http.StatusTooManyRequests, "TooManyRequests"
	case fault.Unavailable:
		status, code = http.StatusServiceUnavailable, "ServiceUnavailable"
	case fault.Unsupported:
		status, code = http.StatusNotImplemented, "NotSupported"
		if f.Target == methodTarget {
			status = http.StatusMethodNotAllowed
		}
	case fault.Internal:
	}
	if f.Code != "" && f.Kind != fault.Internal {
		code = f.Code
	}
	ev := web.EventOf(r)
	body := wireError{Code: code, Message: f.Public, InnerError: innerError{
		Date: h.Now().UTC().Format("2006-01-02T15:04:05"), RequestID: ev.RequestID.String(), ClientRequestID: clientRequestID(ev),
	}}
	if store.IsExists(err) && f.Target != "" {
		body.Details = []wireDetail{{Code: "ObjectConflict", Message: f.Public, Target: f.Target}}
	}
	// The shape of an answer that has begun cannot be changed; nothing else can fail here.
	_ = web.WriteJSON(w, status, "application/json", map[string]wireError{"error": body})
}

// preconditionTarget marks the fault of a condition in the headers, which is answered with 412.
const preconditionTarget = "precondition"

func badRequest(format string, args ...any) *fault.Error {
	return fault.New(fault.Invalid, "Request_BadRequest", format, args...)
}

// absent is the answer for an object that is not there, or not in the caller's tenant. id is as it was asked for.
func absent(id string) *fault.Error {
	return fault.New(fault.NotFound, "Request_ResourceNotFound",
		"Resource '%s' does not exist or one of its queried reference-property objects are not present.", printable(id))
}
