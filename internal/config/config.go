// Package config owns the configuration of `keyreeve serve`: one documented struct, its defaults and its checks.
//
// It reads files and touches neither database nor network: a configuration is a checked value, and what it configures
// reads it.
package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// The values of Tokens.Signing.
const (
	RS256 = "rs256"
	ES256 = "es256"
)

// Tokens says how tokens are signed.
type Tokens struct {
	// Signing is the algorithm of access tokens for Resource Manager and Graph: rs256 (the default), or es256, which takes a
	// fraction of the time. All other tokens are signed with RS256 in any case. Every process on one database has the same.
	Signing string `json:"signing,omitempty"`
}

// Serve is the configuration file. File names in it are relative to its folder. Secrets are named by file, never written
// here.
type Serve struct {
	// DataDir is this process's own folder: its lock, the authority's certificate, embedded clusters, and the SQLite file
	// unless Database names another. Two processes never share one. Required.
	DataDir string `json:"dataDir"`
	// SealKeyFile holds the key that seals secrets in the database, made by `keyreeve init`. Every process on one database
	// has the same. Required.
	SealKeyFile string `json:"sealKeyFile"`
	// Database says where everything else is kept. Default: SQLite in DataDir.
	Database Database `json:"database,omitzero"`

	// Login, ARM and Graph are the three origins that clients know, none a prefix of another: three host names, or three
	// ports of one. Several may share an address to listen on; the host name then tells them apart. Required.
	Login Face `json:"login"`
	ARM   Face `json:"arm"`
	Graph Face `json:"graph"`
	// Gate is where gates and the API servers of embedded clusters connect, with client certificates: always by TLS, with
	// Keyreeve's own authority, and by no proxy that ends TLS. Required.
	Gate Face `json:"gate"`
	// CAFile holds the authorities of the certificates that Login, ARM and Graph show, PEM, where clients do not trust them
	// anyway: kubeconfigs carry them, and `keyreeve connect` and other clients are told of them. Keyreeve's own authority is
	// added where it issues a certificate. Default: the certificates named in TLS, or shown by proxies, are from a public authority.
	CAFile string `json:"caFile,omitempty"`
	// ClientsDir is a folder with kubectl and kubelogin, for `az aks install-cli` on machines that are set up for this server.
	// Default: none are offered.
	ClientsDir string `json:"clientsDir,omitempty"`
	// Proxy says who stands before Login, ARM and Graph; none by default.
	Proxy Proxy `json:"proxy,omitzero"`

	// Clusters says how to run embedded clusters. Without it this process runs none; attached ones need nothing here.
	Clusters *Clusters `json:"clusters,omitempty"`
	// Health is where /livez, /readyz and /metrics answer, without TLS. Default 127.0.0.1:9090.
	Health string `json:"health,omitempty"`
	// Log says how much is logged, and how.
	Log Log `json:"log,omitzero"`
	// MaxStaleness is how long access is decided from memory while the database is away, such as 15m (the default).
	MaxStaleness string `json:"maxStaleness,omitempty"`
	// ShutdownDelay is how long /readyz says no before the listeners close, so that load balancers notice; default 0s.
	ShutdownDelay string `json:"shutdownDelay,omitempty"`
	// AccessTokenLifetime is how long access tokens are good; default about an hour, as the real service varies it.
	AccessTokenLifetime string `json:"accessTokenLifetime,omitempty"`
	// Tokens says how tokens are signed.
	Tokens Tokens `json:"tokens,omitzero"`

	// Federation says whom Keyreeve asks for the keys of tokens that applications trust.
	Federation Federation `json:"federation,omitzero"`

	// What follows from the texts above.
	staleness, shutdownDelay, accessTokenLife time.Duration
	trusted, issuerNetworks                   []netip.Prefix
	clusterPorts                              [2]int
}

// Database names the database: one of the two.
type Database struct {
	SQLite   *SQLite   `json:"sqlite,omitempty"`
	Postgres *Postgres `json:"postgres,omitempty"`
}

// SQLite is a database file on this machine, for one process.
type SQLite struct {
	// Path is the file. Default keyreeve.db in DataDir.
	Path string `json:"path,omitempty"`
}

// Postgres is a PostgreSQL database, for any number of processes.
type Postgres struct {
	// DSNFile holds the connection string, a URL or key=value pairs: it has the password in it. Required.
	DSNFile string `json:"dsnFile"`
	// MaxConnections bounds the connections that read; two more write and listen. Default 16.
	MaxConnections int `json:"maxConnections,omitempty"`
}

