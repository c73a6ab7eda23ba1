package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/client-go/util/exec"
)

// streamer opens streams to one pretended pod as one user.
type streamer struct {
	w      *world
	config *rest.Config
	pod    string
}

func (s *streamer) url(t *testing.T, subresource string, params any) *url.URL {
	t.Helper()
	req := s.w.client(t, rest.CopyConfig(s.config)).CoreV1().RESTClient().Post().Namespace("default").Resource("pods").Name(s.pod).SubResource(subresource)
	switch p := params.(type) {
	case *corev1.PodExecOptions:
		req.VersionedParams(p, scheme.ParameterCodec)
	case *corev1.PodAttachOptions:
		req.VersionedParams(p, scheme.ParameterCodec)
	}
	return req.URL()
}

// executor speaks WebSocket or SPDY, as kubectl's old and new way.
func (s *streamer) executor(t *testing.T, protocol, subresource string, params any) remotecommand.Executor {
	t.Helper()
	u := s.url(t, subresource, params)
	var e remotecommand.Executor
	var err error
	if protocol == "SPDY" {
		e, err = remotecommand.NewSPDYExecutor(s.config, http.MethodPost, u)
	} else {
		e, err = remotecommand.NewWebSocketExecutor(s.config, http.MethodGet, u.String())
	}
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (s *streamer) exec(ctx context.Context, t *testing.T, protocol, in string, cmd ...string) (out, errOut string, err error) {
	t.Helper()
	var o, e bytes.Buffer
	params := &corev1.PodExecOptions{Command: cmd, Stdin: in != "", Stdout: true, Stderr: true}
	opts := remotecommand.StreamOptions{Stdout: &o, Stderr: &e}
	if in != "" {
		opts.Stdin = strings.NewReader(in)
	}
	err = s.executor(t, protocol, "exec", params).StreamWithContext(ctx, opts)
	return o.String(), e.String(), err
}

func (w *world) testStreams(t *testing.T) {
	pod := podSpec(corev1.RestartPolicyAlways)
	pod.Containers[0].Env = []corev1.EnvVar{{Name: "COLOUR", Value: "blue"}}
	w.pod(t, "streams", nil, pod)
	w.phase(t, "streams", corev1.PodRunning)
	t.Setenv("HOST_SECRET", "of the host")
	admin := &streamer{w, w.config(&rest.Config{TLSClientConfig: certificate(w.Clients.Client("root", "system:masters"))}), "streams"}
	for _, protocol := range []string{"WebSocket", "SPDY"} {
		t.Run(protocol, func(t *testing.T) { admin.testExec(t, protocol) })
	}
	t.Run("logs", admin.testLogs)
	t.Run("port-forward", admin.testPortForward)
	t.Run("proxy", admin.testProxy)
	t.Run("only by the API server", func(t *testing.T) { w.testKubeletAlone(t) })
	t.Run("right ends", w.testRightEnds)
}

func (s *streamer) testExec(t *testing.T, protocol string) {
	out, errOut, err := s.exec(t.Context(), t, protocol, "", "sh", "-c", "echo $COLOUR; nope")
	var code exec.CodeExitError
	if out != "blue\n" || !strings.Contains(errOut, "nothing runs in a pretended container") || !errors.As(err, &code) || code.Code != 127 {
		t.Errorf("%q %q %v", out, errOut, err)
	}
	// Much input and output, whole.
	in := strings.Repeat("0123456789abcdef", 1<<16)
	if out, errOut, err := s.exec(t.Context(), t, protocol, in, "cat"); out != in || errOut != "" || err != nil {
		t.Errorf("%d bytes back of %d, %q, %v", len(out), len(in), errOut, err)
	}
	if out, _, err := s.exec(t.Context(), t, protocol, "", "env"); err != nil || strings.Contains(out, "HOST_SECRET") || strings.Contains(out, os.Getenv("HOME")+"\n") && os.Getenv("HOME") != "/" {
		t.Errorf("environment %q, %v", out, err)
	}
	var attached bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	r, wr := io.Pipe()
	go func() {
		line, _ := bufio.NewReader(r).ReadString('\n')
		attached.WriteString(line)
		cancel()
		_, _ = io.Copy(io.Discard, r)
	}()
	err = s.executor(t, protocol, "attach", &corev1.PodAttachOptions{Stdout: true}).StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: wr})
	_ = wr.Close()
	if !strings.Contains(attached.String(), "is pretended") {
		t.Errorf("attached: %q, %v", attached.String(), err)
	}
	missing := &streamer{s.w, s.config, "missing"}
	if _, _, err := missing.exec(t.Context(), t, protocol, "", "true"); err == nil || !strings.Contains(err.Error(), "not found") {
		t.Errorf("a pod that is not there: %v", err)
	}
}

