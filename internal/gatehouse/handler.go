package gatehouse

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/gatefeed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/pki"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/web"
	"github.com/keyreeve/keyreeve/internal/world"
)

// CertificateLife is the life of a gate's certificate. A gate renews it when two thirds are over, so one that is off for
// ten days needs no new token.
const CertificateLife = 30 * 24 * time.Hour

// maxName is the longest name of a gate's host that is kept.
const maxName = 128

// Handler serves gates.
type Handler struct {
	DB    *store.DB
	World *world.World
	// Authority issues the gates' certificates.
	Authority *pki.Authority
	// Issuer is the token service's origin.
	Issuer string
	// Hub follows the store for all streams, and Roster keeps what gates said of themselves.
	Hub    *Hub
	Roster *Roster
	// Stop ends every stream when it is closed.
	Stop <-chan struct{}
	Now  func() time.Time
	Log  *slog.Logger
}

// Mount adds the routes to a mux.
func (h *Handler) Mount(mux *http.ServeMux) {
	a := web.Adapter{Log: h.Log, Now: h.Now, Face: "gatehouse", WriteError: writeError}
	mux.Handle("POST /gate/v1/enroll", a.Handle(h.enroll))
	mux.Handle("POST /gate/v1/renew", a.Handle(h.renew))
	mux.Handle("POST /gate/v1/report", a.Handle(h.report))
	mux.Handle("POST /gate/v1/rules", a.Handle(h.rules))
	mux.Handle("GET /gate/v1/stream", a.Handle(h.stream))
}

// gateName is the common name of a gate's certificate.
func gateName(c ident.ClusterID) string { return "gate:" + c.String() }

// gate is who is connected.
type gate struct {
	cluster     managedcluster.Cluster
	fingerprint string
}

// known finds the gate of a request by its certificate.
func (h *Handler) known(r *http.Request) (gate, error) {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return gate{}, fault.New(fault.Unauthenticated, "", "A gate shows its client certificate.")
	}
	cert := r.TLS.PeerCertificates[0]
	text, ok := strings.CutPrefix(cert.Subject.CommonName, "gate:")
	id, err := ident.Parse[ident.ClusterID](text)
	if !ok || err != nil {
		return gate{}, fault.New(fault.Forbidden, "", "The client certificate is not a gate's.")
	}
	sum := sha256.Sum256(cert.Raw)
	g := gate{fingerprint: hex.EncodeToString(sum[:])}
	g.cluster.ID = id
	return g, h.refresh(&g)
}

// refresh looks up the gate's cluster, and whether the gate may still be told of it.
func (h *Handler) refresh(g *gate) error {
	if _, _, err := h.World.Status(); err != nil {
		return fault.New(fault.Unavailable, "", "The control plane does not know at the moment.").Because(err)
	}
	issued, ok := h.World.Certificate(g.fingerprint)
	if !ok || issued.Cluster != g.cluster.ID || issued.Kind != managedcluster.GateCertificate || !issued.RevokedAt.IsZero() || !h.Now().Before(issued.NotAfter) {
		return fault.New(fault.Forbidden, "", "The gate's certificate is not, or no longer, good.")
	}
	c, ok := h.World.Cluster(g.cluster.ID)
	if !ok || !c.IsAttached() || c.ProvisioningState == managedcluster.Deleting {
		return fault.New(fault.NotFound, "", "The cluster is not attached any more.")
	}
	g.cluster = c
	return nil
}

// enroll makes who holds a one-time token a gate of the token's cluster.
func (h *Handler) enroll(w http.ResponseWriter, r *http.Request) error {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || !strings.HasPrefix(token, managedcluster.EnrollmentPrefix) {
		return noToken()
	}
	var in gatefeed.Enrollment
	if err := web.DecodeJSON(w, r, &in); err != nil {
		return err
	}
	hash := proof.HashToken(token)
	// Looked up first without the lock that writers take: who guesses must not hold up others.
	err := h.DB.View(r.Context(), func(tx *store.Tx) error { _, err := tx.Enrollment(hash); return err })
	if store.IsNotFound(err) {
		return noToken()
	}
	if err != nil {
		return err
	}
	var out gatefeed.Enrolled
	_, err = h.DB.Update(r.Context(), func(tx *store.Tx) error {
		e, err := tx.Enrollment(hash)
		if store.IsNotFound(err) || err == nil && !h.Now().Before(e.ExpiresAt) {
			return noToken()
		}
		if err != nil {
			return err
		}
		if err := tx.DeleteEnrollment(hash); err != nil {
			return err
		}
		c, err := tx.Cluster(e.Cluster)
		if err != nil {
			return err
		}
		out, err = h.sign(tx, c, in, e.CreatedBy)
		return err
	})
	if err != nil {
		return err
	}
	web.EventOf(r).Add("cluster", out.Cluster.String())
	return web.WriteJSON(w, http.StatusOK, "application/json", out)
}