// Face is one of the origins.
type Face struct {
	// URL is the origin that clients use, https://HOST or https://HOST:PORT. Required.
	URL string `json:"url"`
	// Listen is the address to listen on, ADDRESS:PORT or :PORT. Required.
	Listen string `json:"listen"`
	// TLS names the certificate. Without it Keyreeve's own authority issues one, which clients must be told to trust.
	TLS *TLS `json:"tls,omitempty"`
}

// TLS is a certificate in files, PEM. They are read again when they change.
type TLS struct {
	CertFile string `json:"certFile"`
	KeyFile  string `json:"keyFile"`
}

// Proxy says what to believe of a proxy.
type Proxy struct {
	// TrustedAddresses are the addresses of proxies, such as 10.0.0.0/8, whose X-Forwarded-For is believed. Nobody else's is.
	TrustedAddresses []string `json:"trustedAddresses,omitempty"`
	// TerminatesTLS says that they end TLS: Login, ARM and Graph are then served in clear, and to them alone.
	TerminatesTLS bool `json:"terminatesTLS,omitempty"`
}

// Federation says where the issuers of federated credentials may be.
type Federation struct {
	// PrivateNetworks are where issuers may be beside the public internet, such as 10.20.0.0/16. Whoever may register a
	// federated credential makes Keyreeve ask there, over https: name no more than is needed. Default none.
	PrivateNetworks []string `json:"privateNetworks,omitempty"`
}

// Clusters says how to run embedded clusters.
type Clusters struct {
	// Localkube is the program that runs one. Default: localkube beside keyreeve.
	Localkube string `json:"localkube,omitempty"`
	// Host is the address that clients reach this machine's clusters by. Required.
	Host string `json:"host"`
	// Ports is FIRST-LAST for their API servers. Default 10440-10999.
	Ports string `json:"ports,omitempty"`
	// Detach leaves them running when Keyreeve stops.
	Detach bool `json:"detach,omitempty"`
}

// Log says how much is logged, and how.
type Log struct {
	// Level is debug, info (default), warn or error.
	Level string `json:"level,omitempty"`
	// Format is text (default) or json.
	Format string `json:"format,omitempty"`
}

// Load reads and checks a configuration file. A field it does not know is refused.
func Load(path string) (Serve, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Serve{}, fmt.Errorf("configuration: %w", err)
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return Serve{}, fmt.Errorf("configuration: %w", err)
	}
	c, err := Parse(text, dir)
	if err != nil {
		return Serve{}, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// Parse reads and checks a configuration; dir is the folder that its file names are relative to.
func Parse(text []byte, dir string) (Serve, error) {
	var c Serve
	if err := yaml.UnmarshalStrict(text, &c); err != nil {
		return Serve{}, err
	}
	for _, f := range c.files() {
		if *f != "" && !filepath.IsAbs(*f) {
			*f = filepath.Join(dir, *f)
		}
	}
	c.fill()
	return c, c.check()
}

// files are the fields that name files.
func (c *Serve) files() []*string {
	out := []*string{&c.DataDir, &c.SealKeyFile, &c.CAFile, &c.ClientsDir}
	if c.Database.SQLite != nil {
		out = append(out, &c.Database.SQLite.Path)
	}
	if c.Database.Postgres != nil {
		out = append(out, &c.Database.Postgres.DSNFile)
	}
	for _, f := range []*Face{&c.Login, &c.ARM, &c.Graph, &c.Gate} {
		if f.TLS != nil {
			out = append(out, &f.TLS.CertFile, &f.TLS.KeyFile)
		}
	}
	if c.Clusters != nil {
		out = append(out, &c.Clusters.Localkube)
	}
	return out
}

// fill puts in the defaults.
func (c *Serve) fill() {
	set := func(s *string, value string) {
		if *s == "" {
			*s = value
		}
	}
	if c.Database == (Database{}) {
		c.Database.SQLite = &SQLite{}
	}
	if c.Database.SQLite != nil && c.DataDir != "" {
		set(&c.Database.SQLite.Path, filepath.Join(c.DataDir, "keyreeve.db"))
	}
	set(&c.Health, "127.0.0.1:9090")
	set(&c.Log.Level, "info")
	set(&c.Log.Format, "text")
	set(&c.MaxStaleness, "15m")
	set(&c.ShutdownDelay, "0s")
	set(&c.AccessTokenLifetime, "0s")
	set(&c.Tokens.Signing, RS256)
	if c.Clusters != nil {
		set(&c.Clusters.Ports, "10440-10999")
	}
	for _, f := range []*Face{&c.Login, &c.ARM, &c.Graph, &c.Gate} {
		f.URL = strings.TrimSuffix(f.URL, "/")
	}
}

// check returns everything that is wrong and can be seen without database and network.
func (c *Serve) check() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.DataDir == "" {
		fail("dataDir is missing")
	}
	if c.SealKeyFile == "" {
		fail("sealKeyFile is missing")
	}
	switch d := c.Database; {
	case d.SQLite != nil && d.Postgres != nil:
		fail("database names both sqlite and postgres")
	case d.Postgres != nil && d.Postgres.DSNFile == "":
		fail("database.postgres.dsnFile is missing")
	case d.Postgres != nil && (d.Postgres.MaxConnections < 0 || d.Postgres.MaxConnections > 1000):
		fail("database.postgres.maxConnections must be from 1 to 1000")
	}
	c.checkFaces(fail)
	c.checkAuthorities(fail)
	c.checkProxy(fail)
	c.checkClusters(fail)
	if _, _, err := net.SplitHostPort(c.Health); err != nil {
		fail("health %q is not ADDRESS:PORT", c.Health)
	}
	switch c.Log.Level {
	case "debug", "info", "warn", "error":
	default:
		fail("log.level %q is not one of debug, info, warn, error", c.Log.Level)
	}
	if c.Log.Format != "text" && c.Log.Format != "json" {
		fail("log.format %q is neither text nor json", c.Log.Format)
	}
	if c.Tokens.Signing != RS256 && c.Tokens.Signing != ES256 {
		fail("tokens.signing %q is neither %s nor %s", c.Tokens.Signing, RS256, ES256)
	}
	duration := func(name, text string, least, most time.Duration) time.Duration {
		d, err := time.ParseDuration(text)
		if err != nil || d < least || d > most {
			fail("%s %q is not a duration from %s to %s", name, text, least, most)
		}
		return d
	}
	c.staleness = duration("maxStaleness", c.MaxStaleness, 2*time.Second, 24*time.Hour)
	c.shutdownDelay = duration("shutdownDelay", c.ShutdownDelay, 0, 5*time.Minute)
	c.accessTokenLife = duration("accessTokenLifetime", c.AccessTokenLifetime, 0, 24*time.Hour)
	if c.accessTokenLife != 0 && c.accessTokenLife < 5*time.Minute {
		fail("accessTokenLifetime %q is less than five minutes", c.AccessTokenLifetime)
	}
	return errors.Join(errs...)
}

