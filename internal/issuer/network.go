package issuer

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

// Whoever may register a federated credential names an address that this process then asks. What stands in a private
// network, or listens on this machine alone, must not be reached that way (server-side request forgery): only the public
// internet is asked, and what the operator allows beside it.

// Loopback is this machine alone, for issuers that run beside Keyreeve on a workstation.
func Loopback() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
}

// special returns the addresses that belong to nobody on the public internet (IANA's special-purpose registries, RFC 6890).
// Of IPv6 only 2000::/3 is public; see public.
func special() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"),
		netip.MustParsePrefix("10.0.0.0/8"),
		netip.MustParsePrefix("100.64.0.0/10"), // shared by customers of a provider
		netip.MustParsePrefix("127.0.0.0/8"),
		netip.MustParsePrefix("168.63.129.16/32"), // a public number, but each Azure machine's own host
		netip.MustParsePrefix("169.254.0.0/16"),   // link-local: the metadata services of clouds
		netip.MustParsePrefix("172.16.0.0/12"),
		netip.MustParsePrefix("192.0.0.0/24"),
		netip.MustParsePrefix("192.0.2.0/24"),
		netip.MustParsePrefix("192.88.99.0/24"),
		netip.MustParsePrefix("192.168.0.0/16"),
		netip.MustParsePrefix("198.18.0.0/15"),
		netip.MustParsePrefix("198.51.100.0/24"),
		netip.MustParsePrefix("203.0.113.0/24"),
		netip.MustParsePrefix("224.0.0.0/3"), // multicast, reserved, broadcast
		netip.MustParsePrefix("2001::/23"),   // protocols, Teredo among them, which carries IPv4 addresses
		netip.MustParsePrefix("2001:db8::/32"),
		netip.MustParsePrefix("2002::/16"), // 6to4 carries IPv4 addresses
		netip.MustParsePrefix("3fff::/20"),
	}
}

// plain returns the address that is reached by another.
func plain(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if netip.MustParsePrefix("64:ff9b::/96").Contains(a) { // RFC 6052: the last four bytes are the IPv4 address that is reached
		b := a.As16()
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return a
}

// public reports whether an address is on the public internet.
func public(a netip.Addr) bool {
	for _, p := range special() {
		if p.Contains(a) {
			return false
		}
	}
	return a.Is4() || netip.MustParsePrefix("2000::/3").Contains(a)
}

// mayReach reports whether an issuer's address may be asked.
func (r *Remote) mayReach(a netip.Addr) bool {
	a = plain(a)
	for _, p := range r.Networks {
		if p.Contains(a) {
			return true
		}
	}
	return public(a)
}

// transport makes what connects. The address is looked at when it is connected to, after names were resolved: a name that
// is public when it is asked for and private a moment later gets nowhere. Proxies are not used: they would resolve names
// out of our sight.
func (r *Remote) transport() *http.Transport {
	dialer := &net.Dialer{
		Timeout: timeout, KeepAlive: -1,
		ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil || !r.mayReach(to.Addr()) {
				return fmt.Errorf("%s is not on the public internet, nor in a network that the configuration allows", address)
			}
			return nil
		},
	}
	return &http.Transport{
		DialContext: dialer.DialContext, TLSClientConfig: r.TLS, ForceAttemptHTTP2: true, DisableKeepAlives: true,
		TLSHandshakeTimeout: timeout, ResponseHeaderTimeout: timeout, MaxResponseHeaderBytes: 32 << 10, IdleConnTimeout: time.Second,
	}
}
