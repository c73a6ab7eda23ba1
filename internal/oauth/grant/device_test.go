package grant_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/logintest"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/session"
	"github.com/keyreeve/keyreeve/internal/store"
)

func deviceStart(t *testing.T, s *logintest.Service) logintest.Answer {
	t.Helper()
	a := s.Post("/organizations/oauth2/v2.0/devicecode", "client_id", directory.AzureCLI().String(), "scope", userScope)
	if a.Status != http.StatusOK {
		t.Fatal(a.Text)
	}
	return a
}

func pollForm(t *testing.T, start logintest.Answer) []string {
	t.Helper()
	code := start.Str(t, "device_code")
	return []string{ // as MSAL Python polls: the code twice, no scope
		"grant_type", "urn:ietf:params:oauth:grant-type:device_code", "client_id", directory.AzureCLI().String(), "device_code", code, "code", code,
	}
}

func setState(t *testing.T, s *logintest.Service, start logintest.Answer, state session.DeviceState) {
	t.Helper()
	code, _ := proof.ParseUserCode(start.Str(t, "user_code"))
	s.Update(func(tx *store.Tx) error {
		d, err := tx.DeviceCodeByUserCode(code)
		if err != nil {
			return err
		}
		d.State = state
		return tx.PutDeviceCode(d)
	})
}

func TestDeviceStartAnswer(t *testing.T) {
	s := logintest.Start(t)
	a := deviceStart(t, s)
	code := a.Str(t, "user_code")
	if _, ok := proof.ParseUserCode(code); !ok || len(code) != 9 || code[4] != '-' {
		t.Errorf("user code %q", code)
	}
	if a.Body["verification_uri"] != s.BaseURL+"/device" || a.Body["verification_uri_complete"] != s.BaseURL+"/device?user_code="+code ||
		a.Body["expires_in"] != 900.0 || a.Body["interval"] != 5.0 {
		t.Error(a.Text)
	}
	if want := "To sign in, use a web browser to open the page " + s.BaseURL + "/device and enter the code " + code + " to authenticate."; a.Body["message"] != want {
		t.Errorf("message %q", a.Body["message"])
	}
	v1 := s.Post("/common/oauth2/devicecode?api-version=1.0", "client_id", directory.AzureCLI().String(), "resource", "https://graph.windows.net/")
	wantError(t, s, v1, 400, "invalid_resource", 500011)
	v1 = s.Post("/common/oauth2/devicecode?api-version=1.0", "client_id", directory.AzureCLI().String(), "resource", directory.AKSServer().String())
	if v1.Str(t, "verification_url") != s.BaseURL+"/device" || v1.Str(t, "expires_in") != "900" || v1.Str(t, "interval") != "5" {
		t.Error(v1.Text)
	}
}

// TestDevicePolls goes through RFC 8628 3.5.
func TestDevicePolls(t *testing.T) {
	s := logintest.Start(t)
	for _, row := range []struct {
		name   string
		do     func(start logintest.Answer)
		change []string
		path   string
		word   string
		number int
	}{
		{name: "pending", word: "authorization_pending", number: 70016},
		{name: "declined", do: func(a logintest.Answer) { setState(t, s, a, session.DeviceDeclined) }, word: "authorization_declined", number: 65004},
		{name: "expired", do: func(logintest.Answer) { s.Clock.Move(16 * time.Minute) }, word: "expired_token", number: 70020},
		{name: "by another client", change: []string{"client_id", directory.AKSClient().String()}, word: "bad_verification_code", number: 70018},
		{name: "at another tenant", path: "/contoso.test/oauth2/v2.0/token", word: "bad_verification_code", number: 70018},
		{name: "at the other version", path: "/organizations/oauth2/token", word: "bad_verification_code", number: 70018},
		{name: "two codes", change: []string{"code", "other"}, word: "invalid_request", number: 9002313},
		{
			name: "for another resource", do: func(a logintest.Answer) { approve(t, s, a.Str(t, "user_code")) },
			change: []string{"scope", "https://graph.microsoft.com/.default"}, word: "invalid_scope", number: 70011,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			start := deviceStart(t, s)
			if row.do != nil {
				row.do(start)
			}
			path := row.path
			if path == "" {
				path = tokenPath
			}
			wantError(t, s, s.Post(path, with(pollForm(t, start), row.change...)...), 400, row.word, row.number)
		})
	}
	t.Run("expired at v1", func(t *testing.T) {
		a := s.Post("/common/oauth2/devicecode", "client_id", directory.AzureCLI().String(), "resource", directory.AKSServer().String())
		s.Clock.Move(16 * time.Minute)
		wantError(t, s, s.Post("/common/oauth2/token", "grant_type", "device_code", "client_id", directory.AzureCLI().String(),
			"code", a.Str(t, "device_code"), "resource", directory.AKSServer().String()), 400, "code_expired", 70020)
	})
}

// TestDevicePace: MSAL Go's burst at the start is let through, a client that keeps to its interval never meets the
// limit, and one that hammers is told to slow down and can recover.
func TestDevicePace(t *testing.T) {
	s := logintest.Start(t)
	form := pollForm(t, deviceStart(t, s))
	for range 12 {
		wantError(t, s, s.Post(tokenPath, form...), 400, "authorization_pending", 70016)
	}
	wantError(t, s, s.Post(tokenPath, form...), 400, "slow_down", 70016)
	for range 50 {
		s.Clock.Move(5 * time.Second)
		wantError(t, s, s.Post(tokenPath, form...), 400, "authorization_pending", 70016)
	}
}

func TestDeviceCodeIsUsedOnce(t *testing.T) {
	s := logintest.Start(t)
	start := deviceStart(t, s)
	approve(t, s, start.Str(t, "user_code"))
	answers := make([]logintest.Answer, 8)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() { answers[i] = s.Post(tokenPath, pollForm(t, start)...) })
	}
	wg.Wait()
	good := 0
	for _, a := range answers {
		if a.Status == http.StatusOK {
			good++
			if a.Str(t, "scope") != userScope || a.Str(t, "id_token") == "" || a.Str(t, "refresh_token") == "" {
				t.Errorf("the scope of the start is forgotten: %s", a.Text)
			}
			continue
		}
		wantError(t, s, a, 400, "bad_verification_code", 70018)
	}
	if good != 1 {
		t.Errorf("%d of %d polls got tokens", good, len(answers))
	}
}

func TestDeviceApprovalEndsWithTheSession(t *testing.T) {
	s := logintest.Start(t)
	start := deviceStart(t, s)
	approve(t, s, start.Str(t, "user_code"))
	s.Clock.Move(time.Second)
	alice := s.Alice
	alice.SessionsValidFrom = s.Clock.Now()
	s.Update(func(tx *store.Tx) error { return tx.PutUser(alice) })
	wantError(t, s, s.Post(tokenPath, pollForm(t, start)...), 400, "invalid_grant", 50173)
}

func TestDeviceStartsAreBounded(t *testing.T) {
	s := logintest.Start(t)
	for i := range 200 {
		a := s.Post("/organizations/oauth2/v2.0/devicecode", "client_id", directory.AzureCLI().String(), "scope", userScope)
		if a.Status == http.StatusTooManyRequests && a.Header.Get("Retry-After") != "" && strings.Contains(a.Text, "AADSTS90055") {
			return
		}
		if a.Status != http.StatusOK {
			t.Fatal(i, a.Text)
		}
	}
	t.Error("200 device flows were started at once")
}
