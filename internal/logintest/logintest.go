// Package logintest owns a whole token service on loopback, over TLS and a real store in a temporary folder, for tests.
// It is imported by tests only, and makes a small world: two tenants, some people, one registered application.
package logintest

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/caller"
	"github.com/keyreeve/keyreeve/internal/consent"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/issuer"
	"github.com/keyreeve/keyreeve/internal/keyring"
	"github.com/keyreeve/keyreeve/internal/keyring/keytest"
	"github.com/keyreeve/keyreeve/internal/logon"
	"github.com/keyreeve/keyreeve/internal/oauth/authorize"
	"github.com/keyreeve/keyreeve/internal/oauth/discovery"
	"github.com/keyreeve/keyreeve/internal/oauth/grant"
	"github.com/keyreeve/keyreeve/internal/oauth/manage"
	"github.com/keyreeve/keyreeve/internal/page"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/signin"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/token"
	"github.com/keyreeve/keyreeve/internal/world"
)

// The addresses of the other faces, which nobody serves here.
const (
	ARMURL   = "https://arm.keyreeve.test:8444"
	GraphURL = "https://graph.keyreeve.test:8445"
)

// Password is that of every person.
const Password = "correct horse battery staple"

// Clock is a clock that tests move.
type Clock struct {
	mu sync.Mutex
	at time.Time
	// live lets it run with the real one.
	live   bool
	offset time.Duration
}

// Now returns the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.live {
		return time.Now().Add(c.offset)
	}
	return c.at
}

// Move moves the clock.
func (c *Clock) Move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at, c.offset = c.at.Add(d), c.offset+d
}

// Run lets the clock run with the real one from now on, for clients that keep time of their own.
func (c *Clock) Run() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.live, c.offset = true, 0
}

// Service is a running token service and its world.
type Service struct {
	testing.TB
	DB      *store.DB
	World   *world.World
	Ring    *keyring.Ring
	Catalog *directory.Catalog
	Logon   *logon.Service
	Clock   *Clock
	Log     *strings.Builder
	// Level is what is logged; it begins with everything.
	Level *slog.LevelVar
	// BaseURL is the login address; Client trusts its certificate and follows no redirects.
	BaseURL string
	Client  *http.Client
	// Handler is what serves, for those who measure without a connection.
	Handler http.Handler
	CA      *x509.CertPool

	Tenant, Other     directory.Tenant
	Alice, Bob, Carol directory.User // Carol is of the other tenant
	// App is a confidential application of Tenant, with a service principal and a secret.
	App       directory.Application
	AppObject ident.ObjectID
	AppSecret string
}

// Start starts a service. Its clock stands still until it is moved.
func Start(t testing.TB) *Service {
	t.Helper()
	return start(t, false)
}

// StartES256 is Start for a service that signs what is for Resource Manager and Graph with ES256.
func StartES256(t testing.TB) *Service {
	t.Helper()
	return start(t, true)
}

