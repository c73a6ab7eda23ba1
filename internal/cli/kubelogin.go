package cli

import (
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/keyreeve/keyreeve/internal/kubelogin"
	"github.com/keyreeve/keyreeve/internal/kubelogin/command"
)

// kubeloginCommand is bin/kubelogin as a sub-command, for machines that have this program alone.
func kubeloginCommand(d Deps) *cobra.Command {
	f, ok := d.Err.(*os.File)
	return command.Command(kubelogin.Deps{
		Version: d.Version, Out: d.Out, Err: d.Err, Terminal: ok && term.IsTerminal(int(f.Fd())), Now: d.Now, Environ: os.LookupEnv,
	})
}
