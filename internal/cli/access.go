package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyreeve/keyreeve/internal/client"
)

// asker is what the three questions about access have in common.
type asker struct {
	out                  io.Writer
	arm, cluster, output string
}

// token is that of whoever asks.
func (a *asker) token(ctx context.Context) (string, error) {
	t, _, err := credential{arm: strings.TrimSuffix(a.arm, "/"), now: time.Now}.get(ctx)
	return t, err
}

func (a *asker) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&a.arm, "arm", os.Getenv("KEYREEVE_ARM_URL"), "origin of Resource Manager (default $KEYREEVE_ARM_URL)")
	f.StringVarP(&a.cluster, "cluster", "c", "", "the cluster's name or resource id (required)")
	f.StringVarP(&a.output, "output", "o", "table", "table, or json")
}

// open returns a client and the cluster's resource id.
func (a *asker) open(ctx context.Context) (*client.Client, string, error) {
	if a.output != "table" && a.output != "json" {
		return nil, "", fmt.Errorf("--output %q is not one of table, json", a.output)
	}
	if a.arm == "" {
		return nil, "", errors.New("where is Keyreeve? Set its environment with `eval \"$(keyreeve env)\"`, or name it with --arm")
	}
	if a.cluster == "" {
		return nil, "", errors.New("name the cluster with --cluster")
	}
	c := &client.Client{BaseURL: strings.TrimSuffix(a.arm, "/"), Token: a.token, HTTP: &http.Client{Timeout: time.Minute}}
	if strings.HasPrefix(a.cluster, "/") {
		return c, strings.TrimSuffix(a.cluster, "/"), nil
	}
	all, err := c.Clusters(ctx)
	if err != nil {
		return nil, "", err
	}
	var found []string
	for _, id := range all {
		if strings.EqualFold(id[strings.LastIndexByte(id, '/')+1:], a.cluster) {
			found = append(found, id)
		}
	}
	switch len(found) {
	case 1:
		return c, found[0], nil
	case 0:
		return nil, "", fmt.Errorf("you see no cluster %q; if you know its resource id, give that", a.cluster)
	}
	return nil, "", fmt.Errorf("several clusters are named %q; give the resource id:\n  %s", a.cluster, strings.Join(found, "\n  "))
}

// kubeQuestion reads VERB RESOURCE[.GROUP][/SUBRESOURCE] [NAME], or VERB /PATH.
func kubeQuestion(args []string, namespace string) (client.Question, error) {
	q := client.Question{Verb: args[0], Namespace: namespace}
	if strings.HasPrefix(args[1], "/") {
		if len(args) > 2 || namespace != "" {
			return q, errors.New("a path has neither a name nor a namespace")
		}
		q.Path = args[1]
		return q, nil
	}
	what := args[1]
	what, q.Subresource, _ = strings.Cut(what, "/")
	q.Resource, q.Group, _ = strings.Cut(what, ".")
	if len(args) > 2 {
		q.Name = args[2]
	}
	return q, nil
}

func explainCommand(d Deps) *cobra.Command {
	a := asker{out: d.Out}
	var user, namespace string
	cmd := &cobra.Command{
		Use:   "explain --cluster CLUSTER [--user USER] [-n NAMESPACE] VERB RESOURCE[.GROUP][/SUBRESOURCE] [NAME] | VERB /PATH",
		Short: "Say whether somebody may do something in a cluster, and why",
		Example: "  keyreeve explain -c first --user dana@keyreeve.test -n dev get pods/log\n" +
			"  keyreeve explain -c first list deployments.apps",
		Args: cobra.RangeArgs(2, 3),
	}
	a.flags(cmd)
	cmd.Flags().StringVarP(&user, "user", "u", "", "user principal name, object id or appId (default: yourself)")
	cmd.Flags().StringVarP(&namespace, "namespace", "n", "", "namespace (default: everywhere in the cluster)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		q, err := kubeQuestion(args, namespace)
		if err != nil {
			return err
		}
		q.User = user
		c, id, err := a.open(cmd.Context())
		if err != nil {
			return err
		}
		e, err := c.Explain(cmd.Context(), id, q)
		if err != nil {
			return err
		}
		if a.output == "json" {
			return printJSON(a.out, e)
		}
		return printExplanation(a.out, &e)
	}
	return cmd
}

func whoCanCommand(d Deps) *cobra.Command {
	a := asker{out: d.Out}
	var namespace string
	cmd := &cobra.Command{
		Use:     "who-can --cluster CLUSTER [-n NAMESPACE] VERB RESOURCE[.GROUP][/SUBRESOURCE] [NAME] | VERB /PATH",
		Short:   "List who may do something in a cluster, and by which way",
		Example: "  keyreeve who-can -c first -n dev create pods/exec",
		Args:    cobra.RangeArgs(2, 3),
	}
	a.flags(cmd)
	cmd.Flags().StringVarP(&namespace, "namespace", "n", "", "namespace (default: everywhere in the cluster)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		q, err := kubeQuestion(args, namespace)
		if err != nil {
			return err
		}
		c, id, err := a.open(cmd.Context())
		if err != nil {
			return err
		}
		who, err := c.WhoCan(cmd.Context(), id, q)
		if err != nil {
			return err
		}
		if a.output == "json" {
			return printJSON(a.out, who)
		}
		return printWho(a.out, &who)
	}
	return cmd
}