func start(t testing.TB, es256 bool) *Service {
	t.Helper()
	s := &Service{TB: t, Clock: &Clock{at: time.Now().UTC().Truncate(time.Second)}, Log: &strings.Builder{}, Level: &slog.LevelVar{}}
	s.Level.Set(slog.LevelDebug)
	log := slog.New(slog.NewTextHandler(&lockedWriter{w: s.Log}, &slog.HandlerOptions{Level: s.Level}))
	var err error
	s.DB, err = store.Open(t.Context(), store.Options{Path: filepath.Join(t.TempDir(), "test.db"), Now: s.Clock.Now})
	s.must(err)
	t.Cleanup(func() { _ = s.DB.Close() })
	s.World, err = world.New()
	s.must(err)
	s.must(s.DB.Follow(t.Context(), func(c feed.Change) {
		if err := s.World.Apply(c); err != nil {
			t.Errorf("world: %v", err)
		}
	}))
	hasher, err := proof.NewHasher(proof.Params{MemoryKiB: 64, Passes: 1, Lanes: 1}, 4)
	s.must(err)
	s.fill(hasher, es256)

	mux := http.NewServeMux()
	s.Handler = discovery.FoldPaths(mux)
	server := httptest.NewTLSServer(s.Handler)
	t.Cleanup(server.Close)
	s.BaseURL = server.URL
	s.CA = x509.NewCertPool()
	s.CA.AddCert(server.Certificate())
	s.Client = &http.Client{
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.CA, MinVersion: tls.VersionTLS12}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(s.Client.CloseIdleConnections)
	s.Catalog = directory.NewCatalog(ARMURL, GraphURL)
	s.Logon = &logon.Service{DB: s.DB, World: s.World, Hasher: hasher, Now: s.Clock.Now}
	discovery.Handler{World: s.World, BaseURL: s.BaseURL, GraphURL: GraphURL, Now: s.Clock.Now, Log: log}.Mount(mux)
	grants := grant.Handler{
		DB: s.DB, World: s.World, Ring: s.Ring, Logon: s.Logon, Catalog: s.Catalog, BaseURL: s.BaseURL, GraphURL: GraphURL,
		Now: s.Clock.Now, Log: log, Issuers: &issuer.Remote{Now: s.Clock.Now, Networks: issuer.Loopback()}, ES256: es256,
	}.Prepared()
	grants.Mount(mux)
	apps := consent.Directory{World: s.World, Catalog: s.Catalog}
	printer, err := page.NewPrinter(page.Brand{}, s.BaseURL, s.Clock.Now)
	s.must(err)
	authorize.Handler{
		DB: s.DB, Apps: apps, Sealer: keytest.Sealer(t), Pages: printer, BaseURL: s.BaseURL, Now: s.Clock.Now, Log: log,
	}.Mount(mux)
	manage.Handler{
		DB: s.DB, Apps: apps, Sealer: keytest.Sealer(t), Pages: printer, BaseURL: s.BaseURL, Now: s.Clock.Now, Log: log,
		Authenticate: grants.Authenticate,
	}.Mount(mux)
	signin.Handler{
		DB: s.DB, Logon: s.Logon, Apps: apps, Sealer: keytest.Sealer(t), Pages: printer, BaseURL: s.BaseURL,
		Now: s.Clock.Now, Log: log,
	}.Mount(mux)
	return s
}

func (s *Service) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// Update runs a write transaction.
func (s *Service) Update(f func(*store.Tx) error) {
	s.Helper()
	_, err := s.DB.Update(s.Context(), f)
	s.must(err)
}

// fill makes the small world.
func (s *Service) fill(hasher *proof.Hasher, es256 bool) {
	now := s.Clock.Now()
	keys := []keyring.Key{keytest.Key(s.TB, 0, now.Add(-time.Hour))}
	if es256 {
		key, err := keyring.GenerateES256(now.Add(-time.Hour), now.Add(-time.Hour))
		s.must(err)
		keys = append(keys, key)
	}
	s.Ring = keytest.Ring(s.TB, keys...)
	s.Tenant = directory.Tenant{
		ID: ident.New[ident.TenantID](), DisplayName: "Contoso", Domains: []string{"contoso.test", "www.contoso.test"}, CreatedAt: now,
		PasswordGrantClients: []ident.ClientID{directory.AzureCLI(), directory.AKSClient()},
	}
	s.Other = directory.Tenant{ID: ident.New[ident.TenantID](), DisplayName: "Fabrikam", Domains: []string{"fabrikam.test"}, CreatedAt: now}
	s.Alice = s.user("alice@contoso.test", "Alice Liddell", s.Tenant)
	s.Bob = s.user("bob@contoso.test", "Bob Builder", s.Tenant)
	s.Carol = s.user("carol@fabrikam.test", "Carol", s.Other)
	s.App = directory.Application{
		ID: ident.New[ident.ObjectID](), AppID: ident.New[ident.ClientID](), Tenant: s.Tenant.ID, DisplayName: "Deployer",
		IdentifierURIs: []string{"api://deployer"}, CreatedAt: now,
	}
	secret, record := proof.NewClientSecret(s.App.AppID, "test", now, 24*time.Hour)
	s.AppSecret, s.AppObject = secret, ident.New[ident.ObjectID]()
	hash, err := hasher.Hash(s.Context(), Password)
	s.must(err)
	s.Update(func(tx *store.Tx) error {
		for _, t := range []directory.Tenant{s.Tenant, s.Other} {
			s.must(tx.PutTenant(t))
		}
		for _, u := range []directory.User{s.Alice, s.Bob, s.Carol} {
			s.must(tx.PutUser(u))
			s.must(tx.PutPassword(u.ID, hash))
		}
		s.must(tx.PutApplication(s.App))
		s.must(tx.PutServicePrincipal(directory.ServicePrincipal{
			ID: s.AppObject, Tenant: s.Tenant.ID, AppID: s.App.AppID, DisplayName: s.App.DisplayName,
			Type: directory.TypeApplication, AccountEnabled: true, CreatedAt: now,
		}))
		s.must(tx.PutClientSecret(record))
		for _, key := range keys {
			sealed, err := key.Seal(keytest.Sealer(s.TB))
			s.must(err)
			s.must(tx.PutSigningKey(key.Public, sealed))
		}
		return nil
	})
}

