package gatefeed_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	authzv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/keyreeve/keyreeve/internal/caller"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/gatefeed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/keyring"
	"github.com/keyreeve/keyreeve/internal/kubehook"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/mirror"
	"github.com/keyreeve/keyreeve/internal/pki"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/session"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/world"
)

// Two tenants with few of everything; which tenant an object is of follows from its number.
const few = 6

func clock() time.Time { return time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC) }

func tid(n int) ident.TenantID {
	return ident.Derive[ident.TenantID]("gatefeed", "tenant", fmt.Sprint(n%2))
}

func oid(kind string, n int) ident.ObjectID {
	return ident.Derive[ident.ObjectID]("gatefeed", kind, fmt.Sprint(n))
}

func sid(n int) ident.SessionID {
	return ident.Derive[ident.SessionID]("gatefeed", "session", fmt.Sprint(n))
}

func cid(n int) ident.ClusterID {
	return ident.Derive[ident.ClusterID]("gatefeed", "cluster", fmt.Sprint(n))
}

func sub(n int) ident.SubscriptionID {
	return ident.Derive[ident.SubscriptionID]("gatefeed", "subscription", fmt.Sprint(n%2))
}

func rid(n int) ident.RoleDefinitionID {
	return ident.Derive[ident.RoleDefinitionID]("gatefeed", "definition", fmt.Sprint(n))
}

func aid(n int) ident.RoleAssignmentID {
	return ident.Derive[ident.RoleAssignmentID]("gatefeed", "assignment", fmt.Sprint(n))
}

func did(n int) ident.DenyAssignmentID {
	return ident.Derive[ident.DenyAssignmentID]("gatefeed", "denial", fmt.Sprint(n))
}

func fingerprint(n int) string {
	return strings.Repeat(strings.ReplaceAll(ident.Derive[ident.GUID]("gatefeed", "certificate", fmt.Sprint(n)).Compact(), "-", ""), 2)
}
func domain(n int) string { return fmt.Sprintf("tenant%d.test", n%2) }
func upn(n int) string    { return fmt.Sprintf("user%d@%s", n, domain(n)) }

func cluster(n int) managedcluster.Cluster {
	roles := true
	return managedcluster.Cluster{
		ID: cid(n), Subscription: sub(n), Tenant: tid(n), Group: "rg", Name: fmt.Sprintf("cluster%d", n), Location: "eastus",
		AAD:      &managedcluster.AAD{Managed: true, Tenant: tid(n), AdminGroups: []ident.ObjectID{oid("group", n)}, EnableAzureRBAC: &roles},
		Attached: &managedcluster.Attached{Server: "https://c.test"}, ProvisioningState: managedcluster.Succeeded, Body: []byte(`{"note":"private-body"}`),
	}
}

// scopes are places for assignments: at the clusters of both tenants, above them, below them, and elsewhere.
func scopes(n int) []string {
	c, other := cluster(n), cluster(n+2)
	return []string{
		"/", "/subscriptions/" + c.Subscription.String(), "/subscriptions/" + c.Subscription.String() + "/resourceGroups/RG", c.ResourceID(),
		c.ResourceID() + "/namespaces/dev", other.ResourceID(), "/subscriptions/" + c.Subscription.String() + "/resourceGroups/other",
		resource.ManagementGroupID(management(n, 0)), resource.ManagementGroupID(management(n, 1)), resource.ManagementGroupID(tid(n).String()),
	}
}

// management is the name of one of a tenant's two management groups.
func management(n, which int) string { return fmt.Sprintf("mg%d-%d", n%2, which) }

