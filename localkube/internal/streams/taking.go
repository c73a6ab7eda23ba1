package streams

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"sync"

	"k8s.io/apiserver/pkg/endpoints/responsewriter"
)

// taking notes the connection that a handler takes from the HTTP server, so that it can be closed.
type taking struct {
	http.ResponseWriter

	mu     sync.Mutex
	conn   net.Conn
	closed bool
}

var (
	_ responsewriter.UserProvidedDecorator = (*taking)(nil)
	_ http.Hijacker                        = (*taking)(nil)
)

// Unwrap is for the writers around this one.
func (t *taking) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// Hijack hands the connection out. One that is to be closed already is.
func (t *taking) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	h, ok := t.ResponseWriter.(http.Hijacker)
	if !ok {
		return nil, nil, errors.New("the connection cannot be taken")
	}
	c, rw, err := h.Hijack()
	if err != nil {
		return nil, nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		_ = c.Close()
		return nil, nil, errors.New("the right to this stream has ended")
	}
	t.conn = c
	return c, rw, nil
}

// close closes the connection if it was taken, and keeps it from being taken later.
func (t *taking) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	if t.conn != nil {
		_ = t.conn.Close()
	}
}
