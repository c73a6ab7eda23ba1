package kubelet

import (
	"context"
	"fmt"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"
)

// target is what a stream leads to: a pretended pod, and a container of it unless it is for a port.
type target struct {
	kubelet   *Kubelet
	pod       *corev1.Pod
	container *corev1.Container
}

// ExecInContainer runs a built-in command. The terminal's size is of no interest to any of them.
//
//nolint:revive // the interface is Kubernetes'
func (t *target) ExecInContainer(ctx context.Context, _, _, _ string, cmd []string, in io.Reader, out, errOut io.WriteCloser,
	tty bool, resize <-chan remotecommand.TerminalSize, _ time.Duration,
) error {
	go discard(ctx, resize)
	return t.session(ctx, cmd, streams{in, out, errOut, tty})
}

// AttachContainer shows what the container says. To who brings input it is a shell, as if that were what the container runs.
//
//nolint:revive // the interface is Kubernetes'
func (t *target) AttachContainer(ctx context.Context, _, _, _ string, in io.Reader, out, errOut io.WriteCloser, tty bool,
	resize <-chan remotecommand.TerminalSize,
) error {
	go discard(ctx, resize)
	if in != nil && t.container.Stdin {
		return t.session(ctx, []string{"sh"}, streams{in, out, errOut, tty})
	}
	if in != nil {
		go func() { _, _ = io.Copy(io.Discard, in) }()
	}
	if out == nil {
		<-ctx.Done()
		return nil
	}
	l := &logs{kubelet: t.kubelet, namespace: t.pod.Namespace, pod: t.pod, container: t.container.Name, opts: &corev1.PodLogOptions{Follow: true}}
	l.write(ctx, streamSink{out})
	return nil
}

// streams are those of a command.
type streams struct {
	in       io.Reader
	out, err io.WriteCloser
	tty      bool
}

func (t *target) session(ctx context.Context, cmd []string, std streams) error {
	sh := &shell{now: t.kubelet.Now, env: environment(t.pod, t.container), host: t.pod.Name, files: t.files(), in: std.in}
	sh.projected = projectedTokens(ctx, t.kubelet.cluster.Load(), t.pod, t.container)
	// A stream that was not asked for is nil, and must not look like one that is there.
	if std.out != nil {
		sh.out = std.out
	}
	if std.err != nil {
		sh.err = std.err
	}
	if std.tty {
		term := newTerminal(sh.in, sh.out)
		sh.in, sh.out, sh.err, sh.prompt = term, term, term, "$ "
	}
	if sh.in == nil {
		sh.in = eof{}
	}
	if sh.out == nil {
		sh.out = io.Discard
	}
	if sh.err == nil {
		sh.err = io.Discard
	}
	if code := sh.run(ctx, cmd); code != 0 {
		return utilexec.CodeExitError{Err: fmt.Errorf("exit status %d", code), Code: code}
	}
	return nil
}

// files are those of the container.
func (t *target) files() *files {
	c := container{t.pod.Namespace, t.pod.Name, t.container.Name, t.pod.UID}
	return t.kubelet.shelf.get(c, func(c container) bool {
		p, ok := t.kubelet.cluster.Load().Pod(c.namespace, c.pod)
		return ok && p.UID == c.uid
	})
}

// discard keeps the sender of sizes from waiting.
func discard(ctx context.Context, resize <-chan remotecommand.TerminalSize) {
	for {
		select {
		case _, ok := <-resize:
			if !ok {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// environment is what a container's variables are, as far as its pod says them in the clear.
func environment(p *corev1.Pod, c *corev1.Container) []string {
	env := []string{"PATH=/bin", "HOME=/", "HOSTNAME=" + p.Name, "KEYREEVE_PRETENDED=true"}
	for _, v := range c.Env {
		if v.ValueFrom == nil {
			env = append(env, v.Name+"="+v.Value)
		}
	}
	return env
}

type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }
