// Package mirror owns the copies of the clusters' own Roles, ClusterRoles and bindings: for each cluster a list and a
// watch of the four kinds, kept as a set that decisions read without waiting.
//
//	API server ── list, watch ──► reflector ──► Edit ──► atomic swap ──► View
//
// It only reads from clusters. It decides nothing; what it does not know for sure (not yet listed, out of touch for too
// long) it does not show.
package mirror

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/rbac"
)

// DefaultStaleness is how long a copy that is out of touch is still shown.
const DefaultStaleness = 15 * time.Minute

// Config says how to reach a cluster and who to be there. The identity needs get, list and watch on roles, clusterroles,
// rolebindings and clusterrolebindings.
type Config struct {
	// Host is the base URL of the API server, https://HOST:PORT.
	Host string
	// CA, Cert and Key are PEM: the authority that signed the server's certificate, and the client's own pair.
	CA, Cert, Key []byte
	// Token, or the file that holds it, is a bearer token in place of a client certificate.
	Token, TokenFile string
	// Staleness is how long the copy is shown while the cluster is out of touch; 0 means DefaultStaleness. Losing touch
	// without a word is noticed within about 8 s, which comes on top.
	Staleness time.Duration
}

func (c Config) equal(o Config) bool {
	return c.Host == o.Host && c.Token == o.Token && c.TokenFile == o.TokenFile && c.Staleness == o.Staleness &&
		bytes.Equal(c.CA, o.CA) && bytes.Equal(c.Cert, o.Cert) && bytes.Equal(c.Key, o.Key)
}

// Status says how good a copy is.
type Status struct {
	// Configured is false for a cluster that is not mirrored.
	Configured bool
	// Synced is true once all four kinds were listed.
	Synced bool
	// DisconnectedSince is when the first of the kinds lost touch; zero while all are in touch.
	DisconnectedSince time.Time
	// Stale is true when that was longer ago than the bound.
	Stale bool
}

// Known reports whether the copy may be decided from.
func (s Status) Known() bool { return s.Configured && s.Synced && !s.Stale }

// Set mirrors any number of clusters. It is safe for concurrent use.
type Set struct {
	Log *slog.Logger
	Now func() time.Time

	// change orders Ensure, Drop and Close; mu guards the map alone, so that View never waits for a connection to end.
	change   sync.Mutex
	mu       sync.RWMutex
	clusters map[ident.ClusterID]*member
	closed   bool

	// changed, if set, is called after every change of a copy. For tests, which wait for it.
	changed func()
}

// ErrClosed is the answer of a Set that was closed.
var ErrClosed = errors.New("mirror: closed")

// Ensure mirrors a cluster from now on, until Drop or Close; ctx bounds only the call. With the same configuration as
// before it does nothing. With another one it connects anew and shows the copy it has until then, as one out of touch.
// A configuration that cannot work is an error, and leaves things as they were; a cluster that does not answer is not: it is
// tried again for ever.
func (s *Set) Ensure(ctx context.Context, id ident.ClusterID, cfg Config) error {
	s.change.Lock()
	defer s.change.Unlock()
	if s.closed {
		return ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if cfg.Staleness == 0 {
		cfg.Staleness = DefaultStaleness
	}
	old := s.member(id)
	if old != nil && old.cfg.equal(cfg) {
		return nil
	}
	m, err := newMember(cfg, s.Now, s.Log.With("cluster", id.String()), s.changed)
	if err != nil {
		return err
	}
	if old != nil {
		old.stop()
		m.inherit(old)
	}
	s.mu.Lock()
	if s.clusters == nil {
		s.clusters = map[ident.ClusterID]*member{}
	}
	s.clusters[id] = m
	s.mu.Unlock()
	m.start()
	return nil
}

// Drop ends the mirroring of a cluster and forgets its copy.
func (s *Set) Drop(id ident.ClusterID) {
	s.change.Lock()
	defer s.change.Unlock()
	m := s.member(id)
	if m == nil {
		return
	}
	s.mu.Lock()
	delete(s.clusters, id)
	s.mu.Unlock()
	m.stop()
}

// View returns what is known of a cluster's own access rules, and nil when they are not known.
func (s *Set) View(id ident.ClusterID) (*rbac.ClusterRBAC, Status) {
	m := s.member(id)
	if m == nil {
		return nil, Status{}
	}
	return m.view(s.Now())
}

// Close ends all mirroring and returns when every goroutine has ended.
func (s *Set) Close() {
	s.change.Lock()
	defer s.change.Unlock()
	s.closed = true
	s.mu.Lock()
	all := s.clusters
	s.clusters = nil
	s.mu.Unlock()
	for _, m := range all {
		m.cancel()
	}
	for _, m := range all {
		m.stop()
	}
}

func (s *Set) member(id ident.ClusterID) *member {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.clusters[id]
}
