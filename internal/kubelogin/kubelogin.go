// Package kubelogin owns the exec credential plugin: a drop-in for Azure's kubelogin, with its commands, flags, environment
// variables and results.
//
//	get-token ──► options ──► identity ──► tokencache ── good token ──► ExecCredential
//	                                          │ none                          ▲
//	                                          └──► lock ──► login ────────────┘
//
// kubectl waits for get-token at every call, so the way to a cached token does as little as can be: it parses flags without
// building commands, reads one sealed file and writes the answer.
package kubelogin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/keyreeve/keyreeve/internal/kubelogin/login"
)

// Deps are what the commands work with.
type Deps struct {
	Version string
	Out     io.Writer
	Err     io.Writer
	// Terminal says that Err is one.
	Terminal bool
	Now      func() time.Time
	// Environ looks a variable up.
	Environ func(string) (string, bool)
	// OpenBrowser shows a page; nil for the person's own browser.
	OpenBrowser func(ctx context.Context, url string) error
}

// Main runs the program and returns its exit status.
func Main(ctx context.Context, d Deps, args []string) int {
	if err := run(ctx, d, args); err != nil {
		_, _ = fmt.Fprintln(d.Err, "Error:", err)
		return 1
	}
	return 0
}

func run(ctx context.Context, d Deps, args []string) error {
	if len(args) > 0 && args[0] == "get-token" {
		if o, ok := quickParse(d, args[1:]); ok {
			return interruptible(ctx, func(ctx context.Context) error { return getToken(ctx, d, o) })
		}
	}
	// Anything else, and whatever get-token does not understand, is for the commands to handle or explain.
	root := Command(d)
	root.SetArgs(args)
	return root.ExecuteContext(ctx)
}

// quickParse reads the flags of get-token if they are nothing but that.
func quickParse(d Deps, args []string) (*options, bool) {
	o := newOptions(d)
	fs := pflag.NewFlagSet("get-token", pflag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	o.addFlags(fs)
	o.addLogFlags(fs)
	return o, fs.Parse(args) == nil && fs.NArg() == 0
}

// interruptible gives fn until Ctrl-C.
func interruptible(ctx context.Context, fn func(context.Context) error) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	return fn(ctx)
}

// home is the person's folder, as kubectl finds it.
func (d Deps) home() string {
	if h, ok := d.Environ("HOME"); ok && h != "" {
		return h
	}
	h, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return h
}

func (d Deps) getenv(name string) string {
	v, _ := d.Environ(name)
	return v
}

func (d Deps) defaultCacheDir() string {
	if dir := d.getenv("KUBECACHEDIR"); dir != "" {
		return dir
	}
	return filepath.Join(d.home(), ".kube", "cache", "kubelogin") + string(filepath.Separator)
}

func (d Deps) client(o *options) *login.Client {
	open := d.OpenBrowser
	if open == nil {
		open = login.OpenBrowser
	}
	return &login.Client{Err: d.Err, Terminal: d.Terminal, Now: d.Now, Getenv: d.getenv, OpenBrowser: open, Debug: func(format string, args ...any) {
		if o.verbosity >= 5 {
			_, _ = fmt.Fprintf(d.Err, "kubelogin: "+format+"\n", args...)
		}
	}}
}

var errServerID = errors.New("server-id is required")
