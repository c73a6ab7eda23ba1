package grant

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/keyreeve/keyreeve/internal/consent"
	"github.com/keyreeve/keyreeve/internal/logon"
	"github.com/keyreeve/keyreeve/internal/oauth"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/token"
)

// assertionType is the only kind of client assertion (RFC 7523 2.2).
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// checkAssertion checks a client assertion: one that the application made about itself, or a token of somebody whom it
// trusts. The two differ in their issuer.
func (h Handler) checkAssertion(ctx context.Context, req *request) error {
	if t := req.form["client_assertion_type"]; t != assertionType {
		if t == "" {
			return oauth.MissingParameter("client_assertion_type")
		}
		return oauth.Malformed("client_assertion_type '" + consent.Clip(t) + "' is not offered")
	}
	a, err := proof.ParseAssertion(req.form[oauth.ParamAssertion])
	if err != nil {
		return oauth.BadAssertion(err.Error())
	}
	req.client.method = token.ClientAssert
	own := strings.EqualFold(a.Issuer, req.client.ID.String()) || strings.EqualFold(a.Subject, req.client.ID.String())
	if own && !req.client.Managed {
		return h.checkOwn(ctx, req, a)
	}
	return h.checkFederated(ctx, req, a)
}

// checkOwn checks an assertion that the application signed with the key of a certificate.
func (h Handler) checkOwn(ctx context.Context, req *request, a proof.Assertion) error {
	id := req.client.ID.String()
	switch {
	case !strings.EqualFold(a.Issuer, id) || !strings.EqualFold(a.Subject, id):
		return oauth.AssertionOfOther()
	case !slices.ContainsFunc(a.Audiences, func(aud string) bool { return h.isEndpoint(req, aud) }):
		return oauth.AssertionAudience()
	case !a.Timely(req.now, true):
		return oauth.AssertionTime(req.now, a.NotBefore, a.Expires)
	}
	var keys []proof.ClientKey
	err := h.DB.View(ctx, func(tx *store.Tx) (err error) {
		keys, err = tx.ClientKeys(req.client.ID)
		return err
	})
	if err != nil {
		return err
	}
	keys = slices.DeleteFunc(keys, func(k proof.ClientKey) bool { return !req.client.Owns(k.Owner) })
	switch err := a.CheckKey(keys, req.now); {
	case errors.Is(err, proof.ErrKey):
		return oauth.UnknownAssertion()
	case errors.Is(err, proof.ErrSignature), errors.Is(err, proof.ErrKeyExpired):
		return oauth.AssertionSignature(err.Error())
	case err != nil:
		return err
	}
	if a.ID != "" && !h.replays.fresh(id+" "+a.ID, req.origin.RemoteAddr, a.Expires, req.now) {
		return oauth.AssertionReplayed()
	}
	return nil
}

// isEndpoint reports whether an audience is the token endpoint or the issuer of the tenant that was asked, in any of
// the spellings that are published.
func (h Handler) isEndpoint(req *request, aud string) bool {
	base, err1 := url.Parse(h.BaseURL)
	u, err2 := url.Parse(aud)
	if err1 != nil || err2 != nil || u.Scheme != base.Scheme || !strings.EqualFold(u.Host, base.Host) || u.User != nil || u.Fragment != "" {
		return false
	}
	// The library of version 1 has its api-version in the endpoint.
	if u.RawQuery != "" && u.RawQuery != "api-version=1.0" {
		return false
	}
	parts := strings.FieldsFunc(u.Path, func(r rune) bool { return r == '/' })
	if len(parts) > 2 && strings.EqualFold(parts[0], "adfs") {
		parts = parts[2:]
	}
	if len(parts) == 0 {
		return false
	}
	tenant, err := logon.Tenant(h.World, parts[0])
	if err != nil || tenant.ID != req.tenant.ID {
		return false
	}
	switch strings.ToLower(strings.Join(parts[1:], "/")) {
	case "", "v2.0", "oauth2/token", "oauth2/v2.0/token":
		return true
	}
	return false
}

// checkFederated checks a token of an issuer that the application or the managed identity trusts. Keys are looked up
// only for issuers that a credential names.
func (h Handler) checkFederated(ctx context.Context, req *request, a proof.Assertion) error {
	var list []proof.FederatedCredential
	err := h.DB.View(ctx, func(tx *store.Tx) (err error) {
		list, err = tx.FederatedCredentials(req.client.ID)
		return err
	})
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(c proof.FederatedCredential) bool { return !req.client.Owns(c.Owner) })
	if _, m := a.Federated(list); m != proof.Match {
		return oauth.NoFederatedCredential(int(m), consent.Clip(a.Issuer), consent.Clip(a.Subject), consent.Clip(strings.Join(a.Audiences, ", ")))
	}
	if !a.Timely(req.now, false) {
		return oauth.AssertionTime(req.now, a.NotBefore, a.Expires)
	}
	if h.Issuers == nil {
		return oauth.IssuerUnknown(consent.Clip(a.Issuer))
	}
	keys, ok, err := h.Issuers.Keys(ctx, a.Issuer, a.KeyID)
	if err != nil || !ok {
		return oauth.IssuerUnknown(consent.Clip(a.Issuer)).Because(err)
	}
	if slices.ContainsFunc(keys, a.VerifyPublished) {
		return nil
	}
	return oauth.AssertionForged()
}

// replays remembers from where statements were presented that applications made about themselves. Clients present one
// for as long as it is good (MSAL for Python keeps it ten minutes), so it cannot be good for one use only; but one that
// comes from ever more addresses was copied.
type replays struct {
	mu   sync.Mutex
	seen map[string]seen
}

type seen struct {
	from    []string
	expires time.Time
}

// The bounds: a client may change its address now and then; and memory ends.
const (
	maxAddresses = 3
	maxSeen      = 10_000
)

// fresh notes that an assertion came from an address, and reports whether that may be.
func (r *replays) fresh(id, address string, expires, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.seen[id]
	if slices.Contains(s.from, address) {
		return true
	}
	if len(s.from) >= maxAddresses {
		return false
	}
	if len(r.seen) >= maxSeen {
		r.forget(now)
	}
	if r.seen == nil {
		r.seen = map[string]seen{}
	}
	r.seen[id] = seen{from: append(s.from, address), expires: expires}
	return true
}

// forget drops what is over; if that is not enough, any others, which can only be lenient.
func (r *replays) forget(now time.Time) {
	for id, s := range r.seen {
		if !now.Before(s.expires.Add(proof.AssertionSkew)) {
			delete(r.seen, id)
		}
	}
	for id := range r.seen {
		if len(r.seen) < maxSeen*15/16 {
			return
		}
		delete(r.seen, id)
	}
}
