package mirror

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/keyreeve/keyreeve/internal/rbac"
)

// member is the mirror of one cluster: four reflectors over one connection.
type member struct {
	cfg  Config
	now  func() time.Time
	log  *slog.Logger
	http *http.Client
	rest rest.Interface

	changed func()

	ctx    context.Context //nolint:containedctx // the lifetime of the reflectors, which outlive every call
	cancel context.CancelFunc
	done   sync.WaitGroup

	// mu orders the writers; readers take what state points to.
	mu    sync.Mutex
	state atomic.Pointer[state]
}

// state is what is known at one moment. It does not change.
type state struct {
	rbac   *rbac.ClusterRBAC
	listed [kindCount]bool
	// down is since when each kind is out of touch; zero while it is in touch.
	down [kindCount]time.Time
	// told is whether the log has it that a kind is out of touch.
	told [kindCount]bool
}

func newMember(cfg Config, now func() time.Time, log *slog.Logger, changed func()) (*member, error) {
	httpClient, client, err := connect(cfg)
	if err != nil {
		return nil, err
	}
	m := &member{cfg: cfg, now: now, log: log, http: httpClient, rest: client, changed: changed}
	m.ctx, m.cancel = context.WithCancel(klog.NewContext(context.Background(), klog.Logger{})) // the reflectors' own words are for nobody
	st := &state{rbac: rbac.NewClusterRBAC()}
	for i := range st.down {
		st.down[i] = now()
	}
	m.state.Store(st)
	return m, nil
}

// inherit takes over the copy of a member that has stopped, as one out of touch.
func (m *member) inherit(old *member) {
	st := *old.state.Load()
	for i := range st.down {
		if st.down[i].IsZero() {
			st.down[i] = m.now()
		}
		st.told[i] = false
	}
	m.state.Store(&st)
}

func (m *member) start() {
	for i := range kinds() {
		k := &source{member: m, index: i, kind: kinds()[i]}
		r := cache.NewReflectorWithOptions(k, k.kind.example, k, cache.ReflectorOptions{
			Name: k.kind.resource, Logger: &klog.Logger{},
			// A cluster that starts again is back in a second or two; asking more rarely would leave the copy behind.
			Backoff: &wait.Backoff{Duration: 200 * time.Millisecond, Factor: 2, Jitter: 0.5, Steps: 10, Cap: 2 * time.Second},
		})
		m.done.Go(func() { r.RunWithContext(m.ctx) })
	}
}

// stop ends the reflectors and waits for them. It may be called again.
func (m *member) stop() {
	m.cancel()
	m.done.Wait()
	m.http.CloseIdleConnections()
}

func (m *member) view(now time.Time) (*rbac.ClusterRBAC, Status) {
	st := m.state.Load()
	out := Status{Configured: true, Synced: true}
	for i := range kindCount {
		out.Synced = out.Synced && st.listed[i]
		if d := st.down[i]; !d.IsZero() && (out.DisconnectedSince.IsZero() || d.Before(out.DisconnectedSince)) {
			out.DisconnectedSince = d
		}
	}
	out.Stale = !out.DisconnectedSince.IsZero() && now.Sub(out.DisconnectedSince) > m.cfg.Staleness
	if !out.Known() {
		return nil, out
	}
	return st.rbac, out
}

// update changes the state.
func (m *member) update(change func(*state)) {
	m.mu.Lock()
	next := *m.state.Load()
	change(&next)
	m.state.Store(&next)
	m.mu.Unlock()
	if m.changed != nil {
		m.changed()
	}
}

// touch notes that a kind was reached, or not. The log hears of each loss once.
func (m *member) touch(kind int, err error) {
	if m.ctx.Err() != nil {
		return // the end of the member is no loss
	}
	now := m.state.Load()
	switch {
	case err == nil && !now.down[kind].IsZero():
		m.update(func(s *state) { s.down[kind], s.told[kind] = time.Time{}, false })
	case err != nil && !now.told[kind]:
		m.log.Info("mirror is out of touch with cluster", "resource", kinds()[kind].resource, "error", err)
		m.update(func(s *state) {
			s.told[kind] = true
			if s.down[kind].IsZero() {
				s.down[kind] = m.now()
			}
		})
	}
}
