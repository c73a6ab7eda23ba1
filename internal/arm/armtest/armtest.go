// Package armtest owns the set-up of tests of the Resource Manager face: a real store and world with two tenants, and a
// face over them whose callers are named instead of signed in.
//
// It never replaces a part that the tests are about.
package armtest

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/caller"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/world"
)

// Ids of what every rig holds.
const (
	Tenant      = "11111111-0000-4000-8000-000000000001"
	OtherTenant = "11111111-0000-4000-8000-000000000002"
	Sub         = "22222222-0000-4000-8000-000000000001"
	OtherSub    = "22222222-0000-4000-8000-000000000002" // of OtherTenant
	Owner       = "33333333-0000-4000-8000-000000000001" // user, Owner of Sub
	Nobody      = "33333333-0000-4000-8000-000000000002" // user without any role
	App         = "33333333-0000-4000-8000-000000000003" // service principal without any role
	Stranger    = "33333333-0000-4000-8000-000000000004" // user of OtherTenant
	Reader      = "33333333-0000-4000-8000-000000000005" // user, Reader of Sub
	Group       = "44444444-0000-4000-8000-000000000001" // group of Nobody

	OwnerRole       = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
	ReaderRole      = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
	ContributorRole = "b24988ac-6180-42a0-ab88-20f7382dd24c"
	AccessAdminRole = "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9"
	ClusterUserRole = "4abbcc35-e782-43d8-92c5-2d3f1bd2253f"

	BaseURL  = "https://arm.test:8444"
	LoginURL = "https://login.test:8443"
	GraphURL = "https://graph.test:8445"
)

// Rig is a face over a real store.
type Rig struct {
	T     testing.TB
	DB    *store.DB
	World *world.World
	Face  *arm.Face
	Clock *Clock
	Path  string // of the database
	// Broken, if set, is what authentication returns.
	Broken error
}

// Clock is a clock that tests move.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// Now returns the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Move moves the clock.
func (c *Clock) Move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// New makes a rig; its parts end with the test.
func New(t testing.TB) *Rig {
	t.Helper()
	r := &Rig{T: t, Clock: &Clock{now: time.Date(2025, 5, 16, 6, 50, 42, 199160700, time.UTC)}, Path: filepath.Join(t.TempDir(), "db")}
	r.Open()
	r.Update(func(tx *store.Tx) error { return seed(tx, r.Clock.Now()) })
	return r
}

// Open opens the rig's store, world and face anew, as a restart does.
func (r *Rig) Open() {
	r.T.Helper()
	ctx := r.T.Context()
	db, err := store.Open(ctx, store.Options{Path: r.Path, Now: r.Clock.Now})
	if err != nil {
		r.T.Fatal(err)
	}
	r.T.Cleanup(func() { _ = db.Close() })
	w, err := world.New()
	if err != nil {
		r.T.Fatal(err)
	}
	// A change that the world cannot apply breaks it, and a broken world decides nothing: tests see it at once.
	if err := db.Follow(ctx, func(c feed.Change) { _ = w.Apply(c) }); err != nil {
		r.T.Fatal(err)
	}
	r.DB, r.World = db, w
	r.Face = &arm.Face{
		DB: db, World: w, Auth: named{r}, BaseURL: BaseURL, LoginURL: LoginURL, GraphURL: GraphURL, Now: r.Clock.Now, Log: r.Log(),
	}
}

// Authenticator returns what the face authenticates with, for rooms with an authenticator of their own.
func (r *Rig) Authenticator() arm.Authenticator { return named{r} }

// Log returns a logger that says nothing.
func (r *Rig) Log() *slog.Logger { return slog.New(slog.DiscardHandler) }

