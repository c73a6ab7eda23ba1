// Package server builds a Keyreeve from its parts, starts them together and stops them in reverse.
//
//	data folder ─ seal ─ store ── feed ──► world
//	                       │                 │
//	           login   arm   graph         gate ◄── API servers of embedded clusters, gates of others
//
// It is the only room that knows all others. It makes no decision of theirs.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"

	"github.com/keyreeve/keyreeve/internal/datadir"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/gatehouse"
	"github.com/keyreeve/keyreeve/internal/keyring"
	"github.com/keyreeve/keyreeve/internal/memory"
	"github.com/keyreeve/keyreeve/internal/pki"
	"github.com/keyreeve/keyreeve/internal/seal"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/upkeep"
	"github.com/keyreeve/keyreeve/internal/world"
)

// Server is a Keyreeve that is built and not yet serving.
type Server struct {
	cfg     resolved
	log     *slog.Logger
	catalog *directory.Catalog
	db      *store.DB
	world   *world.World
	sealer  *seal.Sealer
	ring    *keyring.Ring
	keys    upkeep.Keys
	tls     *pki.Authority
	hooks   *pki.Authority
	serving *servingCertificate
	health  *health
	roster  gatehouse.Roster
	// closers run in reverse when the server ends, or when building it fails.
	closers []func() error
}

// Open makes the server of a data folder. It holds the folder until Run returns; no other process can open it meanwhile.
func Open(ctx context.Context, cfg Config) (_ *Server, err error) {
	r, err := cfg.resolve()
	if err != nil {
		return nil, err
	}
	e := r.endpoints()
	s := &Server{cfg: r, log: cfg.Log, catalog: directory.NewCatalog(e.ARM, e.Graph), ring: &keyring.Ring{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if err := s.openData(ctx); err != nil {
		return nil, err
	}
	if err := s.openAuthorities(ctx); err != nil {
		return nil, err
	}
	s.keys = upkeep.Keys{DB: s.db, Ring: s.ring, Sealer: s.sealer, Now: cfg.Now, Log: s.log.With("room", "upkeep"), ES256: r.ES256}
	if err := s.keys.Ensure(ctx); err != nil {
		return nil, fmt.Errorf("signing keys: %w", err)
	}
	return s, nil
}

// openData takes the data folder and opens what is in it.
func (s *Server) openData(ctx context.Context) error {
	dir := s.cfg.Data
	if err := dir.Make(); err != nil {
		return err
	}
	release, err := dir.Lock()
	if err != nil {
		return err
	}
	s.closers = append(s.closers, release)
	if s.cfg.Serve != nil {
		err = s.openServe(ctx)
	} else {
		err = s.openFolder(ctx)
	}
	if err != nil {
		return err
	}
	if s.world, err = world.New(); err != nil {
		return err
	}
	var applied error
	err = s.db.Follow(ctx, func(c feed.Change) {
		if err := s.world.Apply(c); err != nil {
			applied = err
			s.log.Error("the world cannot follow the store: decisions are unknown from now on", "error", err)
		}
	})
	if err = errors.Join(err, applied); err == nil {
		memory.Settle()
	}
	return err
}

// openFolder opens the database of a data folder, and fills a new one.
func (s *Server) openFolder(ctx context.Context) (err error) {
	dir := s.cfg.Data
	if err := dir.Fresh(); err != nil {
		return err
	}
	if s.sealer, err = s.openSeal(dir); err != nil {
		return err
	}
	if s.db, err = store.Open(ctx, store.Options{Path: dir.Database(), Now: s.cfg.Now}); err != nil {
		return err
	}
	s.closers = append(s.closers, s.db.Close)
	return bootstrap(ctx, s.db, dir, s.catalog, s.cfg.Now())
}

// openSeal reads the sealing key. It makes one only for a database that does not exist yet: a new key would not open
// what is sealed in an old one.
func (s *Server) openSeal(dir datadir.Dir) (*seal.Sealer, error) {
	if _, err := os.Stat(dir.Database()); err == nil {
		return seal.LoadFile(dir.SealKey())
	}
	return seal.LoadOrCreateFile(dir.SealKey())
}

// openAuthorities loads the authorities of the listeners and of the gate's clients.
func (s *Server) openAuthorities(ctx context.Context) (err error) {
	if s.tls, err = authority(ctx, s.db, s.sealer, "authority:listeners", "Keyreeve authority", s.cfg.Now); err != nil {
		return err
	}
	if s.hooks, err = authority(ctx, s.db, s.sealer, "authority:hooks", "Keyreeve gate clients", s.cfg.Now); err != nil {
		return err
	}
	if err := s.cfg.Data.WriteCA([]byte(s.tls.CertPEM())); err != nil {
		return err
	}
	s.serving = &servingCertificate{db: s.db, sealer: s.sealer, authority: s.tls, hosts: s.cfg.hosts, now: s.cfg.Now}
	return s.serving.refresh(ctx)
}

// close releases what Open took, in reverse.
func (s *Server) close() error {
	var err error
	for _, c := range slices.Backward(s.closers) {
		err = errors.Join(err, c())
	}
	s.closers = nil
	return err
}
