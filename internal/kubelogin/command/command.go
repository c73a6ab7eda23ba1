// Package command owns the commands of kubelogin, with the libraries that sign in.
package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/keyreeve/keyreeve/internal/kubelogin"
	"github.com/keyreeve/keyreeve/internal/kubelogin/ask"
	"github.com/keyreeve/keyreeve/internal/kubelogin/convert"
	"github.com/keyreeve/keyreeve/internal/kubelogin/kubeconfig"
	"github.com/keyreeve/keyreeve/internal/kubelogin/login"
)

// Main runs the program and returns its exit status.
func Main(ctx context.Context, d kubelogin.Deps, args []string) int {
	if err := run(ctx, Whole(d), args); err != nil {
		_, _ = fmt.Fprintln(d.Err, "Error:", err)
		return 1
	}
	return 0
}

// Whole adds what signing in needs.
func Whole(d kubelogin.Deps) kubelogin.Deps {
	d.Prove = login.Prove
	d.Source = func(d kubelogin.Deps, debug func(string, ...any)) kubelogin.Source {
		open := d.OpenBrowser
		if open == nil {
			open = login.OpenBrowser
		}
		return &login.Client{Err: d.Err, Terminal: d.Terminal, Now: d.Now, Getenv: d.Getenv, OpenBrowser: open, Debug: debug}
	}
	return d
}

func run(ctx context.Context, d kubelogin.Deps, args []string) error {
	if done, err := kubelogin.Cached(d, args); done {
		return err
	}
	root := Command(d)
	root.SetArgs(args)
	return root.ExecuteContext(ctx)
}

// interruptible gives fn until Ctrl-C.
func interruptible(ctx context.Context, fn func(context.Context) error) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	return fn(ctx)
}

// Command returns the kubelogin command.
func Command(d kubelogin.Deps) *cobra.Command {
	d = Whole(d)
	root := &cobra.Command{
		Use:           "kubelogin",
		Short:         "Sign in to clusters that ask Microsoft Entra ID, or Keyreeve",
		Version:       d.Version,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetOut(d.Out)
	root.SetErr(d.Err)
	log := kubelogin.NewOptions(d)
	log.AddLogFlags(root.PersistentFlags())
	root.AddCommand(getTokenCommand(d, log), convertCommand(d), removeCommand(d, "remove-cache-dir", "cache-dir", ""),
		removeCommand(d, "remove-tokens", "token-cache-dir", "remove-tokens is deprecated, use remove-cache-dir instead"))
	return root
}

func getTokenCommand(d kubelogin.Deps, log *kubelogin.Options) *cobra.Command {
	o := kubelogin.NewOptions(d)
	cmd := &cobra.Command{
		Use:               "get-token",
		Short:             "Print a token as kubectl takes it from a credential plugin",
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			o.SetVerbosity(log.Verbosity())
			return interruptible(c.Context(), func(ctx context.Context) error { return kubelogin.GetToken(ctx, d, o) })
		},
	}
	o.AddFlags(cmd.Flags())
	complete(cmd)
	return cmd
}

func convertCommand(d kubelogin.Deps) *cobra.Command {
	cmd := &cobra.Command{
		Use:               "convert-kubeconfig",
		Short:             "Rewrite the users of a kubeconfig to sign in by this program",
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	c := convert.New(d, cmd.Flags())
	cmd.RunE = func(*cobra.Command, []string) error { return c.Run() }
	complete(cmd)
	_ = cmd.RegisterFlagCompletionFunc("context", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return kubeconfig.Contexts(c.Files()), cobra.ShellCompDirectiveNoFileComp
	})
	_ = cmd.MarkFlagDirname("azure-config-dir")
	_ = cmd.MarkFlagFilename("kubeconfig")
	return cmd
}

// removeCommand removes the cache. Its default is the folder at home whatever $KUBECACHEDIR says, as in Azure's.
func removeCommand(d kubelogin.Deps, name, flag, deprecated string) *cobra.Command {
	cmd := &cobra.Command{
		Use: name, Short: "Remove the token cache", Deprecated: deprecated, ValidArgsFunction: cobra.NoFileCompletions,
	}
	dir := cmd.Flags().String(flag, filepath.Join(d.Home(), ".kube", "cache", "kubelogin")+string(filepath.Separator), "folder of the token cache")
	cmd.RunE = func(*cobra.Command, []string) error {
		clean := filepath.Clean(*dir)
		if *dir == "" || clean == string(filepath.Separator) || clean == filepath.Clean(d.Home()) {
			return errors.New("--" + flag + " " + strconv.Quote(*dir) + " is no folder of a token cache")
		}
		if err := os.RemoveAll(clean); err != nil {
			return fmt.Errorf("the token cache cannot be removed: %w", err)
		}
		return nil
	}
	_ = cmd.MarkFlagDirname(flag)
	return cmd
}

func complete(cmd *cobra.Command) {
	modes := make([]string, 0, len(ask.Modes()))
	for _, m := range ask.Modes() {
		modes = append(modes, string(m))
	}
	_ = cmd.RegisterFlagCompletionFunc("login", cobra.FixedCompletions(modes, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.MarkFlagFilename("client-certificate", "pfx", "pem", "cert")
	_ = cmd.MarkFlagFilename("federated-token-file")
	_ = cmd.MarkFlagDirname("cache-dir")
	_ = cmd.MarkFlagDirname("token-cache-dir")
}
