package bench

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/keyreeve/keyreeve/internal/ident"
)

// role is what a binding gives: some verbs on some kinds of resource of the core API group.
type role struct {
	name         string
	verbs, kinds []string
}

func roles() []role {
	read := []string{"get", "list", "watch"}
	write := append([]string{"create", "delete", "patch", "update"}, read...)
	return []role{
		{"view", read, []string{"configmaps", "pods"}},
		{"edit", write, []string{"configmaps", "pods"}},
		{"secrets", read, []string{"secrets"}},
		{"services", write, []string{"services"}},
	}
}

// binding gives a role to a group, in a namespace or, with an empty one, in the whole cluster.
type binding struct{ role, group, namespace string }

// question is one of the requests that every engine is asked.
type question struct {
	user                  int
	verb, kind, namespace string
}

// corpus is who is in which groups, what is bound, and what is asked. Every engine gets the same in the form that it likes best.
type corpus struct {
	members   [][]string // the groups of each user
	groups    []string
	bindings  []binding
	questions []question
}

const (
	users      = 2_000
	namespaces = 50
	each       = 20 // groups of a user
)

func objectID(kind string, n int) ident.ObjectID {
	return ident.Derive[ident.ObjectID]("bench", kind, fmt.Sprint(n))
}

func namespace(n int) string { return fmt.Sprintf("team-%d", n) }
func userName(n int) string  { return fmt.Sprintf("user%d@contoso.test", n) }

// newCorpus draws one with n bindings: of ten one counts in the whole cluster, the others in a namespace. A group has one binding
// on average, so that about half of what is asked is allowed.
func newCorpus(n int) *corpus {
	r := rand.New(rand.NewPCG(uint64(n), 1))
	c := &corpus{}
	for i := range max(n, 2*each) {
		c.groups = append(c.groups, objectID("group", i).String())
	}
	for range users {
		var in []string
		for _, g := range r.Perm(len(c.groups))[:each] {
			in = append(in, c.groups[g])
		}
		c.members = append(c.members, in)
	}
	all := roles()
	for range n {
		b := binding{role: all[r.IntN(len(all))].name, group: c.groups[r.IntN(len(c.groups))]}
		if r.IntN(10) > 0 {
			b.namespace = namespace(r.IntN(namespaces))
		}
		c.bindings = append(c.bindings, b)
	}
	verbs, kinds := []string{"get", "list", "create", "delete"}, []string{"pods", "configmaps", "secrets", "services"}
	for range 1 << 10 {
		c.questions = append(c.questions, question{
			user: r.IntN(users), verb: verbs[r.IntN(len(verbs))], kind: kinds[r.IntN(len(kinds))], namespace: namespace(r.IntN(namespaces)),
		})
	}
	return c
}

// slow answers a question by the meaning of the words, for the engines to be held against.
func (c *corpus) slow(q question) bool {
	for _, b := range c.bindings {
		if b.namespace != "" && b.namespace != q.namespace || !slices.Contains(c.members[q.user], b.group) {
			continue
		}
		for _, r := range roles() {
			if r.name == b.role && slices.Contains(r.verbs, q.verb) && slices.Contains(r.kinds, q.kind) {
				return true
			}
		}
	}
	return false
}

func doc(tb testing.TB, v any) []byte {
	tb.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}
