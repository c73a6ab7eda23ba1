package tokencache

import (
	"fmt"
	"io"
	"io/fs"
	"os"
)

// readFile reads a file of the cache if it is one, and the person's own: in a folder that others may write to, another's
// key would seal tokens for them, and a pipe would wait for ever.
func (c *Cache) readFile(path string, most int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|noWaiting, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	switch {
	case !info.Mode().IsRegular() || info.Size() > most:
		return nil, fmt.Errorf("%s is no file of the cache: %w", path, fs.ErrInvalid)
	case !c.mine(info):
		return nil, fmt.Errorf("%s belongs to another user: use a --cache-dir of your own: %w", path, fs.ErrPermission)
	}
	return io.ReadAll(io.LimitReader(f, most))
}

// mine reports whether a file belongs to who runs this. Root may use anybody's: sudo often keeps $HOME.
func (c *Cache) mine(info fs.FileInfo) bool {
	uid := c.uid
	if uid == nil {
		uid = os.Geteuid
	}
	owner, ok := ownerOf(info)
	return !ok || uid() == 0 || owner == uid()
}
