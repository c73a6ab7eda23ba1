package world

import (
	"hash/maphash"
	"math"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/rbac"
)

// who returns a user or service principal, or nil. The lock is held.
func (w *World) who(id *ident.ObjectID) *Principal {
	if r, ok := w.nodes.search(id); ok {
		return w.nodes.at(r).who
	}
	return nil
}

// setPrincipal puts down a user or service principal, or nil for one that is gone. The lock is held.
func (w *World) setPrincipal(id ident.ObjectID, p *Principal) {
	r, known := w.nodes.search(&id)
	if !known {
		if p == nil {
			return
		}
		r = w.nodes.number(id)
	}
	x := w.nodes.at(r)
	if old := x.who; old != nil {
		w.upns.remove(w.nameHash(old.Tenant, directory.Fold(old.Name)), uint32(r))
	}
	x.who, x.home = p, 0
	if p != nil {
		if n := w.homeOf(p.Tenant); n <= math.MaxUint16 {
			x.home = uint16(n)
		}
	}
	if p != nil && p.Kind == User {
		w.upns.insert(w.nameHash(p.Tenant, directory.Fold(p.Name)), uint32(r))
	}
}

// homeOf numbers a tenant, from 1.
func (w *World) homeOf(t ident.TenantID) uint32 {
	n, ok := w.homes[t]
	if !ok {
		n = uint32(len(w.homes) + 1)
		w.homes[t] = n
	}
	return n
}

// byUPN returns the user of a tenant with a folded user principal name, or nil. The lock is held.
func (w *World) byUPN(tenant ident.TenantID, name string) *Principal {
	r, ok := w.upns.find(w.nameHash(tenant, name), func(n uint32) bool {
		p := w.nodes.at(rbac.GroupRef(n)).who
		return p.Tenant == tenant && directory.Fold(p.Name) == name
	})
	if !ok {
		return nil
	}
	return w.nodes.at(rbac.GroupRef(r)).who
}

func (w *World) nameHash(tenant ident.TenantID, name string) uint64 {
	return maphash.String(w.nodes.seed, name) ^ maphash.Bytes(w.nodes.seed, tenant[:])
}
