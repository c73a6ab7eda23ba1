package spec_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/localkube/internal/spec"
	"github.com/keyreeve/keyreeve/localkube/internal/spectest"
)

func encode(tb testing.TB, v any) []byte {
	tb.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestParse(t *testing.T) {
	c := spectest.New(t, 2)
	c.Spec.TokenReview = c.Hook("https://127.0.0.1:8446/token")
	c.Spec.OrphanTimeout = spec.Duration(90 * time.Second)
	got, err := spec.Parse(encode(t, c.Spec), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(encode(t, c.Spec), encode(t, got)); diff != "" {
		t.Errorf("what was read is not what was written (-want +got):\n%s", diff)
	}
}

func TestParseRefuses(t *testing.T) {
	base := spectest.New(t, 2)
	base.Spec.Authorization = base.Hook("https://127.0.0.1:8446/authorize")
	document := encode(t, base.Spec)
	other := spectest.NewAuthority(t, "other")
	for _, row := range []struct {
		name string
		edit func(*spec.Spec)
		says string
	}{
		{"name", func(s *spec.Spec) { s.Name = "C 1" }, "name: "},
		{"no data directory", func(s *spec.Spec) { s.DataDir = "" }, "dataDir: is missing"},
		{"relative data directory", func(s *spec.Spec) { s.DataDir = "data" }, "dataDir: must be an absolute path"},
		{"dots in data directory", func(s *spec.Spec) { s.DataDir = "/a/../b" }, "dataDir: must be an absolute path"},
		{"root as data directory", func(s *spec.Spec) { s.DataDir = "/" }, "dataDir: must not be the root"},
		{"long socket path", func(s *spec.Spec) { s.ControlSocket = "/" + strings.Repeat("x", 104) }, "controlSocket: is longer"},
		{"listen by name", func(s *spec.Spec) { s.Listen = "localhost:443" }, "listen: must be IP:PORT"},
		{"listen without port", func(s *spec.Spec) { s.Listen = "127.0.0.1:0" }, "listen: must be IP:PORT"},
		{"external host", func(s *spec.Spec) { s.ExternalHost = "a b" }, "externalHost: must be"},
		{"service range", func(s *spec.Spec) { s.ServiceCIDR = "10.0.0.0" }, "serviceCIDR: must be an IPv4 range"},
		{"service range too small", func(s *spec.Spec) { s.ServiceCIDR = "10.0.0.0/30" }, "serviceCIDR: must have a prefix length"},
		{"pod range of IPv6", func(s *spec.Spec) { s.PodCIDR = "fd00::/16" }, "podCIDR: must be an IPv4 range"},
		{"pod range not masked", func(s *spec.Spec) { s.PodCIDR = "10.244.1.0/16" }, "write 10.244.0.0/16"},
		{"ranges overlap", func(s *spec.Spec) { s.ServiceCIDR = "10.244.128.0/20" }, "podCIDR: overlaps"},
		{"client authority", func(s *spec.Spec) { s.PKI.ClientCA = "x" }, "pki.clientCA: is not a bundle"},
		{"serving key of another", func(s *spec.Spec) { s.PKI.Serving.Key = s.PKI.Operator.Key }, "pki.serving: cert and key are not a pair"},
		{"serving not signed", func(s *spec.Spec) { s.PKI.Serving = other.Server() }, "pki.serving: the certificate does not verify"},
		{"serving for clients", func(s *spec.Spec) { s.PKI.Serving = base.Servers.Client("x") }, "pki.serving: the certificate does not verify"},
		{"scheduler not signed", func(s *spec.Spec) { s.PKI.Scheduler = other.Client("system:kube-scheduler") }, "pki.scheduler: the certificate does not verify"},
		{"controller manager's name", func(s *spec.Spec) { s.PKI.ControllerManager = base.Clients.Client("bob") }, "pki.controllerManager: the certificate's common name must be system:kube-controller-manager"},
		{"operator's group", func(s *spec.Spec) { s.PKI.Operator = base.Clients.Client("bob") }, "pki.operator: the certificate's organization must be system:masters"},
		{"front proxy", func(s *spec.Spec) { s.PKI.FrontProxy.Client = other.Client("x") }, "pki.frontProxy.client: the certificate does not verify"},
		{"issuer", func(s *spec.Spec) { s.PKI.ServiceAccount.Issuer = "http://x" }, "pki.serviceAccount.issuer: must be an https URL"},
		{"signing key", func(s *spec.Spec) { s.PKI.ServiceAccount.SigningKey = "x" }, "pki.serviceAccount.signingKey: is not a private key"},
		{"no verify keys", func(s *spec.Spec) { s.PKI.ServiceAccount.VerifyKeys = nil }, "pki.serviceAccount.verifyKeys: is empty"},
		{"verify keys of another", func(s *spec.Spec) {
			s.PKI.ServiceAccount.VerifyKeys = spectest.New(t, 0).Spec.PKI.ServiceAccount.VerifyKeys
		}, "does not hold the public half of signingKey"},
		{"webhook by http", func(s *spec.Spec) { s.Authorization.URL = "http://127.0.0.1/x" }, "authorization.url: must be an https URL"},
		{"webhook without client", func(s *spec.Spec) { s.Authorization.Client = spec.KeyPair{} }, "authorization.client: cert and key are both needed"},
		{"socket and webhook", func(s *spec.Spec) { s.AuthorizationSocket = "/run/a.sock" }, "authorizationSocket: is given beside authorization"},
		{"relative socket", func(s *spec.Spec) { s.Authorization, s.AuthorizationSocket = nil, "a.sock" }, "authorizationSocket: must be an absolute path"},
		{"long socket of the authorizer", func(s *spec.Spec) { s.AuthorizationSocket = "/" + strings.Repeat("x", 104) }, "authorizationSocket: is longer"},
		{"relative audit log", func(s *spec.Spec) { s.AuditLog = "audit.log" }, "auditLog: must be an absolute path"},
		{"orphan timeout", func(s *spec.Spec) { s.OrphanTimeout = -1 }, "orphanTimeout: is negative"},
		{"node twice", func(s *spec.Spec) { s.Nodes[1].Name = s.Nodes[0].Name }, "nodes: [1]: name"},
		{"too many nodes", func(s *spec.Spec) { s.PodCIDR = "10.244.0.0/20"; s.Nodes = spectest.Nodes(17) }, "17 nodes, but podCIDR 10.244.0.0/20 has room for 16"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var s spec.Spec
			if err := json.Unmarshal(document, &s); err != nil {
				t.Fatal(err)
			}
			row.edit(&s)
			_, err := spec.Parse(encode(t, s), time.Now())
			if err == nil || !strings.Contains(err.Error(), row.says) {
				t.Errorf("says %v, want something with %q", err, row.says)
			}
		})
	}
	if _, err := spec.Parse(document, time.Now().Add(24*time.Hour)); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("a day later it says %v, want that certificates expired", err)
	}
}

