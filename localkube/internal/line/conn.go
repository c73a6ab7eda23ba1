package line

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	firstPause = 10 * time.Millisecond
	longPause  = 500 * time.Millisecond
	// greetWithin bounds connecting and greeting.
	greetWithin = 3 * time.Second
)

var (
	errLost    = errors.New("the connection ended before the answer")
	errTimeout = errors.New("no answer in time")
	errNobody  = errors.New("nobody listens")
)

// conn is one connection, made anew whenever it ends.
type conn struct {
	socket string
	log    *slog.Logger

	mu sync.Mutex
	// up is nil while there is no connection; changed is closed when there is one.
	up      net.Conn
	changed chan struct{}
	pending map[uint32]chan answer
	id      uint32
	// out is what is to be written next, spare the buffer that was written last. Whoever finds nobody writing writes, for
	// everybody who came while it did.
	out, spare []byte
	writing    bool

	// waiters are channels for answers, reused when their one answer was taken.
	waiters sync.Pool
}

func newConn(socket string, log *slog.Logger) *conn {
	return &conn{socket: socket, log: log, changed: make(chan struct{}), pending: map[uint32]chan answer{}}
}

// ask sends a question and waits for its answer.
func (c *conn) ask(ctx context.Context, timeout <-chan time.Time, question []byte) answer {
	if err := c.connected(ctx, timeout); err != nil {
		return answer{err: err}
	}
	w, ok := c.waiters.Get().(chan answer)
	if !ok {
		w = make(chan answer, 1)
	}
	c.mu.Lock()
	if c.up == nil {
		c.mu.Unlock()
		c.waiters.Put(w)
		return answer{err: errLost}
	}
	c.id++
	id := c.id
	c.pending[id] = w
	from := len(c.out)
	c.out = append(c.out, question...)
	setID(c.out[from:], id)
	c.flush()

	select {
	case a := <-w:
		c.waiters.Put(w)
		return a
	case <-ctx.Done():
		c.forget(id)
		return answer{err: context.Cause(ctx)}
	case <-timeout:
		c.forget(id)
		return answer{err: errTimeout}
	}
}

// forget stops waiting for an answer. Its channel is not reused: the answer may be on its way into it.
func (c *conn) forget(id uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pending, id)
}

// connected waits until there is a connection.
func (c *conn) connected(ctx context.Context, timeout <-chan time.Time) error {
	c.mu.Lock()
	up, changed := c.up != nil, c.changed
	c.mu.Unlock()
	if up {
		return nil
	}
	soon := time.NewTimer(connectWithin)
	defer soon.Stop()
	select {
	case <-changed:
		return nil
	case <-soon.C:
		return errNobody
	case <-timeout:
		return errTimeout
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// flush writes what is to be written, unless somebody is at it. The lock is held, and is let go of.
func (c *conn) flush() {
	if c.writing {
		c.mu.Unlock()
		return
	}
	c.writing = true
	for len(c.out) > 0 && c.up != nil {
		b, up := c.out, c.up
		c.out = c.spare[:0]
		c.mu.Unlock()
		_ = up.SetWriteDeadline(time.Now().Add(Timeout))
		if _, err := up.Write(b); err != nil {
			_ = up.Close() // the reader sees to the rest
		}
		c.mu.Lock()
		if c.spare = b; cap(b) > largestKept {
			c.spare = nil
		}
	}
	c.writing = false
	c.mu.Unlock()
}

// run keeps the connection up until ctx ends.
func (c *conn) run(ctx context.Context) {
	pause := firstPause
	for told := false; ctx.Err() == nil; {
		up, in, err := c.dial(ctx)
		if err == nil {
			if told {
				c.log.InfoContext(ctx, "the authorizer is there again")
			}
			told, pause = false, firstPause
			err = c.serve(ctx, up, in)
		}
		if ctx.Err() != nil {
			return
		}
		if !told {
			c.log.WarnContext(ctx, "the authorizer cannot be asked", "error", err)
			told = true
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(2*pause, longPause)
	}
}

// dial connects, checks who is at the other end and greets.
func (c *conn) dial(ctx context.Context) (net.Conn, *bufio.Reader, error) {
	ctx, cancel := context.WithTimeout(ctx, greetWithin)
	defer cancel()
	up, err := (&net.Dialer{}).DialContext(ctx, "unix", c.socket)
	if err != nil {
		return nil, nil, fmt.Errorf("connect: %w", err)
	}
	in, err := greet(up)
	if err != nil {
		return nil, nil, errors.Join(err, up.Close())
	}
	return up, in, nil
}

func greet(up net.Conn) (*bufio.Reader, error) {
	if err := peerOf(up, os.Getuid()); err != nil {
		return nil, err
	}
	if err := up.SetDeadline(time.Now().Add(greetWithin)); err != nil {
		return nil, fmt.Errorf("greet: %w", err)
	}
	if _, err := io.WriteString(up, hello); err != nil {
		return nil, fmt.Errorf("greet: %w", err)
	}
	in := bufio.NewReaderSize(up, 32<<10)
	var back [len(hello)]byte
	if _, err := io.ReadFull(in, back[:]); err != nil {
		return nil, fmt.Errorf("greet: %w", err)
	}
	if string(back[:]) != hello {
		return nil, errors.New("greet: it speaks another version")
	}
	return in, up.SetDeadline(time.Time{})
}

// peerOf checks that a process of a user listens.
func peerOf(c net.Conn, uid int) error {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return errors.New("not a Unix socket")
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return fmt.Errorf("who listens: %w", err)
	}
	var cred *syscall.Ucred
	var failed error
	if err := raw.Control(func(fd uintptr) {
		cred, failed = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil {
		return fmt.Errorf("who listens: %w", err)
	}
	if failed != nil {
		return fmt.Errorf("who listens: %w", failed)
	}
	if int(cred.Uid) != uid {
		return errors.New("who listens is not a process of this user")
	}
	return nil
}

// serve hands out answers until the connection ends.
func (c *conn) serve(ctx context.Context, up net.Conn, in *bufio.Reader) error {
	c.mu.Lock()
	c.up = up
	close(c.changed)
	c.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { _ = up.Close() })
	defer stop()
	err := c.receive(in)
	_ = up.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.up, c.out = nil, nil
	c.changed = make(chan struct{})
	for id, w := range c.pending {
		delete(c.pending, id)
		w <- answer{err: errLost}
	}
	return err
}

func (c *conn) receive(in *bufio.Reader) error {
	var frame []byte
	for {
		var head [4]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return fmt.Errorf("read an answer: %w", err)
		}
		n := int(binary.BigEndian.Uint32(head[:]))
		if n > largestAnswer {
			return fmt.Errorf("an answer of %d bytes", n)
		}
		if cap(frame) < n || cap(frame) > largestKept {
			frame = make([]byte, n, max(n, 1<<10))
		}
		frame = frame[:n]
		if _, err := io.ReadFull(in, frame); err != nil {
			return fmt.Errorf("read an answer: %w", err)
		}
		id, a, err := readAnswer(frame)
		if err != nil {
			return err
		}
		c.mu.Lock()
		w, ok := c.pending[id]
		delete(c.pending, id)
		c.mu.Unlock()
		if ok {
			w <- a
		}
	}
}