func (s *streamer) testLogs(t *testing.T) {
	pods := s.w.admin.CoreV1().Pods("default")
	text, err := pods.GetLogs(s.pod, &corev1.PodLogOptions{Timestamps: true}).DoRaw(t.Context())
	if err != nil || !strings.Contains(string(text), "its image, registry.example/web:1, does not run") {
		t.Fatalf("%s %v", text, err)
	}
	if _, err := time.Parse(time.RFC3339Nano, strings.Fields(string(text))[0]); err != nil {
		t.Error(err)
	}
	if text, err := pods.GetLogs(s.pod, &corev1.PodLogOptions{Previous: true}).DoRaw(t.Context()); err == nil || !strings.Contains(string(text), "previous terminated container") {
		t.Errorf("previous: %s %v", text, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	none := int64(0)
	follow, err := pods.GetLogs(s.pod, &corev1.PodLogOptions{Follow: true, TailLines: &none}).Stream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = follow.Close() }()
	if line, err := bufio.NewReader(follow).ReadString('\n'); err != nil || !strings.Contains(line, "pretended for") {
		t.Errorf("followed: %q %v", line, err)
	}
}

// forward opens a forwarded port and returns its local address; the channel tells its end.
func (s *streamer) forward(t *testing.T, protocol string) (string, <-chan error) {
	t.Helper()
	transport, upgrader, err := spdy.RoundTripperFor(s.config)
	if err != nil {
		t.Fatal(err)
	}
	u := s.url(t, "portforward", nil)
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, u)
	if protocol == "WebSocket" {
		if dialer, err = portforward.NewSPDYOverWebsocketDialer(u, s.config); err != nil {
			t.Fatal(err)
		}
	}
	stop, ready := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(stop) })
	f, err := portforward.New(dialer, []string{"0:5432"}, stop, ready, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- f.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatalf("%s: %v", protocol, err)
	}
	ports, err := f.GetPorts()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", ports[0].Local), ended
}

func (s *streamer) testPortForward(t *testing.T) {
	for _, protocol := range []string{"WebSocket", "SPDY"} {
		addr, _ := s.forward(t, protocol)
		for range 2 {
			res, err := http.Get("http://" + addr + "/x?y")
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if want := "keyreeve: port 5432 of pod default/streams is pretended; nothing runs there. You asked: GET /x\n"; string(text) != want {
				t.Errorf("%s: %q %v", protocol, text, err)
			}
		}
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		if _, err := io.WriteString(c, "ping\n"); err != nil {
			t.Fatal(err)
		}
		in := bufio.NewReader(c)
		for _, want := range []string{"keyreeve: port 5432 of pod default/streams is pretended; what you send comes back\n", "ping\n"} {
			if line, err := in.ReadString('\n'); line != want {
				t.Errorf("%s: %q %v", protocol, line, err)
			}
		}
	}
}

// testProxy: what the API server is told to reach at pretended addresses is not looked for on the host's network.
func (s *streamer) testProxy(t *testing.T) {
	client := s.w.admin.CoreV1().RESTClient()
	text, err := client.Get().AbsPath("/api/v1/namespaces/default/pods/streams:8080/proxy/a").DoRaw(t.Context())
	if err != nil || !strings.Contains(string(text), ":8080 is pretended") {
		t.Errorf("pod: %s %v", text, err)
	}
	// Whatever somebody writes into a Node of their own leads nowhere.
	ctx := t.Context()
	other := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "other"}, Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: "127.0.0.1"}}}}
	if _, err := s.w.admin.CoreV1().Nodes().Create(ctx, other, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	elsewhere := podSpec(corev1.RestartPolicyAlways)
	elsewhere.NodeName = "other"
	s.w.pod(t, "elsewhere", nil, elsewhere)
	if text, err := s.w.admin.CoreV1().Pods("default").GetLogs("elsewhere", &corev1.PodLogOptions{}).DoRaw(ctx); err == nil {
		t.Errorf("a foreign node answers: %s", text)
	}
	now := int64(0)
	if err := errors.Join(
		s.w.admin.CoreV1().Pods("default").Delete(ctx, "elsewhere", metav1.DeleteOptions{GracePeriodSeconds: &now}),
		s.w.admin.CoreV1().Nodes().Delete(ctx, "other", metav1.DeleteOptions{}),
	); err != nil {
		t.Fatal(err)
	}
}

