// Package cli owns the command line: its commands, the process's signals, streams and memory settings, and what each
// exit code means. It knows nothing of Kubernetes but its version.
package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os/signal"
	"syscall"
	"time"

	"k8s.io/component-base/version"
	"k8s.io/klog/v2"

	"github.com/keyreeve/keyreeve/localkube/internal/cluster"
	"github.com/keyreeve/keyreeve/localkube/internal/datadir"
	"github.com/keyreeve/keyreeve/localkube/internal/spec"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2 // the command line or the document is wrong
	exitTaken  = 3 // another process runs on the data directory
)

const usage = `usage: localkube run [-log-level info] < SPEC.json
       localkube version
`

// Main runs one command and answers the exit code.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	// Whoever reads our output may go away; that is no reason to end.
	signal.Ignore(syscall.SIGPIPE)
	syscall.Umask(0o077) // nothing that this process makes is for others
	if len(args) == 0 {
		_, _ = io.WriteString(stderr, usage)
		return exitUsage
	}
	switch args[0] {
	case "version":
		_, _ = fmt.Fprintln(stdout, version.Get().GitVersion)
		return exitOK
	case "run":
		return run(args[1:], stdin, stdout, stderr)
	}
	_, _ = io.WriteString(stderr, usage)
	return exitUsage
}

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	level := slog.LevelInfo
	flags := flag.NewFlagSet("run", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.TextVar(&level, "log-level", level, "debug, info, warn or error; debug shows what Kubernetes' own parts say")
	if err := flags.Parse(args); err != nil {
		return exitUsage
	}
	if flags.NArg() > 0 {
		_, _ = io.WriteString(stderr, usage)
		return exitUsage
	}
	log := slog.New(slog.NewJSONHandler(stderr, &slog.HandlerOptions{Level: level}))
	b, err := io.ReadAll(io.LimitReader(stdin, spec.MaxBytes+1))
	if err != nil {
		log.Error("could not read the document", "error", err.Error())
		return exitFailed
	}
	s, err := spec.Parse(b, time.Now())
	if err != nil {
		log.Error("the document is not valid", "error", err.Error())
		return exitUsage
	}
	log = log.With("cluster", s.Name)
	klog.SetSlogLogger(slog.New(quieter{log.Handler()}).With("part", "kubernetes"))
	rest := hurry()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	c := &cluster.Cluster{
		Spec: s, Version: version.Get().GitVersion, Log: log, LogWriter: stderr, Now: time.Now,
		Announce: func() {
			_, _ = io.WriteString(stdout, "ready\n")
			rest()
		},
	}
	switch err := c.Run(ctx); {
	case errors.Is(err, datadir.ErrTaken):
		log.Error("cannot start", "error", err.Error())
		return exitTaken
	case err != nil:
		log.Error("ended", "error", err.Error())
		return exitFailed
	}
	log.Info("ended")
	return exitOK
}
