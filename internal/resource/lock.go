package resource

import (
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/ident"
)

// LockLevel says what a lock keeps from being done.
type LockLevel string

// The levels.
const (
	CanNotDelete LockLevel = "CanNotDelete"
	ReadOnly     LockLevel = "ReadOnly"
)

// Lock keeps what is at or below its scope from being deleted, or from being changed at all, whoever asks.
type Lock struct {
	Subscription ident.SubscriptionID `json:"subscription"`
	// Scope is the id of a subscription, a resource group or a resource; compared without case.
	Scope     string    `json:"scope"`
	Name      string    `json:"name"`
	Level     LockLevel `json:"level"`
	Notes     string    `json:"notes,omitempty"`
	CreatedAt time.Time `json:"createdAt"`
	UpdatedAt time.Time `json:"updatedAt"`
}

// Forbids reports whether the lock keeps a scope from being deleted, or changed. A deletion takes with it all that is below.
func (l Lock) Forbids(scope string, deletion bool) bool {
	if Within(scope, l.Scope) {
		return deletion || l.Level == ReadOnly
	}
	return deletion && Within(l.Scope, scope)
}

// Within reports whether a scope is another or lies below it; letter case does not count.
func Within(scope, above string) bool {
	s, a := strings.ToLower(scope), strings.TrimSuffix(strings.ToLower(above), "/")
	return s == a || strings.HasPrefix(s, a+"/")
}
