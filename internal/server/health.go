package server

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// health says how a production server is, to load balancers and to Prometheus.
type health struct {
	server   *Server
	registry *prometheus.Registry
	requests *prometheus.HistogramVec
	leading  atomic.Bool
	draining atomic.Bool
}

func newHealth(s *Server) *health {
	h := &health{server: s, registry: prometheus.NewRegistry()}
	h.requests = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "keyreeve_http_request_duration_seconds", Help: "Time to answer a request.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
	}, []string{"face", "code"})
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	bit := func(v bool) float64 {
		if v {
			return 1
		}
		return 0
	}
	h.registry.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), h.requests,
		gauge("keyreeve_revision", "Newest revision that this process decides by.", func() float64 { return float64(s.db.Head()) }),
		gauge("keyreeve_feed_age_seconds", "Time since this process last knew its revision to be the database's.",
			func() float64 { return s.cfg.Now().Sub(s.db.Checked()).Seconds() }),
		gauge("keyreeve_leader", "1 while this process does the work that one process does.", func() float64 { return bit(h.leading.Load()) }),
		gauge("keyreeve_ready", "1 while /readyz says yes.", func() float64 { return bit(len(h.trouble()) == 0) }),
	)
	return h
}

// leads notes whether this process leads.
func (h *health) leads(yes bool) {
	if h != nil {
		h.leading.Store(yes)
	}
}

// measured measures what a face answers.
func (h *health) measured(face string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := h.server.cfg.Now()
		noted := &noteCode{ResponseWriter: w, code: http.StatusOK}
		next.ServeHTTP(noted, r)
		h.requests.WithLabelValues(face, fmt.Sprintf("%dxx", noted.code/100)).Observe(h.server.cfg.Now().Sub(start).Seconds())
	})
}

// noteCode notes the status of an answer.
type noteCode struct {
	http.ResponseWriter
	code int
}

// WriteHeader notes the status.
func (n *noteCode) WriteHeader(code int) {
	n.code = code
	n.ResponseWriter.WriteHeader(code)
}

// Unwrap serves http.ResponseController.
func (n *noteCode) Unwrap() http.ResponseWriter { return n.ResponseWriter }

// trouble says why this process should get no requests; empty when it should. A database that is away is no reason while
// access may be decided from memory: every process would be taken away at once.
func (h *health) trouble() []string {
	var out []string
	s := h.server
	if h.draining.Load() {
		out = append(out, "shutting down")
	}
	if _, _, err := s.world.Status(); err != nil {
		out = append(out, "the world cannot be kept: decisions are unknown")
	}
	if age := s.cfg.Now().Sub(s.db.Checked()); age > s.cfg.Serve.Staleness() {
		out = append(out, "the database was not heard from for longer than "+s.cfg.Serve.MaxStaleness)
	}
	return out
}

func (h *health) handler() http.Handler {
	mux := http.NewServeMux()
	say := func(w http.ResponseWriter, trouble []string) {
		if len(trouble) > 0 {
			http.Error(w, strings.Join(trouble, "\n"), http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprintln(w, "ok")
	}
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { say(w, nil) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { say(w, h.trouble()) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(h.registry, promhttp.HandlerOpts{}))
	return mux
}

// drain says no on /readyz once ctx has ended, and lets the listeners go on until load balancers have noticed.
func (s *Server) drain(ctx context.Context, stop context.CancelFunc) error {
	defer stop()
	<-ctx.Done()
	s.health.draining.Store(true)
	if delay := s.cfg.Serve.Delay(); delay > 0 {
		s.log.InfoContext(ctx, "shutting down", "listenersCloseIn", delay)
		t := time.NewTimer(delay)
		defer t.Stop()
		<-t.C
	}
	return nil
}
