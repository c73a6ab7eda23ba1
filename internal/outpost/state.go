package outpost

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/keyreeve/keyreeve/internal/filelock"
	"github.com/keyreeve/keyreeve/internal/pki"
)

// state is the gate's folder.
type state string

func (s state) path(name string) string { return filepath.Join(string(s), name) }

// Files of the folder.
const (
	identityFile  = "identity.json"  // who this gate is to the control plane, with its key
	authorityFile = "authority.json" // vouches for this gate and its API server to each other
	servingFile   = "serving.json"
	journalFile   = "world.jsonl"
	heardFile     = "heard.json"
)

// identity is who a gate is to the control plane.
type identity struct {
	Cluster    string      `json:"cluster"`
	ResourceID string      `json:"resourceId"`
	Issuer     string      `json:"issuer"`
	Pair       pki.KeyPair `json:"pair"`
	NotAfter   time.Time   `json:"notAfter"`
}

// open makes the folder, for its owner alone, and takes it for this process.
func (s state) open() (release func() error, err error) {
	if err := os.MkdirAll(string(s), 0o700); err != nil {
		return nil, fmt.Errorf("gate: state: %w", err)
	}
	info, err := os.Stat(string(s))
	if err != nil {
		return nil, fmt.Errorf("gate: state: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("gate: state: %s may be read by others (mode %04o); chmod 700 it", s, info.Mode().Perm())
	}
	f, err := os.OpenFile(s.path("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("gate: state: %w", err)
	}
	if err := filelock.Try(f); err != nil {
		return nil, errors.Join(fmt.Errorf("gate: state: another gate uses %s: %w", s, err), f.Close())
	}
	return f.Close, nil
}

// read reads a JSON file of the folder, and reports whether it is there.
func (s state) read(name string, v any) (bool, error) {
	b, err := os.ReadFile(s.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("gate: state: %w", err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return false, fmt.Errorf("gate: state: %s cannot be read; move it away to begin anew", s.path(name))
	}
	return true, nil
}

func (s state) write(name string, v any, sync bool) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("gate: state: %w", err)
	}
	return replace(s.path(name), append(b, '\n'), 0o600, sync)
}

// replace writes a file whole or not at all.
func replace(path string, b []byte, mode fs.FileMode, sync bool) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("gate: %w", err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone after the rename
	_, err = f.Write(b)
	err = errors.Join(err, f.Chmod(mode))
	if sync {
		err = errors.Join(err, f.Sync())
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("gate: %w", err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("gate: %w", err)
	}
	return nil
}