// Faces returns the origins with their names in the file, in the order login, arm, graph, gate.
func (c *Serve) Faces() []struct {
	Name string
	Face Face
} {
	return []struct {
		Name string
		Face Face
	}{{"login", c.Login}, {"arm", c.ARM}, {"graph", c.Graph}, {"gate", c.Gate}}
}

func (c *Serve) checkFaces(fail func(string, ...any)) {
	origins := map[string]string{}
	listens := map[string]string{}
	for _, f := range c.Faces() {
		u, err := url.Parse(f.Face.URL)
		if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.Path != "" || u.RawQuery != "" || u.User != nil || u.Fragment != "" {
			fail("%s.url %q is not of the form https://HOST or https://HOST:PORT", f.Name, f.Face.URL)
			continue
		}
		if u.Host != strings.ToLower(u.Host) || strings.HasSuffix(u.Host, ":443") {
			fail("%s.url %q must be in lower case and without the port 443: clients compare it letter by letter", f.Name, f.Face.URL)
		}
		if other, ok := origins[u.Host]; ok {
			fail("%s.url and %s.url are the same: clients tell the origins apart by them", f.Name, other)
		}
		origins[u.Host] = f.Name
		host, port, err := net.SplitHostPort(f.Face.Listen)
		if n, perr := strconv.Atoi(port); err != nil || perr != nil || n < 1 || n > 65535 || host != "" && net.ParseIP(host) == nil {
			fail("%s.listen %q is not ADDRESS:PORT or :PORT", f.Name, f.Face.Listen)
		}
		if other, ok := listens[f.Face.Listen]; ok {
			if f.Name == "gate" {
				fail("gate.listen is the same as %s.listen: gates show client certificates, browsers must not be asked for one", other)
			} else if o := c.face(other); Hostname(o.URL) == u.Hostname() {
				fail("%s and %s share an address and a host name: nothing tells them apart", f.Name, other)
			}
		}
		listens[f.Face.Listen] = f.Name
		if t := f.Face.TLS; t != nil {
			if f.Name == "gate" {
				fail("gate.tls cannot be set: gates know Keyreeve's own authority")
			}
			if t.CertFile == "" || t.KeyFile == "" {
				fail("%s.tls needs certFile and keyFile", f.Name)
			}
			if c.Proxy.TerminatesTLS {
				fail("%s.tls is of no use: proxy.terminatesTLS says that it is served in clear", f.Name)
			}
		}
	}
}