func noToken() error {
	return fault.New(fault.Unauthenticated, "", "The enrolment token is not good: it was used, it is older than an hour, or it never was. Ask for another with `keyreeve cluster attach`.")
}

// renew gives a gate its next certificate. The one it came with stays good to its end.
func (h *Handler) renew(w http.ResponseWriter, r *http.Request) error {
	g, err := h.known(r)
	if err != nil {
		return err
	}
	var in gatefeed.Enrollment
	if err := web.DecodeJSON(w, r, &in); err != nil {
		return err
	}
	var out gatefeed.Enrolled
	_, err = h.DB.Update(r.Context(), func(tx *store.Tx) error {
		old, err := tx.Certificate(g.fingerprint)
		if err != nil {
			return err
		}
		if !old.RevokedAt.IsZero() {
			return fault.New(fault.Forbidden, "", "The gate's certificate is not, or no longer, good.")
		}
		c, err := tx.Cluster(g.cluster.ID)
		if err != nil {
			return err
		}
		out, err = h.sign(tx, c, in, old.Holder)
		return err
	})
	if err != nil {
		return err
	}
	return web.WriteJSON(w, http.StatusOK, "application/json", out)
}

// sign issues a gate's certificate and puts it on record. holder is who let the gate in.
func (h *Handler) sign(tx *store.Tx, c managedcluster.Cluster, in gatefeed.Enrollment, holder ident.ObjectID) (gatefeed.Enrolled, error) {
	none := gatefeed.Enrolled{}
	if in.Name == "" || len(in.Name) > maxName {
		return none, fault.New(fault.Invalid, "", "The gate must give a name of at most %d characters.", maxName)
	}
	now := h.Now().UTC()
	cert, err := h.Authority.Sign(in.CSR, pki.Template{CommonName: gateName(c.ID), Now: now, Life: CertificateLife})
	if err != nil {
		return none, fault.New(fault.Invalid, "", "The certificate request is not one of an ECDSA key.").Because(err)
	}
	fingerprint, err := pki.Fingerprint(cert)
	if err != nil {
		return none, fault.Wrap(err, "certificate of a gate")
	}
	end, err := pki.Expiry(cert)
	if err != nil {
		return none, fault.Wrap(err, "certificate of a gate")
	}
	err = tx.PutCertificate(pki.Issued{
		Fingerprint: fingerprint, Cluster: c.ID, Epoch: c.Epoch, Kind: managedcluster.GateCertificate, Holder: holder, HolderUPN: in.Name,
		IssuedAt: now, NotAfter: end,
	})
	if err != nil {
		return none, err
	}
	out := gatefeed.Enrolled{Cluster: c.ID, ResourceID: c.ResourceID(), Issuer: h.Issuer, Certificate: cert, NotAfter: end}
	return out, tx.Audit(audit.Record{
		At: now, Event: audit.GateEnrolled, Tenant: c.Tenant, Actor: holder, ActorName: in.Name, Target: c.ResourceID(),
		Detail: map[string]string{"fingerprint": fingerprint, "notAfter": end.UTC().Format(time.RFC3339)},
	})
}

// report notes the revision that a gate has reached.
func (h *Handler) report(w http.ResponseWriter, r *http.Request) error {
	g, err := h.known(r)
	if err != nil {
		return err
	}
	var in gatefeed.Report
	if err := web.DecodeJSON(w, r, &in); err != nil {
		return err
	}
	if len(in.Name) > maxName || len(in.Version) > maxName {
		return fault.New(fault.Invalid, "", "Name and version have at most %d characters.", maxName)
	}
	h.Roster.report(g.cluster.ID, g.fingerprint, in, h.Now())
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// writeError answers with the public half of an error.
func writeError(w http.ResponseWriter, _ *http.Request, err error) {
	f := fault.As(err)
	code := http.StatusInternalServerError
	switch f.Kind {
	case fault.Invalid, fault.Unsupported, fault.Precondition:
		code = http.StatusBadRequest
	case fault.Unauthenticated:
		code = http.StatusUnauthorized
	case fault.Forbidden:
		code = http.StatusForbidden
	case fault.NotFound:
		code = http.StatusNotFound
	case fault.Conflict:
		code = http.StatusConflict
	case fault.TooLarge:
		code = http.StatusRequestEntityTooLarge
	case fault.Unavailable, fault.TooMany:
		code = http.StatusServiceUnavailable
	case fault.Internal:
	}
	_ = web.WriteJSON(w, code, "application/json", map[string]string{"error": f.Public}) // it always encodes
}

// errGone says that a hub does not keep what a stream asks for.
var errGone = errors.New("gatehouse: changes are not kept")