func seed(tx *store.Tx, now time.Time) error {
	id := ident.MustParse[ident.ObjectID]
	users := []struct{ id, tenant, upn string }{
		{Owner, Tenant, "owner@contoso.test"},
		{Nobody, Tenant, "nobody@contoso.test"},
		{Stranger, OtherTenant, "stranger@fabrikam.test"},
		{Reader, Tenant, "reader@contoso.test"},
	}
	for _, t := range []struct{ id, name, domain, sub, subName string }{
		{Tenant, "Contoso", "contoso.test", Sub, "Contoso subscription"},
		{OtherTenant, "Fabrikam", "fabrikam.test", OtherSub, "Fabrikam subscription"},
	} {
		tenant := ident.MustParse[ident.TenantID](t.id)
		if err := tx.PutTenant(directory.Tenant{ID: tenant, DisplayName: t.name, Domains: []string{t.domain}, CreatedAt: now}); err != nil {
			return err
		}
		sub := resource.Subscription{ID: ident.MustParse[ident.SubscriptionID](t.sub), Tenant: tenant, DisplayName: t.subName, State: "Enabled", CreatedAt: now}
		if err := tx.PutSubscription(sub); err != nil {
			return err
		}
	}
	tenant := ident.MustParse[ident.TenantID](Tenant)
	for _, u := range users {
		err := tx.PutUser(directory.User{
			ID: id(u.id), Tenant: ident.MustParse[ident.TenantID](u.tenant), UserPrincipalName: u.upn, DisplayName: u.upn, AccountEnabled: true, CreatedAt: now,
		})
		if err != nil {
			return err
		}
	}
	err := tx.PutServicePrincipal(directory.ServicePrincipal{
		ID: id(App), Tenant: tenant, AppID: ident.Derive[ident.ClientID]("armtest", "app"), DisplayName: "app", Type: directory.TypeApplication, AccountEnabled: true, CreatedAt: now,
	})
	if err != nil {
		return err
	}
	if err := tx.PutGroup(directory.Group{ID: id(Group), Tenant: tenant, DisplayName: "group", MailNickname: "group", SecurityEnabled: true, CreatedAt: now}); err != nil {
		return err
	}
	if err := tx.AddMember(id(Group), id(Nobody)); err != nil {
		return err
	}
	if err := tx.PutAssignment(Assignment(Owner, rbac.PrincipalUser, OwnerRole, "/subscriptions/"+Sub)); err != nil {
		return err
	}
	return tx.PutAssignment(Assignment(Reader, rbac.PrincipalUser, ReaderRole, "/subscriptions/"+Sub))
}

// Assignment makes an assignment in Tenant, whose id follows from what it says.
func Assignment(principal string, kind rbac.PrincipalType, role, scope string) rbac.Assignment {
	return rbac.Assignment{
		ID: ident.Derive[ident.RoleAssignmentID]("armtest", principal, role, scope), Scope: scope,
		RoleDefinitionID: ident.MustParse[ident.RoleDefinitionID](role), RoleDefinitionSubscription: ident.MustParse[ident.SubscriptionID](Sub),
		PrincipalID: ident.MustParse[ident.ObjectID](principal), PrincipalType: kind, Tenant: ident.MustParse[ident.TenantID](Tenant),
	}
}

// Update writes to the store.
func (r *Rig) Update(fn func(tx *store.Tx) error) {
	r.T.Helper()
	if _, err := r.DB.Update(r.T.Context(), fn); err != nil {
		r.T.Fatal(err)
	}
}

// Grant gives a principal a role at a scope of Tenant.
func (r *Rig) Grant(principal string, kind rbac.PrincipalType, role, scope string) {
	r.T.Helper()
	r.Update(func(tx *store.Tx) error { return tx.PutAssignment(Assignment(principal, kind, role, scope)) })
}

// named authenticates "Bearer <object id>" against the world, as a token of that principal would be.
type named struct{ r *Rig }

func (n named) Authenticate(req *http.Request) (caller.Caller, error) {
	if n.r.Broken != nil {
		return caller.Caller{}, n.r.Broken
	}
	text, ok := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return caller.Caller{}, fault.New(fault.Unauthenticated, "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.")
	}
	id, err := ident.Parse[ident.ObjectID](text)
	p, known := n.r.World.Principal(id)
	if err != nil || !known {
		return caller.Caller{}, fault.New(fault.Unauthenticated, "InvalidAuthenticationToken", "The access token is invalid.")
	}
	c := caller.Caller{Kind: caller.User, Tenant: p.Tenant, Object: p.ID, Name: p.Name, Roles: caller.Roles(n.r.World, p.ID)}
	if p.Kind == world.ServicePrincipal {
		c.Kind = caller.ServicePrincipal
	}
	return c, nil
}

