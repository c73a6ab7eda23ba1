package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// binaryVariable names a binary to test in place of one that is built for the test.
const binaryVariable = "LOCALKUBE_BINARY"

// program is the binary under test.
func program() string { return os.Getenv(binaryVariable) }

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if program() == "" {
		dir, err := os.MkdirTemp("", "localkube-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = os.RemoveAll(dir) }()
		path, err := build(dir)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		if err := os.Setenv(binaryVariable, path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return m.Run()
}

// build builds the real binary with the real flags.
func build(dir string) (string, error) {
	ldflags, err := os.ReadFile("ldflags")
	if err != nil {
		return "", fmt.Errorf("read linker flags: %w", err)
	}
	path := filepath.Join(dir, "localkube")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", strings.TrimSpace(string(ldflags)), "-o", path, ".")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return path, nil
}
