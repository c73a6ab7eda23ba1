package graph

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/caller"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/world"
)

const base = "https://graph.test:8445"

func oid(s string) ident.ObjectID { return ident.Derive[ident.ObjectID]("test", s) }

// bench is a directory of two tenants behind a Handler. Callers are named by the header As.
type bench struct {
	t      testing.TB
	db     *store.DB
	world  *world.World
	mux    *http.ServeMux
	log    *strings.Builder
	tenant ident.TenantID

	clock   *clock
	commits *commits
	handler *Handler
	callers map[string]caller.Caller
}

func (b *bench) Authenticate(r *http.Request) (caller.Caller, error) {
	c, ok := b.callers[r.Header.Get("As")]
	if !ok {
		return c, fault.New(fault.Unauthenticated, "InvalidAuthenticationToken", "Access token is empty.")
	}
	c.Roles = caller.Roles(b.world, c.Object)
	return c, nil
}

// at is the bench for a subtest.
func (b *bench) at(t testing.TB) *bench {
	c := *b
	c.t = t
	return &c
}

// commits counts the commits that were tried; closed, it lets none through.
type commits struct {
	tried  int
	closed bool
}

func (c *commits) before() error {
	c.tried++
	if c.closed {
		return errors.New("closed by the test")
	}
	return nil
}

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newBench(t testing.TB) *bench {
	t.Helper()
	return newBenchOn(t, store.Options{Path: filepath.Join(t.TempDir(), "test.db")})
}

