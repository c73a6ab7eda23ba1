package harness

import (
	"fmt"
	"path/filepath"
	"testing"
)

// Alone makes a production installation of one process on SQLite, with the certificate in certFile and keyFile and what
// more says in its configuration. Its only replica is not started; it ends with the test.
func Alone(t testing.TB, certFile, keyFile, more string) *Fleet {
	t.Helper()
	f := &Fleet{t: t, dir: t.TempDir()}
	r := &Replica{fleet: f, config: filepath.Join(f.dir, "keyreeve.yaml")}
	f.Replicas = []*Replica{r}
	var free []string
	for range 5 {
		l := listen(t)
		free = append(free, l.Addr().String())
		defer func() { _ = l.Close() }()
	}
	r.faces, r.health = free[:3], free[4]
	f.Login, f.ARM, f.Graph, f.gate = "https://"+free[0], "https://"+free[1], "https://"+free[2], "https://"+free[3]
	face := func(at string) string {
		return fmt.Sprintf("{url: %q, listen: %q, tls: {certFile: %q, keyFile: %q}}", "https://"+at, at, certFile, keyFile)
	}
	f.write("keyreeve.yaml", fmt.Sprintf(`
dataDir: data0
sealKeyFile: seal.key
login: %s
arm: %s
graph: %s
gate: {url: %q, listen: %q}
health: %q
clusters: {host: 127.0.0.1, ports: %q}
%s
`, face(free[0]), face(free[1]), face(free[2]), f.gate, free[3], free[4], clusterPorts(), more))
	f.write("password", FleetPassword+"\n")
	t.Cleanup(func() {
		r.Stop()
		if t.Failed() {
			t.Logf("log:\n%s", r.log.tail())
		}
	})
	Must(t, BareEnv(f.dir), "keyreeve", "init", "--config", r.config, "--domain", FleetDomain,
		"--password-file", filepath.Join(f.dir, "password"), "--allow-password-grant")
	return f
}
