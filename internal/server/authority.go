package server

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/keyreeve/keyreeve/internal/pki"
	"github.com/keyreeve/keyreeve/internal/seal"
	"github.com/keyreeve/keyreeve/internal/store"
)

// authorityLife is the life of the installation's own authorities.
const authorityLife = 10 * 365 * 24 * time.Hour

// sealedPair returns the key pair kept sealed under a name, and makes and keeps it if it is not there or not good any more.
func sealedPair(ctx context.Context, db *store.DB, s *seal.Sealer, name string, good func(pki.KeyPair) bool, create func() (pki.KeyPair, error)) (pki.KeyPair, error) {
	var pair pki.KeyPair
	var found bool
	err := db.View(ctx, func(tx *store.Tx) error {
		text, ok, err := tx.Setting(name)
		if err != nil || !ok {
			return err
		}
		pair, err = openPair(s, name, text)
		found = err == nil
		return err
	})
	if err != nil {
		return pki.KeyPair{}, err
	}
	if found && good(pair) {
		return pair, nil
	}
	if pair, err = create(); err != nil {
		return pki.KeyPair{}, err
	}
	plain, err := json.Marshal(pair)
	if err != nil {
		return pki.KeyPair{}, fmt.Errorf("%s: %w", name, err)
	}
	text := base64.StdEncoding.EncodeToString(s.Seal(name, plain))
	_, err = db.Update(ctx, func(tx *store.Tx) error {
		// Another process on the same database may have been faster: all of them use one pair.
		now, ok, err := tx.Setting(name)
		if err != nil {
			return err
		}
		if ok {
			if other, err := openPair(s, name, now); err == nil && good(other) {
				pair = other
				return nil
			}
		}
		return tx.SetSetting(name, text)
	})
	return pair, err
}

func openPair(s *seal.Sealer, name, text string) (pki.KeyPair, error) {
	var pair pki.KeyPair
	sealed, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return pair, fmt.Errorf("%s: %w", name, err)
	}
	plain, err := s.Open(name, sealed)
	if err != nil {
		return pair, fmt.Errorf("%s: %w: is this the seal.key that belongs to this database?", name, err)
	}
	if err := json.Unmarshal(plain, &pair); err != nil {
		return pair, fmt.Errorf("%s: %w", name, err)
	}
	return pair, nil
}

// authority returns one of the installation's authorities.
func authority(ctx context.Context, db *store.DB, s *seal.Sealer, name, subject string, now func() time.Time) (*pki.Authority, error) {
	pair, err := sealedPair(ctx, db, s, name,
		func(p pki.KeyPair) bool {
			a, err := pki.ParseAuthority(p)
			return err == nil && a.NotAfter().After(now().Add(pki.MaxServerLife))
		},
		func() (pki.KeyPair, error) {
			a, err := pki.NewAuthority(subject, now(), authorityLife)
			if err != nil {
				return pki.KeyPair{}, err
			}
			return a.Pair(), nil
		})
	if err != nil {
		return nil, err
	}
	return pki.ParseAuthority(pair)
}

// servingCertificate is the certificate of the listeners. It is renewed while the server runs.
type servingCertificate struct {
	db        *store.DB
	sealer    *seal.Sealer
	authority *pki.Authority
	hosts     []string
	now       func() time.Time
	current   atomic.Pointer[tls.Certificate]
}

// refresh loads the certificate, and makes a new one when two thirds of its life are over or its hosts changed.
func (c *servingCertificate) refresh(ctx context.Context) error {
	pair, err := sealedPair(ctx, c.db, c.sealer, "tls:listeners",
		func(p pki.KeyPair) bool { return !pki.NeedsRenewal(p, c.hosts, c.now()) && c.authority.Issued(p) },
		func() (pki.KeyPair, error) {
			return c.authority.Issue(pki.Template{
				// OpenSSL compares names without case: one that is the authority's would look self-signed.
				CommonName: "Keyreeve server", Hosts: c.hosts, Use: pki.Server, Now: c.now(), Life: pki.MaxServerLife,
			})
		})
	if err != nil {
		return err
	}
	cert, err := tls.X509KeyPair([]byte(pair.Cert), []byte(pair.Key))
	if err != nil {
		return fmt.Errorf("tls:listeners: %w", err)
	}
	c.current.Store(&cert)
	return nil
}

func (c *servingCertificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.current.Load(), nil
}
