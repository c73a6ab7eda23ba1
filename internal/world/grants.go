package world

import (
	"encoding/json"
	"slices"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
)

// byHolder keeps documents that somebody holds, found by their holder.
type byHolder[V any] struct {
	holder func(V) ident.ObjectID
	docs   map[ident.GrantID]V
	held   map[ident.ObjectID][]ident.GrantID // sorted
}

func newByHolder[V any](holder func(V) ident.ObjectID) byHolder[V] {
	return byHolder[V]{holder: holder, docs: map[ident.GrantID]V{}, held: map[ident.ObjectID][]ident.GrantID{}}
}

func compareGrants(a, b ident.GrantID) int { return slices.Compare(a[:], b[:]) }

func (b byHolder[V]) apply(e feed.Event, put bool) error {
	id, err := ident.Parse[ident.GrantID](e.Key)
	if err != nil {
		return err
	}
	if old, ok := b.docs[id]; ok {
		h := b.holder(old)
		if i, ok := slices.BinarySearchFunc(b.held[h], id, compareGrants); ok {
			b.held[h] = slices.Delete(slices.Clone(b.held[h]), i, i+1)
		}
		if len(b.held[h]) == 0 {
			delete(b.held, h)
		}
		delete(b.docs, id)
	}
	if !put {
		return nil
	}
	var v V
	if err := json.Unmarshal(e.Value, &v); err != nil {
		return err
	}
	b.docs[id] = v
	h := b.holder(v)
	i, _ := slices.BinarySearchFunc(b.held[h], id, compareGrants)
	b.held[h] = slices.Insert(slices.Clone(b.held[h]), i, id)
	return nil
}

func (b byHolder[V]) of(holder ident.ObjectID) []V {
	var out []V
	for _, id := range b.held[holder] {
		out = append(out, b.docs[id])
	}
	return out
}

// PermissionGrants returns what a client, by its service principal, was consented to, in the order of their ids.
func (w *World) PermissionGrants(client ident.ObjectID) []directory.PermissionGrant {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.consents.of(client)
}

// AppRoleAssignments returns the app roles that were given to exactly this principal or group, in the order of their
// ids. What an app role is called is said by its resource's application.
func (w *World) AppRoleAssignments(principal ident.ObjectID) []directory.AppRoleAssignment {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.appRoles.of(principal)
}
