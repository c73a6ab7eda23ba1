package az

import (
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"pgregory.net/rapid"

	"github.com/keyreeve/keyreeve/internal/cli/az/shape"
)

func testRoot() *cobra.Command {
	root := &cobra.Command{Use: "keyreeve"}
	root.AddCommand(&cobra.Command{Use: "up", Run: func(*cobra.Command, []string) {}})
	root.AddCommand(Commands(Deps{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard, Now: time.Now})...)
	return root
}

func TestArguments(t *testing.T) {
	for in, want := range map[string]string{
		"group create -n a -l b":                         "group create --name=a --location=b",
		"group create -g a --tags x=1 y=2 -l b":          "group create --name=a --tags=x=1 --tags=y=2 --location=b",
		"group show --resource-group a":                  "group show --name=a",
		"aks update -g a -n b --enable-local":            "aks update --resource-group=a --name=b --enable-local-accounts",
		"aks update --disable-local-accounts -g a":       "aks update --disable-local-accounts --resource-group=a",
		"ad group create --force true --display x":       "ad group create --force=true --display-name=x",
		"ad group create --force --display-name x":       "ad group create --force --display-name=x",
		"ad sp create-for-rbac --sdk-auth -n x":          "ad sp create-for-rbac --json-auth --display-name=x",
		"role assignment delete --ids /a /b --yes":       "role assignment delete --ids=/a --ids=/b --yes",
		"aks show -g a -n b --query [].x -o tsv":         "aks show --resource-group=a --name=b --query=[].x --output=tsv",
		"aks show --help":                                "aks show --help",
		"aks show --nothing x":                           "aks show --nothing x",
		"aks create --enable-a x":                        "aks create --enable-a x", // two begin so
		"up --data x":                                    "up --data x",
		"":                                               "",
		"rest --url /a?b=c --method post --body {\"a\"}": "rest --url=/a?b=c --method=post --body={\"a\"}",
	} {
		got := Arguments(testRoot(), strings.Fields(in))
		if diff := cmp.Diff(want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%s: %s", in, diff)
		}
	}
}

// TestArgumentsAreKept: rewriting loses no word that is not a flag's name, and doing it again changes nothing.
func TestArgumentsAreKept(t *testing.T) {
	root := testRoot()
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOf(rapid.SampledFrom([]string{"-g", "a", "--tags", "x=1", "true", "--force", "--", "-o", "--no-wait", "-n=b", "--ids", "", "-", "--output=json"})).Draw(t, "words")
		args := append([]string{"aks", "create"}, words...)
		once := Arguments(root, args)
		if twice := Arguments(root, once); !slices.Equal(once, twice) {
			t.Fatalf("%q becomes %q, and that %q", args, once, twice)
		}
		for _, w := range words {
			if !strings.HasPrefix(w, "-") && !strings.Contains(strings.Join(once, " "), w) {
				t.Fatalf("%q is lost: %q", w, once)
			}
		}
	})
}

// TestTable: every command has what help needs, a known form, and no flag twice.
func TestTable(t *testing.T) {
	folders := groups()
	seen := map[string]bool{}
	for _, c := range table() {
		if seen[c.path] {
			t.Errorf("%s is there twice", c.path)
		}
		seen[c.path] = true
		if c.short == "" || (c.get == "") == (c.run == nil) {
			t.Errorf("%s: a command says what it does, and has either get or run", c.path)
		}
		if c.kind != "" {
			shape.Of(c.kind, map[string]any{})
		}
		parts := strings.Fields(c.path)
		for i := 1; i < len(parts); i++ {
			if folder := strings.Join(parts[:i], " "); folders[folder] == "" {
				t.Errorf("%s has no word of explanation", folder)
			}
		}
	}
	testRoot() // a flag that is there twice panics
}
