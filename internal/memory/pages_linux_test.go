package memory

import (
	"slices"
	"strings"
	"testing"
)

func TestAnonymous(t *testing.T) {
	const maps = `00400000-016f7000 r-xp 00000000 fe:00 123 /usr/bin/keyreeve
016f7000-03743000 rw-p 012f7000 fe:00 123 /usr/bin/keyreeve
03743000-04743000 rw-p 00000000 00:00 0 [heap]
4c85000000-4cc1800000 rw-p 00000000 00:00 0 [anon: Go: heap]
4cc1800000-4cc4000000 ---p 00000000 00:00 0 [anon: Go: heap reservation]
7fa9a328a000-7fa9a3a8a000 rw-p 00000000 00:00 0
7fa9a3a8a000-7fa9a3a8b000 rw-p 00000000 00:00 0
7fa9a4000000-7fa9a5000000 rw-s 00000000 00:01 5 /dev/shm/x
7ffc00000000-7ffc01000000 rw-p 00000000 00:00 0 [stack]
nonsense
zz-yy rw-p 00000000 00:00 0
`
	want := []region{{0x4c85000000, 0x4cc1800000}, {0x7fa9a328a000, 0x7fa9a3a8a000}}
	if got := anonymous(strings.NewReader(maps)); !slices.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
}
