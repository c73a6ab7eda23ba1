package seal

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

func sealer(t interface{ Fatal(...any) }, fill byte) *Sealer {
	s, err := New(bytes.Repeat([]byte{fill}, KeySize))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSeal(t *testing.T) {
	s, other := sealer(t, 1), sealer(t, 2)
	rapid.Check(t, func(t *rapid.T) {
		name, plain := rapid.String().Draw(t, "name"), rapid.SliceOf(rapid.Byte()).Draw(t, "plain")
		sealed := s.Seal(name, plain)
		if got, err := s.Open(name, sealed); err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("%v, %v", got, err)
		}
		if bytes.Equal(sealed, s.Seal(name, plain)) {
			t.Fatal("sealing is not random")
		}
		altered := bytes.Clone(sealed)
		altered[rapid.IntRange(0, len(sealed)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		short := sealed[:rapid.IntRange(0, len(sealed)-1).Draw(t, "length")]
		for what, open := range map[string]func() ([]byte, error){
			"under another name":   func() ([]byte, error) { return s.Open(name+"x", sealed) },
			"with another key":     func() ([]byte, error) { return other.Open(name, sealed) },
			"altered":              func() ([]byte, error) { return s.Open(name, altered) },
			"cut":                  func() ([]byte, error) { return s.Open(name, short) },
			"with more at its end": func() ([]byte, error) { return s.Open(name, append(bytes.Clone(sealed), 0)) },
		} {
			if got, err := open(); !errors.Is(err, ErrOpen) || got != nil {
				t.Fatalf("opened %s: %v, %v", what, got, err)
			}
		}
	})
}

func TestKeySizes(t *testing.T) {
	for _, n := range []int{0, 16, 31, 33, 64} {
		if _, err := New(make([]byte, n)); err == nil {
			t.Errorf("a key of %d bytes was taken", n)
		}
	}
}

func TestLoadFile(t *testing.T) {
	dir := t.TempDir()
	key := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{1}, KeySize))
	for name, tc := range map[string]struct {
		text string
		mode fs.FileMode
		good bool
	}{
		"good":          {key + "\n", 0o600, true},
		"read only":     {key, 0o400, true},
		"for the group": {key, 0o440, true}, // as a cluster mounts a secret
		"by the group":  {key, 0o660, false},
		"for everybody": {key, 0o604, false},
		"short":         {base64.StdEncoding.EncodeToString([]byte("short")), 0o600, false},
		"empty":         {"", 0o600, false},
		"not base64":    {"?" + key, 0o600, false},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(tc.text), tc.mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, tc.mode); err != nil { // whatever the umask
			t.Fatal(err)
		}
		s, err := LoadFile(path)
		if (err == nil) != tc.good || (s != nil) != tc.good {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && bytes.Contains([]byte(err.Error()), []byte(key)) {
			t.Errorf("%s: the error shows the key", name)
		}
	}
	if _, err := LoadFile(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// TestLoadOrCreateFile has many make the same file at once: all get the same key.
func TestLoadOrCreateFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	sealers := make([]*Sealer, 8)
	var wg sync.WaitGroup
	for i := range sealers {
		wg.Go(func() {
			s, err := LoadOrCreateFile(path)
			if err != nil {
				t.Error(err)
			}
			sealers[i] = s
		})
	}
	wg.Wait()
	sealed := sealers[0].Seal("n", []byte("x"))
	for i, s := range sealers {
		if _, err := s.Open("n", sealed); err != nil {
			t.Errorf("sealer %d has another key", i)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	// A file that is there and no good is not replaced.
	if err := os.WriteFile(path, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadOrCreateFile(path); err == nil {
		t.Error("a broken key was replaced")
	}
}
