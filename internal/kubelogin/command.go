package kubelogin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/keyreeve/keyreeve/internal/kubelogin/kubeconfig"
	"github.com/keyreeve/keyreeve/internal/kubelogin/login"
)

// Command returns the kubelogin command.
func Command(d Deps) *cobra.Command {
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
	log := newOptions(d)
	log.addLogFlags(root.PersistentFlags())
	root.AddCommand(getTokenCommand(d, log), convertCommand(d), removeCommand(d, "remove-cache-dir", "cache-dir", ""),
		removeCommand(d, "remove-tokens", "token-cache-dir", "remove-tokens is deprecated, use remove-cache-dir instead"))
	return root
}

func getTokenCommand(d Deps, log *options) *cobra.Command {
	o := newOptions(d)
	cmd := &cobra.Command{
		Use:               "get-token",
		Short:             "Print a token as kubectl takes it from a credential plugin",
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			o.verbosity = log.verbosity
			return interruptible(c.Context(), func(ctx context.Context) error { return getToken(ctx, d, o) })
		},
	}
	o.addFlags(cmd.Flags())
	complete(cmd)
	return cmd
}

func convertCommand(d Deps) *cobra.Command {
	o := newOptions(d)
	var explicit, context, azureDir string
	cmd := &cobra.Command{
		Use:               "convert-kubeconfig",
		Short:             "Rewrite the users of a kubeconfig to sign in by this program",
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f := cmd.Flags()
	o.addFlags(f)
	f.StringVar(&explicit, "kubeconfig", "", "the kubeconfig (default: those of $KUBECONFIG, else ~/.kube/config)")
	f.StringVar(&context, "context", "", "convert the user of this context only")
	f.StringVar(&azureDir, "azure-config-dir", "", "az's folder, for azurecli")
	files := func() []string { return kubeconfig.Files(explicit, d.getenv("KUBECONFIG"), d.home()) }
	cmd.RunE = func(*cobra.Command, []string) error {
		o.fromEnvironment()
		if err := o.validate(); err != nil {
			return err
		}
		return kubeconfig.Convert(files(), explicit != "", kubeconfig.Settings{
			Context: context, Mode: o.login, AzureConfigDir: azureDir, Given: o.given(f),
		})
	}
	complete(cmd)
	_ = cmd.RegisterFlagCompletionFunc("context", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return kubeconfig.Contexts(files()), cobra.ShellCompDirectiveNoFileComp
	})
	_ = cmd.MarkFlagDirname("azure-config-dir")
	_ = cmd.MarkFlagFilename("kubeconfig")
	return cmd
}

// given returns the flags that were given, with the values that they have once the environment had its say.
func (o *options) given(f *pflag.FlagSet) map[string]string {
	values := map[string]string{}
	f.Visit(func(flag *pflag.Flag) { values[flag.Name] = flag.Value.String() })
	return values
}

// removeCommand removes the cache. Its default is the folder at home whatever $KUBECACHEDIR says, as in Azure's.
func removeCommand(d Deps, name, flag, deprecated string) *cobra.Command {
	cmd := &cobra.Command{
		Use: name, Short: "Remove the token cache", Deprecated: deprecated, ValidArgsFunction: cobra.NoFileCompletions,
	}
	dir := cmd.Flags().String(flag, filepath.Join(d.home(), ".kube", "cache", "kubelogin")+string(filepath.Separator), "folder of the token cache")
	cmd.RunE = func(*cobra.Command, []string) error {
		clean := filepath.Clean(*dir)
		if *dir == "" || clean == string(filepath.Separator) || clean == filepath.Clean(d.home()) {
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
	modes := make([]string, 0, len(login.Modes()))
	for _, m := range login.Modes() {
		modes = append(modes, string(m))
	}
	_ = cmd.RegisterFlagCompletionFunc("login", cobra.FixedCompletions(modes, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.MarkFlagFilename("client-certificate", "pfx", "pem", "cert")
	_ = cmd.MarkFlagFilename("federated-token-file")
	_ = cmd.MarkFlagDirname("cache-dir")
	_ = cmd.MarkFlagDirname("token-cache-dir")
}
