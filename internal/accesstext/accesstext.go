// Package accesstext owns how questions about access are asked on a command line, and how the answers read.
package accesstext

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/keyreeve/keyreeve/internal/client"
)

// Question reads VERB RESOURCE[.GROUP][/SUBRESOURCE] [NAME], or VERB /PATH.
func Question(args []string, namespace string) (client.Question, error) {
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

// Explanation prints whether somebody may do something, and why.
func Explanation(w io.Writer, e *client.Explanation) error {
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

// Who prints who may do something.
func Who(w io.Writer, who *client.WhoCan) error {
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

func holdings(w io.Writer, list []client.Way, mark string, complete bool) error {
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
func denied(w io.Writer, list []client.DenyAssignment) error {
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

// Access prints what somebody holds, or how two differ.
func Access(w io.Writer, got *client.Access) error {
	if got.Other == nil {
		if err := holdings(w, got.Access, "", got.Complete); err != nil {
			return err
		}
		return denied(w, got.Denied)
	}
	if err := holdings(w, got.Only, "< ", true); err != nil {
		return err
	}
	return holdings(w, got.OnlyOther, "> ", got.Complete)
}
