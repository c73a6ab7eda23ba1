package login

import (
	"context"
	"errors"
	"os/exec"
	"runtime"
)

// OpenBrowser shows a page in the person's browser. What the browser prints is thrown away: standard output is kubectl's.
func OpenBrowser(ctx context.Context, url string) error {
	var tried []error
	for _, command := range browsers(runtime.GOOS) {
		path, err := exec.LookPath(command[0])
		if err != nil {
			tried = append(tried, err)
			continue
		}
		// The browser outlives this process.
		cmd := exec.CommandContext(context.WithoutCancel(ctx), path, append(command[1:], url)...) //nolint:gosec // programs from a list of ours, a URL of MSAL's
		if err := cmd.Start(); err != nil {
			tried = append(tried, err)
			continue
		}
		go func() { _ = cmd.Wait() }()
		return nil
	}
	return errors.Join(tried...)
}

func browsers(system string) [][]string {
	switch system {
	case "windows":
		return [][]string{{"rundll32", "url.dll,FileProtocolHandler"}}
	case "darwin":
		return [][]string{{"open"}}
	}
	return [][]string{{"xdg-open"}, {"x-www-browser"}, {"www-browser"}}
}
