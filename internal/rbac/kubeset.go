package rbac

import (
	"hash/maphash"
	"maps"
	"slices"

	"github.com/keyreeve/keyreeve/internal/ident"
)

// ClusterRBAC is the Roles, ClusterRoles, RoleBindings and ClusterRoleBindings of one cluster, indexed by subject. It does
// not change: Edit makes the next one, which shares with it all that stayed the same, so that one change is cheap
// however large the cluster.
type ClusterRBAC struct {
	roles    sharded[objectKey, *KubeRole]
	bindings sharded[objectKey, *Binding]
	names    sharded[nameKey, *subject]        // users, service accounts, and groups whose name is not an object id
	ids      sharded[ident.ObjectID, *subject] // groups named by an object id
	sifted   [shards]bloom                     // of each part of ids, the groups and namespaces, by their tags
	byID     int                               // how many groups ids has
	follow   []*KubeRole                       // ClusterRoles that are aggregated
	everyone *subject                          // of names, who signed in
	roleLen  int
	bindLen  int
}

// objectKey names a role or a binding; those of the cluster have no namespace.
type objectKey struct{ namespace, name string }

type nameKey struct {
	kind uint8
	name string
}

const (
	userSubject uint8 = iota + 1
	groupSubject
)

// subject holds the bindings of one subject. It does not change.
type subject struct {
	cluster    []*Binding
	namespaces map[string][]*Binding
}

// NewClusterRBAC returns a set that holds nothing.
func NewClusterRBAC() *ClusterRBAC {
	seed := maphash.MakeSeed()
	return &ClusterRBAC{
		roles:    sharded[objectKey, *KubeRole]{hash: func(k objectKey) uint64 { return maphash.Comparable(seed, k) }},
		bindings: sharded[objectKey, *Binding]{hash: func(k objectKey) uint64 { return maphash.Comparable(seed, k) }},
		names:    sharded[nameKey, *subject]{hash: func(k nameKey) uint64 { return hashText(uint64(k.kind), k.name) }},
		// Object ids are random in their last bytes. mayName knows this.
		ids: sharded[ident.ObjectID, *subject]{hash: func(k ident.ObjectID) uint64 { return uint64(k[15]) }},
	}
}

// Len returns how many roles and bindings the set holds.
func (c *ClusterRBAC) Len() (roles, bindings int) { return c.roleLen, c.bindLen }

// group returns the bindings of a group by its name, which may be an object id.
func (c *ClusterRBAC) group(name string) *subject {
	if id, ok := canonicalID(name); ok {
		return c.ids.get(id)
	}
	return c.names.get(nameKey{kind: groupSubject, name: name})
}

// canonicalID reads a group name that is an object id exactly as the gate writes it. Kubernetes compares names byte by
// byte, so a GUID in another spelling is another group.
func canonicalID(name string) (ident.ObjectID, bool) {
	id, err := ident.Parse[ident.ObjectID](name)
	if err != nil || id.String() != name {
		return ident.ObjectID{}, false
	}
	return id, true
}

// userKey returns the user name that a subject of a binding stands for. A service account without a namespace is of the
// binding's namespace; in a ClusterRoleBinding it stands for nobody.
func userKey(s Subject, namespace string) (string, bool) {
	switch s.Kind {
	case KindUser:
		return s.Name, true
	case KindServiceAccount:
		if s.Namespace != "" {
			namespace = s.Namespace
		}
		return "system:serviceaccount:" + namespace + ":" + s.Name, namespace != ""
	}
	return "", false
}

// Edit is a change to a set under way. It must not be used after Done, nor by two goroutines at once.
type Edit struct {
	set      *ClusterRBAC
	roles    editor[objectKey, *KubeRole]
	bindings editor[objectKey, *Binding]
	names    editor[nameKey, *subject]
	ids      editor[ident.ObjectID, *subject]
}

