package kubelet

import (
	"bufio"
	"errors"
	"net"
	"net/http"
)

// watchedWriter hands out a connection that says when it has ended.
type watchedWriter struct {
	http.ResponseWriter
	ended func()
}

// Unwrap is for net/http.
func (w *watchedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Hijack takes the connection.
func (w *watchedWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	h, ok := w.ResponseWriter.(http.Hijacker)
	if !ok {
		return nil, nil, errors.New("the connection cannot be taken")
	}
	c, rw, err := h.Hijack()
	if err != nil {
		return nil, nil, err
	}
	return &watchedConn{Conn: c, ended: w.ended}, rw, nil
}

type watchedConn struct {
	net.Conn
	ended func()
}

func (c *watchedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil {
		c.ended()
	}
	return n, err
}

func (c *watchedConn) Close() error {
	c.ended()
	return c.Conn.Close()
}
