package arm

import (
	"net/http"
	"strings"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

// lockActions begins the actions by which locks themselves are made and removed: no lock stands in their way.
const lockActions = "Microsoft.Authorization/locks/"

// locked refuses what a lock forbids, whoever asks.
func (f *Face) locked(r *Request) error {
	if r.Subscription.ID.IsZero() || !r.isWrite() || strings.HasPrefix(r.route.Action, lockActions) {
		return nil
	}
	deletion := r.HTTP.Method == http.MethodDelete
	var locks []resource.Lock
	err := f.DB.View(r.Context(), func(tx *store.Tx) (err error) {
		locks, err = tx.Locks(r.Subscription.ID)
		return err
	})
	if err != nil {
		return err
	}
	var by []string
	for _, l := range locks {
		if l.Forbids(r.Scope, deletion) {
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
		r.Scope, verb, strings.Join(by, "','")))
}
