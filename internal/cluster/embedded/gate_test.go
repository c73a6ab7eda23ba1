package embedded

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	who "github.com/keyreeve/keyreeve/internal/caller"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/kubehook"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/mirror"
	"github.com/keyreeve/keyreeve/internal/pki"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/session"
	"github.com/keyreeve/keyreeve/internal/world"
)

// daveToken is a token that is as good as one of the token service's; it is in no log.
const daveToken = "a-secret-that-stands-for-dave"

// gate is the real gate over a small world: dave reads the cluster by an Azure role that his group has.
type gate struct {
	*kubehook.Handler
	t          testing.TB
	ca         *pki.Authority
	server     *httptest.Server
	id         ident.ClusterID
	assignment rbac.Assignment
}

func derived[T ~[16]byte](name string) T { return ident.Derive[T]("gate", name) }

// Check knows one token.
func (g *gate) CheckFor(raw string, _ []string) (who.Caller, error) {
	if raw != daveToken {
		return who.Caller{}, fault.New(fault.Unauthenticated, "", "no good")
	}
	return who.Caller{
		Object: derived[ident.ObjectID]("dave"), Tenant: derived[ident.TenantID]("tenant"), Audience: directory.AKSServer().String(),
		Session: derived[ident.SessionID]("session"), IssuedAt: time.Now().Add(-time.Minute), TokenID: "t1",
	}, nil
}

// View says that the cluster's own rules are known, and that there are none.
func (g *gate) View(ident.ClusterID) (*rbac.ClusterRBAC, mirror.Status) {
	return rbac.NewClusterRBAC(), mirror.Status{Configured: true, Synced: true}
}

// newGate makes the gate of a cluster, with its webhooks on loopback.
func newGate(t testing.TB, id ident.ClusterID) *gate {
	t.Helper()
	w, err := world.New()
	if err != nil {
		t.Fatal(err)
	}
	ca, err := pki.NewAuthority("hooks", time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{t: t, ca: ca, id: id}
	g.Handler = &kubehook.Handler{World: w, Tokens: g, Mirror: g, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	tenant, dave, devs, on := derived[ident.TenantID]("tenant"), derived[ident.ObjectID]("dave"), derived[ident.ObjectID]("devs"), true
	c := managedcluster.Cluster{
		ID: id, Tenant: tenant, Subscription: derived[ident.SubscriptionID]("sub"), Group: "rg", Name: "c",
		AAD: &managedcluster.AAD{Managed: true, Tenant: tenant, EnableAzureRBAC: &on},
	}
	change := feed.Change{Revision: 7}
	put := func(k feed.Kind, key string, v any) {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		change.Events = append(change.Events, feed.Event{Kind: k, Op: feed.Put, Key: key, Value: raw})
	}
	put(feed.Tenant, tenant.String(), directory.Tenant{ID: tenant, Domains: []string{"contoso.com"}})
	put(feed.User, dave.String(), directory.User{ID: dave, Tenant: tenant, UserPrincipalName: "dave@contoso.com", AccountEnabled: true})
	put(feed.Group, devs.String(), directory.Group{ID: devs, Tenant: tenant, DisplayName: "The devs", SecurityEnabled: true})
	put(feed.Member, devs.String()+"/"+dave.String(), nil)
	put(feed.Cluster, id.String(), c)
	put(feed.Session, derived[ident.SessionID]("session").String(), session.Session{
		ID: derived[ident.SessionID]("session"), User: dave, CreatedAt: time.Now().Add(-time.Minute), ExpiresAt: time.Now().Add(time.Hour),
	})
	g.assignment = rbac.Assignment{ID: derived[ident.RoleAssignmentID]("reads"), Scope: c.ResourceID(), PrincipalID: devs, Tenant: tenant}
	for _, d := range w.RoleDefinitions(tenant) {
		if d.Name == "Azure Kubernetes Service RBAC Reader" {
			g.assignment.RoleDefinitionID = d.ID
		}
	}
	put(feed.RoleAssignment, g.assignment.ID.String(), g.assignment)
	if err := w.Apply(change); err != nil {
		t.Fatal(err)
	}
	g.serve()
	return g
}

// serve mounts the webhooks, and one that reads a review and allows whatever it asks.
func (g *gate) serve() {
	pair, err := g.ca.Issue(pki.Template{CommonName: "hook", Use: pki.Server, Hosts: []string{"127.0.0.1"}, Now: time.Now(), Life: time.Hour})
	if err != nil {
		g.t.Fatal(err)
	}
	cert, err := tls.X509KeyPair([]byte(pair.Cert), []byte(pair.Key))
	if err != nil {
		g.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(g.ca.CertPEM()))
	mux := http.NewServeMux()
	g.Mount(mux)
	mux.HandleFunc("POST /constant", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"kind":"SubjectAccessReview","apiVersion":"authorization.k8s.io/v1","status":{"allowed":true}}`)
	})
	g.server = httptest.NewUnstartedServer(mux)
	g.server.EnableHTTP2 = true
	g.server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: pool, ClientAuth: tls.VerifyClientCertIfGiven, MinVersion: tls.VersionTLS12}
	g.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	g.server.StartTLS()
	g.t.Cleanup(g.server.Close)
}

// hooks are the gate for a supervisor.
func (g *gate) hooks() Hooks {
	return Hooks{
		TokenReviewURL: g.server.URL + "/clusters/{cluster}/tokenreview", AuthorizationURL: g.server.URL + "/clusters/{cluster}/subjectaccessreview",
		CA: g.ca.CertPEM(), Authority: g.ca, Line: g.ServeLine,
	}
}

// revoke takes dave's role away.
func (g *gate) revoke() {
	g.t.Helper()
	rev, _, _ := g.World.Status()
	err := g.World.Apply(feed.Change{Revision: rev + 1, Events: []feed.Event{{Kind: feed.RoleAssignment, Op: feed.Delete, Key: g.assignment.ID.String()}}})
	if err != nil {
		g.t.Fatal(err)
	}
}
