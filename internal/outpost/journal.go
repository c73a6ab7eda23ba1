package outpost

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/keyreeve/keyreeve/internal/feed"
)

// journal keeps on disk what the gate was told, so that one that starts again while the control plane is away decides by
// what it knew: a snapshot, and the changes after it, one JSON line each. It is folded when it has grown to several times
// its snapshot's size.
type journal struct {
	state state
	file  *os.File
	// base is the size after the last folding, size what it is now.
	base, size int64
}

// foldAt is how far a journal may grow over its folded size, and foldLeast what is never folded.
const (
	foldAt    = 4
	foldLeast = 16 << 20
)

// line is one line: events at a revision. The first is the snapshot's.
type line struct {
	Revision feed.Revision `json:"revision"`
	At       time.Time     `json:"at"`
	Events   []feed.Event  `json:"events"`
}

// heard says when the control plane was last heard from, and at which revision.
type heard struct {
	Revision feed.Revision `json:"revision"`
	At       time.Time     `json:"at"`
	Clock    time.Time     `json:"clock"` // of this machine
}

// load reads the journal into one snapshot. found is false when there is none. A last line that was cut off ends it.
func (j *journal) load() (snapshot feed.Change, found bool, err error) {
	f, err := os.Open(j.state.path(journalFile))
	if errors.Is(err, fs.ErrNotExist) {
		return feed.Change{}, false, nil
	}
	if err != nil {
		return feed.Change{}, false, fmt.Errorf("gate: journal: %w", err)
	}
	defer func() { _ = f.Close() }()
	fold := newFolding()
	dec := json.NewDecoder(bufio.NewReaderSize(f, 1<<20))
	for {
		var l line
		if err := dec.Decode(&l); err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				return feed.Change{}, false, fmt.Errorf("gate: journal: %w", err)
			}
			break
		}
		fold.add(l)
	}
	if fold.lines == 0 {
		return feed.Change{}, false, nil
	}
	return fold.change(), true, nil
}

// begin replaces the journal by a snapshot. It is on disk when begin returns.
func (j *journal) begin(snapshot feed.Change) error {
	b, err := json.Marshal(line{snapshot.Revision, snapshot.At, snapshot.Events})
	if err != nil {
		return fmt.Errorf("gate: journal: %w", err)
	}
	if err := replace(j.state.path(journalFile), append(b, '\n'), 0o600, true); err != nil {
		return err
	}
	if j.file != nil {
		_ = j.file.Close() // of the file that was replaced
	}
	j.file, err = os.OpenFile(j.state.path(journalFile), os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("gate: journal: %w", err)
	}
	j.base = int64(len(b)) + 1
	j.size = j.base
	return nil
}

// add appends a change. It is not forced to disk: one that is lost with the machine leaves the journal behind what heard
// says, and that is seen at the next start.
func (j *journal) add(c feed.Change) error {
	if j.file == nil {
		return nil // dropped, until the next snapshot
	}
	b, err := json.Marshal(line{c.Revision, c.At, c.Events})
	if err != nil {
		return fmt.Errorf("gate: journal: %w", err)
	}
	if _, err := j.file.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("gate: journal: %w", err)
	}
	j.size += int64(len(b)) + 1
	if j.size < foldLeast || j.size < foldAt*j.base {
		return nil
	}
	folded, found, err := j.load()
	if err != nil || !found {
		return err
	}
	return j.begin(folded)
}

// drop removes a journal that could not be kept: it must not be taken for what the gate knew.
func (j *journal) drop() {
	_ = j.close()
	_ = os.Remove(j.state.path(journalFile))
}

func (j *journal) close() error {
	if j.file == nil {
		return nil
	}
	err := j.file.Close()
	j.file = nil
	return err
}

// folding makes one snapshot of a snapshot and changes: the last event of each object that is still there.
type folding struct {
	lines  int
	last   line
	events map[objectKey]int
	all    []feed.Event
}

type objectKey struct {
	kind feed.Kind
	key  string
}

func newFolding() *folding { return &folding{events: map[objectKey]int{}} }

func (f *folding) add(l line) {
	for _, e := range l.Events {
		k := objectKey{e.Kind, e.Key}
		if at, ok := f.events[k]; ok {
			f.all[at] = feed.Event{}
			delete(f.events, k)
		}
		if e.Op == feed.Put {
			f.events[k] = len(f.all)
			f.all = append(f.all, e)
		}
	}
	f.lines++
	f.last = line{Revision: l.Revision, At: l.At}
}

func (f *folding) change() feed.Change {
	out := feed.Change{Revision: f.last.Revision, At: f.last.At, Events: make([]feed.Event, 0, len(f.events))}
	for _, e := range f.all {
		if e.Kind != "" {
			out.Events = append(out.Events, e)
		}
	}
	return out
}
