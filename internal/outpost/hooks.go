package outpost

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyreeve/keyreeve/internal/caller"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/kubehook"
	"github.com/keyreeve/keyreeve/internal/kubewire"
	"github.com/keyreeve/keyreeve/internal/mirror"
	"github.com/keyreeve/keyreeve/internal/pki"
	"github.com/keyreeve/keyreeve/internal/token"
	"github.com/keyreeve/keyreeve/internal/web"
	"github.com/keyreeve/keyreeve/internal/world"
)

// hooks are the webhooks over the world of the moment.
type hooks struct {
	mirror    *mirror.Set
	heard     func() time.Time
	staleness time.Duration
	now       func() time.Time
	log       *slog.Logger
	current   atomic.Pointer[http.ServeMux]
}

// replace answers from another world from now on.
func (h *hooks) replace(w *world.World, issuer string) error {
	v, err := token.NewVerifier(token.Config{Issuer: issuer, Audiences: []string{directory.AKSServer().String()}, Keys: w, Now: h.now})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	(&kubehook.Handler{
		World: w, Tokens: caller.Checker{Verifier: v, World: w, Now: h.now}, Mirror: h.mirror, Now: h.now, Log: h.log,
		Heard: h.heard, MaxAge: h.staleness,
	}).Mount(mux)
	h.current.Store(mux)
	return nil
}

// ServeHTTP answers the API server; while there is no world, that it is not known.
func (h *hooks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if mux := h.current.Load(); mux != nil {
		mux.ServeHTTP(w, r)
		return
	}
	// No Retry-After: the API server would try again for seconds.
	_ = web.WriteJSON(w, http.StatusServiceUnavailable, "application/json", metav1.Status{ // it always encodes
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure, Code: http.StatusServiceUnavailable,
		Reason: metav1.StatusReasonServiceUnavailable, Message: "Access cannot be decided at the moment.",
	})
}

// local is what gate and API server know each other by: an authority of the gate's own, its serving certificate, and the
// API server's client certificate.
type local struct {
	settings  settings
	state     state
	now       func() time.Time
	authority *pki.Authority
	serving   atomic.Pointer[tls.Certificate]
}

// localAuthorityLife is the life of that authority.
const localAuthorityLife = 10 * 365 * 24 * time.Hour

// open loads or makes the authority.
func (l *local) open() error {
	var pair pki.KeyPair
	found, err := l.state.read(authorityFile, &pair)
	if err != nil {
		return err
	}
	if found {
		if a, err := pki.ParseAuthority(pair); err == nil && a.NotAfter().After(l.now().Add(pki.MaxServerLife)) {
			l.authority = a
			return l.refresh()
		}
	}
	if l.authority, err = pki.NewAuthority("Keyreeve gate", l.now(), localAuthorityLife); err != nil {
		return err
	}
	if err := l.state.write(authorityFile, l.authority.Pair(), true); err != nil {
		return err
	}
	return l.refresh()
}

// refresh renews both certificates when two thirds of their life are over, and writes the API server's files.
func (l *local) refresh() error {
	host, _, err := net.SplitHostPort(l.settings.Listen)
	if err != nil {
		return fmt.Errorf("gate: listen: %w", err)
	}
	var pair pki.KeyPair
	hosts := []string{host}
	found, err := l.state.read(servingFile, &pair)
	if err != nil {
		return err
	}
	if !found || pki.NeedsRenewal(pair, hosts, l.now()) || !l.authority.Issued(pair) {
		pair, err = l.authority.Issue(pki.Template{CommonName: "Keyreeve gate server", Hosts: hosts, Use: pki.Server, Now: l.now(), Life: pki.MaxServerLife})
		if err != nil {
			return err
		}
		if err := l.state.write(servingFile, pair, true); err != nil {
			return err
		}
	}
	cert, err := tls.X509KeyPair([]byte(pair.Cert), []byte(pair.Key))
	if err != nil {
		return errors.New("gate: the serving certificate cannot be used")
	}
	l.serving.Store(&cert)
	return l.files()
}

// tls returns the settings of the listener: only who has a certificate of the authority gets a word.
func (l *local) tls() *tls.Config {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(l.authority.CertPEM()))
	return &tls.Config{
		MinVersion: tls.VersionTLS12, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return l.serving.Load(), nil },
	}
}

// files writes what the API server reads. The client certificate and its key come first and together with the rest, so that
// a kubeconfig never names what is not there.
func (l *local) files() error {
	s := l.settings
	dir := s.APIServerDir
	mode, keyMode := os.FileMode(0o700), os.FileMode(0o600)
	if s.APIServerFilesGroup != 0 {
		mode, keyMode = 0o750, 0o640
	}
	if err := os.MkdirAll(dir, mode); err != nil {
		return fmt.Errorf("gate: apiServerDir: %w", err)
	}
	out, err := kubewire.Settings{Minor: s.minor, Dir: dir, GateURL: "https://" + s.Listen, Cluster: s.cluster.String()}.Files()
	if err != nil {
		return err
	}
	out[kubewire.GateCA] = []byte(l.authority.CertPEM())
	cert, err1 := os.ReadFile(filepath.Join(dir, kubewire.ClientCert))
	key, err2 := os.ReadFile(filepath.Join(dir, kubewire.ClientKey))
	pair := pki.KeyPair{Cert: string(cert), Key: string(key)}
	if err1 != nil || err2 != nil || pki.NeedsRenewal(pair, nil, l.now()) || !l.authority.Issued(pair) {
		pair, err = l.authority.Issue(pki.Template{CommonName: "cluster:" + s.cluster.String(), Now: l.now(), Life: pki.ComponentLife})
		if err != nil {
			return err
		}
		out[kubewire.ClientCert], out[kubewire.ClientKey] = []byte(pair.Cert), []byte(pair.Key)
	}
	for name, text := range out {
		path := filepath.Join(dir, name)
		if err := replace(path, text, keyMode, true); err != nil {
			return err
		}
		if s.APIServerFilesGroup != 0 {
			if err := os.Chown(path, -1, s.APIServerFilesGroup); err != nil {
				return fmt.Errorf("gate: apiServerFilesGroup: %w", err)
			}
		}
	}
	if s.APIServerFilesGroup != 0 {
		if err := errors.Join(os.Chmod(dir, mode), os.Chown(dir, -1, s.APIServerFilesGroup)); err != nil {
			return fmt.Errorf("gate: apiServerFilesGroup: %w", err)
		}
	}
	return nil
}
