package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// listener is one of the server's addresses and what answers there.
type listener struct {
	name    string
	address string
	handler http.Handler
	tls     *tls.Config
}

// tlsConfig returns the settings of a listener. clients, if set, must have vouched for the certificate of whoever shows
// one; what needs one checks that it was shown, for a gate has none yet when it enrols.
func tlsConfig(cert func(*tls.ClientHelloInfo) (*tls.Certificate, error), clients *x509.CertPool) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: cert, NextProtos: []string{"h2", "http/1.1"}}
	if clients != nil {
		c.ClientAuth = tls.VerifyClientCertIfGiven
		c.ClientCAs = clients
	}
	return c
}

// bind opens the address of every listener, or none.
func bind(ctx context.Context, all []listener) ([]net.Listener, error) {
	var open []net.Listener
	var cfg net.ListenConfig
	for _, l := range all {
		n, err := cfg.Listen(ctx, "tcp", l.address)
		if err != nil {
			for _, o := range open {
				err = errors.Join(err, o.Close())
			}
			return nil, fmt.Errorf("%s cannot listen on %s: %w; choose another address (--listen HOST:PORT, or the configuration)", l.name, l.address, err)
		}
		if l.tls != nil {
			n = tls.NewListener(n, l.tls)
		}
		open = append(open, n)
	}
	return open, nil
}

// serve answers on a listener until ctx ends, and then lets requests under way end.
func serve(ctx context.Context, l listener, on net.Listener, log *slog.Logger) error {
	s := &http.Server{
		Handler: l.handler,
		// A slow client holds a connection, not a worker; these bound how long.
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       60 * time.Second,
		WriteTimeout:      120 * time.Second,
		IdleTimeout:       120 * time.Second,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.With("listener", l.name).Handler(), slog.LevelDebug),
	}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err := s.Shutdown(grace)
		if errors.Is(err, context.DeadlineExceeded) {
			err = s.Close()
		}
		stopped <- err
	}()
	if err := s.Serve(on); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("%s: %w", l.name, err)
	}
	return <-stopped
}
