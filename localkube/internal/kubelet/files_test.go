package kubelet

import (
	"archive/tar"
	"bytes"
	"strings"
	"testing"
)

// TestCopies: what is packed is what was unpacked, below the directory that was named, and bounded.
func TestCopies(t *testing.T) {
	archive := func(headers ...tar.Header) *bytes.Buffer {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, h := range headers {
			content := strings.Repeat("x", int(h.Size))
			if err := w.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write([]byte(content)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return &b
	}
	file := func(name string, size int64) tar.Header {
		return tar.Header{Name: name, Typeflag: tar.TypeReg, Size: size, Mode: 0o600}
	}
	f := &files{of: map[string][]byte{}}
	if err := f.unpack("/tmp", archive(file("a", 3), file("../../etc/b", 5))); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(f.below("/"), " "); got != "/tmp/a /tmp/etc/b" {
		t.Errorf("files %q", got)
	}
	var out bytes.Buffer
	if err := f.pack("/tmp", &out); err != nil {
		t.Fatal(err)
	}
	again := &files{of: map[string][]byte{}}
	if err := again.unpack("/", &out); err != nil || strings.Join(again.below("/"), " ") != "/tmp/a /tmp/etc/b" {
		t.Errorf("%v %v", again.below("/"), err)
	}
	if err := f.unpack("/", archive(file("big", maxBytes))); err == nil || f.bytes != 8 {
		t.Errorf("too much is kept: %v, %d bytes", err, f.bytes)
	}
	if err := f.unpack("/tmp", archive(file("a", 4))); err != nil || f.bytes != 9 {
		t.Errorf("a file that is written again: %v, %d bytes", err, f.bytes)
	}
	if err := f.unpack("/", archive(tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"})); err == nil {
		t.Error("a link is taken")
	}
	// A pod that is gone leaves nothing.
	s := &shelf{}
	one := container{"ns", "pod", "main", "1"}
	here := func(container) bool { return true }
	gone := func(container) bool { return false }
	if err := s.get(one, here).write("x", strings.NewReader("y")); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.get(one, here).read("/x"); !ok {
		t.Error("the file is lost")
	}
	s.get(container{"ns", "pod", "main", "2"}, gone)
	if len(s.of) != 1 {
		t.Errorf("%d containers", len(s.of))
	}
}
