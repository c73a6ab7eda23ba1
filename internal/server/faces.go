package server

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"time"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/arm/authorization"
	"github.com/keyreeve/keyreeve/internal/arm/checkaccess"
	"github.com/keyreeve/keyreeve/internal/arm/containerservice"
	"github.com/keyreeve/keyreeve/internal/arm/deployments"
	"github.com/keyreeve/keyreeve/internal/arm/insights"
	"github.com/keyreeve/keyreeve/internal/arm/locks"
	"github.com/keyreeve/keyreeve/internal/arm/managedidentity"
	"github.com/keyreeve/keyreeve/internal/arm/managementgroups"
	"github.com/keyreeve/keyreeve/internal/arm/resources"
	"github.com/keyreeve/keyreeve/internal/caller"
	"github.com/keyreeve/keyreeve/internal/cluster"
	"github.com/keyreeve/keyreeve/internal/cluster/embedded"
	"github.com/keyreeve/keyreeve/internal/consent"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/gatehouse"
	"github.com/keyreeve/keyreeve/internal/graph"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/issuer"
	"github.com/keyreeve/keyreeve/internal/kubehook"
	"github.com/keyreeve/keyreeve/internal/logon"
	"github.com/keyreeve/keyreeve/internal/metadata"
	"github.com/keyreeve/keyreeve/internal/mirror"
	"github.com/keyreeve/keyreeve/internal/oauth"
	"github.com/keyreeve/keyreeve/internal/oauth/authorize"
	"github.com/keyreeve/keyreeve/internal/oauth/clusterissuer"
	"github.com/keyreeve/keyreeve/internal/oauth/discovery"
	"github.com/keyreeve/keyreeve/internal/oauth/grant"
	"github.com/keyreeve/keyreeve/internal/oauth/manage"
	"github.com/keyreeve/keyreeve/internal/onboard"
	"github.com/keyreeve/keyreeve/internal/page"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/signin"
	"github.com/keyreeve/keyreeve/internal/token"
)

// passwordChecks is how many password hashes are computed at a time: each takes some 20 MB for its duration.
const passwordChecks = 2

// feedLag is how long what another process wrote may take to be known here.
const feedLag = 10 * time.Second

// checker makes what tells who a token for a resource stands for.
func (s *Server) checker(audiences ...string) (caller.Checker, error) {
	v, err := token.NewVerifier(token.Config{Issuer: s.cfg.endpoints().Login, Audiences: audiences, Keys: s.world, Now: s.cfg.Now})
	if err != nil {
		return caller.Checker{}, err
	}
	c := caller.Checker{Verifier: v, World: s.world, Now: s.cfg.Now}
	if s.db.Shared() {
		c.Lag = feedLag
	}
	return c, nil
}

// loginFace builds the token service and the sign-in pages.
func (s *Server) loginFace(catalog *directory.Catalog, hasher *proof.Hasher) (http.Handler, error) {
	e, now, log := s.cfg.endpoints(), s.cfg.Now, s.log
	mux := http.NewServeMux()
	logons := &logon.Service{DB: s.db, World: s.world, Hasher: hasher, Now: now}
	discovery.Handler{World: s.world, BaseURL: e.Login, GraphURL: e.Graph, Now: now, Log: log}.Mount(mux)
	clusters := clusterissuer.Handler{World: s.world, BaseURL: e.Login, Now: now, Log: log}
	clusters.Mount(mux)
	grants := grant.Handler{
		DB: s.db, World: s.world, Ring: s.ring, Logon: logons, Catalog: catalog, BaseURL: e.Login, GraphURL: e.Graph,
		Now: now, Log: log, AccessLife: s.cfg.AccessTokenLife, ES256: s.cfg.ES256, Issuers: issuer.Chain{clusters, &issuer.Remote{Now: now, Networks: s.cfg.issuerNetworks()}},
	}.Prepared()
	grants.Mount(mux)
	(&metadata.Handler{DB: s.db, Now: now, Log: log, Issue: func(ctx context.Context, q metadata.Request) (oauth.TokenV1, error) {
		return grants.IssueIdentity(ctx, grant.ForIdentity(q))
	}}).Mount(mux)
	apps := consent.Directory{World: s.world, Catalog: catalog}
	brand, err := readBrand(s.cfg.Data)
	if err != nil {
		return nil, err
	}
	pages, err := page.NewPrinter(brand, e.Login, now)
	if err != nil {
		return nil, err
	}
	authorize.Handler{DB: s.db, Apps: apps, Sealer: s.sealer, Pages: pages, BaseURL: e.Login, Now: now, Log: log}.Mount(mux)
	manage.Handler{
		DB: s.db, Apps: apps, Sealer: s.sealer, Pages: pages, BaseURL: e.Login, Now: now, Log: log, Authenticate: grants.Authenticate,
	}.Mount(mux)
	signin.Handler{
		DB: s.db, Logon: logons, Apps: apps, Sealer: s.sealer, Pages: pages, BaseURL: e.Login, Now: now, Log: log,
	}.Mount(mux)
	trust, err := s.clientTrust()
	if err != nil {
		return nil, err
	}
	outer := http.NewServeMux()
	onboard.Handler{
		Login: e.Login, ARM: e.ARM, Graph: e.Graph, CA: trust.all(), Clients: s.cfg.Clients, Now: now, Log: log,
	}.Mount(outer)
	outer.Handle("/", mux)
	return discovery.FoldPaths(outer), nil
}

