// Package fault owns the one error type of the system: a kind, a code and a text that may be shown, and a cause that may not.
//
// Rules and the store return it; each face has one table that turns it into its protocol's form. It knows no protocol.
package fault

import (
	"errors"
	"fmt"
)

// Kind says what went wrong, independent of any protocol. The zero Kind is Internal, so that a forgotten kind hides its text.
type Kind int

// The kinds of fault.
const (
	Internal        Kind = iota // ours; the public text says nothing of the cause
	Invalid                     // the request is malformed or against a rule
	Unauthenticated             // who is asking is not known
	Forbidden                   // known, and not allowed
	NotFound                    // what was named is not there
	Conflict                    // against the present state
	TooLarge                    // the request is over a size bound
	TooMany                     // asked too often
	Unavailable                 // cannot be answered now; the same request may succeed later
	Unsupported                 // understood, and not offered
	Precondition                // a condition sent with the request does not hold
)

// String returns the kind's name, for logs.
func (k Kind) String() string {
	names := [...]string{
		"internal", "invalid", "unauthenticated", "forbidden", "not found", "conflict",
		"too large", "too many", "unavailable", "unsupported", "precondition",
	}
	if k < 0 || int(k) >= len(names) {
		return "internal"
	}
	return names[k]
}

// Error is a fault. Code and Public may be shown to the caller; the cause is for the log alone.
type Error struct {
	Kind Kind
	// Code is the protocol's own code where the rule knows it, such as ResourceNotFound; else empty.
	Code string
	// Public is the text for the caller.
	Public string
	// Target names the field or parameter at fault, if any.
	Target string

	cause error
}

// New makes a fault with a public text.
func New(k Kind, code, format string, args ...any) *Error {
	return &Error{Kind: k, Code: code, Public: fmt.Sprintf(format, args...)}
}

// Wrap makes an internal fault of an error whose text must not be shown.
func Wrap(cause error, format string, args ...any) *Error {
	return &Error{Kind: Internal, Public: "An internal error occurred.", cause: fmt.Errorf(format+": %w", append(args, cause)...)}
}

// Because returns a copy with a hidden cause.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.cause = cause
	return &c
}

// At returns a copy that names the field at fault.
func (e *Error) At(target string) *Error {
	c := *e
	c.Target = target
	return &c
}

// Error returns the public half only; the cause is reached with Unwrap.
func (e *Error) Error() string {
	if e.Code != "" {
		return e.Code + ": " + e.Public
	}
	return e.Public
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.cause }

// As finds the fault in err's chain; any other error becomes an internal one. As(nil) is nil.
func As(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Kind: Internal, Public: "An internal error occurred.", cause: err}
}

// Is reports whether err is a fault of kind k.
func Is(err error, k Kind) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Kind == k
}
