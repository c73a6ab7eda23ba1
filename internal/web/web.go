// Package web owns HTTP plumbing shared by the faces: handlers that return errors, one log event a request, bounded
// bodies, request ids.
//
// A face makes an Adapter with its own error writer; the cause of an error goes to the log, its public half to the caller.
package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
)

// Handler serves one request and returns what went wrong. After it has written, it must return nil.
type Handler func(w http.ResponseWriter, r *http.Request) error

// ErrorWriter writes an error in a protocol's own form.
type ErrorWriter func(w http.ResponseWriter, r *http.Request, err error)

// Adapter turns Handlers into http.Handlers: it recovers panics, writes errors and logs one event a request.
type Adapter struct {
	Log *slog.Logger
	Now func() time.Time
	// Face names the listener in the log: login, arm, graph, gate.
	Face string
	// WriteError is the face's own.
	WriteError ErrorWriter
}

// Event is the log entry of one request. Handlers fill it on the way; nothing secret goes in.
type Event struct {
	// RequestID identifies the request in the answer and in the log (x-ms-request-id, request-id, trace id).
	RequestID ident.GUID
	// ClientRequestID is what the client sent for its own use; at most 64 characters of it are kept.
	ClientRequestID string
	attrs           []slog.Attr
	describe        func() []slog.Attr
	level           slog.Level
	err             error
}

// Add puts a value into the log entry.
func (e *Event) Add(key string, value any) { e.attrs = append(e.attrs, slog.Any(key, value)) }

// Describe gives the rest of the log entry, to be asked for once, and only if the entry is written at all.
func (e *Event) Describe(f func() []slog.Attr) { e.describe = f }

// Raise logs the entry at a level of at least l. It starts at debug.
func (e *Event) Raise(l slog.Level) { e.level = max(e.level, l) }

type eventKey struct{}

// EventOf returns the log entry of a request; outside an Adapter it returns one that nobody reads.
func EventOf(r *http.Request) *Event {
	if e, ok := r.Context().Value(eventKey{}).(*Event); ok {
		return e
	}
	return &Event{RequestID: ident.New[ident.GUID]()}
}

// Handle adapts h.
func (a Adapter) Handle(h Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := a.Now()
		ev := &Event{RequestID: ident.New[ident.GUID](), ClientRequestID: clientRequestID(r), level: slog.LevelDebug}
		r = r.WithContext(context.WithValue(r.Context(), eventKey{}, ev))
		rec := &recorder{ResponseWriter: w}
		a.serve(h, rec, r, ev)
		a.log(r, rec, ev, start)
	})
}

// log writes the one entry of a request.
func (a Adapter) log(r *http.Request, rec *recorder, ev *Event, start time.Time) {
	level := ev.level
	if ev.err != nil {
		level = max(level, slog.LevelInfo)
		if fault.As(ev.err).Kind == fault.Internal {
			level = slog.LevelError
		}
	}
	if !a.Log.Enabled(r.Context(), level) {
		return
	}
	attrs := append([]slog.Attr{
		slog.String("face", a.Face), slog.String("method", r.Method), slog.String("path", r.URL.Path),
		slog.Int("status", rec.status()), slog.Duration("took", a.Now().Sub(start)),
		slog.String("requestId", ev.RequestID.String()),
	}, ev.attrs...)
	if ev.describe != nil {
		attrs = append(attrs, ev.describe()...)
	}
	if ev.err != nil {
		f := fault.As(ev.err)
		attrs = append(attrs, slog.String("error", f.Error()))
		if c := errors.Unwrap(f); c != nil {
			attrs = append(attrs, slog.String("cause", c.Error()))
		}
	}
	a.Log.LogAttrs(r.Context(), level, "request", attrs...)
}

func (a Adapter) serve(h Handler, w *recorder, r *http.Request, ev *Event) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if p == http.ErrAbortHandler { //nolint:errorlint // net/http compares this value itself
			panic(p)
		}
		ev.err = fault.New(fault.Internal, "", "An internal error occurred.")
		a.Log.ErrorContext(r.Context(), "panic in handler", "panic", p, "stack", string(debug.Stack()), "requestId", ev.RequestID.String())
		if w.code == 0 {
			a.WriteError(w, r, ev.err)
		}
	}()
	if err := h(w, r); err != nil {
		ev.err = err
		if w.code == 0 {
			a.WriteError(w, r, err)
		}
	}
}

func clientRequestID(r *http.Request) string {
	id := r.Header.Get("x-ms-client-request-id")
	if id == "" {
		id = r.Header.Get("client-request-id")
	}
	if len(id) > 64 {
		id = id[:64]
	}
	for _, c := range []byte(id) {
		if c < 0x21 || c > 0x7e {
			return ""
		}
	}
	return id
}

type recorder struct {
	http.ResponseWriter
	code int
}

func (r *recorder) WriteHeader(code int) {
	informational := code < http.StatusOK && code != http.StatusSwitchingProtocols // the answer is still to come
	if r.code == 0 && !informational {
		r.code = code
	}
	r.ResponseWriter.WriteHeader(code)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.code == 0 {
		r.code = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

// Unwrap serves http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *recorder) status() int {
	if r.code == 0 {
		return http.StatusOK
	}
	return r.code
}

// MaxBody is the largest request body any face reads, in bytes.
const MaxBody = 4 << 20

// ReadBody reads a request body of at most limit bytes.
func ReadBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	return AppendBody(make([]byte, 0, bytes.MinRead), w, r, limit)
}

// AppendBody reads a request body of at most limit bytes to the end of b.
func AppendBody(b []byte, w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	body := http.MaxBytesReader(w, r.Body, limit)
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, fault.New(fault.TooLarge, "RequestContentTooLarge", "The request body is larger than %d bytes.", limit)
		}
		if err != nil {
			return nil, fault.New(fault.Invalid, "InvalidRequestContent", "The request body could not be read.").Because(err)
		}
	}
}

// DecodeJSON reads a JSON body of at most MaxBody bytes into v. Unknown fields are let through, as the real services do;
// anything after the value is refused.
func DecodeJSON(w http.ResponseWriter, r *http.Request, v any) error {
	b, err := ReadBody(w, r, MaxBody)
	if err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	if err := dec.Decode(v); err != nil {
		return fault.New(fault.Invalid, "InvalidRequestContent", "The request content was invalid and could not be deserialized: '%s'.", jsonTrouble(err)).Because(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fault.New(fault.Invalid, "InvalidRequestContent", "The request content was invalid and could not be deserialized: 'more than one value'.")
	}
	return nil
}

// jsonTrouble says what is wrong with a JSON text without quoting it.
func jsonTrouble(err error) string {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return "field '" + e.Field + "' has the wrong type"
	}
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return "JSON syntax: " + e.Error()
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "unexpected end of JSON input"
	}
	return "a value is not of the form required"
}

// WriteJSON writes v with a status. HTML is not escaped, as the real services do not.
func WriteJSON(w http.ResponseWriter, status int, contentType string, v any) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fault.Wrap(err, "encode answer")
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(bytes.TrimSuffix(buf.Bytes(), []byte("\n"))) // the client is gone: nobody to tell
	return nil
}

// IsForm reports whether a request carries a form.
func IsForm(r *http.Request) bool {
	mt, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && mt == "application/x-www-form-urlencoded"
}
