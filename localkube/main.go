// Command localkube runs the control plane of one real Kubernetes cluster, with pretend nodes, in one process.
//
// It owns nothing but its command line: everything else is in internal. It never holds a certificate authority's key.
package main

import (
	"os"

	"github.com/keyreeve/keyreeve/localkube/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
