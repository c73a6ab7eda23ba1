package kubeplugin

import (
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyreeve/keyreeve/internal/kubelogin"
)

func switchCommand(d Deps, f *flags) *cobra.Command {
	cmd := &cobra.Command{Use: "switch", Short: "Change what the current context uses", Args: cobra.NoArgs}
	cmd.AddCommand(switchAccountCommand(d, f))
	return cmd
}

func switchAccountCommand(d Deps, f *flags) *cobra.Command {
	var fresh, signOut bool
	cmd := &cobra.Command{
		Use:   "account [NAME]",
		Short: "List the accounts that are signed in, or choose another",
		Long: "List the accounts that are signed in for the current context, or choose the one that kubectl uses from now on.\n\n" +
			"The accounts are those of this program's own kubelogin (bin/kubelogin); what Azure's keeps is not touched.",
		Example: "  kubectl keyreeve switch account\n  kubectl keyreeve switch account dana@contoso.com\n" +
			"  kubectl keyreeve switch account --new         # the next kubectl signs in\n  kubectl keyreeve switch account --sign-out    # forget the current one",
		Args: cobra.MaximumNArgs(1),
	}
	cmd.Flags().BoolVar(&fresh, "new", false, "keep the current account aside, and let the next kubectl sign in anew")
	cmd.Flags().BoolVar(&signOut, "sign-out", false, "forget an account, the current one if none is named")
	cmd.MarkFlagsMutuallyExclusive("new", "sign-out")
	cmd.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		var names []string
		if h, err := f.here(d); err == nil && h.signIn != nil && len(args) == 0 {
			list, _ := h.signIn.Accounts()
			for _, a := range list {
				names = append(names, a.Name)
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		h, err := f.here(d)
		if err != nil {
			return err
		}
		if h.signIn == nil {
			return fmt.Errorf("the user %q of the context %q has a certificate or a token, and no account", h.UserName, h.Context)
		}
		name := ""
		if len(args) > 0 {
			name = args[0]
		}
		switch {
		case fresh && name != "":
			return errors.New("--new takes no name: whoever signs in next becomes the account")
		case fresh:
			if err := h.signIn.SetAside(cmd.Context()); err != nil {
				return err
			}
			_, err = fmt.Fprintln(d.Err, "The next kubectl signs in.")
			return err
		case signOut:
			a, err := h.signIn.SignOut(cmd.Context(), name)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(d.Err, "%s is signed out on this machine.\n", a.Name)
			return err
		case name != "":
			a, err := h.signIn.Choose(cmd.Context(), name)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(d.Err, "kubectl uses %s.\n", a.Name)
			return err
		}
		list, err := h.signIn.Accounts()
		if err != nil {
			return err
		}
		return f.printAccounts(d, list)
	}
	return cmd
}

func (f *flags) printAccounts(d Deps, list []kubelogin.Account) error {
	if f.output == "json" {
		type row struct {
			Name     string    `json:"name"`
			ObjectID string    `json:"objectId"`
			TenantID string    `json:"tenantId"`
			Current  bool      `json:"current"`
			Expires  time.Time `json:"tokenExpires"`
		}
		rows := []row{}
		for _, a := range list {
			rows = append(rows, row{a.Name, a.ObjectID, a.TenantID, a.Current, a.Expires.UTC()})
		}
		return printJSON(d.Out, rows)
	}
	if len(list) == 0 {
		_, err := fmt.Fprintln(d.Err, "Nobody is signed in: the next kubectl asks.")
		return err
	}
	tw := tabwriter.NewWriter(d.Out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(tw, "CURRENT\tACCOUNT\tTENANT\tTOKEN ENDS") // the writer keeps its error until Flush
	for _, a := range list {
		mark := ""
		if a.Current {
			mark = "*"
		}
		_, _ = fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", mark, a.Name, a.TenantID, until(d.Now(), a.Expires))
	}
	return tw.Flush()
}
