package embedded

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// folder holds what belongs to one cluster:
//
//	data/            localkube's own
//	audit/           the API server's audit log, audit.log, and those before it
//	localkube.log    what the process that runs says; .1 is what the one before said
//	process.json     which process runs, for the control plane that comes after this one
type folder string

func (f folder) data() string   { return filepath.Join(string(f), "data") }
func (f folder) audit() string  { return filepath.Join(string(f), "audit", "audit.log") }
func (f folder) log() string    { return filepath.Join(string(f), "localkube.log") }
func (f folder) record() string { return filepath.Join(string(f), "process.json") }

// record says which process was started for a cluster, so that it is found again.
type record struct {
	PID int `json:"pid"`
	// Started is the process's start in ticks since the machine's, from /proc: with the PID it names a process for good.
	Started string `json:"started"`
	Socket  string `json:"socket"`
	// Folder tells the folder that the process was started for from a copy of it.
	Folder string `json:"folder"`
	// Setup is a digest of what a running process cannot take over: whom it asks, where it listens, which program it is.
	Setup string `json:"setup"`
}

func (f folder) readRecord() record {
	var r record
	b, err := os.ReadFile(f.record())
	if err != nil || json.Unmarshal(b, &r) != nil {
		return record{} // none, or cut off by a crash: the socket tells
	}
	if r.Folder != f.identity() {
		return record{} // a copy of another folder: the process is that one's
	}
	return r
}

// identity tells a folder from its copies: its place on the file system. A folder that was moved keeps it.
func (f folder) identity() string {
	info, err := os.Stat(string(f))
	if err != nil {
		return ""
	}
	return placeOf(info)
}

func (f folder) writeRecord(r record) error {
	r.Folder = f.identity()
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("record of process: %w", err)
	}
	tmp := f.record() + ".new"
	if err := os.WriteFile(tmp, append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("record of process: %w", err)
	}
	if err := os.Rename(tmp, f.record()); err != nil {
		return fmt.Errorf("record of process: %w", err)
	}
	return nil
}

// running returns the recorded process if it is still the same one.
func (r record) running() (*os.Process, bool) {
	if r.PID <= 0 || r.Started == "" || startedTicks(r.PID) != r.Started {
		return nil, false
	}
	p, err := os.FindProcess(r.PID)
	return p, err == nil
}

// startedTicks returns the start of a process as /proc tells it: the 22nd field of stat. It is empty where there is no
// such process, or no /proc.
func startedTicks(pid int) string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	// The second field is the program's name in parentheses and may hold anything.
	i := bytes.LastIndexByte(b, ')')
	fields := bytes.Fields(b[i+1:])
	const state, start = 0, 19 // counted after the name
	if i < 0 || len(fields) <= start || string(fields[state]) == "Z" {
		return ""
	}
	return string(fields[start])
}

// Bounds of a log.
const (
	logLimit = 16 << 20 // bytes at which it is cut
	logKeep  = 1 << 20  // bytes that go to the old log then
)

// openLog begins a new log; the one before is kept under another name.
func (f folder) openLog() (*os.File, error) {
	if err := os.Rename(f.log(), f.log()+".1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("log: %w", err)
	}
	file, err := os.OpenFile(f.log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	return file, nil
}

// boundLog cuts a log that has grown too long. The process appends, so that what it writes next begins the file anew.
func (f folder) boundLog() error {
	info, err := os.Stat(f.log())
	if err != nil || info.Size() <= logLimit {
		return nil //nolint:nilerr // no log, nothing to bound
	}
	tail, err := f.tail(logKeep)
	if err != nil {
		return err
	}
	if err := os.WriteFile(f.log()+".1", tail, 0o600); err != nil {
		return fmt.Errorf("log: %w", err)
	}
	if err := os.Truncate(f.log(), 0); err != nil {
		return fmt.Errorf("log: %w", err)
	}
	return nil
}

// tail returns the last bytes of the log.
func (f folder) tail(most int64) ([]byte, error) {
	file, err := os.Open(f.log())
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	b, err := io.ReadAll(io.NewSectionReader(file, max(0, info.Size()-most), most))
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	return b, nil
}

// lastWords returns the last line of the log, for an error text.
func (f folder) lastWords() string {
	b, err := f.tail(2 << 10)
	if err != nil {
		return ""
	}
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	return string(lines[len(lines)-1])
}

// maxSocketPath is what every Unix can bind.
const maxSocketPath = 103

// socketDir makes the folder for control sockets, short of name and for this user alone.
func socketDir() (string, error) {
	dir := filepath.Join(os.TempDir(), "keyreeve-"+strconv.Itoa(os.Getuid()))
	if run := os.Getenv("XDG_RUNTIME_DIR"); run != "" && len(run) < 60 {
		dir = filepath.Join(run, "keyreeve")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("folder of control sockets: %w", err)
	}
	// In a folder that all may write, somebody else may have been there first.
	info, err := os.Lstat(dir)
	if err != nil {
		return "", fmt.Errorf("folder of control sockets: %w", err)
	}
	if !info.IsDir() || !isOwn(info) || info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("folder of control sockets: %s is not a private folder of this user", dir)
	}
	return dir, nil
}

// socketPath names a socket of a cluster: short, and another one for every data folder.
func socketPath(dir string, f folder, suffix string) (string, error) {
	abs, err := filepath.Abs(string(f))
	if err != nil {
		return "", fmt.Errorf("socket of cluster: %w", err)
	}
	sum := sha256.Sum256([]byte(abs))
	path := filepath.Join(dir, hex.EncodeToString(sum[:8])+suffix)
	if len(path) > maxSocketPath {
		return "", fmt.Errorf("socket of cluster: %s is longer than the %d bytes a socket's path may have", path, maxSocketPath)
	}
	return path, nil
}