// graphFace builds the Graph API.
func (s *Server) graphFace(catalog *directory.Catalog, hasher *proof.Hasher) (http.Handler, error) {
	auth, err := s.checker(catalog.Audiences(directory.MicrosoftGraph())...)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	h := &graph.Handler{
		DB: s.db, World: s.world, Auth: auth, Catalog: catalog, BaseURL: s.cfg.endpoints().Graph, LoginURL: s.cfg.endpoints().Login, Now: s.cfg.Now, Log: s.log,
		Logon:        &logon.Service{DB: s.db, World: s.world, Hasher: hasher, Now: s.cfg.Now},
		HashPassword: func(password string) (string, error) { return hasher.Hash(context.Background(), password) },
	}
	h.Mount(mux)
	return mux, nil
}

// hook builds what answers the API servers of the embedded clusters.
func (s *Server) hook(m *mirror.Set) (*kubehook.Handler, error) {
	tokens, err := s.checker(directory.AKSServer().String())
	if err != nil {
		return nil, err
	}
	h := &kubehook.Handler{World: s.world, Tokens: tokens, Mirror: m, Now: s.cfg.Now, Log: s.log}
	if s.db.Shared() {
		h.Heard, h.MaxAge = s.db.Checked, s.cfg.Serve.Staleness()
	}
	return h, nil
}

// gateFace serves the webhooks of the embedded clusters, and gates of attached clusters until stop.
func (s *Server) gateFace(hook *kubehook.Handler, stop <-chan struct{}) http.Handler {
	mux := http.NewServeMux()
	hook.Mount(mux)
	(&gatehouse.Handler{
		DB: s.db, World: s.world, Authority: s.hooks, Issuer: s.cfg.endpoints().Login, Roster: &s.roster,
		Hub: &gatehouse.Hub{DB: s.db, Log: s.log.With("room", "gatehouse")}, Stop: stop, Now: s.cfg.Now, Log: s.log,
	}).Mount(mux)
	return mux
}

// rosterOf shows ARM what gates said of themselves.
type rosterOf struct{ *gatehouse.Roster }

func (r rosterOf) Of(id ident.ClusterID) []containerservice.GateStatus {
	entries := r.Roster.Of(id)
	out := make([]containerservice.GateStatus, len(entries))
	for i, e := range entries {
		out[i] = containerservice.GateStatus{
			Fingerprint: e.Fingerprint, Name: e.Name, Version: e.Version, Connected: e.Connected, Since: e.Since,
			Revision: int64(e.Revision), ReportedOn: e.ReportedAt,
		}
	}
	return out
}