// Edit begins a change. The set itself stays as it is.
func (c *ClusterRBAC) Edit() *Edit {
	next := *c
	e := &Edit{set: &next}
	e.roles.m, e.bindings.m, e.names.m, e.ids.m = &next.roles, &next.bindings, &next.names, &next.ids
	return e
}

// Done returns the changed set.
func (e *Edit) Done() *ClusterRBAC {
	for i, mine := range e.ids.mine {
		if !mine {
			continue
		}
		pairs := 0
		for _, s := range e.set.ids.parts[i] {
			pairs += 1 + len(s.namespaces)
		}
		filter := bloom(nil)
		if pairs > 0 {
			filter = newBloom(2 * pairs)
		}
		for id, s := range e.set.ids.parts[i] {
			if len(s.cluster) > 0 {
				filter.add(tagOf(id))
			}
			for ns := range s.namespaces {
				filter.add(tagOf(id) ^ spaceOf(ns))
			}
		}
		e.set.sifted[i] = filter
	}
	e.set.everyone = e.set.names.get(nameKey{kind: groupSubject, name: Authenticated})
	e.set.byID = 0
	for _, part := range e.set.ids.parts {
		e.set.byID += len(part)
	}
	return e.set
}

// spaceOf tells a namespace from most others; no namespace is 0.
func spaceOf(namespace string) uint32 {
	if namespace == "" {
		return 0
	}
	h := hashText(hashStart, namespace)
	return uint32(h ^ h>>32)
}

// mayName reports whether some binding may name a group with a tag, in the whole cluster or in a namespace.
func (c *ClusterRBAC) mayName(tag, space uint32) bool {
	filter := c.sifted[tag>>24%shards]
	return filter.may(tag) || space != 0 && filter.may(tag^space)
}

// PutRole makes or replaces a role. The caller must not change it afterwards.
func (e *Edit) PutRole(r *KubeRole) {
	k := objectKey{r.Namespace, r.Name}
	old := e.set.roles.get(k)
	if old == nil {
		e.set.roleLen++
	}
	e.roles.put(k, r)
	e.follow(old, r)
}

// DropRole removes a role; without a namespace, a ClusterRole.
func (e *Edit) DropRole(namespace, name string) {
	k := objectKey{namespace, name}
	if old := e.set.roles.get(k); old != nil {
		e.set.roleLen--
		e.roles.drop(k)
		e.follow(old, nil)
	}
}

// follow keeps the list of aggregated ClusterRoles. Sets share it, so it is copied.
func (e *Edit) follow(old, r *KubeRole) {
	follows := func(r *KubeRole) bool { return r != nil && r.Namespace == "" && r.AggregateTo != 0 }
	if follows(old) {
		e.set.follow = slices.DeleteFunc(slices.Clone(e.set.follow), func(x *KubeRole) bool { return x == old })
	}
	if follows(r) {
		e.set.follow = append(slices.Clip(e.set.follow), r)
	}
}

// PutBinding makes or replaces a binding. The caller must not change it afterwards.
func (e *Edit) PutBinding(b *Binding) {
	e.DropBinding(b.Namespace, b.Name)
	e.bindings.put(objectKey{b.Namespace, b.Name}, b)
	e.set.bindLen++
	e.index(b, func(s *subject) *subject { return s.with(b) })
}

// DropBinding removes a binding; without a namespace, a ClusterRoleBinding.
func (e *Edit) DropBinding(namespace, name string) {
	k := objectKey{namespace, name}
	b := e.set.bindings.get(k)
	if b == nil {
		return
	}
	e.bindings.drop(k)
	e.set.bindLen--
	e.index(b, func(s *subject) *subject { return s.without(b) })
}

// KeepRoles removes every role of a scope, cluster or namespaces, for which keep says no.
func (e *Edit) KeepRoles(cluster bool, keep func(namespace, name string) bool) {
	for _, k := range e.set.roles.keys() {
		if (k.namespace == "") == cluster && !keep(k.namespace, k.name) {
			e.DropRole(k.namespace, k.name)
		}
	}
}

