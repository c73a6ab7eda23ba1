// Package quick owns the part of the keyreeve command that starts fast: the commands that az has too, which are clients of a server
// and link nothing of it.
package quick

import (
	"context"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/keyreeve/keyreeve/internal/cli/az"
	"github.com/keyreeve/keyreeve/internal/datadir"
	"github.com/keyreeve/keyreeve/internal/workstation"
)

// Run runs a command line if it is one of these commands. It reports false, and has done nothing, for all others: the whole
// program knows them, and everything else that there is to say, like help.
func Run(ctx context.Context, d az.Deps, args []string) (done bool, err error) {
	d.Workstation = Workstation
	cmd := az.Named(d, args)
	if cmd == nil || slices.Contains(args, "-h") || slices.Contains(args, "--help") {
		return false, nil
	}
	root := &cobra.Command{Use: "keyreeve", SilenceUsage: true, SilenceErrors: true}
	root.SetOut(d.Out)
	root.SetErr(d.Err)
	root.AddCommand(cmd)
	root.SetArgs(az.Arguments(root, args))
	return true, root.ExecuteContext(ctx)
}

// Workstation is the folder of the server that commands talk to: the environment's, else the connected one that is current, else
// that of the data folder on this machine.
func Workstation() (string, error) {
	if dir := os.Getenv("KEYREEVE_WORKSTATION"); dir != "" {
		return dir, nil
	}
	book, err := workstation.DefaultBook()
	if err != nil {
		return "", err
	}
	if name, err := book.Current(); err != nil || name != "" {
		if err != nil {
			return "", err
		}
		return book.Folder(name)
	}
	dir, err := datadir.Default()
	if err != nil {
		return "", err
	}
	return dir.Environment(), nil
}
