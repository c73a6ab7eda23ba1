// Package cli owns the keyreeve command: its sub-commands, each a function of its dependencies, and what they print.
//
// Results go to standard output, everything else to standard error. An error says what failed and what to do next.
package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyreeve/keyreeve/internal/cli/az"
	"github.com/keyreeve/keyreeve/internal/cli/quick"
	"github.com/keyreeve/keyreeve/internal/datadir"
)

// Deps are what the commands work with.
type Deps struct {
	Version string
	// Args is the command line without the program's name.
	Args []string
	In   io.Reader
	Out  io.Writer
	Err  io.Writer
	Now  func() time.Time
	// Executable is the path of this program; its neighbours are localkube and the clients.
	Executable string
}

// New returns the keyreeve command.
func New(d Deps) *cobra.Command {
	root := &cobra.Command{
		Use:   "keyreeve",
		Short: "The AKS and Microsoft Entra access model for any Kubernetes cluster",
		Long: "Keyreeve gives every Kubernetes cluster the access model that AKS has with Microsoft Entra ID.\n" +
			"az, kubectl, kubelogin and the Azure SDKs work against it unmodified.\n\n" +
			"Start with: keyreeve up",
		Version:       d.Version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetOut(d.Out)
	root.SetErr(d.Err)
	root.AddCommand(upCommand(d), envCommand(d), clusterCommand(d), gateCommand(d), explainCommand(d), whoCanCommand(d), accessCommand(d), doctorCommand(d), connectCommand(d))
	root.AddCommand(serveCommand(d), initCommand(d), configCommand(d), backupCommand(d), restoreCommand(d), kubeloginCommand(d))
	own := map[string]*cobra.Command{"identity": identityCommand(d)}
	for _, c := range az.Commands(az.Deps{In: d.In, Out: d.Out, Err: d.Err, Now: d.Now, Workstation: quick.Workstation}) {
		if more := own[c.Name()]; more != nil { // what az does not have stands beside what it has
			c.AddCommand(more.Commands()...)
		}
		root.AddCommand(c)
	}
	root.SetArgs(az.Arguments(root, d.Args))
	return root
}

// dataFlag adds --data to a command and returns where its value will be.
func dataFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("data", "", "data folder (default $KEYREEVE_DATA, else ~/.local/share/keyreeve)")
}

func dataDir(flag string) (datadir.Dir, error) {
	if flag != "" {
		return datadir.Dir(flag), nil
	}
	return datadir.Default()
}

// logger returns a logger of a level named debug, info, warn or error.
func logger(w io.Writer, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level %q is not one of debug, info, warn, error", level)
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: l})), nil
}

// Describe returns an error's text with its causes. What a face hides from a caller, the person at this terminal may see.
func Describe(err error) string { return quick.Describe(err) }

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

func fileExists(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}
