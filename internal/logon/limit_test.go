package logon_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/logintest"
	"github.com/keyreeve/keyreeve/internal/logon"
	"github.com/keyreeve/keyreeve/internal/oauth"
)

// TestOneAddressIsBounded: one wrong password for each of many accounts locks none of them, and the address all the same.
func TestOneAddressIsBounded(t *testing.T) {
	s := logintest.Start(t)
	try := func(address, name, password string) error {
		_, err := s.Logon.Password(t.Context(), ident.TenantID{}, name, password, logon.Origin{RemoteAddr: address, Method: "test"})
		return err
	}
	for i := range 100 {
		if e, ok := oauth.As(try("2001:db8::1", fmt.Sprintf("user%d@contoso.test", i), "wrong")); !ok || e.Number != 50126 {
			t.Fatal(i, e)
		}
	}
	for _, address := range []string{"2001:db8::1", "2001:db8::ffff:2"} { // the same site
		if e, ok := oauth.As(try(address, s.Alice.UserPrincipalName, logintest.Password)); !ok || e.Status != 429 {
			t.Fatal(e)
		}
	}
	if err := try("2001:db8:0:1::1", s.Alice.UserPrincipalName, logintest.Password); err != nil {
		t.Fatal("another site is shut out: ", err)
	}
	s.Clock.Move(3 * time.Second)
	if err := try("2001:db8::1", s.Alice.UserPrincipalName, logintest.Password); err != nil {
		t.Fatal("for ever: ", err)
	}
}
