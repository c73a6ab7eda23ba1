package caller_test

import (
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/caller"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/logintest"
	"github.com/keyreeve/keyreeve/internal/world"
)

// TestSignInAtAnotherProcess checks a token by a world that learns of the sign-in late: a young token is waited for, and
// unknown if nothing comes; an older one is refused, and so is every one where this process issues them.
func TestSignInAtAnotherProcess(t *testing.T) {
	s := logintest.Start(t)
	late, err := world.New()
	if err != nil {
		t.Fatal(err)
	}
	changes := make(chan feed.Change, 100)
	if err := s.DB.Follow(t.Context(), func(c feed.Change) { changes <- c }); err != nil {
		t.Fatal(err)
	}
	apply := func() {
		for len(changes) > 0 {
			if err := late.Apply(<-changes); err != nil {
				t.Error(err)
			}
		}
	}
	apply()
	raw := userToken(t, s, "https://management.azure.com")
	check := s.Checker(directory.ResourceManager())
	check.World = late
	if _, err := check.Check(raw); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("with no lag: %v", err)
	}
	check.Lag = 10 * time.Second
	if _, err := check.Check(raw); !fault.Is(err, fault.Unavailable) {
		t.Errorf("unknown: %v", err)
	}
	s.Clock.Move(11 * time.Second)
	if _, err := check.Check(raw); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("old: %v", err)
	}
	raw = userToken(t, s, "https://management.azure.com")
	time.AfterFunc(30*time.Millisecond, apply)
	if c, err := check.Check(raw); err != nil || c.Kind != caller.User {
		t.Errorf("late: %v, %v", c, err)
	}
}
