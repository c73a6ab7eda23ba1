// Package control owns the API by which a supervisor looks after this process: HTTP with JSON on one Unix socket.
//
//	GET  /status  what runs and how it is
//	GET  /alive   a body that stays open until the process ends
//	PUT  /nodes   replaces the list of nodes
//	POST /stop    asks the process to end
//
// The socket's directory and mode say who may call; there is no other check. The package decides nothing about the
// cluster: it passes on what it is asked.
package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/keyreeve/keyreeve/localkube/internal/spec"
)

// Status is what GET /status answers.
type Status struct {
	Name       string    `json:"name"`
	PID        int       `json:"pid"`
	Generation int64     `json:"generation"`
	Phase      Phase     `json:"phase"`
	Ready      bool      `json:"ready"`
	StartedAt  time.Time `json:"startedAt"`
	Version    string    `json:"version"`
	Nodes      NodeCount `json:"nodes"`
}

// Phase is how far the process has come.
type Phase string

// The phases, in their order.
const (
	Starting Phase = "starting"
	Ready    Phase = "ready"
	Stopping Phase = "stopping"
)

// NodeCount says how many nodes there should be and how many are ready.
type NodeCount struct {
	Want  int `json:"want"`
	Ready int `json:"ready"`
}

// Handler answers the control API.
type Handler struct {
	Log     *slog.Logger
	PodCIDR string
	// Status answers how the cluster is.
	Status func() Status
	// SetNodes replaces the list of nodes.
	SetNodes func([]spec.Node)
	// Stop asks the process to end and does not wait for it.
	Stop func()
	// Holders is told about connections that hold GET /alive.
	Holders *Holders
}

// Listen opens the socket, in a private directory and for this user alone. A socket that is there already is stale,
// because the caller holds the claim on the data directory; anything else there is refused.
func Listen(path string) (net.Listener, error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make directory of control socket: %w", err)
	}
	switch fi, err := os.Lstat(path); {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("look at control socket: %w", err)
	case fi.Mode().Type() != os.ModeSocket:
		return nil, fmt.Errorf("control socket: %s is there and is not a socket", path)
	default:
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("remove stale control socket: %w", err)
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("open control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("make control socket private: %w", err)
	}
	return l, nil
}

// Routes are the API's routes.
func (h *Handler) Routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", h.status)
	mux.HandleFunc("GET /alive", h.alive)
	mux.HandleFunc("PUT /nodes", h.nodes)
	mux.HandleFunc("POST /stop", h.stop)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		h.refuse(w, http.StatusNotFound, fmt.Errorf("no %s %s here", r.Method, r.URL.Path))
	})
	return mux
}

func (h *Handler) status(w http.ResponseWriter, _ *http.Request) {
	h.answer(w, http.StatusOK, h.Status())
}

func (h *Handler) alive(w http.ResponseWriter, r *http.Request) {
	release := h.Holders.add()
	defer release()
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(http.StatusOK)
	if err := http.NewResponseController(w).Flush(); err != nil {
		return
	}
	<-r.Context().Done()
}

func (h *Handler) nodes(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, spec.MaxBytes))
	if err != nil {
		h.refuse(w, http.StatusRequestEntityTooLarge, fmt.Errorf("read body: %w", err))
		return
	}
	nodes, err := spec.ParseNodes(body, h.PodCIDR)
	if err != nil {
		h.refuse(w, http.StatusBadRequest, err)
		return
	}
	h.SetNodes(nodes)
	h.Log.Info("list of nodes replaced", "nodes", len(nodes))
	h.answer(w, http.StatusOK, h.Status())
}

func (h *Handler) stop(w http.ResponseWriter, _ *http.Request) {
	h.answer(w, http.StatusAccepted, struct{}{})
	h.Log.Info("asked to stop")
	h.Stop()
}

func (h *Handler) refuse(w http.ResponseWriter, code int, err error) {
	h.answer(w, code, map[string]string{"error": err.Error()})
}

func (h *Handler) answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		h.Log.Debug("answer not taken", "error", err)
		return
	}
	_ = http.NewResponseController(w).Flush()
}
