package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/keyreeve/keyreeve/internal/datadir"
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
	Log             *slog.Logger
	Now             func() time.Time
	// Progress, if set, is told what is being done while something takes long.
	Progress func(string)
}

// resolved is a Config with its defaults, checked, and what follows from it.
type resolved struct {
	Config
	host  string
	ports [4]int // login, arm, graph, gate
}

func (c Config) resolve() (resolved, error) {
	if c.Data == "" {
		return resolved{}, errors.New("no data folder given")
	}
	if c.Now == nil || c.Log == nil {
		return resolved{}, errors.New("server: Now and Log are needed")
	}
	if c.Listen == "" {
		c.Listen = "127.0.0.1:8443"
	}
	if c.ClusterPorts == [2]int{} {
		c.ClusterPorts = [2]int{10440, 10999}
	}
	if c.Progress == nil {
		c.Progress = func(string) {}
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
	r := resolved{Config: c, host: host}
	for i := range r.ports {
		r.ports[i] = port + i
	}
	return r, nil
}

func (r resolved) address(i int) string { return net.JoinHostPort(r.host, strconv.Itoa(r.ports[i])) }

// endpoints are the base URLs of the listeners.
func (r resolved) endpoints() datadir.Endpoints {
	return datadir.Endpoints{
		Login: "https://" + r.address(0),
		ARM:   "https://" + r.address(1),
		Graph: "https://" + r.address(2),
	}
}

// gateURL is where API servers of embedded clusters ask.
func (r resolved) gateURL() string { return "https://" + r.address(3) }
