package harness

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Gate is a running `keyreeve gate`.
type Gate struct {
	// Config is its gate.yaml, Health the address of its health endpoints.
	Config, Health string

	t    testing.TB
	cmd  *exec.Cmd
	done chan struct{}
	log  *logBuffer
}

// NewGate is a gate that is not started yet. It is stopped at the end of the test.
func NewGate(t testing.TB, config, health string) *Gate {
	t.Helper()
	g := &Gate{Config: config, Health: health, t: t, log: &logBuffer{}}
	t.Cleanup(func() {
		g.Stop()
		if t.Failed() {
			t.Logf("log of the gate:\n%s", g.log.tail())
		}
	})
	return g
}

// Start starts the process and waits until it answers.
func (g *Gate) Start() {
	g.t.Helper()
	cmd := exec.Command(Program(g.t, "keyreeve"), "gate", "--config", g.Config)
	cmd.Stderr = g.log
	out, err := cmd.StdoutPipe()
	if err != nil {
		g.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	g.cmd, g.done = cmd, make(chan struct{})
	ready := make(chan struct{}, 1)
	go func() {
		for in := bufio.NewScanner(out); in.Scan(); {
			if in.Text() == "ready" {
				ready <- struct{}{}
			}
		}
		_ = cmd.Wait()
		close(g.done)
	}()
	select {
	case <-ready:
	case <-g.done:
		g.t.Fatalf("keyreeve gate ended\n%s", g.log.tail())
	case <-time.After(30 * time.Second):
		g.t.Fatalf("keyreeve gate was not ready within 30 s\n%s", g.log.tail())
	}
}

// Kill ends the process at once.
func (g *Gate) Kill() {
	_ = g.cmd.Process.Kill()
	<-g.done
}

// Stop ends the process in good order.
func (g *Gate) Stop() {
	if g.cmd == nil {
		return
	}
	_ = g.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-g.done:
	case <-time.After(15 * time.Second):
		g.t.Error("the gate did not stop within 15 s")
		g.Kill()
	}
}

// Get asks a health endpoint.
func (g *Gate) Get(path string) (int, string) {
	ctx, cancel := context.WithTimeout(g.t.Context(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+g.Health+path, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = res.Body.Close() }()
	body, _ := io.ReadAll(res.Body)
	return res.StatusCode, strings.TrimSpace(string(body))
}
