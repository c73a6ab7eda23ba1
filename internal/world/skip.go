package world

import (
	"fmt"
	"time"

	"github.com/keyreeve/keyreeve/internal/feed"
)

// Skip moves the world to a later revision, or the same, without a change: who filters the feed says so when nothing up to
// there concerns this world. A revision that is past breaks the world, as a change that does not follow would.
func (w *World) Skip(to feed.Revision, at time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken != nil {
		return w.broken
	}
	if !w.loaded || to < w.revision {
		w.broken = fmt.Errorf("world: revision %d does not follow %d", to, w.revision)
		return w.broken
	}
	if to > w.revision {
		w.revision, w.at = to, at
	}
	return nil
}
