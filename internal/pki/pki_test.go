package pki

import (
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const day = 24 * time.Hour

func noon() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }

func newAuthority(t *testing.T, life time.Duration) *Authority {
	t.Helper()
	a, err := NewAuthority("test", noon(), life)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func leaf(t *testing.T, p KeyPair) *x509.Certificate {
	t.Helper()
	pair, err := tls.X509KeyPair([]byte(p.Cert), []byte(p.Key))
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func pool(t *testing.T, text string) *x509.CertPool {
	t.Helper()
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM([]byte(text)) {
		t.Fatal("no certificate")
	}
	return p
}

func TestIssue(t *testing.T) {
	a := newAuthority(t, 1000*day)
	for _, tt := range []struct {
		name    string
		with    Template
		end     time.Time // zero: refused
		use     x509.ExtKeyUsage
		notUse  x509.ExtKeyUsage
		dns     []string
		address []net.IP
	}{
		{name: "client", with: Template{CommonName: "c", Life: day}, end: noon().Add(day), use: x509.ExtKeyUsageClientAuth, notUse: x509.ExtKeyUsageServerAuth},
		{
			name: "server", with: Template{Use: Server, Hosts: []string{"a.test", "::1", "127.0.0.1"}, Life: day}, end: noon().Add(day),
			use: x509.ExtKeyUsageServerAuth, notUse: x509.ExtKeyUsageClientAuth, dns: []string{"a.test"}, address: []net.IP{net.IPv6loopback, net.IPv4(127, 0, 0, 1).To4()},
		},
		{name: "long server", with: Template{Use: Server, Hosts: []string{"a"}, Life: 900 * day}, end: noon().Add(MaxServerLife), use: x509.ExtKeyUsageServerAuth, notUse: x509.ExtKeyUsageClientAuth, dns: []string{"a"}},
		{name: "longer than the authority", with: Template{CommonName: "c", Life: 2000 * day}, end: noon().Add(1000 * day), use: x509.ExtKeyUsageClientAuth, notUse: x509.ExtKeyUsageServerAuth},
		{name: "no name", with: Template{Life: day}},
		{name: "server without host", with: Template{CommonName: "c", Use: Server, Life: day}},
		{name: "no life", with: Template{CommonName: "c"}},
		{name: "after the authority", with: Template{CommonName: "c", Life: day, Now: noon().Add(1001 * day)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.with.Now.IsZero() {
				tt.with.Now = noon()
			}
			p, err := a.Issue(tt.with)
			if tt.end.IsZero() {
				if err == nil {
					t.Fatal("issued")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			c := leaf(t, p)
			if !c.NotAfter.Equal(tt.end) || !c.NotBefore.Equal(noon().Add(-Skew)) || c.IsCA || c.SerialNumber.Sign() <= 0 || c.SerialNumber.BitLen() < 100 {
				t.Errorf("from %s to %s, serial %s", c.NotBefore, c.NotAfter, c.SerialNumber)
			}
			verify := func(use x509.ExtKeyUsage) error {
				_, err := c.Verify(x509.VerifyOptions{Roots: pool(t, a.CertPEM()), CurrentTime: noon(), KeyUsages: []x509.ExtKeyUsage{use}})
				return err
			}
			if verify(tt.use) != nil || verify(tt.notUse) == nil {
				t.Errorf("uses: %v, %v", verify(tt.use), verify(tt.notUse))
			}
			if diff := cmp.Diff(tt.dns, c.DNSNames); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tt.address, c.IPAddresses); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseAuthority(t *testing.T) {
	a, b := newAuthority(t, day), newAuthority(t, day)
	client, err := a.Issue(Template{CommonName: "c", Now: noon(), Life: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		pair KeyPair
		ok   bool
	}{
		{"whole", a.Pair(), true},
		{"a client", client, false},
		{"mixed", KeyPair{Cert: a.Pair().Cert, Key: b.Pair().Key}, false},
		{"no key", KeyPair{Cert: a.Pair().Cert}, false},
		{"no certificate", KeyPair{Key: a.Pair().Key}, false},
		{"two certificates", KeyPair{Cert: a.Pair().Cert + b.Pair().Cert, Key: a.Pair().Key}, false},
		{"damaged", KeyPair{Cert: strings.Replace(a.Pair().Cert, "MI", "XX", 1), Key: a.Pair().Key}, false},
	} {
		got, err := ParseAuthority(tt.pair)
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
		if err == nil && !got.Issued(client) || b.Issued(client) {
			t.Errorf("%s: who issued it is not known", tt.name)
		}
	}
}

func TestFingerprint(t *testing.T) {
	p, err := newAuthority(t, day).Issue(Template{CommonName: "c", Now: noon(), Life: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(p.Cert))
	sum := sha256.Sum256(block.Bytes)
	if got, err := Fingerprint(p.Cert); err != nil || got != hex.EncodeToString(sum[:]) {
		t.Error(got, err)
	}
	if end, err := Expiry(p.Cert); err != nil || !end.Equal(noon().Add(time.Hour)) {
		t.Error(end, err)
	}
	for _, bad := range []string{"", "x", p.Key, p.Cert + p.Cert} {
		if _, err := Fingerprint(bad); err == nil {
			t.Errorf("a fingerprint of %.20q", bad)
		}
	}
}

func TestNeedsRenewal(t *testing.T) {
	a := newAuthority(t, 1000*day)
	p, err := a.Issue(Template{Use: Server, Hosts: []string{"a", "127.0.0.1"}, Now: noon(), Life: 300 * day})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		pair  KeyPair
		hosts []string
		after time.Duration
		want  bool
	}{
		{"new", p, []string{"a", "127.0.0.1"}, 0, false},
		{"fewer hosts", p, nil, 0, false},
		{"just before", p, []string{"a"}, 199 * day, false},
		{"two thirds over", p, []string{"a"}, 201 * day, true},
		{"expired", p, []string{"a"}, 400 * day, true},
		{"another name", p, []string{"b"}, 0, true},
		{"another address", p, []string{"127.0.0.2"}, 0, true},
		{"unreadable", KeyPair{}, nil, 0, true},
		{"another's key", KeyPair{Cert: p.Cert, Key: a.Pair().Key}, nil, 0, true},
	} {
		if got := NeedsRenewal(tt.pair, tt.hosts, noon().Add(tt.after)); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func newSecrets(t *testing.T) Secrets {
	t.Helper()
	s, err := NewSecrets("c1", noon())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSecrets(t *testing.T) {
	s := newSecrets(t)
	raw, err := s.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseSecrets(raw)
	if err != nil || again != s {
		t.Fatal("does not come back", err)
	}
	if key, err := parseKey(s.ServiceAccount); err != nil || key.Public().(*rsa.PublicKey).Size() != 256 {
		t.Error("service account key", err)
	}
	secret := strings.Split(s.Cluster.Key, "\n")[1]
	for _, damage := range []struct{ from, to string }{
		{`"cluster":`, `"other":`}, {`"serviceAccount":"-----BEGIN`, `"serviceAccount":"-----END`}, {`}`, ``}, {"BEGIN CERTIFICATE", "BEGIN X"},
	} {
		_, err := ParseSecrets([]byte(strings.Replace(string(raw), damage.from, damage.to, 1)))
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%v: %v", damage, err)
		}
	}
	public, err := s.ServiceAccountPublic()
	if err != nil || !strings.HasPrefix(public, "-----BEGIN PUBLIC KEY-----") || strings.Contains(public, "PRIVATE") {
		t.Error(public, err)
	}
	if other := newSecrets(t); other.Cluster == s.Cluster || other.FrontProxy == s.FrontProxy || other.ServiceAccount == s.ServiceAccount {
		t.Error("two clusters share a secret")
	}
}

func TestComponents(t *testing.T) {
	s := newSecrets(t)
	c, err := s.IssueComponents(ServingHosts("c1.test", "192.0.2.7", "10.0.0.1"), noon())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		pair KeyPair
		ca   string
		use  x509.ExtKeyUsage
		name string
		org  []string
	}{
		{c.Serving, s.Cluster.Cert, x509.ExtKeyUsageServerAuth, "kube-apiserver", nil},
		{c.FrontProxyClient, s.FrontProxy.Cert, x509.ExtKeyUsageClientAuth, "front-proxy-client", nil},
		{c.ControllerManager, s.Cluster.Cert, x509.ExtKeyUsageClientAuth, "system:kube-controller-manager", nil},
		{c.Scheduler, s.Cluster.Cert, x509.ExtKeyUsageClientAuth, "system:kube-scheduler", nil},
		{c.Operator, s.Cluster.Cert, x509.ExtKeyUsageClientAuth, "localkube", []string{"system:masters"}},
	} {
		l := leaf(t, tt.pair)
		_, err := l.Verify(x509.VerifyOptions{Roots: pool(t, tt.ca), CurrentTime: noon(), KeyUsages: []x509.ExtKeyUsage{tt.use}})
		if diff := cmp.Diff(tt.org, l.Subject.Organization); err != nil || l.Subject.CommonName != tt.name || diff != "" {
			t.Errorf("%s: %v %s", l.Subject, err, diff)
		}
	}
	serving := leaf(t, c.Serving)
	for _, host := range []string{"127.0.0.1", "::1", "localhost", "c1.test", "192.0.2.7", "10.0.0.1", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"} {
		if err := serving.VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
}

// TestPeople holds who may be what: a person's certificate never is system:masters, but for minutes in an emergency.
func TestPeople(t *testing.T) {
	s := newSecrets(t)
	issue := func(f func() (KeyPair, error)) *x509.Certificate {
		t.Helper()
		p, err := f()
		if err != nil {
			t.Fatal(err)
		}
		return leaf(t, p)
	}
	admin := issue(func() (KeyPair, error) { return s.IssueAdmin("clusterAdmin-x", noon(), 30*day) })
	gate := issue(func() (KeyPair, error) { return s.IssueGate(noon()) })
	masters := issue(func() (KeyPair, error) { return s.IssueMasters("keyreeve-recover:x", noon(), 30*day) })
	if admin.Subject.String() != "CN=clusterAdmin-x,O=keyreeve:cluster-admins" || !admin.NotAfter.Equal(noon().Add(30*day)) {
		t.Errorf("admin %s until %s", admin.Subject, admin.NotAfter)
	}
	if gate.Subject.String() != "CN=system:keyreeve:gate" {
		t.Errorf("gate %s", gate.Subject)
	}
	if masters.Subject.Organization[0] != "system:masters" || !masters.NotAfter.Equal(noon().Add(RecoverLife)) {
		t.Errorf("masters %s until %s", masters.Subject, masters.NotAfter)
	}
}

func BenchmarkNewSecrets(b *testing.B) {
	for b.Loop() {
		if _, err := NewSecrets("c", noon()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkIssueAdmin(b *testing.B) {
	s, err := NewSecrets("c", noon())
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := s.IssueAdmin("c", noon(), day); err != nil {
			b.Fatal(err)
		}
	}
}