func begin(tx *store.Tx) error {
	for n := range 2 {
		err1 := tx.PutTenant(directory.Tenant{ID: tid(n), DisplayName: "private-tenant-name", Domains: []string{domain(n)}})
		err2 := tx.PutSubscription(resource.Subscription{ID: sub(n), Tenant: tid(n), DisplayName: "private-subscription", State: "Enabled"})
		err3 := tx.PutSigningKey(keyring.Public{KID: fmt.Sprint("kid", n), Algorithm: "RS256", JWK: []byte(`{"kty":"RSA"}`)}, []byte{1})
		if err := errors.Join(err1, err2, err3); err != nil {
			return err
		}
	}
	for n := range few {
		// Somebody has a role at each kind of place, so that every step may change what is decided.
		err1 := tx.PutUser(directory.User{ID: oid("user", n), Tenant: tid(n), UserPrincipalName: upn(n), AccountEnabled: true})
		err2 := tx.PutRoleDefinition(role(n))
		err3 := tx.PutAssignment(rbac.Assignment{ID: aid(n), Tenant: tid(n), Scope: resource.ManagementGroupID(management(n, n/2%2)), RoleDefinitionID: rid(n), PrincipalID: oid("user", n)})
		err4 := tx.PutManagementGroup(resource.ManagementGroup{Tenant: tid(n), Name: management(n, n/2%2)})
		err5 := tx.PutSession(session.Session{ID: sid(n), Tenant: tid(n), User: oid("user", n), CreatedAt: clock(), ExpiresAt: clock().Add(time.Hour)})
		if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
			return err
		}
	}
	for n := range 4 {
		if err := errors.Join(tx.PutGroup(group(n)), tx.PutCluster(cluster(n))); err != nil {
			return err
		}
	}
	return nil
}

func group(n int) directory.Group {
	return directory.Group{ID: oid("group", n), Tenant: tid(n), DisplayName: fmt.Sprintf("group%d", n), Description: "private-description", MailNickname: "private-nick", SecurityEnabled: true}
}

func role(n int) rbac.RoleDefinition {
	return rbac.RoleDefinition{
		ID: rid(n), Tenant: tid(n), Name: fmt.Sprint("role", n), Type: rbac.CustomRole, Description: "private-role", AssignableScopes: []string{"/"},
		Permissions: []rbac.Permission{{DataActions: []string{"Microsoft.ContainerService/managedClusters/pods/*"}}},
	}
}

// join adds a member to a group, if it is there: a broken reference would spoil the whole commit.
func join(tx *store.Tx, group, member ident.ObjectID) error {
	if _, err := tx.Group(group); err != nil {
		return err
	}
	return tx.AddMember(group, member)
}

