package kubehook

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	authnv1 "k8s.io/api/authentication/v1"
	authzv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyreeve/keyreeve/internal/caller"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/mirror"
	"github.com/keyreeve/keyreeve/internal/pki"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/session"
	"github.com/keyreeve/keyreeve/internal/world"
)

// tb is what tests, benchmarks and properties have in common.
type tb interface {
	Helper()
	Error(args ...any)
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// The cast. Ids are derived from names, so that tables can speak of them by name.
func oid(name string) ident.ObjectID { return ident.Derive[ident.ObjectID]("cast", name) }

func clusterID(name string) ident.ClusterID { return ident.Derive[ident.ClusterID]("cast", name) }

func sessionID(name string) ident.SessionID { return ident.Derive[ident.SessionID]("cast", name) }

func tenantID(name string) ident.TenantID { return ident.Derive[ident.TenantID]("cast", name) }

func fingerprint(name string) string {
	return strings.Repeat(strings.ReplaceAll(ident.Derive[ident.GUID]("certificate", name).Compact(), "-", ""), 2)
}

func clock() time.Time { return time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC) }

// person is a row of the cast.
type person struct {
	name, tenant string
	app          bool
	disabled     bool
	validFrom    time.Time
	groups       []string
}

// cast is who is in the two directories.
func cast() []person {
	return []person{
		{name: "alice", tenant: "contoso", groups: []string{"admins"}},
		{name: "erin", tenant: "contoso", groups: []string{"inner"}},                                                    // admin through inner in outer
		{name: "dave", tenant: "contoso", groups: []string{"devs"}},                                                     // by group in Kubernetes RBAC
		{name: "frank", tenant: "contoso"},                                                                              // by name in Kubernetes RBAC
		{name: "gina", tenant: "contoso"},                                                                               // cluster-admin in Kubernetes RBAC
		{name: "nobody", tenant: "contoso"},                                                                             // has nothing
		{name: "bob", tenant: "contoso", disabled: true, groups: []string{"admins"}},                                    // disabled admin
		{name: "carol", tenant: "contoso", validFrom: clock().Add(-time.Hour), groups: []string{"admins"}},              // sessions revoked an hour ago
		{name: "eve", tenant: "fabrikam", groups: []string{"strangers"}},                                                // of another tenant
		{name: "robot", tenant: "contoso", app: true, groups: []string{"devs"}},                                         // a service principal
		{name: "tin", tenant: "contoso", app: true, disabled: true, groups: []string{"admins"}},                         // a disabled one
		{name: "rusty", tenant: "contoso", app: true, validFrom: clock().Add(-time.Minute), groups: []string{"admins"}}, // its tokens were revoked
	}
}

func upn(name, tenant string) string { return name + "@" + tenant + ".com" }

// nested says which group is in which.
func nested() map[string]string { return map[string]string{"inner": "middle", "middle": "outer"} }

func groupNames() []string {
	return []string{"admins", "inner", "middle", "outer", "devs", "strangers"}
}

// legacyServer is the server application of a cluster with the legacy integration.
const legacyServer = "5f9c1a52-6d0e-4b7a-9a53-0c1f2e7d4b11"

func clusters() []managedcluster.Cluster {
	contoso := &managedcluster.AAD{
		Managed: true, Tenant: tenantID("contoso"), AdminGroups: []ident.ObjectID{oid("admins"), oid("outer"), oid("no such group")},
	}
	return []managedcluster.Cluster{
		{ID: clusterID("one"), Tenant: tenantID("contoso"), Group: "rg", Name: "one", AAD: contoso, Epoch: 2},
		{ID: clusterID("locked"), Tenant: tenantID("contoso"), Group: "rg", Name: "locked", AAD: contoso, LocalAccountsDisabled: true},
		{ID: clusterID("plain"), Tenant: tenantID("contoso"), Group: "rg", Name: "plain"},
		{ID: clusterID("inherits"), Tenant: tenantID("contoso"), Group: "rg", Name: "inherits", AAD: &managedcluster.AAD{Managed: true, AdminGroups: contoso.AdminGroups}},
		{ID: clusterID("legacy"), Tenant: tenantID("contoso"), Group: "rg", Name: "legacy", AAD: &managedcluster.AAD{Tenant: tenantID("contoso"), ServerAppID: legacyServer}},
		{ID: clusterID("legacy-unset"), Tenant: tenantID("contoso"), Group: "rg", Name: "legacy-unset", AAD: &managedcluster.AAD{Tenant: tenantID("contoso")}},
		{ID: clusterID("legacy-wrong"), Tenant: tenantID("contoso"), Group: "rg", Name: "legacy-wrong", AAD: &managedcluster.AAD{
			Tenant: tenantID("contoso"), ServerAppID: directory.ResourceManager().String(),
		}},
		{ID: clusterID("theirs"), Tenant: tenantID("fabrikam"), Group: "rg", Name: "theirs", AAD: &managedcluster.AAD{
			Managed: true, Tenant: tenantID("fabrikam"), AdminGroups: []ident.ObjectID{oid("admins"), oid("strangers")},
		}},
	}
}

