package reviews

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/kubehook"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/mirror"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/world"
)

// Snapshot is the corpus as a world takes it.
func (c *Corpus) Snapshot() (feed.Change, error) {
	out := feed.Change{Revision: 1}
	var failed error
	put := func(kind feed.Kind, key string, v any) {
		e := feed.Event{Kind: kind, Op: feed.Put, Key: key}
		if v != nil {
			raw, err := json.Marshal(v)
			if err != nil {
				failed = err
			}
			e.Value = raw
		}
		out.Events = append(out.Events, e)
	}
	tenant, other := ident.MustParse[ident.TenantID](c.Tenant), ident.MustParse[ident.TenantID](c.OtherTenant)
	sub := ident.MustParse[ident.SubscriptionID](c.Subscription)
	put(feed.Tenant, c.Tenant, directory.Tenant{ID: tenant, DisplayName: "Contoso", Domains: []string{domain}})
	put(feed.Tenant, c.OtherTenant, directory.Tenant{ID: other, DisplayName: "Fabrikam", Domains: []string{"fabrikam.example"}})
	put(feed.Subscription, c.Subscription, resource.Subscription{ID: sub, Tenant: tenant, DisplayName: "s", State: "Enabled", ManagementGroup: c.Management})
	put(feed.ManagementGroup, c.Tenant+"/"+c.Above, resource.ManagementGroup{Tenant: tenant, Name: c.Above})
	put(feed.ManagementGroup, c.Tenant+"/"+c.Management, resource.ManagementGroup{Tenant: tenant, Name: c.Management, Parent: c.Above})
	for _, p := range c.People {
		home, id := tenant, ident.MustParse[ident.ObjectID](p.ID)
		if p.Foreign {
			home = other
		}
		if p.App {
			put(feed.ServicePrincipal, p.ID, directory.ServicePrincipal{
				ID: id, Tenant: home, AppID: ident.Derive[ident.ClientID]("reviews", p.ID), DisplayName: p.ID, Type: directory.TypeApplication, AccountEnabled: !p.Disabled,
			})
			continue
		}
		put(feed.User, p.ID, directory.User{ID: id, Tenant: home, UserPrincipalName: p.Name, DisplayName: p.Name, AccountEnabled: !p.Disabled})
	}
	for _, g := range c.Groups {
		put(feed.Group, g.ID, directory.Group{ID: ident.MustParse[ident.ObjectID](g.ID), Tenant: tenant, DisplayName: g.ID, SecurityEnabled: true})
	}
	for _, g := range c.Groups {
		for _, m := range g.Members {
			put(feed.Member, g.ID+"/"+m, nil)
		}
	}
	groups := map[string]bool{}
	for _, g := range c.Groups {
		groups[g.ID] = true
	}
	for _, a := range c.Assignments {
		kind := rbac.PrincipalUser
		if groups[a.Principal] {
			kind = rbac.PrincipalGroup
		}
		put(feed.RoleAssignment, a.ID, rbac.Assignment{
			ID: ident.MustParse[ident.RoleAssignmentID](a.ID), Scope: a.Scope, RoleDefinitionID: ident.MustParse[ident.RoleDefinitionID](a.Role),
			RoleDefinitionSubscription: sub, PrincipalID: ident.MustParse[ident.ObjectID](a.Principal), PrincipalType: kind, Tenant: tenant,
		})
	}
	for _, k := range c.Clusters {
		aad := &managedcluster.AAD{Managed: true, Tenant: tenant}
		for _, g := range k.AdminGroups {
			aad.AdminGroups = append(aad.AdminGroups, ident.MustParse[ident.ObjectID](g))
		}
		if k.AzureRBAC {
			on := true
			aad.EnableAzureRBAC = &on
		}
		put(feed.Cluster, k.ID, managedcluster.Cluster{
			ID: ident.MustParse[ident.ClusterID](k.ID), Subscription: sub, Tenant: tenant, Group: "rg", Name: k.Name, AAD: aad, Body: []byte(`{}`),
		})
	}
	return out, failed
}

// Objects returns the roles and bindings of a cluster, for kubectl apply.
func (k *Cluster) Objects() []any {
	var out []any
	for _, o := range k.ClusterRoles {
		o.APIVersion, o.Kind = rbacv1.SchemeGroupVersion.String(), "ClusterRole"
		out = append(out, o)
	}
	for _, o := range k.Roles {
		o.APIVersion, o.Kind = rbacv1.SchemeGroupVersion.String(), "Role"
		out = append(out, o)
	}
	for _, o := range k.ClusterRoleBindings {
		o.APIVersion, o.Kind = rbacv1.SchemeGroupVersion.String(), "ClusterRoleBinding"
		out = append(out, o)
	}
	for _, o := range k.RoleBindings {
		o.APIVersion, o.Kind = rbacv1.SchemeGroupVersion.String(), "RoleBinding"
		out = append(out, o)
	}
	return out
}

