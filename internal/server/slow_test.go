package server

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener whose connections are in memory, so that time can be moved.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}
func (p pipes) Close() error   { close(p.closed); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// TestSlowClients holds how long one that dawdles is waited for: with its header, with its body, and with reading the answer.
// Others are answered meanwhile.
func TestSlowClients(t *testing.T) {
	const dawdle = 3 * time.Second
	for name, test := range map[string]struct {
		begin, more string
		reads       bool
		atMost      time.Duration
	}{
		"header": {"GET / HTTP/1.1\r\nHost: x\r\nX-Long: ", "a", true, 10*time.Second + dawdle},
		"body":   {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n", "a", true, 60*time.Second + dawdle},
		"answer": {"GET /big HTTP/1.1\r\nHost: x\r\n\r\n", "", false, 120*time.Second + dawdle},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				on := pipes{make(chan net.Conn), make(chan struct{})}
				ended := make(chan error, 1)
				handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_, err := io.Copy(io.Discard, r.Body)
					if r.URL.Path == "/big" {
						_, err = w.Write(make([]byte, 1<<20))
					}
					if err != nil {
						panic(http.ErrAbortHandler)
					}
				})
				go func() {
					ended <- serve(ctx, listener{name: "test", handler: handler}, on, slog.New(slog.DiscardHandler))
				}()
				dial := func() net.Conn {
					ours, theirs := net.Pipe()
					on.conns <- theirs
					return ours
				}
				began := time.Now()
				slow := dial()
				if _, err := io.WriteString(slow, test.begin); err != nil {
					t.Fatal(err)
				}
				honest := dial()
				go func() { _, _ = io.WriteString(honest, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") }()
				if text, err := io.ReadAll(honest); err != nil || !strings.HasPrefix(string(text), "HTTP/1.1 200") || time.Since(began) > time.Second {
					t.Errorf("another client waits: %v %q", err, text)
				}
				gone := make(chan struct{})
				go func() {
					defer close(gone)
					if test.reads {
						_, _ = io.Copy(io.Discard, slow)
						return
					}
					for { // a byte now and then
						if _, err := slow.Read(make([]byte, 1)); err != nil {
							return
						}
						<-time.After(dawdle)
					}
				}()
				for waiting := true; waiting; {
					select {
					case <-gone:
						waiting = false
					case <-time.After(dawdle):
						if test.more != "" {
							_ = slow.SetWriteDeadline(time.Now().Add(time.Second))
							_, _ = io.WriteString(slow, test.more)
						}
						if time.Since(began) > test.atMost {
							t.Errorf("it is still waited for after %s", time.Since(began))
							waiting = false
						}
					}
				}
				_ = slow.Close()
				cancel()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			})
		})
	}
}
