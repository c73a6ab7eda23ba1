package login

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/kubelogin/ask"
)

// maxAnswer bounds an answer of a token service.
const maxAnswer = 4 << 20

// transport carries the requests of one attempt and notes what libraries do not pass on: what the server said when it refused,
// what its clock shows, the complete link of a device code.
type transport struct {
	authority string // host and port that the private certificates count for
	private   http.RoundTripper
	others    http.RoundTripper
	now       func() time.Time
	pool      []*http.Transport

	mu       sync.Mutex
	drift    time.Duration
	refused  *refusal
	complete string
}

// refusal is an OAuth error answer.
type refusal struct {
	Code        string   `json:"error"`
	Description string   `json:"error_description"`
	Suberror    string   `json:"suberror"`
	Claims      string   `json:"claims"`
	Numbers     []int    `json:"error_codes"`
	Policies    []string `json:"policies"`
	TraceID     string   `json:"trace_id"`
	Correlation string   `json:"correlation_id"`
}

func newTransport(r ask.Request, now func() time.Time) (*transport, error) {
	t := &transport{now: now}
	make1 := func(roots *x509.CertPool) *http.Transport {
		h := &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: 15 * time.Second}).DialContext,
			TLSHandshakeTimeout: 15 * time.Second,
			ForceAttemptHTTP2:   true,
			TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		}
		t.pool = append(t.pool, h)
		return h
	}
	t.others = make1(nil)
	t.private = t.others
	if len(r.AuthorityCA) == 0 {
		return t, nil
	}
	u, err := url.Parse(r.Authority)
	if err != nil {
		return nil, fault.New(fault.Invalid, "", "the authority %q is no URL", r.Authority)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool() // a machine without certificates of its own
	}
	if !roots.AppendCertsFromPEM(r.AuthorityCA) {
		return nil, fault.New(fault.Invalid, "", "the kubeconfig's certificates for the authority (%s) are no PEM certificates", ask.AuthorityCAVariable)
	}
	t.authority, t.private = u.Host, make1(roots)
	return t, nil
}

func (t *transport) client() *http.Client { return &http.Client{Transport: t} }

func (t *transport) close() {
	for _, p := range t.pool {
		p.CloseIdleConnections()
	}
}

// RoundTrip makes a request.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	via := t.others
	if t.authority != "" && req.URL.Host == t.authority {
		via = t.private
	}
	resp, err := via.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if err := t.note(req, resp); err != nil {
		return nil, err
	}
	return resp, nil
}

// note reads what it has to and puts the answer together again. An answer that breaks off is none.
func (t *transport) note(req *http.Request, resp *http.Response) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		t.drift = date.Sub(t.now())
	}
	device := strings.HasSuffix(strings.TrimRight(req.URL.Path, "/"), "/devicecode")
	if resp.StatusCode < http.StatusBadRequest && !device {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	_ = resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(body))
	if err != nil {
		return err
	}
	if device && resp.StatusCode < http.StatusBadRequest {
		var d struct {
			Complete string `json:"verification_uri_complete"`
		}
		if json.Unmarshal(body, &d) == nil {
			t.complete = d.Complete
		}
		return nil
	}
	r := &refusal{}
	if json.Unmarshal(body, r) == nil && r.Code != "" && r.Code != "authorization_pending" && r.Code != "slow_down" {
		t.refused = r
	}
	return nil
}

// refusal returns what a server said when it last refused, nil if none did.
func (t *transport) refusal() *refusal {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.refused
}

func (t *transport) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refused = nil
}

// skew is by how much the server's clock is ahead of ours.
func (t *transport) skew() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.drift
}

func (t *transport) completeLink() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.complete
}
