package mirror

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/watch"
)

// stub is the part of an API server that the mirror talks to: it lists and watches the four kinds over TLS with client
// certificates, in JSON or protobuf, and can misbehave.
type stub struct {
	t      *testing.T
	server *httptest.Server
	addr   string
	ca     []byte
	cert   []byte
	key    []byte
	media  string
	codecs serializer.CodecFactory
	tlsCfg *tls.Config

	mu      sync.Mutex
	version int
	objects map[string]map[string]runtime.Object // resource → namespace/name
	log     map[string][]event                   // resource → all events
	wake    chan struct{}                        // closed and replaced at each change
	floor   int                                  // versions below it are expired
	block   map[string]bool                      // resources that answer 503
	lists   map[string]int
	callers map[string]int
}

type event struct {
	version int
	kind    watch.EventType
	object  runtime.Object
}

func newStub(t *testing.T, media string) *stub {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := rbacv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	metav1.AddToGroupVersion(scheme, rbacv1.SchemeGroupVersion)
	s := &stub{
		t: t, media: media, codecs: serializer.NewCodecFactory(scheme), version: 100, wake: make(chan struct{}),
		objects: map[string]map[string]runtime.Object{}, log: map[string][]event{}, block: map[string]bool{},
		lists: map[string]int{}, callers: map[string]int{},
	}
	ca, caKey := certificate(t, "ca", nil, nil)
	server, serverKey := certificate(t, "server", ca, caKey)
	s.ca = pemOf("CERTIFICATE", ca.Raw)
	s.cert, s.key = s.client(ca, caKey, "system:keyreeve:gate")
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	s.tlsCfg = &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{server.Raw}, PrivateKey: serverKey}},
		ClientCAs:    pool, ClientAuth: tls.RequireAndVerifyClientCert, NextProtos: []string{"h2"},
	}
	s.start()
	t.Cleanup(s.stop)
	return s
}

func (s *stub) client(ca *x509.Certificate, caKey *ecdsa.PrivateKey, name string) ([]byte, []byte) {
	cert, key := certificate(s.t, name, ca, caKey)
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		s.t.Fatal(err)
	}
	return pemOf("CERTIFICATE", cert.Raw), pemOf("PRIVATE KEY", raw)
}

// start serves at the address of before, if there was one.
func (s *stub) start() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if s.addr != "" {
		_ = l.Close()
		l, err = net.Listen("tcp", s.addr)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.addr = l.Addr().String()
	s.server = httptest.NewUnstartedServer(s)
	s.server.Listener = l
	s.server.TLS = s.tlsCfg.Clone()
	s.server.EnableHTTP2 = true
	s.server.Config.ErrorLog = nil
	s.server.StartTLS()
}

func (s *stub) stop() {
	s.server.CloseClientConnections()
	s.server.Close()
}

func (s *stub) config() Config {
	return Config{Host: "https://" + s.addr, CA: s.ca, Cert: s.cert, Key: s.key}
}

// put, drop and the others change what the server holds.
func (s *stub) put(resource string, o interface {
	runtime.Object
	metav1.Object
},
) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	o.SetResourceVersion(strconv.Itoa(s.version))
	o.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "kubectl", Operation: metav1.ManagedFieldsOperationApply}})
	if s.objects[resource] == nil {
		s.objects[resource] = map[string]runtime.Object{}
	}
	k := o.GetNamespace() + "/" + o.GetName()
	kind := watch.Added
	if s.objects[resource][k] != nil {
		kind = watch.Modified
	}
	s.objects[resource][k] = o
	s.log[resource] = append(s.log[resource], event{s.version, kind, o.DeepCopyObject()})
	s.signal()
}

func (s *stub) drop(resource, namespace, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	o := s.objects[resource][namespace+"/"+name].DeepCopyObject()
	o.(metav1.Object).SetResourceVersion(strconv.Itoa(s.version))
	delete(s.objects[resource], namespace+"/"+name)
	s.log[resource] = append(s.log[resource], event{s.version, watch.Deleted, o})
	s.signal()
}

func (s *stub) setBlocked(resource string, blocked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.block[resource] = blocked
}

// expire makes every version so far too old to watch from.
func (s *stub) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	s.floor = s.version
}

func (s *stub) listed(resource string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lists[resource]
}

func (s *stub) signal() {
	close(s.wake)
	s.wake = make(chan struct{})
}

