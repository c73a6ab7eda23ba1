package managedcluster

import (
	"time"

	"github.com/keyreeve/keyreeve/internal/ident"
)

// EnrollmentLife is how long a gate may take to enrol.
const EnrollmentLife = time.Hour

// EnrollmentPrefix begins every enrolment token, so that who finds one knows whose it is.
const EnrollmentPrefix = "krgate_"

// GateCertificate is the kind of a gate's certificate on record.
const GateCertificate = "gate"

// Enrollment is a token that lets one gate become a gate of a cluster, once.
type Enrollment struct {
	// Hash is the hex SHA-256 of the token; the token itself is never kept.
	Hash      string          `json:"hash"`
	Cluster   ident.ClusterID `json:"cluster"`
	CreatedAt time.Time       `json:"createdAt"`
	CreatedBy ident.ObjectID  `json:"createdBy"`
	ExpiresAt time.Time       `json:"expiresAt"`
}
