package proof

import (
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
)

// FederatedCredential is trust in a token of somebody else (federatedIdentityCredential): an application or a
// user-assigned managed identity may sign in with a token whose issuer, subject and one audience are these, compared
// exactly and with case.
type FederatedCredential struct {
	ID ident.ObjectID `json:"id"`
	// Owner is the application's object id, or that of a managed identity's service principal.
	Owner  ident.ObjectID `json:"owner"`
	Tenant ident.TenantID `json:"tenant"`
	// AppID is the client that signs in with it.
	AppID       ident.ClientID `json:"appId"`
	Name        string         `json:"name"`
	Issuer      string         `json:"issuer"`
	Subject     string         `json:"subject"`
	Audiences   []string       `json:"audiences"`
	Description string         `json:"description,omitempty"`
}

// MaxFederated is how many federated credentials an application or a managed identity may have. The real service's 20 is a limit
// that every large cluster meets; ours is there only so that one object cannot fill the database.
const MaxFederated = 10_000

const (
	minFederatedName = 3
	maxFederatedName = 120
	maxFederatedText = 600
)

// Check refuses a credential that is against the rules. Its errors are faults that name the property.
func (c FederatedCredential) Check() error {
	bad := func(property string) error {
		return fault.New(fault.Invalid, "Request_BadRequest", "Invalid value specified for property '%s' of resource 'FederatedIdentityCredential'.", property).At(property)
	}
	if !goodFederatedName(c.Name) {
		return bad("name")
	}
	issuer, err := url.Parse(c.Issuer)
	if err != nil || !plain(c.Issuer, true) || issuer.Host == "" || issuer.Scheme != "https" && !loopback(issuer) ||
		issuer.RawQuery != "" || issuer.Fragment != "" || issuer.User != nil {
		return bad("issuer")
	}
	if !plain(c.Subject, true) || strings.TrimSpace(c.Subject) != c.Subject {
		return bad("subject")
	}
	if len(c.Audiences) != 1 || !plain(c.Audiences[0], true) {
		return bad("audiences")
	}
	if !plain(c.Description, false) {
		return bad("description")
	}
	return nil
}

// loopback issuers need no TLS: the token never leaves the machine.
func loopback(u *url.URL) bool {
	return u.Scheme == "http" && (u.Hostname() == "127.0.0.1" || u.Hostname() == "::1" || u.Hostname() == "localhost")
}

// goodFederatedName takes what can stand in a URL: letters, digits, - and _, the first a letter or digit.
func goodFederatedName(name string) bool {
	if len(name) < minFederatedName || len(name) > maxFederatedName {
		return false
	}
	for i := range len(name) {
		c := name[i]
		alnum := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !alnum && (i == 0 || c != '-' && c != '_') {
			return false
		}
	}
	return true
}

func plain(s string, required bool) bool {
	return (s != "" || !required) && utf8.ValidString(s) && utf8.RuneCountInString(s) <= maxFederatedText &&
		!strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}