func accessCommand(d Deps) *cobra.Command {
	a := asker{out: d.Out}
	var user string
	cmd := &cobra.Command{
		Use:   "access --cluster CLUSTER [--user USER]",
		Short: "List all that somebody holds in a cluster",
		Args:  cobra.NoArgs,
	}
	a.flags(cmd)
	cmd.Flags().StringVarP(&user, "user", "u", "", "user principal name, object id or appId (default: yourself)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.access(cmd.Context(), client.Question{User: user})
	}
	cmd.AddCommand(accessDiffCommand(d))
	return cmd
}

func (a *asker) access(ctx context.Context, q client.Question) error {
	c, id, err := a.open(ctx)
	if err != nil {
		return err
	}
	got, err := c.Access(ctx, id, q)
	if err != nil {
		return err
	}
	return a.show(&got)
}

// show prints what somebody holds, or how two differ.
func (a *asker) show(got *client.Access) error {
	if a.output == "json" {
		return printJSON(a.out, got)
	}
	if got.Other == nil {
		if err := printHoldings(a.out, got.Access, "", got.Complete); err != nil {
			return err
		}
		return printDenied(a.out, got.Denied)
	}
	if err := printHoldings(a.out, got.Only, "< ", true); err != nil {
		return err
	}
	return printHoldings(a.out, got.OnlyOther, "> ", got.Complete)
}

func printExplanation(w io.Writer, e *client.Explanation) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", e.Decision, e.Principal.Name)
	if e.Reason != "" {
		fmt.Fprintf(&b, ": %s", e.Reason)
	}
	b.WriteByte('\n')
	for _, p := range e.Paths {
		fmt.Fprintf(&b, "  by %s\n", wayText(&p))
	}
	if d := e.DenyAssignment; d != nil {
		fmt.Fprintf(&b, "  deny assignment %q at %s\n", d.Properties.Name, d.Properties.Scope)
	}
	if e.Decision != "allow" && len(e.WouldGrantGroups) > 0 {
		b.WriteString("Members of these groups may:\n")
		for _, g := range e.WouldGrantGroups {
			fmt.Fprintf(&b, "  %s (%s)\n", g.DisplayName, g.ID)
		}
		if e.MoreGroups {
			b.WriteString("  and others\n")
		}
	}
	if e.Decision != "allow" && e.DenyAssignment == nil && len(e.WouldGrant) > 0 {
		fmt.Fprintf(&b, "It would be allowed by one of these roles at %s:\n", e.Scope)
		for _, r := range e.WouldGrant {
			fmt.Fprintf(&b, "  %s\n", r)
		}
		fmt.Fprintf(&b, "or by a custom role with the data action\n  %s\n", strings.Join(e.Actions, "\n  "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// wayText says by what, where, and through whom.
func wayText(p *client.Way) string {
	var b strings.Builder
	switch p.Kind {
	case "adminGroup":
		b.WriteString("the cluster's admin groups")
	case "roleAssignment":
		fmt.Fprintf(&b, "role %q at %s", p.Role, p.Scope)
	default:
		fmt.Fprintf(&b, "%s of %s", p.Binding, p.Role)
	}
	b.WriteString(viaText(p))
	return b.String()
}

func viaText(p *client.Way) string {
	names := make([]string, len(p.Via))
	for i, g := range p.Via {
		names[i] = g.DisplayName
	}
	switch {
	case len(names) > 0:
		return ", as member of " + strings.Join(names, " in ")
	case p.Subject == "Group/system:authenticated":
		return ", as everybody"
	}
	return ""
}

func printWho(w io.Writer, who *client.WhoCan) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(tw, "NAME\tTYPE\tBY") // the writer keeps its error until Flush
	for _, p := range who.Principals {
		for i, x := range p.Paths {
			name, kind := p.Name, p.Type
			if i > 0 {
				name, kind = "", ""
			}
			_, _ = fmt.Fprintf(tw, "%s\t%s\t%s\n", name, kind, wayText(&x))
		}
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	return incomplete(w, who.Complete)
}

func printHoldings(w io.Writer, list []client.Way, mark string, complete bool) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if mark != "> " {
		_, _ = fmt.Fprintln(tw, strings.Repeat(" ", len(mark))+"NAMESPACE\tROLE\tBY")
	}
	for _, x := range list {
		ns := "*"
		if x.Namespace != nil && *x.Namespace != "" {
			ns = *x.Namespace
		}
		_, _ = fmt.Fprintf(tw, "%s%s\t%s\t%s\n", mark, ns, x.Role, wayText(&x))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	return incomplete(w, complete)
}

// printDenied says what is taken away again.
func printDenied(w io.Writer, list []client.DenyAssignment) error {
	for _, d := range list {
		var actions []string
		for _, p := range d.Properties.Permissions {
			actions = append(actions, p.DataActions...)
		}
		if _, err := fmt.Fprintf(w, "less, by deny assignment %q at %s: %s\n", d.Properties.Name, d.Properties.Scope, strings.Join(actions, " ")); err != nil {
			return err
		}
	}
	return nil
}

func incomplete(w io.Writer, complete bool) error {
	if complete {
		return nil
	}
	_, err := fmt.Fprintln(w, "The cluster's own roles and bindings are not known at the moment: there may be more.")
	return err
}
