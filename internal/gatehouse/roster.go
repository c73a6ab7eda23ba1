package gatehouse

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/gatefeed"
	"github.com/keyreeve/keyreeve/internal/ident"
)

// Roster keeps what gates said of themselves since this process started.
type Roster struct {
	mu    sync.Mutex
	gates map[ident.ClusterID]map[string]*Entry
	next  int
	own   map[ident.ClusterID]ownRules
}

// Entry is one gate.
type Entry struct {
	Fingerprint, Name, Version string
	Connected                  bool
	// Since is when it connected or went.
	Since      time.Time
	Revision   feed.Revision
	ReportedAt time.Time

	connection int
}

// entry returns the entry of a gate, new if need be. The lock is held.
func (r *Roster) entry(c ident.ClusterID, fingerprint string) *Entry {
	if r.gates == nil {
		r.gates = map[ident.ClusterID]map[string]*Entry{}
	}
	if r.gates[c] == nil {
		r.gates[c] = map[string]*Entry{}
	}
	e := r.gates[c][fingerprint]
	if e == nil {
		e = &Entry{Fingerprint: fingerprint}
		r.gates[c][fingerprint] = e
	}
	return e
}

func (r *Roster) connect(c ident.ClusterID, fingerprint string, now time.Time) (connection int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next++
	e := r.entry(c, fingerprint)
	e.Connected, e.Since, e.connection = true, now.UTC(), r.next
	return r.next
}

// disconnect notes the end of a connection, unless the gate has made another one meanwhile.
func (r *Roster) disconnect(c ident.ClusterID, fingerprint string, connection int, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.entry(c, fingerprint); e.connection == connection {
		e.Connected, e.Since = false, now.UTC()
	}
}

func (r *Roster) report(c ident.ClusterID, fingerprint string, in gatefeed.Report, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entry(c, fingerprint)
	e.Name, e.Version, e.Revision, e.ReportedAt = in.Name, in.Version, in.Revision, now.UTC()
}

// Of returns the gates of a cluster, ordered by name and fingerprint.
func (r *Roster) Of(c ident.ClusterID) []Entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]Entry, 0, len(r.gates[c]))
	for _, e := range r.gates[c] {
		out = append(out, *e)
	}
	slices.SortFunc(out, func(a, b Entry) int { return strings.Compare(a.Name+" "+a.Fingerprint, b.Name+" "+b.Fingerprint) })
	return out
}
