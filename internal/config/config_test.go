package config_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/keyreeve/keyreeve/internal/config"
)

const good = `
dataDir: data
sealKeyFile: /etc/keyreeve/seal.key
caFile: ca.pem
clientsDir: clients
database: {postgres: {dsnFile: dsn}}
login: {url: "https://login.example.org", listen: ":443", tls: {certFile: login.crt, keyFile: login.key}}
arm: {url: "https://management.example.org", listen: ":443"}
graph: {url: "https://graph.example.org/", listen: ":443"}
gate: {url: "https://gate.example.org:8443", listen: "0.0.0.0:8443"}
`

func TestGood(t *testing.T) {
	c, err := config.Parse([]byte(good), "/etc/here")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ got, want string }{
		{c.DataDir, "/etc/here/data"},
		{c.Login.TLS.KeyFile, "/etc/here/login.key"},
		{c.Database.Postgres.DSNFile, "/etc/here/dsn"},
		{c.CAFile, "/etc/here/ca.pem"},
		{c.ClientsDir, "/etc/here/clients"},
		{c.SealKeyFile, "/etc/keyreeve/seal.key"},
		{c.Graph.URL, "https://graph.example.org"},
		{c.Health, "127.0.0.1:9090"},
		{c.Log.Level + c.Log.Format, "infotext"},
	} {
		if test.got != test.want {
			t.Errorf("got %q, want %q", test.got, test.want)
		}
	}
	if c.Staleness() != 15*time.Minute || c.Delay() != 0 || c.AccessTokenLife() != 0 {
		t.Error(c.Staleness(), c.Delay(), c.AccessTokenLife())
	}
	c, err = config.Parse([]byte(strings.Replace(good, "database: {postgres: {dsnFile: dsn}}", "", 1)), "/d")
	if err != nil || c.Database.SQLite.Path != "/d/data/keyreeve.db" {
		t.Error(c.Database, err)
	}
}

