package directory

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Fold is the form in which user principal names, display names and domains are compared: without case.
//
// Each rune folds by itself to its simple lower case, in no locale. A rune outside ASCII never folds into ASCII, so that
// the Kelvin sign is not a k and İ is not an i: names that look alike stay names of different objects. Nothing is
// expanded (ß is not ss) and nothing is composed. Fold(Fold(s)) is Fold(s).
func Fold(s string) string {
	for i := range len(s) {
		if c := s[i]; c >= utf8.RuneSelf || 'A' <= c && c <= 'Z' {
			return strings.Map(foldRune, s)
		}
	}
	return s
}

func foldRune(r rune) rune {
	l := unicode.ToLower(r)
	if r >= utf8.RuneSelf && l < utf8.RuneSelf {
		return r
	}
	return l
}
