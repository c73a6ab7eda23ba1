package kubehook

import (
	"time"

	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/world"
)

// signIn is what a request proves of how its principal signed in. A zero session or time was not shown.
type signIn struct {
	session  ident.SessionID
	issuedAt time.Time
}

// standing says why a principal's sign-in does not, or no longer, count; empty when it does.
func standing(w *world.World, now time.Time, p *world.Principal, s signIn) string {
	if !p.Enabled {
		return "the account is disabled"
	}
	const ended = "the sign-in has ended"
	if !s.issuedAt.IsZero() && s.issuedAt.Before(p.ValidFrom) {
		return ended
	}
	if s.session.IsZero() {
		return ""
	}
	live, ok := w.Session(s.session)
	if !ok || live.User != p.ID || !live.Live(now) || live.CreatedAt.Before(p.ValidFrom) {
		return ended
	}
	return ""
}