func TestRefused(t *testing.T) {
	for name, test := range map[string]struct{ old, text, want string }{
		"unknown field":       {"dataDir: data", "dataDir: data\ndatadir2: x", "datadir2"},
		"twice":               {"dataDir: data", "dataDir: data\ndataDir: x", "already set"},
		"no folder":           {"dataDir: data", "", "dataDir is missing"},
		"no seal key":         {"sealKeyFile: /etc/keyreeve/seal.key", "", "sealKeyFile is missing"},
		"no authority":        {"caFile: ca.pem", "", "arm shows a certificate of Keyreeve's own authority and login does not"},
		"nobody's authority":  {", tls: {certFile: login.crt, keyFile: login.key}", "", "caFile is of no use"},
		"two databases":       {"{postgres: {", "{sqlite: {}, postgres: {", "both sqlite and postgres"},
		"no dsn":              {"dsnFile: dsn", "", "dsnFile is missing"},
		"connections":         {"dsnFile: dsn", "dsnFile: dsn, maxConnections: -1", "maxConnections"},
		"http":                {"https://login.", "http://login.", "login.url"},
		"path":                {"login.example.org\"", "login.example.org/x\"", "login.url"},
		"user":                {"https://login.", "https://u:p@login.", "login.url"},
		"upper case":          {"https://login.", "https://Login.", "lower case"},
		"port 443":            {"login.example.org\"", "login.example.org:443\"", "without the port 443"},
		"one origin twice":    {"https://management.", "https://login.", "are the same"},
		"one address, a host": {"https://management.example.org", "https://login.example.org:444", "nothing tells them apart"},
		"listen":              {`listen: "0.0.0.0:8443"`, `listen: "gate:8443"`, "gate.listen"},
		"listen port":         {`listen: "0.0.0.0:8443"`, `listen: ":0"`, "gate.listen"},
		"gate's address":      {`listen: "0.0.0.0:8443"`, `listen: ":443"`, "client certificates"},
		"gate's certificate":  {`listen: "0.0.0.0:8443"`, `listen: ":8443", tls: {certFile: a, keyFile: b}`, "gate.tls cannot be set"},
		"half a certificate":  {"keyFile: login.key", "", "needs certFile and keyFile"},
		"tls behind a proxy":  {"dataDir: data", "dataDir: data\nproxy: {terminatesTLS: true, trustedAddresses: [10.0.0.1]}", "of no use"},
		"clear for everybody": {"dataDir: data", "dataDir: data\nproxy: {terminatesTLS: true}", "needs proxy.trustedAddresses"},
		"trusts everybody":    {"dataDir: data", "dataDir: data\nproxy: {trustedAddresses: [0.0.0.0/0]}", "is everybody"},
		"trusts a name":       {"dataDir: data", "dataDir: data\nproxy: {trustedAddresses: [proxy]}", "neither an address nor a range"},
		"issuers everywhere":  {"dataDir: data", "dataDir: data\nfederation: {privateNetworks: [\"::/0\"]}", "federation.privateNetworks: \"::/0\" is everybody"},
		"issuers by name":     {"dataDir: data", "dataDir: data\nfederation: {privateNetworks: [corp.test]}", "neither an address nor a range"},
		"health":              {"dataDir: data", "dataDir: data\nhealth: x", "health"},
		"level":               {"dataDir: data", "dataDir: data\nlog: {level: loud}", "log.level"},
		"format":              {"dataDir: data", "dataDir: data\nlog: {format: xml}", "log.format"},
		"staleness":           {"dataDir: data", "dataDir: data\nmaxStaleness: 1s", "maxStaleness"},
		"token life":          {"dataDir: data", "dataDir: data\naccessTokenLifetime: 1m", "less than five minutes"},
		"cluster ports":       {"dataDir: data", "dataDir: data\nclusters: {host: 10.0.0.1, ports: 9-1}", "clusters.ports"},
		"cluster host":        {"dataDir: data", "dataDir: data\nclusters: {host: 0.0.0.0}", "clusters.host"},
		"not a map":           {"dataDir: data", "- x", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(good, test.old) {
				t.Fatal("the test changes nothing")
			}
			_, err := config.Parse([]byte(strings.Replace(good, test.old, test.text, 1)), "/d")
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestEverythingWrongIsSaid(t *testing.T) {
	_, err := config.Parse([]byte("health: x\nlog: {level: loud}\n"), "/d")
	for _, want := range []string{"dataDir", "sealKeyFile", "login.url", "arm.url", "graph.url", "gate.url", "health", "log.level"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not speak of %s", err, want)
		}
	}
}

func TestTrusts(t *testing.T) {
	c, err := config.Parse([]byte(good+"proxy: {trustedAddresses: [10.1.0.0/16, \"fd00::1\"]}\n"), "/d")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{"10.1.2.3": true, "::ffff:10.1.2.3": true, "10.2.0.1": false, "fd00::1": true, "fd00::2": false} {
		if got := c.Trusts(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func TestIssuerNetworks(t *testing.T) {
	c, err := config.Parse([]byte(good+"federation: {privateNetworks: [10.20.1.1/16, 192.168.7.7]}\n"), "/d")
	want := []netip.Prefix{netip.MustParsePrefix("10.20.0.0/16"), netip.MustParsePrefix("192.168.7.7/32")}
	if err != nil || !slices.Equal(c.IssuerNetworks(), want) {
		t.Error(c.IssuerNetworks(), err)
	}
	if c, err := config.Parse([]byte(good), "/d"); err != nil || c.IssuerNetworks() != nil {
		t.Error(c.IssuerNetworks(), err)
	}
}

func TestDSN(t *testing.T) {
	dir := t.TempDir()
	c, err := config.Parse([]byte(good), dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.DSN(); err == nil {
		t.Error("read a file that is not there")
	}
	path := filepath.Join(dir, "dsn")
	for _, test := range []struct {
		text string
		mode os.FileMode
		want string
		ok   bool
	}{{" host=x \n", 0o600, "host=x", true}, {"host=x", 0o640, "host=x", true}, {"host=x", 0o644, "", false}, {"\n", 0o600, "", false}} {
		if err := os.WriteFile(path, []byte(test.text), test.mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, test.mode); err != nil {
			t.Fatal(err)
		}
		if got, err := c.DSN(); got != test.want || (err == nil) != test.ok {
			t.Errorf("%q, %o: %q, %v", test.text, test.mode, got, err)
		}
	}
}

// TestPage holds the configuration of the page about production to what is read.
func TestPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/operate/production.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(page), "```yaml\n")
	text, _, end := strings.Cut(rest, "```")
	if !ok || !end {
		t.Fatal("the page has no configuration")
	}
	c, err := config.Parse([]byte(text), "/etc/keyreeve")
	if err != nil {
		t.Fatal(err)
	}
	if c.Graph.TLS.CertFile != "/etc/keyreeve/tls/graph.crt" || c.Health != "127.0.0.1:9090" {
		t.Errorf("%+v", c)
	}
}

// FuzzParse holds that whatever is taken can be written and read again, and says the same.
func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("dataDir: [x"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := config.Parse(text, "/d")
		if err != nil {
			return
		}
		again, err := yaml.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		d, err := config.Parse(again, "/elsewhere")
		if err != nil {
			t.Fatalf("%v in\n%s", err, again)
		}
		if third, err := yaml.Marshal(d); err != nil || string(third) != string(again) {
			t.Fatalf("%v: %s\n%s", err, again, third)
		}
	})
}
