package world

// table finds numbers by hash. A slot holds half of the hash beside the number, so that what is not meant is passed over
// without a look at what it numbers, and a look-up among a million touches one line of memory.
type table struct {
	slots []uint64 // hash in the upper half, number plus one in the lower; 0 is free. A power of two, at most three quarters full
	n     int
}

const leastSlots = 64

func slotOf(hash uint64, number uint32) uint64 { return hash<<32 | uint64(number+1) }

func (t *table) home(slot uint64) int { return int(slot>>32) & (len(t.slots) - 1) }

// find returns the number of a hash for which is holds.
func (t *table) find(hash uint64, is func(uint32) bool) (uint32, bool) {
	if t.n == 0 {
		return 0, false
	}
	mask := len(t.slots) - 1
	for i := t.home(hash << 32); ; i = (i + 1) & mask {
		s := t.slots[i]
		if s == 0 {
			return 0, false
		}
		if uint32(s>>32) == uint32(hash) && is(uint32(s)-1) {
			return uint32(s) - 1, true
		}
	}
}

// insert puts down a number that is not there.
func (t *table) insert(hash uint64, number uint32) {
	if 4*(t.n+1) > 3*len(t.slots) {
		old := t.slots
		t.slots = make([]uint64, max(leastSlots, 2*len(old)))
		for _, s := range old {
			if s != 0 {
				t.put(s)
			}
		}
	}
	t.put(slotOf(hash, number))
	t.n++
}

func (t *table) put(slot uint64) {
	i := t.home(slot)
	for t.slots[i] != 0 {
		i = (i + 1) & (len(t.slots) - 1)
	}
	t.slots[i] = slot
}

// remove takes a number out, if it is there, and closes the gap, so that what was put down after it is still found.
func (t *table) remove(hash uint64, number uint32) {
	if t.n == 0 {
		return
	}
	mask := len(t.slots) - 1
	gone := slotOf(hash, number)
	i := t.home(gone)
	for ; t.slots[i] != gone; i = (i + 1) & mask {
		if t.slots[i] == 0 {
			return
		}
	}
	for j := (i + 1) & mask; t.slots[j] != 0; j = (j + 1) & mask {
		// What is at j may move to i unless its own place is after i.
		if (j-t.home(t.slots[j]))&mask >= (j-i)&mask {
			t.slots[i] = t.slots[j]
			i = j
		}
	}
	t.slots[i] = 0
	t.n--
}
