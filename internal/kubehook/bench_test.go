package kubehook

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func benchmarkPost(b *testing.B, g *gate, path string, body []byte) {
	id := clusterID("one").String()
	path = fmt.Sprintf(path, id)
	b.ReportAllocs()
	for b.Loop() {
		rec := httptest.NewRecorder()
		g.mux.ServeHTTP(rec, as(httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body)), "cluster:"+id))
		if rec.Code != http.StatusOK {
			b.Fatal(rec.Code)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	g := newGate(b)
	for _, r := range rows() {
		switch r.name {
		case "admin", "by group", "by group, other verb", "certificate":
		default:
			continue
		}
		spec := r.spec()
		q, err := parse(&spec)
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

// BenchmarkCompareWebhook sets the webhook beside one that reads the body and always gives the same answer: what the
// difference costs is the reading, the decision and the reason.
func BenchmarkCompareWebhook(b *testing.B) {
	g := newGate(b)
	constant := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var buf bytes.Buffer
		_, _ = buf.ReadFrom(r.Body)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"kind":"SubjectAccessReview","apiVersion":"authorization.k8s.io/v1","status":{"allowed":true}}`)
	})
	g.mux.Handle("POST /constant/{cluster}", constant)
	for _, r := range rows() {
		switch r.name {
		case "admin", "by group", "by group, other verb", "certificate":
		default:
			continue
		}
		body := sarJSON(b, r.spec())
		b.Run("keyreeve/"+strings.ReplaceAll(r.name, " ", "_"), func(b *testing.B) { benchmarkPost(b, g, "/clusters/%s/subjectaccessreview", body) })
	}
	s := ask("list pods @dev")
	token("dave", "dave")(&s)
	b.Run("constant", func(b *testing.B) { benchmarkPost(b, g, "/constant/%s", sarJSON(b, s)) })
}
