package kubehook

import (
	"log/slog"
	"net/http"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyreeve/keyreeve/internal/caller"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/mirror"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/web"
	"github.com/keyreeve/keyreeve/internal/world"
)

// Tokens says who a raw token stands for. Errors are faults: Unauthenticated when it is not good, anything else when that
// is not known. A caller.Checker is one.
type Tokens interface {
	CheckFor(raw string, audiences []string) (caller.Caller, error)
}

// Mirror shows a cluster's own roles and bindings, and nil when they are not known. A mirror.Set is one.
type Mirror interface {
	View(id ident.ClusterID) (*rbac.ClusterRBAC, mirror.Status)
}

// Handler serves the webhooks, on a listener that asks for client certificates and verifies them.
type Handler struct {
	World  *world.World
	Tokens Tokens
	Mirror Mirror
	Now    func() time.Time
	Log    *slog.Logger
	// Heard is when the world last heard from its feed, for a gate away from the control plane; nil when both are one
	// process. Longer than MaxAge ago, nothing is known any more.
	Heard  func() time.Time
	MaxAge time.Duration

	buffers buffers
}

// Mount adds the webhooks to a mux.
func (h *Handler) Mount(mux *http.ServeMux) {
	a := web.Adapter{Log: h.Log, Now: h.Now, Face: "gate", WriteError: writeError}
	mux.Handle("POST /clusters/{cluster}/tokenreview", a.Handle(h.tokenReview))
	mux.Handle("POST /clusters/{cluster}/subjectaccessreview", a.Handle(h.accessReview))
}

// snapshot is what one answer is made from: the cluster, and the revision that the world had reached before.
type snapshot struct {
	cluster  managedcluster.Cluster
	revision feed.Revision
}

// open finds the cluster of a request and checks that its API server is asking and that the world knows.
func (h *Handler) open(r *http.Request) (snapshot, error) {
	id, err := ident.Parse[ident.ClusterID](r.PathValue("cluster"))
	if err != nil {
		return snapshot{}, fault.New(fault.NotFound, "", "No such cluster.")
	}
	// An unverified certificate counts as none, whatever the listener is set to.
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 || r.TLS.PeerCertificates[0].Subject.CommonName != "cluster:"+id.String() {
		return snapshot{}, fault.New(fault.Forbidden, "", "The client certificate is not of this cluster.")
	}
	return h.snapshot(id)
}

// snapshot finds a cluster and checks that the world knows.
func (h *Handler) snapshot(id ident.ClusterID) (snapshot, error) {
	rev, _, err := h.World.Status()
	if err != nil {
		return snapshot{}, unknown().Because(err)
	}
	if rev == 0 {
		return snapshot{}, unknown()
	}
	if h.Heard != nil && h.Now().Sub(h.Heard()) > h.MaxAge {
		return snapshot{}, unknown()
	}
	c, ok := h.World.Cluster(id)
	if !ok {
		return snapshot{}, fault.New(fault.NotFound, "", "No such cluster.")
	}
	return snapshot{cluster: c, revision: rev}, nil
}

// tenant is the directory that a cluster takes its people from; zero for a cluster without Entra integration.
func (s *snapshot) tenant() ident.TenantID {
	if s.cluster.AAD == nil {
		return ident.TenantID{}
	}
	if s.cluster.AAD.Tenant.IsZero() {
		return s.cluster.Tenant
	}
	return s.cluster.AAD.Tenant
}

func unknown() *fault.Error {
	return fault.New(fault.Unavailable, "", "Access cannot be decided at the moment.")
}

// writeError writes a Status. Everything that is not the asker's fault is 503 without Retry-After: the API server retries
// 500, 504 and 429, and anything that names a time, for seconds; and it reads a 200 with an error as no opinion.
func writeError(w http.ResponseWriter, _ *http.Request, err error) {
	f := fault.As(err)
	code, reason := http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable
	switch f.Kind {
	case fault.Invalid, fault.Unsupported, fault.Precondition:
		code, reason = http.StatusBadRequest, metav1.StatusReasonBadRequest
	case fault.Forbidden, fault.Unauthenticated:
		code, reason = http.StatusForbidden, metav1.StatusReasonForbidden
	case fault.NotFound:
		code, reason = http.StatusNotFound, metav1.StatusReasonNotFound
	case fault.TooLarge:
		code, reason = http.StatusRequestEntityTooLarge, metav1.StatusReasonRequestEntityTooLarge
	case fault.Internal, fault.Unavailable, fault.Conflict, fault.TooMany:
	}
	_ = web.WriteJSON(w, code, "application/json", metav1.Status{ // the Status always encodes
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
		Status:   metav1.StatusFailure, Message: f.Public, Reason: reason, Code: int32(code),
	})
}
