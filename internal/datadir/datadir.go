// Package datadir owns the data folder of an installation: which file is where, who may read it, and that one process
// at a time serves it.
//
// It knows the files' names and forms, and nothing of what the server does with them.
package datadir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/filelock"
)

// Dir is a data folder.
type Dir string

// Default returns the data folder of this user: $XDG_DATA_HOME/keyreeve, or ~/.local/share/keyreeve.
func Default() (Dir, error) {
	if d := os.Getenv("KEYREEVE_DATA"); d != "" {
		return Dir(d), nil
	}
	if d := os.Getenv("XDG_DATA_HOME"); d != "" {
		return Dir(filepath.Join(d, "keyreeve")), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("no home folder: name a data folder with --data: %w", err)
	}
	return Dir(filepath.Join(home, ".local", "share", "keyreeve")), nil
}

// Paths below the folder.
func (d Dir) path(elem ...string) string {
	return filepath.Join(append([]string{string(d)}, elem...)...)
}

// Database is the SQLite file.
func (d Dir) Database() string { return d.path("keyreeve.db") }

// SealKey is the file with the key that seals secrets in the database.
func (d Dir) SealKey() string { return d.path("seal.key") }

// CA is the certificate authority of the listeners, PEM; it may be read by everyone.
func (d Dir) CA() string { return d.path("ca.pem") }

// InitialAdmin is the file with the first administrator's sign-in.
func (d Dir) InitialAdmin() string { return d.path("initial-admin.json") }

// EndpointsFile says where the listeners are.
func (d Dir) EndpointsFile() string { return d.path("endpoints.json") }

// Brand says how the sign-in pages show whose they are; it need not be there.
func (d Dir) Brand() string { return d.path("brand.json") }

// Clusters holds a folder for each embedded cluster.
func (d Dir) Clusters() string { return d.path("clusters") }

// Recoveries is the journal of emergency kubeconfigs, one JSON object a line.
func (d Dir) Recoveries() string { return d.path("recoveries.jsonl") }

// Environment holds what `keyreeve env` sets up: configuration of az and kubectl that is apart from the person's own.
func (d Dir) Environment() string { return d.path("env") }

// Make creates the folder, for its owner alone.
func (d Dir) Make() error {
	if d == "" {
		return errors.New("data folder: no name given")
	}
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	info, err := os.Stat(string(d))
	if err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	// Who can write here can put another authority in place of ours.
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("data folder: %s may be written by others (mode %04o): chmod 700 it", d, info.Mode().Perm())
	}
	return nil
}

// Fresh says that a folder without a database holds nothing else of a Keyreeve either. A database that was lost must not
// be replaced by an empty one: clusters and the first administrator's sign-in would be overwritten.
func (d Dir) Fresh() error {
	info, err := os.Stat(d.Database())
	if err == nil && info.Size() > 0 {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("data folder: %w", err)
	}
	left := []string{d.InitialAdmin()}
	clusters, err := os.ReadDir(d.Clusters())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("data folder: %w", err)
	}
	if len(clusters) > 0 {
		left = append(left, d.Clusters())
	}
	for _, path := range left {
		if _, err := os.Stat(path); err == nil {
			return fmt.Errorf("data folder: %s is missing or empty, and %s is there: put the database back from a backup, or move %s away to start anew",
				d.Database(), path, d)
		}
	}
	return nil
}

// ErrServed says that another process serves the folder.
var ErrServed = errors.New("another keyreeve serves this data folder")

