package kubehook

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	authzv1 "k8s.io/api/authorization/v1"

	"github.com/keyreeve/keyreeve/internal/pki"
)

func BenchmarkDecide(b *testing.B) {
	g := newGate(b)
	for _, r := range rows() {
		switch r.name {
		case "admin", "by group", "by group, other verb", "certificate":
		default:
			continue
		}
		spec := r.spec()
		q, err := readQuestion(string(sarJSON(b, spec)))
		if err != nil {
			b.Fatal(err)
		}
		c, _ := g.World.Cluster(clusterID("one"))
		snap := snapshot{cluster: c, revision: 42}
		b.Run(strings.ReplaceAll(r.name, " ", "_"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if a := g.decide(&snap, &q); a.verdict != r.want {
					b.Fatal(a)
				}
			}
		})
	}
}

// BenchmarkCompareWebhook sets the webhook beside one that decodes the same reviews as most handlers do and always gives
// the same answer: over TLS with a client certificate and HTTP/2, as an API server asks, no review twice in a row. A third webhook, such
// as a guard, joins where KEYREEVE_BENCH_WEBHOOK gives its URL, and KEYREEVE_BENCH_WEBHOOK_CA, _CERT and _KEY files in PEM.
func BenchmarkCompareWebhook(b *testing.B) {
	g := newGate(b)
	g.mux.HandleFunc("POST /constant/{cluster}", func(w http.ResponseWriter, r *http.Request) {
		var in authzv1.SubjectAccessReview
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"kind":"SubjectAccessReview","apiVersion":"authorization.k8s.io/v1","status":{"allowed":true}}`)
	})
	s, c := newOverTLS(b, g.mux)
	id := clusterID("one").String()
	constant := hook{"constant-", c, s.URL + "/constant/" + id, distinct(b, token("dave", "dave"), "get pods x @dev")}
	peer, peerClient := peerWebhook(b)
	for _, senders := range []int{8, 32} {
		for _, r := range []row{
			{name: "admin", who: token("alice", "alice"), what: "get pods x @dev"},
			{name: "by_group", who: token("dave", "dave"), what: "get pods x @dev"},
			{name: "denied", who: token("dave", "dave"), what: "delete pods x @dev"},
			{name: "certificate", who: cert(adminName(), x509ID("good")), what: "get pods x @dev"},
		} {
			b.Run(fmt.Sprintf("%d_senders/%s", senders, r.name), func(b *testing.B) {
				reviews := distinct(b, r.who, r.what)
				hooks := []hook{constant, {"", c, s.URL + "/clusters/" + id + "/subjectaccessreview", reviews}}
				if peer != "" {
					hooks = append(hooks, hook{"peer-", peerClient, peer, reviews})
				}
				compareTLS(b, senders, hooks)
			})
		}
	}
}

// newOverTLS serves a handler as the gate's listener does, and makes a client with cluster one's certificate.
func newOverTLS(t testing.TB, handler http.Handler) (*httptest.Server, *http.Client) {
	t.Helper()
	now := time.Now()
	authority, err := pki.NewAuthority("gate", now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	pair := func(tmpl pki.Template) tls.Certificate {
		tmpl.Now, tmpl.Life = now, time.Hour
		p, err := authority.Issue(tmpl)
		if err != nil {
			t.Fatal(err)
		}
		c, err := tls.X509KeyPair([]byte(p.Cert), []byte(p.Key))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(authority.CertPEM()))
	s := httptest.NewUnstartedServer(handler)
	s.EnableHTTP2 = true
	s.TLS = &tls.Config{
		Certificates: []tls.Certificate{pair(pki.Template{CommonName: "gate", Hosts: []string{"127.0.0.1"}, Use: pki.Server})},
		ClientCAs:    pool, ClientAuth: tls.VerifyClientCertIfGiven,
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	c := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{
		RootCAs: pool, Certificates: []tls.Certificate{pair(pki.Template{CommonName: "cluster:" + clusterID("one").String()})},
	}}}
	t.Cleanup(c.CloseIdleConnections)
	return s, c
}

// distinct are reviews by one person of many objects.
func distinct(t tb, who func(*authzv1.SubjectAccessReviewSpec), what string) [][]byte {
	list := make([][]byte, 4096)
	for i := range list {
		spec := ask(what)
		who(&spec)
		spec.ResourceAttributes.Name = fmt.Sprintf("object-%d", i)
		list[i] = sarJSON(t, spec)
	}
	return list
}

// hook is a webhook, who asks it, and what it is sent. Its name is put before those of its figures.
type hook struct {
	name   string
	client *http.Client
	url    string
	bodies [][]byte
}

// peerWebhook is the webhook of another process, if there is one to compare with.
func peerWebhook(b *testing.B) (string, *http.Client) {
	url := os.Getenv("KEYREEVE_BENCH_WEBHOOK")
	if url == "" {
		return "", nil
	}
	ca, err := os.ReadFile(os.Getenv("KEYREEVE_BENCH_WEBHOOK_CA"))
	if err != nil {
		b.Fatal(err)
	}
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	config.RootCAs.AppendCertsFromPEM(ca)
	if cert := os.Getenv("KEYREEVE_BENCH_WEBHOOK_CERT"); cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, os.Getenv("KEYREEVE_BENCH_WEBHOOK_KEY"))
		if err != nil {
			b.Fatal(err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	c := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: config, MaxIdleConnsPerHost: 32}}
	b.Cleanup(c.CloseIdleConnections)
	return url, c
}

// compareTLS asks all in turns of some hundred requests, so that whatever else the machine does meets them alike. It
// reports requests per second of each and their ratio to the first; and, of those in this process, the ratio of the processor time
// that they took with their client.
func compareTLS(b *testing.B, senders int, hooks []hook) {
	const turn = 400
	took, cpu := make([]time.Duration, len(hooks)), make([]time.Duration, len(hooks))
	n := 0
	for b.Loop() {
		for i, one := range hooks {
			start, used := time.Now(), processorTime(b)
			sendAll(b, one.client, one.url, senders, one.bodies, turn)
			took[i] += time.Since(start)
			cpu[i] += processorTime(b) - used
		}
		n += turn
	}
	b.ReportMetric(0, "ns/op")
	for i, one := range hooks {
		b.ReportMetric(float64(n)/took[i].Seconds(), one.name+"req/s")
		if i > 0 {
			b.ReportMetric(took[0].Seconds()/took[i].Seconds(), one.name+"ratio")
		}
	}
	b.ReportMetric(cpu[0].Seconds()/cpu[1].Seconds(), "cpu-ratio")
}

func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// sendAll sends n reviews, as many at a time as there are senders.
func sendAll(b *testing.B, c *http.Client, url string, senders int, bodies [][]byte, n int64) {
	var left, failed atomic.Int64
	left.Store(n)
	var all sync.WaitGroup
	for range senders {
		all.Go(func() {
			for i := left.Add(-1); i >= 0; i = left.Add(-1) {
				if err := send(b.Context(), c, url, bodies[rand.IntN(len(bodies))]); err != nil {
					failed.Add(1)
				}
			}
		})
	}
	all.Wait()
	if n := failed.Load(); n > 0 {
		b.Fatalf("%d requests failed", n)
	}
}

func send(ctx context.Context, c *http.Client, url string, body []byte) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := c.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || resp.ProtoMajor != 2 {
		return fmt.Errorf("%s %s", resp.Proto, resp.Status)
	}
	return nil
}
