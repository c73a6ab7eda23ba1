package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/test/browser"
	"github.com/keyreeve/keyreeve/test/harness"
)

// TestBrowserSignIn signs in with az, new and old, and with Azure's kubelogin as people do at a desk: the program opens
// a browser, and hears of the answer on loopback.
func TestBrowserSignIn(t *testing.T) {
	k := harness.Up(t)
	opened, path := opener(t)
	tab := browser.Start(t)
	pages := func(done chan<- struct{}, click bool) {
		defer close(done)
		tab.Open(awaitURL(t, opened))
		if click {
			tab.Heading("Choose an account")
			tab.Click(`button.account:not(.other)`)
			return
		}
		tab.Heading("Sign in")
		tab.Type("#username", k.Admin.UserPrincipalName+"\t"+k.Admin.Password+"\r")
	}
	for i, az := range []string{"clients/az", "clients/az-2.45"} {
		t.Run(az, func(t *testing.T) {
			env := append(k.Env(t.TempDir()), "BROWSER="+filepath.Join(path, "xdg-open")+" %s")
			done := make(chan struct{})
			go pages(done, i > 0)
			harness.Must(t, env, az, "login", "-o", "none")
			<-done
			if got := harness.Must(t, env, az, "account", "show", "--query", "user.name", "-o", "tsv"); got != k.Admin.UserPrincipalName {
				t.Errorf("signed in as %s", got)
			}
			if got := harness.Must(t, env, az, "ad", "signed-in-user", "show", "--query", "userPrincipalName", "-o", "tsv"); got != k.Admin.UserPrincipalName {
				t.Errorf("Graph knows %s", got)
			}
		})
	}
	t.Run("kubelogin", func(t *testing.T) {
		env := k.Env(t.TempDir())
		env = append(env, "PATH="+path+":"+lookup(env, "PATH"))
		done := make(chan struct{})
		go pages(done, true)
		out := harness.Must(t, env, "clients/kubelogin", "get-token", "-l", "interactive", "--server-id", "6dae42f8-4368-4678-94ff-3960e28e3630",
			"--client-id", "80faf920-1908-4b52-b5ef-a8e7bedfc67a", "--tenant-id", k.Admin.TenantID, "--authority-host", "https://"+k.Listen+"/",
			"--disable-instance-discovery", "--environment", "AzurePublicCloud")
		<-done
		var cred struct {
			Status struct{ Token string }
		}
		if err := json.Unmarshal([]byte(out), &cred); err != nil || strings.Count(cred.Status.Token, ".") != 2 {
			t.Fatalf("%v: %s", err, out)
		}
	})
}

// opener is a folder with an xdg-open that writes down the address it was given, and the file it writes to.
func opener(t *testing.T) (file, dir string) {
	t.Helper()
	dir = t.TempDir()
	file = filepath.Join(dir, "url")
	script := "#!/bin/sh\nprintf '%s' \"$1\" >'" + file + ".new' && mv '" + file + ".new' '" + file + "'\n"
	if err := os.WriteFile(filepath.Join(dir, "xdg-open"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return file, dir
}

func awaitURL(t *testing.T, file string) string {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for range 1200 {
		if b, err := os.ReadFile(file); err == nil {
			_ = os.Remove(file)
			return string(b)
		}
		<-tick.C
	}
	t.Error("no browser was opened")
	return "about:blank"
}