func (s *Service) user(upn, name string, t directory.Tenant) directory.User {
	return directory.User{
		ID: ident.New[ident.ObjectID](), Tenant: t.ID, UserPrincipalName: upn, DisplayName: name, Mail: upn, AccountEnabled: true,
		UserType: "Member", CreatedAt: s.Clock.Now(), SessionsValidFrom: s.Clock.Now(),
	}
}

// Checker returns what checks tokens for a well-known resource.
func (s *Service) Checker(resource ident.ClientID) caller.Checker {
	s.Helper()
	v, err := token.NewVerifier(token.Config{
		Issuer: s.BaseURL, Audiences: s.Catalog.Audiences(resource), Keys: s.World, Now: s.Clock.Now,
	})
	s.must(err)
	return caller.Checker{Verifier: v, World: s.World, Now: s.Clock.Now}
}

// Answer is what an endpoint answered.
type Answer struct {
	Status int
	Header http.Header
	Body   map[string]any
	Text   string
}

// Str returns a member of a JSON answer as text, and fails the test if it is not one.
func (a Answer) Str(t testing.TB, name string) string {
	t.Helper()
	v, ok := a.Body[name].(string)
	if !ok {
		t.Fatalf("%s is %#v in %s", name, a.Body[name], a.Text)
	}
	return v
}

// Post posts a form to a path; pairs are names and values.
func (s *Service) Post(path string, pairs ...string) Answer {
	s.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	req, err := http.NewRequestWithContext(s.Context(), http.MethodPost, s.BaseURL+path, strings.NewReader(form.Encode()))
	s.must(err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return s.Do(req)
}

// Get gets a path.
func (s *Service) Get(path string) Answer {
	s.Helper()
	req, err := http.NewRequestWithContext(s.Context(), http.MethodGet, s.BaseURL+path, nil)
	s.must(err)
	return s.Do(req)
}

// Do sends a request.
func (s *Service) Do(req *http.Request) Answer {
	s.Helper()
	res, err := s.Client.Do(req)
	s.must(err)
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	s.must(err)
	a := Answer{Status: res.StatusCode, Header: res.Header, Text: string(body)}
	if strings.HasPrefix(res.Header.Get("Content-Type"), "application/json") {
		s.must(json.Unmarshal(body, &a.Body))
	}
	return a
}

// Audit returns how often an event is in the audit log.
func (s *Service) Audit(e audit.Event) int {
	s.Helper()
	n := 0
	s.must(s.DB.View(s.Context(), func(tx *store.Tx) error {
		records, err := tx.AuditRecords(10_000)
		for _, r := range records {
			if r.Event == e {
				n++
			}
		}
		return err
	}))
	return n
}

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}
