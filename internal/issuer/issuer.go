// Package issuer owns the keys of other token issuers that applications trust (federated credentials): found by the
// issuer's own metadata (OpenID Connect Discovery 4), kept for a while, and looked up again when a token names a key
// that is not known.
//
//	issuer ─► ISSUER/.well-known/openid-configuration ─► jwks_uri ─► keys
//
// What is fetched is never shown to anybody; an issuer that does not answer well holds nobody up for long.
package issuer

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/keyreeve/keyreeve/internal/proof"
)

// Source finds the keys that an issuer signs with. ok is false for an issuer that it does not know.
type Source interface {
	Keys(ctx context.Context, issuer, kid string) (keys []jose.JSONWebKey, ok bool, err error)
}

// Chain asks several sources in turn; the first that knows the issuer answers.
type Chain []Source

// Keys implements Source.
func (c Chain) Keys(ctx context.Context, issuer, kid string) ([]jose.JSONWebKey, bool, error) {
	for _, s := range c {
		if keys, ok, err := s.Keys(ctx, issuer, kid); ok || err != nil {
			return keys, ok, err
		}
	}
	return nil, false, nil
}

// The bounds of what is fetched and kept.
const (
	maxDocument = 256 << 10
	maxKeys     = 100
	maxIssuers  = 1000
	timeout     = 5 * time.Second
	// keep is how long keys are used without asking again, stale how long they still count while the issuer does not answer.
	keep  = time.Hour
	stale = 24 * time.Hour
	// pause is how long an issuer is left alone after it was asked: tokens with made-up key ids do not make us ask for each.
	pause = 30 * time.Second
)

// Remote fetches over https from the public internet; where Networks has loopback addresses, from there also over http.
type Remote struct {
	// Networks are the addresses that may be asked beside those of the public internet.
	Networks []netip.Prefix
	// TLS says whose certificates are good; nil means those that the system trusts.
	TLS *tls.Config
	Now func() time.Time

	client  *http.Client
	once    sync.Once
	mu      sync.Mutex
	issuers map[string]*entry
}

type entry struct {
	mu    sync.Mutex
	keys  []jose.JSONWebKey
	at    time.Time // when keys were fetched
	tried time.Time
	err   error
	// flight is closed when the fetch that goes on has ended; nil while none does.
	flight chan struct{}
}

// Keys implements Source.
func (r *Remote) Keys(ctx context.Context, issuer, kid string) ([]jose.JSONWebKey, bool, error) {
	r.once.Do(r.init)
	if u, err := check(issuer); err != nil || u.RawQuery != "" {
		return nil, false, errors.Join(errors.New("issuer: this is no issuer"), err)
	}
	e := r.entry(issuer)
	e.mu.Lock()
	now := r.Now()
	if found := match(e.keys, kid); now.Sub(e.at) < keep && len(found) > 0 {
		e.mu.Unlock()
		return found, true, nil
	}
	if e.flight == nil && (e.tried.IsZero() || now.Sub(e.tried) >= pause) {
		e.tried, e.flight = now, make(chan struct{})
		// Whoever asked first may go away; the answer is for all.
		go r.refresh(context.WithoutCancel(ctx), issuer, e, e.flight)
	}
	flight := e.flight
	e.mu.Unlock()
	if flight != nil {
		select {
		case <-flight:
		case <-ctx.Done():
			return nil, false, fmt.Errorf("issuer: %w", ctx.Err())
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err != nil && now.Sub(e.at) >= stale {
		return nil, false, e.err
	}
	return match(e.keys, kid), true, nil
}

// refresh fetches an issuer's keys. While it does, those that are known go on to count for whoever needs no others.
func (r *Remote) refresh(ctx context.Context, issuer string, e *entry, flight chan struct{}) {
	keys, err := r.fetch(ctx, issuer)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err = err; err == nil {
		e.keys, e.at = keys, e.tried
	}
	e.flight = nil
	close(flight)
}

func (r *Remote) init() {
	r.issuers = map[string]*entry{}
	r.client = &http.Client{
		Transport:     r.transport(),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (r *Remote) entry(issuer string) *entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.issuers[issuer]
	if !ok {
		if len(r.issuers) >= maxIssuers {
			for k := range r.issuers { // any: it is fetched again when it is needed
				delete(r.issuers, k)
				break
			}
		}
		e = &entry{}
		r.issuers[issuer] = e
	}
	return e
}

// match returns the keys that a token may be signed with: the one that it names, or all if it names none.
func match(keys []jose.JSONWebKey, kid string) []jose.JSONWebKey {
	if kid == "" {
		return keys
	}
	var out []jose.JSONWebKey
	for _, k := range keys {
		if k.KeyID == kid {
			out = append(out, k)
		}
	}
	return out
}

func (r *Remote) fetch(ctx context.Context, issuer string) ([]jose.JSONWebKey, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var doc struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if err := r.get(ctx, strings.TrimSuffix(issuer, "/")+"/.well-known/openid-configuration", &doc); err != nil {
		return nil, err
	}
	if doc.Issuer != issuer { // OpenID Connect Discovery 4.3
		return nil, errors.New("issuer: the metadata names another issuer")
	}
	// One key that cannot be read must not hide the others.
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := r.get(ctx, doc.JWKSURI, &set); err != nil {
		return nil, err
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("issuer: there are more than %d keys", maxKeys)
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys {
		if k, ok := proof.VerificationKey(raw); ok {
			keys = append(keys, k)
		}
	}
	return keys, nil
}

func (r *Remote) get(ctx context.Context, address string, v any) error {
	u, err := check(address)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return fmt.Errorf("issuer: %w", err)
	}
	req.Header.Set("Accept", "application/json")
	res, err := r.client.Do(req)
	if err != nil {
		return fmt.Errorf("issuer: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("issuer: %s answered %d", u.Host, res.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxDocument+1))
	if err != nil {
		return fmt.Errorf("issuer: %w", err)
	}
	if len(body) > maxDocument {
		return fmt.Errorf("issuer: the answer of %s is larger than %d bytes", u.Host, maxDocument)
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("issuer: the answer of %s is no such JSON", u.Host)
	}
	return nil
}

// check returns an address that may be fetched.
func check(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return nil, errors.New("issuer: this is no address of an issuer")
	}
	if u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname()) {
		return u, nil
	}
	return nil, errors.New("issuer: only https is used, or http on this machine")
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
