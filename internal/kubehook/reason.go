package kubehook

import (
	"fmt"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/rbac"
)

// denyText is what the person reads after Kubernetes' own words (User "…" cannot list resource …): a fact about
// themselves and a reference, nothing about others.
func denyText(a *answer, reference ident.GUID) string {
	return "Keyreeve: " + a.why + " (reference " + reference.String() + ")"
}

// allowText is the full reason, for the API server's audit log.
func (h *Handler) allowText(snap *snapshot, a *answer) string {
	var b strings.Builder
	b.WriteString("Keyreeve: allowed by ")
	switch {
	case a.certificate != nil:
		c := a.certificate
		fmt.Fprintf(&b, "%s certificate %s issued to %s at %s", c.Kind, c.Fingerprint, c.HolderUPN, c.IssuedAt.UTC().Format(time.RFC3339))
	case a.way.Kind == rbac.ByBinding:
		h.bindingText(&b, a)
	case a.way.Kind == rbac.ByRole:
		h.roleText(&b, a)
	default:
		b.WriteString("admin group ")
		h.groupText(&b, a, a.way.Holder)
	}
	fmt.Fprintf(&b, "; revision %d", snap.revision)
	return b.String()
}

// bindingText names a binding as Kubernetes' own authorizer does, and how the principal is its subject.
func (h *Handler) bindingText(b *strings.Builder, a *answer) {
	d := &a.way
	kind, name := "ClusterRoleBinding", d.Binding.Name
	if d.Binding.Namespace != "" {
		kind, name = "RoleBinding", d.Binding.Name+"/"+d.Binding.Namespace
	}
	fmt.Fprintf(b, "%s %q of %s %q to %s ", kind, name, d.Binding.RoleRef.Kind, d.Binding.RoleRef.Name, d.Subject.Kind)
	if d.Subject.Kind == rbac.KindGroup {
		if id, err := ident.Parse[ident.ObjectID](d.Subject.Name); err == nil {
			h.groupText(b, a, id)
			return
		}
	}
	fmt.Fprintf(b, "%q", d.Subject.Name)
}

// roleText names a role assignment, how the principal holds it, and where.
func (h *Handler) roleText(b *strings.Builder, a *answer) {
	g := a.way.Grant
	fmt.Fprintf(b, "role %q by assignment %q at %q, held ", g.Role.Definition.Name, g.Assignment.ID.String(), g.Assignment.Scope)
	if a.way.Holder == a.principal.ID {
		b.WriteString("directly")
		return
	}
	b.WriteString("by group ")
	h.groupText(b, a, a.way.Holder)
}

// groupText names a group and the groups between it and the principal.
func (h *Handler) groupText(b *strings.Builder, a *answer, group ident.ObjectID) {
	h.groupName(b, group)
	path := h.World.MembershipPath(a.principal.ID, group)
	for i := len(path) - 2; i >= 0; i-- {
		b.WriteString(" through ")
		h.groupName(b, path[i])
	}
}

func (h *Handler) groupName(b *strings.Builder, id ident.ObjectID) {
	fmt.Fprintf(b, "%q", id.String())
	if g, ok := h.World.Group(id); ok {
		fmt.Fprintf(b, " (%q)", g.DisplayName)
	}
}
