package browser

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Opener stands for the desktop's way to open a browser, for programs that use one.
type Opener struct {
	// Dir holds an xdg-open, to be put into PATH.
	Dir  string
	file string
}

// NewOpener returns an opener that writes down the address it was given.
func NewOpener(t testing.TB) Opener {
	t.Helper()
	dir := t.TempDir()
	o := Opener{Dir: dir, file: filepath.Join(dir, "url")}
	script := "#!/bin/sh\nprintf '%s' \"$1\" >'" + o.file + ".new' && mv '" + o.file + ".new' '" + o.file + "'\n"
	if err := os.WriteFile(filepath.Join(dir, "xdg-open"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return o
}

// Await waits until an address is opened and returns it; a blank page if none is.
func (o Opener) Await(t testing.TB) string {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for range 1200 {
		if b, err := os.ReadFile(o.file); err == nil {
			_ = os.Remove(o.file)
			return string(b)
		}
		<-tick.C
	}
	t.Error("no browser was opened")
	return "about:blank"
}
