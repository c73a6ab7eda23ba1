package grant_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/logintest"
)

// TestNoInnerErrorIsShown: when the store fails, the client gets a bare server_error and the log gets the cause.
func TestNoInnerErrorIsShown(t *testing.T) {
	s := logintest.Start(t)
	start := deviceStart(t, s)
	if err := s.DB.Close(); err != nil {
		t.Fatal(err)
	}
	home := "/contoso.test/oauth2/v2.0/token"
	for name, form := range map[string][]string{
		"password": passwordForm(s), "secret": secretForm(s), "refresh": refreshForm("krr_x"), "poll": pollForm(t, start),
	} {
		path := home
		if name == "poll" {
			path = tokenPath
		}
		wantError(t, s, s.Post(path, form...), http.StatusInternalServerError, "server_error", 90025)
	}
	a := s.Post("/organizations/oauth2/v2.0/devicecode", "client_id", directory.AzureCLI().String(), "scope", userScope)
	wantError(t, s, a, http.StatusInternalServerError, "server_error", 90025)
	if !strings.Contains(a.Text, "An internal error occurred. Please try again.") || strings.Contains(a.Text, "sql") || strings.Contains(a.Text, "store") {
		t.Errorf("the answer shows what went wrong inside: %s", a.Text)
	}
	if !strings.Contains(s.Log.String(), "database is closed") {
		t.Error("the cause is not in the log")
	}
	for _, secret := range []string{logintest.Password, s.AppSecret, start.Str(t, "device_code"), "krr_x"} {
		if strings.Contains(s.Log.String(), secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}

// TestLockout: ten wrong passwords lock an account, whether or not it exists, and the right one does not open it before
// its time.
func TestLockout(t *testing.T) {
	for _, name := range []string{"alice@contoso.test", "nobody@contoso.test", "nobody@nowhere.test"} {
		t.Run(name, func(t *testing.T) {
			s := logintest.Start(t)
			wrong := with(passwordForm(s), "username", name, "password", "wrong")
			for range 10 {
				wantError(t, s, s.Post(tokenPath, wrong...), 400, "invalid_grant", 50126)
			}
			right := with(passwordForm(s), "username", strings.ToUpper(name))
			wantError(t, s, s.Post(tokenPath, right...), 400, "invalid_grant", 50053)
			wantError(t, s, s.Post(tokenPath, wrong...), 400, "invalid_grant", 50053)
			if a := s.Post(tokenPath, with(right, "username", s.Bob.UserPrincipalName)...); a.Status != http.StatusOK {
				t.Errorf("another account is locked too: %s", a.Text)
			}
			s.Clock.Move(time.Minute)
			if name != s.Alice.UserPrincipalName {
				wantError(t, s, s.Post(tokenPath, right...), 400, "invalid_grant", 50126)
				return
			}
			if a := s.Post(tokenPath, right...); a.Status != http.StatusOK {
				t.Fatal(a.Text)
			}
			for range 9 { // a success forgets the failures
				wantError(t, s, s.Post(tokenPath, wrong...), 400, "invalid_grant", 50126)
			}
			if a := s.Post(tokenPath, right...); a.Status != http.StatusOK {
				t.Fatal(a.Text)
			}
		})
	}
}

// TestLockoutHoldsAgainstManyAtOnce: guesses made at the same time do not get round the lock.
func TestLockoutHoldsAgainstManyAtOnce(t *testing.T) {
	s := logintest.Start(t)
	wrong := with(passwordForm(s), "password", "wrong")
	const guesses = 40
	results := make(chan string, guesses)
	for range guesses {
		go func() { results <- s.Post(tokenPath, wrong...).Text }()
	}
	checked := 0
	for range guesses {
		if strings.Contains(<-results, "AADSTS50126") {
			checked++
		}
	}
	if checked != 10 {
		t.Errorf("%d guesses were told that they are wrong, want 10", checked)
	}
	wantError(t, s, s.Post(tokenPath, passwordForm(s)...), 400, "invalid_grant", 50053)
}
