package kubelet

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// maxHeader bounds the header of a request to the responder.
const maxHeader = 16 << 10

// PortForward answers on a forwarded port: HTTP to who speaks HTTP, and to others what they send.
func (t *target) PortForward(ctx context.Context, _, _ string, port int32, stream io.ReadWriteCloser) error {
	stop := context.AfterFunc(ctx, func() { _ = stream.Close() })
	defer stop()
	what := fmt.Sprintf("port %d of pod %s/%s", port, t.pod.Namespace, t.pod.Name)
	in := bufio.NewReader(stream)
	if _, err := in.Peek(1); err != nil {
		return nil // who connects and says nothing is told nothing
	}
	begin, err := in.Peek(in.Buffered())
	if err != nil {
		return nil
	}
	c := &streamConn{Reader: in, ReadWriteCloser: stream}
	if speaksHTTP(string(begin)) {
		serveHTTP(c, responder(what))
		return nil
	}
	if _, err := io.WriteString(c, "keyreeve: "+what+" is pretended; what you send comes back\n"); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	_, err = io.Copy(c, in)
	return err
}

func speaksHTTP(s string) bool {
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
		if strings.HasPrefix(s, method+" ") {
			return true
		}
	}
	return false
}

// responder says what it is.
func responder(what string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		_, _ = fmt.Fprintf(w, "keyreeve: %s is pretended; nothing runs there. You asked: %s %s\n", what, r.Method, r.URL.EscapedPath()) //nolint:gosec // it is plain text
	})
}

// serveHTTP serves one connection to its end.
func serveHTTP(c net.Conn, h http.Handler) {
	l := &single{conn: c, closed: make(chan struct{})}
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: headerTimeout, MaxHeaderBytes: maxHeader,
		ConnState: func(_ net.Conn, s http.ConnState) {
			if s == http.StateClosed || s == http.StateHijacked {
				_ = l.Close()
			}
		},
	}
	_ = server.Serve(l) // it ends with its only connection
}

// single is a listener of one connection.
type single struct {
	conn   net.Conn
	once   sync.Once
	closed chan struct{}
	end    sync.Once
}

func (s *single) Accept() (net.Conn, error) {
	var c net.Conn
	s.once.Do(func() { c = s.conn })
	if c != nil {
		return c, nil
	}
	<-s.closed
	return nil, net.ErrClosed
}

func (s *single) Close() error {
	s.end.Do(func() { close(s.closed) })
	return nil
}

func (s *single) Addr() net.Addr { return s.conn.LocalAddr() }

// streamConn is a stream that net/http takes for a connection.
type streamConn struct {
	io.Reader
	io.ReadWriteCloser
}

func (c *streamConn) Read(p []byte) (int, error) { return c.Reader.Read(p) }

func (*streamConn) LocalAddr() net.Addr  { return pretendAddr{} }
func (*streamConn) RemoteAddr() net.Addr { return pretendAddr{} }

// A stream has no deadlines; it ends with the connection that carries it.
func (*streamConn) SetDeadline(time.Time) error      { return errors.ErrUnsupported }
func (*streamConn) SetReadDeadline(time.Time) error  { return errors.ErrUnsupported }
func (*streamConn) SetWriteDeadline(time.Time) error { return errors.ErrUnsupported }

type pretendAddr struct{}

func (pretendAddr) Network() string { return "pretend" }
func (pretendAddr) String() string  { return "pretended" }
