package graph

import (
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/store/postgrestest"
)

// many is how many users the benchmarks have: a million with KEYREEVE_BENCH=large, which takes minutes to make.
func many() int {
	if os.Getenv("KEYREEVE_BENCH") == "large" {
		return 1_000_000
	}
	return 50_000
}

func numberedUser(n int) ident.ObjectID {
	return ident.Derive[ident.ObjectID]("bench", fmt.Sprint(n))
}

// crowd makes a directory of many users, a thousand of whom are in each group.
func crowd(b *testing.B, opt store.Options) *bench {
	b.Helper()
	opt.WriteTimeout = 10 * time.Minute
	t := newBenchOn(b, opt)
	t.handler.Log = slog.New(slog.DiscardHandler)
	const part = 10_000
	for from := 0; from < many(); from += part {
		t.write(func(tx *store.Tx) error {
			for n := from; n < from+part; n++ {
				name := fmt.Sprintf("Person %07d of Contoso", n)
				if err := tx.PutUser(directory.User{
					ID: numberedUser(n), Tenant: t.tenant, UserPrincipalName: fmt.Sprintf("p%07d@contoso.test", n), DisplayName: name, MailNickname: fmt.Sprintf("p%07d", n),
					GivenName: "Person", Surname: "Contoso", JobTitle: "Clerk", AccountEnabled: true, UserType: "Member", CreatedAt: t.clock.Now(), SessionsValidFrom: t.clock.Now(),
				}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	t.write(func(tx *store.Tx) error {
		if err := tx.PutGroup(directory.Group{ID: oid("crowd"), Tenant: t.tenant, DisplayName: "crowd", MailNickname: "crowd", SecurityEnabled: true}); err != nil {
			return err
		}
		for n := range 1000 {
			if err := tx.AddMember(oid("crowd"), numberedUser(n)); err != nil {
				return err
			}
		}
		return nil
	})
	return t
}

// BenchmarkDirectory asks the face, from the request to the whole answer, and reports the 99th percentile besides the
// mean.
func BenchmarkDirectory(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) { benchDirectory(b, store.Options{Path: filepath.Join(b.TempDir(), "bench.db")}) })
	b.Run("postgres", func(b *testing.B) {
		benchDirectory(b, store.Options{Postgres: postgrestest.Start(b).DSN("postgres")})
	})
}

func benchDirectory(b *testing.B, opt store.Options) {
	t := crowd(b, opt)
	size := many()
	for _, ask := range []struct {
		name string
		path func(i int) string
	}{
		{"user_by_id", func(i int) string { return "/v1.0/users/" + numberedUser(i*7919%size).String() }},
		{"user_by_name", func(i int) string { return fmt.Sprintf("/v1.0/users/P%07d@contoso.test", i*7919%size) }},
		{"filter_by_name", func(i int) string {
			return "/v1.0/users?$filter=" + url.QueryEscape(fmt.Sprintf("userPrincipalName eq 'p%07d@contoso.test'", i*7919%size))
		}},
		{"filter_by_prefix_10", func(i int) string {
			return "/v1.0/users?$filter=" + url.QueryEscape(fmt.Sprintf("startswith(displayName,'person %06d')", i*7919%(size/10)))
		}},
		{"filter_by_prefix_100_of_many", func(int) string { return "/v1.0/users?$filter=" + url.QueryEscape("startswith(displayName,'person')") }},
		{"page_of_999", func(int) string { return "/v1.0/users?$top=999" }},
		{"group", func(int) string { return "/v1.0/groups/{crowd}" }},
		{"member_check", func(i int) string { return "" }},
	} {
		b.Run(ask.name, func(b *testing.B) {
			t := t.at(b)
			took := make([]time.Duration, 0, 1<<12)
			i := 0
			for b.Loop() {
				i++
				start := time.Now()
				var a answer
				if ask.name == "member_check" {
					a = t.do("alice", "POST", "/v1.0/directoryObjects/"+numberedUser(i%2000).String()+"/checkMemberGroups", `{"groupIds":["{crowd}"]}`)
				} else {
					a = t.do("alice", "GET", ask.path(i), "")
				}
				took = append(took, time.Since(start))
				if a.status != 200 {
					b.Fatal(a.status, a.body)
				}
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100])/1e6, "p99-ms")
		})
	}
}
