package store_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/store/postgrestest"
)

// The ways in which a cutter loses the answer to a commit.
const (
	passOn      = iota // it does not
	beforeIt           // the server never gets the commit
	afterIt            // the server has made it
	whileItRuns        // the client is cut off when the commit has been passed on; the server goes on
	forGood            // as afterIt, and nobody gets through any more
)

// cutter stands between a store and PostgreSQL and reads along.
type cutter struct {
	listener net.Listener
	server   string
	mode     atomic.Int32
	cuts     atomic.Int32
	wg       sync.WaitGroup
}

func newCutter(t *testing.T, dsn string) (*cutter, string) {
	t.Helper()
	port := regexp.MustCompile(`port=(\d+)`)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{listener: l, server: "127.0.0.1:" + port.FindStringSubmatch(dsn)[1]}
	c.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.wg.Go(func() { c.carry(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		c.wg.Wait()
	})
	return c, port.ReplaceAllString(dsn, fmt.Sprintf("port=%d", l.Addr().(*net.TCPAddr).Port))
}

// carry carries one connection until one side closes it, or until it is to be cut.
func (c *cutter) carry(client net.Conn) {
	defer func() { _ = client.Close() }()
	if c.mode.Load() == forGood && c.cuts.Load() > 0 {
		return
	}
	server, err := net.Dial("tcp", c.server)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	var swallow atomic.Bool // what the server says from now on
	answered := make(chan struct{})
	c.wg.Go(func() {
		buf := make([]byte, 64<<10)
		var seen []byte
		var once sync.Once
		for {
			n, err := server.Read(buf)
			if err != nil {
				_ = client.Close()
				once.Do(func() { close(answered) })
				return
			}
			if swallow.Load() {
				if seen = append(seen, buf[:n]...); bytes.Contains(seen, []byte("COMMIT\x00")) { // CommandComplete
					once.Do(func() { close(answered) })
				}
				continue
			}
			if _, err := client.Write(buf[:n]); err != nil {
				return
			}
		}
	})
	in := &frontend{from: client, statements: map[string]string{}}
	for {
		message, commits, err := in.next()
		if err != nil {
			return
		}
		mode := int32(passOn)
		if commits {
			mode = c.mode.Load()
		}
		switch mode {
		case beforeIt:
			c.cuts.Add(1)
			c.mode.Store(passOn)
			return
		case afterIt, whileItRuns, forGood:
			swallow.Store(true)
		}
		if _, err := server.Write(message); err != nil {
			return
		}
		if mode == passOn {
			continue
		}
		// The pipeline ends with a Sync, which makes the server answer.
		rest, _, err := in.next()
		for err == nil {
			if _, err = server.Write(rest); err != nil || rest[0] == 'S' {
				break
			}
			rest, _, err = in.next()
		}
		c.cuts.Add(1)
		if mode != forGood {
			c.mode.Store(passOn)
		}
		if mode == whileItRuns {
			_ = client.Close() // and the look-up may well be faster than the commit
		}
		<-answered
		return
	}
}

// frontend reads what a client sends to PostgreSQL, message by message.
type frontend struct {
	from       io.Reader
	started    bool
	statements map[string]string // by name
}

// next returns the next message, and whether it runs a commit.
func (f *frontend) next() ([]byte, bool, error) {
	head := make([]byte, 5)
	if !f.started {
		head = head[:4]
	}
	if _, err := io.ReadFull(f.from, head); err != nil {
		return nil, false, err
	}
	length := binary.BigEndian.Uint32(head[len(head)-4:])
	body := make([]byte, length-4)
	if _, err := io.ReadFull(f.from, body); err != nil {
		return nil, false, err
	}
	message := append(head, body...)
	if !f.started {
		f.started = true
		return message, false, nil
	}
	texts := strings.SplitN(string(body), "\x00", 3)
	switch head[0] {
	case 'P': // Parse: name, text
		f.statements[texts[0]] = texts[1]
	case 'B': // Bind: portal, name
		return message, strings.EqualFold(f.statements[texts[1]], "commit"), nil
	}
	return message, false, nil
}

// TestLostAnswer loses the connection at a commit, and holds the store to telling the truth about every write in it.
func TestLostAnswer(t *testing.T) {
	for _, row := range []struct {
		name string
		mode int32
		want error // nil: the writes were made
	}{
		{"before it", beforeIt, store.ErrAway},
		{"after it", afterIt, nil},
		{"while it runs", whileItRuns, nil},
		{"for good", forGood, store.ErrInDoubt},
	} {
		t.Run(row.name, func(t *testing.T) {
			direct := postgrestest.Database(t, "lost_answer_"+strings.ReplaceAll(row.name, " ", "_"))
			c, dsn := newCutter(t, direct)
			r := newReplica(t, store.Options{Postgres: dsn, WriteTimeout: 3 * time.Second})
			if _, err := r.db.Update(t.Context(), func(tx *store.Tx) error { return tx.PutTenant(directory.Tenant{ID: crashTenant()}) }); err != nil {
				t.Fatal(err)
			}
			c.mode.Store(row.mode)
			const writers = 4
			errs := make([]error, writers)
			var wg sync.WaitGroup
			start := time.Now()
			for i := range writers {
				wg.Go(func() {
					u := directory.User{ID: ident.Derive[ident.ObjectID]("lost", fmt.Sprint(i)), Tenant: crashTenant(), UserPrincipalName: fmt.Sprintf("u%d@x", i)}
					var rev any
					rev, errs[i] = r.db.Update(t.Context(), func(tx *store.Tx) error { return tx.PutUser(u) })
					t.Log(rev, errs[i])
				})
			}
			wg.Wait()
			if c.cuts.Load() != 1 {
				t.Fatalf("%d cuts", c.cuts.Load())
			}
			if took := time.Since(start); took > 8*time.Second {
				t.Errorf("answered after %v", took)
			}
			judge(t, r, direct, row.want, errs)
		})
	}
}

// judge compares what the writers were told with what another process finds.
func judge(t *testing.T, r *replica, direct string, want error, errs []error) {
	t.Helper()
	other, err := store.Open(t.Context(), store.Options{Postgres: direct, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	failed := 0
	for i, told := range errs {
		err := other.View(t.Context(), func(tx *store.Tx) error {
			_, err := tx.User(ident.Derive[ident.ObjectID]("lost", fmt.Sprint(i)))
			return err
		})
		if told != nil {
			failed++
			if !fault.Is(told, fault.Unavailable) {
				t.Errorf("write %d: %v", i, told)
			}
		}
		switch {
		case errors.Is(told, store.ErrInDoubt): // nobody was told anything
		case (told == nil) != (err == nil):
			t.Errorf("write %d was told %v, and there is %v", i, told, err)
		}
		if want == nil && told != nil || want != nil && told != nil && !errors.Is(told, want) {
			t.Errorf("write %d: got %v, want %v", i, told, want)
		}
		if !errors.Is(want, store.ErrInDoubt) && errors.Is(told, store.ErrInDoubt) {
			t.Errorf("write %d: the outcome could be known", i)
		}
	}
	if want != nil && failed == 0 {
		t.Error("no write met the cut")
	}
	if !errors.Is(want, store.ErrInDoubt) { // and on it goes
		rev, err := r.db.Update(t.Context(), putSetting)
		if err != nil {
			t.Fatal(err)
		}
		r.await(t, rev)
		r.whole(t)
	}
}
