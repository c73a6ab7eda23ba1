package signin_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/logintest"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/test/browser"
)

// TestDeviceFlowInABrowser takes the device flow through the real pages, with a real browser, keyboard only.
func TestDeviceFlowInABrowser(t *testing.T) {
	s := logintest.Start(t)
	tab := browser.Start(t)
	start := s.Post("/organizations/oauth2/v2.0/devicecode", "client_id", directory.AzureCLI().String(),
		"scope", "https://management.core.windows.net//.default offline_access openid profile")
	link, code := start.Str(t, "verification_uri_complete"), start.Str(t, "user_code")
	poll := func() logintest.Answer {
		return s.Post("/organizations/oauth2/v2.0/token", "client_id", directory.AzureCLI().String(),
			"grant_type", "urn:ietf:params:oauth:grant-type:device_code", "device_code", start.Str(t, "device_code"))
	}

	tab.Open(s.BaseURL + "/device")
	tab.Heading("Enter your code")
	tab.Shoot("01-code-empty")
	tab.Type("#code", "WRONG\r")
	tab.Alert()
	tab.Shoot("02-code-wrong")

	tab.Open(link)
	tab.Heading("Check your code")
	if filled, err := chromedp.Run(tab.Context(), chromedp.Value(chromedp.CSS(`#code`))); err != nil {
		t.Fatal(err)
	} else if filled != code {
		t.Fatalf("the link fills in %q, want %q", filled, code)
	}
	tab.Shoot("03-code")
	tab.Type("#code", "\r")
	tab.Heading("Sign in")
	tab.Shoot("04-signin")
	tab.Type("#username", s.Alice.UserPrincipalName+"\tnot it\r")
	tab.Alert()
	tab.Shoot("05-wrong-password")
	if a := poll(); a.Str(t, "error") != "authorization_pending" {
		t.Fatal(a.Text)
	}
	tab.Type("#password", logintest.Password+"\r")
	tab.Heading("Is this you?")
	text := tab.Text()
	for _, want := range []string{"Microsoft Azure CLI", s.Alice.UserPrincipalName, "Contoso (contoso.test)", code, "Only continue if you started this yourself."} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q:\n%s", want, text)
		}
	}
	tab.Shoot("06-confirm")
	tab.Do(chromedp.Focus(chromedp.CSS(`button[value=approve]`)), chromedp.KeyEvent("\r"))
	tab.Heading("✓ You are signed in")
	tab.Shoot("07-done")
	if a := poll(); a.Status != 200 || a.Body["id_token"] == nil {
		t.Fatal(a.Status, a.Text)
	}
	tab.Open(s.BaseURL + "/error?code=50053")
	tab.Heading("What an error means")
	tab.Shoot("08-error")
	tab.Open(s.BaseURL + "/signin/signout")
	tab.Heading("Sign out")
	tab.Shoot("09-signout")
	tab.Click(`button[value="` + s.Alice.ID.String() + `"]`)
	tab.Heading("✓ You are signed out")
	tab.Shoot("10-signedout")
}

// TestDeclineInABrowser meets the pages that the happy way does not: a new password, a request from elsewhere, no.
func TestDeclineInABrowser(t *testing.T) {
	s := logintest.Start(t)
	tab := browser.Start(t)
	bob := s.Bob
	bob.MustChangePassword = true
	start := s.Post("/contoso.test/oauth2/v2.0/devicecode", "client_id", directory.AKSClient().String(),
		"scope", directory.AKSServer().String()+"/.default offline_access openid profile")
	code, _ := proof.ParseUserCode(start.Str(t, "user_code"))
	s.Update(func(tx *store.Tx) error {
		d, err := tx.DeviceCodeByUserCode(code)
		d.RemoteAddr = "203.0.113.7"
		return errors.Join(err, tx.PutDeviceCode(d), tx.PutUser(bob))
	})
	s.Clock.Move(3 * time.Minute)
	tab.Open(s.BaseURL + "/device")
	tab.Type("#code", strings.ToLower(code)+"\r")
	tab.Heading("Sign in")
	tab.Type("#username", bob.UserPrincipalName+"\t"+logintest.Password+"\r")
	tab.Heading("Choose a new password")
	tab.Shoot("11-new-password")
	tab.Type("#new", logintest.Password+"\t"+logintest.Password+"\r")
	tab.Alert()
	tab.Shoot("12-new-password-refused")
	const fresh = "another horse entirely"
	tab.Type("#new", fresh+"\t"+fresh+"\r")
	tab.Heading("Is this you?")
	tab.Do(chromedp.WaitVisible(chromedp.CSS(`#elsewhere`)))
	tab.Shoot("13-elsewhere")
	tab.Click(`button[value=decline]`)
	tab.Heading("Canceled")
	tab.Shoot("14-declined")
	// The step again, from a page of the same site that has no state.
	tab.Open(s.BaseURL + "/device")
	tab.Heading("Enter your code")
	if _, err := chromedp.Run(tab.Context(), chromedp.Evaluate[any](`{let f = document.forms[0]; f.action = "/signin/confirm"; f.submit(); null}`)); err != nil {
		t.Fatal(err)
	}
	tab.Heading("That did not work")
	tab.Shoot("15-stale")
	a := s.Post("/contoso.test/oauth2/v2.0/token", "client_id", directory.AKSClient().String(), "grant_type", "device_code",
		"device_code", start.Str(t, "device_code"))
	if a.Str(t, "error") != "authorization_declined" {
		t.Fatal(a.Text)
	}
}
