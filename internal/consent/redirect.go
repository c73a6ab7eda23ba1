package consent

import (
	"net/url"
	"strings"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/oauth"
)

// Kind says what sort of client listens at a redirect URI.
type Kind string

// The kinds.
const (
	Web    Kind = "web"
	SPA    Kind = "spa"
	Native Kind = "publicClient"
)

// Redirect is a place where answers to a client may go.
type Redirect struct {
	URI  string
	Kind Kind
}

// nativeHosts are where a program on the person's own machine listens, at a port it does not know before (RFC 8252 7.3).
func nativeHosts() [3]string { return [...]string{"localhost", "127.0.0.1", "[::1]"} }

// firstPartyRedirects are those of the public clients that people run on their own machines.
func firstPartyRedirects(a directory.FirstParty) []Redirect {
	if !a.Public {
		return nil
	}
	return []Redirect{{"http://localhost", Native}, {"http://127.0.0.1", Native}}
}

func registeredRedirects(a directory.Application) []Redirect {
	var out []Redirect
	for _, group := range []struct {
		uris []string
		kind Kind
	}{{a.WebRedirectURIs, Web}, {a.SPARedirectURIs, SPA}, {a.PublicRedirectURIs, Native}} {
		for _, u := range group.uris {
			kind := group.kind
			if a.Public && kind == Web {
				kind = Native // it has no secret anywhere
			}
			out = append(out, Redirect{u, kind})
		}
	}
	return out
}

// maxRedirect is the longest redirect URI that is looked at, in bytes.
const maxRedirect = 2048

// Redirect returns the registered place that a redirect_uri is. Without one, a client with a single place means that.
// Strings are compared, byte for byte (RFC 9700 2.1); for the loopback interface over http the port may differ, and an
// empty path is the same as "/" (RFC 8252 7.3, RFC 3986 6.2.3).
func (c Client) Redirect(uri string) (Redirect, error) {
	if len(c.Redirects) == 0 {
		return Redirect{}, oauth.NoRedirect(c.ID.String())
	}
	if uri == "" {
		if len(c.Redirects) == 1 && !loopback(c.Redirects[0].URI) {
			return c.Redirects[0], nil
		}
		return Redirect{}, oauth.MissingParameter(oauth.ParamRedirectURI)
	}
	if len(uri) <= maxRedirect {
		for _, r := range c.Redirects {
			if r.URI == uri || sameLoopback(r.URI, uri) {
				return Redirect{URI: uri, Kind: r.Kind}, nil
			}
		}
	}
	return Redirect{}, oauth.BadRedirect(Clip(uri), c.ID.String())
}

// sameLoopback reports whether two URIs are the same but for the port, of a program on this machine.
func sameLoopback(registered, presented string) bool {
	if !loopback(registered) || !loopback(presented) {
		return false
	}
	a, errA := url.Parse(registered)
	b, errB := url.Parse(presented)
	if errA != nil || errB != nil || a.Hostname() != b.Hostname() {
		return false
	}
	return bare(a) == bare(b) && a.RawQuery == b.RawQuery
}

// bare is the path of a URI as it is written, an empty one as "/".
func bare(u *url.URL) string {
	if p := u.EscapedPath(); p != "" {
		return p
	}
	return "/"
}

// loopback reports whether a URI is http on the loopback interface: with a host and perhaps a port of digits, and
// nothing that parsers read differently.
func loopback(uri string) bool {
	rest, ok := strings.CutPrefix(uri, "http://")
	if !ok || strings.ContainsAny(uri, "#\\@") {
		return false
	}
	authority, _, _ := strings.Cut(rest, "/")
	authority, _, _ = strings.Cut(authority, "?")
	for _, host := range nativeHosts() {
		port, ok := strings.CutPrefix(authority, host)
		if ok && (port == "" || isPort(port)) {
			return true
		}
	}
	return false
}

func isPort(s string) bool {
	digits, ok := strings.CutPrefix(s, ":")
	return ok && len(digits) > 0 && len(digits) <= 5 && strings.Trim(digits, "0123456789") == ""
}

// Loopback reports whether the answer goes to a program on the person's own machine. Whoever runs there can pose as the
// client (RFC 8252 8.6).
func (r Redirect) Loopback() bool { return loopback(r.URI) }

// Origin is the part of the URI that a browser's policies name: scheme, host and port, or the scheme of an app's own.
func (r Redirect) Origin() string {
	u, err := url.Parse(r.URI)
	if err != nil {
		return ""
	}
	if u.Scheme == "http" || u.Scheme == "https" {
		return u.Scheme + "://" + u.Host
	}
	return u.Scheme + ":"
}
