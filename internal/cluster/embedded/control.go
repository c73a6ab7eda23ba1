package embedded

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// control speaks the control API of a localkube process over its Unix socket.
type control struct{ socket string }

// callTimeout bounds a call that answers at once.
const callTimeout = 5 * time.Second

type controlStatus struct {
	Name       string    `json:"name"`
	PID        int       `json:"pid"`
	Generation int64     `json:"generation"`
	Phase      string    `json:"phase"`
	Ready      bool      `json:"ready"`
	StartedAt  time.Time `json:"startedAt"`
	Version    string    `json:"version"`
	Nodes      struct {
		Want  int `json:"want"`
		Ready int `json:"ready"`
	} `json:"nodes"`
}

func (c control) client() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", c.socket)
		},
	}}
}

func (c control) call(ctx context.Context, method, path string, body, into any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var payload io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("control %s: %w", path, err)
		}
		payload = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://localkube"+path, payload)
	if err != nil {
		return fmt.Errorf("control %s: %w", path, err)
	}
	resp, err := c.client().Do(req)
	if err != nil {
		return fmt.Errorf("control %s: %w", path, err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("control %s: %w", path, err)
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("control %s: %s: %s", path, resp.Status, bytes.TrimSpace(text))
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("control %s: %w", path, err)
	}
	return nil
}

func (c control) status(ctx context.Context) (controlStatus, error) {
	var s controlStatus
	return s, c.call(ctx, http.MethodGet, "/status", nil, &s)
}

func (c control) setNodes(ctx context.Context, nodes []specNode) error {
	return c.call(ctx, http.MethodPut, "/nodes", nodes, nil)
}

func (c control) stop(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/stop", nil, nil)
}

// alive holds a connection for as long as the process lives. ended is closed when it has ended, or when ctx has.
func (c control) alive(ctx context.Context) (ended <-chan struct{}, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localkube/alive", nil)
	if err != nil {
		return nil, fmt.Errorf("control /alive: %w", err)
	}
	resp, err := c.client().Do(req) //nolint:bodyclose // closed below, when the process has ended
	if err != nil {
		return nil, fmt.Errorf("control /alive: %w", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { _ = resp.Body.Close() }()
		_, _ = io.Copy(io.Discard, resp.Body) // ends with the process, whichever way
	}()
	return done, nil
}
