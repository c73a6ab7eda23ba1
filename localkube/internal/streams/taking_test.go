package streams

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"
)

// TestTakenConnection: a connection that was upgraded is closed when its right ends, by whatever question; and one that is to be
// upgraded after that is not.
func TestTakenConnection(t *testing.T) {
	for name, tt := range map[string]struct {
		verb, no string
		late     bool // the right ends before the upgrade
	}{
		"the request":           {"get", "alice get ", false},
		"create, of an upgrade": {"get", "alice create ", false},
		"by POST":               {"create", "alice create ", false},
		"before the upgrade":    {"get", "alice get ", true},
	} {
		t.Run(name, func(t *testing.T) {
			a := &answers{no: map[string]bool{}}
			w := &Watch{Authorizer: a, LongRunning: func(*http.Request, *request.RequestInfo) bool { return true }, Log: slog.New(slog.DiscardHandler)}
			end := func() {
				a.set(func() { a.no[tt.no] = true })
				w.Check(t.Context())
			}
			inner := w.Inner(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
				if tt.late {
					end()
				}
				c, _, err := rw.(http.Hijacker).Hijack()
				if (err != nil) != tt.late {
					t.Errorf("taking the connection: %v", err)
				}
				if err != nil {
					return
				}
				_, _ = io.WriteString(c, "taken\n")
				_, _ = io.Copy(io.Discard, c) // as a proxy: until the connection ends, whatever the context says
			}))
			server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				alice := &user.DefaultInfo{Name: "alice"}
				ctx := context.WithValue(r.Context(), holderKey{}, &holder{original: alice})
				ctx = request.WithUser(ctx, alice)
				ctx = request.WithRequestInfo(ctx, &request.RequestInfo{IsResourceRequest: true, Verb: tt.verb, APIVersion: "v1", Resource: "pods", Subresource: "exec"})
				inner.ServeHTTP(rw, r.WithContext(ctx))
			}))
			defer server.Close()
			c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			in := bufio.NewReader(c)
			line, err := in.ReadString('\n')
			if tt.late {
				if err == nil {
					t.Errorf("%q", line)
				}
				return
			}
			if line != "taken\n" {
				t.Fatalf("%q %v", line, err)
			}
			w.Check(t.Context())
			end()
			if err := c.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := in.ReadString('\n'); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the connection goes on: %v", err)
			}
		})
	}
}