// Answer is what the face answered.
type Answer struct {
	T      testing.TB
	Status int
	Header http.Header
	Body   string
}

// Do sends a request as a principal (its object id; empty for nobody) and returns the answer. A path without a query is
// asked with an api-version.
func (r *Rig) Do(method, path, as, body string) Answer {
	r.T.Helper()
	if !strings.Contains(path, "?") {
		path += "?api-version=2022-04-01"
	}
	req := httptest.NewRequestWithContext(r.T.Context(), method, BaseURL+path, strings.NewReader(body))
	if as != "" {
		req.Header.Set("Authorization", "Bearer "+as)
	}
	rec := httptest.NewRecorder()
	r.Face.ServeHTTP(rec, req)
	text, err := io.ReadAll(rec.Result().Body)
	if err != nil {
		r.T.Fatal(err)
	}
	return Answer{T: r.T, Status: rec.Code, Header: rec.Result().Header, Body: string(text)}
}

// Want checks status and the error's code, in either envelope; an empty code wants no error.
func (a Answer) Want(status int, code string) Answer {
	a.T.Helper()
	if a.Status != status || a.Code() != code {
		a.T.Fatalf("answer is %d %q, want %d %q\n%s", a.Status, a.Code(), status, code, a.Body)
	}
	return a
}

// Code returns the error's code, or "".
func (a Answer) Code() string {
	code, _ := a.failure()
	return code
}

// Message returns the error's text, or "".
func (a Answer) Message() string {
	_, message := a.failure()
	return message
}

func (a Answer) failure() (code, message string) {
	if a.Status < http.StatusBadRequest {
		return "", ""
	}
	type failure struct{ Code, Message string }
	var body struct {
		Error *failure
		failure
	}
	var bare failure
	if json.Unmarshal([]byte(a.Body), &body) == nil && body.Error != nil {
		return body.Error.Code, body.Error.Message
	}
	if json.Unmarshal([]byte(a.Body), &bare) == nil {
		return bare.Code, bare.Message
	}
	return "", ""
}

// JSON reads the body into v.
func (a Answer) JSON(v any) {
	a.T.Helper()
	if err := json.Unmarshal([]byte(a.Body), v); err != nil {
		a.T.Fatalf("%v\n%s", err, a.Body)
	}
}

// Run runs a runner until the test ends.
func (r *Rig) Run(runner *arm.Runner) (stop func()) {
	ctx, cancel := contextOf(r.T)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := runner.Run(ctx); err != nil {
			r.T.Error(err)
		}
	}()
	stop = func() {
		cancel()
		<-done
	}
	r.T.Cleanup(stop)
	return stop
}

// Ended waits until the operation at a polling URL has ended, and returns its record.
func (r *Rig) Ended(pollURL string) resource.Operation {
	r.T.Helper()
	path, _, _ := strings.Cut(pollURL, "?")
	id, err := ident.Parse[ident.OperationID](path[strings.LastIndex(path, "/")+1:])
	if err != nil {
		r.T.Fatal(err)
	}
	ended := make(chan struct{}, 1)
	ctx, cancel := contextOf(r.T)
	defer cancel()
	// The change feed tells of the end; there is no other clock to wait on.
	err = r.DB.Follow(ctx, func(feed.Change) {
		select {
		case ended <- struct{}{}:
		default:
		}
	})
	if err != nil {
		r.T.Fatal(err)
	}
	for {
		var op resource.Operation
		err := r.DB.View(ctx, func(tx *store.Tx) (err error) {
			op, err = tx.Operation(id)
			return err
		})
		if err != nil {
			r.T.Fatal(err)
		}
		if op.Status != resource.InProgress {
			return op
		}
		select {
		case <-ended:
		case <-ctx.Done():
			r.T.Fatal("the operation has not ended")
		}
	}
}

func contextOf(t testing.TB) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), time.Minute)
}
