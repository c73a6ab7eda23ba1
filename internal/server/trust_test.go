package server

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/pki"
)

// TestClientTrust holds what clients are told to trust, and what `config check` says of certificates that they would refuse.
func TestClientTrust(t *testing.T) {
	now := time.Now()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	authority := func(name string) *pki.Authority {
		a, err := pki.NewAuthority(name, now, authorityLife)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	own, corporate, stranger := authority("Keyreeve"), authority("Corporate"), authority("Stranger")
	issue := func(name string, hosts []string, at time.Time) {
		pair, err := corporate.Issue(pki.Template{CommonName: "x", Hosts: hosts, Use: pki.Server, Now: at, Life: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		write(name+".crt", pair.Cert)
		write(name+".key", pair.Key)
	}
	faces := []string{"login.test", "arm.test", "graph.test"}
	issue("good", faces, now)
	issue("other", []string{"elsewhere.test"}, now)
	issue("old", faces, now.Add(-3*time.Hour))
	good := write("good.pem", "text before\n"+corporate.CertPEM())
	tls := func(host string) string {
		return fmt.Sprintf("{certFile: %[1]s/%[2]s.crt, keyFile: %[1]s/%[2]s.key}", dir, host)
	}
	for name, test := range map[string]struct {
		ca, tls      string
		login, wrong string
	}{
		"own authority":        {"", "", own.CertPEM(), ""},
		"operator's":           {good, tls("good"), corporate.CertPEM(), ""},
		"public, or not":       {"", tls("good"), "", "name its authority with caFile"},
		"another authority":    {write("other.pem", stranger.CertPEM()), tls("good"), stranger.CertPEM(), "caFile does not hold its authority"},
		"for another host":     {good, tls("other"), corporate.CertPEM(), "login.test"},
		"expired":              {good, tls("old"), corporate.CertPEM(), "expired"},
		"no file":              {dir + "/none.pem", tls("good"), "", "none.pem"},
		"no certificate":       {write("empty.pem", "nothing"), tls("good"), "", "holds no certificate"},
		"a key in it":          {write("key.pem", corporate.CertPEM()+own.Pair().Key), tls("good"), "", "may hold certificates alone"},
		"what is none":         {write("bad.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), tls("good"), "", "caFile"},
		"the certificate gone": {good, tls("none"), corporate.CertPEM(), "login.tls"},
	} {
		t.Run(name, func(t *testing.T) {
			c := production(t, "")
			c.CAFile = test.ca
			if test.tls != "" {
				var err error
				c, err = parseWith(t, test.tls, test.ca)
				if err != nil {
					t.Fatal(err)
				}
			}
			s := &Server{cfg: resolved{Config: Config{Serve: c}}, tls: own}
			trust, err := s.clientTrust()
			if trust.login != test.login && err == nil {
				t.Errorf("clients trust %q", trust.login)
			}
			got := fmt.Sprint(errors.Join(checkCertificates(c, now)...))
			if test.wrong == "" && got != "<nil>" || !strings.Contains(got, test.wrong) {
				t.Errorf("the check says %s", got)
			}
			if test.login == "" && test.wrong != "" && !strings.Contains(test.wrong, "name its") && err == nil {
				t.Error("it would start")
			}
		})
	}
	if got := (clientTrust{"a", "b", "a"}).all(); got != "ab" {
		t.Errorf("all: %q", got)
	}
}
