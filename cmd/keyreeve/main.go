//go:build !front

// Command keyreeve is the control plane and its command line.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/cli"
)

// version is set by the build.
var version = "dev"

func main() {
	executable, err := os.Executable()
	if err == nil {
		// People call the program in front of this one, which stands beside it.
		executable = strings.TrimSuffix(executable, "-whole")
		cmd := cli.New(cli.Deps{
			Version: version, Args: os.Args[1:], In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Now: time.Now, Executable: executable,
		})
		err = cmd.ExecuteContext(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "keyreeve:", cli.Describe(err))
		os.Exit(1)
	}
}
