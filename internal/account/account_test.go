package account

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// service is a token service that takes each refresh token once.
type service struct {
	mu      sync.Mutex
	refresh int
	calls   atomic.Int32
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.calls.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.FormValue("grant_type") == "refresh_token" && r.FormValue("refresh_token") != fmt.Sprint("r", s.refresh) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprint(w, `{"error":"invalid_grant","error_description":"AADSTS70000: used before"}`)
		return
	}
	s.refresh++
	claims := base64.RawURLEncoding.EncodeToString([]byte(`{"tid":"t","upn":"ann@x"}`))
	_, _ = fmt.Fprintf(w, `{"access_token":"h.%s.s","refresh_token":"r%d","expires_in":"3600"}`, claims, s.refresh)
}

func open(t *testing.T, path, login string, now func() time.Time) *Accounts {
	t.Helper()
	a := &Accounts{Path: path, Login: login, HTTP: http.DefaultClient, Now: now}
	if err := a.Open(); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestSignIn(t *testing.T) {
	s := &service{}
	web := httptest.NewServer(s)
	defer web.Close()
	path := filepath.Join(t.TempDir(), "new", "sign-ins.json")
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	a := open(t, path, web.URL, clock)
	if _, err := a.Subscription(""); !errors.Is(err, ErrSignedOut) {
		t.Fatalf("nobody is signed in, and yet: %v", err)
	}
	in, _, err := a.WithPassword(t.Context(), "organizations", "ann@x", "p", "arm/")
	if err != nil || in.Name != "ann@x" || in.TenantID != "t" {
		t.Fatalf("%+v, %v", in, err)
	}
	if err := a.Keep(in, []Subscription{{ID: "s1", Name: "one"}, {ID: "s2", Name: "two"}}); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	if err := a.SetDefault("TWO"); err != nil {
		t.Fatal(err)
	}
	sub, err := open(t, path, web.URL, clock).Subscription("")
	if err != nil || sub.ID != "s2" {
		t.Fatalf("%+v, %v", sub, err)
	}
	before := s.calls.Load()
	if _, err := a.Token(t.Context(), sub, "arm/"); err != nil || s.calls.Load() != before {
		t.Errorf("a good token was not used again: %v", err)
	}
	// An hour later many commands start at once: one renews, and no refresh token is used twice.
	now = now.Add(time.Hour)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			x := &Accounts{Path: path, Login: web.URL, HTTP: http.DefaultClient, Now: clock}
			if err := x.Open(); err != nil {
				t.Error(err)
			}
			if _, err := x.Token(t.Context(), sub, "arm/"); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := s.calls.Load() - before; n != 1 {
		t.Errorf("%d renewals", n)
	}
	if found, err := a.Forget(""); err != nil || !found {
		t.Errorf("%v, %v", found, err)
	}
	if _, err := open(t, path, web.URL, clock).Token(t.Context(), sub, "arm/"); !errors.Is(err, ErrSignedOut) {
		t.Errorf("signed out, and yet: %v", err)
	}
}

func TestIdentifyRefuses(t *testing.T) {
	for _, token := range []string{"", "a", "a.b", "a.!.c", "a.e30", "..", "a.bm8.c"} {
		if _, err := Identify(token); err == nil {
			t.Errorf("%q was read", token)
		}
	}
}
