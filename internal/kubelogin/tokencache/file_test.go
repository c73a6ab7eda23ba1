//go:build unix

package tokencache

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestAnothersFiles: nothing is sealed with a key that another user put there, and a token file of another is none.
func TestAnothersFiles(t *testing.T) {
	dir := t.TempDir()
	e := open(t, dir).Find([]byte("a"), true)
	e.PutToken(Token{Access: "planted"})
	var warned error
	c := &Cache{Dir: dir, Warn: func(err error) { warned = err }, uid: func() int { return os.Geteuid() + 1 }}
	if got, ok := c.Find([]byte("a"), false).Token(); ok {
		t.Errorf("%+v", got)
	}
	mine := c.Find([]byte("a"), true)
	mine.PutToken(Token{Access: "secret"})
	if mine.name != "" || !errors.Is(warned, fs.ErrPermission) || !strings.Contains(warned.Error(), "--cache-dir") {
		t.Errorf("another's key is used: %v", warned)
	}
	if got, ok := e.Token(); !ok || got.Access != "planted" {
		t.Errorf("%+v", got)
	}
	c.key = e.cache.key // as if it had been the same key
	if got, ok := c.Find([]byte("a"), false).Token(); ok {
		t.Errorf("%+v", got)
	}
	root := &Cache{Dir: dir, uid: func() int { return 0 }}
	if got, ok := root.Find([]byte("a"), false).Token(); !ok || got.Access != "planted" {
		t.Error("root cannot use a person's cache")
	}
}

// TestWhatIsNoFile: what is no file of some kilobytes is nothing, and is not waited for; it makes way for the next token.
func TestWhatIsNoFile(t *testing.T) {
	for name, plant := range map[string]func(string) error{
		"pipe":   func(p string) error { return syscall.Mkfifo(p, 0o600) },
		"device": func(p string) error { return os.Symlink("/dev/zero", p) },
		"huge":   func(p string) error { return errors.Join(os.WriteFile(p, nil, 0o600), os.Truncate(p, 1<<40)) },
		"loop":   func(p string) error { return os.Symlink(filepath.Base(p), p) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			e := open(t, dir).Find([]byte("a"), true)
			if err := plant(e.path("token")); err != nil {
				t.Fatal(err)
			}
			if _, ok := e.Token(); ok {
				t.Error("it is a token")
			}
			e.PutToken(Token{Access: "new"})
			if got, ok := e.Token(); !ok || got.Access != "new" {
				t.Errorf("%+v", got)
			}
			key := filepath.Join(dir, keyFile)
			if err := errors.Join(os.Remove(key), plant(key)); err != nil {
				t.Fatal(err)
			}
			open(t, dir).Find([]byte("a"), false)
			if e := (&Cache{Dir: dir, Warn: func(error) {}}).Find([]byte("a"), true); e.name == "" && name != "loop" {
				t.Error("it stands in the way of a key")
			}
		})
	}
}
