package pki

import (
	"time"

	"github.com/keyreeve/keyreeve/internal/ident"
)

// Issued is the record of a client certificate handed out for a cluster: the allow-list the gate checks.
type Issued struct {
	// Fingerprint is the lower-case hex SHA-256 of the DER certificate, as the API server's credential id shows it.
	Fingerprint string          `json:"fingerprint"`
	Cluster     ident.ClusterID `json:"cluster"`
	// Epoch of the cluster when it was issued; void once the cluster's epoch is later.
	Epoch int64 `json:"epoch"`
	// Kind is clusterAdmin or clusterUser: which credential call handed it out.
	Kind string `json:"kind"`
	// Holder is who asked for it.
	Holder    ident.ObjectID `json:"holder"`
	HolderUPN string         `json:"holderUPN,omitempty"`
	IssuedAt  time.Time      `json:"issuedAt"`
	NotAfter  time.Time      `json:"notAfter"`
	// RevokedAt is zero while it is good.
	RevokedAt time.Time `json:"revokedAt"`
	RevokedBy string    `json:"revokedBy,omitempty"`
}

// CommonName is the name in the certificate: which call handed it out, and to whom. It is nobody's name in the directory.
func (i Issued) CommonName() string { return i.Kind + "-" + i.Holder.String() }