// step is one random write. What the store refuses is passed over.
func step(t *rapid.T, tx *store.Tx) error {
	n := func(name string) int { return rapid.IntRange(0, few-1).Draw(t, name) }
	bit := func(name string) bool { return rapid.Bool().Draw(t, name) }
	same := func(n int) int { return n%2 + 2*rapid.IntRange(0, few/2-1).Draw(t, "same tenant") }
	at := clock().Add(time.Duration(rapid.IntRange(-3, 3).Draw(t, "hour")) * time.Hour)
	holder := func(n int) ident.ObjectID {
		return oid(rapid.SampledFrom([]string{"user", "group", "sp"}).Draw(t, "kind"), same(n))
	}
	switch k := n("n"); rapid.IntRange(0, 25).Draw(t, "step") {
	case 0, 1, 2:
		return tx.PutUser(directory.User{
			ID: oid("user", k), Tenant: tid(k), UserPrincipalName: upn(k), DisplayName: "private-name", Mail: "private-mail", MobilePhone: "private-phone",
			JobTitle: "private-title", BusinessPhones: []string{"private-phone"}, AccountEnabled: rapid.IntRange(0, 3).Draw(t, "enabled") > 0, SessionsValidFrom: at,
		})
	case 3:
		return tx.DeleteUser(oid("user", k))
	case 4:
		return tx.PutServicePrincipal(directory.ServicePrincipal{
			ID: oid("sp", k), Tenant: tid(k), AppID: ident.Derive[ident.ClientID]("gatefeed", fmt.Sprint(k)), DisplayName: "private-app", AccountEnabled: bit("enabled"),
		})
	case 5, 6:
		return tx.PutGroup(group(k))
	case 7:
		return tx.DeleteGroup(oid("group", k))
	case 8, 9, 10, 11:
		return join(tx, oid("group", k), holder(k))
	case 12:
		return tx.RemoveMember(oid("group", k), holder(k))
	case 13, 21:
		s := session.Session{ID: sid(k), Tenant: tid(k), User: oid("user", k), Methods: []string{"private-method"}, CreatedAt: at, ExpiresAt: clock().Add(time.Hour)}
		if bit("revoked") {
			s = s.Revoke(clock(), "private-reason")
		}
		return tx.PutSession(s)
	case 14:
		return tx.PutRoleDefinition(role(k))
	case 15, 16:
		return tx.PutAssignment(rbac.Assignment{
			ID: aid(k), Tenant: tid(k), Scope: rapid.SampledFrom(scopes(k)).Draw(t, "scope"), RoleDefinitionID: rid(same(k)), PrincipalID: holder(k), Description: "private-assignment",
		})
	case 19:
		g := resource.ManagementGroup{Tenant: tid(k), Name: management(k, 0), DisplayName: "private-group"}
		if bit("the inner one") {
			g.Name = management(k, 1)
			g.Parent = rapid.SampledFrom([]string{"", management(k, 0)}).Draw(t, "parent")
		}
		return tx.PutManagementGroup(g)
	case 20:
		return tx.PutSubscription(resource.Subscription{
			ID: sub(k), Tenant: tid(k), DisplayName: "private-subscription", State: "Enabled",
			ManagementGroup: rapid.SampledFrom([]string{"", management(k, 0), management(k, 1)}).Draw(t, "above"),
		})
	case 17:
		return tx.DeleteAssignment(aid(k))
	case 23:
		return tx.DeleteDenyAssignment(did(k))
	case 24, 25:
		return tx.PutDenyAssignment(rbac.DenyAssignment{
			ID: did(k), Tenant: tid(k), Name: fmt.Sprint("deny", k), Description: "private-denial", Scope: rapid.SampledFrom(scopes(k)).Draw(t, "scope"), ExactScope: bit("exact"),
			Permissions: []rbac.Permission{{DataActions: []string{"*/pods/read"}}}, CreatedBy: "private-maker",
			Principals: []rbac.DenyPrincipal{{ID: rapid.SampledFrom([]ident.ObjectID{{}, holder(k)}).Draw(t, "denied")}}, Excluded: []rbac.DenyPrincipal{{ID: holder(k)}},
		})
	case 18:
		return tx.PutCertificate(pki.Issued{
			Fingerprint: fingerprint(k), Cluster: cid(k % 4), Kind: rapid.SampledFrom([]string{"clusterAdmin", managedcluster.GateCertificate}).Draw(t, "use"),
			Epoch: int64(k % 2), HolderUPN: fmt.Sprint("holder", k), NotAfter: clock().Add(time.Hour),
		})
	default:
		c := cluster(k % 4)
		c.LocalAccountsDisabled, c.Epoch = bit("locked"), int64(rapid.IntRange(0, 1).Draw(t, "epoch"))
		c.AAD.AdminGroups = []ident.ObjectID{oid("group", same(k))}
		if k%4 == 1 && bit("other people") {
			c.AAD.Tenant, c.AAD.EnableAzureRBAC = tid(0), nil // Azure roles need both tenants to be the same
		}
		return tx.PutCluster(c)
	}
}

// knownNothing is a mirror of a cluster without rules.
type noRules struct{ set *rbac.ClusterRBAC }

func (m noRules) View(ident.ClusterID) (*rbac.ClusterRBAC, mirror.Status) {
	return m.set, mirror.Status{Configured: true, Synced: true}
}

type noTokens struct{}

func (noTokens) Check(string) (caller.Caller, error) { return caller.Caller{}, errors.New("none") }

