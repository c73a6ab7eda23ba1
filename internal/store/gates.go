package store

import (
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
)

// PutEnrollment keeps the record of a gate's enrolment token.
func (tx *Tx) PutEnrollment(e managedcluster.Enrollment) error {
	return tx.put(feed.Private, "", e,
		`INSERT INTO gate_enrollments (doc, token, cluster, expires_at) VALUES ($1, $2, $3, $4)`, e.Hash, e.Cluster, stamp(e.ExpiresAt))
}

// Enrollment returns the record of an enrolment token by the token's hash.
func (tx *Tx) Enrollment(hash string) (managedcluster.Enrollment, error) {
	return one[managedcluster.Enrollment](tx, "enrollment", "", `SELECT doc FROM gate_enrollments WHERE token = $1`, hash)
}

// DeleteEnrollment removes an enrolment token: it was used. NotFound if it was before.
func (tx *Tx) DeleteEnrollment(hash string) error {
	return tx.remove(feed.Private, "", `DELETE FROM gate_enrollments WHERE token = $1`, hash)
}
