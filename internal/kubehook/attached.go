package kubehook

import (
	"github.com/keyreeve/keyreeve/internal/ident"
)

// decideForeign answers about a client certificate of an attached cluster's own authority, such as its administrator's
// kubeconfig. While local accounts are enabled it is the cluster's own business: no opinion, and its RBAC decides. A
// certificate that claims a name or a group of the directory is denied always: RBAC would take it for that person, and no
// revocation would reach it.
func (h *Handler) decideForeign(snap *snapshot, q *question) answer {
	if snap.cluster.LocalAccountsDisabled {
		if discovers(&q.request) {
			return answer{verdict: verdictNoOpinion, why: "discovery, with a certificate of the cluster's own"}
		}
		return deny("local accounts are disabled")
	}
	tenant := snap.tenant()
	if _, _, ours := h.byName(tenant, q.user); ours {
		return deny("a client certificate does not stand for someone of the directory")
	}
	for _, g := range q.groups {
		id, err := ident.Parse[ident.ObjectID](g)
		if err != nil {
			continue
		}
		if group, ok := h.World.Group(id); ok && group.Tenant == tenant {
			return deny("a client certificate does not stand for a group of the directory")
		}
	}
	return answer{verdict: verdictNoOpinion, why: "a client certificate of the cluster's own"}
}
