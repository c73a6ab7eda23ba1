package store

import (
	"database/sql"
	"errors"
	"strings"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/resource"
)

// PutDeployment makes or replaces a deployment; its input stays.
func (tx *Tx) PutDeployment(d resource.Deployment) error {
	return tx.put(feed.Private, "", d,
		`INSERT INTO deployments (doc, id_key, subscription, group_key, started_at) VALUES ($1, $2, $3, $4, $5)
		 ON CONFLICT (id_key) DO UPDATE SET doc = excluded.doc, started_at = excluded.started_at`,
		d.Key(), d.Subscription, strings.ToLower(d.Group), stamp(d.StartedAt))
}

// Deployment returns a deployment by its id, without case.
func (tx *Tx) Deployment(id string) (resource.Deployment, error) {
	return one[resource.Deployment](tx, "deployment", id, `SELECT doc FROM deployments WHERE id_key = $1`, strings.ToLower(id))
}

// Deployments returns the deployments of a resource group, or of the subscription itself if group is empty, newest first.
func (tx *Tx) Deployments(sub ident.SubscriptionID, group string) ([]resource.Deployment, error) {
	return all[resource.Deployment](tx, "deployment",
		`SELECT doc FROM deployments WHERE subscription = $1 AND group_key = $2 ORDER BY started_at DESC, id_key`, sub, strings.ToLower(group))
}

// PutDeploymentInput keeps what a deployment works with, sealed.
func (tx *Tx) PutDeploymentInput(id string, sealed []byte) error {
	n, err := tx.exec(`UPDATE deployments SET input = $1 WHERE id_key = $2`, sealed, strings.ToLower(id))
	if err == nil && n == 0 {
		return notFound("deployment", id)
	}
	return err
}

// DeploymentInput returns what PutDeploymentInput kept.
func (tx *Tx) DeploymentInput(id string) ([]byte, error) {
	var sealed []byte
	err := tx.read([]any{&sealed}, `SELECT input FROM deployments WHERE id_key = $1`, strings.ToLower(id))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, notFound("deployment", id)
	}
	if err != nil {
		return nil, fault.Wrap(err, "store: read deployment")
	}
	return sealed, nil
}

// DeleteDeployment removes a deployment.
func (tx *Tx) DeleteDeployment(id string) error {
	return tx.remove(feed.Private, id, `DELETE FROM deployments WHERE id_key = $1`, strings.ToLower(id))
}
