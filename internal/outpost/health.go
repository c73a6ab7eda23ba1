package outpost

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
)

// counts are the answers of the webhooks by what became of them.
type counts struct {
	answered, unknown, refused atomic.Int64
}

// around counts what a handler answers.
func (c *counts) around(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := &statusOf{ResponseWriter: w, code: http.StatusOK}
		h.ServeHTTP(s, r)
		switch s.code {
		case http.StatusOK:
			c.answered.Add(1)
		case http.StatusServiceUnavailable:
			c.unknown.Add(1)
		default:
			c.refused.Add(1)
		}
	})
}

type statusOf struct {
	http.ResponseWriter
	code int
}

// WriteHeader notes the status.
func (s *statusOf) WriteHeader(code int) {
	s.code = code
	s.ResponseWriter.WriteHeader(code)
}

// Unwrap serves http.ResponseController.
func (s *statusOf) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// trouble says why the gate cannot decide everything; empty when it can.
func (g *Gate) trouble() []string {
	var out []string
	if g.follow.revoked.Load() {
		out = append(out, "the control plane has revoked this gate")
	} else if g.hooks.current.Load() == nil {
		out = append(out, "the gate was told nothing yet")
	}
	if g.stale() {
		out = append(out, "the control plane was not heard from for longer than "+g.s.staleness.String())
	}
	if _, st := g.mirror.View(g.s.cluster); !st.Known() {
		out = append(out, "the cluster's own roles and bindings are not known")
	}
	return out
}

func (g *Gate) stale() bool { return g.now().Sub(g.follow.Heard()) > g.s.staleness }

func (g *Gate) healthMux() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if why := g.trouble(); len(why) > 0 {
			http.Error(w, strings.Join(why, "\n"), http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_, _ = w.Write([]byte(g.metrics()))
	})
	return mux
}

// metrics are in the text form of Prometheus.
func (g *Gate) metrics() string {
	var b strings.Builder
	one := func(name, help string, value any) {
		fmt.Fprintf(&b, "# HELP keyreeve_gate_%s %s\n# TYPE keyreeve_gate_%s gauge\nkeyreeve_gate_%s %v\n", name, help, name, name, value)
	}
	bit := func(v bool) int {
		if v {
			return 1
		}
		return 0
	}
	one("revision", "Newest revision that the gate decides by.", g.follow.revision.Load())
	one("connected", "1 while the stream from the control plane is open.", bit(g.follow.connected.Load()))
	heard := -1.0
	if at := g.follow.Heard(); !at.IsZero() {
		heard = g.now().Sub(at).Seconds()
	}
	one("heard_seconds", "Seconds since the control plane was heard from; -1 if never.", heard)
	one("stale", "1 when the gate stopped deciding for age.", bit(g.stale()))
	one("revoked", "1 after the control plane said that this gate is revoked.", bit(g.follow.revoked.Load()))
	_, st := g.mirror.View(g.s.cluster)
	one("mirror_known", "1 while the cluster's own roles and bindings are known.", bit(st.Known()))
	one("certificate_expiry_seconds", "Time at which the gate's certificate ends, in seconds since 1970.", g.link.identity().NotAfter.Unix())
	fmt.Fprintf(&b, "# HELP keyreeve_gate_answers_total Answers to the API server.\n# TYPE keyreeve_gate_answers_total counter\n")
	for _, c := range []struct {
		outcome string
		n       int64
	}{{"decided", g.counts.answered.Load()}, {"unknown", g.counts.unknown.Load()}, {"refused", g.counts.refused.Load()}} {
		fmt.Fprintf(&b, "keyreeve_gate_answers_total{outcome=%q} %d\n", c.outcome, c.n)
	}
	return b.String()
}