// Lock takes the folder for this process until release is called or the process ends.
func (d Dir) Lock() (release func() error, err error) {
	f, err := os.OpenFile(d.path("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	if err := filelock.Try(f); err != nil {
		holder, _ := os.ReadFile(d.path("lock"))
		_ = f.Close()
		if errors.Is(err, filelock.ErrTaken) {
			return nil, fmt.Errorf("%w: %s (process %s)", ErrServed, d, strings.TrimSpace(string(holder)))
		}
		return nil, fmt.Errorf("data folder: %w", err)
	}
	if err := errors.Join(f.Truncate(0), writeAt(f, fmt.Sprintf("%d\n", os.Getpid()))); err != nil {
		return nil, errors.Join(fmt.Errorf("data folder: %w", err), f.Close())
	}
	return f.Close, nil
}

func writeAt(f *os.File, text string) error {
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

// Endpoints are the base URLs of the listeners, without a trailing slash.
type Endpoints struct {
	Login string `json:"login"`
	ARM   string `json:"arm"`
	Graph string `json:"graph"`
}

// Endpoints reads where the listeners are.
func (d Dir) Endpoints() (Endpoints, error) {
	var e Endpoints
	err := readJSON(d.EndpointsFile(), &e)
	if errors.Is(err, fs.ErrNotExist) {
		return e, fmt.Errorf("%s holds no Keyreeve yet: start it with `keyreeve up --data %s`", d, d)
	}
	if err == nil && (!strings.HasPrefix(e.Login, "https://") || !strings.HasPrefix(e.ARM, "https://") || !strings.HasPrefix(e.Graph, "https://")) {
		return e, fmt.Errorf("%s is damaged: `keyreeve up --data %s` writes it anew", d.EndpointsFile(), d)
	}
	return e, err
}

// WriteEndpoints records where the listeners are.
func (d Dir) WriteEndpoints(e Endpoints) error { return writeJSON(d.EndpointsFile(), e, 0o644) }

// InitialAdmin is the sign-in of the first administrator.
type InitialAdmin struct {
	UserPrincipalName string `json:"userPrincipalName"`
	Password          string `json:"password"`
	TenantID          string `json:"tenantId"`
	SubscriptionID    string `json:"subscriptionId"`
}

// PrepareInitialAdmin writes the first administrator's sign-in beside its place. It goes there with
// PublishInitialAdmin once the database holds it, so a crash in between loses no password and shows no wrong one.
func (d Dir) PrepareInitialAdmin(a InitialAdmin) error {
	return writeJSON(d.InitialAdmin()+".new", a, 0o600)
}

// PublishInitialAdmin puts the prepared file in its place. If there is none, it does nothing.
func (d Dir) PublishInitialAdmin() error {
	err := os.Rename(d.InitialAdmin()+".new", d.InitialAdmin())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("data folder: %w", err)
	}
	return nil
}

// ReadInitialAdmin returns the first administrator's sign-in.
func (d Dir) ReadInitialAdmin() (InitialAdmin, error) {
	var a InitialAdmin
	return a, readJSON(d.InitialAdmin(), &a)
}

// WriteCA publishes the listeners' certificate authority.
func (d Dir) WriteCA(pem []byte) error { return writeFile(d.CA(), pem, 0o644) }

// Recovery is one line of the journal of emergency kubeconfigs.
type Recovery struct {
	At          time.Time `json:"at"`
	Cluster     string    `json:"cluster"` // cluster id
	ResourceID  string    `json:"resourceId"`
	Fingerprint string    `json:"fingerprint"`
	NotAfter    time.Time `json:"notAfter"`
	OSUser      string    `json:"osUser"`
	Reason      string    `json:"reason"`
}

// AppendRecovery writes down an emergency kubeconfig, on disk before it returns.
func (d Dir) AppendRecovery(r Recovery) error {
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("recoveries: %w", err)
	}
	f, err := os.OpenFile(d.Recoveries(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("recoveries: %w", err)
	}
	_, err = f.Write(append(line, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("recoveries: %w", err)
	}
	return nil
}

// RecoveriesAfter returns the journal's entries from the n-th on, and how many there are. A line that is cut off or
// damaged is returned as an entry with only a Reason, so that it is reported and not lost.
func (d Dir) RecoveriesAfter(n int) ([]Recovery, int, error) {
	text, err := os.ReadFile(d.Recoveries())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, n, nil
	}
	if err != nil {
		return nil, n, fmt.Errorf("recoveries: %w", err)
	}
	var out []Recovery
	count := 0
	for line := range strings.Lines(string(text)) {
		if !strings.HasSuffix(line, "\n") {
			break // still being written
		}
		count++
		if count <= n {
			continue
		}
		var r Recovery
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			r = Recovery{Reason: "unreadable entry in the journal of recoveries"}
		}
		out = append(out, r)
	}
	if count < n {
		return nil, count, fmt.Errorf("recoveries: the journal has %d entries and %d were read before: it was shortened", count, n)
	}
	return out, count, nil
}

func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("data folder: %s: %w", path, err)
	}
	return nil
}

func writeJSON(path string, v any, mode fs.FileMode) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	return writeFile(path, append(b, '\n'), mode)
}

// writeFile replaces a file whole or not at all.
func writeFile(path string, b []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone after the rename
	_, err = f.Write(b)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	return nil
}
