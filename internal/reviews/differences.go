package reviews

import (
	"regexp"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/internal/ident"
)

// Difference is an intended one between the published rules and Keyreeve. They stand in docs/compatibility.md.
type Difference struct {
	ID, Reason string
	// correct changes a view to what Keyreeve means; it leaves a view alone that the difference is not about.
	correct func(*view)
	// about, where correct is nil, tells the reviews on which Keyreeve may answer otherwise than the published rules.
	about func(*view) bool
	// gives is the only answer that it may give instead; empty is any.
	gives Answer
}

const authenticated = "system:authenticated"

// Differences lists the intended differences, in the order in which they apply.
func Differences() []Difference { return append(everywhere(), inAzure()...) }

// everywhere lists those that do not depend on Azure's roles.
func everywhere() []Difference {
	refuse := func(when func(*view) bool) func(*view) {
		return func(v *view) {
			if v.forced == "" && when(v) {
				v.forced = Refused
			}
		}
	}
	return []Difference{
		{
			ID: "certificates", Reason: "A client certificate counts only if Keyreeve issued it for this cluster and has not revoked it.",
			correct: refuse(func(v *view) bool {
				return strings.HasPrefix(strings.Join(v.rev.Spec.Extra["authentication.kubernetes.io/credential-id"], ""), "X509SHA256=")
			}),
		},
		{
			ID: "identity", Reason: "Name, uid and object id of a review must be those of one person or application of the cluster's directory; a name of the directory's domain that nobody has is nobody's.",
			correct: refuse(func(v *view) bool { p, ours := v.who(); return ours && p == nil }),
		},
		{
			ID: "disabled", Reason: "Who is disabled may do nothing, at once.",
			correct: refuse(func(v *view) bool { p, _ := v.who(); return p != nil && p.Disabled }),
		},
		{
			ID: "one-name", Reason: "People are found by object id or by name in any letter case; bindings mean them by the name that the directory has.",
			correct: func(v *view) {
				if p, _ := v.who(); p != nil {
					v.user, v.oid = p.Name, p.ID
				}
			},
		},
		{
			ID: "live-groups", Reason: "Groups are the directory's at the moment of the question. Those that a review shows are not trusted, and their absence denies nothing.",
			correct: func(v *view) {
				if p, _ := v.who(); p != nil {
					v.groups = append(v.c.groupsOf(p.ID), authenticated)
				}
			},
		},
		{
			ID: "malformed", Reason: "What Kubernetes cannot have, such as a namespace with dots or slashes, is nobody's, also not an administrator's.",
			correct: refuse(func(v *view) bool { p, _ := v.who(); return p != nil && v.malformed() }),
		},
		{
			ID: "constrained-impersonation", Reason: "Constrained impersonation is not offered: the API server would remember it for ten seconds before asking.",
			correct: refuse(func(v *view) bool {
				p, _ := v.who()
				verb := v.verb()
				return p != nil && (strings.HasPrefix(verb, "impersonate:") || strings.HasPrefix(verb, "impersonate-on:"))
			}),
		},
		{
			ID: "protected-impersonation", Reason: "Only cluster admins impersonate system:masters, the group of admin certificates, or the mark of a certificate.",
			correct: refuse(func(v *view) bool {
				p, _ := v.who()
				a := v.rev.Spec.ResourceAttributes
				if p == nil || a == nil || a.Verb != "impersonate" {
					return false
				}
				protected := a.Resource == "groups" && (a.Name == "system:masters" || a.Name == "keyreeve:cluster-admins") ||
					a.Resource == "userextras" && strings.EqualFold(a.Subresource, "authentication.kubernetes.io/credential-id")
				in := v.c.groupsOf(p.ID)
				return protected && !slices.ContainsFunc(v.k.AdminGroups, func(g string) bool { return slices.Contains(in, g) })
			}),
		},
	}
}

// inAzure lists those of the mapping to Azure's data actions.
func inAzure() []Difference {
	azure := func(when func(*view) bool) func(*view) bool {
		return func(v *view) bool { p, _ := v.who(); return v.k.AzureRBAC && p != nil && when(v) }
	}
	resource := func(v *view, group string, names ...string) bool {
		a := v.rev.Spec.ResourceAttributes
		return a != nil && a.Group == group && slices.Contains(names, a.Resource)
	}
	return []Difference{
		{
			ID: "object-id-optional", gives: Allowed, Reason: "Whom the directory knows by name has Azure roles without an object id in the review, as with kubectl --as.",
			about: azure(func(v *view) bool { return len(v.rev.Spec.Extra["oid"]) == 0 }),
		},
		{
			ID: "sub-resources", gives: Refused, Reason: "Each sub-resource has its own data action; the parent's implies it only where Kubernetes' view, edit and admin roles imply it.",
			about: azure(func(v *view) bool { a := v.rev.Spec.ResourceAttributes; return a != nil && a.Subresource != "" }),
		},
		{
			ID: "every-verb", Reason: "Every verb maps: one that guard does not know is an action of its own, and not the resource itself.",
			about: azure(func(v *view) bool {
				known := append(verbs(), "bind", "escalate", "use", "impersonate", "*")
				return !slices.Contains(known, v.verb())
			}),
		},
		{
			ID: "everything", Reason: "What asks for all verbs, groups or resources is answered without discovery.",
			about: azure(func(v *view) bool {
				a := v.rev.Spec.ResourceAttributes
				return v.verb() == "*" || a != nil && (a.Group == "*" || a.Resource == "*")
			}),
		},
		{
			ID: "custom-resources", gives: Allowed, Reason: "Reader and Writer have a custom resource if a ClusterRole aggregates it to view or edit; Admin and Cluster Admin always.",
			about: azure(func(v *view) bool { return resource(v, "example.com", "widgets") }),
		},
		{
			ID: "discovery-paths", gives: Refused, Reason: "Discovery is the paths that Kubernetes' own roles allow, and not whatever begins like one.",
			about: azure(func(v *view) bool { return v.rev.Spec.NonResourceAttributes != nil }),
		},
	}
}

