package grant_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	msalerrors "github.com/AzureAD/microsoft-authentication-library-for-go/apps/errors"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/public"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/logintest"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/session"
	"github.com/keyreeve/keyreeve/internal/store"
)

// These tests use Microsoft's own library for Go, the one in kubelogin, as a peer that we did not write.

func publicClient(t *testing.T, s *logintest.Service, tenant string, id ident.ClientID) public.Client {
	t.Helper()
	c, err := public.New(id.String(), public.WithAuthority(s.BaseURL+"/"+tenant), public.WithHTTPClient(s.Client),
		public.WithInstanceDiscovery(false))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestMSALPassword(t *testing.T) {
	s := logintest.Start(t)
	scopes := []string{directory.AKSServer().String() + "/.default"}
	c := publicClient(t, s, s.Tenant.ID.String(), directory.AKSClient())
	// The user realm is asked on the way.
	res, err := c.AcquireTokenByUsernamePassword(t.Context(), scopes, s.Alice.UserPrincipalName, logintest.Password)
	if err != nil {
		t.Fatal(err)
	}
	who, err := s.Checker(directory.AKSServer()).Check(res.AccessToken)
	if err != nil || who.Object != s.Alice.ID {
		t.Fatalf("%+v, %v", who, err)
	}
	if res.Account.PreferredUsername != s.Alice.UserPrincipalName || res.Account.HomeAccountID != s.Alice.ID.String()+"."+s.Tenant.ID.String() {
		t.Errorf("account %+v", res.Account)
	}

	t.Run("silently from the cache, then by the refresh token for another resource", func(t *testing.T) {
		again, err := c.AcquireTokenSilent(t.Context(), scopes, public.WithSilentAccount(res.Account))
		if err != nil || again.AccessToken != res.AccessToken {
			t.Fatal("not from the cache", err)
		}
		other, err := c.AcquireTokenSilent(t.Context(), []string{"https://management.azure.com/.default"}, public.WithSilentAccount(res.Account))
		if err != nil {
			t.Fatal(err)
		}
		who, err := s.Checker(directory.ResourceManager()).Check(other.AccessToken)
		if err != nil || who.Session.IsZero() {
			t.Fatalf("%+v, %v", who, err)
		}
	})

	t.Run("wrong password", func(t *testing.T) {
		_, err := c.AcquireTokenByUsernamePassword(t.Context(), scopes, s.Bob.UserPrincipalName, "wrong")
		if call, ok := errors.AsType[msalerrors.CallErr](err); !ok || !strings.Contains(call.Error(), "AADSTS50126") {
			t.Fatal(err)
		}
	})
}

func TestMSALClientSecret(t *testing.T) {
	s := logintest.Start(t)
	cred, err := confidential.NewCredFromSecret(s.AppSecret)
	if err != nil {
		t.Fatal(err)
	}
	c, err := confidential.New(s.BaseURL+"/"+s.Tenant.ID.String(), s.App.AppID.String(), cred,
		confidential.WithHTTPClient(s.Client), confidential.WithInstanceDiscovery(false))
	if err != nil {
		t.Fatal(err)
	}
	for scope, resource := range map[string]ident.ClientID{
		"https://management.core.windows.net//.default": directory.ResourceManager(),
		logintest.ARMURL + "/.default":                  directory.ResourceManager(),
		"https://graph.microsoft.com/.default":          directory.MicrosoftGraph(),
		directory.AKSServer().String() + "/.default":    directory.AKSServer(),
	} {
		res, err := c.AcquireTokenByCredential(t.Context(), []string{scope})
		if err != nil {
			t.Fatal(scope, err)
		}
		who, err := s.Checker(resource).Check(res.AccessToken)
		if err != nil || who.Object != s.AppObject || who.Client != s.App.AppID {
			t.Errorf("%s: %+v, %v", scope, who, err)
		}
	}
}

func TestMSALDeviceCode(t *testing.T) {
	s := logintest.Start(t)
	s.Clock.Run() // MSAL keeps its own time between polls
	for _, tenant := range []string{s.Tenant.ID.String(), "organizations"} {
		t.Run(tenant, func(t *testing.T) {
			c := publicClient(t, s, tenant, directory.AKSClient())
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			d, err := c.AcquireTokenByDeviceCode(ctx, []string{directory.AKSServer().String() + "/.default"})
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(d.Result.Message, "To sign in, use a web browser to open the page "+s.BaseURL+"/device and enter the code "+d.Result.UserCode) {
				t.Errorf("message %q", d.Result.Message)
			}
			approve(t, s, d.Result.UserCode)
			res, err := d.AuthenticationResult(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if who, err := s.Checker(directory.AKSServer()).Check(res.AccessToken); err != nil || who.Object != s.Alice.ID {
				t.Fatalf("%+v, %v", who, err)
			}
		})
	}
}

// approve does what the pages do when Alice says yes.
func approve(t *testing.T, s *logintest.Service, userCode string) {
	t.Helper()
	code, ok := proof.ParseUserCode(userCode)
	if !ok {
		t.Fatalf("user code %q", userCode)
	}
	now := s.Clock.Now()
	s.Update(func(tx *store.Tx) error {
		d, err := tx.DeviceCodeByUserCode(code)
		if err != nil {
			return err
		}
		begun := session.Session{
			ID: ident.New[ident.SessionID](), Tenant: s.Tenant.ID, User: s.Alice.ID, Client: d.Client, Methods: []string{"pwd"},
			CreatedAt: now, ExpiresAt: now.Add(session.Life),
		}
		d.State, d.User, d.Session = session.DeviceApproved, s.Alice.ID, begun.ID
		return errors.Join(tx.PutSession(begun), tx.PutDeviceCode(d))
	})
}
