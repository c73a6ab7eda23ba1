package kubehook

import (
	"encoding/json"
	"testing"

	authzv1 "k8s.io/api/authorization/v1"

	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/pki"
)

// TestAttachedCertificates: the certificates of an attached cluster's own authority are its own business while local
// accounts are enabled, unless they claim to be of the directory.
func TestAttachedCertificates(t *testing.T) {
	g := newGate(t)
	add := feed.Change{Revision: 43, At: clock()}
	put := func(k feed.Kind, key string, v any) {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		add.Events = append(add.Events, feed.Event{Kind: k, Op: feed.Put, Key: key, Value: raw})
	}
	for _, name := range []string{"away", "away locked"} {
		put(feed.Cluster, clusterID(name).String(), managedcluster.Cluster{
			ID: clusterID(name), Tenant: tenantID("contoso"), Group: "rg", Name: name, AAD: clusters()[0].AAD,
			Attached: &managedcluster.Attached{Server: "https://away.test:6443"}, LocalAccountsDisabled: name == "away locked",
		})
	}
	put(feed.Certificate, fingerprint("gate"), pki.Issued{
		Fingerprint: fingerprint("gate"), Cluster: clusterID("away"), Kind: managedcluster.GateCertificate, NotAfter: clock().AddDate(1, 0, 0),
	})
	if err := g.World.Apply(add); err != nil {
		t.Fatal(err)
	}
	groups := func(names ...string) func(*authzv1.SubjectAccessReviewSpec) {
		return func(s *authzv1.SubjectAccessReviewSpec) { s.Groups = append(s.Groups, names...) }
	}
	const pods = "list pods @dev"
	for _, tt := range []struct {
		name, cluster string
		who           func(*authzv1.SubjectAccessReviewSpec)
		more          func(*authzv1.SubjectAccessReviewSpec)
		what          string
		want          verdict
	}{
		{"their administrator", "away", cert("kubernetes-admin", x509ID("theirs")), groups("kubeadm:cluster-admins"), pods, verdictNoOpinion},
		{"one with a directory name", "away", cert("alice@contoso.com", x509ID("theirs")), nil, pods, verdictDeny},
		{"one with a name of our domain that nobody has", "away", cert("ghost@contoso.com", x509ID("theirs")), nil, pods, verdictDeny},
		{"one with an object id as name", "away", cert(oid("robot").String(), x509ID("theirs")), nil, pods, verdictDeny},
		{"one with a directory group", "away", cert("kubernetes-admin", x509ID("theirs")), groups(oid("admins").String()), pods, verdictDeny},
		{"a gate's own", "away", cert("kubernetes-admin", x509ID("gate")), nil, pods, verdictNoOpinion},
		{"one issued for another cluster", "away", cert("kubernetes-admin", x509ID("good")), nil, pods, verdictNoOpinion},
		{"two credential ids", "away", cert("kubernetes-admin", x509ID("theirs"), x509ID("good")), nil, pods, verdictNoOpinion},
		{"local accounts disabled", "away locked", cert("kubernetes-admin", x509ID("theirs")), nil, pods, verdictDeny},
		{"local accounts disabled, discovery", "away locked", cert("kubernetes-admin", x509ID("theirs")), nil, "get /api", verdictNoOpinion},
		{"a member of the directory", "away", token("alice", "alice"), nil, pods, verdictAllow},
	} {
		spec := ask(tt.what)
		tt.who(&spec)
		if tt.more != nil {
			tt.more(&spec)
		}
		code, st := g.review(t, tt.cluster, spec)
		if st == nil || st.Allowed != (tt.want == verdictAllow) || st.Denied != (tt.want == verdictDeny) {
			t.Errorf("%s: %d %+v, want %s", tt.name, code, st, tt.want)
		}
	}
}