func (v *view) verb() string {
	if n := v.rev.Spec.NonResourceAttributes; n != nil {
		return n.Verb
	}
	return v.rev.Spec.ResourceAttributes.Verb
}

// Names as Kubernetes has them.
const (
	labelForm = `[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?`
	nameForm  = `\*|[a-z0-9]+([-_]*(\.?[a-z0-9])+)*`
	verbForm  = `\*|[A-Za-z0-9][-_:A-Za-z0-9]*`
	pathForm  = `/|(/[^/%?#\\]+)+/?`
)

func (v *view) malformed() bool {
	is := func(form, s string) bool {
		whole, err := regexp.MatchString(`\A(`+form+`)\z`, s)
		return err == nil && whole && len(s) <= 1024
	}
	if n := v.rev.Spec.NonResourceAttributes; n != nil {
		segments := strings.Split(n.Path, "/")
		return !is(verbForm, n.Verb) || !is(pathForm, n.Path) || slices.Contains(segments, "..") || slices.Contains(segments, ".")
	}
	a := v.rev.Spec.ResourceAttributes
	return !is(verbForm, a.Verb) || !is(nameForm, a.Resource) || a.Group != "" && !is(nameForm, a.Group) || a.Namespace != "" && !is(labelForm, a.Namespace) ||
		a.Subresource != "" && a.Verb != "impersonate" && !is(nameForm, a.Subresource)
}

// who finds whom a review is about. Ours without a person is an identity of the directory that nobody is.
func (v *view) who() (p *Person, ours bool) {
	s := v.rev.Spec
	if strings.HasPrefix(s.User, "system:") {
		return nil, false
	}
	find := func(match func(Person) bool) *Person {
		i := slices.IndexFunc(v.c.People, match)
		if i < 0 || v.c.People[i].Foreign {
			return nil
		}
		return &v.c.People[i]
	}
	oids := s.Extra["oid"]
	switch {
	case len(oids) == 0 && ident.IsGUID(s.User):
		i := slices.IndexFunc(v.c.People, func(p Person) bool { return p.ID == s.User })
		if i < 0 {
			return nil, false
		}
		p = find(func(p Person) bool { return p.ID == s.User })
	case len(oids) == 0:
		lower := strings.ToLower(s.User)
		if !strings.HasSuffix(lower, "@"+domain) && !strings.HasSuffix(lower, "@fabrikam.example") {
			return nil, false
		}
		p = find(func(p Person) bool { return strings.EqualFold(p.Name, s.User) })
	case len(oids) == 1:
		p = find(func(p Person) bool { return strings.EqualFold(p.ID, oids[0]) })
	}
	if p != nil && (!strings.EqualFold(s.User, p.Name) && !strings.EqualFold(s.User, p.ID) || s.UID != "" && !strings.EqualFold(s.UID, p.ID)) {
		return nil, true
	}
	return p, true
}

// Meant answers a review by the published rules with every intended difference that can be worked out.
func (c *Corpus) Meant(rev Review) Answer {
	v := c.view(&rev)
	for _, d := range Differences() {
		if d.correct != nil {
			d.correct(v)
		}
	}
	return v.answer()
}

// Explain names the intended differences by which Keyreeve answers a review otherwise than the published rules; none when it
// should not. One that alone makes the answer is enough.
func (c *Corpus) Explain(rev Review, got Answer) []string {
	published := c.Model(rev)
	var changing []string
	for _, d := range Differences() {
		v := c.view(&rev)
		if d.correct == nil {
			if d.about(v) && (d.gives == "" || d.gives == got) {
				return []string{d.ID}
			}
			continue
		}
		d.correct(v)
		if a := v.answer(); a == got && a != published {
			return []string{d.ID}
		}
		if v.changed(c.view(&rev)) {
			changing = append(changing, d.ID)
		}
	}
	if c.Meant(rev) == got {
		return changing
	}
	return nil
}

func (v *view) changed(from *view) bool {
	return v.forced != from.forced || v.user != from.user || v.oid != from.oid || !slices.Equal(v.groups, from.groups)
}
