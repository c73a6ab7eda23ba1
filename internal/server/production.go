package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/keyreeve/keyreeve/internal/cluster"
	conf "github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/seal"
	"github.com/keyreeve/keyreeve/internal/store"
)

// storeOptions opens the database of a configuration.
func storeOptions(c *conf.Serve, now func() time.Time) (store.Options, error) {
	opt := store.Options{Now: now}
	if c.Database.Postgres == nil {
		opt.Path = c.Database.SQLite.Path
		return opt, nil
	}
	dsn, err := c.DSN()
	opt.Postgres, opt.Readers = dsn, c.Database.Postgres.MaxConnections
	return opt, err
}

// openServe opens the database of a production server, which `keyreeve init` has filled.
func (s *Server) openServe(ctx context.Context) (err error) {
	c := s.cfg.Serve
	if s.sealer, err = seal.LoadFile(c.SealKeyFile); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w: `keyreeve init --config FILE` makes it, once for all processes on one database", err)
		}
		return err
	}
	opt, err := storeOptions(c, s.cfg.Now)
	if err != nil {
		return err
	}
	if s.db, err = store.Open(ctx, opt); err != nil {
		return err
	}
	s.closers = append(s.closers, s.db.Close)
	there, err := hasTenant(ctx, s.db)
	if err == nil && !there {
		err = errors.New("the database holds no tenant: run `keyreeve init --config FILE` once, or `keyreeve restore`")
	}
	s.health = newHealth(s)
	return err
}

// forProduction puts listeners that share an address together, gives each its certificate, and puts proxies and metrics
// before the faces.
func (s *Server) forProduction(all []listener) ([]listener, error) {
	c := s.cfg.Serve
	var out []listener
	shared := map[string]*hosts{}
	for i, f := range c.Faces() {
		l := all[i]
		l.handler = s.health.measured(f.Name, l.handler)
		if f.Name == "gate" {
			out = append(out, l)
			continue
		}
		u, err := url.Parse(f.Face.URL)
		if err != nil {
			return nil, fmt.Errorf("%s.url: %w", f.Name, err)
		}
		cert := s.serving.get
		if t := f.Face.TLS; t != nil {
			files := &fileCertificate{cert: t.CertFile, key: t.KeyFile, now: s.cfg.Now, log: s.log}
			if err := files.load(); err != nil {
				return nil, fmt.Errorf("%s.tls: %w", f.Name, err)
			}
			cert = files.get
		}
		if shared[l.address] == nil {
			shared[l.address] = &hosts{}
			l.tls = tlsConfig(shared[l.address].certificate, nil)
			if c.Proxy.TerminatesTLS {
				l.tls = nil
			}
			h := shared[l.address]
			out = append(out, listener{l.name, l.address, proxied(c, h), l.tls})
		}
		shared[l.address].add(host{u.Hostname(), l.handler, cert})
	}
	// The health listener last: when it answers, the others do.
	return append(out, listener{"health", c.Health, s.health.handler(), nil}), nil
}

// hosts are the faces behind one address.
type hosts struct{ all []host }

type host struct {
	name    string
	handler http.Handler
	cert    func(*tls.ClientHelloInfo) (*tls.Certificate, error)
}

func (h *hosts) add(o host) { h.all = append(h.all, o) }

func (h *hosts) find(name string) *host {
	if len(h.all) == 1 {
		return &h.all[0] // reached by whatever name
	}
	for i := range h.all {
		if strings.EqualFold(h.all[i].name, name) {
			return &h.all[i]
		}
	}
	return nil
}

// ServeHTTP asks the face whose host name the request has.
func (h *hosts) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.Host
	if bare, _, err := net.SplitHostPort(name); err == nil {
		name = bare
	}
	if o := h.find(strings.Trim(name, "[]")); o != nil {
		o.handler.ServeHTTP(w, r)
		return
	}
	http.Error(w, "No such host is served here.", http.StatusMisdirectedRequest)
}

