package containerservice

import (
	"net/http"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/pki"
	"github.com/keyreeve/keyreeve/internal/store"
)

type credentialResults struct {
	Kubeconfigs []credentialResult `json:"kubeconfigs"`
}

type credentialResult struct {
	Name  string `json:"name"`
	Value []byte `json:"value"` // base64 with padding on one line, as encoding/json writes bytes
}

func (h *Handler) credential(kind managedcluster.CredentialKind) arm.HandlerFunc {
	return func(_ http.ResponseWriter, r *arm.Request) error {
		_, kubeconfig, err := h.kubeconfig(r, kind)
		if err != nil {
			return err
		}
		return r.WriteJSON(http.StatusOK, credentialResults{[]credentialResult{{Name: string(kind), Value: kubeconfig}}})
	}
}

// accessProfile is the older form of the credential calls (accessProfiles/{clusterUser,clusterAdmin}/listCredential).
func (h *Handler) accessProfile(_ http.ResponseWriter, r *arm.Request) error {
	kind := managedcluster.CredentialKind("")
	for _, k := range []managedcluster.CredentialKind{managedcluster.ClusterUser, managedcluster.ClusterAdmin} {
		if strings.EqualFold(r.Param("profile"), string(k)) {
			kind = k
		}
	}
	if kind == "" {
		return fault.New(fault.NotFound, "NotFound", "There is no access profile of that name; use clusterUser or clusterAdmin.")
	}
	c, kubeconfig, err := h.kubeconfig(r, kind)
	if err != nil {
		return err
	}
	return r.WriteJSON(http.StatusOK, map[string]any{
		"id": c.ResourceID() + "/accessProfiles/" + string(kind), "name": string(kind), "location": c.Location,
		"type":       "Microsoft.ContainerService/ManagedClusters/AccessProfiles",
		"properties": map[string]any{"kubeConfig": kubeconfig},
	})
}

// kubeconfig makes a kubeconfig of a kind. One that holds a certificate is on record, and in the audit log, before it is
// returned: what is not on record is not let in.
func (h *Handler) kubeconfig(r *arm.Request, kind managedcluster.CredentialKind) (managedcluster.Cluster, []byte, error) {
	format, _, err := r.Query("format")
	if err != nil {
		return managedcluster.Cluster{}, nil, err
	}
	var (
		c   managedcluster.Cluster
		out []byte
	)
	_, err = h.DB.Update(r.Context(), func(tx *store.Tx) error {
		var err error
		if c, err = find(tx, r); err != nil {
			return err
		}
		form, err := c.CredentialForm(kind, format)
		if err != nil {
			return err
		}
		k := managedcluster.Kubeconfig{Kind: kind, Form: form, Authority: h.LoginURL, AuthorityCA: h.LoginCA}
		var secrets pki.Secrets
		if c.IsAttached() {
			k.CA = c.Attached.CertificateAuthority
		} else if secrets, err = h.secrets(tx, c.ID); err != nil {
			return err
		} else {
			k.CA = secrets.Cluster.Cert
		}
		if form == managedcluster.Static {
			pair, err := h.issue(tx, r, c, secrets, kind)
			if err != nil {
				return err
			}
			k.Cert, k.Key = pair.Cert, pair.Key
		}
		if out, err = c.Kubeconfig(k); err != nil {
			return fault.Wrap(err, "kubeconfig")
		}
		return nil
	})
	return c, out, err
}

// issue makes a certificate for whoever asks, and puts it on record.
func (h *Handler) issue(tx *store.Tx, r *arm.Request, c managedcluster.Cluster, secrets pki.Secrets, kind managedcluster.CredentialKind) (pki.KeyPair, error) {
	issued := pki.Issued{
		Cluster: c.ID, Epoch: c.Epoch, Kind: string(kind), Holder: r.Caller.Object, HolderUPN: r.Caller.Name, IssuedAt: r.Now(),
	}
	pair, err := secrets.IssueAdmin(issued.CommonName(), r.Now(), h.credentialLife())
	if err != nil {
		return pair, fault.Wrap(err, "certificate for cluster %s", c.ID)
	}
	if issued.Fingerprint, err = pki.Fingerprint(pair.Cert); err != nil {
		return pair, fault.Wrap(err, "certificate for cluster %s", c.ID)
	}
	if issued.NotAfter, err = pki.Expiry(pair.Cert); err != nil {
		return pair, fault.Wrap(err, "certificate for cluster %s", c.ID)
	}
	if err := tx.PutCertificate(issued); err != nil {
		return pair, err
	}
	return pair, r.Audit(tx, audit.CredentialIssued, c.ResourceID(), map[string]string{
		"kind": string(kind), "fingerprint": issued.Fingerprint, "notAfter": issued.NotAfter.UTC().Format(time.RFC3339),
	})
}

