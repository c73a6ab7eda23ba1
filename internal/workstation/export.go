package workstation

import (
	"fmt"
	"strings"
)

// Shell names a shell's way of setting variables.
type Shell string

// The shells.
const (
	Bash       Shell = "bash" // and zsh, dash, sh
	Fish       Shell = "fish"
	PowerShell Shell = "powershell"
)

// Export returns lines that set the variables when the shell evaluates them.
func Export(shell Shell, vars []Variable) (string, error) {
	var b strings.Builder
	for _, v := range vars {
		switch shell {
		case Bash:
			fmt.Fprintf(&b, "export %s='%s'\n", v.Name, strings.ReplaceAll(v.Value, "'", `'\''`))
		case Fish:
			fmt.Fprintf(&b, "set -gx %s '%s'\n", v.Name, strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(v.Value))
		case PowerShell:
			fmt.Fprintf(&b, "$Env:%s = '%s'\n", v.Name, strings.ReplaceAll(v.Value, "'", "''"))
		default:
			return "", fmt.Errorf("shell %q is not one of bash, fish, powershell", shell)
		}
	}
	return b.String(), nil
}
