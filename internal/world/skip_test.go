package world_test

import (
	"testing"

	"github.com/keyreeve/keyreeve/internal/feed"
)

// TestSkip: a world passes over what does not concern it, never backwards, and goes on from there.
func TestSkip(t *testing.T) {
	w := newWorld(t)
	if err := newWorld(t).Skip(1, epoch()); err == nil {
		t.Error("a world without a snapshot skips")
	}
	steps := []struct {
		what string
		do   func() error
		at   feed.Revision
	}{
		{"snapshot", func() error { return w.Apply(feed.Change{Revision: 5}) }, 5},
		{"the same", func() error { return w.Skip(5, epoch()) }, 5},
		{"later", func() error { return w.Skip(9, epoch()) }, 9},
		{"the next change", func() error { return w.Apply(feed.Change{Revision: 10}) }, 10},
	}
	for _, s := range steps {
		if err := s.do(); err != nil {
			t.Fatalf("%s: %v", s.what, err)
		}
		if at, _, err := w.Status(); at != s.at || err != nil {
			t.Errorf("%s: at %d, %v", s.what, at, err)
		}
	}
	if err := w.Skip(9, epoch()); err == nil {
		t.Error("backwards")
	}
	if _, _, err := w.Status(); err == nil {
		t.Error("a world that was sent back still knows")
	}
}
