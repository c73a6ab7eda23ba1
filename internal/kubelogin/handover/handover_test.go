//go:build linux

package handover

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestBecome: a process becomes another program, with its arguments, environment and exit status, from memory and from a file.
func TestBecome(t *testing.T) {
	if os.Getenv("BECOME") != "" {
		program, err := os.ReadFile("/bin/sh")
		if err != nil {
			t.Fatal(err)
		}
		args, env := []string{"sh", "-c", `echo "$0 $1 $GREETING"; exit 7`, "zero", "one"}, []string{"GREETING=hello"}
		if os.Getenv("BECOME") == "memory" {
			t.Fatal(Become(program, "/nonexistent", args, env))
		}
		path, err := keep(program, os.Getenv("DIR"))
		if err != nil {
			t.Fatal(err)
		}
		again, err := keep(program, os.Getenv("DIR"))
		if err != nil || again != path {
			t.Fatal(again, err)
		}
		cmd := exec.CommandContext(t.Context(), path, args[1:]...)
		cmd.Env = env
		out, _ := cmd.Output()
		_, _ = os.Stdout.Write(out)
		os.Exit(cmd.ProcessState.ExitCode())
	}
	dir := t.TempDir()
	for _, how := range []string{"memory", "file", "a file that was changed"} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestBecome$")
		cmd.Env = append(os.Environ(), "BECOME="+strings.Fields(how)[0], "DIR="+dir)
		out, _ := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != 7 || string(out) != "zero one hello\n" {
			t.Errorf("%s: status %d, %s", how, cmd.ProcessState.ExitCode(), out)
		}
		files, _ := filepath.Glob(filepath.Join(dir, "*"))
		for _, f := range files {
			if info, err := os.Stat(f); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("%s: %v, %v", f, info.Mode(), err)
			}
			if err := os.WriteFile(f, []byte("#!/bin/sh\necho changed\n"), 0o700); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := Become([]byte("no program"), "/proc/none", []string{"x"}, nil); err == nil || !strings.Contains(err.Error(), "cannot be started") {
		t.Errorf("what is no program is started: %v", err)
	}
}

// TestOthersFolder: no program is started from a folder that others may write to, nor a file that they may.
func TestOthersFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	program := []byte("a program")
	path, err := keep(program, dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o722); err != nil {
		t.Fatal(err)
	}
	if again, err := keep(program, dir); err != nil || again != path {
		t.Fatal(again, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("a file that others may write to is used: %v, %v", info.Mode(), err)
	}
	for _, mode := range []os.FileMode{0o720, 0o702, 0o777 | os.ModeSticky} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := keep(program, dir); err == nil {
			t.Errorf("a folder of mode %v is used", mode)
		}
	}
}
