package walkthrough

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/store/postgrestest"
	"github.com/keyreeve/keyreeve/test/harness"
)

// stepLimit bounds one command of a page: creating a cluster on a busy machine takes the longest.
const stepLimit = 4 * time.Minute

// TestPages executes every page of the documentation that has console blocks.
func TestPages(t *testing.T) {
	root := harness.Root(t)
	pages := []string{filepath.Join(root, "README.md")}
	err := filepath.WalkDir(filepath.Join(root, "docs"), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".md") {
			pages = append(pages, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	executed := 0
	for _, path := range pages {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		steps, err := ParsePage(string(text))
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if len(steps) == 0 {
			continue
		}
		executed++
		t.Run(strings.TrimSuffix(filepath.Base(path), ".md"), func(t *testing.T) { runPage(t, root, steps) })
	}
	// README and the three articles; a page that lost its blocks would go unnoticed otherwise.
	if executed < 4 {
		t.Errorf("%d pages were executed, want at least 4", executed)
	}
}

// runPage runs the steps of a page in one shell, against a Keyreeve of its own. The first step that goes wrong ends it.
func runPage(t *testing.T, root string, steps []Step) {
	k := harness.Up(t)
	home := t.TempDir()
	env := append(harness.BareEnv(home),
		"KEYREEVE_DATA="+string(k.Data),
		// A cold shell has no bin/ in its path; the pages say bin/keyreeve or rely on it.
		"PATH="+filepath.Join(root, "bin")+":"+os.Getenv("PATH"),
		"GOFLAGS="+os.Getenv("GOFLAGS"), "GOPROXY="+os.Getenv("GOPROXY"), "KEYREEVE_CACHE="+cacheDir(),
		"GOCACHE="+os.Getenv("GOCACHE"),
	)
	// A service of pipelines, for a page that plays one of its jobs. On other pages its variables would be taken for those of a
	// runner.
	if slices.ContainsFunc(steps, func(s Step) bool { return strings.Contains(s.Command, "GITHUB_ISSUER") }) {
		f := harness.NewForge(t)
		env = append(append(env, "GITHUB_ISSUER="+f.Issuer(harness.GitHub), "PIPELINES_ISSUER="+f.Issuer(harness.Pipelines)), f.Env()...)
	}
	// A database server, for a page that makes a database.
	if slices.ContainsFunc(steps, func(s Step) bool { return strings.Contains(s.Command, "$PGHOST") }) {
		env = append(env, "PGHOST=127.0.0.1", "PGPORT="+strconv.Itoa(postgrestest.Start(t).Port), "PGUSER=postgres")
	}
	dir := workDir(t, root)
	s, err := StartSession(t.Context(), dir, env)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	chrome, err := findBrowser()
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range steps {
		start := time.Now()
		out, status, err := runStep(t, s, step, browser{path: chrome, dir: t.TempDir()})
		t.Logf("%6.1fs  line %d: %s", time.Since(start).Seconds(), step.Line, firstLine(step.Command))
		switch {
		case err != nil:
			t.Fatalf("line %d: %s\n%v\n%s", step.Line, step.Command, err, out)
		case status != step.Status:
			t.Fatalf("line %d: %s\nexit status %d, want %d\n%s", step.Line, step.Command, status, step.Status, out)
		}
		if diff := Match(step.Want, out); diff != "" {
			t.Fatalf("line %d: %s\n%s", step.Line, step.Command, diff)
		}
	}
}

// runStep runs one command, and approves a device sign-in if it asks for one.
func runStep(t *testing.T, s *Session, step Step, b browser) (string, int, error) {
	t.Helper()
	var password string
	if step.SignIn != nil {
		out, _, err := s.Run(t.Context(), fmt.Sprintf("printf '%%s' \"$%s\"", step.SignIn.PasswordVariable), stepLimit, nil)
		if err != nil {
			return "", 0, err
		}
		password = strings.TrimSpace(out)
	}
	approved := make(chan error, 1)
	asked := false
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, status, err := s.Run(ctx, step.Command, stepLimit, func(line string) {
		m := devicePrompt.FindStringSubmatch(line)
		if m == nil || asked {
			return
		}
		asked = true
		if step.SignIn == nil {
			approved <- fmt.Errorf("a device sign-in is asked for, and the page does not say who signs in")
			cancel()
			return
		}
		go func() {
			err := b.approve(t.Context(), m[1], m[2], step.SignIn.User, password)
			approved <- err
			if err != nil {
				cancel()
			}
		}()
	})
	if asked {
		if signIn := <-approved; signIn != nil {
			return out, status, signIn
		}
	}
	return out, status, err
}

// workDir is where a page's commands run: an empty folder in which bin and the Makefile are found as in a checkout.
func workDir(t *testing.T, root string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"bin", "Makefile", "scripts", "tools", "docs"} {
		if err := os.Symlink(filepath.Join(root, name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func cacheDir() string {
	if d := os.Getenv("KEYREEVE_CACHE"); d != "" {
		return d
	}
	if d, err := os.UserCacheDir(); err == nil {
		return filepath.Join(d, "keyreeve")
	}
	return ""
}

func firstLine(s string) string {
	line, _, more := strings.Cut(s, "\n")
	if more {
		line += " …"
	}
	return line
}
