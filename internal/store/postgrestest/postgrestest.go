// Package postgrestest starts real PostgreSQL servers on loopback, for tests: one that the tests of a binary share, with a
// database for each, and pairs of a primary and its standby.
//
// A server lives in a temporary folder, is no other process's business, and ends with the test binary, however that ends.
package postgrestest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver
)

// Server is a PostgreSQL server.
type Server struct {
	// Dir holds the server's data, and nothing else.
	Dir  string
	Port int

	bin  string
	as   *syscall.Credential
	opts []string
	cmd  *exec.Cmd
	tied io.Closer
	log  *os.File
}

// Bin returns the folder of PostgreSQL's programs.
func Bin() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err == nil && len(found) > 0 {
		slices.Sort(found)
		return filepath.Dir(found[len(found)-1]), nil
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	return "", errors.New("PostgreSQL is not installed: run `make clients`, or `scripts/clients.sh postgres`")
}

// unprivileged returns who the server runs as: PostgreSQL refuses root.
func unprivileged() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil //nolint:nilnil // as oneself
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid), NoSetGroups: true}, errors.Join(err1, err2)
	}
	return nil, errors.New("there is no user postgres or nobody to run PostgreSQL as")
}

// prepare makes an empty folder that the server's user owns, and finds a free port.
func prepare(parent string, opts []string) (*Server, error) {
	bin, err := Bin()
	if err != nil {
		return nil, err
	}
	as, err := unprivileged()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(parent, "keyreeve-pg-")
	if err != nil {
		return nil, err
	}
	s := &Server{Dir: dir, bin: bin, as: as, opts: opts}
	if as != nil {
		if err := os.Chown(dir, int(as.Uid), int(as.Gid)); err != nil {
			return nil, err
		}
	}
	var cfg net.ListenConfig
	l, err := cfg.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.Port = l.Addr().(*net.TCPAddr).Port
	return s, l.Close()
}

func (s *Server) data() string { return filepath.Join(s.Dir, "data") }

// run runs one of PostgreSQL's programs to its end.
func (s *Server) run(name string, args ...string) error {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = s.Dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return nil
}

// Start makes a new server and waits until it answers. It ends with the test. opts are settings, name=value.
func Start(t testing.TB, opts ...string) *Server {
	t.Helper()
	s, err := start("", opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.end() })
	return s
}

func start(parent string, opts []string) (*Server, error) {
	s, err := prepare(parent, opts)
	if err != nil {
		return nil, err
	}
	err = s.run("initdb", "-D", s.data(), "-U", "postgres", "-A", "trust", "--no-sync", "--locale=C", "--encoding=UTF8", "--no-instructions")
	if err != nil {
		return nil, err
	}
	return s, s.Launch()
}

// Launch starts the server on the data it has, and waits until it answers.
func (s *Server) Launch() error {
	args := []string{
		"-D", s.data(), "-p", strconv.Itoa(s.Port), "-k", s.Dir, "-c", "listen_addresses=127.0.0.1",
		"-c", "max_connections=200", "-c", "shared_buffers=32MB", "-c", "max_wal_size=256MB",
	}
	for _, o := range s.opts {
		args = append(args, "-c", o)
	}
	// The shell stands between: when this process ends and its end of the pipe closes, it ends the server and removes it.
	const keeper = `"$@" & pid=$!; cat >/dev/null; kill -QUIT $pid; wait $pid; rm -rf "$0"`
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(s.Dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	cmd := exec.Command("/bin/sh", append([]string{"-c", keeper, s.Dir, filepath.Join(s.bin, "postgres")}, args...)...)
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = s.Dir, r, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as, Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	_ = r.Close()
	s.cmd, s.tied, s.log = cmd, w, log
	return s.await()
}

// await waits until the server answers.
func (s *Server) await() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	db, err := sql.Open("pgx", s.DSN("postgres"))
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := db.PingContext(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			text, _ := os.ReadFile(filepath.Join(s.Dir, "log"))
			return fmt.Errorf("PostgreSQL does not answer: %w: %s", err, text)
		case <-tick.C:
		}
	}
}

// DSN is the connection string of one of the server's databases.
func (s *Server) DSN(database string) string {
	return fmt.Sprintf("host=127.0.0.1 port=%d user=postgres dbname=%s sslmode=disable", s.Port, database)
}

