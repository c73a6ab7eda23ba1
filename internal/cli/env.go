package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keyreeve/keyreeve/internal/workstation"
)

func envCommand(d Deps) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "env",
		Short: "Print the environment in which az, kubelogin and kubectl reach this Keyreeve",
		Long: "Print the environment in which az, kubelogin and kubectl reach this Keyreeve:\n\n" +
			"  eval \"$(keyreeve env)\"\n\n" +
			"az gets a configuration folder of its own with the cloud registered, kubectl a kubeconfig of its own.\n" +
			"~/.azure and ~/.kube are left alone.",
		Args: cobra.NoArgs,
	}
	data := dataFlag(cmd)
	shell := cmd.Flags().String("shell", "bash", "whose way of setting variables: bash, fish or powershell")
	output := cmd.Flags().StringP("output", "o", "shell", "shell, or json")
	clients := cmd.Flags().Bool("clients", false, "put the clients that 'make clients' built first in PATH")
	cmd.RunE = func(*cobra.Command, []string) error {
		dir, err := dataDir(*data)
		if err != nil {
			return err
		}
		e, err := dir.Endpoints()
		if err != nil {
			return err
		}
		ca, err := os.ReadFile(dir.CA())
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s holds no Keyreeve yet: start it with `keyreeve up --data %s`", dir, dir)
		}
		if err != nil {
			return err
		}
		folder, err := filepath.Abs(dir.Environment())
		if err != nil {
			return err
		}
		vars, err := workstation.Setup(workstation.Settings{
			Dir: folder, Login: e.Login, ARM: e.ARM, Graph: e.Graph, CA: ca, SystemBundles: workstation.SystemBundles(),
		})
		if err != nil {
			return err
		}
		if *clients {
			path, err := clientPath(d.Executable)
			if err != nil {
				return err
			}
			vars = append(vars, workstation.Variable{Name: "PATH", Value: path})
		}
		return printVariables(d.Out, vars, *output, *shell)
	}
	return cmd
}

// printVariables writes variables in a shell's way, or as JSON.
func printVariables(w io.Writer, vars []workstation.Variable, output, shell string) error {
	switch output {
	case "json":
		m := map[string]string{}
		for _, v := range vars {
			m[v.Name] = v.Value
		}
		return printJSON(w, m)
	case "shell":
		text, err := workstation.Export(workstation.Shell(shell), vars)
		if err != nil {
			return err
		}
		_, err = fmt.Fprint(w, text)
		return err
	}
	return fmt.Errorf("--output %q is not one of shell, json", output)
}

// clientPath returns PATH with this program's folder and the clients beside it in front, each once.
func clientPath(executable string) (string, error) {
	bin := filepath.Dir(executable)
	clients := filepath.Join(bin, "clients")
	if !fileExists(filepath.Join(clients, "kubectl")) {
		return "", fmt.Errorf("%s holds no clients: run `make clients` first", clients)
	}
	path := []string{clients, bin}
	for _, p := range filepath.SplitList(os.Getenv("PATH")) {
		if p != clients && p != bin {
			path = append(path, p)
		}
	}
	return strings.Join(path, string(os.PathListSeparator)), nil
}
