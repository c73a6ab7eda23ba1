package logon

import (
	"strings"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/oauth"
	"github.com/keyreeve/keyreeve/internal/world"
)

// Tenant returns the tenant that a path segment names: its id, or one of its domains, in any letter case. For
// organizations and common, the segments that leave it to whoever signs in, it returns the zero Tenant. Errors are
// *oauth.Error.
func Tenant(w *world.World, segment string) (directory.Tenant, error) {
	switch strings.ToLower(segment) {
	case oauth.Organizations, oauth.Common:
		return directory.Tenant{}, nil
	}
	if id, err := ident.Parse[ident.TenantID](segment); err == nil {
		if t, ok := w.Tenant(id); ok {
			return t, nil
		}
		return directory.Tenant{}, oauth.UnknownTenant(segment)
	}
	if !isDomain(segment) {
		return directory.Tenant{}, oauth.BadTenantName(printable(segment))
	}
	if t, ok := w.TenantByDomain(segment); ok {
		return t, nil
	}
	return directory.Tenant{}, oauth.UnknownTenant(segment)
}

// isDomain reports whether s could be a DNS name.
func isDomain(s string) bool {
	if len(s) == 0 || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for _, c := range []byte(label) {
			if c != '-' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
				return false
			}
		}
	}
	return true
}

// printable returns at most 64 characters of s that may stand in a message.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || r == 0xfffd {
			return -1
		}
		return r
	}, s)
	if r := []rune(s); len(r) > 64 {
		return string(r[:64]) + "…"
	}
	return s
}
