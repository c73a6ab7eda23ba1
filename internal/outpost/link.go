package outpost

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/keyreeve/keyreeve/internal/gatefeed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/pki"
)

// link is the gate's connection to the control plane: who it is there, and how it becomes that and stays it.
type link struct {
	base    string
	roots   *x509.CertPool
	cluster ident.ClusterID
	name    string
	version string
	state   state
	now     func() time.Time
	log     *slog.Logger

	mu   sync.Mutex
	self identity
	http *http.Client
}

// callWithin bounds a call that is no stream.
const callWithin = 20 * time.Second

func newLink(s settings, version string, now func() time.Time, log *slog.Logger) (*link, error) {
	text, err := os.ReadFile(s.ControlPlaneCA)
	if err != nil {
		return nil, fmt.Errorf("gate: controlPlaneCA: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("gate: controlPlaneCA: %s holds no certificate", s.ControlPlaneCA)
	}
	return &link{
		base: s.ControlPlane, roots: roots, cluster: s.cluster, name: s.Name, version: version, state: state(s.StateDir), now: now, log: log,
	}, nil
}

func (l *link) url(path string) string { return l.base + path }

func (l *link) client() *http.Client {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.http
}

func (l *link) identity() identity {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.self
}

// use takes an identity; connections made before go on with the one they have.
func (l *link) use(id identity) error {
	cfg := &tls.Config{RootCAs: l.roots, MinVersion: tls.VersionTLS12}
	if id.Pair.Cert != "" {
		pair, err := tls.X509KeyPair([]byte(id.Pair.Cert), []byte(id.Pair.Key))
		if err != nil {
			return errors.New("gate: the certificate and the key of this gate do not belong together")
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.self = id
	l.http = &http.Client{Transport: &http.Transport{
		TLSClientConfig: cfg, TLSHandshakeTimeout: 5 * time.Second, ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute,
		HTTP2: &http.HTTP2Config{SendPingTimeout: 3 * time.Second, PingTimeout: 2 * time.Second},
	}}
	return nil
}

// load takes the identity that is kept, and reports whether there is one for this cluster.
func (l *link) load() (bool, error) {
	var id identity
	found, err := l.state.read(identityFile, &id)
	if err != nil {
		return false, err
	}
	if found && id.Cluster != l.cluster.String() {
		return false, fmt.Errorf("gate: the state folder is of another cluster, %s; give this one a folder of its own", id.Cluster)
	}
	return found, l.use(id)
}

// enroll becomes a gate of the cluster with the one-time token.
func (l *link) enroll(ctx context.Context, tokenFile string) error {
	if tokenFile == "" {
		return errors.New("gate: not enrolled, and no enrollmentTokenFile is given; `keyreeve cluster attach` makes a token")
	}
	text, err := os.ReadFile(tokenFile)
	if err != nil {
		return fmt.Errorf("gate: not enrolled: enrollmentTokenFile: %w", err)
	}
	return l.certificate(ctx, "/gate/v1/enroll", strings.TrimSpace(string(text)))
}

// certificate asks for a certificate for a new key and keeps both.
func (l *link) certificate(ctx context.Context, path, token string) error {
	csr, key, err := pki.NewRequest("gate")
	if err != nil {
		return err
	}
	var out gatefeed.Enrolled
	if err := l.call(ctx, path, token, gatefeed.Enrollment{CSR: csr, Name: l.name}, &out); err != nil {
		return fmt.Errorf("gate: %s: %w", path, err)
	}
	if out.Cluster != l.cluster {
		return fmt.Errorf("gate: the token is of cluster %s, and gate.yaml names %s", out.Cluster, l.cluster)
	}
	id := identity{
		Cluster: out.Cluster.String(), ResourceID: out.ResourceID, Issuer: out.Issuer, NotAfter: out.NotAfter,
		Pair: pki.KeyPair{Cert: out.Certificate, Key: key},
	}
	if err := l.state.write(identityFile, id, true); err != nil {
		return err
	}
	l.log.Info("gate has a certificate", "cluster", id.ResourceID, "until", id.NotAfter)
	return l.use(id)
}

// call sends JSON and reads JSON; out may be nil.
func (l *link) call(ctx context.Context, path, token string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url(path), bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := l.client().Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode/100 != 2 {
		return refusal(res)
	}
	if out == nil {
		return nil
	}
	return json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(out)
}

// refusal reads the control plane's own words for a refusal.
func refusal(res *http.Response) error {
	var body struct {
		Error string `json:"error"`
	}
	if json.NewDecoder(io.LimitReader(res.Body, 64<<10)).Decode(&body) == nil && body.Error != "" {
		return fmt.Errorf("the control plane says %d: %s", res.StatusCode, body.Error)
	}
	return fmt.Errorf("the control plane says %d", res.StatusCode)
}

// renew keeps the certificate good until ctx ends.
func (l *link) renew(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		if id := l.identity(); pki.NeedsRenewal(id.Pair, nil, l.now()) {
			if err := l.certificate(ctx, "/gate/v1/renew", ""); err != nil && ctx.Err() == nil {
				l.log.Warn("the gate's certificate could not be renewed", "until", id.NotAfter, "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// report tells the control plane which revision the gate decides by, each time it moves, until ctx ends.
func (l *link) report(ctx context.Context, moved <-chan struct{}, revision func() int64) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-moved:
		}
		in := map[string]any{"revision": revision(), "name": l.name, "version": l.version}
		if err := l.call(ctx, "/gate/v1/report", "", in, nil); err != nil && ctx.Err() == nil {
			l.log.Debug("the revision could not be reported", "error", err)
		}
	}
}
