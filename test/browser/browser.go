// Package browser owns a real Chromium for tests of pages: started for one test, driven as a person with a keyboard
// would, and able to take pictures of what it shows. Tests import it; the program does not.
package browser

import (
	"context"
	_ "embed"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// Tab is a browser with one window.
type Tab struct {
	t   testing.TB
	ctx context.Context //nolint:containedctx // chromedp finds the window by it
}

// Start starts a Chromium of its own, which trusts any certificate, for at most a minute and a half.
func Start(t testing.TB) *Tab {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("this test needs Chromium: run `make clients`")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.IgnoreCertErrors, chromedp.WindowSize(1280, 900),
		chromedp.UserDataDir(t.TempDir()), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
	)
	//nolint:usetesting // the browser is closed by the clean-up, which comes after the end of t.Context()
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	alloc, stop := chromedp.NewExecAllocator(ctx, options...)
	tab, closeTab := chromedp.NewContext(alloc)
	t.Cleanup(func() {
		closeTab()
		stop()
		cancel()
	})
	b := &Tab{t: t, ctx: tab}
	b.Do() // starts it
	return b
}

// Context is what chromedp's own functions take.
func (b *Tab) Context() context.Context { return b.ctx }

// Do runs actions and fails the test if they do not work.
func (b *Tab) Do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		text, _ := chromedp.Run(context.WithoutCancel(b.ctx), chromedp.Text(chromedp.CSS("body")))
		b.t.Fatalf("%v; the page says:\n%s", err, text)
	}
}

// Open opens an address.
func (b *Tab) Open(url string) {
	b.t.Helper()
	b.Do(chromedp.Navigate(url))
}

// Heading waits until the page has a heading.
func (b *Tab) Heading(want string) {
	b.t.Helper()
	b.Do(chromedp.WaitVisible(chromedp.Search(`//h1[normalize-space()="` + want + `"]`)))
}

// Type waits until a field has the focus by itself, and types into it.
func (b *Tab) Type(field, text string) {
	b.t.Helper()
	b.Focused(field)
	b.Do(chromedp.KeyEvent(text))
}

// Focused waits until something has the focus by itself.
func (b *Tab) Focused(what string) {
	b.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](`document.readyState == "complete" && document.activeElement.matches("`+what+`")`))
		if ok {
			return
		}
		select {
		case <-b.ctx.Done():
			b.t.Fatalf("%s does not get the focus: %v", what, err)
		case <-tick.C:
		}
	}
}

// Click clicks on something.
func (b *Tab) Click(what string) {
	b.t.Helper()
	b.Do(chromedp.WaitVisible(chromedp.CSS(what)), chromedp.Click(chromedp.CSS(what)))
}

// Text returns what the page says.
func (b *Tab) Text() string {
	b.t.Helper()
	text, err := chromedp.Run(b.ctx, chromedp.Text(chromedp.CSS("body")))
	if err != nil {
		b.t.Fatal(err)
	}
	return text
}

// Shoot looks at the page by day, by night and in a narrow window: axe must find nothing that keeps people out, and
// nothing may stand out of the window. If KEYREEVE_SCREENSHOTS is set, pictures go to that folder.
func (b *Tab) Shoot(name string) {
	b.t.Helper()
	dir := os.Getenv("KEYREEVE_SCREENSHOTS")
	for _, v := range []struct {
		name, scheme string
		width        int64
	}{{"light", "light", 1000}, {"dark", "dark", 1000}, {"narrow", "light", 320}} {
		b.Scheme(v.scheme, v.width)
		b.accessible(name + ", " + v.name)
		if dir == "" {
			continue
		}
		png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
		if err != nil {
			b.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name+"-"+v.name+".png"), png, 0o600); err != nil {
			b.t.Fatal(err)
		}
	}
}

// axe is the accessibility checker of Deque (axe-core 4.14.1, Mozilla Public License 2.0; testdata/axe-LICENSE).
//
//go:embed testdata/axe.min.js
var axe string

// accessible fails the test for each rule of WCAG that axe finds broken.
func (b *Tab) accessible(name string) {
	b.t.Helper()
	if _, err := chromedp.Run(b.ctx, chromedp.Evaluate[any](axe+";null")); err != nil {
		b.t.Fatal(err)
	}
	const ask = `axe.run(document, {resultTypes: ["violations"]}).then(r => JSON.stringify({
		ran: r.passes.length, wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
		violations: r.violations.map(v => v.id + ": " + v.help + " " + v.nodes.map(n => n.html).join(" "))}))`
	text, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](ask, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatal(err)
	}
	var found struct {
		Ran, Wide  int
		Violations []string
	}
	if err := json.Unmarshal([]byte(text), &found); err != nil {
		b.t.Fatal(err)
	}
	for _, v := range found.Violations {
		b.t.Errorf("%s: %s", name, v)
	}
	if found.Ran < 10 {
		b.t.Errorf("%s: axe passed only %d rules: did it run?", name, found.Ran)
	}
	if found.Wide > 0 {
		b.t.Errorf("%s: the page is %d pixels wider than the window", name, found.Wide)
	}
}

// Scheme shows the page by day (light) or by night (dark), in a window of a width.
func (b *Tab) Scheme(scheme string, width int64) {
	b.t.Helper()
	err := chromedp.Do(b.ctx, chromedp.EmulateViewport(width, 760))
	if err == nil {
		_, err = chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// Alert waits until the page says what is wrong.
func (b *Tab) Alert() {
	b.t.Helper()
	b.Do(chromedp.WaitVisible(chromedp.CSS(`[role=alert]`)))
}

// Scripts lets pages run scripts, or not.
func (b *Tab) Scripts(on bool) {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on}); err != nil {
		b.t.Fatal(err)
	}
}
