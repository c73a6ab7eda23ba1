package proof

import "time"

// Attempts counts the wrong passwords of one account in a row. The zero Attempts allows.
type Attempts struct {
	Failures int `json:"failures"`
	// Last is when the last one came.
	Last time.Time `json:"last"`
	// LockedUntil is zero while attempts are allowed.
	LockedUntil time.Time `json:"lockedUntil"`
}

// The lock-out rule, as Entra's smart lockout: ten wrong passwords lock an account for a minute, and each further one
// for twice as long, at most an hour. A day without a wrong one forgets them.
const (
	lockAfter  = 10
	firstLock  = time.Minute
	longestOne = time.Hour
	// ForgetAfter is when a record of attempts may be deleted.
	ForgetAfter = 24 * time.Hour
)

// Locked reports whether attempts are refused at now.
func (a Attempts) Locked(now time.Time) bool { return now.Before(a.LockedUntil) }

// Failed returns the attempts after another wrong password.
func (a Attempts) Failed(now time.Time) Attempts {
	if now.Sub(a.Last) >= ForgetAfter {
		a = Attempts{}
	}
	a.Failures++
	a.Last = now
	if over := a.Failures - lockAfter; over >= 0 {
		lock := longestOne
		if over < 6 {
			lock = min(longestOne, firstLock<<over)
		}
		a.LockedUntil = now.Add(lock)
	}
	return a
}
