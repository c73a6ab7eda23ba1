package quick

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/cli/az"
)

// What is done here, and what is left to the whole program, of which nothing may be printed or done before.
func TestRun(t *testing.T) {
	t.Setenv("KEYREEVE_WORKSTATION", t.TempDir())
	for _, c := range []struct {
		line string
		done bool
		want string // part of the error
	}{
		{"aks show -g rg -n c1", true, "Set this machine up"},
		{"aks show", true, "is required"},
		{"aks show --nonsense", true, "unknown flag"},
		{"ad app federated-credential list --id x", true, "Set this machine up"},
		{"identity show -g rg -n x", true, "Set this machine up"},
		{"", false, ""},
		{"--version", false, ""},
		{"--help", false, ""},
		{"aks", false, ""},
		{"aks --help", false, ""},
		{"aks show -h", false, ""},
		{"aks nonsense", false, ""},
		{"identity host x", false, ""},
		{"up --data x", false, ""},
		{"serve", false, ""},
		{"__complete aks show", false, ""},
		{"-g rg aks show", false, ""},
	} {
		var out bytes.Buffer
		done, err := Run(t.Context(), az.Deps{In: strings.NewReader(""), Out: &out, Err: &out, Now: time.Now}, strings.Fields(c.line))
		if done != c.done || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: done %v, %v", c.line, done, err)
		}
		if out.Len() > 0 {
			t.Errorf("%q printed %s", c.line, out.String())
		}
	}
}
