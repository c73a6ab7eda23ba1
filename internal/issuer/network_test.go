package issuer

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestMayReach: the public internet and what was allowed, in whatever form the address comes.
func TestMayReach(t *testing.T) {
	for text, want := range map[string]bool{
		"8.8.8.8": true, "20.190.128.1": true, "172.15.255.255": true, "172.32.0.1": true, "100.63.0.1": true, "100.128.0.1": true,
		"2606:4700::1111": true, "2a01:111::1": true, "64:ff9b::808:808": true, "::ffff:8.8.8.8": true,
		// Machines of one's own, and of the cloud one is in.
		"127.0.0.1": false, "127.8.8.8": false, "::1": false, "10.0.0.1": false, "172.16.0.1": false, "172.31.255.255": false, "192.168.1.1": false,
		"169.254.169.254": false, "fd00:ec2::254": false, "168.63.129.16": false, "100.100.100.200": false, "192.0.0.192": false,
		"fe80::1": false, "fe80::1%eth0": false, "fc00::1": false, "fec0::1": false,
		// Nobody, everybody, examples.
		"0.0.0.0": false, "::": false, "255.255.255.255": false, "224.0.0.1": false, "ff02::1": false, "240.0.0.1": false,
		"192.0.2.1": false, "198.51.100.1": false, "203.0.113.1": false, "198.18.0.1": false, "2001:db8::1": false, "3fff::1": false, "5f00::1": false,
		// One of those within another form of address.
		"::ffff:127.0.0.1": false, "::ffff:169.254.169.254": false, "::127.0.0.1": false, "64:ff9b::7f00:1": false, "64:ff9b::a9fe:a9fe": false,
		"64:ff9b:1::a00:1": false, "2002:7f00:1::": false, "2001:0:7f00:1::": false, "::ffff:0:7f00:1": false,
	} {
		if got := (&Remote{}).mayReach(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %t", text, got)
		}
	}
	some := &Remote{Networks: []netip.Prefix{netip.MustParsePrefix("10.20.0.0/16"), netip.MustParsePrefix("fd00:1::/64")}}
	for text, want := range map[string]bool{
		"10.20.1.1": true, "::ffff:10.20.1.1": true, "64:ff9b::a14:101": true, "fd00:1::5": true, "10.21.0.1": false, "fd00:2::5": false, "127.0.0.1": false,
		"8.8.8.8": true,
	} {
		if got := some.mayReach(netip.MustParseAddr(text)); got != want {
			t.Errorf("with networks, %s: %t", text, got)
		}
	}
}

// TestPrivateIsNeverPublic holds the list against what the standard library knows of addresses.
func TestPrivateIsNeverPublic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "address")
		a := netip.AddrFrom16([16]byte(b))
		if rapid.Bool().Draw(t, "four") {
			a = netip.AddrFrom4([4]byte(b[:4]))
			if mapped := netip.AddrFrom16(a.As16()); (&Remote{}).mayReach(mapped) != (&Remote{}).mayReach(a) {
				t.Fatalf("%s and %s differ", a, mapped)
			}
		}
		if (&Remote{}).mayReach(a) && (!a.IsGlobalUnicast() || a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast()) {
			t.Fatalf("%s may be reached", a)
		}
	})
}

// listener counts who comes.
func listener(t *testing.T, address string, h http.Handler) (*httptest.Server, *atomic.Int32) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	var came atomic.Int32
	s := httptest.NewUnstartedServer(h)
	_ = s.Listener.Close()
	s.Listener = l
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			came.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return s, &came
}

// TestPrivateAddressesAreNotAsked: not by number, not by name, not over TLS, not for the keys alone.
func TestPrivateAddressesAreNotAsked(t *testing.T) {
	inner, came := listener(t, "127.0.0.2:0", http.NotFoundHandler())
	_, port, err := net.SplitHostPort(inner.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	byName, named := listener(t, "127.0.0.1:0", http.NotFoundHandler())
	_, namedPort, err := net.SplitHostPort(byName.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	r := &Remote{Now: time.Now}
	for _, address := range []string{
		inner.URL, "https://127.0.0.2:" + port, "http://localhost:" + namedPort, "https://localhost:" + namedPort, "https://[::ffff:127.0.0.2]:" + port,
		"https://169.254.169.254", "https://10.0.0.1",
	} {
		if _, ok, err := r.Keys(t.Context(), address, ""); ok || err == nil || !strings.Contains(err.Error(), "not on the public internet") {
			t.Errorf("%s: %v", address, err)
		}
	}
	// An issuer that may be asked sends us where we may not.
	var outer *httptest.Server
	outer, asked := listener(t, "127.0.0.1:0", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, outer.URL, inner.URL)
	}))
	r = &Remote{Now: time.Now, Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}
	if _, ok, err := r.Keys(t.Context(), outer.URL, ""); ok || err == nil || !strings.Contains(err.Error(), "not on the public internet") {
		t.Errorf("keys of a private address: %v", err)
	}
	if came.Load() != 0 || named.Load() != 0 || asked.Load() != 1 {
		t.Errorf("%d and %d came to private addresses, %d to the issuer", came.Load(), named.Load(), asked.Load())
	}
}