// KeepBindings removes every binding of a scope, cluster or namespaces, for which keep says no.
func (e *Edit) KeepBindings(cluster bool, keep func(namespace, name string) bool) {
	for _, k := range e.set.bindings.keys() {
		if (k.namespace == "") == cluster && !keep(k.namespace, k.name) {
			e.DropBinding(k.namespace, k.name)
		}
	}
}

// index changes the entry of every subject of a binding. A subject named twice is changed twice to the same effect.
func (e *Edit) index(b *Binding, change func(*subject) *subject) {
	for _, s := range b.Subjects {
		if s.Kind == KindGroup {
			if id, ok := canonicalID(s.Name); ok {
				e.ids.set(id, change(e.set.ids.get(id)))
				continue
			}
			k := nameKey{groupSubject, s.Name}
			e.names.set(k, change(e.set.names.get(k)))
			continue
		}
		if name, ok := userKey(s, b.Namespace); ok {
			k := nameKey{userSubject, name}
			e.names.set(k, change(e.set.names.get(k)))
		}
	}
}

func (s *subject) with(b *Binding) *subject {
	next := subject{}
	if s != nil {
		next = *s
	}
	if b.Namespace == "" {
		next.cluster = include(next.cluster, b)
		return &next
	}
	next.namespaces = maps.Clone(next.namespaces)
	if next.namespaces == nil {
		next.namespaces = map[string][]*Binding{}
	}
	next.namespaces[b.Namespace] = include(next.namespaces[b.Namespace], b)
	return &next
}

// without returns nil when nothing is left.
func (s *subject) without(b *Binding) *subject {
	if s == nil {
		return nil
	}
	next := *s
	if b.Namespace == "" {
		next.cluster = exclude(next.cluster, b)
	} else {
		next.namespaces = maps.Clone(next.namespaces)
		if left := exclude(next.namespaces[b.Namespace], b); len(left) > 0 {
			next.namespaces[b.Namespace] = left
		} else {
			delete(next.namespaces, b.Namespace)
		}
	}
	if len(next.cluster) == 0 && len(next.namespaces) == 0 {
		return nil
	}
	return &next
}

func include(list []*Binding, b *Binding) []*Binding {
	if slices.Contains(list, b) {
		return list
	}
	return append(slices.Clone(list), b)
}

func exclude(list []*Binding, b *Binding) []*Binding {
	return slices.DeleteFunc(slices.Clone(list), func(x *Binding) bool { return x == b })
}

const shards = 128

// sharded is a map cut into parts, so that a copy with one entry changed copies one part.
type sharded[K comparable, V any] struct {
	hash  func(K) uint64
	parts [shards]map[K]V
}

func (m *sharded[K, V]) get(k K) V { return m.parts[m.hash(k)%shards][k] }

func (m *sharded[K, V]) keys() []K {
	var out []K
	for _, p := range m.parts {
		out = slices.AppendSeq(out, maps.Keys(p))
	}
	return out
}

// editor changes a copy of a sharded map. It copies a part before it first changes it.
type editor[K comparable, V comparable] struct {
	m    *sharded[K, V]
	mine [shards]bool
}

func (e *editor[K, V]) part(k K) map[K]V {
	i := e.m.hash(k) % shards
	if !e.mine[i] {
		e.mine[i] = true
		if e.m.parts[i] = maps.Clone(e.m.parts[i]); e.m.parts[i] == nil {
			e.m.parts[i] = map[K]V{}
		}
	}
	return e.m.parts[i]
}

func (e *editor[K, V]) put(k K, v V) { e.part(k)[k] = v }

func (e *editor[K, V]) drop(k K) { delete(e.part(k), k) }

// set puts a value, or drops the key for the zero value.
func (e *editor[K, V]) set(k K, v V) {
	var zero V
	if v == zero {
		e.drop(k)
		return
	}
	e.put(k, v)
}
