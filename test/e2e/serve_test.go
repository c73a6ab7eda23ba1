package e2e

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/store/postgrestest"
	"github.com/keyreeve/keyreeve/test/harness"
)

// TestReplicas runs two replicas on one PostgreSQL: what one writes the other knows, a rolling restart under load loses no
// acknowledged write, one of them leads, and when the database is away reads and writes are refused clearly, the processes
// stay ready, and all of it heals when the database comes back.
func TestReplicas(t *testing.T) {
	database := postgrestest.Start(t)
	f := harness.NewFleet(t, database.DSN("postgres"), 2)
	a, b := f.Replicas[0], f.Replicas[1]
	token := f.Token(f.Graph)

	upn, body := f.NewUser(0)
	if status, text := f.Do(a, http.MethodPost, f.Graph+"/v1.0/users", token, body); status != http.StatusCreated {
		t.Fatalf("%d %s", status, text)
	}
	if status, text := f.Do(b, http.MethodGet, f.Graph+"/v1.0/users/"+upn, token, ""); status != http.StatusOK {
		t.Errorf("the other replica: %d %s", status, text)
	}
	t.Run("one leads", func(t *testing.T) { oneLeads(t, f) })
	t.Run("rolling restart", func(t *testing.T) { rollingRestart(t, f, token) })
	t.Run("leader dies", func(t *testing.T) {
		leader := oneLeads(t, f)
		leader.Kill()
		defer leader.Start()
		oneLeads(t, f)
	})
	t.Run("database away", func(t *testing.T) { databaseAway(t, f, database, token) })
}

// soon waits until what is asked holds.
func soon(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(time.Minute)
	for !holds() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

func leads(r *harness.Replica) bool {
	_, text := r.Health("/metrics")
	return strings.Contains(text, "\nkeyreeve_leader 1\n")
}

// oneLeads waits until one replica leads, and returns it.
func oneLeads(t *testing.T, f *harness.Fleet) *harness.Replica {
	t.Helper()
	var leader *harness.Replica
	soon(t, "one leads", func() bool {
		n := 0
		for _, r := range f.Replicas {
			if leads(r) {
				n, leader = n+1, r
			}
		}
		return n == 1
	})
	return leader
}

// rollingRestart restarts each replica while users are made through the balancer.
func rollingRestart(t *testing.T, f *harness.Fleet, token string) {
	stop := make(chan struct{})
	var mu sync.Mutex
	var made []string
	var other []string
	var wg sync.WaitGroup
	for side := range 3 {
		wg.Go(func() {
			for n := 1000 + side; ; n += 3 {
				select {
				case <-stop:
					return
				default:
				}
				upn, body := f.NewUser(n)
				status, text := f.Do(nil, http.MethodPost, f.Graph+"/v1.0/users", token, body)
				mu.Lock()
				if status == http.StatusCreated {
					made = append(made, upn)
				} else {
					other = append(other, fmt.Sprintf("%s: %d %s", upn, status, text))
				}
				mu.Unlock()
			}
		})
	}
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(made)
	}
	for _, r := range f.Replicas {
		before := count()
		soon(t, "users are made", func() bool { return count() > before+5 })
		r.Stop()
		before = count()
		soon(t, "users are made by the other replica", func() bool { return count() > before+5 })
		r.Start()
	}
	close(stop)
	wg.Wait()
	for _, o := range other {
		t.Errorf("a client met the restart: %s", o)
	}
	for _, upn := range made {
		if status, text := f.Do(nil, http.MethodGet, f.Graph+"/v1.0/users/"+upn, token, ""); status != http.StatusOK {
			t.Errorf("%s was made: %d %s", upn, status, text)
		}
	}
	t.Logf("%d users made during the restarts", len(made))
}

func databaseAway(t *testing.T, f *harness.Fleet, database *postgrestest.Server, token string) {
	arm := f.Token(f.ARM)
	// A sign-in at one replica is good at the other at once.
	status, text := f.Do(f.Replicas[1], http.MethodGet, f.ARM+"/subscriptions?api-version=2022-12-01", arm, "")
	_, id, ok := strings.Cut(text, `"id":"`)
	subscription, _, _ := strings.Cut(id, `"`)
	if status != http.StatusOK || !ok {
		t.Fatalf("%d %s", status, text)
	}
	if err := database.Kill(); err != nil {
		t.Fatal(err)
	}
	_, body := f.NewUser(1)
	for _, r := range f.Replicas {
		for _, ask := range []struct{ name, method, address, token, body, want string }{
			{"Graph write", http.MethodPost, f.Graph + "/v1.0/users", token, body, `"code":"ServiceUnavailable"`},
			{"Graph read", http.MethodGet, f.Graph + "/v1.0/users/" + harness.FleetAdmin, token, "", `"code":"ServiceUnavailable"`},
			{"ARM write", http.MethodPut, f.ARM + subscription + "/resourcegroups/x?api-version=2024-03-01", arm, `{"location":"eastus"}`, `"code":"`},
			{"token", http.MethodPost, f.Login + "/" + harness.FleetDomain + "/oauth2/v2.0/token", "", "", "temporarily_unavailable"},
		} {
			status, text := 0, ""
			if ask.name == "token" {
				status, text = f.Grant(r, f.Graph)
			} else {
				status, text = f.Do(r, ask.method, ask.address, ask.token, ask.body)
			}
			if status != http.StatusServiceUnavailable || !strings.Contains(strings.ReplaceAll(text, `": "`, `":"`), ask.want) {
				t.Errorf("%s: %d %s", ask.name, status, text)
			}
		}
		if status, text := r.Health("/readyz"); status != http.StatusOK {
			t.Errorf("ready: %d %s", status, text)
		}
	}
	if err := database.Launch(); err != nil {
		t.Fatal(err)
	}
	for _, r := range f.Replicas {
		soon(t, "writes go on", func() bool {
			status, _ := f.Do(r, http.MethodPost, f.Graph+"/v1.0/users", token, body)
			return status == http.StatusCreated || status == http.StatusBadRequest // made by the other replica
		})
	}
	oneLeads(t, f)
}

// TestFromUpToProduction moves what `keyreeve up` holds to PostgreSQL by backup and restore.
func TestFromUpToProduction(t *testing.T) {
	k := harness.Up(t)
	dir := t.TempDir()
	env := harness.BareEnv(dir)
	file := filepath.Join(dir, "backup")
	harness.Must(t, env, "keyreeve", "backup", "--data", string(k.Data), "--out", file)
	k.Stop()
	f := harness.EmptyFleet(t, postgrestest.Database(t, "moved"), k.Data.SealKey())
	r := f.Replicas[0]
	harness.Must(t, env, "keyreeve", "restore", "--config", r.Config(), "--from", file)
	if _, stderr, status := harness.Run(t, env, "keyreeve", "restore", "--config", r.Config(), "--from", file); status == 0 || !strings.Contains(stderr, "not empty") {
		t.Errorf("restored twice: %d %s", status, stderr)
	}
	harness.Must(t, env, "keyreeve", "config", "check", r.Config())
	r.Start()
	if status, text := f.GrantAs(r, f.Graph, k.Admin.UserPrincipalName, k.Admin.Password); status != http.StatusOK {
		t.Errorf("the administrator of before: %d %s", status, text)
	}
}
