package containerservice

import (
	"net/http"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/pki"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

// issuer makes a cluster that wants to be one an issuer, by the key that its secrets hold.
func (h *Handler) issuer(c managedcluster.Cluster, s pki.Secrets) (managedcluster.Cluster, error) {
	if !c.WantsIssuer {
		return c, nil
	}
	url := h.LoginURL + "/oidc/" + c.Tenant.String() + "/" + c.ID.String() + "/"
	if c.Issuer != nil {
		url = c.Issuer.URL // others have it in their settings
	}
	key, err := s.ServiceAccountPublic()
	if err != nil {
		return c, fault.Wrap(err, "service account key of cluster %s", c.ID)
	}
	return c.IssuedBy(url, key), nil
}

// rotateSigningKey gives a cluster another key for service account tokens. Those that the old one signed live out their
// time.
func (h *Handler) rotateSigningKey(w http.ResponseWriter, r *arm.Request) error {
	var op resource.Operation
	_, err := h.DB.Update(r.Context(), func(tx *store.Tx) error {
		before, err := find(tx, r)
		if err != nil {
			return err
		}
		if before.IsAttached() {
			return attachedOnly("rotateServiceAccountSigningKeys")
		}
		if before.Issuer == nil {
			return fault.New(fault.Invalid, "OperationNotAllowed", "Service account signing keys can be rotated only when the OIDC issuer is enabled.")
		}
		if err := before.Powered(); err != nil {
			return err
		}
		secrets, err := h.secrets(tx, before.ID)
		if err != nil {
			return err
		}
		if secrets, err = secrets.WithServiceAccountKey(); err != nil {
			return fault.Wrap(err, "new key of cluster %s", before.ID)
		}
		key, err := secrets.ServiceAccountPublic()
		if err != nil {
			return fault.Wrap(err, "new key of cluster %s", before.ID)
		}
		c := before.SigningKeyRotated(key, r.Now())
		c.ProvisioningState = managedcluster.Updating
		op, err = h.reissue(tx, r, c, secrets, audit.ClusterKeyRotated)
		return err
	})
	if err != nil {
		return err
	}
	return accepted(w, r, op)
}
