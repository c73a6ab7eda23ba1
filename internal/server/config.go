package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"time"

	conf "github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/internal/datadir"
	"github.com/keyreeve/keyreeve/internal/issuer"
)

// Config says how to run a server. Zero fields take the defaults named at each.
type Config struct {
	// Data is the data folder.
	Data datadir.Dir
	// Listen is the address of sign-in and portal, HOST:PORT. ARM takes the next port, Graph the one after, and the
	// gate, which clusters call, the one after that.
	Listen string
	// Localkube is the program that runs an embedded cluster.
	Localkube string
	// ClusterPorts is the first and last port for the API servers of embedded clusters.
	ClusterPorts [2]int
	// OrphanTimeout ends a cluster that no control plane has watched for this long. 0: never.
	OrphanTimeout time.Duration
	// Detach leaves the embedded clusters running when the server stops.
	Detach bool
	// Webhooks makes the API servers of embedded clusters ask about access by HTTPS, as those of attached clusters do. They
	// ask at a Unix socket otherwise.
	Webhooks bool
	// Clients is the folder with kubectl and kubelogin for machines that are set up for this server; empty: none.
	Clients string
	// AccessTokenLife is how long access tokens are good; default about an hour.
	AccessTokenLife time.Duration
	// ES256 signs access tokens for Resource Manager and Graph with ES256 in place of RS256.
	ES256 bool
	// Serve, if set, is the configuration of a production server. It stands in for everything above.
	Serve *conf.Serve
	Log   *slog.Logger
	Now   func() time.Time
	// Progress, if set, is told what is being done while something takes long.
	Progress func(string)
}

// place is where one of the listeners is: for clients, and on this machine.
type place struct{ url, address string }

// resolved is a Config with its defaults, checked, and what follows from it.
type resolved struct {
	Config
	// host is the address of embedded clusters.
	host   string
	places [4]place // login, arm, graph, gate
	// hosts are the names and addresses in the listeners' certificate.
	hosts []string
}

func (c Config) resolve() (resolved, error) {
	if c.Now == nil || c.Log == nil {
		return resolved{}, errors.New("server: Now and Log are needed")
	}
	if c.Progress == nil {
		c.Progress = func(string) {}
	}
	if c.Serve != nil {
		return c.resolveServe()
	}
	if c.Data == "" {
		return resolved{}, errors.New("no data folder given")
	}
	if c.Listen == "" {
		c.Listen = "127.0.0.1:8443"
	}
	if c.ClusterPorts == [2]int{} {
		c.ClusterPorts = [2]int{10440, 10999}
	}
	host, portText, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return resolved{}, fmt.Errorf("--listen %q is not HOST:PORT: %w", c.Listen, err)
	}
	if host == "" || net.ParseIP(host).IsUnspecified() {
		return resolved{}, fmt.Errorf("--listen %q names no host: write 127.0.0.1:PORT, or the address others reach this machine by", c.Listen)
	}
	port, err := strconv.Atoi(portText)
	if err != nil || port < 1 || port > 65535-3 {
		return resolved{}, fmt.Errorf("--listen %q: the port must be from 1 to %d, since three more follow it", c.Listen, 65535-3)
	}
	r := resolved{Config: c, host: host, hosts: []string{"127.0.0.1", "::1", "localhost"}}
	if !slices.Contains(r.hosts, host) {
		r.hosts = append(r.hosts, host)
	}
	for i := range r.places {
		address := net.JoinHostPort(host, strconv.Itoa(port+i))
		r.places[i] = place{"https://" + address, address}
	}
	return r, nil
}

// resolveServe is resolve for a production server, whose configuration was checked when it was read.
func (c Config) resolveServe() (resolved, error) {
	v := c.Serve
	c.Data, c.AccessTokenLife, c.Clients = datadir.Dir(v.DataDir), v.AccessTokenLife(), v.ClientsDir
	c.ES256 = v.Tokens.Signing == conf.ES256
	r := resolved{Config: c}
	if v.Clusters != nil {
		r.host, r.ClusterPorts, r.Detach = v.Clusters.Host, v.ClusterPorts(), v.Clusters.Detach
		if v.Clusters.Localkube != "" {
			r.Localkube = v.Clusters.Localkube
		}
		r.hosts = append(r.hosts, r.host)
	}
	for i, f := range v.Faces() {
		u, err := url.Parse(f.Face.URL)
		if err != nil {
			return resolved{}, fmt.Errorf("%s.url: %w", f.Name, err)
		}
		if !slices.Contains(r.hosts, u.Hostname()) {
			r.hosts = append(r.hosts, u.Hostname())
		}
		r.places[i] = place{f.Face.URL, f.Face.Listen}
	}
	slices.Sort(r.hosts)
	return r, nil
}

// issuerNetworks are where issuers of federated credentials may be beside the public internet: on a workstation, on the
// workstation itself.
func (r resolved) issuerNetworks() []netip.Prefix {
	if r.Serve == nil {
		return issuer.Loopback()
	}
	return r.Serve.IssuerNetworks()
}

// embedded says whether this process may run clusters.
func (r resolved) embedded() bool { return r.Serve == nil || r.Serve.Clusters != nil }

func (r resolved) address(i int) string { return r.places[i].address }

// endpoints are the base URLs of the listeners.
func (r resolved) endpoints() datadir.Endpoints {
	return datadir.Endpoints{Login: r.places[0].url, ARM: r.places[1].url, Graph: r.places[2].url}
}

// gateURL is where gates and the API servers of embedded clusters ask.
func (r resolved) gateURL() string { return r.places[3].url }
