package session_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/keyreeve/keyreeve/internal/session"
)

func start() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

// TestLife: a session lives as long as it is used within its life, and never after it was revoked.
func TestLife(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := session.Session{CreatedAt: start(), ExpiresAt: start().Add(session.Life)}
		now := start()
		writes := 0
		for range rapid.IntRange(1, 50).Draw(t, "uses") {
			pause := time.Duration(rapid.Int64Range(0, int64(session.Life)-int64(25*time.Hour)).Draw(t, "pause"))
			now = now.Add(pause)
			if !s.Live(now) {
				t.Fatalf("ended although it was used %s before", pause)
			}
			var changed bool
			if s, changed = s.Used(now); changed {
				writes++
			}
			if left := s.ExpiresAt.Sub(now); left > session.Life || left <= session.Life-24*time.Hour {
				t.Fatalf("%s left after a use", left)
			}
		}
		if most := int(now.Sub(start())/(24*time.Hour)) + 1; writes > most {
			t.Fatalf("%d writes in %s", writes, now.Sub(start()))
		}
		r := s.Revoke(now, "first").Revoke(now.Add(time.Hour), "second")
		if r.Live(now) || r.Live(now.Add(-time.Hour)) || r.Reason != "first" || !r.RevokedAt.Equal(now) {
			t.Fatalf("revoked: %+v", r)
		}
	})
}

func TestReuse(t *testing.T) {
	fresh := session.RefreshToken{}
	used := session.RefreshToken{FirstUsedAt: start()}
	if fresh.Reused(start()) || used.Reused(start()) || used.Reused(start().Add(session.ReuseGrace)) || !used.Reused(start().Add(session.ReuseGrace+1)) {
		t.Error("a used token may come again within the grace, and not later")
	}
}
