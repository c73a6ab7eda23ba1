package store

import (
	"encoding/json"
	"math"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/resource"
)

// PutActivity appends to the activity log, in the same commit as what it tells of.
func (tx *Tx) PutActivity(a audit.Activity) error {
	return tx.put(feed.Private, "", a, `INSERT INTO activity (doc, at, tenant, subscription) VALUES ($1, $2, $3, $4)`,
		stamp(a.At), a.Tenant, subscriptionText(a.Subscription))
}

func subscriptionText(id ident.SubscriptionID) string {
	if id.IsZero() {
		return ""
	}
	return id.String()
}

// ActivityPlace is where an activity stands in the log: lists go on from there.
type ActivityPlace struct{ At, Seq int64 }

// Activities calls fn with a tenant's activities in a subscription (zero: those above all subscriptions), from and to
// included, newest first and each with its place, beginning after the place before unless that is zero. It ends when fn
// returns false.
func (tx *Tx) Activities(tenant ident.TenantID, sub ident.SubscriptionID, from, to time.Time, before ActivityPlace, fn func(ActivityPlace, audit.Activity) bool) error {
	if before == (ActivityPlace{}) {
		before = ActivityPlace{math.MaxInt64, math.MaxInt64}
	}
	query := `SELECT at, seq, doc FROM activity WHERE tenant = $1 AND subscription = $2 AND at >= $3 AND at <= $4 AND (at < $5 OR at = $6 AND seq < $7)
		ORDER BY at DESC, seq DESC`
	rows, err := tx.query(query, tenant, subscriptionText(sub), stamp(from), stamp(to), before.At, before.At, before.Seq)
	if err != nil {
		return fault.Wrap(err, "store: activity")
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var place ActivityPlace
		var doc string
		if err := rows.Scan(&place.At, &place.Seq, &doc); err != nil {
			return fault.Wrap(err, "store: activity")
		}
		var a audit.Activity
		if err := json.Unmarshal([]byte(doc), &a); err != nil {
			return fault.Wrap(err, "store: activity")
		}
		if !fn(place, a) {
			return nil
		}
	}
	if err := rows.Err(); err != nil {
		return fault.Wrap(err, "store: activity")
	}
	return nil
}

// DeleteActivities removes activities from before a time and returns how many.
func (tx *Tx) DeleteActivities(before time.Time) (int64, error) {
	return tx.exec(`DELETE FROM activity WHERE at < $1`, stamp(before))
}

// PutLock makes or replaces a lock.
func (tx *Tx) PutLock(l resource.Lock) error {
	return tx.put(feed.Private, "", l,
		`INSERT INTO locks (doc, subscription, scope_key, name_key) VALUES ($1, $2, $3, $4)
		 ON CONFLICT (scope_key, name_key) DO UPDATE SET doc = excluded.doc`,
		l.Subscription, strings.ToLower(l.Scope), strings.ToLower(l.Name))
}

// Lock returns a lock by scope and name, without case.
func (tx *Tx) Lock(scope, name string) (resource.Lock, error) {
	return one[resource.Lock](tx, "lock", name, `SELECT doc FROM locks WHERE scope_key = $1 AND name_key = $2`, strings.ToLower(scope), strings.ToLower(name))
}

// Locks returns the locks of a subscription and all that is in it, by scope and name.
func (tx *Tx) Locks(sub ident.SubscriptionID) ([]resource.Lock, error) {
	return all[resource.Lock](tx, "lock", `SELECT doc FROM locks WHERE subscription = $1 ORDER BY scope_key, name_key`, sub)
}

// DeleteLock removes a lock.
func (tx *Tx) DeleteLock(scope, name string) error {
	return tx.remove(feed.Private, name, `DELETE FROM locks WHERE scope_key = $1 AND name_key = $2`, strings.ToLower(scope), strings.ToLower(name))
}

// DeleteLocksBelow removes the locks at a scope and below it.
func (tx *Tx) DeleteLocksBelow(scope string) error {
	key := strings.ToLower(strings.TrimSuffix(scope, "/"))
	// '0' follows '/'
	_, err := tx.exec(`DELETE FROM locks WHERE scope_key = $1 OR (scope_key > $2 AND scope_key < $3)`, key, key+"/", key+"0")
	return err
}
