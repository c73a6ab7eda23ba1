// Package script runs the stories of the keyreeve command: txtar scripts against the real program.
package script

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
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
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// signin signs the first administrator in with the keyreeve command.
			"signin": func(ts *testscript.TestScript, _ bool, _ []string) {
				ts.Check(ts.Exec("keyreeve", "login", "-u", k.Admin.UserPrincipalName, "-p", k.Admin.Password))
			},
		},
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", bin+string(os.PathListSeparator)+e.Getenv("PATH"))
			e.Setenv("HOME", filepath.Join(e.WorkDir, "home"))
			e.Setenv("KEYREEVE_DATA", string(k.Data))
			e.Setenv("LISTEN", k.Listen)
			e.Setenv("CA", k.Data.CA())
			ca, err := os.ReadFile(k.Data.CA())
			if err != nil {
				return err
			}
			e.Setenv("CA_TEXT", string(ca))
			e.Setenv("TENANT", k.Admin.TenantID)
			e.Setenv("ADMIN_USER", k.Admin.UserPrincipalName)
			e.Setenv("ADMIN_PASSWORD", k.Admin.Password)
			e.Setenv("FINGERPRINT", fingerprint(t, k.Data.CA()))
			return os.Mkdir(filepath.Join(e.WorkDir, "home"), 0o700)
		},
	})
}

// fingerprint is what keyreeve connect wants of an authority.
func fingerprint(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	sum := sha256.Sum256(block.Bytes)
	return "sha256:" + hex.EncodeToString(sum[:])
}
