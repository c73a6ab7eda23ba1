package signin_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/logintest"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/store"
)

// browser starts Chromium, which trusts any certificate, and returns its context.
func browser(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("this test needs Chromium: apt-get install chromium")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.IgnoreCertErrors, chromedp.WindowSize(1280, 900),
		chromedp.UserDataDir(t.TempDir()),
	)
	alloc, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil { // starts it
		t.Fatal(err)
	}
	ctx, timeout := context.WithTimeout(ctx, time.Minute)
	t.Cleanup(timeout)
	return ctx
}

// shots writes screenshots of a page to the folder in KEYREEVE_SCREENSHOTS, if it is set: light, dark and narrow.
func shots(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	dir := os.Getenv("KEYREEVE_SCREENSHOTS")
	if dir == "" {
		return
	}
	for _, v := range []struct {
		name, scheme string
		width        int64
	}{{"light", "light", 1000}, {"dark", "dark", 1000}, {"narrow", "light", 320}} {
		err := chromedp.Do(ctx, chromedp.EmulateViewport(v.width, 760))
		if err == nil {
			_, err = chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: v.scheme}},
			})
		}
		if err != nil {
			t.Fatal(err)
		}
		png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name+"-"+v.name+".png"), png, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDeviceFlowInABrowser takes the device flow through the real pages, with a real browser, keyboard only.
func TestDeviceFlowInABrowser(t *testing.T) {
	s := logintest.Start(t)
	ctx := browser(t)
	start := s.Post("/organizations/oauth2/v2.0/devicecode", "client_id", directory.AzureCLI().String(),
		"scope", "https://management.core.windows.net//.default offline_access openid profile")
	link, code := start.Str(t, "verification_uri_complete"), start.Str(t, "user_code")
	poll := func() logintest.Answer {
		return s.Post("/organizations/oauth2/v2.0/token", "client_id", directory.AzureCLI().String(),
			"grant_type", "urn:ietf:params:oauth:grant-type:device_code", "device_code", start.Str(t, "device_code"))
	}

	run := func(actions ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		if err := chromedp.Do(ctx, actions...); err != nil {
			t.Fatal(err)
		}
	}
	// press sends keys to what has the focus, which is what somebody without a mouse can do.
	press := func(keys string) chromedp.Action[chromedp.Void] { return chromedp.KeyEvent(keys) }
	heading := func(want string) chromedp.Action[chromedp.Void] {
		return chromedp.WaitVisible(chromedp.Search(`//h1[normalize-space()="` + want + `"]`))
	}
	run(chromedp.Navigate(s.BaseURL+"/device"), heading("Enter your code"))
	shots(t, ctx, "1-empty")
	run(chromedp.WaitVisible(chromedp.CSS(`#code:focus`)), press("WRONG"), press("\r"), chromedp.WaitVisible(chromedp.CSS(`[role=alert]`)))
	shots(t, ctx, "2-wrong-code")

	run(chromedp.Navigate(link), heading("Check your code"))
	if filled, err := chromedp.Run(ctx, chromedp.Value(chromedp.CSS(`#code`))); err != nil {
		t.Fatal(err)
	} else if filled != code {
		t.Fatalf("the link fills in %q, want %q", filled, code)
	}
	shots(t, ctx, "3-code")
	run(chromedp.WaitVisible(chromedp.CSS(`#code:focus`)), press("\r"), heading("Sign in"))
	shots(t, ctx, "4-signin")
	run(chromedp.WaitVisible(chromedp.CSS(`#username:focus`)), press(s.Alice.UserPrincipalName), press("\t"), press("not it"), press("\r"), chromedp.WaitVisible(chromedp.CSS(`[role=alert]`)))
	shots(t, ctx, "5-wrong-password")
	if a := poll(); a.Str(t, "error") != "authorization_pending" {
		t.Fatal(a.Text)
	}
	run(chromedp.WaitVisible(chromedp.CSS(`#password:focus`)), press(logintest.Password), press("\r"), heading("Is this you?"))
	text, err := chromedp.Run(ctx, chromedp.Text(chromedp.CSS(`main`)))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Microsoft Azure CLI", s.Alice.UserPrincipalName, "Contoso (contoso.test)", code, "Only continue if you started this yourself."} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q:\n%s", want, text)
		}
	}
	shots(t, ctx, "6-confirm")
	run(chromedp.Focus(chromedp.CSS(`button[value=approve]`)), press("\r"), heading("✓ You are signed in"))
	shots(t, ctx, "7-done")
	if a := poll(); a.Status != 200 || a.Body["id_token"] == nil {
		t.Fatal(a.Status, a.Text)
	}
	run(chromedp.Navigate(s.BaseURL+"/error?code=50053"), heading("What an error means"))
	shots(t, ctx, "8-error")
}

// TestDeclineInABrowser meets the pages that the happy way does not: a new password, a request from elsewhere, no.
func TestDeclineInABrowser(t *testing.T) {
	s := logintest.Start(t)
	ctx := browser(t)
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
	run := func(actions ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		if err := chromedp.Do(ctx, actions...); err != nil {
			t.Fatal(err)
		}
	}
	heading := func(want string) chromedp.Action[chromedp.Void] {
		return chromedp.WaitVisible(chromedp.Search(`//h1[normalize-space()="` + want + `"]`))
	}
	run(chromedp.Navigate(s.BaseURL+"/device"), heading("Enter your code"), chromedp.WaitVisible(chromedp.CSS(`#code:focus`)), chromedp.KeyEvent(strings.ToLower(code)+"\r"), heading("Sign in"),
		chromedp.WaitVisible(chromedp.CSS(`#username:focus`)), chromedp.KeyEvent(bob.UserPrincipalName+"\t"+logintest.Password+"\r"), heading("Choose a new password"))
	shots(t, ctx, "9-new-password")
	run(chromedp.WaitVisible(chromedp.CSS(`#new:focus`)), chromedp.KeyEvent(logintest.Password+"\t"+logintest.Password+"\r"), chromedp.WaitVisible(chromedp.CSS(`[role=alert]`)))
	shots(t, ctx, "10-new-password-refused")
	const fresh = "another horse entirely"
	run(chromedp.WaitVisible(chromedp.CSS(`#new:focus`)), chromedp.KeyEvent(fresh+"\t"+fresh+"\r"), heading("Is this you?"), chromedp.WaitVisible(chromedp.CSS(`#elsewhere`)))
	shots(t, ctx, "11-elsewhere")
	run(chromedp.Click(chromedp.CSS(`button[value=decline]`)), heading("Canceled"))
	shots(t, ctx, "12-declined")
	// The step again, from a page of the same site that has no state.
	run(chromedp.Navigate(s.BaseURL+"/device"), heading("Enter your code"))
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[any](`{let f = document.forms[0]; f.action = "/signin/confirm"; f.submit(); null}`)); err != nil {
		t.Fatal(err)
	}
	run(heading("That did not work"))
	shots(t, ctx, "13-stale")
	a := s.Post("/contoso.test/oauth2/v2.0/token", "client_id", directory.AKSClient().String(), "grant_type", "device_code",
		"device_code", start.Str(t, "device_code"))
	if a.Str(t, "error") != "authorization_declined" {
		t.Fatal(a.Text)
	}
}
