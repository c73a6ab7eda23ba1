package spec

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
)

// maxSocketPath is what every Unix can bind.
const maxSocketPath = 103

// validate answers every fault it finds, each with the path of its field.
func (s *Spec) validate(now time.Time) error {
	var errs []error
	at := func(path string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", path, err))
		}
	}
	at("name", checkLabel(s.Name))
	at("dataDir", checkPath(s.DataDir))
	at("controlSocket", checkSocket(s.ControlSocket))
	at("listen", checkListen(s.Listen))
	at("externalHost", checkHost(s.ExternalHost))
	service, err := checkRange(s.ServiceCIDR, 12, 28)
	at("serviceCIDR", err)
	pod, err := checkRange(s.PodCIDR, 8, 20)
	at("podCIDR", err)
	if service.IsValid() && pod.IsValid() && service.Overlaps(pod) {
		at("podCIDR", fmt.Errorf("overlaps with serviceCIDR %s", service))
	}
	errs = append(errs, s.PKI.validate(now)...)
	errs = append(errs, s.TokenReview.validate("tokenReview")...)
	errs = append(errs, s.Authorization.validate("authorization")...)
	if s.AuthorizationSocket != "" {
		at("authorizationSocket", checkSocket(s.AuthorizationSocket))
		if s.Authorization != nil {
			at("authorizationSocket", errors.New("is given beside authorization: only one of them can be asked"))
		}
	}
	if s.AuditLog != "" {
		at("auditLog", checkPath(s.AuditLog))
	}
	at("nodes", CheckNodes(s.Nodes, s.PodCIDR))
	if s.OrphanTimeout < 0 {
		at("orphanTimeout", errors.New("is negative"))
	}
	return errors.Join(errs...)
}

func (w *Webhook) validate(path string) []error {
	if w == nil {
		return nil
	}
	var errs []error
	if err := checkHTTPS(w.URL); err != nil {
		errs = append(errs, fmt.Errorf("%s.url: %w", path, err))
	}
	if _, err := certificates(w.CA); err != nil {
		errs = append(errs, fmt.Errorf("%s.ca: %w", path, err))
	}
	if _, err := w.Client.leaf(); err != nil {
		errs = append(errs, fmt.Errorf("%s.client: %w", path, err))
	}
	return errs
}

func checkLabel(s string) error {
	if msgs := validation.IsDNS1123Label(s); len(msgs) > 0 {
		return errors.New(msgs[0])
	}
	return nil
}

func checkPath(p string) error {
	switch {
	case p == "":
		return errors.New("is missing")
	case !filepath.IsAbs(p) || filepath.Clean(p) != p:
		return errors.New("must be an absolute path with no . or .. in it")
	case p == "/":
		return errors.New("must not be the root directory")
	}
	return nil
}

func checkSocket(p string) error {
	if err := checkPath(p); err != nil {
		return err
	}
	if len(p) > maxSocketPath {
		return fmt.Errorf("is longer than the %d bytes that a socket's path may have", maxSocketPath)
	}
	return nil
}

func checkListen(s string) error {
	ap, err := netip.ParseAddrPort(s)
	if err != nil || ap.Port() == 0 {
		return errors.New("must be IP:PORT with a port above 0")
	}
	return nil
}

func checkHost(s string) error {
	if s == "" {
		return errors.New("is missing")
	}
	if net.ParseIP(s) == nil && len(validation.IsDNS1123Subdomain(s)) > 0 {
		return errors.New("must be an IP address or a host name")
	}
	return nil
}

// checkRange takes an IPv4 range whose prefix length is between lo and hi.
func checkRange(s string, lo, hi int) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil || !p.Addr().Is4():
		return netip.Prefix{}, errors.New("must be an IPv4 range such as 10.0.0.0/16")
	case p != p.Masked():
		return netip.Prefix{}, fmt.Errorf("has bits set after its prefix; write %s", p.Masked())
	case p.Bits() < lo || p.Bits() > hi:
		return netip.Prefix{}, fmt.Errorf("must have a prefix length from %d to %d", lo, hi)
	}
	return p, nil
}

func checkHTTPS(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" {
		return errors.New("must be an https URL")
	}
	return nil
}
