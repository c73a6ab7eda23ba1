//go:build front

// Command keyreeve is the control plane and its command line. This form of it is the commands that ask a server, which start fast;
// for all else it becomes the whole program, keyreeve-whole beside it.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/keyreeve/keyreeve/internal/cli/az"
	"github.com/keyreeve/keyreeve/internal/cli/quick"
)

func main() {
	done, err := quick.Run(context.Background(), az.Deps{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Now: time.Now}, os.Args[1:])
	if !done {
		err = become()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "keyreeve:", quick.Describe(err))
		os.Exit(1)
	}
}

// become makes this process the whole program; it returns only if that cannot be done.
func become() error {
	self, err := os.Executable()
	if err == nil {
		err = syscall.Exec(filepath.Join(filepath.Dir(self), "keyreeve-whole"), os.Args, os.Environ()) //nolint:gosec // G204: our own program
	}
	return fmt.Errorf("this command is in keyreeve-whole, which belongs in the same folder as %s: %w", self, err)
}
