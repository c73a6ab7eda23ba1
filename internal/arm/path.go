package arm

import (
	"net/url"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/internal/fault"
)

// Bounds of a request path.
const (
	maxPath     = 2048 // bytes, escaped
	maxSegments = 64
)

// splitPath cuts an escaped request path into its segments, unescaped once. One or two slashes may lead, one may trail.
// A segment that is empty, relative, or holds a slash or a control character after unescaping is refused: a scope made of
// segments must read back as the same segments. One empty segment is left out: that of a parent that a resource has not, which az writes
// between a provider and a type (providers/N//t/n).
func splitPath(escaped string) ([]string, error) {
	bad := func(why string) error {
		return fault.New(fault.Invalid, "InvalidRequestUri", "The request URI is invalid: %s.", why)
	}
	if len(escaped) > maxPath {
		return nil, bad("the path is too long")
	}
	rest, ok := strings.CutPrefix(escaped, "/")
	if !ok {
		return nil, bad("the path does not start with '/'")
	}
	rest = strings.TrimPrefix(rest, "/")
	rest = strings.TrimSuffix(rest, "/")
	if rest == "" {
		return nil, nil
	}
	segments := strings.Split(rest, "/")
	for i := 2; i+1 < len(segments); i++ {
		if segments[i] == "" && strings.EqualFold(segments[i-2], "providers") {
			segments = slices.Delete(segments, i, i+1)
		}
	}
	if len(segments) > maxSegments {
		return nil, bad("the path has too many segments")
	}
	for i, s := range segments {
		u, err := url.PathUnescape(s)
		if err != nil {
			return nil, bad("the path has a malformed escape")
		}
		if u == "" || u == "." || u == ".." {
			return nil, bad("the path has an empty or relative segment")
		}
		if !cleanSegment(u) {
			return nil, bad("a segment of the path has a character that is not allowed")
		}
		segments[i] = u
	}
	return segments, nil
}

// cleanSegment reports whether s is valid UTF-8 without slashes, backslashes and control characters.
func cleanSegment(s string) bool {
	for _, c := range s {
		if c < 0x20 || c == 0x7f || c == '/' || c == '\\' || c == '\uFFFD' || (c >= 0x80 && c < 0xa0) {
			return false
		}
	}
	return true
}

// scopeOf returns the id of what a path acts on: the path without a collection or an action at its end.
//
//	/subscriptions/s/resourceGroups                                         → /subscriptions/s
//	/subscriptions/s/resourceGroups/g/providers/N/t/n/listKeys              → /subscriptions/s/resourceGroups/g/providers/N/t/n
//	/subscriptions/s/resourceGroups/g/providers/N/t                         → /subscriptions/s/resourceGroups/g
//	/subscriptions/s/providers/N/register                                   → /subscriptions/s
//	/tenants                                                                → /
func scopeOf(segments []string) string {
	end, i := 0, 0
	for i+1 < len(segments) {
		if strings.EqualFold(segments[i], "providers") {
			// providers/{namespace}, or providers/{namespace}/{type}/{name}.
			i += 2
			if i+1 >= len(segments) {
				break
			}
		}
		i += 2
		end = i
	}
	return joinPath(segments[:end])
}

func joinPath(segments []string) string { return "/" + strings.Join(segments, "/") }
