package quick

import (
	"errors"
	"strings"
)

// Describe returns an error's text with its causes. What a face hides from a caller, the person at this terminal may see.
func Describe(err error) string {
	text := err.Error()
	if several, ok := err.(interface{ Unwrap() []error }); ok { // itself a list of errors
		var plain, all []string
		for _, e := range several.Unwrap() {
			plain, all = append(plain, e.Error()), append(all, Describe(e))
		}
		if text == strings.Join(plain, "\n") {
			return strings.Join(all, "\n")
		}
	}
	for e := errors.Unwrap(err); e != nil; e = errors.Unwrap(e) {
		if !strings.Contains(text, e.Error()) {
			text += ": " + e.Error()
		}
	}
	return text
}