func certificates() map[string]pki.Issued {
	good := pki.Issued{Cluster: clusterID("one"), Epoch: 2, Kind: "clusterAdmin", Holder: oid("alice"), HolderUPN: upn("alice", "contoso"), IssuedAt: clock().Add(-time.Hour), NotAfter: clock().Add(time.Hour)}
	with := func(change func(*pki.Issued)) pki.Issued { c := good; change(&c); return c }
	return map[string]pki.Issued{
		"good":    good,
		"old":     with(func(c *pki.Issued) { c.Epoch = 1 }),
		"future":  with(func(c *pki.Issued) { c.Epoch = 3 }),
		"revoked": with(func(c *pki.Issued) { c.RevokedAt = clock().Add(-time.Second) }),
		"expired": with(func(c *pki.Issued) { c.NotAfter = clock() }),
		"locked":  with(func(c *pki.Issued) { c.Cluster, c.Epoch = clusterID("locked"), 0 }),
		"plain":   with(func(c *pki.Issued) { c.Cluster, c.Epoch, c.Kind = clusterID("plain"), 0, "clusterUser" }),
	}
}

func sessions() map[string]session.Session {
	s := func(user string, began time.Duration) session.Session {
		return session.Session{User: oid(user), CreatedAt: clock().Add(-began), ExpiresAt: clock().Add(time.Hour)}
	}
	revoked, expired := s("alice", time.Minute), s("alice", time.Hour)
	revoked.RevokedAt = clock().Add(-time.Second)
	expired.ExpiresAt = clock()
	return map[string]session.Session{
		"alice": s("alice", 2*time.Hour), "erin": s("erin", time.Minute), "dave": s("dave", time.Minute), "frank": s("frank", time.Minute),
		"nobody": s("nobody", time.Minute), "bob": s("bob", time.Minute), "eve": s("eve", time.Minute),
		"revoked": revoked, "expired": expired,
		"carol before": s("carol", 2*time.Hour), "carol after": s("carol", 30*time.Minute),
	}
}

// change is the snapshot of all this.
func change(t tb) feed.Change {
	t.Helper()
	c := feed.Change{Revision: 42, At: clock()}
	put := func(k feed.Kind, key string, v any) {
		t.Helper()
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		c.Events = append(c.Events, feed.Event{Kind: k, Op: feed.Put, Key: key, Value: raw})
	}
	member := func(group, of string) {
		c.Events = append(c.Events, feed.Event{Kind: feed.Member, Op: feed.Put, Key: oid(group).String() + "/" + oid(of).String()})
	}
	for _, n := range []string{"contoso", "fabrikam"} {
		put(feed.Tenant, tenantID(n).String(), directory.Tenant{ID: tenantID(n), DisplayName: n, Domains: []string{n + ".com"}})
	}
	for _, g := range groupNames() {
		put(feed.Group, oid(g).String(), directory.Group{ID: oid(g), Tenant: tenantID("contoso"), DisplayName: "The " + g, SecurityEnabled: true})
	}
	for _, p := range cast() {
		if p.app {
			put(feed.ServicePrincipal, oid(p.name).String(), directory.ServicePrincipal{
				ID: oid(p.name), Tenant: tenantID(p.tenant), AppID: ident.Derive[ident.ClientID]("app", p.name), DisplayName: p.name,
				AccountEnabled: !p.disabled, SessionsValidFrom: p.validFrom,
			})
		} else {
			put(feed.User, oid(p.name).String(), directory.User{
				ID: oid(p.name), Tenant: tenantID(p.tenant), UserPrincipalName: upn(p.name, p.tenant), AccountEnabled: !p.disabled, SessionsValidFrom: p.validFrom,
			})
		}
		for _, g := range p.groups {
			member(g, p.name)
		}
	}
	for in, outer := range nested() {
		member(outer, in)
	}
	for _, k := range clusters() {
		put(feed.Cluster, k.ID.String(), k)
	}
	for n, x := range certificates() {
		x.Fingerprint = fingerprint(n)
		put(feed.Certificate, x.Fingerprint, x)
	}
	for n, s := range sessions() {
		s.ID = sessionID(n)
		put(feed.Session, s.ID.String(), s)
	}
	return c
}

