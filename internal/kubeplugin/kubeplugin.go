// Package kubeplugin owns the kubectl plugin, `kubectl keyreeve`: who the current context of a kubeconfig signs in as, what
// they may do there and why, and which of several accounts is used.
//
//	kubeconfig ──► current context ──► kubelogin's sign-in ──► API server: SelfSubjectReview, SelfSubjectAccessReview
//	                                          │
//	                                          └──► the authority's Keyreeve ──► Resource Manager: explain, access
//
// It asks as kubectl would, with the kubeconfig that get-credentials wrote and nothing else: the API server's and the
// authority's certificates are taken from there.
package kubeplugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyreeve/keyreeve/internal/kubelogin"
	"github.com/keyreeve/keyreeve/internal/kubelogin/command"
	"github.com/keyreeve/keyreeve/internal/kubelogin/kubeconfig"
)

// Deps are what the commands work with.
type Deps = kubelogin.Deps

// Main runs the plugin by the whole command line and returns its exit status.
func Main(ctx context.Context, d Deps, args []string) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := Command(d)
	rest := args[1:]
	if strings.HasPrefix(filepath.Base(args[0]), "kubectl_complete-") {
		rest = append([]string{cobra.ShellCompRequestCmd}, rest...)
	}
	root.SetArgs(rest)
	if err := root.ExecuteContext(ctx); err != nil {
		_, _ = fmt.Fprintln(d.Err, "Error:", err)
		return 1
	}
	return 0
}

// flags are those of every command.
type flags struct {
	kubeconfig, context, output string
}

// Command returns the plugin's command.
func Command(d Deps) *cobra.Command {
	f := &flags{}
	root := &cobra.Command{
		Use:   "keyreeve",
		Short: "Who you are in this cluster, what you may do, and why",
		Long: "Who you are in the cluster of the current context, what you may do there, and why.\n\n" +
			"It signs in as kubectl does, by the kubeconfig that `az aks get-credentials` wrote.",
		Version: d.Version, SilenceUsage: true, SilenceErrors: true,
		Annotations: map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl keyreeve"},
	}
	root.SetOut(d.Out)
	root.SetErr(d.Err)
	p := root.PersistentFlags()
	p.StringVar(&f.kubeconfig, "kubeconfig", "", "the kubeconfig (default: those of $KUBECONFIG, else ~/.kube/config)")
	p.StringVar(&f.context, "context", "", "the context (default: the current one)")
	p.StringVarP(&f.output, "output", "o", "table", "table, or json")
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp))
	_ = root.RegisterFlagCompletionFunc("context", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return kubeconfig.Contexts(f.files(d)), cobra.ShellCompDirectiveNoFileComp
	})
	_ = root.MarkPersistentFlagFilename("kubeconfig")
	root.AddCommand(whoamiCommand(d, f), explainCommand(d, f), accessCommand(d, f), switchCommand(d, f))
	return root
}

func (f *flags) files(d Deps) []string {
	list, _ := d.Environ("KUBECONFIG")
	home, _ := d.Environ("HOME")
	if home == "" {
		home, _ = os.UserHomeDir()
	}
	return kubeconfig.Files(f.kubeconfig, list, home)
}

func (f *flags) check() error {
	if f.output != "table" && f.output != "json" {
		return fmt.Errorf("--output %q is not one of table, json", f.output)
	}
	return nil
}

// here is the current context, and how its user signs in.
type here struct {
	kubeconfig.Current
	d Deps
	// signIn is kubelogin's; nil if the user has a certificate or a token.
	signIn *kubelogin.SignIn
}

var errOtherPlugin = errors.New("signs in by another program than kubelogin")

func (f *flags) here(d Deps) (*here, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	c, err := kubeconfig.Open(f.files(d), f.kubeconfig != "", f.context)
	if err != nil {
		return nil, err
	}
	h := &here{Current: c, d: d}
	e := c.Exec
	if e == nil {
		return h, nil
	}
	if !e.Kubelogin {
		return nil, fmt.Errorf("the user %q of the context %q %w: %s", c.UserName, c.Context, errOtherPlugin, e.Command)
	}
	within := command.Whole(d)
	// As for a plugin that kubectl runs: the section's own variables stand before those of the process.
	within.Environ = func(name string) (string, bool) {
		if name == "KUBERNETES_EXEC_INFO" {
			return "", false
		}
		for _, v := range slices.Backward(e.Env) {
			if v[0] == name {
				return v[1], true
			}
		}
		return d.Environ(name)
	}
	if h.signIn, err = kubelogin.NewSignIn(within, e.Args[1:]); err != nil {
		return nil, fmt.Errorf("the user %q of the context %q: %w", c.UserName, c.Context, err)
	}
	return h, nil
}

// token returns what the API server is shown; empty for a client certificate.
func (h *here) token(ctx context.Context) (string, error) {
	if h.signIn == nil {
		return h.Token, nil
	}
	token, _, err := h.signIn.Token(ctx)
	return token, err
}

func until(now, end time.Time) string {
	if !end.After(now) {
		return "expired"
	}
	return "in " + end.Sub(now).Round(time.Second).String()
}

func printLines(w io.Writer, lines [][2]string) error {
	width := 0
	for _, l := range lines {
		width = max(width, len(l[0]))
	}
	var b strings.Builder
	for _, l := range lines {
		if l[1] != "" {
			fmt.Fprintf(&b, "%-*s  %s\n", width, l[0], shown(l[1]))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
