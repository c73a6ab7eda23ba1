package gatehouse

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
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/gatefeed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/pki"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/world"
)

// house is the face over a real store, behind TLS.
type house struct {
	*Handler
	t      *testing.T
	server *httptest.Server
	mu     sync.Mutex
	clock  time.Time
	tenant ident.TenantID
}

func (h *house) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.clock
}

func (h *house) pass(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock = h.clock.Add(d)
}

func clusterID(name string) ident.ClusterID { return ident.Derive[ident.ClusterID]("house", name) }
func objectID(name string) ident.ObjectID   { return ident.Derive[ident.ObjectID]("house", name) }

func newHouse(t *testing.T, opt store.Options) *house {
	t.Helper()
	h := &house{t: t, clock: time.Now(), tenant: ident.Derive[ident.TenantID]("house")} // TLS looks at the machine's clock
	opt.Path, opt.Now = filepath.Join(t.TempDir(), "h.db"), h.now
	db, err := store.Open(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	w, err := world.New()
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Follow(t.Context(), func(c feed.Change) {
		if err := w.Apply(c); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	authority, err := pki.NewAuthority("clients", h.clock, 1000*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	log := slog.New(slog.DiscardHandler)
	h.Handler = &Handler{
		DB: db, World: w, Authority: authority, Issuer: "https://login.test", Hub: &Hub{DB: db, Log: log, Keep: 10}, Roster: &Roster{}, Stop: stop, Now: h.now, Log: log,
	}
	mux := http.NewServeMux()
	h.Mount(mux)
	h.server = httptest.NewUnstartedServer(mux)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(authority.CertPEM()))
	h.server.TLS = &tls.Config{ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: pool, MinVersion: tls.VersionTLS12}
	h.server.StartTLS()
	t.Cleanup(func() {
		close(stop)
		h.server.Close()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	h.update(func(tx *store.Tx) error {
		err := tx.PutTenant(directory.Tenant{ID: h.tenant, Domains: []string{"house.test"}})
		for _, name := range []string{"away", "other", "embedded"} {
			c := managedcluster.Cluster{
				ID: clusterID(name), Tenant: h.tenant, Group: "rg", Name: name, Body: []byte(`{}`), ProvisioningState: managedcluster.Succeeded,
				AAD: &managedcluster.AAD{Managed: true, Tenant: h.tenant},
			}
			if name != "embedded" {
				c.Attached = &managedcluster.Attached{Server: "https://c.test"}
			}
			err = errors.Join(err, tx.PutCluster(c))
		}
		return err
	})
	return h
}

func (h *house) update(fn func(tx *store.Tx) error) feed.Revision {
	h.t.Helper()
	rev, err := h.DB.Update(context.Background(), fn)
	if err != nil {
		h.t.Fatal(err, errors.Unwrap(err))
	}
	return rev
}

// token makes an enrolment token.
func (h *house) token(cluster string) string {
	h.t.Helper()
	token := proof.NewToken(managedcluster.EnrollmentPrefix)
	h.update(func(tx *store.Tx) error {
		return tx.PutEnrollment(managedcluster.Enrollment{
			Hash: proof.HashToken(token), Cluster: clusterID(cluster), CreatedAt: h.now(), ExpiresAt: h.now().Add(managedcluster.EnrollmentLife),
		})
	})
	return token
}

// client is an HTTP client with a certificate, or none.
func (h *house) client(pair *pki.KeyPair) *http.Client {
	h.t.Helper()
	transport := h.server.Client().Transport.(*http.Transport).Clone()
	if pair != nil {
		cert, err := tls.X509KeyPair([]byte(pair.Cert), []byte(pair.Key))
		if err != nil {
			h.t.Fatal(err)
		}
		transport.TLSClientConfig.Certificates = []tls.Certificate{cert}
	}
	return &http.Client{Transport: transport}
}

func (h *house) call(c *http.Client, method, path, token string, in any) (int, []byte) {
	h.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		h.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(h.t.Context(), method, h.server.URL+path, bytes.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := c.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return res.StatusCode, text
}

// enrolled makes a gate of a cluster.
func (h *house) enrolled(cluster string) pki.KeyPair {
	h.t.Helper()
	csr, key, err := pki.NewRequest("x")
	if err != nil {
		h.t.Fatal(err)
	}
	code, text := h.call(h.client(nil), http.MethodPost, "/gate/v1/enroll", h.token(cluster), gatefeed.Enrollment{CSR: csr, Name: "host"})
	var out gatefeed.Enrolled
	if err := json.Unmarshal(text, &out); code != http.StatusOK || err != nil || out.Cluster != clusterID(cluster) || out.Issuer != "https://login.test" {
		h.t.Fatalf("%d %s", code, text)
	}
	return pki.KeyPair{Cert: out.Certificate, Key: key}
}

func TestEnroll(t *testing.T) {
	h := newHouse(t, store.Options{})
	csr, _, err := pki.NewRequest("x")
	if err != nil {
		t.Fatal(err)
	}
	good := gatefeed.Enrollment{CSR: csr, Name: "host"}
	none := h.client(nil)
	token := h.token("away")
	late := h.token("away")
	for _, tt := range []struct {
		name, token string
		in          any
		want        int
	}{
		{"no token", "", good, http.StatusUnauthorized},
		{"another kind of token", "eyJ.x.y", good, http.StatusUnauthorized},
		{"a token that never was", proof.NewToken(managedcluster.EnrollmentPrefix), good, http.StatusUnauthorized},
		{"no request", token, gatefeed.Enrollment{CSR: "x", Name: "host"}, http.StatusBadRequest},
		{"no name", token, gatefeed.Enrollment{CSR: csr}, http.StatusBadRequest},
		{"a long name", token, gatefeed.Enrollment{CSR: csr, Name: strings.Repeat("x", 129)}, http.StatusBadRequest},
		{"not JSON", token, "x", http.StatusBadRequest},
		{"good, for what was refused above used nothing up", token, good, http.StatusOK},
		{"used", token, good, http.StatusUnauthorized},
	} {
		if code, text := h.call(none, http.MethodPost, "/gate/v1/enroll", tt.token, tt.in); code != tt.want || bytes.Contains(text, []byte("krgate_")) {
			t.Errorf("%s: %d, want %d: %s", tt.name, code, tt.want, text)
		}
	}
	h.pass(managedcluster.EnrollmentLife)
	if code, text := h.call(none, http.MethodPost, "/gate/v1/enroll", late, good); code != http.StatusUnauthorized {
		t.Errorf("an hour later: %d %s", code, text)
	}
}

func TestKnown(t *testing.T) {
	h := newHouse(t, store.Options{})
	pair := h.enrolled("away")
	issue := func(name string) *pki.KeyPair {
		p, err := h.Authority.Issue(pki.Template{CommonName: name, Now: h.now(), Life: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		return &p
	}
	report := func(p *pki.KeyPair) int {
		code, _ := h.call(h.client(p), http.MethodPost, "/gate/v1/report", "", gatefeed.Report{Revision: 7, Name: "host", Version: "v1"})
		return code
	}
	for _, tt := range []struct {
		name string
		pair *pki.KeyPair
		want int
	}{
		{"the gate", &pair, http.StatusNoContent},
		{"nobody", nil, http.StatusUnauthorized},
		{"an API server", issue("cluster:" + clusterID("away").String()), http.StatusForbidden},
		{"a gate's name that is not on record", issue("gate:" + clusterID("away").String()), http.StatusForbidden},
		{"no name of ours", issue("gate:x"), http.StatusForbidden},
	} {
		if got := report(tt.pair); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
	if of := h.Roster.Of(clusterID("away")); len(of) != 1 || of[0].Revision != 7 || of[0].Name != "host" {
		t.Errorf("roster %+v", of)
	}

	csr, key, err := pki.NewRequest("x")
	if err != nil {
		t.Fatal(err)
	}
	code, text := h.call(h.client(&pair), http.MethodPost, "/gate/v1/renew", "", gatefeed.Enrollment{CSR: csr, Name: "host"})
	var out gatefeed.Enrolled
	if err := json.Unmarshal(text, &out); code != http.StatusOK || err != nil {
		t.Fatalf("renew: %d %s", code, text)
	}
	next := pki.KeyPair{Cert: out.Certificate, Key: key}
	fingerprint, err := pki.Fingerprint(pair.Cert)
	if err != nil {
		t.Fatal(err)
	}
	h.update(func(tx *store.Tx) error {
		i, err := tx.Certificate(fingerprint)
		if err != nil {
			return err
		}
		i.RevokedAt = h.now()
		return tx.PutCertificate(i)
	})
	if got := report(&pair); got != http.StatusForbidden {
		t.Errorf("a revoked certificate: %d", got)
	}
	if got := report(&next); got != http.StatusNoContent {
		t.Errorf("the next certificate: %d", got)
	}
	h.update(func(tx *store.Tx) error { return tx.DeleteCluster(clusterID("away")) })
	if got := report(&next); got != http.StatusForbidden {
		t.Errorf("a cluster that is gone: %d", got)
	}
}

// reading is a stream that is read.
type reading struct {
	t   *testing.T
	dec *json.Decoder
	end func()
}

func (h *house) stream(pair pki.KeyPair, after feed.Revision) *reading {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 20*time.Second)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/gate/v1/stream?after=%d", h.server.URL, after), nil)
	if err != nil {
		h.t.Fatal(err)
	}
	res, err := h.client(&pair).Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	r := &reading{h.t, json.NewDecoder(res.Body), func() { cancel(); _ = res.Body.Close() }}
	h.t.Cleanup(r.end)
	if f := r.next(); f.Hello == nil || f.Hello.Cluster != clusterID("away") || f.Hello.Issuer != "https://login.test" {
		h.t.Fatalf("begins with %+v", f)
	}
	return r
}

func (r *reading) next() gatefeed.Frame {
	r.t.Helper()
	var f gatefeed.Frame
	if err := r.dec.Decode(&f); err != nil {
		r.t.Fatal(err)
	}
	return f
}

// snapshot reads a snapshot and returns the names of the users in it.
func (r *reading) snapshot() (feed.Revision, string) {
	r.t.Helper()
	f := r.next()
	if f.Snapshot == nil {
		r.t.Fatalf("no snapshot: %+v", f)
	}
	at := f.Snapshot.Revision
	var users []string
	for f = r.next(); !f.Complete; f = r.next() {
		users = append(users, userNames(f.Events)...)
	}
	return at, strings.Join(users, " ")
}

func userNames(events []feed.Event) []string {
	var out []string
	for _, e := range events {
		var u directory.User
		if e.Kind == feed.User && json.Unmarshal(e.Value, &u) == nil {
			out = append(out, u.UserPrincipalName)
		}
	}
	return out
}

// change reads to the next change, over heartbeats.
func (r *reading) change() (feed.Revision, string) {
	r.t.Helper()
	f := r.next()
	for ; f.Heartbeat != nil; f = r.next() {
	}
	if f.Change == nil {
		r.t.Fatalf("no change: %+v", f)
	}
	return f.Change.Revision, strings.Join(userNames(f.Change.Events), " ")
}

// heartbeat reads to a heartbeat at a revision.
func (r *reading) heartbeat(at feed.Revision) {
	r.t.Helper()
	for {
		f := r.next()
		if f.Heartbeat == nil {
			r.t.Fatalf("no heartbeat: %+v", f)
		}
		if f.Heartbeat.Revision == at {
			return
		}
	}
}

func (h *house) user(name string) feed.Revision {
	h.t.Helper()
	return h.update(func(tx *store.Tx) error {
		return tx.PutUser(directory.User{ID: objectID(name), Tenant: h.tenant, UserPrincipalName: name, Mail: "private", AccountEnabled: true})
	})
}

// unrelated writes something that concerns no gate.
func (h *house) unrelated() feed.Revision {
	h.t.Helper()
	return h.update(func(tx *store.Tx) error { return tx.SetSetting("x", ident.New[ident.GUID]().String()) })
}

func TestStream(t *testing.T) {
	h := newHouse(t, store.Options{KeepChanges: 40})
	pair := h.enrolled("away")
	h.user("alice")
	s := h.stream(pair, 0)
	at, users := s.snapshot()
	if users != "alice" || at != h.DB.Head() {
		t.Fatalf("snapshot at %d of %q", at, users)
	}
	rev := h.user("bob")
	if got, who := s.change(); got != rev || who != "bob" {
		t.Fatalf("change %d of %q, want %d", got, who, rev)
	}
	s.heartbeat(h.unrelated())
	s.heartbeat(h.DB.Head()) // and one a second, with nothing to say
	s.end()

	// Away for a moment: the hub keeps it.
	rev = h.user("carol")
	s = h.stream(pair, rev-1)
	if got, who := s.change(); got != rev || who != "carol" {
		t.Fatalf("resumed at %d with %q, want %d", got, who, rev)
	}
	s.end()

	// Another control plane on the same store, whose hub keeps nothing: the store does.
	h.Handler.Hub = &Hub{DB: h.DB, Log: h.Log, Keep: 10}
	rev = h.user("dave")
	h.unrelated()
	s = h.stream(pair, rev-1)
	if got, who := s.change(); got != rev || who != "dave" {
		t.Fatalf("resumed at %d with %q, want %d", got, who, rev)
	}
	s.end()

	// Somebody is gone whose tenant is not known any more: a snapshot.
	behind := h.DB.Head()
	h.update(func(tx *store.Tx) error { return tx.DeleteUser(objectID("dave")) })
	h.Handler.Hub = &Hub{DB: h.DB, Log: h.Log, Keep: 10}
	s = h.stream(pair, behind)
	if _, users := s.snapshot(); len(strings.Fields(users)) != 3 || strings.Contains(users, "dave") {
		t.Fatalf("users %q", users)
	}
	s.end()

	// Away for longer than anything is kept: a snapshot.
	for range 60 {
		h.unrelated()
	}
	if _, err := h.DB.Changes(t.Context(), behind, 1); !errors.Is(err, store.ErrCompacted) {
		t.Fatalf("the store still keeps them: %v", err)
	}
	s = h.stream(pair, behind)
	if at, _ := s.snapshot(); at != h.DB.Head() {
		t.Errorf("snapshot at %d", at)
	}
	s.end()

	// A gate that is ahead has followed another store.
	s = h.stream(pair, h.DB.Head()+100)
	s.snapshot()

	// The cluster takes its people from elsewhere: what the gate has is not its business any more.
	h.update(func(tx *store.Tx) error {
		c, err := tx.Cluster(clusterID("away"))
		if err != nil {
			return err
		}
		other := ident.Derive[ident.TenantID]("elsewhere")
		c.AAD.Tenant = other
		return errors.Join(tx.PutTenant(directory.Tenant{ID: other, Domains: []string{"elsewhere.test"}}), tx.PutCluster(c))
	})
	f := s.next()
	for ; f.Heartbeat != nil; f = s.next() {
	}
	if f.Snapshot == nil {
		t.Fatalf("no snapshot: %+v", f)
	}
	for f = s.next(); !f.Complete; f = s.next() {
		if names := userNames(f.Events); len(names) > 0 {
			t.Errorf("users %v", names)
		}
	}

	// A gate that is revoked, or whose cluster goes, hears no more.
	h.update(func(tx *store.Tx) error { return tx.DeleteCluster(clusterID("away")) })
	revoked := ""
	for {
		var f gatefeed.Frame
		if err := s.dec.Decode(&f); err != nil {
			if !errors.Is(err, io.EOF) {
				t.Errorf("the stream's end: %v", err)
			}
			break
		}
		revoked = f.Revoked
	}
	if revoked == "" {
		t.Error("a gate whose cluster is gone is not told so")
	}
	if of := h.Roster.Of(clusterID("away")); len(of) != 1 {
		t.Errorf("roster %+v", of)
	}
}