// gate answers reviews from a world.
func gate(w *world.World) http.Handler {
	e := rbac.NewClusterRBAC().Edit()
	e.PutRole(&rbac.KubeRole{Name: "view", Rules: []rbac.PolicyRule{{Verbs: []string{"list"}, APIGroups: []string{""}, Resources: []string{"pods"}}}})
	e.PutBinding(&rbac.Binding{Name: "b", RoleRef: rbac.RoleRef{Kind: rbac.KindClusterRole, Name: "view"}, Subjects: []rbac.Subject{
		{Kind: rbac.KindGroup, Name: oid("group", 2).String()}, {Kind: rbac.KindGroup, Name: oid("group", 3).String()}, {Kind: rbac.KindUser, Name: upn(0)}, {Kind: rbac.KindUser, Name: upn(1)},
	}})
	mux := http.NewServeMux()
	(&kubehook.Handler{
		World: w, Tokens: noTokens{}, Mirror: noRules{e.Done()}, Now: clock, Log: slog.New(slog.DiscardHandler),
	}).Mount(mux)
	return mux
}

func ask(t *rapid.T, h http.Handler, c ident.ClusterID, spec authzv1.SubjectAccessReviewSpec) string {
	body, err := json.Marshal(authzv1.SubjectAccessReview{TypeMeta: metav1.TypeMeta{Kind: "SubjectAccessReview", APIVersion: "authorization.k8s.io/v1"}, Spec: spec})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/clusters/"+c.String()+"/subjectaccessreview", bytes.NewReader(body))
	cert := &x509.Certificate{Subject: pkix.Name{CommonName: "cluster:" + c.String()}}
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}, VerifiedChains: [][]*x509.Certificate{{cert}}}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	var out authzv1.SubjectAccessReview
	_ = json.Unmarshal(rec.Body.Bytes(), &out) // an error answer has no status
	reason := ""
	if out.Status.Allowed {
		reason = out.Status.Reason // an allow gives the whole reason, names of groups and revision included
	}
	return fmt.Sprint(rec.Code, out.Status.Allowed, out.Status.Denied, reason)
}

// review draws any review about the cast of both tenants.
func review(t *rapid.T) authzv1.SubjectAccessReviewSpec {
	n := func(name string) int { return rapid.IntRange(0, few-1).Draw(t, name) }
	k := n("who")
	s := authzv1.SubjectAccessReviewSpec{
		User: rapid.SampledFrom([]string{
			upn(k), oid("user", k).String(), oid("sp", k).String(), "ghost@" + domain(k), "someone", "owner", oid("nobody", k).String(), "x@elsewhere.org",
		}).Draw(t, "user"),
		Groups: []string{"system:authenticated"}, Extra: map[string]authzv1.ExtraValue{},
		ResourceAttributes: &authzv1.ResourceAttributes{
			Verb: rapid.SampledFrom([]string{"list", "delete"}).Draw(t, "verb"), Resource: rapid.SampledFrom([]string{"pods", "nodes"}).Draw(t, "resource"),
			Namespace: rapid.SampledFrom([]string{"", "dev"}).Draw(t, "namespace"),
		},
	}
	if rapid.Bool().Draw(t, "with group") {
		s.Groups = append(s.Groups, oid("group", n("group")).String())
	}
	switch rapid.IntRange(0, 3).Draw(t, "credential") {
	case 0:
		s.Extra["oid"] = authzv1.ExtraValue{oid(rapid.SampledFrom([]string{"user", "sp"}).Draw(t, "object"), n("oid")).String()}
	case 1:
		s.User = upn(k)
		s.Extra["oid"], s.Extra["keyreeve.io/session"] = authzv1.ExtraValue{oid("user", k).String()}, authzv1.ExtraValue{sid(rapid.SampledFrom([]int{k, k, n("session")}).Draw(t, "whose")).String()}
	case 2:
		s.Extra["authentication.kubernetes.io/credential-id"] = authzv1.ExtraValue{"X509SHA256=" + fingerprint(n("certificate"))}
	}
	return s
}

// followed is a gate's world, kept by what the control plane would send.
type followed struct {
	t     *rapid.T
	db    *store.DB
	id    ident.ClusterID
	view  gatefeed.View
	world *world.World
	at    feed.Revision
	sent  []feed.Event
}

