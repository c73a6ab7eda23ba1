package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyreeve/keyreeve/internal/breakglass"
)

func clusterCommand(d Deps) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cluster",
		Short: "Clusters: attach one that runs elsewhere; the way in when all else fails",
	}
	cmd.AddCommand(attachCommand(d), recoverCommand(d))
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
		// The file first: what cannot be handed out is not minted and not written down.
		out, done, err := output(d.Out, *file)
		if err != nil {
			return err
		}
		config, entry, err := breakglass.Mint(cmd.Context(), dir, args[0], *reason, d.Now())
		if err == nil {
			_, err = out.Write(config)
		}
		if err = done(err); err != nil {
			return err
		}
		_, err = fmt.Fprintf(d.Err, "Good until %s, as system:masters of %s. Written down in %s.\n",
			entry.NotAfter.Local().Format(time.RFC1123), entry.ResourceID, dir.Recoveries())
		return err
	}
	return cmd
}

// output returns where a result goes: a new file for its owner alone, or standard output without a name. done closes the
// file, and removes it again if the result did not come about.
func output(stdout io.Writer, name string) (w io.Writer, done func(error) error, err error) {
	if name == "" {
		return stdout, func(err error) error { return err }, nil
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	return f, func(failed error) error {
		if err := errors.Join(failed, f.Close()); err != nil {
			return errors.Join(err, os.Remove(name))
		}
		return nil
	}, nil
}
