package az

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyreeve/keyreeve/internal/cli/az/output"
	"github.com/keyreeve/keyreeve/internal/cli/az/shape"
)

// Deps are what the commands work with.
type Deps struct {
	In       io.Reader
	Out, Err io.Writer
	Now      func() time.Time
	// Workstation returns the folder of the server to talk to.
	Workstation func() (string, error)
}

// command is one command.
type command struct {
	path    string // such as "aks nodepool add"
	short   string
	example string
	flags   []flag
	// get is the path of the only request, a GET, with {flags} and {sub} in it; or run does the work.
	get string
	run func(*call) (any, error)
	// kind is the type of the result (see shape), or of each item of a list; empty: as the service answered.
	kind string
	// list says that get is a list with pages.
	list bool
	// then changes the shaped result.
	then func(any) any
	// table makes a table of the result, or of the rows that are made of it first.
	table string
	rows  func(any) any
	// long says that the command follows a long-running operation, unless --no-wait is given.
	long bool
	// confirm is asked before the command does something that cannot be undone, unless --yes is given.
	confirm string
}

// kinds of flags.
type kind int

const (
	word   kind = iota // one value
	words              // values with spaces between
	toggle             // no value
	truth              // true or false; without a value, true
)

type flag struct {
	name, short, help string
	kind              kind
	must              bool
	also              []string // other names for it
}

// groups says what the folders of commands are for.
func groups() map[string]string {
	return map[string]string{
		"account": "Subscriptions and tokens of whoever is signed in",
		"ad":      "The directory: users, groups, applications, service principals", "ad app": "Applications",
		"ad app credential": "Secrets and certificates of an application", "ad app federated-credential": "Tokens from elsewhere that an application takes as proof",
		"ad app owner": "Owners of an application", "ad app permission": "Permissions that an application needs, and has", "ad group": "Groups", "ad group member": "Members of a group", "ad group owner": "Owners of a group",
		"ad signed-in-user": "Whoever is signed in", "ad sp": "Service principals", "ad sp credential": "Secrets of a service principal",
		"ad sp owner": "Owners of a service principal", "ad user": "Users", "aks": "Managed clusters", "aks nodepool": "Node pools of a cluster",
		"group": "Resource groups", "identity": "User-assigned managed identities",
		"identity federated-credential": "Tokens from elsewhere that an identity takes as proof", "role": "Roles and who has them where",
		"role assignment": "Role assignments", "role definition": "Role definitions",
	}
}

func table() []command {
	var all []command
	for _, part := range [][]command{
		signInCommands(), accountCommands(), groupCommands(), userCommands(), directoryGroupCommands(), applicationCommands(),
		permissionCommands(), principalCommands(), credentialCommands(), definitionCommands(), assignmentCommands(), clusterCommands(), upgradeCommands(), poolCommands(),
		identityCommands(),
		{restCommand()},
	} {
		all = append(all, part...)
	}
	return all
}

// Commands returns the commands, in their folders.
func Commands(d Deps) []*cobra.Command { return commands(d, func([]string) bool { return true }) }

// Named returns the command that a command line begins with, in its folders, and no other: to make them all takes longer than most
// commands. It returns nil if there is none.
func Named(d Deps, args []string) *cobra.Command {
	one := commands(d, func(path []string) bool { return len(path) <= len(args) && slices.Equal(path, args[:len(path)]) })
	if len(one) == 0 {
		return nil
	}
	return one[0]
}

func commands(d Deps, wanted func(path []string) bool) []*cobra.Command {
	root := &cobra.Command{}
	made := map[string]*cobra.Command{"": root}
	short := groups()
	for _, c := range table() {
		parent := root
		parts := strings.Fields(c.path)
		if !wanted(parts) {
			continue
		}
		for i := range parts[:len(parts)-1] {
			path := strings.Join(parts[:i+1], " ")
			if made[path] == nil {
				made[path] = &cobra.Command{Use: parts[i], Short: short[path]}
				parent.AddCommand(made[path])
			}
			parent = made[path]
		}
		parent.AddCommand(c.cobra(d, parts[len(parts)-1]))
	}
	top := root.Commands()
	root.RemoveCommand(top...)
	return top
}