// kubeRoles and kubeBindings are the rules inside cluster one.
func kubeRoles() []*rbac.KubeRole {
	return []*rbac.KubeRole{
		{Name: "cluster-admin", Rules: []rbac.PolicyRule{
			{Verbs: []string{"*"}, APIGroups: []string{"*"}, Resources: []string{"*"}}, {Verbs: []string{"*"}, NonResourceURLs: []string{"*"}},
		}},
		{Name: "view", Rules: []rbac.PolicyRule{{Verbs: []string{"get", "list", "watch"}, APIGroups: []string{"", "apps"}, Resources: []string{"pods", "pods/log", "deployments"}}}},
		{Name: "impersonator", Rules: []rbac.PolicyRule{{Verbs: []string{"impersonate"}, APIGroups: []string{"*"}, Resources: []string{"*"}}}},
		{Name: "system:discovery", Rules: []rbac.PolicyRule{{Verbs: []string{"get"}, NonResourceURLs: []string{"/api", "/api/*", "/apis", "/version"}}}},
		{Name: "system:basic-user", Rules: []rbac.PolicyRule{{Verbs: []string{"create"}, APIGroups: []string{"authorization.k8s.io"}, Resources: []string{"selfsubjectaccessreviews"}}}},
		{Namespace: "dev", Name: "pod-reader", Rules: []rbac.PolicyRule{{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"pods"}, ResourceNames: []string{"web"}}}},
	}
}

func kubeBindings() []*rbac.Binding {
	cluster := func(name string) rbac.RoleRef { return rbac.RoleRef{Kind: rbac.KindClusterRole, Name: name} }
	user := func(name string) rbac.Subject { return rbac.Subject{Kind: rbac.KindUser, Name: name} }
	group := func(name string) rbac.Subject { return rbac.Subject{Kind: rbac.KindGroup, Name: name} }
	return []*rbac.Binding{
		{Name: "gina", RoleRef: cluster("cluster-admin"), Subjects: []rbac.Subject{user(upn("gina", "contoso"))}},
		{Name: "masters", RoleRef: cluster("cluster-admin"), Subjects: []rbac.Subject{group("system:masters"), group("keyreeve:cluster-admins"), user("root@elsewhere.org")}},
		{Name: "discovery", RoleRef: cluster("system:discovery"), Subjects: []rbac.Subject{group("system:authenticated")}},
		{Name: "basic", RoleRef: cluster("system:basic-user"), Subjects: []rbac.Subject{group("system:authenticated")}},
		{Name: "frank-impersonates", RoleRef: cluster("impersonator"), Subjects: []rbac.Subject{user(upn("frank", "contoso"))}},
		{Namespace: "dev", Name: "devs", RoleRef: cluster("view"), Subjects: []rbac.Subject{group(oid("devs").String())}},
		{Namespace: "dev", Name: "frank", RoleRef: rbac.RoleRef{Kind: rbac.KindRole, Name: "pod-reader"}, Subjects: []rbac.Subject{user(upn("frank", "contoso"))}},
		{Namespace: "dev", Name: "broken", RoleRef: cluster("gone"), Subjects: []rbac.Subject{user(upn("nobody", "contoso"))}},
		{Namespace: "ghosts", Name: "ghost", RoleRef: cluster("view"), Subjects: []rbac.Subject{user(upn("ghost", "contoso")), user(upn("bob", "contoso"))}},
	}
}

// mirrored is a Mirror that knows the same rules of every cluster, or none.
type mirrored struct {
	set   *rbac.ClusterRBAC
	known bool
}

func (m *mirrored) View(ident.ClusterID) (*rbac.ClusterRBAC, mirror.Status) {
	if !m.known {
		return nil, mirror.Status{Configured: true}
	}
	return m.set, mirror.Status{Configured: true, Synced: true}
}

// tokens are the good tokens by their text.
type tokens map[string]caller.Caller

func (t tokens) CheckFor(raw string, _ []string) (caller.Caller, error) {
	raw = strings.TrimPrefix(raw, "raw.")
	if raw == "broken" {
		return caller.Caller{}, errors.New("a secret cause")
	}
	if raw == "unavailable" {
		return caller.Caller{}, fault.New(fault.Unavailable, "", "not now")
	}
	c, ok := t[raw]
	if !ok {
		return caller.Caller{}, fault.New(fault.Unauthenticated, "InvalidAuthenticationToken", "no good")
	}
	return c, nil
}

// gate is a Handler over the cast.
type gate struct {
	*Handler
	mirror *mirrored
	tokens tokens
	mux    *http.ServeMux
}

