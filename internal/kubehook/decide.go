package kubehook

import (
	"slices"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/pki"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/world"
)

// verdict is the outcome of a review. Its zero value decides nothing.
type verdict uint8

const (
	verdictUnknown verdict = iota
	verdictAllow
	verdictDeny
	verdictNoOpinion // the identity is not ours
)

func (v verdict) String() string {
	return [...]string{"unknown", "allow", "deny", "no opinion"}[v]
}

// answer is a verdict with its reasons, as values.
type answer struct {
	verdict verdict
	// why is the reason in a few words that may be shown to the one who asks.
	why string
	// principal is set when the review is about someone of the directory.
	principal *world.Principal
	// One of these says through what it is allowed.
	way         rbac.Way
	certificate *pki.Issued
}

func deny(why string) answer { return answer{verdict: verdictDeny, why: why} }

// Names that Kubernetes gives.
const (
	credentialID = "authentication.kubernetes.io/credential-id"
	certificate  = "X509SHA256="
)

// decide answers a review. The order is that of the identities, the strictest first: what the API server itself is and
// runs, certificates, people and applications of the directory, others.
func (h *Handler) decide(snap *snapshot, q *question) answer {
	if strings.HasPrefix(q.user, "system:") {
		// The chain's match condition does not send these.
		return answer{verdict: verdictNoOpinion, why: "not an identity of the directory"}
	}
	if fp, ok := certificateOf(q); ok {
		return h.decideCertificate(snap, q, fp)
	}
	p, a := h.identify(snap, q)
	if p == nil {
		return a
	}
	in, ok := signInOf(q)
	if !ok {
		a = deny("what the request says of its sign-in is malformed")
	} else if why := standing(h.World, h.Now(), p, in); why != "" {
		a = deny(why)
	} else {
		a = h.decideRights(snap, q, p)
	}
	a.principal = p
	return a
}

// certificateOf returns the fingerprint when the API server took a client certificate for who is asking. Two values name
// no certificate, and neither does an empty fingerprint.
func certificateOf(q *question) (string, bool) {
	values := q.extras(credentialID)
	for _, v := range values {
		if len(v) >= len(certificate) && strings.EqualFold(v[:len(certificate)], certificate) {
			if len(values) == 1 {
				return v[len(certificate):], true
			}
			return "", true
		}
	}
	return "", false
}

// decideCertificate allows what is on the list of certificates that were issued and are still good. A certificate never
// stands for someone of the directory, whatever name it carries: a cluster admin could have one made for any name.
func (h *Handler) decideCertificate(snap *snapshot, q *question, fingerprint string) answer {
	c, ok := h.World.Certificate(fingerprint)
	if !ok || c.Cluster != snap.cluster.ID || c.Kind == managedcluster.GateCertificate {
		if snap.cluster.IsAttached() {
			return h.decideForeign(snap, q)
		}
		return deny("the client certificate was not issued for this cluster's people")
	}
	// A fingerprint is no secret, and a service account that may impersonate can be given it as an extra: it counts only
	// together with the name and the group that stand in the certificate.
	if q.user != c.CommonName() || !slices.Contains(q.groups, pki.AdminGroup) {
		return deny("the client certificate is not the one that it is said to be")
	}
	if q.request.Malformed() {
		return deny("the namespace, verb, resource or path is not one that Kubernetes can have")
	}
	if why := void(&c, &snap.cluster, h.Now()); why != "" {
		if discovers(&q.request) {
			return answer{verdict: verdictAllow, why: "discovery, with a void admin certificate", certificate: &c}
		}
		return deny(why)
	}
	if q.request.Constrained() {
		return deny("constrained impersonation is not offered")
	}
	return answer{verdict: verdictAllow, why: "admin certificate", certificate: &c}
}

// void says why a certificate that was issued for a cluster is not good any more; empty when it is.
func void(c *pki.Issued, cluster *managedcluster.Cluster, now time.Time) string {
	switch {
	case cluster.LocalAccountsDisabled:
		return "local accounts are disabled"
	case c.Epoch != cluster.Epoch:
		return "the client certificate is from before local accounts were disabled or certificates rotated"
	case !c.RevokedAt.IsZero():
		return "the client certificate was revoked"
	case !now.Before(c.NotAfter):
		return "the client certificate has expired"
	}
	return ""
}