// checkAuthorities holds that clients which trust what they are told, and nothing else, reach all faces.
func (c *Serve) checkAuthorities(fail func(string, ...any)) {
	var own, other []string
	for _, f := range c.Faces()[:3] {
		if c.ShowsOwn(f.Face) {
			own = append(own, f.Name)
		} else {
			other = append(other, f.Name)
		}
	}
	switch {
	case len(own) > 0 && len(other) > 0 && c.CAFile == "":
		fail("%s shows a certificate of Keyreeve's own authority and %s does not: name the authorities of the others with caFile, "+
			"public ones too, since clients are told all that they need", own[0], other[0])
	case len(other) == 0 && c.CAFile != "":
		fail("caFile is of no use: login, arm and graph show certificates of Keyreeve's own authority")
	}
}

func (c *Serve) face(name string) Face {
	for _, f := range c.Faces() {
		if f.Name == name {
			return f.Face
		}
	}
	return Face{}
}

// Hostname is the host of an origin.
func Hostname(origin string) string {
	u, err := url.Parse(origin)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

func (c *Serve) checkProxy(fail func(string, ...any)) {
	c.trusted = networks("proxy.trustedAddresses", c.Proxy.TrustedAddresses, "anyone could name any address as theirs", fail)
	c.issuerNetworks = networks("federation.privateNetworks", c.Federation.PrivateNetworks, "name the networks that issuers are in", fail)
	if c.Proxy.TerminatesTLS && len(c.Proxy.TrustedAddresses) == 0 {
		fail("proxy.terminatesTLS needs proxy.trustedAddresses: passwords and tokens are served in clear to nobody else")
	}
}

// networks reads addresses and ranges; everybody is one that must not be among them, for the reason given.
func networks(name string, texts []string, everybody string, fail func(string, ...any)) []netip.Prefix {
	var out []netip.Prefix
	for _, text := range texts {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			var a netip.Addr
			if a, err = netip.ParseAddr(text); err == nil {
				p = netip.PrefixFrom(a, a.BitLen())
			}
		}
		switch {
		case err != nil:
			fail("%s: %q is neither an address nor a range such as 10.0.0.0/8", name, text)
		case p.Bits() == 0:
			fail("%s: %q is everybody: %s", name, text, everybody)
		default:
			out = append(out, p.Masked())
		}
	}
	return out
}

func (c *Serve) checkClusters(fail func(string, ...any)) {
	if c.Clusters == nil {
		return
	}
	first, last, ok := strings.Cut(c.Clusters.Ports, "-")
	a, err1 := strconv.Atoi(first)
	b, err2 := strconv.Atoi(last)
	if !ok || err1 != nil || err2 != nil || a < 1 || b > 65535 || a > b {
		fail("clusters.ports %q is not FIRST-LAST with ports from 1 to 65535", c.Clusters.Ports)
	}
	c.clusterPorts = [2]int{a, b}
	if ip := net.ParseIP(c.Clusters.Host); ip == nil || ip.IsUnspecified() {
		fail("clusters.host %q is not an address that others reach this machine by", c.Clusters.Host)
	}
}

// ShowsOwn reports whether a face that people's clients reach shows a certificate of Keyreeve's own authority.
func (c *Serve) ShowsOwn(f Face) bool { return f.TLS == nil && !c.Proxy.TerminatesTLS }

// Staleness is MaxStaleness.
func (c *Serve) Staleness() time.Duration { return c.staleness }

// Delay is ShutdownDelay.
func (c *Serve) Delay() time.Duration { return c.shutdownDelay }

// AccessTokenLife is AccessTokenLifetime; 0 is the default.
func (c *Serve) AccessTokenLife() time.Duration { return c.accessTokenLife }

// Trusts reports whether an address is that of a proxy.
func (c *Serve) Trusts(a netip.Addr) bool {
	for _, p := range c.trusted {
		if p.Contains(a.Unmap()) {
			return true
		}
	}
	return false
}

// IssuerNetworks is Federation.PrivateNetworks.
func (c *Serve) IssuerNetworks() []netip.Prefix { return c.issuerNetworks }

// ClusterPorts are the first and last port for API servers of embedded clusters.
func (c *Serve) ClusterPorts() [2]int { return c.clusterPorts }

// DSN reads the connection string of PostgreSQL; empty without it. The file must not be readable by everyone.
func (c *Serve) DSN() (string, error) {
	if c.Database.Postgres == nil {
		return "", nil
	}
	path := c.Database.Postgres.DSNFile
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("database.postgres.dsnFile: %w", err)
	}
	if info.Mode().Perm()&0o007 != 0 {
		return "", fmt.Errorf("database.postgres.dsnFile: %s may be read by everyone (mode %04o): chmod o= it", path, info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("database.postgres.dsnFile: %w", err)
	}
	dsn := strings.TrimSpace(string(text))
	if dsn == "" {
		return "", fmt.Errorf("database.postgres.dsnFile: %s is empty", path)
	}
	return dsn, nil
}
