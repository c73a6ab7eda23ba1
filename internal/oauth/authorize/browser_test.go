package authorize_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/public"
	"github.com/chromedp/chromedp"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/logintest"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/test/browser"
)

// TestMSALInteractive signs in with Microsoft's library for Go, which listens on loopback, and a real browser. The
// answer comes by form_post.
func TestMSALInteractive(t *testing.T) {
	s := logintest.Start(t)
	s.Clock.Run()
	tab := browser.Start(t)
	c, err := public.New(directory.AKSClient().String(), public.WithAuthority(s.BaseURL+"/"+s.Tenant.ID.String()),
		public.WithHTTPClient(s.Client), public.WithInstanceDiscovery(false))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	scopes := []string{directory.AKSServer().String() + "/.default"}
	res, err := c.AcquireTokenInteractive(ctx, scopes, public.WithOpenURL(func(address string) error {
		go func() {
			tab.Open(address)
			tab.Heading("Sign in")
			tab.Shoot("20-authorize-signin")
			tab.Type("#username", s.Alice.UserPrincipalName+"\t"+logintest.Password+"\r")
		}()
		return nil
	}))
	if err != nil {
		t.Fatal(err, tab.Text())
	}
	who, err := s.Checker(directory.AKSServer()).Check(res.AccessToken)
	if err != nil || who.Object != s.Alice.ID || res.Account.PreferredUsername != s.Alice.UserPrincipalName {
		t.Fatalf("%+v, %v, %+v", who, err, res.Account)
	}

	// The second time the browser knows Alice, and asks before a program on this computer gets in.
	again, err := c.AcquireTokenInteractive(ctx, scopes, public.WithLoginHint(s.Alice.UserPrincipalName), public.WithOpenURL(func(address string) error {
		go func() {
			tab.Open(address)
			tab.Heading("Choose an account")
			tab.Shoot("21-account")
			tab.Click(`button[value="` + s.Alice.ID.String() + `"]`)
		}()
		return nil
	}))
	if err != nil {
		t.Fatal(err, tab.Text())
	}
	if again.AccessToken == res.AccessToken {
		t.Error("the same token")
	}
}

// TestPagesInABrowser meets the pages of a web application's sign-in: consent, refusals, and the way back by a form
// where scripts do not run.
func TestPagesInABrowser(t *testing.T) {
	s := logintest.Start(t)
	answers := make(chan url.Values, 1)
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err == nil && r.Form.Has("state") {
			answers <- r.Form
		}
		_, _ = w.Write([]byte("<h1>Back at the shop</h1>"))
	}))
	defer site.Close()
	place := strings.Replace(site.URL, "127.0.0.1", "localhost", 1) + "/cb"
	app := webApp(s, place)
	web := func(scope string, pairs ...string) string {
		return s.BaseURL + request("contoso.test", append([]string{"client_id", app.AppID.String(), "redirect_uri", place, "scope", scope}, pairs...)...)
	}
	tab := browser.Start(t)
	tab.Open(web("openid profile offline_access https://graph.microsoft.com/User.Read"))
	tab.Type("#username", s.Alice.UserPrincipalName+"\t"+logintest.Password+"\r")
	tab.Heading("Allow this?")
	tab.Shoot("30-consent")
	tab.Click(`button[value=accept]`)
	tab.Heading("Back at the shop")
	if q := <-answers; q.Get("code") == "" {
		t.Fatal(q)
	}

	// The shop is on this computer, so there is a click each time.
	me := `button[value="` + s.Alice.ID.String() + `"]`
	tab.Open(web("https://graph.microsoft.com/Directory.Read.All"))
	tab.Click(me)
	tab.Heading("That did not work")
	tab.Shoot("31-admin-needed")
	s.Update(func(tx *store.Tx) error { return tx.GrantDirectoryRole(directory.GlobalAdministrator(), s.Alice.ID) })
	tab.Open(web("https://graph.microsoft.com/Directory.Read.All https://graph.microsoft.com/Group.Read.All"))
	tab.Click(me)
	tab.Heading("Allow this?")
	tab.Shoot("32-consent-admin")
	tab.Click(`#everybody`)
	tab.Click(`button[value=accept]`)
	tab.Heading("Back at the shop")
	<-answers

	tab.Open(web("openid", "redirect_uri", "https://evil.test/"))
	tab.Heading("That did not work")
	tab.Shoot("33-redirect")

	tab.Scripts(false)
	tab.Open(web("https://graph.microsoft.com/Directory.Read.All", "response_mode", "form_post"))
	tab.Click(me)
	tab.Heading("One moment")
	tab.Do(chromedp.WaitVisible(chromedp.CSS("button.primary")))
	tab.Scripts(true)
	tab.Shoot("34-handon")
	tab.Click("button.primary")
	tab.Heading("Back at the shop")
	if q := <-answers; q.Get("code") == "" {
		t.Fatal(q)
	}

	bob := s.Bob
	bob.DisplayName = "Bartholomew Featherstonehaugh-Cholmondeley von und zu Württemberg"
	s.Update(func(tx *store.Tx) error { return tx.PutUser(bob) })
	tab.Open(web("openid", "prompt", "login"))
	tab.Type("#username", s.Bob.UserPrincipalName+"\t"+logintest.Password+"\r")
	tab.Heading("Allow this?")
	tab.Open(web("openid", "prompt", "select_account"))
	tab.Heading("Choose an account")
	tab.Shoot("35-accounts")
}
