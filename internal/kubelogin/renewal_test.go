package kubelogin_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/kubelogin"
	"github.com/keyreeve/keyreeve/internal/kubelogin/command"
)

// at runs get-token within the test, at a time ahead.
func at(t *testing.T, home string, env map[string]string, ahead time.Duration, args ...string) outcome {
	t.Helper()
	var out, errs bytes.Buffer
	status := command.Main(t.Context(), kubelogin.Deps{
		Out: &out, Err: &errs, Now: func() time.Time { return time.Now().Add(ahead) },
		Environ: func(name string) (string, bool) {
			if name == "HOME" {
				return home, true
			}
			v, ok := env[name]
			return v, ok
		},
	}, append([]string{"get-token"}, args...))
	return outcome{out.String(), errs.String(), status}
}

// TestAheadOfExpiry: with five minutes left a token is renewed from the session and nobody is asked; while the authority is away
// the old one serves to its end, and then a person is asked.
func TestAheadOfExpiry(t *testing.T) {
	a := newAuthority(t)
	home, env := t.TempDir(), map[string]string{}
	text, err := os.ReadFile(a.CA)
	if err != nil {
		t.Fatal(err)
	}
	env["KEYREEVE_AUTHORITY_CA"] = string(text)
	call := func(ahead time.Duration) outcome {
		t.Helper()
		return at(t, home, env, ahead, deviceArgs(a, "--timeout", "20s")...)
	}
	first := call(0)
	if !strings.Contains(first.err, "To sign in") {
		t.Error(first.err)
	}
	token := first.credential(t).Status.Token
	a.last()
	if r := call(54 * time.Minute); r.credential(t).Status.Token != token || len(a.last()) > 0 {
		t.Error("with six minutes left it is renewed")
	}
	second := call(56 * time.Minute)
	if c := second.credential(t); c.Status.Token == token || strings.Contains(second.err, "To sign in") {
		t.Errorf("with four minutes left it is not renewed in silence: %s", second.err)
	}
	if asked := a.last(); len(asked) != 1 || asked[0].Get("grant_type") != "refresh_token" {
		t.Errorf("%v", asked)
	}
	token = second.credential(t).Status.Token
	a.set(func(a *authority) {
		a.refuse = `{"error":"temporarily_unavailable","error_description":"AADSTS90033: later"}`
	})
	if r := call(56 * time.Minute); r.credential(t).Status.Token != token {
		t.Error("a token that was just renewed is renewed again")
	}
	if r := call(58 * time.Minute); r.status != 0 || r.credential(t).Status.Token != token {
		t.Errorf("a token that is good for a while yet is not used: %s", r.err)
	}
	// It ends an hour after it was got; the person is asked once more.
	a.set(func(a *authority) {
		a.refuse = `{"error":"invalid_grant","error_description":"AADSTS70043: the session is over"}`
	})
	if r := call(61 * time.Minute); r.status != 1 || r.out != "" || !strings.Contains(r.err, "To sign in") {
		t.Errorf("%+v", r)
	}
	a.set(func(a *authority) { a.refuse = "" })
	if r := call(61 * time.Minute); r.credential(t).Status.Token == token {
		t.Error("an expired token is handed out")
	}
	// A clock that was set back by hours does not make a token of the future a good one for ever.
	a.last()
	if r := call(-3 * time.Hour); len(a.last()) == 0 {
		t.Errorf("a token that was got in the future is taken: %+v", r)
	}
}

var (
	anyToken = regexp.MustCompile(`"token":"[^"]+"`)
	anyTime  = regexp.MustCompile(`"expirationTimestamp":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"`)
)

// TestCredentialIsAzures: but for token and time, the answer is that of Azure's kubelogin to the byte, in each version.
func TestCredentialIsAzures(t *testing.T) {
	a := newAuthority(t)
	for _, info := range []string{
		"", `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","spec":{"interactive":true}}`,
		`{"apiVersion":"client.authentication.k8s.io/v1beta1","kind":"ExecCredential","spec":{"interactive":false}}`,
		`{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","spec":{"interactive":false,"cluster":{"server":"https://x","certificate-authority-data":"YWJj","config":null}}}`,
	} {
		var said [2]string
		for i, program := range programs {
			env := trust(t, program, a.CA)
			if info != "" {
				env = append(env, "KUBERNETES_EXEC_INFO="+info)
			}
			r := getToken(t, program, t.TempDir(), env, "-l", "spn", "--server-id", server, "--tenant-id", tenant, "--client-id", client, "--client-secret", "s",
				"--authority-host", a.URL+"/", "--disable-instance-discovery")
			r.credential(t)
			said[i] = anyTime.ReplaceAllString(anyToken.ReplaceAllString(r.out, "TOKEN"), "TIME")
			if !strings.Contains(said[i], "TOKEN") || !strings.Contains(said[i], "TIME") {
				t.Errorf("%s: %s", program, r.out)
			}
		}
		if said[0] != said[1] {
			t.Errorf("%s\nAzure's %q\nours    %q", info, said[0], said[1])
		}
	}
}

// TestAccountOfAz: a token that az lent is kept for the account that az is signed in as, and for no other.
func TestAccountOfAz(t *testing.T) {
	home := t.TempDir()
	bin, azure := filepath.Join(home, "bin"), filepath.Join(home, ".azure")
	for _, dir := range []string{bin, azure} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	script := "#!/bin/sh\necho run >>" + home + "/runs\n" + `printf '{"accessToken":"az %s","expires_on":4102444800,"expiresOn":"x","tokenType":"Bearer"}' "$(cat ` + home + `/who)"` + "\n"
	if err := os.WriteFile(filepath.Join(bin, "az"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	runs := func() int {
		text, _ := os.ReadFile(filepath.Join(home, "runs"))
		return strings.Count(string(text), "run")
	}
	as := func(who string) {
		writeFile(t, filepath.Join(home, "who"), who)
		writeFile(t, filepath.Join(azure, "azureProfile.json"), `{"subscriptions":[{"user":{"name":"`+who+`"}}]}`)
	}
	want := func(token string, n int) {
		t.Helper()
		r := getToken(t, "kubelogin", home, []string{"PATH=" + bin + ":" + os.Getenv("PATH")}, "-l", "azurecli", "--server-id", server)
		if got := r.credential(t).Status.Token; got != token || runs() != n {
			t.Errorf("%q after %d runs of az, want %q after %d", got, runs(), token, n)
		}
	}
	as("alice")
	want("az alice", 1)
	want("az alice", 1)
	as("bob")
	want("az bob", 2)
	as("alice")
	want("az alice", 2)
	// Where az keeps no profile, nobody can tell whose token it is.
	if err := os.Remove(filepath.Join(azure, "azureProfile.json")); err != nil {
		t.Fatal(err)
	}
	want("az alice", 3)
	want("az alice", 4)
}
