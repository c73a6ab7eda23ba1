// Command kubectl-keyreeve is the kubectl plugin: kubectl keyreeve. Under the name kubectl_complete-keyreeve it completes it.
package main

import (
	"context"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/keyreeve/keyreeve/internal/kubeplugin"
)

// version is set by the build.
var version = "dev"

func main() {
	os.Exit(kubeplugin.Main(context.Background(), kubeplugin.Deps{
		Version: version, Out: os.Stdout, Err: os.Stderr, Terminal: term.IsTerminal(int(os.Stderr.Fd())), Now: time.Now, Environ: os.LookupEnv,
	}, os.Args))
}
