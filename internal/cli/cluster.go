package cli

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyreeve/keyreeve/internal/datadir"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/pki"
	"github.com/keyreeve/keyreeve/internal/seal"
	"github.com/keyreeve/keyreeve/internal/store"
)

func clusterCommand(d Deps) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cluster",
		Short: "Clusters: the way in when all else fails",
	}
	cmd.AddCommand(recoverCommand(d))
	return cmd
}

func recoverCommand(d Deps) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "recover CLUSTER",
		Short: "Mint an emergency kubeconfig, with no sign-in and no control plane",
		Long: "Mint a kubeconfig of the group system:masters that is good for 15 minutes, from the sealed authority in the\n" +
			"data folder. It needs neither the control plane nor the gate, only this host's data. It is written down\n" +
			"before it is handed out, and the control plane reports it.\n\n" +
			"CLUSTER is a cluster's name, its resource id, or its own id.",
		Args: cobra.ExactArgs(1),
	}
	data := dataFlag(cmd)
	f := cmd.Flags()
	reason := f.String("reason", "", "why, for the record (required)")
	file := f.StringP("file", "f", "", "write the kubeconfig to this new file; default: standard output")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if strings.TrimSpace(*reason) == "" {
			return errors.New("say why with --reason: it is written down")
		}
		dir, err := dataDir(*data)
		if err != nil {
			return err
		}
		config, entry, err := recoverCluster(cmd.Context(), dir, args[0], *reason, d.Now())
		if err != nil {
			return err
		}
		if *file == "" {
			_, err = d.Out.Write(config)
		} else {
			err = writeNew(*file, config)
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(d.Err, "Good until %s, as system:masters of %s. Written down in %s.\n",
			entry.NotAfter.Local().Format(time.RFC1123), entry.ResourceID, dir.Recoveries())
		return err
	}
	return cmd
}

// recoverCluster mints the emergency kubeconfig and writes it down.
func recoverCluster(ctx context.Context, dir datadir.Dir, name, reason string, now time.Time) ([]byte, datadir.Recovery, error) {
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

// writeNew writes a file for its owner alone, and does not touch one that is there.
func writeNew(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Close())
}