func (s *stub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	resource, ok := strings.CutPrefix(r.URL.Path, "/apis/rbac.authorization.k8s.io/v1/")
	s.mu.Lock()
	s.callers[r.TLS.PeerCertificates[0].Subject.CommonName]++
	blocked, floor := s.block[resource], s.floor
	s.mu.Unlock()
	if !ok || r.Method != http.MethodGet {
		http.NotFound(w, r)
		return
	}
	if blocked {
		s.status(w, http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable)
		return
	}
	version, _ := strconv.Atoi(r.URL.Query().Get("resourceVersion"))
	if r.URL.Query().Get("watch") == "" {
		s.list(w, resource)
		return
	}
	if version < floor {
		s.status(w, http.StatusGone, metav1.StatusReasonExpired)
		return
	}
	s.watch(w, r, resource, version)
}

func (s *stub) info() runtime.SerializerInfo {
	i, ok := runtime.SerializerInfoForMediaType(s.codecs.SupportedMediaTypes(), s.media)
	if !ok {
		s.t.Errorf("no serializer for %s", s.media)
	}
	return i
}

func (s *stub) encode(w io.Writer, o runtime.Object) {
	if err := s.codecs.EncoderForVersion(s.info().Serializer, rbacv1.SchemeGroupVersion).Encode(o, w); err != nil {
		s.t.Error(err)
	}
}

func (s *stub) status(w http.ResponseWriter, code int, reason metav1.StatusReason) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":%q,"code":%d}`, reason, code)
}

func (s *stub) list(w http.ResponseWriter, resource string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lists[resource]++
	meta := metav1.ListMeta{ResourceVersion: strconv.Itoa(s.version)}
	var out runtime.Object
	switch resource {
	case "roles":
		out = &rbacv1.RoleList{ListMeta: meta, Items: items[rbacv1.Role](s.objects[resource])}
	case "clusterroles":
		out = &rbacv1.ClusterRoleList{ListMeta: meta, Items: items[rbacv1.ClusterRole](s.objects[resource])}
	case "rolebindings":
		out = &rbacv1.RoleBindingList{ListMeta: meta, Items: items[rbacv1.RoleBinding](s.objects[resource])}
	case "clusterrolebindings":
		out = &rbacv1.ClusterRoleBindingList{ListMeta: meta, Items: items[rbacv1.ClusterRoleBinding](s.objects[resource])}
	}
	w.Header().Set("Content-Type", s.media)
	s.encode(w, out)
}

func items[T any](objects map[string]runtime.Object) []T {
	out := make([]T, 0, len(objects))
	for _, o := range objects {
		out = append(out, *any(o).(*T))
	}
	return out
}

func (s *stub) watch(w http.ResponseWriter, r *http.Request, resource string, version int) {
	info := s.info()
	media := s.media
	if s.media == runtime.ContentTypeProtobuf {
		media += ";stream=watch"
	}
	w.Header().Set("Content-Type", media)
	w.WriteHeader(http.StatusOK)
	flush := http.NewResponseController(w)
	_ = flush.Flush()
	frames := info.StreamSerializer.Framer.NewFrameWriter(w)
	for {
		s.mu.Lock()
		var due []event
		for _, e := range s.log[resource] {
			if e.version > version {
				due = append(due, e)
				version = e.version
			}
		}
		wake := s.wake
		s.mu.Unlock()
		for _, e := range due {
			var inner bytes.Buffer
			if err := s.codecs.EncoderForVersion(info.StreamSerializer.Serializer, rbacv1.SchemeGroupVersion).Encode(e.object, &inner); err != nil {
				// Protobuf embeds whole objects, with their own header.
				s.t.Error(err)
			}
			if s.media == runtime.ContentTypeProtobuf {
				inner.Reset()
				s.encode(&inner, e.object)
			}
			var outer bytes.Buffer
			ev := &metav1.WatchEvent{Type: string(e.kind), Object: runtime.RawExtension{Raw: inner.Bytes()}}
			if err := info.StreamSerializer.Serializer.Encode(ev, &outer); err != nil {
				s.t.Error(err)
			}
			if _, err := frames.Write(outer.Bytes()); err != nil {
				return
			}
		}
		_ = flush.Flush()
		select {
		case <-wake:
		case <-r.Context().Done():
			return
		}
	}
}

func certificate(t *testing.T, name string, ca *x509.Certificate, caKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	parent, signer := tmpl, key
	if ca == nil {
		tmpl.IsCA, tmpl.KeyUsage = true, x509.KeyUsageCertSign
	} else {
		parent, signer = ca, caKey
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
