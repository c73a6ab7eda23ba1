// Command fuzz runs every fuzz target of a repository for a while, and fails unless each declared target really ran.
//
// `go test -fuzz` succeeds when its pattern matches nothing, when a build tag hides the target, and when TestMain or
// a skip ends early. So the targets are found by reading the source, each one is run by name, and its run counts only
// if the fuzzer reported executions of it.
//
//	fuzz [-root DIR] [-time 10s]
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"strconv"
	"strings"
	"time"
)

func main() {
	root := flag.String("root", ".", "the repository")
	fuzzTime := flag.String("time", "10s", "how long each target runs: a duration, or a count such as 1000x")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *root, *fuzzTime, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "fuzz:", err)
		os.Exit(1)
	}
}

// run finds the targets below root and runs them one after the other; a failure does not stop the rest.
func run(ctx context.Context, root, fuzzTime string, out io.Writer) error {
	targets, err := find(os.DirFS(root))
	if err != nil {
		return err
	}
	if len(targets) == 0 {
		return fmt.Errorf("no fuzz target is declared below %s", root)
	}
	failed := 0
	for _, t := range targets {
		start := time.Now()
		execs, err := t.fuzz(ctx, root, fuzzTime)
		if err != nil {
			failed++
			fmt.Fprintf(out, "fuzz: FAILED %s: %v\n", t, err)
			continue
		}
		fmt.Fprintf(out, "fuzz: ran %s: %d executions, %.1f s\n", t, execs, time.Since(start).Seconds())
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d targets failed or did not run", failed, len(targets))
	}
	fmt.Fprintf(out, "fuzz: all %d targets ran\n", len(targets))
	return nil
}

// fuzz runs one target and returns how often the fuzzer executed it. No execution is an error.
//
// The time given counts from the first input of the corpus, and a corpus that grew over many runs, or a busy machine,
// can use it up before the fuzzer makes an input of its own. Such a run gets ten times as long, once.
func (t target) fuzz(ctx context.Context, root, fuzzTime string) (int, error) {
	output, err := t.test(ctx, root, fuzzTime)
	if err == nil && executions(output) == 0 && bytes.Contains(output, []byte("gathering baseline coverage")) {
		output, err = t.test(ctx, root, tenfold(fuzzTime))
	}
	if err != nil {
		return 0, fmt.Errorf("%w\n%s", err, bytes.TrimSpace(output))
	}
	execs := executions(output)
	if execs == 0 {
		return 0, fmt.Errorf("go test succeeded without running it:\n%s", bytes.TrimSpace(output))
	}
	return execs, nil
}

// test runs `go test` on the target and returns what it printed.
func (t target) test(ctx context.Context, root, fuzzTime string) ([]byte, error) {
	cmd := exec.CommandContext(
		ctx, "go", "test", "-run", "^$", "-fuzz", "^"+t.name+"$", "-fuzztime", fuzzTime, "-fuzzminimizetime", "2s", ".",
	)
	cmd.Dir = root + "/" + t.dir
	return cmd.CombinedOutput()
}

// tenfold multiplies a duration or a count such as 100x; anything else it leaves for go test to refuse.
func tenfold(fuzzTime string) string {
	if count, isCount := strings.CutSuffix(fuzzTime, "x"); isCount {
		return count + "0x"
	}
	d, err := time.ParseDuration(fuzzTime)
	if err != nil {
		return fuzzTime
	}
	return (10 * d).String()
}

var execsLine = regexp.MustCompile(`(?m)^fuzz: elapsed: .* execs: (\d+)`)

// executions reads from a fuzzer's output how often it had executed its target at the end.
func executions(output []byte) int {
	lines := execsLine.FindAllSubmatch(output, -1)
	if len(lines) == 0 {
		return 0
	}
	n, err := strconv.Atoi(string(lines[len(lines)-1][1]))
	if err != nil {
		return 0
	}
	return n
}
