// Package breakglass owns the way in when all else fails: an emergency kubeconfig from the sealed authority in the data
// folder, with no gate and no control plane, written down before it is handed out.
//
// It reads the database of a control plane that may be running or dead, and writes nothing to it.
package breakglass

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os/user"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/datadir"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/pki"
	"github.com/keyreeve/keyreeve/internal/seal"
	"github.com/keyreeve/keyreeve/internal/store"
)

// Mint returns a kubeconfig of the group system:masters that is good for pki.RecoverLife, for the cluster with a name,
// resource id or own id, and the entry that was written down about it. The entry is on disk before the kubeconfig is
// handed out.
func Mint(ctx context.Context, dir datadir.Dir, name, reason string, now time.Time) ([]byte, datadir.Recovery, error) {
	var none datadir.Recovery
	cluster, secrets, err := clusterSecrets(ctx, dir, name)
	if err != nil {
		return nil, none, err
	}
	who, err := user.Current()
	if err != nil {
		return nil, none, fmt.Errorf("who is asking: %w", err)
	}
	pair, err := secrets.IssueMasters("keyreeve-recover:"+who.Username, now, pki.RecoverLife)
	if err != nil {
		return nil, none, err
	}
	fingerprint, err := pki.Fingerprint(pair.Cert)
	if err != nil {
		return nil, none, err
	}
	entry := datadir.Recovery{
		At: now.UTC(), Cluster: cluster.ID.String(), ResourceID: cluster.ResourceID(), Fingerprint: fingerprint,
		NotAfter: now.Add(pki.RecoverLife).UTC(), OSUser: who.Username, Reason: reason,
	}
	if err := dir.AppendRecovery(entry); err != nil {
		return nil, none, err
	}
	return recoverConfig(cluster, secrets, pair), entry, nil
}

// clusterSecrets finds a cluster in the data folder and opens its authorities.
func clusterSecrets(ctx context.Context, dir datadir.Dir, name string) (managedcluster.Cluster, pki.Secrets, error) {
	var cluster managedcluster.Cluster
	var sealed []byte
	err := store.Peek(ctx, dir.Database(), func(tx *store.Tx) error {
		all, err := tx.Clusters()
		if err != nil {
			return err
		}
		if cluster, err = pick(all, name); err != nil {
			return err
		}
		sealed, err = tx.ClusterSecrets(cluster.ID)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return cluster, pki.Secrets{}, fmt.Errorf("%s holds no Keyreeve: name its data folder with --data", dir)
	}
	if err != nil {
		return cluster, pki.Secrets{}, err
	}
	sealer, err := seal.LoadFile(dir.SealKey())
	if err != nil {
		return cluster, pki.Secrets{}, fmt.Errorf("the key that opens the data of %s: %w", dir, err)
	}
	plain, err := sealer.Open(pki.SealName(cluster.ID.String()), sealed)
	if err != nil {
		return cluster, pki.Secrets{}, err
	}
	secrets, err := pki.ParseSecrets(plain)
	return cluster, secrets, err
}

// pick finds a cluster by resource id, own id, or name.
func pick(all []managedcluster.Cluster, name string) (managedcluster.Cluster, error) {
	var found []managedcluster.Cluster
	var known []string
	for _, c := range all {
		if strings.EqualFold(c.ResourceID(), name) || c.ID.String() == name {
			return c, nil
		}
		if strings.EqualFold(c.Name, name) {
			found = append(found, c)
		}
		known = append(known, c.ResourceID())
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		if len(known) == 0 {
			return managedcluster.Cluster{}, errors.New("there are no clusters")
		}
		return managedcluster.Cluster{}, fmt.Errorf("there is no cluster %q; there are:\n  %s", name, strings.Join(known, "\n  "))
	}
	return managedcluster.Cluster{}, fmt.Errorf("several clusters are named %q; give the resource id", name)
}

func recoverConfig(c managedcluster.Cluster, s pki.Secrets, pair pki.KeyPair) []byte {
	b64 := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	name := c.Name + "-recover"
	return []byte("apiVersion: v1\nkind: Config\ncurrent-context: " + name + "\n" +
		"clusters:\n- name: " + c.Name + "\n  cluster:\n    server: https://" + c.Endpoint + "\n    certificate-authority-data: " + b64(s.Cluster.Cert) + "\n" +
		"contexts:\n- name: " + name + "\n  context:\n    cluster: " + c.Name + "\n    user: " + name + "\n" +
		"users:\n- name: " + name + "\n  user:\n    client-certificate-data: " + b64(pair.Cert) + "\n    client-key-data: " + b64(pair.Key) + "\n")
}