// Kill ends the server and all its processes at once, as a loss of power would, and leaves its data.
func (s *Server) Kill() error {
	// The server makes process groups of its own for its children, which end when it does.
	if err := syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL); err != nil {
		return err
	}
	_ = s.cmd.Wait()
	// A process that nobody has waited for yet would still seem to hold these.
	_ = os.Remove(filepath.Join(s.data(), "postmaster.pid"))
	_ = os.Remove(filepath.Join(s.Dir, fmt.Sprintf(".s.PGSQL.%d.lock", s.Port)))
	return errors.Join(s.tied.Close(), s.log.Close())
}

// end stops the server and removes its data.
func (s *Server) end() {
	if s.cmd != nil && s.cmd.ProcessState == nil {
		_ = s.tied.Close()
		_ = s.cmd.Wait()
		_ = s.log.Close()
	}
	_ = os.RemoveAll(s.Dir)
}

// Standby makes a server that follows s, and waits until s counts on it: from then on s answers a commit when both have it
// on disk. It ends with the test.
func (s *Server) Standby(t testing.TB) *Server {
	t.Helper()
	b, err := s.standby(t.Context())
	if b != nil {
		t.Cleanup(b.end)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (s *Server) standby(ctx context.Context) (*Server, error) {
	b, err := prepare("", nil)
	if err != nil {
		return nil, err
	}
	err = b.run("pg_basebackup", "-D", b.data(), "-R", "-X", "stream", "--checkpoint=fast", "--no-sync",
		"-d", fmt.Sprintf("host=127.0.0.1 port=%d user=postgres application_name=standby", s.Port))
	if err != nil {
		return b, err
	}
	if err := b.Launch(); err != nil {
		return b, err
	}
	db, err := sql.Open("pgx", s.DSN("postgres"))
	if err != nil {
		return b, err
	}
	defer func() { _ = db.Close() }()
	for _, text := range []string{`ALTER SYSTEM SET synchronous_standby_names = 'standby'`, `SELECT pg_reload_conf()`} {
		if _, err := db.ExecContext(ctx, text); err != nil {
			return b, err
		}
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		var there bool
		err := db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync')`).Scan(&there)
		if err != nil || there {
			return b, err
		}
		select {
		case <-ctx.Done():
			return b, ctx.Err()
		case <-tick.C:
		}
	}
}

// Promote makes a standby a server that takes writes.
func (s *Server) Promote(ctx context.Context) error {
	db, err := sql.Open("pgx", s.DSN("postgres"))
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	_, err = db.ExecContext(ctx, `SELECT pg_promote()`)
	return err
}

// CreateDatabase makes a database in which texts are ordered by their bytes. Doing it again is no error.
func (s *Server) CreateDatabase(ctx context.Context, name string) error {
	db, err := sql.Open("pgx", s.DSN("postgres"))
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	var there bool
	if err := db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)`, name).Scan(&there); err != nil || there {
		return err
	}
	_, err = db.ExecContext(ctx, `CREATE DATABASE "`+name+`" TEMPLATE template0`)
	return err
}

// shared is one server for the tests of a binary: each would wait for its own otherwise.
var shared = sync.OnceValues(func() (*Server, error) {
	return start(memory(), []string{"fsync=off", "full_page_writes=off", "wal_level=minimal", "max_wal_senders=0", "autovacuum=off"})
})

// memory returns a folder in memory with room for a server, if there is one.
func memory() string {
	const folder, room = "/dev/shm", 512 << 20
	var fs syscall.Statfs_t
	if err := syscall.Statfs(folder, &fs); err != nil || uint64(fs.Bsize)*fs.Bavail < room {
		return ""
	}
	return folder
}

// Database returns a connection string of a part of its own (a schema, which is made faster than a database) on a server
// that the tests of this binary share. The same name is the same part. Nothing of it survives the tests, so the server
// does not wait for the disk.
func Database(t testing.TB, name string) string {
	t.Helper()
	s, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("pgx", s.DSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(t.Context(), `CREATE SCHEMA IF NOT EXISTS "`+name+`"`); err != nil {
		t.Fatal(err)
	}
	return s.DSN("postgres") + " search_path=" + name
}
