package arm

import (
	"net/http"
	"strings"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/store"
)

// lockActions begins the actions by which locks themselves are made and removed: no lock stands in their way.
const lockActions = "Microsoft.Authorization/locks/"

// locked refuses what a lock forbids, whoever asks.
func (f *Face) locked(r *Request) error {
	if r.Subscription.ID.IsZero() || !r.isWrite() || strings.HasPrefix(r.route.Action, lockActions) {
		return nil
	}
	return f.DB.View(r.Context(), func(tx *store.Tx) error {
		return Locked(tx, r.Subscription.ID, r.Scope, r.HTTP.Method == http.MethodDelete)
	})
}

// Locked refuses the deletion of a scope of a subscription, or a change there, that a lock forbids. The core asks for the scope of
// every request; a room asks for what else it changes.
func Locked(tx *store.Tx, sub ident.SubscriptionID, scope string, deletion bool) error {
	locks, err := tx.Locks(sub)
	if err != nil {
		return err
	}
	var by []string
	for _, l := range locks {
		if l.Forbids(scope, deletion) {
			by = append(by, l.Scope)
		}
	}
	if len(by) == 0 {
		return nil
	}
	verb := "write"
	if deletion {
		verb = "delete"
	}
	return GatewayError(fault.New(fault.Conflict, "ScopeLocked",
		"The scope '%s' cannot perform %s operation because following scope(s) are locked: '%s'. Please remove the lock and try again.",
		scope, verb, strings.Join(by, "','")))
}
