package authorize_test

import (
	"context"
	"testing"
	"time"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/public"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/logintest"
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