// discovers reports whether a request only asks which kinds of objects the API server knows. kubectl asks that first, and
// shows nothing but "unknown" when it is refused: a void certificate may, so that its holder reads why it is void.
func discovers(r *rbac.KubeRequest) bool {
	if !r.NonResource || r.Verb != "get" {
		return false
	}
	for _, p := range []string{"/api", "/apis", "/openapi"} {
		if r.Path == p || strings.HasPrefix(r.Path, p+"/") && !strings.Contains(r.Path, "..") {
			return true
		}
	}
	return r.Path == "/version" || r.Path == "/version/"
}

// identify finds whom of the directory a review is about. Without a principal, the answer is final.
func (h *Handler) identify(snap *snapshot, q *question) (*world.Principal, answer) {
	const stranger = "the identity is not in the cluster's directory"
	tenant := snap.tenant()
	objects := q.extras(extraObject)
	var p world.Principal
	found := false
	switch len(objects) {
	case 0:
		var ours bool
		if p, found, ours = h.byName(tenant, q.user); !ours {
			return nil, answer{verdict: verdictNoOpinion, why: "not an identity of the directory"}
		}
	case 1:
		if id, err := ident.Parse[ident.ObjectID](objects[0]); err == nil {
			p, found = h.World.Principal(id)
		}
	}
	if !found || tenant.IsZero() || p.Tenant != tenant {
		return nil, deny(stranger)
	}
	oid := p.ID.String()
	name := directory.Fold(q.user)
	if name != directory.Fold(p.Name) && name != oid || q.uid != "" && directory.Fold(q.uid) != oid {
		return nil, deny("the name, uid and object id do not belong together")
	}
	return &p, answer{}
}

// byName finds the principal with a user name, and says whether the name is one that our directory gives at all: one of
// a verified domain of the cluster's tenant is, even if nobody has it any more.
func (h *Handler) byName(tenant ident.TenantID, name string) (p world.Principal, found, ours bool) {
	if tenant.IsZero() {
		return p, false, false // a cluster without Entra integration has no people of the directory
	}
	if id, err := ident.Parse[ident.ObjectID](name); err == nil {
		// Names of this form are service principals', also of those that are gone or of another tenant.
		p, found = h.World.Principal(id)
		return p, found, true
	}
	if p, found = h.World.UserByUPN(tenant, name); found {
		return p, true, true
	}
	if at := strings.LastIndexByte(name, '@'); at >= 0 {
		t, known := h.World.TenantByDomain(name[at+1:])
		ours = known && t.ID == tenant // what another tenant verifies is no concern of this cluster
	}
	return p, false, ours
}

// signInOf reads what a TokenReview's answer said of the sign-in. An impersonated user has none of it.
func signInOf(q *question) (in signIn, ok bool) {
	if v := q.extras(extraSession); len(v) > 0 {
		id, err := ident.Parse[ident.SessionID](v[0])
		if err != nil || len(v) > 1 {
			return in, false
		}
		in.session = id
	}
	if v := q.extras(extraIssuedAt); len(v) > 0 {
		at, err := time.Parse(time.RFC3339, v[0])
		if err != nil || len(v) > 1 || at.IsZero() {
			return in, false
		}
		in.issuedAt = at
	}
	return in, true
}

// decideRights says what a principal in good standing may do: by its admin groups, by Azure roles where the cluster has them
// switched on, and by the cluster's own roles and bindings, with the groups that it is in now.
func (h *Handler) decideRights(snap *snapshot, q *question, p *world.Principal) answer {
	rules := h.rules(snap)
	d := h.World.DecideCluster(&rbac.ClusterAsk{Principal: p.ID, Name: p.Name, Request: q.request}, &rules)
	switch d.Verdict {
	case rbac.Allow:
		return answer{verdict: verdictAllow, why: wayText(d.Way.Kind), way: d.Way}
	case rbac.Deny:
		if d.Why != "" {
			return deny(d.Why)
		}
		return deny("no access of this identity covers it")
	case rbac.Unknown:
	}
	return answer{why: "the cluster's own roles and bindings are not known"}
}

// rules are what access to a cluster is decided from at this moment.
func (h *Handler) rules(snap *snapshot) rbac.ClusterRules {
	own, status := h.Mirror.View(snap.cluster.ID)
	if !status.Known() {
		own = nil
	}
	return h.World.ClusterRules(&snap.cluster, own)
}

func wayText(k rbac.WayKind) string {
	switch k {
	case rbac.ByAdminGroup:
		return "member of an admin group"
	case rbac.ByRole:
		return "Azure role assignment"
	case rbac.ByBinding:
		return "Kubernetes RBAC"
	}
	return ""
}
