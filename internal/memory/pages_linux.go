package memory

import (
	"bufio"
	"io"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	page  = 4 << 10
	large = 2 << 20
)

// gather moves the process's own memory to large pages, once: nothing is asked of the system for later, so that what Go gives back
// stays given back. A kernel before 6.1 knows no such call, and nothing changes.
func gather() (moved int) {
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return 0
	}
	regions := anonymous(maps)
	_ = maps.Close()
	for _, r := range regions {
		for at := (r.from + large - 1) &^ (large - 1); at+large <= r.to; at += large {
			if !resident(at) {
				continue
			}
			if _, _, errno := unix.Syscall(unix.SYS_MADVISE, at, large, unix.MADV_COLLAPSE); errno == 0 {
				moved += large
			}
		}
	}
	return moved
}

// resident reports whether more than half of a large page's place is in memory: the rest is filled up.
func resident(at uintptr) bool {
	var in [large / page]byte
	if _, _, errno := unix.Syscall(unix.SYS_MINCORE, at, large, uintptr(unsafe.Pointer(&in[0]))); errno != 0 { //nolint:gosec // G103: the kernel fills it in
		return false
	}
	n := 0
	for _, b := range in {
		n += int(b & 1)
	}
	return n > len(in)/2
}

type region struct{ from, to uintptr }

// anonymous lists the regions of a map of the process that are its own, writable memory, and no stack of a thread's.
func anonymous(maps io.Reader) (out []region) {
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		// from-to perms offset device inode [name]
		f := strings.Fields(lines.Text())
		if len(f) < 5 || f[1] != "rw-p" || f[4] != "0" || len(f) > 5 && !strings.HasPrefix(f[5], "[anon:") {
			continue
		}
		a, b, _ := strings.Cut(f[0], "-")
		from, err1 := strconv.ParseUint(a, 16, 64)
		to, err2 := strconv.ParseUint(b, 16, 64)
		if err1 == nil && err2 == nil && to-from >= large {
			out = append(out, region{uintptr(from), uintptr(to)})
		}
	}
	return out
}
