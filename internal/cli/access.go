package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyreeve/keyreeve/internal/accesstext"
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
		q, err := accesstext.Question(args, namespace)
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
		return accesstext.Explanation(a.out, &e)
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
		q, err := accesstext.Question(args, namespace)
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
		return accesstext.Who(a.out, &who)
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
	return accesstext.Access(a.out, got)
}