func (c command) cobra(d Deps, name string) *cobra.Command {
	cmd := &cobra.Command{Use: name, Short: c.short, Example: indent(c.example), Args: cobra.NoArgs, Annotations: map[string]string{marker: c.path}}
	flags := c.flags
	if c.long {
		flags = append(flags, flag{name: "no-wait", kind: toggle, help: "do not wait for the operation to end"})
	}
	if c.confirm != "" {
		flags = append(flags, flag{name: "yes", short: "y", kind: toggle, help: "do not ask"})
	}
	for _, f := range append(flags, everywhere()...) {
		f.add(cmd)
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return c.execute(d, cmd) }
	return cmd
}

// everywhere are the flags of every command.
func everywhere() []flag {
	return []flag{
		{name: "output", short: "o", help: "json, jsonc, yaml, yamlc, table, tsv or none (default $AZURE_CORE_OUTPUT, else json)"},
		{name: "query", help: "JMESPath expression that picks from the result"},
		{name: "subscription", help: "name or id of a subscription (default: see keyreeve account set)"},
		{name: "only-show-errors", kind: toggle, help: "no warnings"},
		{name: "verbose", kind: toggle, help: "taken for az's sake"},
		{name: "debug", kind: toggle, help: "taken for az's sake"},
	}
}

func (f flag) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	help := f.help
	if f.must {
		help += " (required)"
	}
	switch f.kind {
	case word:
		fs.StringP(f.name, f.short, "", help)
	case words:
		fs.StringArrayP(f.name, f.short, nil, help)
	case toggle, truth:
		fs.BoolP(f.name, f.short, false, help)
	}
	note := map[string][]string{kindNote: {[]string{"word", "words", "toggle", "truth"}[f.kind]}}
	if len(f.also) > 0 {
		note[alsoNote] = f.also
	}
	fs.Lookup(f.name).Annotations = note
}

func indent(example string) string {
	if example == "" {
		return ""
	}
	return "  " + strings.ReplaceAll(example, "\n", "\n  ")
}

// execute runs a command and prints its result.
func (c command) execute(d Deps, cmd *cobra.Command) error {
	x := &call{Context: cmd.Context(), d: d, cmd: cmd, command: &c}
	for _, f := range c.flags {
		if f.must && !cmd.Flags().Changed(f.name) {
			return fmt.Errorf("--%s is required: see `keyreeve %s --help`", f.name, c.path)
		}
	}
	format := x.word("output")
	if format == "" {
		format = os.Getenv("AZURE_CORE_OUTPUT")
	}
	if format == "" {
		format = "json"
	}
	p := output.Printer{Format: format, Query: x.word("query"), Table: c.table}
	if err := p.Check(); err != nil {
		return err
	}
	if c.confirm != "" && !x.on("yes") {
		if err := x.ask(c.confirm); err != nil {
			return err
		}
	}
	v, err := c.result(x)
	if err != nil {
		return err
	}
	v = shape.AddResourceGroups(v)
	if format == "table" && p.Query == "" && c.rows != nil {
		v = c.rows(v)
	}
	return p.Print(d.Out, v)
}

func (c command) result(x *call) (any, error) {
	var v any
	var err error
	switch {
	case c.run != nil:
		v, err = c.run(x)
	case c.list:
		v, err = x.list(c.get)
	default:
		v, err = x.read(c.get)
	}
	if err != nil || v == nil {
		return nil, err
	}
	if c.kind != "" {
		if _, isList := v.([]any); isList {
			v = shape.List(c.kind, v)
		} else {
			v = shape.Of(c.kind, v)
		}
	}
	if c.then != nil {
		v = c.then(v)
	}
	return v, nil
}

// ask wants a yes.
func (x *call) ask(question string) error {
	x.say("%s (y/n): ", question)
	line, err := bufio.NewReader(x.d.In).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return nil
	case "":
		return errors.New("nobody answered: give --yes to go on without being asked")
	}
	return errors.New("nothing was done")
}