func TestParseRefusesBytes(t *testing.T) {
	for _, row := range []struct{ name, document, says string }{
		{"nothing", "", "it is empty"},
		{"cut off", `{"name":"c1"`, "it ends early"},
		{"not JSON", `{"name":'c1'}`, "not JSON at byte 9"},
		{"more", `{} {}`, "more after the first"},
		{"unknown field", `{"names":"c1"}`, `unknown field "names"`},
		{"wrong kind", `{"pki":{"serving":{"key":["a secret"]}}}`, `field "pki.serving.key" must not be a JSON array`},
		{"duration", `{"orphanTimeout":3}`, "a duration is a string"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := spec.Parse([]byte(row.document), time.Now())
			if err == nil || !strings.Contains(err.Error(), row.says) {
				t.Errorf("says %v, want something with %q", err, row.says)
			}
		})
	}
}

func TestParseNodes(t *testing.T) {
	const cidr = "10.244.0.0/16"
	for _, row := range []struct{ name, document, says string }{
		{"none", `[]`, ""},
		{"one", `[{"name":"n1","pool":"p","vmSize":"Standard_DS2_v2","labels":{"a/b":"c"},"taints":[{"key":"k","effect":"NoSchedule"}]}]`, ""},
		{"null", `null`, "a list is needed"},
		{"object", `{}`, "must not be a JSON object"},
		{"no name", `[{"pool":"p","vmSize":"s"}]`, "[0]: name: "},
		{"no pool", `[{"name":"n","vmSize":"s"}]`, "[0]: pool: is missing"},
		{"no size", `[{"name":"n","pool":"p"}]`, "[0]: vmSize: is missing"},
		{"label", `[{"name":"n","pool":"p","vmSize":"s","labels":{"a":"b c"}}]`, "[0]: labels[a]: "},
		{"taint", `[{"name":"n","pool":"p","vmSize":"s","taints":[{"key":"k","effect":"Never"}]}]`, "[0]: taints[0].effect: must be"},
		{"taint twice", `[{"name":"n","pool":"p","vmSize":"s","taints":[{"key":"k","effect":"NoSchedule"},{"key":"k","effect":"NoSchedule"}]}]`, "taints[1]: its key and effect are there twice"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := spec.ParseNodes([]byte(row.document), cidr)
			switch {
			case row.says == "" && err != nil:
				t.Errorf("says %v", err)
			case row.says != "" && (err == nil || !strings.Contains(err.Error(), row.says)):
				t.Errorf("says %v, want something with %q", err, row.says)
			}
		})
	}
}

