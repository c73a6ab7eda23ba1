// Package kubelogin owns the exec credential plugin: a drop-in for Azure's kubelogin, with its commands, flags, environment
// variables and results.
//
//	get-token ──► options ──► identity ──► tokencache ── good token ──► ExecCredential
//	                                          │ none                          ▲
//	                                          └──► lock ──► login ────────────┘
//
// kubectl waits for get-token at every call, so the way to a cached token (Cached) does as little as can be: it parses flags without
// building commands, reads one sealed file and writes the answer. This room links no more than that needs; the commands and the
// protocols stand in rooms of their own, and what they need is handed in.
package kubelogin

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"

	"github.com/keyreeve/keyreeve/internal/kubelogin/ask"
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
	// Source gets tokens that are in no cache, and Prove puts a proof of possession around one; the room command has both. The way
	// to a cached token does without, and does not link what they need.
	Source func(d Deps, debug func(format string, args ...any)) Source
	Prove  func(access, host string, session []byte, now time.Time) (string, error)
}

// Source gets tokens.
type Source interface {
	// Token gets one. What earlier calls for the same identity kept is in kept; with silent set, a person is not asked.
	Token(ctx context.Context, r ask.Request, kept ask.Session, silent bool) (ask.Token, error)
}

// quickParse reads the flags of get-token if they are nothing but that.
func quickParse(d Deps, args []string) (*Options, bool) {
	o := NewOptions(d)
	fs := pflag.NewFlagSet("get-token", pflag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	o.AddFlags(fs)
	o.AddLogFlags(fs)
	return o, fs.Parse(args) == nil && fs.NArg() == 0
}

// Home is the person's folder, as kubectl finds it.
func (d Deps) Home() string {
	if h, ok := d.Environ("HOME"); ok && h != "" {
		return h
	}
	h, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return h
}

// Getenv reads the environment.
func (d Deps) Getenv(name string) string {
	v, _ := d.Environ(name)
	return v
}

// CacheDir is the folder of the cache where no flag names one.
func (d Deps) CacheDir() string {
	if dir := d.Getenv("KUBECACHEDIR"); dir != "" {
		return dir
	}
	return filepath.Join(d.Home(), ".kube", "cache", "kubelogin") + string(filepath.Separator)
}

var errServerID = errors.New("server-id is required")
