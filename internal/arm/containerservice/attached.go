package containerservice

import (
	"fmt"
	"net/http"
	"time"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

// Attached clusters, an extension of ours: somebody else's API server with a gate beside it. The resource is a managed
// cluster with properties.keyreeveAttachedProfile, so that role assignments, az and kubelogin take it as any other. No
// driver runs it, no keys are made for it, and its operations are over when they are answered.

// GateStatus is a gate that is connected, or was since this process started.
type GateStatus struct {
	// Fingerprint is the lower-case hex SHA-256 of its certificate.
	Fingerprint string    `json:"fingerprint"`
	Name        string    `json:"name"`
	Version     string    `json:"version"`
	Connected   bool      `json:"connected"`
	Since       time.Time `json:"since"`
	// Revision is the newest that the gate said it decides by; ReportedOn is when.
	Revision   int64     `json:"revision"`
	ReportedOn time.Time `json:"reportedOn"`
}

// Gates tells what is known of the gates of a cluster.
type Gates interface {
	Of(ident.ClusterID) []GateStatus
}

func (h *Handler) mountAttached(route func(method, pattern, action string, handle arm.HandlerFunc)) {
	route(http.MethodPost, itemPath+"/keyreeveEnrollGate", managedcluster.Type+"/keyreeveEnrollGate/action", h.enrollGate)
	route(http.MethodGet, itemPath+"/keyreeveGates", read, h.gates)
}

// createAttached records an attached cluster.
func (h *Handler) createAttached(tx *store.Tx, r *arm.Request, req *managedcluster.Request, group string) (managedcluster.Cluster, resource.Operation, error) {
	none := resource.Operation{}
	c, err := managedcluster.Create(managedcluster.New{
		ID: ident.New[ident.ClusterID](), Subscription: r.Subscription.ID, Tenant: r.Subscription.Tenant, Group: group, Name: r.Param("name"),
		Domain: h.domain(), Now: r.Now(), By: r.Caller.Object,
	}, req, h.known)
	if err != nil {
		return c, none, err
	}
	if err := knownLocation(c.Location); err != nil {
		return c, none, err
	}
	op, err := done(tx, r, c, managedcluster.Creating, http.StatusOK)
	if err != nil {
		return c, none, err
	}
	if err := tx.PutCluster(c); err != nil {
		return c, none, err
	}
	return c, op, r.Audit(tx, audit.ClusterWritten, c.ResourceID(), details(c))
}

func knownLocation(location string) error {
	if _, ok := resource.FindLocation(location); !ok {
		return fault.New(fault.Invalid, "LocationNotAvailableForResourceType",
			"The provided location '%s' is not available for resource type '%s'.", location, managedcluster.Type).At("location")
	}
	return nil
}

func notAttached(c managedcluster.Cluster) error {
	return fault.New(fault.Invalid, "OperationNotAllowed", "The managed cluster '%s' runs here and needs no gate of its own.", c.Name)
}

func attachedOnly(op string) error {
	return fault.New(fault.Invalid, "OperationNotAllowed", "Operation '%s' is not possible for an attached cluster: Keyreeve holds no keys of it.", op)
}

type enrollGateBody struct {
	// Token is shown this once.
	Token     string    `json:"token"`
	ExpiresOn time.Time `json:"expiresOn"`
	ClusterID string    `json:"clusterId"`
	// ControlPlane is where the gate connects to, and CertificateAuthority what it verifies that with, PEM.
	ControlPlane         string `json:"controlPlane"`
	CertificateAuthority string `json:"certificateAuthority"`
	// Issuer is the token service, for those who set up an API server by hand.
	Issuer string `json:"issuer"`
}

// enrollGate hands out a token with which one gate may become a gate of the cluster.
func (h *Handler) enrollGate(_ http.ResponseWriter, r *arm.Request) error {
	token := proof.NewToken(managedcluster.EnrollmentPrefix)
	out := enrollGateBody{Token: token, ControlPlane: h.GateURL, CertificateAuthority: h.GateCA, Issuer: h.LoginURL}
	_, err := h.DB.Update(r.Context(), func(tx *store.Tx) error {
		c, err := find(tx, r)
		if err != nil {
			return err
		}
		if !c.IsAttached() {
			return notAttached(c)
		}
		e := managedcluster.Enrollment{
			Hash: proof.HashToken(token), Cluster: c.ID, CreatedAt: r.Now(), CreatedBy: r.Caller.Object,
			ExpiresAt: r.Now().Add(managedcluster.EnrollmentLife),
		}
		out.ExpiresOn, out.ClusterID = e.ExpiresAt, c.ID.String()
		if err := tx.PutEnrollment(e); err != nil {
			return err
		}
		return r.Audit(tx, audit.GateTokenIssued, c.ResourceID(), map[string]string{"expiresOn": fmt.Sprint(e.ExpiresAt.Format(time.RFC3339))})
	})
	if err != nil {
		return err
	}
	return r.WriteJSON(http.StatusOK, out)
}

// gates lists the gates of a cluster with the revision each has reached.
func (h *Handler) gates(_ http.ResponseWriter, r *arm.Request) error {
	c, err := h.view(r)
	if err != nil {
		return err
	}
	value := []GateStatus{}
	if h.Gates != nil {
		value = append(value, h.Gates.Of(c.ID)...)
	}
	return r.WriteJSON(http.StatusOK, map[string]any{"value": value, "revision": h.DB.Head()})
}