// FuzzParse holds that reading never panics, that what is accepted reads the same when it is written again, and that no
// error repeats a key.
func FuzzParse(f *testing.F) {
	c := spectest.New(f, 2)
	c.Spec.TokenReview = c.Hook("https://127.0.0.1:8446/token")
	f.Add(encode(f, c.Spec))
	f.Add([]byte(`{"name":"c1","pki":{"serving":{"key":"x"}},"nodes":[{}],"orphanTimeout":"1s"}`))
	now := time.Now()
	key := []byte(strings.Split(c.Spec.PKI.Serving.Key, "\n")[1])
	f.Fuzz(func(t *testing.T, document []byte) {
		s, err := spec.Parse(document, now)
		if err != nil {
			if bytes.Contains([]byte(err.Error()), key) {
				t.Errorf("the error holds a key: %v", err)
			}
			return
		}
		again, err := spec.Parse(encode(t, s), now)
		if err != nil {
			t.Fatalf("what was accepted is not, when it is written again: %v", err)
		}
		if diff := cmp.Diff(s, again); diff != "" {
			t.Errorf("it reads otherwise when it is written again:\n%s", diff)
		}
	})
}

// FuzzParseNodes holds the same of a list of nodes.
func FuzzParseNodes(f *testing.F) {
	f.Add(encode(f, spectest.Nodes(3)))
	f.Add([]byte(`[{"name":"n1","pool":"p","vmSize":"s","labels":{"a/b":"c"},"taints":[{"key":"k","effect":"NoSchedule"}]}]`))
	const cidr = "10.244.0.0/16"
	f.Fuzz(func(t *testing.T, document []byte) {
		nodes, err := spec.ParseNodes(document, cidr)
		if err != nil {
			return
		}
		again, err := spec.ParseNodes(encode(t, nodes), cidr)
		if err != nil {
			t.Fatalf("what was accepted is not, when it is written again: %v", err)
		}
		if diff := cmp.Diff(nodes, again); diff != "" {
			t.Errorf("it reads otherwise when it is written again:\n%s", diff)
		}
	})
}