func (f *followed) anew() {
	snap, err := f.db.Snapshot(context.Background())
	if err != nil {
		f.t.Fatal(err)
	}
	a, err := gatefeed.NewIndex().Attribute(snap)
	if err != nil {
		f.t.Fatal(err)
	}
	at := slices.IndexFunc(snap.Events, func(e feed.Event) bool { return e.Kind == feed.Cluster && e.Key == f.id.String() })
	var c managedcluster.Cluster
	if err := json.Unmarshal(snap.Events[at].Value, &c); err != nil {
		f.t.Fatal(err)
	}
	f.view = gatefeed.Of(c)
	if f.world, err = world.New(); err != nil {
		f.t.Fatal(err)
	}
	events := f.view.Snapshot(a)
	f.sent = append([]feed.Event(nil), events...)
	if err := f.world.Apply(feed.Change{Revision: snap.Revision, At: snap.At, Events: events}); err != nil {
		f.t.Fatal(err)
	}
	f.at = snap.Revision
}

func (f *followed) see(a gatefeed.Attributed) {
	if a.Revision <= f.at {
		return
	}
	events, anew := f.view.Change(a)
	if anew {
		f.anew()
		return
	}
	f.sent = append(f.sent, events...)
	if err := f.world.Skip(a.Revision-1, a.At); err != nil {
		f.t.Fatal(err)
	}
	if err := f.world.Apply(feed.Change{Revision: a.Revision, At: a.At, Events: events}); err != nil {
		f.t.Fatal(err)
	}
	f.at = a.Revision
}

// checkSecrets: nothing personal was sent, and nothing of the other tenant or of another cluster.
func (f *followed) checkSecrets(n int) {
	text, err := json.Marshal(f.sent)
	if err != nil {
		f.t.Fatal(err)
	}
	forbidden := []string{"private-"}
	for k := range few {
		if k%4 != n && k < 4 {
			forbidden = append(forbidden, cid(k).String(), cluster(k).Name+`"`)
		}
		if k%2 != n%2 {
			forbidden = append(forbidden, tid(k).String(), domain(k), upn(k), oid("user", k).String(), oid("group", k).String(), oid("sp", k).String(),
				management(k, 0), management(k, 1), sid(k).String(), rid(k).String(), aid(k).String(), sub(k).String(), fingerprint(k))
		}
	}
	for _, s := range forbidden {
		if strings.Contains(string(text), s) {
			f.t.Fatalf("the gate of cluster %d was told %q", n, s)
		}
	}
}

// TestGateDecidesAsControlPlane writes random histories and asks both worlds everything about the cluster: at the end of
// each commit the gate, that was told its part, answers as who knows all, word for word.
func TestGateDecidesAsControlPlane(t *testing.T) {
	ctx := t.Context()
	rapid.Check(t, func(rt *rapid.T) {
		db, err := store.Open(ctx, store.Options{Path: filepath.Join(t.TempDir(), "h.db"), Now: clock})
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		full, err := world.New()
		if err != nil {
			rt.Fatal(err)
		}
		var fresh []gatefeed.Attributed
		index := gatefeed.NewIndex()
		err = db.Follow(ctx, func(c feed.Change) {
			a, err := index.Attribute(c)
			if err := errors.Join(err, full.Apply(c)); err != nil {
				rt.Fatal(err)
			}
			fresh = append(fresh, a)
		})
		if err != nil {
			rt.Fatal(err)
		}
		if _, err := db.Update(ctx, begin); err != nil {
			rt.Fatal(err)
		}
		n := rapid.IntRange(0, 1).Draw(rt, "cluster")
		f := &followed{t: rt, db: db, id: cid(n)}
		f.anew()
		crossed := false // cluster 1 took its people from tenant 0 at some time
		for range rapid.IntRange(1, 6).Draw(rt, "commits") {
			fresh = nil
			_, err := db.Update(ctx, func(tx *store.Tx) error {
				for range rapid.IntRange(1, 15).Draw(rt, "steps") {
					_ = step(rt, tx) // refused or not: both are history
				}
				return nil
			})
			if err != nil {
				rt.Fatal(err)
			}
			if rapid.IntRange(0, 5).Draw(rt, "away") == 0 {
				f.anew()
			}
			for _, a := range fresh {
				f.see(a)
			}
			c, _ := full.Cluster(f.id)
			crossed = crossed || c.AAD.Tenant != tid(n)
			if !crossed {
				f.checkSecrets(n)
			}
			all, part := gate(full), gate(f.world)
			for range 20 {
				spec := review(rt)
				if want, got := ask(rt, all, f.id, spec), ask(rt, part, f.id, spec); want != got {
					rt.Fatalf("control plane %s, gate %s: %+v", want, got, spec)
				}
			}
			checkRoles(rt, n, full, f.world)
		}
	})
}