func newGate(t tb) *gate {
	t.Helper()
	w, err := world.New()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Apply(change(t)); err != nil {
		t.Fatal(err)
	}
	e := rbac.NewClusterRBAC().Edit()
	for _, r := range kubeRoles() {
		e.PutRole(r)
	}
	for _, b := range kubeBindings() {
		e.PutBinding(b)
	}
	g := &gate{mirror: &mirrored{set: e.Done(), known: true}, tokens: tokens{}, mux: http.NewServeMux()}
	g.Handler = &Handler{World: w, Tokens: g.tokens, Mirror: g.mirror, Now: clock, Log: slog.New(slog.DiscardHandler)}
	g.Mount(g.mux)
	return g
}

// as makes a request look as if it came over a verified connection with a client certificate.
func as(r *http.Request, commonName string) *http.Request {
	cert := &x509.Certificate{Subject: pkix.Name{CommonName: commonName}}
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}, VerifiedChains: [][]*x509.Certificate{{cert}}}
	return r
}

// post sends a body to a webhook of a cluster, as its API server.
func (g *gate) post(cluster, hook string, body []byte) *httptest.ResponseRecorder {
	id := clusterID(cluster).String()
	r := httptest.NewRequest(http.MethodPost, "/clusters/"+id+"/"+hook, bytes.NewReader(body))
	rec := httptest.NewRecorder()
	g.mux.ServeHTTP(rec, as(r, "cluster:"+id))
	return rec
}

func sarJSON(t tb, spec authzv1.SubjectAccessReviewSpec) []byte {
	t.Helper()
	raw, err := json.Marshal(authzv1.SubjectAccessReview{
		TypeMeta: metav1.TypeMeta{Kind: "SubjectAccessReview", APIVersion: "authorization.k8s.io/v1"}, Spec: spec,
	})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// review asks and reads the answer; status is nil when the answer is an error.
func (g *gate) review(t tb, cluster string, spec authzv1.SubjectAccessReviewSpec) (int, *authzv1.SubjectAccessReviewStatus) {
	t.Helper()
	rec := g.post(cluster, "subjectaccessreview", sarJSON(t, spec))
	return rec.Code, readReview(t, rec)
}

func readReview(t tb, rec *httptest.ResponseRecorder) *authzv1.SubjectAccessReviewStatus {
	t.Helper()
	if rec.Code != http.StatusOK {
		readStatus(t, rec)
		return nil
	}
	var out authzv1.SubjectAccessReview
	if err := json.Unmarshal(rec.Body.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	if out.Kind != "SubjectAccessReview" || out.APIVersion != "authorization.k8s.io/v1" || out.Status.EvaluationError != "" {
		t.Errorf("answer is odd: %s", rec.Body)
	}
	return &out.Status
}

// readStatus checks that an error answer is a Status that the API server does not retry.
func readStatus(t tb, rec *httptest.ResponseRecorder) metav1.Status {
	t.Helper()
	var s metav1.Status
	if err := json.Unmarshal(rec.Body.Bytes(), &s); err != nil || s.Kind != "Status" || s.Status != "Failure" || int(s.Code) != rec.Code || s.Message == "" {
		t.Errorf("%d is not a Status: %s", rec.Code, rec.Body)
	}
	if rec.Header().Get("Retry-After") != "" || s.Details != nil || rec.Code == 500 || rec.Code == 429 || rec.Code == 504 {
		t.Errorf("%d would be retried: %v %s", rec.Code, rec.Header(), rec.Body)
	}
	return s
}

// tokenReview asks about a token.
func (g *gate) tokenReview(t tb, cluster, token string) (int, authnv1.TokenReviewStatus) {
	t.Helper()
	if token != "" {
		token = "raw." + token
	}
	raw, err := json.Marshal(authnv1.TokenReview{
		TypeMeta: metav1.TypeMeta{Kind: "TokenReview", APIVersion: "authentication.k8s.io/v1"}, Spec: authnv1.TokenReviewSpec{Token: token},
	})
	if err != nil {
		t.Fatal(err)
	}
	rec := g.post(cluster, "tokenreview", raw)
	if rec.Code != http.StatusOK {
		readStatus(t, rec)
		return rec.Code, authnv1.TokenReviewStatus{}
	}
	if token != "" && strings.Contains(rec.Body.String(), token) {
		t.Error("the answer repeats the token")
	}
	var out authnv1.TokenReview
	if err := json.Unmarshal(rec.Body.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	if out.Kind != "TokenReview" || out.APIVersion != "authentication.k8s.io/v1" {
		t.Errorf("answer is odd: %s", rec.Body)
	}
	return rec.Code, out.Status
}
