package world_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/memory"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/world"
)

type metric struct {
	value float64
	unit  string
}

// load builds the world from a database of the size, and says what that took.
func (s size) load(b *testing.B) (*world.World, []metric) {
	b.Helper()
	path := s.database(b)
	before := heap()
	start, cpu := time.Now(), processTime(b)
	db, err := store.Open(b.Context(), store.Options{Path: path, Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	w := newWorld(b)
	if err := db.Follow(b.Context(), func(c feed.Change) {
		if err := w.Apply(c); err != nil {
			b.Fatal(err)
		}
	}); err != nil {
		b.Fatal(err)
	}
	memory.Settle() // as a server does
	took, worked := time.Since(start), processTime(b)-cpu
	if got, _, _ := w.Status(); got != 1 || len(w.GroupsOf(s.user(s.users-1))) < s.each-3 {
		b.Fatal("the world is not what was put down")
	}
	return w, []metric{{took.Seconds(), "build-s"}, {worked.Seconds(), "build-cpu-s"}, {float64(heap()-before) / (1 << 20), "MiB"}}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// database fills a database, past the store: written the usual way, twenty million memberships would take an hour. With
// KEYREEVE_BENCH_DIR set, it is kept there for the next run.
func (s size) database(b *testing.B) string {
	b.Helper()
	dir := os.Getenv("KEYREEVE_BENCH_DIR")
	if dir == "" {
		dir = b.TempDir()
	}
	path := filepath.Join(dir, s.name+".db")
	if _, err := os.Stat(path); err == nil {
		return path
	}
	part := path + ".part"
	_ = os.Remove(part)
	db, err := store.Open(b.Context(), store.Options{Path: part, Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	if err := db.Close(); err != nil {
		b.Fatal(err)
	}
	s.fill(b, part)
	if err := os.Rename(part, path); err != nil {
		b.Fatal(err)
	}
	return path
}

// filler writes rows past the store.
type filler struct {
	testing.TB
	ctx context.Context //nolint:containedctx // of one call
	db  *sql.Conn
}

func (f *filler) exec(query string, args ...any) {
	if _, err := f.db.ExecContext(f.ctx, query, args...); err != nil {
		f.Fatal(query, err)
	}
}

// rows inserts n rows, of which each is given by its columns.
func (f *filler) rows(table string, columns, n int, row func(i int) []any) {
	stmt, err := f.db.PrepareContext(f.ctx, "INSERT INTO "+table+" VALUES (?"+strings.Repeat(", ?", columns-1)+")")
	if err != nil {
		f.Fatal(table, err)
	}
	defer func() { _ = stmt.Close() }()
	for i := range n {
		if _, err := stmt.ExecContext(f.ctx, row(i)...); err != nil {
			f.Fatal(table, err)
		}
	}
}

func (f *filler) doc(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		f.Fatal(err)
	}
	return string(raw)
}

func (s size) fill(b *testing.B, path string) {
	pool, err := sql.Open("sqlite", path)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = pool.Close() }()
	conn, err := pool.Conn(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	f := &filler{b, b.Context(), conn}
	for _, pragma := range []string{"journal_mode = OFF", "synchronous = OFF", "cache_size = -400000", "temp_store = MEMORY"} {
		f.exec("PRAGMA " + pragma)
	}
	// An index is made at the end, in one piece.
	f.exec("DROP INDEX members_member")
	f.exec("BEGIN")
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	tenant := tid(0)
	f.rows("tenants", 2, 1, func(int) []any {
		return []any{tenant, f.doc(directory.Tenant{ID: tenant, Domains: []string{"contoso.test"}})}
	})
	f.rows("subscriptions", 3, 20, func(i int) []any {
		return []any{subID(i), tenant, f.doc(resource.Subscription{ID: subID(i), Tenant: tenant, State: "Enabled"})}
	})
	f.rows("users", 5, s.users, func(i int) []any {
		u := directory.User{
			ID: s.user(i), Tenant: tenant, UserPrincipalName: fmt.Sprintf("user%d@contoso.test", i), DisplayName: fmt.Sprintf("User %d", i),
			AccountEnabled: true, UserType: "Member", CreatedAt: at, SessionsValidFrom: at,
		}
		return []any{u.ID, tenant, u.UserPrincipalName, directory.Fold(u.DisplayName), f.doc(u)}
	})
	f.rows("user_groups", 5, s.groups, func(i int) []any {
		g := directory.Group{ID: s.group(i), Tenant: tenant, DisplayName: fmt.Sprintf("group %d", i), MailNickname: fmt.Sprintf("g%d", i), SecurityEnabled: true, CreatedAt: at}
		return []any{g.ID, tenant, directory.Fold(g.DisplayName), g.MailNickname, f.doc(g)}
	})
	s.fillMembers(f)
	f.rows("clusters", 3, s.places, func(i int) []any {
		c := s.cluster(i)
		return []any{c.ID, strings.ToLower(c.ResourceID()), f.doc(c)}
	})
	r := rand.New(rand.NewPCG(9, 9))
	f.rows("role_assignments", 6, s.assignments, func(i int) []any {
		id := ident.RoleAssignmentID(numbered(3, i))
		doc := s.assignment(b, r, id)
		return []any{id, tenant, fmt.Sprint(i), id.String(), id.String(), string(doc)} // the columns beside the document are not read here
	})
	f.exec("UPDATE head SET revision = 1")
	f.exec("COMMIT")
	f.exec("CREATE INDEX members_member ON members (member_id, group_id)")
}

// fillMembers puts each user into some groups, many into the last group, and that and others into groups of a lower number.
func (s size) fillMembers(f *filler) {
	in := make([][]ident.ObjectID, s.groups)
	r := rand.New(rand.NewPCG(7, 7))
	for i := range s.nested {
		g := r.IntN(s.groups - s.nested)
		in[g] = append(in[g], s.group(s.groups-1-i))
	}
	for i := range s.users {
		id := s.user(i)
		for range s.each {
			g := r.IntN(s.groups)
			in[g] = append(in[g], id)
		}
		if i < s.large {
			in[s.groups-1] = append(in[s.groups-1], id)
		}
	}
	order := make([]int, s.groups)
	for i := range order {
		order[i] = i
	}
	compare := func(a, b ident.ObjectID) int { return slices.Compare(a[:], b[:]) }
	slices.SortFunc(order, func(a, b int) int { return compare(s.group(a), s.group(b)) })
	for _, g := range order {
		slices.SortFunc(in[g], compare)
		f.exec("INSERT INTO members (group_id, member_id) SELECT ?, value FROM json_each(?)", s.group(g), f.doc(slices.Compact(in[g])))
		in[g] = nil
	}
}

// assignment is an assignment at a random cluster, of three two in a namespace, of one of the roles for Kubernetes to a random group.
func (s size) assignment(tb testing.TB, r *rand.Rand, id ident.RoleAssignmentID) []byte {
	tb.Helper()
	c := s.cluster(r.IntN(s.places))
	scope := c.ResourceID()
	if r.IntN(3) > 0 {
		scope += fmt.Sprintf("/namespaces/team-%d", r.IntN(50))
	}
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	raw, err := json.Marshal(rbac.Assignment{
		ID: id, Scope: scope, RoleDefinitionID: ident.MustParse[ident.RoleDefinitionID](kubeRoles()[r.IntN(4)]), RoleDefinitionSubscription: subID(0),
		PrincipalID: s.group(r.IntN(s.groups)), PrincipalType: rbac.PrincipalGroup, Tenant: tid(0), CreatedOn: at, UpdatedOn: at,
		CreatedBy: numbered(4, 1).String(), UpdatedBy: numbered(4, 1).String(),
	})
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

// kubeRoles are Azure Kubernetes Service RBAC Reader, Writer, Admin and Cluster Admin.
func kubeRoles() []string {
	return []string{
		"7f6c6a51-bcf8-42ba-9220-52d62157d7db", "a7ffa36f-339b-4b5c-8bdf-e2c188b2c0eb", "3498e952-d568-435e-9b2c-8d77e338d7f7", "b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b",
	}
}
