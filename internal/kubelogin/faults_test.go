package kubelogin_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func deviceArgs(a *authority, more ...string) []string {
	return append([]string{
		"-l", "devicecode", "--server-id", server, "--tenant-id", tenant, "--client-id", client, "--authority-host", a.URL + "/", "--disable-instance-discovery",
	}, more...)
}

// cacheDir is where a home's cache is.
func cacheDir(home string) string { return filepath.Join(home, ".kube", "cache", "kubelogin") }

// clean fails the test if a cache holds a half-written file or one that others can read.
func clean(t *testing.T, home string) {
	t.Helper()
	entries, _ := os.ReadDir(cacheDir(home))
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || strings.HasPrefix(e.Name(), ".new-") || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s %v %v", e.Name(), info.Mode(), err)
		}
	}
}

// TestTenAtOnce: ten processes show one code, and all have its token.
func TestTenAtOnce(t *testing.T) {
	a := newAuthority(t)
	a.set(func(a *authority) { a.pending = 2 })
	home := t.TempDir()
	results := make(chan outcome, 10)
	for range 10 {
		cmd, out, errs := start(t, "kubelogin", home, trust(t, "kubelogin", a.CA), deviceArgs(a)...)
		go func() {
			_ = cmd.Wait()
			results <- outcome{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
		}()
	}
	shown, tokens := 0, map[string]bool{}
	for range 10 {
		r := <-results
		tokens[r.credential(t).Status.Token] = true
		shown += strings.Count(r.err, "To sign in")
	}
	if shown != 1 || a.devices != 1 || len(tokens) != 1 {
		t.Errorf("%d codes shown, %d made, %d tokens", shown, a.devices, len(tokens))
	}
	clean(t, home)
}

// TestTenRefused: when the one sign-in fails, the others fail with it, and nobody is asked ten times.
func TestTenRefused(t *testing.T) {
	a := newAuthority(t)
	a.set(func(a *authority) {
		a.pending, a.refuse = 3, `{"error":"authorization_declined","error_description":"AADSTS70018: declined"}`
	})
	home := t.TempDir()
	results := make(chan outcome, 10)
	for range 10 {
		cmd, out, errs := start(t, "kubelogin", home, trust(t, "kubelogin", a.CA), deviceArgs(a)...)
		go func() {
			_ = cmd.Wait()
			results <- outcome{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
		}()
	}
	for range 10 {
		if r := <-results; r.status != 1 || !strings.Contains(r.err, "declined") || r.out != "" {
			t.Errorf("%+v", r)
		}
	}
	if a.devices > 2 { // one that began after the failure may ask again
		t.Errorf("%d codes", a.devices)
	}
}

// TestIdentities: a token is reused by the same identity only.
func TestIdentities(t *testing.T) {
	a := newAuthority(t)
	certs := certificates(t)
	home := t.TempDir()
	base := []string{"--server-id", server, "--tenant-id", tenant, "--client-id", client, "--authority-host", a.URL + "/", "--disable-instance-discovery"}
	with := func(args ...string) []string { return append(append([]string{}, args...), base...) }
	identities := [][]string{
		with("-l", "spn", "--client-secret", "one"),
		with("-l", "spn", "--client-secret", "two"),
		with("-l", "spn", "--client-secret", "one", "--legacy"),
		with("-l", "spn", "--client-secret", "one", "--pop-enabled", "--pop-claims", "u=a"),
		with("-l", "spn", "--client-secret", "one", "--pop-enabled", "--pop-claims", "u=b"),
		with("-l", "spn", "--client-certificate", certs["good.pem"]),
		with("-l", "spn", "--client-certificate", certs["pkcs1.pem"]),
		with("-l", "ropc", "--username", "a", "--password", "one"),
		with("-l", "ropc", "--username", "b", "--password", "one"),
		with("-l", "ropc", "--username", "a", "--password", "two"),
		append(with("-l", "spn", "--client-secret", "one"), "--client-id", "another"),
		append(with("-l", "spn", "--client-secret", "one"), "--server-id", "another"),
		append(with("-l", "spn", "--client-secret", "one"), "--tenant-id", "11111111-1111-1111-1111-111111111111"),
		with("-l", "devicecode"),
		with("-l", "devicecode", "--legacy"),
		with("-l", "interactive", "--login-hint", "x"), // served by nobody: it has no browser
	}
	env := trust(t, "kubelogin", a.CA)
	seen := map[string]int{}
	for i, args := range identities[:len(identities)-1] {
		token := bare(t, getToken(t, "kubelogin", home, env, args...).credential(t).Status.Token)
		if n, ok := seen[token]; ok {
			t.Errorf("%v has the token of %v", args, identities[n])
		}
		seen[token] = i
	}
	for i, args := range identities[:len(identities)-1] {
		if token := bare(t, getToken(t, "kubelogin", home, env, args...).credential(t).Status.Token); seen[token] != i {
			t.Errorf("%v does not have its token again", args)
		}
	}
	last := identities[len(identities)-1]
	if r := getToken(t, "kubelogin", home, append(env, "PATH=/nonexistent"), append(last, "--timeout", "1s")...); r.status != 1 || r.out != "" {
		t.Errorf("a browser sign-in found a token of another identity: %+v", r)
	}
	clean(t, home)
}

// TestDamagedCache: what cannot be read is as good as nothing, and is written anew.
func TestDamagedCache(t *testing.T) {
	a := newAuthority(t)
	env, args := trust(t, "kubelogin", a.CA), deviceArgs(a)
	for name, damage := range map[string]func(path string) error{
		"cut":     func(p string) error { return os.Truncate(p, 20) },
		"empty":   func(p string) error { return os.Truncate(p, 0) },
		"garbage": func(p string) error { return os.WriteFile(p, []byte(strings.Repeat("x", 300)), 0o600) },
		"gone":    os.Remove,
	} {
		for _, which := range []string{"*.token", "*.key", "*"} {
			t.Run(name+" "+which, func(t *testing.T) {
				home := t.TempDir()
				getToken(t, "kubelogin", home, env, args...).credential(t)
				files, _ := filepath.Glob(filepath.Join(cacheDir(home), which))
				if len(files) == 0 {
					t.Fatal("nothing was cached")
				}
				for _, f := range files {
					if err := damage(f); err != nil {
						t.Fatal(err)
					}
				}
				first := getToken(t, "kubelogin", home, env, args...).credential(t)
				a.last()
				if again := getToken(t, "kubelogin", home, env, args...).credential(t); again.Status.Token != first.Status.Token || len(a.last()) > 0 {
					t.Error("it is not in the cache again")
				}
				clean(t, home)
			})
		}
	}
}

// TestNoCache: a home that takes no files costs a warning, and no more.
func TestNoCache(t *testing.T) {
	a := newAuthority(t)
	home := t.TempDir()
	writeFile(t, filepath.Join(home, "file"), "")
	for _, dir := range []string{filepath.Join(home, "file", "below"), "/proc/none/of/it"} {
		r := getToken(t, "kubelogin", home, trust(t, "kubelogin", a.CA), deviceArgs(a, "--cache-dir", dir)...)
		r.credential(t)
		if strings.Count(r.err, "warning: the token is not kept") != 1 {
			t.Errorf("%s", r.err)
		}
	}
	r := getToken(t, "kubelogin", home, trust(t, "kubelogin", a.CA), deviceArgs(a, "--token-cache", "none")...)
	if r.credential(t); strings.Contains(r.err, "warning") {
		t.Error(r.err)
	}
	if _, err := os.Stat(filepath.Join(home, ".kube")); err == nil {
		t.Error("--token-cache none writes")
	}
}

// TestRenewal: before its end a token is renewed from the session, without asking; when nobody answers it is used to its end.
func TestRenewal(t *testing.T) {
	a := newAuthority(t)
	home, env, args := t.TempDir(), trust(t, "kubelogin", a.CA), deviceArgs(a)
	a.set(func(a *authority) { a.life = 30 * time.Second })
	first := getToken(t, "kubelogin", home, env, args...).credential(t)
	if again := getToken(t, "kubelogin", home, env, args...).credential(t); again.Status.Token != first.Status.Token {
		t.Error("a token of a short life is renewed at once")
	}
	<-time.After(time.Until(first.Status.ExpirationTimestamp.Add(-14 * time.Second)))
	a.last()
	second := getToken(t, "kubelogin", home, env, args...)
	if second.credential(t).Status.Token == first.Status.Token || strings.Contains(second.err, "To sign in") {
		t.Errorf("not renewed: %s", second.err)
	}
	if asked := a.last(); len(asked) != 1 || asked[0].Get("grant_type") != "refresh_token" {
		t.Errorf("%v", asked)
	}
	a.set(func(a *authority) { a.refuse = `{"error":"temporarily_unavailable"}` })
	<-time.After(time.Until(second.credential(t).Status.ExpirationTimestamp.Add(-14 * time.Second)))
	if third := getToken(t, "kubelogin", home, env, args...); third.credential(t).Status.Token != second.credential(t).Status.Token {
		t.Error("a token that is good for a while yet is not used")
	}
}

// TestMessages: what went wrong, and what to do about it.
func TestMessages(t *testing.T) {
	a := newAuthority(t)
	certs := certificates(t)
	env := trust(t, "kubelogin", a.CA)
	spn := func(cert string, more ...string) []string {
		return append([]string{
			"-l", "spn", "--server-id", server, "--tenant-id", tenant, "--client-id", client, "--authority-host", a.URL + "/", "--disable-instance-discovery",
			"--client-certificate", cert,
		}, more...)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // accepts, and never answers
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = dead.Close()
	at := func(host string) []string {
		return []string{"-l", "spn", "--server-id", server, "--tenant-id", tenant, "--client-id", client, "--client-secret", "top-secret", "--authority-host", "https://" + host + "/", "--disable-instance-discovery", "--timeout", "2s"}
	}
	blocked := `{"error":"interaction_required","error_description":"AADSTS53003: Access has been blocked by Conditional Access policies. The policy is \"Require trusted location\". Trace ID: 1","suberror":"message_only","policies":["Require trusted location"],"correlation_id":"c-1"}`
	for name, tt := range map[string]struct {
		args []string
		env  []string
		set  func(*authority)
		want []string
	}{
		"wrong password":   {spn(certs["modern.pfx"], "--client-certificate-password", "x"), env, nil, []string{"the password is wrong"}},
		"no password":      {spn(certs["modern.pfx"]), env, nil, []string{"it has a password", "AZURE_CLIENT_CERTIFICATE_PASSWORD"}},
		"cut PFX":          {spn(certs["cut.pfx"]), env, nil, []string{"neither PEM nor a PFX"}},
		"foreign key":      {spn(certs["foreign.pem"]), env, nil, []string{"none of its certificates belongs to its key"}},
		"no key":           {spn(certs["keyless.pem"]), env, nil, []string{"holds no private key"}},
		"no certificate":   {spn(certs["certless.pem"]), env, nil, []string{"holds no certificate"}},
		"encrypted":        {spn(certs["encrypted.pem"]), env, nil, []string{"key is encrypted", "openssl pkey"}},
		"garbage":          {spn(certs["garbage.pem"]), env, nil, []string{"neither PEM nor a PFX"}},
		"empty":            {spn(certs["empty.pem"]), env, nil, []string{"neither PEM nor a PFX"}},
		"missing":          {spn("/nonexistent"), env, nil, []string{"cannot be read", "no such file"}},
		"dead":             {at(dead.Addr().String()), env, nil, []string{"cannot be reached", "--authority-host"}},
		"slow":             {at(l.Addr().String()), env, nil, []string{"not done within 2s", "--timeout"}},
		"untrusted":        {at(strings.TrimPrefix(a.URL, "https://")), nil, nil, []string{"not trusted", "KEYREEVE_AUTHORITY_CA"}},
		"bad CA":           {at(strings.TrimPrefix(a.URL, "https://")), []string{"KEYREEVE_AUTHORITY_CA=%%"}, nil, []string{"neither PEM nor base64"}},
		"no client":        {[]string{"-l", "spn", "--server-id", "s"}, env, nil, []string{"--client-id", "AZURE_CLIENT_ID"}},
		"no server":        {[]string{"-l", "spn"}, env, nil, []string{"server-id is required"}},
		"blocked":          {at(strings.TrimPrefix(a.URL, "https://")), env, func(a *authority) { a.refuse = blocked }, []string{"Require trusted location", "Conditional Access policy blocks", "c-1"}},
		"clock":            {at(strings.TrimPrefix(a.URL, "https://")), env, func(a *authority) { a.refuse, a.date = blocked, 3*time.Hour }, []string{"This machine's clock is 3h0m0s behind"}},
		"exec info":        {at(dead.Addr().String()), []string{"KUBERNETES_EXEC_INFO={"}, nil, []string{"KUBERNETES_EXEC_INFO"}},
		"exec version":     {at(dead.Addr().String()), []string{`KUBERNETES_EXEC_INFO={"apiVersion":"client.authentication.k8s.io/v9"}`}, nil, []string{"v9 is not supported"}},
		"assertion":        {[]string{"-l", "workloadidentity", "--server-id", server, "--tenant-id", tenant, "--client-id", client, "--authority-host", a.URL + "/", "--disable-instance-discovery", "--federated-token-file", certs["empty.pem"]}, env, nil, []string{"holds no token"}},
		"no az":            {[]string{"-l", "azurecli", "--server-id", server}, []string{"PATH=/nonexistent"}, nil, []string{"az gave no token"}},
		"control sequence": {at(strings.TrimPrefix(a.URL, "https://")), env, func(a *authority) { a.refuse = `{"error":"x","error_description":"AADSTS1: \u001b[2Jboo"}` }, []string{"[2Jboo"}},
	} {
		t.Run(name, func(t *testing.T) {
			a.set(func(a *authority) { a.refuse, a.date = "", 0 })
			if tt.set != nil {
				a.set(tt.set)
			}
			home := t.TempDir()
			begun := time.Now()
			r := getToken(t, "kubelogin", home, tt.env, tt.args...)
			if r.status != 1 || r.out != "" || !strings.HasPrefix(r.err, "Error: ") {
				t.Errorf("status %d, output %q, %q", r.status, r.out, r.err)
			}
			for _, want := range tt.want {
				if !strings.Contains(r.err, want) {
					t.Errorf("no %q in\n%s", want, r.err)
				}
			}
			if strings.Contains(r.err, "top-secret") || strings.Contains(r.err, "\x1b") {
				t.Errorf("it says too much:\n%q", r.err)
			}
			if took := time.Since(begun); took > 10*time.Second {
				t.Errorf("it took %s", took)
			}
			clean(t, home)
		})
	}
	t.Run("clock, and a token", func(t *testing.T) {
		a.set(func(a *authority) { a.refuse, a.date = "", -2*time.Hour })
		r := getToken(t, "kubelogin", t.TempDir(), env, spn(certs["good.pem"])...)
		if r.credential(t); !strings.Contains(r.err, "clock is 2h0m0s ahead of the server's") {
			t.Error(r.err)
		}
	})
}

// TestInterrupted: Ctrl-C in the middle of a sign-in ends it at once and leaves nothing half-written.
func TestInterrupted(t *testing.T) {
	a := newAuthority(t)
	a.set(func(a *authority) { a.pending = 1000 })
	home := t.TempDir()
	cmd, out, errs := start(t, "kubelogin", home, trust(t, "kubelogin", a.CA), deviceArgs(a)...)
	for range 1000 {
		if a.set(func(a *authority) {}); a.pendingLeft() < 1000 {
			break
		}
		<-time.After(10 * time.Millisecond)
	}
	begun := time.Now()
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if cmd.ProcessState.ExitCode() != 1 || out.Len() > 0 || !strings.Contains(errs.String(), "interrupted") || time.Since(begun) > 3*time.Second {
		t.Errorf("status %d after %s: %s%s", cmd.ProcessState.ExitCode(), time.Since(begun), out, errs)
	}
	clean(t, home)
	a.set(func(a *authority) { a.pending = 0 })
	getToken(t, "kubelogin", home, trust(t, "kubelogin", a.CA), deviceArgs(a)...).credential(t)
}

func (a *authority) pendingLeft() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.pending
}

// TestPrompt: the complete link where the server gives one, its own message otherwise.
func TestPrompt(t *testing.T) {
	a := newAuthority(t)
	r := getToken(t, "kubelogin", t.TempDir(), trust(t, "kubelogin", a.CA), deviceArgs(a)...)
	if r.credential(t); !strings.Contains(r.err, "open "+a.URL+"/device?code=CODE-1\n") || !strings.Contains(r.err, "enter the code CODE-1") {
		t.Error(r.err)
	}
	a.set(func(a *authority) { a.complete = false })
	r = getToken(t, "kubelogin", t.TempDir(), trust(t, "kubelogin", a.CA), deviceArgs(a)...)
	if r.credential(t); !strings.Contains(r.err, "To sign in, use CODE-2\n") {
		t.Error(r.err)
	}
}

// TestExecInfo: what kubectl says is heeded, the extension of a cluster included, and the two programs answer in the same form.
func TestExecInfo(t *testing.T) {
	a := newAuthority(t)
	text, err := os.ReadFile(a.CA)
	if err != nil {
		t.Fatal(err)
	}
	info := fmt.Sprintf(`{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","spec":{"cluster":{"server":"https://x","config":{"authorityCertificateAuthorityData":%q}},"interactive":false}}`, text)
	r := getToken(t, "kubelogin", t.TempDir(), []string{"KUBERNETES_EXEC_INFO=" + info}, deviceArgs(a)...)
	if c := r.credential(t); c.APIVersion != "client.authentication.k8s.io/v1" {
		t.Errorf("%+v", c)
	}
	for _, extension := range []string{`null`, `"text"`, `{"theirs":1}`} {
		info := `{"apiVersion":"client.authentication.k8s.io/v1beta1","spec":{"cluster":{"config":` + extension + `}}}`
		getToken(t, "kubelogin", t.TempDir(), append(trust(t, "kubelogin", a.CA), "KUBERNETES_EXEC_INFO="+info), deviceArgs(a)...).credential(t)
	}
}
