package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"

	"github.com/keyreeve/keyreeve/internal/ident"
)

// Line answers what a cluster's API server asks at a socket, until the context ends. A kubehook.Handler's ServeLine is one.
type Line func(ctx context.Context, cluster ident.ClusterID, l net.Listener) error

// lineSocket is where a cluster's API server asks, beside the control socket; empty when it asks the webhook.
func (s *Supervisor) lineSocket(f folder) (string, error) {
	if s.Hooks.Line == nil {
		return "", nil
	}
	dir, err := s.socketFolder()
	if err != nil {
		return "", err
	}
	return socketPath(dir, f, ".gate.sock")
}

// openLine begins to answer at the cluster's socket, if that was not done yet. It goes on while the cluster's process is
// started anew, until the ward is left; a process that outlives the ward is answered by the one after it.
func (w *ward) openLine() error {
	if w.line || w.sup.Hooks.Line == nil {
		return nil
	}
	path, err := w.sup.lineSocket(w.folder)
	if err != nil {
		return err
	}
	l, err := listenPrivate(w.ctx, path)
	if err != nil {
		return err
	}
	w.line = true
	d, _ := w.present()
	w.answering.Go(func() {
		if err := w.sup.Hooks.Line(w.ctx, d.ID, l); err != nil {
			w.log.Error("a cluster's API server is not answered any more", "error", err)
		}
	})
	return nil
}

// listenPrivate listens at a socket that only this user may open. What a process that is gone left there is replaced.
func listenPrivate(ctx context.Context, path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("line of cluster: %w", err)
	}
	// The folder is this user's alone, so nobody gets in before the mode is set.
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("line of cluster: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("line of cluster: %w", err), l.Close())
	}
	return l, nil
}
