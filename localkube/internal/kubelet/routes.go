package kubelet

import (
	"context"
	"fmt"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	_ "k8s.io/kubernetes/pkg/apis/core/install" // what legacyscheme knows of the log's options
)

const (
	// idleTimeout is how long a stream may be silent, as a kubelet has it.
	idleTimeout   = 4 * time.Hour
	createTimeout = remotecommand.DefaultStreamCreationTimeout
)

func (k *Kubelet) routes() http.Handler {
	mux := http.NewServeMux()
	both := func(path string, h http.HandlerFunc) {
		mux.HandleFunc("GET "+path, h)
		mux.HandleFunc("POST "+path, h)
	}
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", k.serveLogs)
	both("/exec/{namespace}/{pod}/{container}", k.serveExec)
	both("/exec/{namespace}/{pod}/{uid}/{container}", k.serveExec)
	both("/attach/{namespace}/{pod}/{container}", k.serveAttach)
	both("/attach/{namespace}/{pod}/{uid}/{container}", k.serveAttach)
	both("/portForward/{namespace}/{pod}", k.servePortForward)
	both("/portForward/{namespace}/{pod}/{uid}", k.servePortForward)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, fmt.Sprintf("a pretended node does not serve %s", r.URL.Path), http.StatusNotFound)
	})
	return mux
}

// pod is the pod that a request is about: one of the node whose name the API server connected to.
func (k *Kubelet) pod(w http.ResponseWriter, r *http.Request) (*corev1.Pod, bool) {
	p, ok := k.cluster.Load().Pod(r.PathValue("namespace"), r.PathValue("pod"))
	uid := r.PathValue("uid")
	if !ok || r.TLS == nil || p.Spec.NodeName != r.TLS.ServerName || uid != "" && p.UID != types.UID(uid) {
		http.Error(w, "pod does not exist", http.StatusNotFound)
		return nil, false
	}
	return p, true
}

// running is the container that a request is about, in a pod that still runs.
func (k *Kubelet) running(w http.ResponseWriter, r *http.Request) (*target, bool) {
	p, ok := k.pod(w, r)
	if !ok {
		return nil, false
	}
	name := r.PathValue("container")
	c, st := find(p, name)
	if c == nil || st == nil || st.State.Running == nil {
		http.Error(w, fmt.Sprintf("container not found (%q)", name), http.StatusNotFound)
		return nil, false
	}
	return &target{pod: p, container: c, kubelet: k}, true
}

// find finds a container of a pod and its status.
func find(p *corev1.Pod, name string) (*corev1.Container, *corev1.ContainerStatus) {
	var c *corev1.Container
	for _, list := range [][]corev1.Container{p.Spec.Containers, p.Spec.InitContainers} {
		for i := range list {
			if list[i].Name == name {
				c = &list[i]
			}
		}
	}
	for _, list := range [][]corev1.ContainerStatus{p.Status.ContainerStatuses, p.Status.InitContainerStatuses} {
		for i := range list {
			if list[i].Name == name {
				return c, &list[i]
			}
		}
	}
	return c, nil
}

func (k *Kubelet) serveLogs(w http.ResponseWriter, r *http.Request) {
	p, ok := k.pod(w, r)
	if !ok {
		return
	}
	var opts corev1.PodLogOptions
	if err := legacyscheme.ParameterCodec.DecodeParameters(r.URL.Query(), corev1.SchemeGroupVersion, &opts); err != nil {
		http.Error(w, "the log options cannot be read", http.StatusBadRequest)
		return
	}
	name := r.PathValue("container")
	if err := loggable(p, name, &opts); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(http.StatusOK)
	l := &logs{kubelet: k, namespace: p.Namespace, pod: p, container: name, opts: &opts}
	l.write(r.Context(), newLimited(w, opts.LimitBytes))
}

func (k *Kubelet) serveExec(w http.ResponseWriter, r *http.Request) {
	t, ok := k.running(w, r)
	if !ok {
		return
	}
	opts, err := remotecommand.NewOptions(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w, r, done := watched(w, r)
	defer done()
	remotecommand.ServeExec(w, r, t, t.pod.Name, string(t.pod.UID), t.container.Name, r.URL.Query()["command"], opts,
		idleTimeout, createTimeout, remotecommand.SupportedStreamingProtocols)
}

func (k *Kubelet) serveAttach(w http.ResponseWriter, r *http.Request) {
	t, ok := k.running(w, r)
	if !ok {
		return
	}
	opts, err := remotecommand.NewOptions(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w, r, done := watched(w, r)
	defer done()
	remotecommand.ServeAttach(w, r, t, t.pod.Name, string(t.pod.UID), t.container.Name, opts,
		idleTimeout, createTimeout, remotecommand.SupportedStreamingProtocols)
}

func (k *Kubelet) servePortForward(w http.ResponseWriter, r *http.Request) {
	p, ok := k.pod(w, r)
	if !ok {
		return
	}
	if p.Status.Phase != corev1.PodRunning {
		http.Error(w, "pod does not run", http.StatusNotFound)
		return
	}
	opts, err := portforward.NewV4Options(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w, r, done := watched(w, r)
	defer done()
	portforward.ServePortForward(w, r, &target{pod: p, kubelet: k}, p.Name, string(p.UID), opts,
		idleTimeout, createTimeout, portforward.SupportedProtocols)
}

// watched gives a request's context an end when the connection that it is upgraded to has one: the server of net/http does
// not look at a connection that was taken from it.
func watched(w http.ResponseWriter, r *http.Request) (http.ResponseWriter, *http.Request, context.CancelFunc) {
	ctx, cancel := context.WithCancel(r.Context())
	return &watchedWriter{ResponseWriter: w, ended: cancel}, r.WithContext(ctx), cancel
}
