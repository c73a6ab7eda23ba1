package workstation

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSetINI(t *testing.T) {
	values := []setting{{"a", "1"}, {"b", "2"}}
	for name, tc := range map[string]struct{ in, want string }{
		"new file":           {"", "[s]\na = 1\nb = 2\n"},
		"section kept":       {"[s]\na = 9\nmine = x\n", "[s]\na = 1\nmine = x\nb = 2\n"},
		"other section":      {"[o]\na = 9\n", "[o]\na = 9\n\n[s]\na = 1\nb = 2\n"},
		"section in between": {"[s]\nb=7\n\n[o]\na = 9\n", "[s]\nb = 2\na = 1\n\n[o]\na = 9\n"},
		"comment kept":       {"# mine\n[s]\na = 1\nb = 2\n", "# mine\n\n[s]\na = 1\nb = 2\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got := setINI(tc.in, "s", values)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			if again := setINI(got, "s", values); again != got {
				t.Errorf("setting again changes it:\n%s", again)
			}
		})
	}
}

// FuzzSetINI: whatever a person's file holds, the values end up set once, and doing it again changes nothing.
func FuzzSetINI(f *testing.F) {
	f.Add("[s]\na = 9\n[o]\nb=1\n")
	f.Add("[s\n]\r\n=\n[s]\n[s]\na=1")
	f.Fuzz(func(t *testing.T, in string) {
		values := []setting{{"a", "1"}, {"b", "2"}}
		got := setINI(in, "s", values)
		if again := setINI(got, "s", values); again != got {
			t.Fatalf("not idempotent:\n%q\n%q", got, again)
		}
		if !strings.Contains("\n"+got, "\na = 1\n") || !strings.Contains("\n"+got, "\nb = 2\n") {
			t.Fatalf("values missing: %q", got)
		}
	})
}

func TestSetupKeepsSignInsAndTouchesNothingElse(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	dir := filepath.Join(t.TempDir(), "it's here")
	s := Settings{Dir: dir, Login: "https://127.0.0.1:8443", ARM: "https://127.0.0.1:8444", Graph: "https://127.0.0.1:8445", CA: []byte("CA\n")}
	vars, err := Setup(s)
	if err != nil {
		t.Fatal(err)
	}
	token := filepath.Join(dir, "azure", "msal_token_cache.json")
	if err := os.WriteFile(token, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Setup(s); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(token); err != nil {
		t.Error("a second run dropped the sign-in")
	}
	left, err := os.ReadDir(home)
	if err != nil || len(left) != 0 {
		t.Errorf("home holds %v, %v", left, err)
	}
	script, err := Export(Bash, vars)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "bash", "-c", script+`printf %s "$KUBECONFIG"`).Output()
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, "kube", "config"); string(out) != want {
		t.Errorf("bash reads %q, want %q", out, want)
	}
}

// TestTrust holds that a server whose authority every machine trusts needs none of its own, and that no client is pointed to
// an empty file.
func TestTrust(t *testing.T) {
	system := filepath.Join(t.TempDir(), "system.pem")
	if err := os.WriteFile(system, []byte("SYSTEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		ca     string
		system []string
		want   string
	}{
		"private": {"CA\n", nil, "CA\n"}, "private beside the machine's": {"CA\n", []string{"/none", system}, "SYSTEM\nCA\n"},
		"public": {"", []string{system}, "SYSTEM\n"}, "public, and the machine's are nowhere": {"", nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			vars, err := Setup(Settings{
				Dir: t.TempDir(), Login: "https://a.test", ARM: "https://b.test", Graph: "https://c.test", CA: []byte(test.ca), SystemBundles: test.system,
			})
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for _, v := range vars {
				if v.Name == "SSL_CERT_FILE" || v.Name == "REQUESTS_CA_BUNDLE" {
					text, err := os.ReadFile(v.Value)
					if err != nil {
						t.Error(err)
					}
					got[v.Name] = string(text)
				}
			}
			want := map[string]string{"SSL_CERT_FILE": test.want, "REQUESTS_CA_BUNDLE": test.want}
			if test.want == "" {
				clear(want)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestExportRefusesUnknownShell(t *testing.T) {
	if _, err := Export("tcsh", []Variable{{"A", "b"}}); err == nil {
		t.Error("no error")
	}
}
