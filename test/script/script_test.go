// Package script runs the stories of the keyreeve command: txtar scripts against the real program.
package script

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/keyreeve/keyreeve/test/harness"
)

func TestStories(t *testing.T) {
	bin := filepath.Dir(harness.Program(t, "keyreeve"))
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", bin+string(os.PathListSeparator)+e.Getenv("PATH"))
			e.Setenv("HOME", filepath.Join(e.WorkDir, "home"))
			return os.Mkdir(filepath.Join(e.WorkDir, "home"), 0o700)
		},
	})
}

// TestRunningServer tells the stories that need a Keyreeve, against one.
func TestRunningServer(t *testing.T) {
	k := harness.Up(t)
	bin := filepath.Dir(harness.Program(t, "keyreeve"))
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "running"),
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", bin+string(os.PathListSeparator)+e.Getenv("PATH"))
			e.Setenv("HOME", filepath.Join(e.WorkDir, "home"))
			e.Setenv("KEYREEVE_DATA", string(k.Data))
			e.Setenv("LISTEN", k.Listen)
			return os.Mkdir(filepath.Join(e.WorkDir, "home"), 0o700)
		},
	})
}
