package graph

import (
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/store"
)

// expansion is one relation of a $expand, with the properties wanted of what it leads to.
type expansion struct {
	name     string
	selected []string
}

// maxExpanded is how many objects an expansion holds (Microsoft Graph, $expand): the rest is asked for by the relation's
// own address.
const maxExpanded = 20

// parseExpand reads a $expand: name, or name($select=a,b), with commas between. The directory expands one relation at a
// time.
func parseExpand(text string) ([]expansion, error) {
	bad := fault.New(fault.Invalid, "BadRequest", "Parsing OData Select and Expand failed: Term '%s' is not valid in a $select or $expand expression.", printable(text))
	name, rest, nested := strings.Cut(strings.TrimSpace(text), "(")
	e := expansion{name: strings.TrimSpace(name)}
	if e.name == "" || strings.ContainsAny(e.name, " /'\"=;)") {
		return nil, bad
	}
	if strings.Contains(e.name, ",") {
		return nil, unsupportedQuery("The query specifies too many expansions: one is supported.")
	}
	if !nested {
		return []expansion{e}, nil
	}
	inner, ok := strings.CutSuffix(rest, ")")
	option, value, assigned := strings.Cut(inner, "=")
	if !ok || !assigned || strings.ContainsAny(value, "()'\"=") {
		return nil, bad
	}
	if fold(strings.TrimPrefix(strings.TrimSpace(option), "$")) != "select" || strings.Contains(value, ";") {
		return nil, unsupportedQuery("An expansion supports the option $select only.")
	}
	e.selected = parseSelect(value)
	return []expansion{e}, nil
}

// relations are the relations that may be expanded, by their name in lower case, of each type of object.
type relations map[string]func(rq *request, tx *store.Tx, a directory.Actor, id ident.ObjectID, limit int) ([]ident.ObjectID, error)

func expandable(t objectType) relations {
	owners := func(_ *request, tx *store.Tx, _ directory.Actor, id ident.ObjectID, _ int) ([]ident.ObjectID, error) {
		return tx.Owners(id)
	}
	in := func(far reach) func(*request, *store.Tx, directory.Actor, ident.ObjectID, int) ([]ident.ObjectID, error) {
		return func(rq *request, tx *store.Tx, _ directory.Actor, id ident.ObjectID, _ int) ([]ident.ObjectID, error) {
			return rq.containers(tx, id, far)
		}
	}
	owned := func(_ *request, tx *store.Tx, _ directory.Actor, id ident.ObjectID, limit int) ([]ident.ObjectID, error) {
		return tx.OwnedBy(id, ident.ObjectID{}, limit)
	}
	switch t {
	case userObject:
		return relations{"memberof": in(direct), "transitivememberof": in(transitive), "ownedobjects": owned}
	case groupObject:
		return relations{
			"members": func(_ *request, tx *store.Tx, _ directory.Actor, id ident.ObjectID, limit int) ([]ident.ObjectID, error) {
				return tx.Members(id, ident.ObjectID{}, limit)
			},
			"transitivemembers": func(_ *request, tx *store.Tx, _ directory.Actor, id ident.ObjectID, limit int) ([]ident.ObjectID, error) {
				return tx.MembersBelow(id, ident.ObjectID{}, limit)
			},
			"owners": owners, "memberof": in(direct), "transitivememberof": in(transitive),
		}
	case applicationObject:
		return relations{"owners": owners}
	case servicePrincipalObject:
		return relations{"owners": owners, "memberof": in(direct), "transitivememberof": in(transitive), "ownedobjects": owned}
	case anyObject, roleObject:
	}
	return nil
}

// checkExpand refuses a $expand of what the type does not have.
func (rq *request) checkExpand(t objectType) error {
	for _, e := range rq.query.expand {
		if _, ok := expandable(t)[fold(e.name)]; !ok {
			return fault.New(fault.Invalid, "BadRequest",
				"Parsing OData Select and Expand failed: Could not find a property named '%s' on type 'microsoft.graph.%s'.", printable(e.name), t)
		}
		if err := checkObjectSelect(e.selected); err != nil {
			return err
		}
	}
	return nil
}

// expanded adds to an answer the relations that were asked for.
func (rq *request) expanded(tx *store.Tx, a directory.Actor, t objectType, id ident.ObjectID, o object) (object, error) {
	for _, e := range rq.query.expand {
		ids, err := expandable(t)[fold(e.name)](rq, tx, a, id, maxExpanded)
		if err != nil {
			return nil, err
		}
		items := []object{}
		for _, other := range ids {
			if len(items) == maxExpanded {
				break
			}
			v, err := rq.directoryObject(tx, other)
			if store.IsNotFound(err) || err == nil && a.MayRead(v.area()) != nil {
				continue
			}
			if err != nil {
				return nil, err
			}
			items = append(items, v.render(e.selected))
		}
		o = append(o, field{canonicalRelation(e.name), items})
	}
	return o, nil
}

// canonicalRelation is the spelling of a relation in answers.
func canonicalRelation(name string) string {
	all := []string{"members", "transitiveMembers", "memberOf", "transitiveMemberOf", "owners", "ownedObjects"}
	if i := slices.IndexFunc(all, func(n string) bool { return fold(n) == fold(name) }); i >= 0 {
		return all[i]
	}
	return name
}
