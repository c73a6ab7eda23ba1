package server

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/keyreeve/keyreeve/internal/datadir"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/seal"
	"github.com/keyreeve/keyreeve/internal/store"
)

// FirstAdministrator says how `keyreeve init` should make the first tenant.
type FirstAdministrator struct {
	// Domain is the tenant's first domain; UserName the administrator's name in it.
	Domain, UserName string
	// Password is the administrator's; empty makes a strong one, which Prepare learns.
	Password string
	// PasswordGrant lets the Azure CLI and AKS client applications use the password grant, for scripts.
	PasswordGrant bool
	// Prepare, if set, is given the sign-in before it is good.
	Prepare func(datadir.InitialAdmin) error
}

// Init makes the sealing key if there is none, brings the database to the newest migration, and makes the first tenant. It
// reports false when the database has a tenant already, and then changes nothing.
func Init(ctx context.Context, cfg Config, who FirstAdministrator) (bool, error) {
	r, err := cfg.resolve()
	if err != nil {
		return false, err
	}
	c := cfg.Serve
	if err := r.Data.Make(); err != nil {
		return false, err
	}
	opt, err := storeOptions(c, cfg.Now)
	if err != nil {
		return false, err
	}
	db, err := store.Open(ctx, opt)
	if err != nil {
		return false, err
	}
	defer func() { _ = db.Close() }()
	there, err := hasTenant(ctx, db)
	if err != nil {
		return false, err
	}
	if there {
		// A new key would not open what is sealed in the database.
		_, err := seal.LoadFile(c.SealKeyFile)
		return false, err
	}
	if _, err := seal.LoadOrCreateFile(c.SealKeyFile); err != nil {
		return false, err
	}
	if who.Password == "" {
		who.Password = proof.NewPassword()
	}
	e := r.endpoints()
	f := first{domain: directory.Fold(who.Domain), user: who.UserName, password: who.Password}
	if who.PasswordGrant {
		f.passwordGrant = []ident.ClientID{directory.AzureCLI(), directory.AKSClient()}
	}
	prepare := who.Prepare
	if prepare == nil {
		prepare = func(datadir.InitialAdmin) error { return nil }
	}
	err = f.make(ctx, db, directory.NewCatalog(e.ARM, e.Graph), cfg.Now(), prepare)
	if errors.Is(err, errTenantThere) {
		return false, nil
	}
	return err == nil, err
}

// Kept is a database and the key that its secrets are sealed with.
type Kept struct {
	Options     store.Options
	SealKeyFile string
}

// KeptBy is what a configuration names.
func KeptBy(cfg Config) (Kept, error) {
	opt, err := storeOptions(cfg.Serve, cfg.Now)
	return Kept{opt, cfg.Serve.SealKeyFile}, err
}

// KeptIn is what a data folder of `keyreeve up` holds.
func KeptIn(cfg Config) (Kept, error) {
	if _, err := os.Stat(cfg.Data.Database()); err != nil {
		return Kept{}, fmt.Errorf("%s holds no Keyreeve: %w", cfg.Data, err)
	}
	return Kept{store.Options{Path: cfg.Data.Database(), Now: cfg.Now}, cfg.Data.SealKey()}, nil
}

// sealCheckName and sealCheckText are what a backup has sealed, to tell later whether a key is the right one.
const sealCheckName, sealCheckText = "backup", "keyreeve"

// Backup writes one consistent state of a database to a new file, while others read and write it.
func (k Kept) Backup(ctx context.Context, path string) (h store.BackupHeader, err error) {
	sealer, err := seal.LoadFile(k.SealKeyFile)
	if err != nil {
		return h, err
	}
	opt := k.Options
	opt.AsIs = true
	db, err := store.Open(ctx, opt)
	if err != nil {
		return h, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	// Aside first: a file of that name is a whole backup.
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return h, fmt.Errorf("backup: %w", err)
	}
	defer func() { _ = os.Remove(f.Name()) }()
	check := base64.StdEncoding.EncodeToString(sealer.Seal(sealCheckName, []byte(sealCheckText)))
	h, err = db.Backup(ctx, f, check)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return h, fmt.Errorf("backup: %w", err)
	}
	if err := os.Link(f.Name(), path); err != nil { // and not over another one
		return h, fmt.Errorf("backup: %w", err)
	}
	return h, nil
}

// Restore fills an empty database with a backup.
func (k Kept) Restore(ctx context.Context, r io.Reader) (store.BackupHeader, error) {
	sealer, err := seal.LoadFile(k.SealKeyFile)
	if err != nil {
		return store.BackupHeader{}, fmt.Errorf("put the sealing key of the backup in its place first: %w", err)
	}
	if k.Options.Path != "" {
		if err := os.MkdirAll(filepath.Dir(k.Options.Path), 0o700); err != nil {
			return store.BackupHeader{}, err
		}
	}
	return store.Restore(ctx, k.Options, r, func(h store.BackupHeader) error {
		raw, err := base64.StdEncoding.DecodeString(h.SealCheck)
		if err == nil {
			_, err = sealer.Open(sealCheckName, raw)
		}
		if err != nil {
			return fmt.Errorf("%s is not the key that the backup's secrets were sealed with: %w", k.SealKeyFile, err)
		}
		return nil
	})
}

// Check returns what is wrong with a configuration beyond its form: files that are missing, a database that does not
// answer. It changes nothing.
func Check(ctx context.Context, cfg Config) error {
	c := cfg.Serve
	var errs []error
	if _, err := seal.LoadFile(c.SealKeyFile); err != nil {
		errs = append(errs, fmt.Errorf("sealKeyFile: %w", err))
	}
	errs = append(errs, checkCertificates(c, cfg.Now())...)
	if c.ClientsDir != "" {
		if _, err := os.ReadDir(c.ClientsDir); err != nil {
			errs = append(errs, fmt.Errorf("clientsDir: %w", err))
		}
	}
	opt, err := storeOptions(c, cfg.Now)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	if opt.Path != "" {
		if _, err := os.Stat(opt.Path); errors.Is(err, fs.ErrNotExist) {
			return errors.Join(append(errs, fmt.Errorf("database: %w: run `keyreeve init`", err))...)
		}
	}
	opt.AsIs = true
	db, err := store.Open(ctx, opt)
	if errors.Is(err, store.ErrEmpty) {
		return errors.Join(append(errs, errors.New("database: it is empty: run `keyreeve init`"))...)
	}
	if err != nil {
		return errors.Join(append(errs, fmt.Errorf("database: %w", err))...)
	}
	defer func() { _ = db.Close() }()
	there, err := hasTenant(ctx, db)
	if err != nil {
		errs = append(errs, fmt.Errorf("database: %w", err))
	} else if !there {
		errs = append(errs, errors.New("database: it holds no tenant: run `keyreeve init`"))
	}
	return errors.Join(errs...)
}

// ReadPassword reads a password from a file that nobody else may read; a line's end at the end is not part of it.
func ReadPassword(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("password: %w", err)
	}
	password := strings.TrimRight(string(text), "\r\n")
	if len(password) < 8 || len(password) > 256 {
		return "", fmt.Errorf("password: %s must hold 8 to 256 characters", path)
	}
	return password, nil
}

// WriteAdministrator writes the first administrator's sign-in to a new file, for its owner alone.
func WriteAdministrator(path string, a datadir.InitialAdmin) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("administrator's sign-in: %w", err)
	}
	enc := json.NewEncoder(f)
	enc.SetIndent("", "  ")
	return errors.Join(enc.Encode(a), f.Sync(), f.Close())
}
