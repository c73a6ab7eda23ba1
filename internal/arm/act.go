package arm

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/keyreeve/keyreeve/internal/caller"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/web"
)

// Call is a request that the program itself makes of the face, in the name of a caller.
type Call struct {
	Method string
	// ID is the resource id that the call is about, not escaped; Action, if set, follows it in the path.
	ID, Action string
	APIVersion string
	Body       []byte
	// Correlation joins it to what it is done for, in the activity log.
	Correlation string
}

// Reply is what the face answered.
type Reply struct {
	Status int
	Header http.Header
	Body   []byte
}

// Act serves a call as it would the same request of that caller, with what the caller may do now: there is one way to each
// operation. Whoever calls has made sure that the caller is who it says.
func (f *Face) Act(ctx context.Context, who caller.Caller, c Call) (Reply, error) {
	r, err := c.request(ctx)
	if err != nil {
		return Reply{}, err
	}
	f.own.Do(f.mountOwn)
	rec := &reply{header: http.Header{}}
	serve := func(w http.ResponseWriter, r *http.Request) error { return f.serveAs(as(who), w, r) }
	web.Adapter{Log: f.Log, Now: f.Now, Face: "arm", WriteError: f.writeError}.Handle(serve).ServeHTTP(rec, r)
	if err := ctx.Err(); err != nil {
		return Reply{}, err
	}
	return Reply{Status: max(rec.status, http.StatusOK), Header: rec.header, Body: rec.body.Bytes()}, nil
}

// MayAct returns why Act would refuse a call before anything is done: there is no such operation or no such group, the caller
// lacks the right, or a lock forbids it. What only the operation itself can tell is not asked.
func (f *Face) MayAct(ctx context.Context, who caller.Caller, c Call) error {
	r, err := c.request(ctx)
	if err != nil {
		return err
	}
	f.own.Do(f.mountOwn)
	req, err := f.routed(&reply{header: http.Header{}}, r)
	if err != nil || req.route.Public {
		return err
	}
	req.auth = as(who)
	return f.admit(req.w, req)
}

func (c Call) request(ctx context.Context) (*http.Request, error) {
	var path strings.Builder
	for s := range strings.SplitSeq(strings.Trim(c.ID, "/"), "/") {
		path.WriteString("/" + url.PathEscape(s))
	}
	if c.Action != "" {
		path.WriteString("/" + url.PathEscape(c.Action))
	}
	r, err := http.NewRequestWithContext(ctx, c.Method, path.String()+"?"+url.Values{"api-version": {c.APIVersion}}.Encode(), bytes.NewReader(c.Body))
	if err != nil {
		return nil, fault.New(fault.Invalid, "InvalidRequestUri", "The request URI is invalid.").Because(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if c.Correlation != "" {
		r.Header.Set("x-ms-correlation-request-id", c.Correlation)
	}
	return r, nil
}

// as authenticates every request as one caller.
type as caller.Caller

func (a as) Authenticate(*http.Request) (caller.Caller, error) { return caller.Caller(a), nil }

// reply takes an answer.
type reply struct {
	status int
	header http.Header
	body   bytes.Buffer
}

var _ io.Writer = (*reply)(nil)

func (r *reply) Header() http.Header { return r.header }

func (r *reply) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

func (r *reply) Write(b []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(b)
}

// Detail is one of several errors in one.
type Detail struct {
	Code    string   `json:"code"`
	Message string   `json:"message"`
	Target  string   `json:"target,omitempty"`
	Details []Detail `json:"details,omitempty"`
}

type detailedError struct {
	err     error
	details []Detail
}

func (e *detailedError) Error() string { return e.err.Error() }
func (e *detailedError) Unwrap() error { return e.err }

// WithDetails adds to an error the errors that it is made of.
func WithDetails(err error, details ...Detail) error { return &detailedError{err, details} }

func detailsOf(err error) []Detail {
	if e, ok := errors.AsType[*detailedError](err); ok {
		return e.details
	}
	return nil
}

// DetailOf writes an error as part of another one.
func DetailOf(err error) Detail {
	e := fault.As(err)
	if e.Kind == fault.Internal {
		return Detail{Code: "InternalServerError", Message: "An internal error occurred."}
	}
	return Detail{Code: errorCode(e), Message: e.Public, Target: e.Target, Details: detailsOf(err)}
}
