package tokencache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/keyreeve/keyreeve/internal/filelock"
)

// Lock is the right to sign in as an identity: one process has it at a time.
type Lock struct{ file *os.File }

// outcome is what a process that failed leaves to those that waited for it.
type outcome struct {
	At    time.Time `json:"at"`
	Error string    `json:"error"`
}

// Lock waits for the right to sign in. Where no lock can be had, as on a disk that takes no files, nothing could be shared, and the process goes on without.
// An attempt of another process that failed while this one waited is this one's failure as well: nobody is asked ten times.
func (e Entry) Lock(ctx context.Context, now func() time.Time, waiting func()) (*Lock, error) {
	if e.name == "" {
		return &Lock{}, nil
	}
	f, err := os.OpenFile(filepath.Join(e.cache.Dir, e.name+".lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		e.cache.warn(err)
		return &Lock{}, nil
	}
	began := now()
	told := false
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		err := filelock.Try(f)
		if err == nil {
			break
		}
		if !errors.Is(err, filelock.ErrTaken) {
			e.cache.warn(fmt.Errorf("no lock on %s: %w", f.Name(), err))
			_ = f.Close()
			return &Lock{}, nil
		}
		if !told && waiting != nil {
			waiting()
		}
		told = true
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, fmt.Errorf("another kubelogin is signing in as the same identity and was not done in time: %w", ctx.Err())
		case <-tick.C:
		}
	}
	l := &Lock{file: f}
	if o := l.outcome(); told && o.Error != "" && o.At.After(began) {
		_ = f.Close()
		return nil, fmt.Errorf("another kubelogin tried at the same time: %s", o.Error)
	}
	return l, nil
}

func (l *Lock) outcome() outcome {
	var o outcome
	data := make([]byte, 4096)
	n, _ := l.file.ReadAt(data, 0)
	if json.Unmarshal(data[:n], &o) != nil {
		return outcome{}
	}
	return o
}

// Release ends the right, and leaves word of a failure.
func (l *Lock) Release(now time.Time, failure error) {
	if l.file == nil {
		return
	}
	if failure != nil {
		text := failure.Error()
		data, err := json.Marshal(outcome{At: now, Error: text[:min(len(text), 3000)]})
		if err == nil && l.file.Truncate(0) == nil {
			_, _ = l.file.WriteAt(data, 0)
		}
	} else if info, err := l.file.Stat(); err == nil && info.Size() > 0 {
		_ = l.file.Truncate(0)
	}
	_ = l.file.Close() // which unlocks
}