// mirrored shows the gate the clusters' own roles.
type mirrored map[ident.ClusterID]*rbac.ClusterRBAC

func (m mirrored) View(id ident.ClusterID) (*rbac.ClusterRBAC, mirror.Status) {
	set, ok := m[id]
	return set, mirror.Status{Configured: ok, Synced: ok}
}

// set makes the gate's form of a cluster's roles.
func (k *Cluster) set() *rbac.ClusterRBAC {
	rules := func(in []rbacv1.PolicyRule) []rbac.PolicyRule {
		out := make([]rbac.PolicyRule, len(in))
		for i, r := range in {
			out[i] = rbac.PolicyRule{Verbs: r.Verbs, APIGroups: r.APIGroups, Resources: r.Resources, ResourceNames: r.ResourceNames, NonResourceURLs: r.NonResourceURLs}
		}
		return out
	}
	binding := func(namespace, name string, to rbacv1.RoleRef, subjects []rbacv1.Subject) *rbac.Binding {
		b := &rbac.Binding{Namespace: namespace, Name: name, RoleRef: rbac.RoleRef{Kind: to.Kind, Name: to.Name}}
		for _, s := range subjects {
			b.Subjects = append(b.Subjects, rbac.Subject{Kind: s.Kind, Namespace: s.Namespace, Name: s.Name})
		}
		return b
	}
	e := rbac.NewClusterRBAC().Edit()
	for _, r := range k.ClusterRoles {
		var to rbac.Aggregate
		if r.Labels["rbac.authorization.k8s.io/aggregate-to-view"] == "true" {
			to |= rbac.AggregateView
		}
		if r.Labels["rbac.authorization.k8s.io/aggregate-to-edit"] == "true" {
			to |= rbac.AggregateEdit
		}
		e.PutRole(&rbac.KubeRole{Name: r.Name, Rules: rules(r.Rules), AggregateTo: to})
	}
	for _, r := range k.Roles {
		e.PutRole(&rbac.KubeRole{Namespace: r.Namespace, Name: r.Name, Rules: rules(r.Rules)})
	}
	for _, b := range k.ClusterRoleBindings {
		e.PutBinding(binding("", b.Name, b.RoleRef, b.Subjects))
	}
	for _, b := range k.RoleBindings {
		e.PutBinding(binding(b.Namespace, b.Name, b.RoleRef, b.Subjects))
	}
	return e.Done()
}

// NewLocal makes a webhook that is the gate, in this process, over the corpus.
func NewLocal(c *Corpus, now func() time.Time, log *slog.Logger) (Webhook, error) {
	snap, err := c.Snapshot()
	if err != nil {
		return Webhook{}, fmt.Errorf("reviews: %w", err)
	}
	snap.At = now()
	w, err := world.New()
	if err != nil {
		return Webhook{}, fmt.Errorf("reviews: %w", err)
	}
	if err := w.Apply(snap); err != nil {
		return Webhook{}, fmt.Errorf("reviews: %w", err)
	}
	sets := mirrored{}
	for i := range c.Clusters {
		sets[ident.MustParse[ident.ClusterID](c.Clusters[i].ID)] = c.Clusters[i].set()
	}
	mux := http.NewServeMux()
	(&kubehook.Handler{World: w, Mirror: sets, Now: now, Log: log}).Mount(mux)
	return Webhook{URL: "https://gate/clusters/{cluster}/subjectaccessreview", Client: &http.Client{Transport: inProcess{mux}}}, nil
}

// inProcess carries requests to a handler, as if over a verified connection of the cluster that the address names.
type inProcess struct{ handler http.Handler }

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	_, rest, _ := strings.Cut(r.URL.Path, "/clusters/")
	id, _, _ := strings.Cut(rest, "/")
	cert := &x509.Certificate{Subject: pkix.Name{CommonName: "cluster:" + id}}
	served := r.Clone(r.Context())
	served.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}, VerifiedChains: [][]*x509.Certificate{{cert}}}
	rec := httptest.NewRecorder()
	p.handler.ServeHTTP(rec, served)
	return rec.Result(), nil
}
