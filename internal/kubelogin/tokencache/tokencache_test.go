package tokencache

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func open(t *testing.T, dir string) *Cache {
	return &Cache{Dir: dir, Warn: func(err error) { t.Errorf("warned: %v", err) }}
}

func TestOwnFilesOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "cache")
	c := open(t, dir)
	if e := c.Find([]byte("a"), false); e.name != "" {
		t.Error("looking makes a cache")
	}
	token := Token{Access: "the-token", Obtained: time.Now().Round(0).UTC(), Expires: time.Now().Add(time.Hour).Round(0).UTC()}
	a := c.Find([]byte("a"), true)
	a.PutToken(token)
	a.PutSession([]byte("the-session"))
	again := open(t, dir).Find([]byte("a"), false)
	if got, ok := again.Token(); !ok || got != token || string(again.Session()) != "the-session" {
		t.Errorf("%+v", got)
	}
	if _, ok := open(t, dir).Find([]byte("b"), false).Token(); ok {
		t.Error("another identity has it")
	}
	// Files that are moved do not open.
	b := c.Find([]byte("b"), true)
	for from, to := range map[string]string{a.path("token"): b.path("token"), a.path("session"): a.path("token")} {
		data, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(data), "the-") {
			t.Error("it is not sealed")
		}
		if err := os.WriteFile(to, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := b.Token(); ok {
		t.Error("a copy under another name opens")
	}
	if _, ok := a.Token(); ok {
		t.Error("a session is read as a token")
	}
	if err := errors.Join(a.Drop(), a.Drop(), b.Drop()); err != nil {
		t.Error(err)
	}
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, _ error) error {
		if info, err := d.Info(); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v", path, info.Mode())
		}
		return nil
	})
}

// TestFullDisk: a write that fails half-way is told once, leaves what was there, and nothing half-written.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	open(t, dir).Find([]byte("a"), true).PutToken(Token{Access: "old"})
	warned := 0
	c := &Cache{Dir: dir, Warn: func(err error) {
		warned++
		if !errors.Is(err, syscall.ENOSPC) {
			t.Error(err)
		}
	}, write: func(f *os.File, data []byte) error { _, _ = f.Write(data[:len(data)/2]); return syscall.ENOSPC }}
	e := c.Find([]byte("a"), true)
	e.PutToken(Token{Access: "new"})
	e.PutSession([]byte("s"))
	if got, ok := e.Token(); !ok || got.Access != "old" || warned != 1 || e.Session() != nil {
		t.Errorf("%+v, warned %d times", got, warned)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".new-*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	// Nor is there a key where the first write fails.
	empty := &Cache{Dir: t.TempDir(), Warn: func(error) {}, write: c.write}
	if e := empty.Find([]byte("a"), true); e.name != "" {
		t.Error("half a key is a key")
	}
	if left, _ := os.ReadDir(empty.Dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestOneKey: whoever comes at the same time gets the same key, and a reader sees whole files only.
func TestOneKey(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			e := open(t, dir).Find([]byte("a"), true)
			for range 20 {
				e.PutToken(Token{Access: strings.Repeat(string(rune('a'+i)), 5000)})
				if got, ok := e.Token(); !ok || len(got.Access) != 5000 {
					t.Error("a token is cut short or gone")
				}
			}
		})
	}
	wg.Wait()
}

func TestLock(t *testing.T) {
	dir := t.TempDir()
	e := open(t, dir).Find([]byte("a"), true)
	first, err := e.Lock(t.Context(), time.Now, nil)
	if err != nil {
		t.Fatal(err)
	}
	waiting, failed := make(chan struct{}), make(chan error)
	go func() {
		_, err := open(t, dir).Find([]byte("a"), true).Lock(t.Context(), time.Now, func() { close(waiting) })
		failed <- err
	}()
	<-waiting
	first.Release(time.Now().Add(time.Second), errors.New("declined"))
	if err := <-failed; err == nil || !strings.Contains(err.Error(), "declined") {
		t.Errorf("who waited: %v", err)
	}
	// Who comes later is not told of it.
	later, err := e.Lock(t.Context(), time.Now, nil)
	if err != nil {
		t.Fatal(err)
	}
	other, err := open(t, dir).Find([]byte("b"), true).Lock(t.Context(), time.Now, func() { t.Error("another identity waits") })
	if err != nil {
		t.Fatal(err)
	}
	other.Release(time.Now(), nil)
	later.Release(time.Now(), nil)
}

type brokenRing struct{ secret []byte }

func (b *brokenRing) Get() ([]byte, error) {
	if b.secret == nil {
		return nil, fs.ErrNotExist
	}
	return b.secret, nil
}
func (b *brokenRing) Put(s []byte) error { b.secret = s; return nil }

// TestKeyring: the key is in the ring and not beside what it seals; without a ring there is no cache, and a reason.
func TestKeyring(t *testing.T) {
	dir := t.TempDir()
	ring := &brokenRing{}
	c := open(t, dir)
	c.Keyring = ring
	c.Find([]byte("a"), true).PutToken(Token{Access: "x"})
	if _, err := os.Stat(filepath.Join(dir, keyFile)); err == nil || len(ring.secret) != keySize {
		t.Error("the key is in a file")
	}
	// The system's own, where it has one: it works, or says why it does not.
	var why error
	system := &Cache{Dir: t.TempDir(), Keyring: SystemKeyring("keyreeve-kubelogin-test"), Warn: func(err error) { why = err }}
	e := system.Find([]byte("a"), true)
	e.PutToken(Token{Access: "x"})
	if _, ok := e.Token(); ok == (why != nil) {
		t.Errorf("kept: %v, and the reason is %v", ok, why)
	}
	t.Logf("the system's keyring: %v", why)
}