// testKubeletAlone: no port is open but the API server's, and the kubelets' socket is no way in.
func (w *world) testKubeletAlone(t *testing.T) {
	ports := listening(t, w.p.cmd.Process.Pid)
	if len(ports) != 1 {
		t.Errorf("the process listens on %v, want the API server's port alone", ports)
	}
}

// testRightEnds: streams that are open when a right ends are ended within a second, whatever their protocol.
func (w *world) testRightEnds(t *testing.T) {
	w.hooks.grant("stream-token", "eve")
	w.hooks.decide("eve", true)
	eve := &streamer{w, w.config(&rest.Config{BearerToken: "stream-token"}), "streams"}
	ends := map[string]<-chan error{}
	opened := func(name string, run func(started func()) error) {
		begun, ended := make(chan struct{}), make(chan error, 1)
		ends[name] = ended
		go func() { ended <- run(func() { close(begun) }) }()
		select {
		case <-begun:
		case err := <-ended:
			t.Fatalf("%s: %v", name, err)
		case <-time.After(10 * time.Second):
			t.Fatalf("%s did not begin", name)
		}
	}
	for _, protocol := range []string{"WebSocket", "SPDY"} {
		opened("exec by "+protocol, func(started func()) error {
			params := &corev1.PodExecOptions{Command: []string{"sh", "-c", "echo begun; sleep 600"}, Stdout: true, Stderr: true}
			return eve.executor(t, protocol, "exec", params).StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdout: notice{started}, Stderr: io.Discard})
		})
		opened("attach by "+protocol, func(started func()) error {
			return eve.executor(t, protocol, "attach", &corev1.PodAttachOptions{Stdout: true}).StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdout: notice{started}})
		})
		_, ended := eve.forward(t, protocol)
		ends["port-forward by "+protocol] = ended
	}
	opened("logs", func(started func()) error {
		r, err := w.client(t, rest.CopyConfig(eve.config)).CoreV1().Pods("default").GetLogs("streams", &corev1.PodLogOptions{Follow: true}).Stream(t.Context())
		if err != nil {
			return err
		}
		started()
		_, err = io.Copy(io.Discard, r)
		return err
	})
	<-time.After(1500 * time.Millisecond) // some rounds of asking again
	for name, ended := range ends {
		select {
		case err := <-ended:
			t.Fatalf("%s ended by itself: %v", name, err)
		default:
		}
	}
	w.hooks.decide("eve", false)
	revoked := time.Now()
	for name, ended := range ends {
		select {
		case err := <-ended:
			t.Logf("%s: over %s after the right (%v)", name, time.Since(revoked).Round(time.Millisecond), err)
		case <-time.After(time.Until(revoked.Add(time.Second))):
			t.Errorf("%s goes on a second after its right has ended", name)
		}
	}
}

// notice tells of the first bytes.
type notice struct{ begun func() }

func (n notice) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("begun")) || bytes.Contains(p, []byte("is pretended")) {
		n.begun()
	}
	return len(p), nil
}

// listening is the TCP ports that a process listens on.
func listening(t *testing.T, pid int) []string {
	t.Helper()
	inodes := map[string]bool{}
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if link, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, fd.Name())); err == nil {
			if n, ok := strings.CutPrefix(link, "socket:["); ok {
				inodes[strings.TrimSuffix(n, "]")] = true
			}
		}
	}
	var ports []string
	for _, file := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, file))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			if len(f) > 9 && f[3] == "0A" && inodes[f[9]] {
				ports = append(ports, f[1])
			}
		}
	}
	return ports
}
