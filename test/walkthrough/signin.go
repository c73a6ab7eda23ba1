package walkthrough

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/chromedp/chromedp"
)

// devicePrompt is the sentence with which MSAL and kubelogin ask for a device sign-in.
var devicePrompt = regexp.MustCompile(`open the page (https://\S+) and enter the code (\S+) to authenticate`)

// browser approves device sign-ins in a Chromium of its own.
type browser struct {
	path string
	dir  string
}

func findBrowser() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no Chromium: run `make clients`")
}

// approve takes a device sign-in through the pages, as a person with a keyboard would.
func (b browser) approve(ctx context.Context, page, code, user, password string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(b.path), chromedp.NoSandbox, chromedp.IgnoreCertErrors, chromedp.UserDataDir(b.dir),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
	)
	alloc, stop := chromedp.NewExecAllocator(ctx, options...)
	defer stop()
	tab, closeTab := chromedp.NewContext(alloc)
	defer closeTab()
	step := func(name string, actions ...chromedp.Action[chromedp.Void]) error {
		if err := chromedp.Do(tab, actions...); err != nil {
			return fmt.Errorf("sign-in page, %s: %w", name, err)
		}
		return nil
	}
	if err := step("code", chromedp.Navigate(page), chromedp.WaitVisible(chromedp.CSS("#code")),
		chromedp.SendKeys(chromedp.CSS("#code"), strings.ToLower(code)+"\r")); err != nil {
		return err
	}
	if err := step("password", chromedp.WaitVisible(chromedp.CSS("#password")),
		chromedp.SendKeys(chromedp.CSS("#username"), user), chromedp.SendKeys(chromedp.CSS("#password"), password+"\r")); err != nil {
		return err
	}
	return step("confirmation", chromedp.WaitVisible(chromedp.CSS("button[value=approve]")),
		chromedp.Click(chromedp.CSS("button[value=approve]")),
		chromedp.WaitVisible(chromedp.Search(`//h1[contains(., "You are signed in")]`)))
}