// clusters builds the driver of embedded clusters.
func (s *Server) clusters(m *mirror.Set, gate *kubehook.Handler) *embedded.Supervisor {
	hook := func(kind string) string { return s.cfg.gateURL() + "/clusters/{cluster}/" + kind }
	driver := &embedded.Supervisor{
		Binary: s.cfg.Localkube, Dir: s.cfg.Data.Clusters(), Host: s.cfg.host, Ports: s.cfg.ClusterPorts,
		OrphanTimeout: s.cfg.OrphanTimeout, Detach: s.cfg.Detach, Now: s.cfg.Now, Log: s.log.With("room", "embedded"),
		Hooks: embedded.Hooks{
			TokenReviewURL: hook("tokenreview"), AuthorizationURL: hook("subjectaccessreview"),
			CA: s.tls.CertPEM(), Authority: s.hooks,
		},
		Opened: func(ctx context.Context, id ident.ClusterID, a cluster.Access) error {
			return m.Ensure(ctx, id, mirror.Config{Host: a.Host, CA: a.CA, Cert: a.Cert, Key: a.Key})
		},
		Closed: m.Drop,
	}
	if !s.cfg.Webhooks {
		driver.Hooks.Line = gate.ServeLine
	}
	return driver
}

// ownRules reads the clusters' own roles and bindings: of embedded ones from their copy, of attached ones as their gates
// tell them; nil while they are not known.
func (s *Server) ownRules(m *mirror.Set) func(ident.ClusterID) *rbac.ClusterRBAC {
	return func(id ident.ClusterID) *rbac.ClusterRBAC {
		if own, status := m.View(id); status.Known() {
			return own
		}
		return s.roster.Own(id, s.cfg.Now())
	}
}

// armFace builds the Resource Manager API and what does its long-running operations.
func (s *Server) armFace(catalog *directory.Catalog, driver *embedded.Supervisor, m *mirror.Set) (*arm.Face, *arm.Runner, *containerservice.Handler, error) {
	auth, err := s.checker(catalog.Audiences(directory.ResourceManager())...)
	if err != nil {
		return nil, nil, nil, err
	}
	decisions, err := s.checker(catalog.Audiences(directory.DecisionPoint())...)
	if err != nil {
		return nil, nil, nil, err
	}
	e := s.cfg.endpoints()
	face := &arm.Face{DB: s.db, World: s.world, Auth: auth, BaseURL: e.ARM, LoginURL: e.Login, GraphURL: e.Graph, PortalURL: e.Login, Now: s.cfg.Now, Log: s.log}
	aks := &containerservice.Handler{DB: s.db, World: s.world, Driver: driver, Sealer: s.sealer, LoginURL: e.Login, Now: s.cfg.Now, Log: s.log}
	trust, err := s.clientTrust()
	if err != nil {
		return nil, nil, nil, err
	}
	aks.LoginCA = trust.login
	if !s.cfg.embedded() {
		aks.Driver = noClusters{}
	}
	aks.GateURL, aks.GateCA, aks.Gates = s.cfg.gateURL(), s.tls.CertPEM(), rosterOf{&s.roster}
	identities := &managedidentity.Handler{DB: s.db, EndpointURL: e.Login + metadata.Path, Now: s.cfg.Now}
	templates := &deployments.Handler{DB: s.db, World: s.world, Sealer: s.sealer, LoginURL: e.Login, Now: s.cfg.Now, Log: s.log}
	contents := []arm.Contents{templates, aks, identities} // clusters go before the identities that they use
	templates.Contents, aks.Contents = contents, contents
	groups := &resources.Handler{DB: s.db, World: s.world, Contents: contents}
	roles := &authorization.Handler{DB: s.db, World: s.world, Contents: contents, Own: s.ownRules(m)}
	runner := &arm.Runner{DB: s.db, Now: s.cfg.Now, Log: s.log}
	aks.Mount(face, runner)
	groups.Mount(face)
	identities.Mount(face)
	roles.Mount(face)
	(&locks.Handler{DB: s.db, Contents: contents}).Mount(face)
	(&insights.Handler{DB: s.db}).Mount(face)
	templates.Mount(face, runner)
	(&managementgroups.Handler{DB: s.db, World: s.world}).Mount(face)
	(&checkaccess.Handler{World: s.world, Auth: decisions, LoginURL: e.Login, Now: s.cfg.Now}).Mount(face)
	groups.RegisterWorkers(runner)
	return face, runner, aks, nil
}

// hookClients is the pool of authorities whose clients may ask the gate.
func (s *Server) hookClients() (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(s.hooks.CertPEM())) {
		return nil, fmt.Errorf("server: the authority of the gate's clients cannot be read")
	}
	return pool, nil
}
