package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/keyreeve/keyreeve/internal/client"
)

// accessDiff compares what is held: by two people, in two clusters, or before and now.
type accessDiff struct {
	asker
	users             []string
	withCluster, file string
}

func accessDiffCommand(d Deps) *cobra.Command {
	a := accessDiff{asker: asker{out: d.Out}}
	cmd := &cobra.Command{
		Use:   "diff --cluster CLUSTER [--user USER [--user OTHER]] [--with-cluster CLUSTER] [--file BEFORE.json]",
		Short: "Say what one holds in a cluster and another does not",
		Long: "Compares two people in a cluster, one person in two clusters, or what a person held before, as\n" +
			"`keyreeve access --output json` wrote it down, with now. Lines that begin with < are held on the first side alone,\n" +
			"those with > on the second.",
		Example: "  keyreeve access diff -c first --user dana@keyreeve.test --user rob@keyreeve.test\n" +
			"  keyreeve access diff -c first --with-cluster second --user dana@keyreeve.test\n" +
			"  keyreeve access diff -c first --user dana@keyreeve.test --file before.json",
		Args: cobra.MaximumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			a.users = append(a.users, args...)
			return a.run(cmd.Context())
		},
	}
	a.flags(cmd)
	f := cmd.Flags()
	f.StringArrayVarP(&a.users, "user", "u", nil, "user principal name, object id or appId; give it twice to compare two (default: yourself)")
	f.StringVar(&a.withCluster, "with-cluster", "", "a second cluster, by name or resource id")
	f.StringVar(&a.file, "file", "", "what was held before: the output of `keyreeve access --output json`")
	return cmd
}

func (a *accessDiff) run(ctx context.Context) error {
	given := 0
	for _, yes := range []bool{len(a.users) == 2, a.withCluster != "", a.file != ""} {
		if yes {
			given++
		}
	}
	switch {
	case len(a.users) > 2:
		return errors.New("two users can be compared, no more")
	case given == 0:
		return errors.New("compared with what? Give a second --user, --with-cluster or --file")
	case a.file != "" && given > 1:
		return errors.New("--file compares one user in one cluster with before")
	}
	q := client.Question{}
	if len(a.users) > 0 {
		q.User = a.users[0]
	}
	if len(a.users) > 1 {
		q.CompareWith = a.users[1]
	}
	if a.file != "" {
		return a.before(ctx, q)
	}
	if a.withCluster != "" {
		other := a.asker
		other.cluster = a.withCluster
		_, id, err := other.open(ctx)
		if err != nil {
			return err
		}
		q.CompareWithCluster = id
	}
	return a.access(ctx, q)
}

// before compares what a file says was held with what is held now.
func (a *accessDiff) before(ctx context.Context, q client.Question) error {
	text, err := os.ReadFile(a.file)
	if err != nil {
		return err
	}
	var then client.Access
	if err := json.Unmarshal(text, &then); err != nil || then.Principal.ID == "" {
		return fmt.Errorf("%s is not what `keyreeve access --output json` writes", a.file)
	}
	if q.User == "" {
		q.User = then.Principal.ID
	}
	c, id, err := a.open(ctx)
	if err != nil {
		return err
	}
	now, err := c.Access(ctx, id, q)
	if err != nil {
		return err
	}
	now.Only, now.OnlyOther = client.DiffWays(then.Access, now.Access)
	now.Other, now.Complete = &now.Principal, now.Complete && then.Complete
	return a.show(&now)
}
