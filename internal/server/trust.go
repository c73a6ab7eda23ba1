package server

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	conf "github.com/keyreeve/keyreeve/internal/config"
)

// clientTrust is what clients need to trust, PEM; empty where the machine's own authorities will do.
type clientTrust struct{ login, arm, graph string }

// all is the authorities of the three faces, each once.
func (t clientTrust) all() string {
	var parts []string
	for _, part := range []string{t.login, t.arm, t.graph} {
		if part != "" && !slices.Contains(parts, part) {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, "")
}

// clientTrust says by which authorities clients trust the three faces: Keyreeve's own where it issues the certificate, else
// those of the configuration.
func (s *Server) clientTrust() (clientTrust, error) {
	own := s.tls.CertPEM()
	c := s.cfg.Serve
	if c == nil {
		return clientTrust{own, own, own}, nil
	}
	theirs, _, err := authorities(c.CAFile)
	if err != nil {
		return clientTrust{}, err
	}
	of := func(f conf.Face) string {
		if c.ShowsOwn(f) {
			return own
		}
		return theirs
	}
	return clientTrust{of(c.Login), of(c.ARM), of(c.Graph)}, nil
}

// authorities reads the certificates in a file; nothing without one. What else stands in it, such as a key, is no client's
// business and is refused.
func authorities(path string) (string, *x509.CertPool, error) {
	if path == "" {
		return "", nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", nil, fmt.Errorf("caFile: %w", err)
	}
	var out strings.Builder
	pool := x509.NewCertPool()
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return "", nil, fmt.Errorf("caFile: %s holds a %s: it is handed to every client and may hold certificates alone", path, block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return "", nil, fmt.Errorf("caFile: %s: %w", path, err)
		}
		pool.AddCert(cert)
		out.Write(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes})) // without what stands between
	}
	if out.Len() == 0 {
		return "", nil, fmt.Errorf("caFile: %s holds no certificate, PEM", path)
	}
	return out.String(), pool, nil
}

// checkCertificates says of each face's own certificate what clients would refuse it for.
func checkCertificates(c *conf.Serve, now time.Time) []error {
	_, pool, err := authorities(c.CAFile)
	if err != nil {
		return []error{err}
	}
	var errs []error
	for _, f := range c.Faces() {
		t := f.Face.TLS
		if t == nil {
			continue
		}
		files := &fileCertificate{cert: t.CertFile, key: t.KeyFile}
		if err := files.load(); err != nil {
			errs = append(errs, fmt.Errorf("%s.tls: %w", f.Name, err))
			continue
		}
		if err := acceptable(files, conf.Hostname(f.Face.URL), pool, now); err != nil {
			errs = append(errs, fmt.Errorf("%s.tls: clients will refuse %s: %w", f.Name, t.CertFile, err))
		}
	}
	return errs
}

// acceptable verifies a certificate as a client does; without a pool, one that trusts what this machine trusts.
func acceptable(f *fileCertificate, host string, pool *x509.CertPool, now time.Time) error {
	opt := x509.VerifyOptions{DNSName: host, Roots: pool, Intermediates: x509.NewCertPool(), CurrentTime: now}
	for _, raw := range f.current.Certificate[1:] {
		if c, err := x509.ParseCertificate(raw); err == nil {
			opt.Intermediates.AddCert(c)
		}
	}
	_, err := f.current.Leaf.Verify(opt)
	if _, unknown := errors.AsType[x509.UnknownAuthorityError](err); unknown {
		if pool == nil {
			return fmt.Errorf("%w: name its authority with caFile", err)
		}
		return fmt.Errorf("%w: caFile does not hold its authority", err)
	}
	return err
}
