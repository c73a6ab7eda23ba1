package kubehook

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/pki"
	"github.com/keyreeve/keyreeve/internal/world"
)

func hooks() map[string]string {
	return map[string]string{
		"tokenreview":         `{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1","spec":{"token":"x"}}`,
		"subjectaccessreview": `{"kind":"SubjectAccessReview","apiVersion":"authorization.k8s.io/v1","spec":{"user":"alice@contoso.com","resourceAttributes":{"verb":"get"}}}`,
	}
}

func TestWhoMayAsk(t *testing.T) {
	g := newGate(t)
	one, theirs := clusterID("one").String(), clusterID("theirs").String()
	for hook, body := range hooks() {
		send := func(cluster string, prepare func(*http.Request)) *httptest.ResponseRecorder {
			r := httptest.NewRequest(http.MethodPost, "/clusters/"+cluster+"/"+hook, strings.NewReader(body))
			prepare(r)
			rec := httptest.NewRecorder()
			g.mux.ServeHTTP(rec, r)
			return rec
		}
		for name, c := range map[string]struct {
			cluster string
			prepare func(*http.Request)
			want    int
		}{
			"its own":             {one, func(r *http.Request) { as(r, "cluster:"+one) }, 200},
			"id in upper case":    {strings.ToUpper(one), func(r *http.Request) { as(r, "cluster:"+one) }, 200},
			"another cluster's":   {one, func(r *http.Request) { as(r, "cluster:"+theirs) }, 403},
			"no prefix":           {one, func(r *http.Request) { as(r, one) }, 403},
			"no name":             {one, func(r *http.Request) { as(r, "") }, 403},
			"name goes on":        {one, func(r *http.Request) { as(r, "cluster:"+one+"x") }, 403},
			"no TLS":              {one, func(*http.Request) {}, 403},
			"no certificate":      {one, func(r *http.Request) { r.TLS = &tls.ConnectionState{} }, 403},
			"not verified":        {one, func(r *http.Request) { as(r, "cluster:"+one); r.TLS.VerifiedChains = nil }, 403},
			"no such cluster":     {clusterID("no").String(), func(r *http.Request) { as(r, "cluster:"+clusterID("no").String()) }, 404},
			"unknown, another's":  {clusterID("no").String(), func(r *http.Request) { as(r, "cluster:"+one) }, 403},
			"id that is none":     {"one", func(r *http.Request) { as(r, "cluster:one") }, 404},
			"get instead of post": {one, func(r *http.Request) { as(r, "cluster:"+one); r.Method = http.MethodGet }, 405},
		} {
			rec := send(c.cluster, c.prepare)
			if rec.Code != c.want {
				t.Errorf("%s, %s: status %d, want %d", hook, name, rec.Code, c.want)
			}
			if rec.Code != 200 && rec.Code != 405 {
				readStatus(t, rec)
			}
		}
	}
}

func TestUnknownIsUnavailable(t *testing.T) {
	for hook, body := range hooks() {
		ask := func(g *gate) int {
			rec := g.post("one", hook, []byte(body))
			if rec.Code != 200 {
				readStatus(t, rec)
			}
			return rec.Code
		}
		g := newGate(t)
		if got := ask(g); got != 200 {
			t.Errorf("%s: %d", hook, got)
		}
		empty, err := world.New()
		if err != nil {
			t.Fatal(err)
		}
		g.World = empty
		if got := ask(g); got != 503 {
			t.Errorf("%s, world not yet built: %d", hook, got)
		}

		g = newGate(t)
		if err := g.World.Apply(feed.Change{Revision: 44}); err == nil {
			t.Fatal("the world took a change that does not follow")
		}
		if got := ask(g); got != 503 {
			t.Errorf("%s, broken world: %d", hook, got)
		}

		g = newGate(t)
		heard := clock().Add(-15 * time.Minute)
		g.Heard, g.MaxAge = func() time.Time { return heard }, 15*time.Minute
		if got := ask(g); got != 200 {
			t.Errorf("%s, feed at the bound: %d", hook, got)
		}
		heard = heard.Add(-time.Second)
		if got := ask(g); got != 503 {
			t.Errorf("%s, feed beyond the bound: %d", hook, got)
		}
	}
}

// TestWriteErrorHidesCauses checks that no answer carries an inner error.
func TestWriteErrorHidesCauses(t *testing.T) {
	for _, err := range []error{errors.New("secret"), unknown().Because(errors.New("secret"))} {
		rec := httptest.NewRecorder()
		writeError(rec, nil, err)
		if rec.Code != 503 || strings.Contains(rec.Body.String(), "secret") {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
		readStatus(t, rec)
	}
}

// TestOverTLS asks over a real listener with certificates of two authorities.
func TestOverTLS(t *testing.T) {
	g := newGate(t)
	now := time.Now()
	authority := func() *pki.Authority {
		a, err := pki.NewAuthority("gate", now, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	ours, foreign := authority(), authority()
	pair := func(a *pki.Authority, tmpl pki.Template) tls.Certificate {
		tmpl.Now, tmpl.Life = now, time.Hour
		p, err := a.Issue(tmpl)
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
	pool.AppendCertsFromPEM([]byte(ours.CertPEM()))
	s := httptest.NewUnstartedServer(g.mux)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{
		Certificates: []tls.Certificate{pair(ours, pki.Template{CommonName: "gate", Hosts: []string{"127.0.0.1"}, Use: pki.Server})},
		ClientCAs:    pool, ClientAuth: tls.VerifyClientCertIfGiven,
	}
	s.StartTLS()
	defer s.Close()
	post := func(certs ...tls.Certificate) (int, error) {
		c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: certs}}}
		defer c.CloseIdleConnections()
		spec := ask("list pods @dev")
		token("dave", "dave")(&spec)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/clusters/"+clusterID("one").String()+"/subjectaccessreview", bytes.NewReader(sarJSON(t, spec)))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.Do(req)
		if err != nil {
			return 0, err
		}
		return resp.StatusCode, resp.Body.Close()
	}
	client := func(a *pki.Authority, cluster string) tls.Certificate {
		return pair(a, pki.Template{CommonName: "cluster:" + clusterID(cluster).String()})
	}
	if got, err := post(client(ours, "one")); got != 200 || err != nil {
		t.Errorf("its own: %d, %v", got, err)
	}
	if got, err := post(client(ours, "theirs")); got != 403 || err != nil {
		t.Errorf("another cluster's: %d, %v", got, err)
	}
	if got, err := post(); got != 403 || err != nil {
		t.Errorf("no certificate: %d, %v", got, err)
	}
	if got, err := post(client(foreign, "one")); got == 200 {
		t.Errorf("another authority's: %d, %v", got, err)
	}
}
