package kubehook

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
	"runtime/debug"
	"sync"
	"time"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
)

// acceptPause is the time between attempts to take a connection.
const acceptPause = 100 * time.Millisecond

// helloWithin is how long a connection may take to say what it is.
const helloWithin = 3 * time.Second

// ServeLine answers the questions of one embedded cluster's API server on a Unix socket until ctx ends. The socket stands
// for the cluster: whoever makes the listener lets nobody but this user's processes reach it. That the other side is one is
// checked once more.
func (h *Handler) ServeLine(ctx context.Context, cluster ident.ClusterID, l net.Listener) error {
	var all sync.WaitGroup
	defer all.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			// Too many open files, perhaps: it passes, and nobody else answers this cluster.
			h.Log.ErrorContext(ctx, "an API server could not connect", "face", "gate", "cluster", cluster.String(), "error", err)
			select {
			case <-time.After(acceptPause):
			case <-ctx.Done():
			}
			continue
		}
		all.Go(func() {
			defer func() { _ = c.Close() }()
			end := context.AfterFunc(ctx, func() { _ = c.Close() })
			defer end()
			if err := h.serveConn(cluster, c); err != nil && ctx.Err() == nil {
				h.Log.WarnContext(ctx, "the line to an API server ended", "face", "gate", "cluster", cluster.String(), "error", err)
			}
		})
	}
}

// errStranger says that a process of another user is at the other end.
var errStranger = errors.New("the other side is not a process of this user")

// serveConn answers one connection until its other side closes it. Questions that arrive together are answered together.
func (h *Handler) serveConn(cluster ident.ClusterID, c net.Conn) error {
	if err := peerOf(c, os.Getuid()); err != nil {
		return err
	}
	slow := time.AfterFunc(helloWithin, func() { _ = c.Close() })
	defer slow.Stop()
	in := bufio.NewReaderSize(c, 32<<10)
	var hello [len(lineHello)]byte
	if _, err := io.ReadFull(in, hello[:]); err != nil {
		return fmt.Errorf("greet: %w", err)
	}
	if string(hello[:]) != lineHello {
		return errors.New("the API server speaks another version of the line")
	}
	if _, err := io.WriteString(c, lineHello); err != nil {
		return fmt.Errorf("greet: %w", err)
	}
	slow.Stop()
	var body, out []byte
	for {
		var head [4]byte
		if _, err := io.ReadFull(in, head[:]); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read a question: %w", err)
		}
		n := int(binary.BigEndian.Uint32(head[:]))
		if n < 4 || n > largestFrame {
			return fmt.Errorf("a question of %d bytes", n)
		}
		if cap(body) < n || cap(body) > largestKept {
			body = make([]byte, n, max(n, 2<<10))
		}
		body = body[:n]
		if _, err := io.ReadFull(in, body); err != nil {
			return fmt.Errorf("read a question: %w", err)
		}
		out = h.answerFrame(out, cluster, binary.BigEndian.Uint32(body), string(body[4:]))
		if in.Buffered() > 0 && len(out) < largestKept {
			continue // more questions are here already: one write for all
		}
		if _, err := c.Write(out); err != nil {
			return fmt.Errorf("answer: %w", err)
		}
		if out = out[:0]; cap(out) > 2*largestKept {
			out = nil
		}
	}
}

// answerFrame appends the answer to one question.
func (h *Handler) answerFrame(out []byte, cluster ident.ClusterID, id uint32, text string) (answered []byte) {
	from := len(out)
	defer func() {
		if p := recover(); p != nil {
			h.Log.Error("panic in the line", "face", "gate", "panic", p, "stack", string(debug.Stack()))
			answered = appendAnswer(out[:from], id, verdictUnknown, unknown().Public)
		}
	}()
	start := h.Now()
	ctx := context.Background()
	log := func(level slog.Level, reference ident.GUID, more func() []slog.Attr) {
		if h.Log.Enabled(ctx, level) {
			h.Log.LogAttrs(ctx, level, "question", append([]slog.Attr{
				slog.String("face", "gate"), slog.Duration("took", h.Now().Sub(start)), slog.String("requestId", reference.String()),
			}, more()...)...)
		}
	}
	snap, err := h.snapshot(cluster)
	var q question
	if err == nil {
		if q, err = readFrame(text); err != nil {
			err = fault.New(fault.Invalid, "", "The question cannot be read.").Because(err)
		}
	}
	var a answer
	if err == nil {
		if a = h.decide(&snap, &q); a.verdict == verdictUnknown {
			err = unknown()
		}
	}
	if err != nil {
		log(slog.LevelInfo, ident.New[ident.GUID](), func() []slog.Attr {
			return []slog.Attr{slog.String("cluster", cluster.String()), slog.String("error", fault.As(err).Error())}
		})
		return appendAnswer(out, id, verdictUnknown, fault.As(err).Public)
	}
	level, reason := slog.LevelDebug, ""
	var reference ident.GUID
	switch a.verdict {
	case verdictAllow:
		reason = h.allowText(&snap, &a)
	case verdictDeny:
		reference = ident.New[ident.GUID]()
		level, reason = slog.LevelInfo, denyText(&a, reference)
	case verdictNoOpinion, verdictUnknown:
	}
	log(level, reference, func() []slog.Attr { return describe(&snap, &q, &a) })
	return appendAnswer(out, id, a.verdict, reason)
}
