package server

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestOldTLSIsRefused: nobody is talked to below TLS 1.2, however they ask.
func TestOldTLSIsRefused(t *testing.T) {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.StartTLS()
	cert := s.TLS.Certificates[0]
	s.Close()
	s = httptest.NewUnstartedServer(http.NotFoundHandler())
	s.TLS = tlsConfig(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &cert, nil }, nil)
	s.StartTLS()
	defer s.Close()
	for version, want := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version}}
		c, err := d.DialContext(t.Context(), "tcp", s.Listener.Addr().String())
		if (err == nil) != want {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
		if err == nil {
			_ = c.Close()
		}
	}
}