// Certificates, an extension of ours: which were handed out for a cluster, and how to take one back.

type certificateBody struct {
	ID         string                `json:"id"`
	Name       string                `json:"name"`
	Type       string                `json:"type"`
	Properties certificateProperties `json:"properties"`
}

type certificateProperties struct {
	Kind   string `json:"kind"`
	Holder struct {
		ObjectID string `json:"objectId"`
		Name     string `json:"name"`
	} `json:"holder"`
	// Status is Good, Revoked, Expired, or Superseded: from before local accounts were disabled or certificates rotated.
	Status    string     `json:"status"`
	IssuedOn  time.Time  `json:"issuedOn"`
	ExpiresOn time.Time  `json:"expiresOn"`
	RevokedOn *time.Time `json:"revokedOn"`
	RevokedBy *string    `json:"revokedBy"`
}

func renderCertificate(c managedcluster.Cluster, i pki.Issued, now time.Time) certificateBody {
	b := certificateBody{
		ID: c.ResourceID() + "/keyreeveCertificates/" + i.Fingerprint, Name: i.Fingerprint, Type: managedcluster.Type + "/keyreeveCertificates",
		Properties: certificateProperties{Kind: i.Kind, Status: "Good", IssuedOn: i.IssuedAt.UTC(), ExpiresOn: i.NotAfter.UTC()},
	}
	p := &b.Properties
	p.Holder.ObjectID, p.Holder.Name = i.Holder.String(), i.HolderUPN
	switch {
	case !i.RevokedAt.IsZero():
		at := i.RevokedAt.UTC()
		p.Status, p.RevokedOn, p.RevokedBy = "Revoked", &at, &i.RevokedBy
	case i.Epoch < c.Epoch && i.Kind != managedcluster.GateCertificate:
		p.Status = "Superseded"
	case !now.Before(i.NotAfter):
		p.Status = "Expired"
	}
	return b
}

// certificates lists what was handed out for a cluster.
func (h *Handler) certificates(_ http.ResponseWriter, r *arm.Request) error {
	value := []certificateBody{}
	err := h.DB.View(r.Context(), func(tx *store.Tx) error {
		c, err := find(tx, r)
		if err != nil {
			return err
		}
		issued, err := tx.Certificates(c.ID)
		if err != nil {
			return err
		}
		for _, i := range issued {
			value = append(value, renderCertificate(c, i, r.Now()))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return r.WriteJSON(http.StatusOK, map[string]any{"value": value})
}

// revoke takes a certificate back: its holder may, and whoever may write the cluster. Doing it again changes nothing.
func (h *Handler) revoke(_ http.ResponseWriter, r *arm.Request) error {
	var body certificateBody
	_, err := h.DB.Update(r.Context(), func(tx *store.Tx) error {
		c, err := find(tx, r)
		if err != nil {
			return err
		}
		i, err := tx.Certificate(strings.ToLower(r.Param("fingerprint")))
		if store.IsNotFound(err) || err == nil && i.Cluster != c.ID {
			return fault.New(fault.NotFound, "NotFound", "The cluster has no certificate with that fingerprint.")
		}
		if err != nil {
			return err
		}
		if i.Holder != r.Caller.Object {
			if err := r.Require(write, c.ResourceID()); err != nil {
				return err
			}
		}
		if i.RevokedAt.IsZero() {
			i.RevokedAt, i.RevokedBy = r.Now(), r.Caller.Name
			if err := tx.PutCertificate(i); err != nil {
				return err
			}
			if err := r.Audit(tx, audit.CertificateRevoked, c.ResourceID(), map[string]string{"fingerprint": i.Fingerprint, "holder": i.Holder.String()}); err != nil {
				return err
			}
		}
		body = renderCertificate(c, i, r.Now())
		return nil
	})
	if err != nil {
		return err
	}
	return r.WriteJSON(http.StatusOK, body)
}