// checkRoles: Azure roles decide the same at the cluster and in its namespaces.
func checkRoles(t *rapid.T, n int, full, part *world.World) {
	c := cluster(n)
	if now, _ := full.Cluster(c.ID); now.AAD.Tenant != now.Tenant {
		return // Azure roles decide only where both tenants are the same
	}
	for k := range few {
		for _, kind := range []string{"user", "sp"} {
			p, ok := full.Principal(oid(kind, k))
			if !ok || p.Tenant != c.Tenant {
				continue // never asked about: the gate denies who is not of the tenant
			}
			for _, scope := range []string{c.ResourceID(), c.ResourceID() + "/namespaces/dev"} {
				req := rbac.Request{Principal: p.ID, Action: "Microsoft.ContainerService/managedClusters/pods/read", Data: true, Scope: scope}
				if want, got := full.Decide(req).Verdict, part.Decide(req).Verdict; want != got {
					t.Fatalf("%s %d at %s: control plane %s, gate %s", kind, k, scope, want, got)
				}
			}
		}
	}
}

// TestRecall: changes that the index took in before are attributed the same again, or it is said that they cannot be.
func TestRecall(t *testing.T) {
	ctx := t.Context()
	rapid.Check(t, func(rt *rapid.T) {
		db, err := store.Open(ctx, store.Options{Path: filepath.Join(t.TempDir(), "h.db"), Now: clock})
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		index := gatefeed.NewIndex()
		told := map[feed.Revision][]feed.Event{}
		view := gatefeed.Of(cluster(0))
		if err := db.Follow(ctx, func(c feed.Change) {
			a, err := index.Attribute(c)
			if err != nil {
				rt.Fatal(err)
			}
			events, anew := view.Change(a)
			if !anew {
				told[c.Revision] = events
			}
		}); err != nil {
			rt.Fatal(err)
		}
		if _, err := db.Update(ctx, begin); err != nil {
			rt.Fatal(err)
		}
		for range 4 {
			if _, err := db.Update(ctx, func(tx *store.Tx) error {
				for range 10 {
					_ = step(rt, tx)
				}
				return nil
			}); err != nil {
				rt.Fatal(err)
			}
		}
		changes, err := db.Changes(ctx, 1, 100)
		if err != nil {
			rt.Fatal(err)
		}
		for _, c := range changes {
			a, known, err := index.Recall(c)
			if err != nil {
				rt.Fatal(err)
			}
			if !known {
				continue
			}
			events, anew := view.Change(a)
			if want, ok := told[c.Revision]; ok && !anew && fmt.Sprint(events) != fmt.Sprint(want) {
				rt.Fatalf("change %d: told %v, recalled %v", c.Revision, want, events)
			}
		}
	})
}

// TestEveryKindIsDecided: a kind that is new to the feed has to be let through or kept back on purpose.
func TestEveryKindIsDecided(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../feed/feed.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		if typ, ok := spec.Type.(*ast.Ident); !ok || typ.Name != "Kind" {
			return true
		}
		kind := feed.Kind(strings.Trim(spec.Values[0].(*ast.BasicLit).Value, `"`))
		count++
		_, err := gatefeed.NewIndex().Attribute(feed.Change{Revision: 1, Events: []feed.Event{{Kind: kind, Op: feed.Delete, Key: oid("x", 1).String() + "/" + oid("x", 2).String()}}})
		if err != nil && strings.Contains(err.Error(), "unknown kind") {
			t.Errorf("package gatefeed does not know kind %s", kind)
		}
		return true
	})
	if count < 15 {
		t.Errorf("%d kinds found", count)
	}
}
