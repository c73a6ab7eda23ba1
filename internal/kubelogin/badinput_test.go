package kubelogin_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/test/harness"
)

// limited runs kubelogin where no file may grow, as on a full disk. It is the one in the keyreeve program: the limit counts for the
// memory as well in which bin/kubelogin hands over to the part that signs in.
func limited(t *testing.T, home string, env []string, args ...string) outcome {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", append([]string{"-c", `ulimit -f 0; exec "$0" kubelogin "$@"`, harness.Program(t, "keyreeve")}, args...)...)
	cmd.Env = append([]string{"HOME=" + home, "PATH=" + os.Getenv("PATH")}, env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return outcome{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

// TestFullDisk: a disk that takes no bytes costs a warning at a sign-in; a conversion fails and leaves the file as it was.
func TestFullDisk(t *testing.T) {
	a := newAuthority(t)
	home := t.TempDir()
	r := limited(t, home, trust(t, "kubelogin", a.CA), append([]string{"get-token"}, deviceArgs(a)...)...)
	if r.credential(t); strings.Count(r.err, "warning: the token is not kept") != 1 {
		t.Error(r.err)
	}
	clean(t, home)
	// Where bin/kubelogin cannot even begin, it says so.
	cmd := exec.CommandContext(t.Context(), "sh", append([]string{"-c", `ulimit -f 0; exec "$0" get-token "$@"`, harness.Program(t, "kubelogin")}, deviceArgs(a)...)...)
	cmd.Env = []string{"HOME=" + home}
	if out, _ := cmd.CombinedOutput(); runtime.GOOS == "linux" && !strings.Contains(string(out), "Error: the part that signs in cannot be started") {
		t.Errorf("%s", out)
	}
	clean(t, home)
	// With a key from better times, too.
	getToken(t, "kubelogin", home, trust(t, "kubelogin", a.CA), deviceArgs(a)...).credential(t)
	before, _ := filepath.Glob(filepath.Join(cacheDir(home), "*"))
	r = limited(t, home, trust(t, "kubelogin", a.CA), append([]string{"get-token", "--legacy"}, deviceArgs(a)...)...)
	if r.credential(t); strings.Count(r.err, "warning: the token is not kept") != 1 {
		t.Error(r.err)
	}
	clean(t, home)
	if after, _ := filepath.Glob(filepath.Join(cacheDir(home), "*.token")); len(after) >= len(before) {
		t.Errorf("before %v, after %v", before, after)
	}

	dir := t.TempDir()
	config := filepath.Join(dir, "config")
	writeFile(t, config, kubeconfigOf(3))
	r = limited(t, home, nil, "convert-kubeconfig", "-l", "azurecli", "--kubeconfig", config)
	text, err := os.ReadFile(config)
	if err != nil || string(text) != kubeconfigOf(3) || r.status != 1 || !strings.Contains(r.err, "left as it was") {
		t.Errorf("status %d, %v\n%s", r.status, err, r.err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

// TestReadOnlyHome: a home that takes no files costs a warning, and a kubeconfig in it is left as it was. Root writes anywhere but
// where there is nothing to write to.
func TestReadOnlyHome(t *testing.T) {
	a := newAuthority(t)
	home := t.TempDir()
	if os.Geteuid() == 0 {
		home = "/proc/self"
	} else if err := os.Chmod(home, 0o500); err != nil {
		t.Fatal(err)
	}
	r := getToken(t, "kubelogin", home, trust(t, "kubelogin", a.CA), deviceArgs(a)...)
	if r.credential(t); strings.Count(r.err, "warning: the token is not kept") != 1 {
		t.Error(r.err)
	}
}

// TestConvertersAtOnce: whoever converts the same file at the same time, it is whole, and one of their results.
func TestConvertersAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	writeFile(t, path, kubeconfigOf(50))
	var wg sync.WaitGroup
	modes := []string{"ropc", "interactive", "devicecode"}
	for i := range 12 {
		cmd := exec.CommandContext(t.Context(), harness.Program(t, "kubelogin"), "convert-kubeconfig", "-l", modes[i%3], "--kubeconfig", path)
		wg.Go(func() {
			// Who finds the file locked for long gives up with a word, as kubectl does.
			if out, err := cmd.CombinedOutput(); err != nil && !strings.Contains(string(out), "lock") {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	wg.Wait()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, mode := range modes {
		if n := strings.Count(string(text), "      - "+mode+"\n"); n == 50 {
			found++
		} else if n != 0 {
			t.Errorf("%d of 50 users sign in by %s", n, mode)
		}
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); found != 1 || len(left) != 1 {
		t.Errorf("%d modes in it, and files %v", found, left)
	}
}

// TestOneBrowser: ten calls at once open one browser.
func TestOneBrowser(t *testing.T) {
	a := newAuthority(t)
	home, bin := t.TempDir(), t.TempDir()
	script := "#!/bin/sh\necho open >>" + bin + "/opened\nsleep 1\n" + `set -- $(curl -s --cacert "` + a.CA + `" "$1"); exec curl -s -d code=the-code --data-urlencode "state=$2" "$1" >/dev/null` + "\n"
	if err := os.WriteFile(filepath.Join(bin, "xdg-open"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	env := append(trust(t, "kubelogin", a.CA), "PATH="+bin+":"+os.Getenv("PATH"))
	args := []string{"-l", "interactive", "--server-id", server, "--tenant-id", tenant, "--client-id", client, "--authority-host", a.URL + "/", "--disable-instance-discovery"}
	results := make(chan outcome, 10)
	for range 10 {
		cmd, out, errs := start(t, "kubelogin", home, env, args...)
		go func() {
			_ = cmd.Wait()
			results <- outcome{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
		}()
	}
	tokens := map[string]bool{}
	for range 10 {
		r := <-results
		tokens[r.credential(t).Status.Token] = true
	}
	opened, _ := os.ReadFile(filepath.Join(bin, "opened"))
	if strings.Count(string(opened), "open") != 1 || len(tokens) != 1 {
		t.Errorf("%d tokens, and browsers:\n%s", len(tokens), opened)
	}
}

// TestInterruptedBrowser: Ctrl-C, or an end of any other kind, while the browser is open.
func TestInterruptedBrowser(t *testing.T) {
	a := newAuthority(t)
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGKILL} {
		home, bin := t.TempDir(), t.TempDir()
		if err := os.WriteFile(filepath.Join(bin, "xdg-open"), []byte("#!/bin/sh\n: >"+bin+"/opened\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		env := append(trust(t, "kubelogin", a.CA), "PATH="+bin+":"+os.Getenv("PATH"))
		args := []string{"-l", "interactive", "--server-id", server, "--tenant-id", tenant, "--client-id", client, "--authority-host", a.URL + "/", "--disable-instance-discovery"}
		cmd, out, errs := start(t, "kubelogin", home, env, args...)
		for range 1000 {
			if _, err := os.Stat(filepath.Join(bin, "opened")); err == nil {
				break
			}
			<-time.After(10 * time.Millisecond)
		}
		begun := time.Now()
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		if sig != syscall.SIGKILL && (cmd.ProcessState.ExitCode() != 1 || !strings.Contains(errs.String(), "interrupted")) {
			t.Errorf("%v: status %d: %s", sig, cmd.ProcessState.ExitCode(), errs)
		}
		if out.Len() > 0 || time.Since(begun) > 3*time.Second {
			t.Errorf("%v: after %s: %s", sig, time.Since(begun), out)
		}
		clean(t, home)
		// A lock that its holder took to the grave keeps nobody waiting.
		again := getToken(t, "kubelogin", home, trust(t, "kubelogin", a.CA), append(args, "-l", "ropc", "--username", "u", "--password", "p")...)
		again.credential(t)
	}
}

// TestStrangeAuthority: answers that are none end within the time that was given, and say whose they are.
func TestStrangeAuthority(t *testing.T) {
	for name, tt := range map[string]struct {
		answer func(w http.ResponseWriter, end <-chan struct{})
		want   string
	}{
		"a page": {func(w http.ResponseWriter, _ <-chan struct{}) {
			fmt.Fprint(w, "<html><body>Sign in to the hotel's network</body></html>")
		}, "failed"},
		"an error":   {func(w http.ResponseWriter, _ <-chan struct{}) { http.Error(w, "bad gateway", http.StatusBadGateway) }, "failed"},
		"half of it": {func(w http.ResponseWriter, _ <-chan struct{}) { fmt.Fprint(w, `{"token_endpoint":"https://`) }, "failed"},
		"drops": {func(w http.ResponseWriter, end <-chan struct{}) {
			for range 200 {
				fmt.Fprint(w, " ")
				_ = http.NewResponseController(w).Flush()
				select {
				case <-end:
					return
				case <-time.After(100 * time.Millisecond):
				}
			}
		}, "not done within 2s"},
		"a flood": {func(w http.ResponseWriter, _ <-chan struct{}) {
			for range 64 {
				if _, err := w.Write(bytes.Repeat([]byte("x"), 1<<20)); err != nil {
					return
				}
			}
		}, "failed"},
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { tt.answer(w, r.Context().Done()) }))
			t.Cleanup(srv.Close)
			a := &authority{Server: srv}
			home, begun := t.TempDir(), time.Now()
			ca := filepath.Join(t.TempDir(), "ca.pem")
			writeFile(t, ca, pemOf(srv.Certificate().Raw))
			for _, mode := range [][]string{nil, {"--legacy"}, {"-l", "spn", "--client-secret", "top-secret"}} {
				r := getToken(t, "kubelogin", home, trust(t, "kubelogin", ca), deviceArgs(a, append(mode, "--timeout", "2s")...)...)
				if r.status != 1 || r.out != "" || !strings.HasPrefix(r.err, "Error: ") || strings.Contains(r.err, "top-secret") || len(r.err) > 2000 {
					t.Errorf("%v: status %d\n%.2000s", mode, r.status, r.err)
				}
				if tt.want != "failed" && !strings.Contains(r.err, tt.want) {
					t.Errorf("%v: %s", mode, r.err)
				}
			}
			if took := time.Since(begun); took > 15*time.Second {
				t.Errorf("it took %s", took)
			}
			clean(t, home)
		})
	}
}