func (h *hosts) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if o := h.find(hello.ServerName); o != nil {
		return o.cert(hello)
	}
	return h.all[0].cert(hello) // the client will say what it thinks of it
}

// proxied lets the requests that trusted proxies pass on come from whom they say. Nobody else is believed; where proxies end
// TLS, nobody else is served.
func proxied(c *conf.Serve, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil || !c.Trusts(peer.Addr()) {
			if c.Proxy.TerminatesTLS {
				http.Error(w, "Only the configured proxies are served here.", http.StatusForbidden)
				return
			}
			next.ServeHTTP(w, r)
			return
		}
		if from, hearsay, ok := clientOf(c, r.Header.Values("X-Forwarded-For")); ok {
			r = r.Clone(r.Context())
			r.RemoteAddr = netip.AddrPortFrom(from, 0).String()
			// What the proxies said is known now. What is left came with the request, which somebody else passed on.
			r.Header.Del("X-Forwarded-For")
			if hearsay != "" {
				r.Header.Set("X-Forwarded-For", hearsay)
			}
		}
		next.ServeHTTP(w, r)
	})
}

// clientOf returns the last address of X-Forwarded-For that is not a proxy's, and what is before it: that is hearsay.
func clientOf(c *conf.Serve, values []string) (from netip.Addr, hearsay string, ok bool) {
	all := strings.Split(strings.Join(values, ","), ",")
	for i, text := range slices.Backward(all) {
		text = strings.TrimSpace(text)
		a, err := netip.ParseAddr(strings.Trim(text, "[]"))
		if err != nil {
			var withPort netip.AddrPort
			if withPort, err = netip.ParseAddrPort(text); err != nil {
				return netip.Addr{}, "", false
			}
			a = withPort.Addr()
		}
		if !c.Trusts(a) {
			return a.Unmap(), strings.Join(all[:i], ","), true
		}
	}
	return netip.Addr{}, "", false
}

// fileCertificate is a certificate in files that others renew.
type fileCertificate struct {
	cert, key string
	now       func() time.Time
	log       *slog.Logger

	mu      sync.Mutex
	looked  time.Time
	changed [2]time.Time
	current *tls.Certificate
}

// lookEvery is how often the files are looked at.
const lookEvery = 10 * time.Second

func (f *fileCertificate) load() error {
	var changed [2]time.Time
	for i, path := range []string{f.cert, f.key} {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		changed[i] = info.ModTime()
	}
	if f.current != nil && changed == f.changed {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return err
	}
	f.current, f.changed = &pair, changed
	return nil
}

func (f *fileCertificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := f.now(); now.Sub(f.looked) >= lookEvery {
		f.looked = now
		// Half-written files are read again at the next look; the certificate at hand serves until then.
		if err := f.load(); err != nil {
			f.log.Error("a certificate could not be read again", "file", f.cert, "error", err)
		}
	}
	return f.current, nil
}

// noClusters is the driver of a server that runs no clusters of its own.
type noClusters struct{}

func (noClusters) refuse() error {
	return fault.New(fault.Unsupported, "EmbeddedClustersNotConfigured",
		"This Keyreeve runs no clusters of its own. Attach one that runs elsewhere with `keyreeve cluster attach`.")
}

// Endpoint refuses.
func (n noClusters) Endpoint(context.Context, func(string) bool) (string, error) {
	return "", n.refuse()
}

// Ensure refuses.
func (n noClusters) Ensure(context.Context, cluster.Desired) error { return n.refuse() }

// WaitReady refuses.
func (n noClusters) WaitReady(context.Context, ident.ClusterID) error { return n.refuse() }

// Drain refuses.
func (n noClusters) Drain(context.Context, cluster.Desired) error { return n.refuse() }

// Stop does nothing: nothing runs here.
func (noClusters) Stop(context.Context, ident.ClusterID) error { return nil }

// Delete does nothing: there is nothing here.
func (noClusters) Delete(context.Context, ident.ClusterID) error { return nil }
