//go:build !front

// Command kubelogin is the exec credential plugin, a drop-in for Azure's.
package main

import (
	"context"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/keyreeve/keyreeve/internal/kubelogin"
	"github.com/keyreeve/keyreeve/internal/kubelogin/command"
)

// version is set by the build.
var version = "dev"

func main() {
	os.Exit(command.Main(context.Background(), kubelogin.Deps{
		Version: version, Out: os.Stdout, Err: os.Stderr, Terminal: term.IsTerminal(int(os.Stderr.Fd())),
		Now: time.Now, Environ: os.LookupEnv,
	}, os.Args[1:]))
}
