package kubelet

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

const (
	// maxFiles and maxBytes bound what is kept for one container, and maxContainers for how many.
	maxFiles      = 256
	maxBytes      = 1 << 20
	maxContainers = 64
)

// files are what was copied into a pretended container: in memory, while its pod is there. They are no files of the host.
type files struct {
	mu    sync.Mutex
	bytes int
	of    map[string][]byte
}

// container names a container of a pod that is there.
type container struct {
	namespace, pod, name string
	uid                  types.UID
}

// shelf keeps the files of containers.
type shelf struct {
	mu sync.Mutex
	of map[container]*files
}

// get is a container's files. What belongs to pods that are gone is forgotten on the way; with too many containers left, a new one
// has none that last.
func (s *shelf) get(c container, there func(container) bool) *files {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f, ok := s.of[c]; ok {
		return f
	}
	for other := range s.of {
		if !there(other) {
			delete(s.of, other)
		}
	}
	f := &files{of: map[string][]byte{}}
	if s.of == nil {
		s.of = map[container]*files{}
	}
	if len(s.of) < maxContainers {
		s.of[c] = f
	}
	return f
}

// absolute is the one name of a path.
func absolute(p string) string { return path.Clean("/" + p) }

func (f *files) read(name string) ([]byte, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	b, ok := f.of[absolute(name)]
	return b, ok
}

// isDir says whether there is anything below a path. The root always is one, and so is /tmp.
func (f *files) isDir(name string) bool {
	name = absolute(name)
	return name == "/" || name == "/tmp" || len(f.below(name)) > 0
}

// below are the names of the files below a directory, in order.
func (f *files) below(dir string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	prefix := strings.TrimSuffix(absolute(dir), "/") + "/"
	var out []string
	for name := range f.of {
		if strings.HasPrefix(name, prefix) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

func (f *files) write(name string, from io.Reader) error {
	content, err := io.ReadAll(io.LimitReader(from, maxBytes+1))
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	name = absolute(name)
	size := f.bytes - len(f.of[name]) + len(content)
	if _, there := f.of[name]; size > maxBytes || !there && len(f.of) >= maxFiles {
		return fmt.Errorf("a pretended container keeps %d files and %d bytes at most", maxFiles, maxBytes)
	}
	f.of[name], f.bytes = content, size
	return nil
}

// unpack takes an archive in, below a directory.
func (f *files) unpack(dir string, from io.Reader) error {
	in := tar.NewReader(from)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("not an archive: %w", err)
		}
		switch h.Typeflag {
		case tar.TypeDir:
		case tar.TypeReg:
			// A path is taken below the directory, whatever dots are in it.
			if err := f.write(absolute(dir)+absolute(h.Name), in); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%s: a pretended container keeps plain files only", h.Name)
		}
	}
}

// pack writes an archive of a file, or of what is below a directory.
func (f *files) pack(name string, to io.Writer) error {
	names := []string{absolute(name)}
	if _, ok := f.read(name); !ok {
		if names = f.below(name); len(names) == 0 {
			return fmt.Errorf("%s: no such file", name)
		}
	}
	out := tar.NewWriter(to)
	for _, n := range names {
		b, _ := f.read(n)
		if err := out.WriteHeader(&tar.Header{Name: strings.TrimPrefix(n, "/"), Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(b))}); err != nil {
			return err
		}
		if _, err := out.Write(b); err != nil {
			return err
		}
	}
	return out.Close()
}