// newBenchOn is newBench on a database.
func newBenchOn(t testing.TB, opt store.Options) *bench {
	t.Helper()
	b := &bench{
		t: t, tenant: ident.Derive[ident.TenantID]("test", "tenant"), callers: map[string]caller.Caller{}, log: &strings.Builder{},
		clock: &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)}, mux: http.NewServeMux(), commits: &commits{},
	}
	var err error
	opt.Now, opt.BeforeCommit = b.clock.Now, b.commits.before
	if b.db, err = store.Open(t.Context(), opt); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.db.Close(); err != nil {
			t.Error(err)
		}
	})
	if b.world, err = world.New(); err != nil {
		t.Fatal(err)
	}
	err = b.db.Follow(t.Context(), func(c feed.Change) {
		if err := b.world.Apply(c); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	b.seed()
	h := &Handler{
		DB: b.db, World: b.world, Auth: b, Catalog: directory.NewCatalog("", base), BaseURL: base, Now: b.clock.Now, Log: slog.New(slog.NewJSONHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		HashPassword: func(p string) (string, error) { return "hash of " + p, nil },
	}
	h.Mount(b.mux)
	b.handler = h
	return b
}

// seed fills the directory: people with and without roles, an application, and another tenant.
func (b *bench) seed() {
	other := ident.Derive[ident.TenantID]("test", "other")
	b.write(func(tx *store.Tx) error {
		return firstError(
			tx.PutTenant(directory.Tenant{ID: b.tenant, DisplayName: "Contoso", Domains: []string{"contoso.test", "contoso.example"}, CreatedAt: b.clock.Now()}),
			tx.PutTenant(directory.Tenant{ID: other, DisplayName: "Other", Domains: []string{"other.test"}, CreatedAt: b.clock.Now()}),
			tx.PutUser(directory.User{ID: oid("stranger"), Tenant: other, UserPrincipalName: "stranger@other.test", DisplayName: "Stranger", AccountEnabled: true, UserType: "Member"}),
			tx.PutGroup(directory.Group{ID: oid("foreign"), Tenant: other, DisplayName: "Foreign", MailNickname: "foreign", SecurityEnabled: true}),
		)
	})
	b.user("admin", "Admin", directory.GlobalAdministrator())
	b.user("users", "User Admin", directory.UserAdministrator())
	b.user("groups", "Group Admin", directory.GroupsAdministrator())
	b.user("alice", "Alice")
	b.principal("app", "Robot")
	b.principal("reader", "Reading Robot", directory.DirectoryReaders())
	b.callers["stranger"] = caller.Caller{Kind: caller.User, Tenant: other, Object: oid("stranger"), Name: "stranger@other.test", Scopes: []string{directory.AccessAsUser}}
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) write(fn func(tx *store.Tx) error) {
	b.t.Helper()
	if _, err := b.db.Update(context.Background(), fn); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) user(name, display string, roles ...ident.DirectoryRoleID) directory.User {
	b.t.Helper()
	u := directory.User{
		ID: oid(name), Tenant: b.tenant, UserPrincipalName: name + "@contoso.test", DisplayName: display, MailNickname: name,
		AccountEnabled: true, UserType: "Member", CreatedAt: b.clock.Now(), SessionsValidFrom: b.clock.Now(),
	}
	b.write(func(tx *store.Tx) error { return tx.PutUser(u) })
	b.grant(u.ID, roles...)
	b.callers[name] = caller.Caller{Kind: caller.User, Tenant: b.tenant, Object: u.ID, Name: u.UserPrincipalName, Scopes: []string{directory.AccessAsUser}}
	return u
}

func (b *bench) principal(name, display string, roles ...ident.DirectoryRoleID) {
	b.t.Helper()
	app := ident.Derive[ident.ClientID]("test", name)
	b.write(func(tx *store.Tx) error {
		return firstError(
			tx.PutApplication(directory.Application{
				ID: oid("application " + name), AppID: app, Tenant: b.tenant, DisplayName: display, IdentifierURIs: []string{"api://" + name}, CreatedAt: b.clock.Now(),
			}),
			tx.PutServicePrincipal(directory.ServicePrincipal{
				ID: oid(name), Tenant: b.tenant, AppID: app, DisplayName: display, Type: directory.TypeApplication, AccountEnabled: true, CreatedAt: b.clock.Now(),
			}))
	})
	b.grant(oid(name), roles...)
	b.callers[name] = caller.Caller{Kind: caller.ServicePrincipal, Tenant: b.tenant, Object: oid(name), Name: oid(name).String(), Client: app}
}

func (b *bench) grant(id ident.ObjectID, roles ...ident.DirectoryRoleID) {
	b.t.Helper()
	for _, r := range roles {
		b.write(func(tx *store.Tx) error { return tx.GrantDirectoryRole(r, id) })
	}
}

func (b *bench) group(name string, members ...string) directory.Group {
	b.t.Helper()
	g := directory.Group{ID: oid(name), Tenant: b.tenant, DisplayName: name, MailNickname: name, SecurityEnabled: true, CreatedAt: b.clock.Now()}
	b.write(func(tx *store.Tx) error {
		if err := tx.PutGroup(g); err != nil {
			return err
		}
		for _, m := range members {
			if err := tx.AddMember(g.ID, oid(m)); err != nil {
				return err
			}
		}
		return nil
	})
	return g
}

type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request as a caller. In paths and bodies, {name} is the object id made of that name, and {tenant} the tenant's.
func (b *bench) do(as, method, path, body string) answer {
	b.t.Helper()
	return b.send(as, method, path, body, nil)
}

// eventually reads as a client does that sends ConsistencyLevel: eventual.
func (b *bench) eventually(as, path string) answer {
	b.t.Helper()
	return b.send(as, "GET", path, "", map[string]string{"ConsistencyLevel": "eventual"})
}

func (b *bench) send(as, method, path, body string, headers map[string]string) answer {
	b.t.Helper()
	r := httptest.NewRequest(method, base+b.fill(path), strings.NewReader(b.fill(body)))
	r.Header.Set("As", as)
	for k, v := range headers {
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	b.mux.ServeHTTP(w, r)
	raw, err := io.ReadAll(w.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer{w.Code, w.Header(), string(raw)}
}

var place = regexp.MustCompile(`\{([a-z0-9 -]+)\}`)

func (b *bench) fill(s string) string {
	return place.ReplaceAllStringFunc(s, func(m string) string {
		if m == "{tenant}" {
			return b.tenant.String()
		}
		return oid(m[1 : len(m)-1]).String()
	})
}

// want fails unless the answer has this status and, if text is not empty, contains text.
func (b *bench) want(a answer, status int, text string) answer {
	b.t.Helper()
	if text = b.fill(text); a.status != status || !strings.Contains(a.body, text) {
		b.t.Fatalf("got %d %s\nwant %d with %s", a.status, a.body, status, text)
	}
	return a
}

func (a answer) json(t testing.TB) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatalf("%v in %q", err, a.body)
	}
	return v
}

// values returns one property of every item of a list.
func (a answer) values(t testing.TB, name string) []string {
	t.Helper()
	out := []string{}
	items, ok := a.json(t)["value"].([]any)
	if !ok {
		t.Fatalf("no list in %s", a.body)
	}
	for _, it := range items {
		o, ok := it.(map[string]any)
		if !ok {
			t.Fatalf("no object in %s", a.body)
		}
		s, _ := o[name].(string)
		out = append(out, s)
	}
	return out
}
