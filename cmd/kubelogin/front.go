//go:build front

// Command kubelogin is the exec credential plugin, a drop-in for Azure's. This form of it answers from the cache and converts kubeconfigs, and carries the
// whole program for all else: what signing in needs is not even loaded while there is a good token.
package main

import (
	_ "embed"
	"fmt"
	"os"
	"time"

	"github.com/keyreeve/keyreeve/internal/kubelogin"
	"github.com/keyreeve/keyreeve/internal/kubelogin/convert"
	"github.com/keyreeve/keyreeve/internal/kubelogin/handover"
)

// whole is the program without the tag front; see the Makefile.
//
//go:embed whole
var whole []byte

// version is set by the build.
var version = "dev"

func main() {
	d := kubelogin.Deps{Version: version, Out: os.Stdout, Err: os.Stderr, Now: time.Now, Environ: os.LookupEnv}
	done, err := kubelogin.Cached(d, os.Args[1:])
	if !done {
		done, err = convert.Plainly(d, os.Args[1:])
	}
	if !done {
		err = handover.Become(whole, d.CacheDir(), os.Args, os.Environ())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}
