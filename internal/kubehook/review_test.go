package kubehook

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	authzv1 "k8s.io/api/authorization/v1"

	"github.com/keyreeve/keyreeve/internal/ident"
)

// ask writes what is asked for in short: "verb [group/]resource[/sub] [name] @namespace" or "verb /path".
func ask(text string) authzv1.SubjectAccessReviewSpec {
	var s authzv1.SubjectAccessReviewSpec
	rest, namespace, _ := strings.Cut(text, " @")
	f := strings.SplitN(rest, " ", 3)
	if strings.HasPrefix(f[1], "/") {
		s.NonResourceAttributes = &authzv1.NonResourceAttributes{Verb: f[0], Path: f[1]}
		return s
	}
	a := &authzv1.ResourceAttributes{Verb: f[0], Namespace: namespace, Version: "v1"}
	group, resource, ok := strings.Cut(f[1], ":")
	if !ok {
		group, resource = "", f[1]
	}
	a.Group = group
	a.Resource, a.Subresource, _ = strings.Cut(resource, "/")
	if len(f) == 3 {
		a.Name = f[2]
	}
	s.ResourceAttributes = a
	return s
}

type extra = map[string]authzv1.ExtraValue

// token is what a TokenReview said of a member of the cast, and so what the API server shows in reviews.
func token(name, sessionName string, change ...func(*authzv1.SubjectAccessReviewSpec)) func(*authzv1.SubjectAccessReviewSpec) {
	return func(s *authzv1.SubjectAccessReviewSpec) {
		s.User, s.UID = userName(name), oid(name).String()
		s.Groups = []string{"system:authenticated"}
		s.Extra = extra{"oid": {s.UID}, "keyreeve.io/token-id": {"t"}, "keyreeve.io/token-issued-at": {clock().Add(-30 * time.Second).Format(time.RFC3339)}}
		if sessionName != "" {
			s.Extra["keyreeve.io/session"] = authzv1.ExtraValue{sessionID(sessionName).String()}
		}
		for _, c := range change {
			c(s)
		}
	}
}

func userName(name string) string {
	for _, p := range cast() {
		if p.name == name && !p.app {
			return upn(name, p.tenant)
		}
	}
	return oid(name).String()
}

// plain is a user name and nothing else, as impersonation makes it.
func plain(user string, groups ...string) func(*authzv1.SubjectAccessReviewSpec) {
	return func(s *authzv1.SubjectAccessReviewSpec) {
		s.User, s.Groups = user, append(groups, "system:authenticated")
	}
}

// cert is a client certificate with any name.
func cert(user string, ids ...string) func(*authzv1.SubjectAccessReviewSpec) {
	return func(s *authzv1.SubjectAccessReviewSpec) {
		s.User, s.Groups, s.Extra = user, []string{"keyreeve:cluster-admins", "system:authenticated"}, extra{credentialID: ids}
	}
}

// adminName is the name in the certificates of the cast.
func adminName() string { return "clusterAdmin-" + oid("alice").String() }

func x509ID(name string) string { return "X509SHA256=" + fingerprint(name) }

func setExtra(key string, v ...string) func(*authzv1.SubjectAccessReviewSpec) {
	return func(s *authzv1.SubjectAccessReviewSpec) { s.Extra = maps.Clone(s.Extra); s.Extra[key] = v }
}

type row struct {
	name    string
	who     func(*authzv1.SubjectAccessReviewSpec)
	what    string
	cluster string // one, if empty
	mirror  string // "unknown" or known
	want    verdict
	reason  string // part of it
}

// rows are the published decisions.
func rows() []row {
	const pods = "list pods @dev"
	alice, dave := token("alice", "alice"), token("dave", "dave")
	devs := oid("devs").String()
	long := strings.Repeat("x", 10_000)
	return []row{
		// Admin groups
		{name: "admin", who: alice, what: "delete secrets x @kube-system", want: verdictAllow, reason: `admin group "` + oid("admins").String() + `" ("The admins"); revision 42`},
		{name: "admin by nesting", who: token("erin", "erin"), what: pods, want: verdictAllow, reason: `("The outer") through "` + oid("middle").String() + `" ("The middle") through "` + oid("inner").String() + `" ("The inner")`},
		{name: "admin, path", who: alice, what: "get /metrics", want: verdictAllow},
		{name: "admin, mirror unknown", who: alice, what: pods, mirror: "unknown", want: verdictAllow},
		{name: "admin, unknown verb", who: alice, what: "frobnicate widgets", want: verdictAllow},
		{name: "admin impersonates masters", who: alice, what: "impersonate groups system:masters", want: verdictAllow},
		{name: "admin impersonates a user", who: alice, what: "impersonate users bob", want: verdictAllow},
		{name: "admin of another cluster's tenant", who: alice, what: pods, cluster: "theirs", want: verdictDeny, reason: "not in the cluster's directory"},
		{name: "cluster takes the subscription's tenant", who: alice, what: pods, cluster: "inherits", want: verdictAllow},
		{name: "admin with local accounts disabled", who: alice, what: pods, cluster: "locked", want: verdictAllow},
		{name: "admin named without token", who: plain("alice@contoso.com"), what: pods, want: verdictAllow},
		{name: "admin named in other case", who: plain("ALICE@Contoso.com"), what: pods, want: verdictAllow},
		{name: "admin named by object id", who: plain(oid("alice").String()), what: pods, want: verdictAllow},

		// Kubernetes RBAC with live groups
		{name: "by group", who: dave, what: pods, want: verdictAllow, reason: `RoleBinding "devs/dev" of ClusterRole "view" to Group "` + devs + `" ("The devs"); revision 42`},
		{name: "by group, subresource", who: dave, what: "get pods/log web @dev", want: verdictAllow},
		{name: "by group, other subresource", who: dave, what: "create pods/exec web @dev", want: verdictDeny, reason: "no access of this identity covers it"},
		{name: "by group, other API group", who: dave, what: "list apps:deployments @dev", want: verdictAllow},
		{name: "by group, other namespace", who: dave, what: "list pods @prod", want: verdictDeny},
		{name: "by group, all namespaces", who: dave, what: "list pods", want: verdictDeny},
		{name: "by group, other verb", who: dave, what: "delete pods web @dev", want: verdictDeny},
		{name: "by group, named without token", who: plain("dave@contoso.com"), what: pods, want: verdictAllow},
		{name: "by group, mirror unknown", who: dave, what: pods, mirror: "unknown", want: verdictUnknown},
		{name: "stranger, mirror unknown", who: token("nobody", "nobody"), what: pods, mirror: "unknown", want: verdictUnknown},
		{name: "service principal by group", who: token("robot", ""), what: pods, want: verdictAllow},
		{name: "service principal elsewhere", who: token("robot", ""), what: "list pods @prod", want: verdictDeny},
		{name: "service principal by name alone", who: plain(oid("robot").String()), what: pods, want: verdictAllow},
		{name: "by user name", who: token("frank", "frank"), what: "get pods web @dev", want: verdictAllow, reason: `RoleBinding "frank/dev" of Role "pod-reader" to User "frank@contoso.com"`},
		{name: "by user name, other object", who: token("frank", "frank"), what: "get pods db @dev", want: verdictDeny},
		{name: "by user name, no object", who: token("frank", "frank"), what: "list pods @dev", want: verdictDeny},
		{name: "missing role", who: token("nobody", "nobody"), what: pods, want: verdictDeny},
		{name: "discovery", who: token("nobody", "nobody"), what: "get /version", want: verdictAllow, reason: `to Group "system:authenticated"`},
		{name: "discovery below", who: token("nobody", "nobody"), what: "get /api/v1", want: verdictAllow},
		{name: "discovery without groups shown", who: func(s *authzv1.SubjectAccessReviewSpec) { s.User = "nobody@contoso.com" }, what: "get /version", want: verdictAllow},
		{name: "self review", who: token("nobody", "nobody"), what: "create authorization.k8s.io:selfsubjectaccessreviews", want: verdictAllow},
		{name: "no discovery of metrics", who: token("nobody", "nobody"), what: "get /metrics", want: verdictDeny},
		{name: "cluster-admin by RBAC", who: plain("gina@contoso.com"), what: "delete nodes x", want: verdictAllow},

		// Groups shown are not trusted
		{name: "forged admin group", who: plain("nobody@contoso.com", oid("admins").String()), what: pods, want: verdictDeny},
		{name: "forged RBAC group", who: plain("nobody@contoso.com", devs), what: pods, want: verdictDeny},
		{name: "forged masters", who: plain("nobody@contoso.com", "system:masters"), what: pods, want: verdictDeny},
		{name: "groups many times", who: plain("nobody@contoso.com", strings.Split(strings.Repeat(devs+",", 500)+devs, ",")...), what: pods, want: verdictDeny},

		// Standing
		{name: "disabled", who: token("bob", "bob"), what: pods, want: verdictDeny, reason: "account is disabled"},
		{name: "disabled, mirror unknown", who: token("bob", "bob"), what: pods, mirror: "unknown", want: verdictDeny},
		{name: "disabled, by name, bound in RBAC", who: plain("bob@contoso.com"), what: "list pods @ghosts", want: verdictDeny},
		{name: "disabled service principal", who: token("tin", ""), what: pods, want: verdictDeny, reason: "account is disabled"},
		{name: "session revoked", who: token("alice", "revoked"), what: pods, want: verdictDeny, reason: "sign-in has ended"},
		{name: "session expired", who: token("alice", "expired"), what: pods, want: verdictDeny, reason: "sign-in has ended"},
		{name: "session not known", who: token("alice", "never was"), what: pods, want: verdictDeny, reason: "sign-in has ended"},
		{name: "session of another", who: token("alice", "dave"), what: pods, want: verdictDeny, reason: "sign-in has ended"},
		{name: "session from before the revocation", who: token("carol", "carol before"), what: pods, want: verdictDeny, reason: "sign-in has ended"},
		{name: "session from after the revocation", who: token("carol", "carol after"), what: pods, want: verdictAllow},
		{name: "token from before the revocation", who: token("rusty", "", setExtra("keyreeve.io/token-issued-at", clock().Add(-61*time.Second).Format(time.RFC3339))), what: pods, want: verdictDeny, reason: "sign-in has ended"},
		{name: "token of the second of the revocation", who: token("rusty", "", setExtra("keyreeve.io/token-issued-at", clock().Add(-time.Minute).Format(time.RFC3339))), what: pods, want: verdictAllow},

		// Names that do not belong together
		{name: "name of another", who: token("dave", "dave", plain("alice@contoso.com")), what: pods, want: verdictDeny, reason: "do not belong together"},
		{name: "object id of another", who: token("dave", "dave", setExtra("oid", oid("alice").String())), what: pods, want: verdictDeny, reason: "do not belong together"},
		{name: "uid of another", who: token("dave", "dave", func(s *authzv1.SubjectAccessReviewSpec) { s.UID = oid("alice").String() }), what: pods, want: verdictDeny, reason: "do not belong together"},
		{name: "uid in upper case", who: token("dave", "dave", func(s *authzv1.SubjectAccessReviewSpec) { s.UID = strings.ToUpper(s.UID) }), what: pods, want: verdictAllow},
		{name: "two object ids", who: token("dave", "dave", setExtra("oid", oid("dave").String(), oid("alice").String())), what: pods, want: verdictDeny},
		{name: "object id under two keys", who: token("dave", "dave", setExtra("OID", oid("alice").String())), what: pods, want: verdictDeny},
		{name: "object id that is none", who: token("dave", "dave", setExtra("oid", "dave")), what: pods, want: verdictDeny},
		{name: "object id of nobody", who: token("dave", "dave", setExtra("oid", oid("who").String())), what: pods, want: verdictDeny, reason: "not in the cluster's directory"},
		{name: "object id of a group", who: token("dave", "dave", setExtra("oid", oid("admins").String())), what: pods, want: verdictDeny},
		{name: "object id and a name that is not ours", who: token("dave", "dave", plain("someone")), what: pods, want: verdictDeny},
		{name: "empty name with object id", who: token("dave", "dave", plain("")), what: pods, want: verdictDeny},
		{name: "malformed session", who: token("dave", "dave", setExtra("keyreeve.io/session", "x")), what: pods, want: verdictDeny, reason: "malformed"},
		{name: "two sessions", who: token("dave", "dave", setExtra("keyreeve.io/session", sessionID("dave").String(), sessionID("alice").String())), what: pods, want: verdictDeny},
		{name: "malformed time", who: token("dave", "dave", setExtra("keyreeve.io/token-issued-at", "yesterday")), what: pods, want: verdictDeny, reason: "malformed"},

		// Another tenant's
		{name: "other tenant's user", who: token("eve", "eve"), what: pods, want: verdictDeny, reason: "not in the cluster's directory"},
		{name: "other tenant's user by name", who: plain("eve@fabrikam.com"), what: pods, want: verdictNoOpinion},
		{name: "other tenant's user by object id", who: plain(oid("eve").String()), what: pods, want: verdictDeny},
		{name: "other tenant's user in their cluster", who: token("eve", "eve"), what: pods, cluster: "theirs", want: verdictAllow},
		{name: "name of our domain that nobody has", who: plain("ghost@contoso.com"), what: "list pods @ghosts", want: verdictDeny},

		// Certificates
		{name: "certificate", who: cert(adminName(), x509ID("good")), what: "delete nodes x", want: verdictAllow, reason: "clusterAdmin certificate " + fingerprint("good") + " issued to alice@contoso.com"},
		{name: "certificate, mirror unknown", who: cert(adminName(), x509ID("good")), what: pods, mirror: "unknown", want: verdictAllow},
		{name: "certificate with a directory name", who: cert("nobody@contoso.com", x509ID("good")), what: pods, want: verdictDeny},
		{name: "certificate without Entra", who: cert("clusterUser-"+oid("alice").String(), x509ID("plain")), what: pods, cluster: "plain", want: verdictAllow},
		{name: "certificate not issued by us", who: cert(adminName(), x509ID("minted")), what: pods, want: verdictDeny, reason: "not issued"},
		{name: "minted certificate with an admin's name", who: cert("alice@contoso.com", x509ID("minted")), what: pods, want: verdictDeny},
		{name: "minted certificate with object id", who: token("alice", "alice", setExtra(credentialID, x509ID("minted"))), what: pods, want: verdictDeny},
		{name: "certificate of an earlier epoch", who: cert(adminName(), x509ID("old")), what: pods, want: verdictDeny, reason: "is from before"},
		{name: "certificate of a later epoch", who: cert(adminName(), x509ID("future")), what: pods, want: verdictDeny},
		{name: "certificate revoked", who: cert(adminName(), x509ID("revoked")), what: pods, want: verdictDeny, reason: "revoked"},
		{name: "certificate expired", who: cert(adminName(), x509ID("expired")), what: pods, want: verdictDeny, reason: "expired"},
		{name: "certificate of another cluster", who: cert(adminName(), x509ID("locked")), what: pods, want: verdictDeny, reason: "not issued"},
		{name: "certificate, local accounts disabled", who: cert(adminName(), x509ID("locked")), what: pods, cluster: "locked", want: verdictDeny, reason: "local accounts are disabled"},
		{name: "fingerprint given to another name", who: cert("joe", x509ID("good")), what: pods, want: verdictDeny, reason: "not the one that it is said to be"},
		{name: "fingerprint without the group", who: func(s *authzv1.SubjectAccessReviewSpec) {
			s.User, s.Groups, s.Extra = adminName(), []string{"system:authenticated"}, extra{credentialID: {x509ID("good")}}
		}, what: pods, want: verdictDeny},
		{name: "two certificates", who: cert(adminName(), x509ID("good"), x509ID("old")), what: pods, want: verdictDeny},
		{name: "certificate in upper case", who: cert(adminName(), "X509SHA256="+strings.ToUpper(fingerprint("good"))), what: pods, want: verdictDeny},
		{name: "certificate in lower case prefix", who: cert(adminName(), "x509sha256="+fingerprint("minted")), what: pods, want: verdictDeny},
		{name: "certificate, empty", who: cert(adminName(), "X509SHA256="), what: pods, want: verdictDeny},
		{name: "certificate under an odd key", who: token("alice", "alice", setExtra("Authentication.Kubernetes.io/Credential-ID", x509ID("minted"))), what: pods, want: verdictDeny},
		{name: "certificate of a system user", who: cert("system:node:a", x509ID("minted")), what: pods, want: verdictNoOpinion},
		{name: "other credential", who: token("dave", "dave", setExtra(credentialID, "JTI=x")), what: pods, want: verdictAllow},

		// Impersonation
		{name: "impersonates a user", who: token("frank", "frank"), what: "impersonate users x", want: verdictAllow},
		{name: "impersonates a group", who: token("frank", "frank"), what: "impersonate groups devs", want: verdictAllow},
		{name: "impersonates masters", who: token("frank", "frank"), what: "impersonate groups system:masters", want: verdictDeny, reason: "for cluster admins"},
		{name: "impersonates masters, mirror unknown", who: token("frank", "frank"), what: "impersonate groups system:masters", mirror: "unknown", want: verdictDeny},
		{name: "RBAC cluster-admin impersonates masters", who: plain("gina@contoso.com"), what: "impersonate groups system:masters", want: verdictDeny},
		{name: "impersonates our admin group", who: token("frank", "frank"), what: "impersonate groups keyreeve:cluster-admins", want: verdictDeny},
		{name: "impersonates a certificate", who: token("frank", "frank"), what: "impersonate authentication.k8s.io:userextras/authentication.kubernetes.io/credential-id " + x509ID("good"), want: verdictDeny},
		{name: "impersonates another extra", who: token("frank", "frank"), what: "impersonate authentication.k8s.io:userextras/scopes x", want: verdictAllow},
		{name: "constrained impersonation", who: plain("gina@contoso.com"), what: "impersonate:user-info users x", want: verdictDeny, reason: "constrained impersonation"},
		{name: "constrained impersonation by an admin", who: alice, what: "impersonate:user-info users x", want: verdictDeny},
		{name: "constrained impersonation, the act", who: alice, what: "impersonate-on:user-info:list pods @dev", want: verdictDeny},
		{name: "constrained impersonation by a certificate", who: cert(adminName(), x509ID("good")), what: "impersonate:user-info users x", want: verdictDeny},

		// Not ours
		{name: "service account", who: plain("system:serviceaccount:dev:bot"), what: pods, want: verdictNoOpinion},
		{name: "anonymous", who: plain("system:anonymous"), what: pods, want: verdictNoOpinion},
		{name: "user of elsewhere", who: plain("root@elsewhere.org"), what: pods, want: verdictNoOpinion},
		{name: "name without domain", who: plain("alice"), what: pods, want: verdictNoOpinion},
		{name: "empty name", who: plain(""), what: pods, want: verdictNoOpinion},
		{name: "object id of nobody as name", who: plain(oid("who").String()), what: pods, want: verdictDeny},
		{name: "not ours, mirror unknown", who: plain("root@elsewhere.org"), what: pods, mirror: "unknown", want: verdictNoOpinion},
		{name: "person in a cluster without Entra", who: plain("alice@contoso.com"), what: pods, cluster: "plain", want: verdictNoOpinion},
		{name: "object id in a cluster without Entra", who: token("alice", "alice"), what: pods, cluster: "plain", want: verdictDeny},

		// Hostile texts
		{name: "namespace with dots", who: dave, what: "list pods @../dev", want: verdictDeny},
		{name: "namespace with slashes", who: dave, what: "list pods @prod/../dev", want: verdictDeny},
		{name: "namespace in upper case", who: dave, what: "list pods @DEV", want: verdictDeny},
		{name: "namespace with a slash after", who: dave, what: "list pods @dev/", want: verdictDeny},
		{name: "long namespace", who: dave, what: "list pods @" + long, want: verdictDeny},
		{name: "long verb", who: dave, what: long + " pods @dev", want: verdictDeny},
		{name: "long resource", who: dave, what: "list " + long + " @dev", want: verdictDeny},
		{name: "long name", who: dave, what: "get pods " + long + " @dev", want: verdictAllow},
		{name: "long user", who: plain(long), what: pods, want: verdictNoOpinion},
		{name: "star verb", who: dave, what: "* pods @dev", want: verdictDeny},
		{name: "star resource", who: dave, what: "list * @dev", want: verdictDeny},
		{name: "path with dots", who: dave, what: "get /api/../metrics", want: verdictDeny}, // "/api/*" covers it for Kubernetes, which serves no such path
		{name: "name with a null", who: plain("alice@contoso.com\x00"), what: pods, want: verdictNoOpinion},
		{name: "name with a space", who: plain(" alice@contoso.com"), what: pods, want: verdictDeny},
	}
}

func (r row) spec() authzv1.SubjectAccessReviewSpec {
	s := ask(r.what)
	r.who(&s)
	return s
}

func (r row) in() string {
	if r.cluster == "" {
		return "one"
	}
	return r.cluster
}

func TestAccessReview(t *testing.T) {
	if n := len(rows()); n < 60 {
		t.Errorf("%d rows", n)
	}
	g := newGate(t)
	for _, r := range rows() {
		t.Run(r.name, func(t *testing.T) {
			g.mirror.known = r.mirror != "unknown"
			code, st := g.review(t, r.in(), r.spec())
			got := verdictUnknown
			switch {
			case code == http.StatusServiceUnavailable:
			case code != http.StatusOK:
				t.Fatalf("status %d", code)
			case st.Allowed && st.Denied:
				t.Fatal("allowed and denied")
			case st.Allowed:
				got = verdictAllow
			case st.Denied:
				got = verdictDeny
			default:
				got = verdictNoOpinion
				if st.Reason != "" {
					t.Errorf("no opinion with a reason: %q", st.Reason)
				}
			}
			if got != r.want {
				t.Fatalf("got %v, want %v (%+v)", got, r.want, st)
			}
			if st != nil && !strings.Contains(st.Reason, r.reason) {
				t.Errorf("reason %q lacks %q", st.Reason, r.reason)
			}
		})
	}
}

// TestDenialsSayNothingOfOthers looks for anything in a denial's text but the fact and a reference.
func TestDenialsSayNothingOfOthers(t *testing.T) {
	g := newGate(t)
	var secrets []string
	for _, p := range cast() {
		secrets = append(secrets, oid(p.name).String(), upn(p.name, p.tenant))
	}
	for _, n := range groupNames() {
		secrets = append(secrets, oid(n).String(), "The "+n)
	}
	for n := range certificates() {
		secrets = append(secrets, fingerprint(n))
	}
	secrets = append(secrets, "cluster-admin", "view", "pod-reader", "fabrikam")
	for _, r := range rows() {
		g.mirror.known = r.mirror != "unknown"
		_, st := g.review(t, r.in(), r.spec())
		if st == nil || !st.Denied {
			continue
		}
		if len(st.Reason) > 200 {
			t.Errorf("%s: the reason has %d characters", r.name, len(st.Reason))
		}
		for _, s := range secrets {
			if strings.Contains(strings.ReplaceAll(st.Reason, "for cluster admins", ""), s) {
				t.Errorf("%s: %q names %q", r.name, st.Reason, s)
			}
		}
		_, ref, ok := strings.Cut(st.Reason, "(reference ")
		if !ok || !ident.IsGUID(strings.TrimSuffix(ref, ")")) {
			t.Errorf("%s: %q has no reference", r.name, st.Reason)
		}
	}
}

func TestAccessReviewIsLoggedOnce(t *testing.T) {
	var buf bytes.Buffer
	g := newGate(t)
	g.Log = slog.New(slog.NewJSONHandler(&buf, &slog.HandlerOptions{Level: slog.LevelDebug}))
	g.mux = http.NewServeMux()
	g.Mount(g.mux)
	for _, r := range []struct {
		who   func(*authzv1.SubjectAccessReviewSpec)
		want  map[string]any
		known bool
	}{
		{token("dave", "dave"), map[string]any{
			"level": "DEBUG", "verdict": "allow", "reason": "Kubernetes RBAC", "verb": "list", "resource": "pods", "namespace": "dev",
			"principal": oid("dave").String(), "user": "dave@contoso.com", "revision": 42.0, "status": 200.0, "cluster": clusterID("one").String(),
		}, true},
		{token("nobody", "nobody"), map[string]any{"level": "INFO", "verdict": "deny", "reason": "no access of this identity covers it"}, true},
		{token("nobody", "nobody"), map[string]any{"level": "INFO", "verdict": "unknown", "status": 503.0}, false},
		{plain("someone"), map[string]any{"level": "DEBUG", "verdict": "no opinion"}, true},
		{plain(strings.Repeat("x", 10_000)), map[string]any{"user": strings.Repeat("x", logged) + "…"}, true},
	} {
		buf.Reset()
		g.mirror.known = r.known
		s := ask("list pods @dev")
		r.who(&s)
		_, st := g.review(t, "one", s)
		lines := strings.Split(strings.TrimSpace(buf.String()), "\n")
		if len(lines) != 1 {
			t.Fatalf("%d lines: %s", len(lines), buf.String())
		}
		var got map[string]any
		if err := json.Unmarshal([]byte(lines[0]), &got); err != nil {
			t.Fatal(err)
		}
		for k, v := range r.want {
			if got[k] != v {
				t.Errorf("%s is %v, want %v", k, got[k], v)
			}
		}
		if _, ok := got["took"]; !ok {
			t.Error("no took")
		}
		if st != nil && st.Denied && !strings.Contains(st.Reason, got["requestId"].(string)) {
			t.Errorf("the reference in %q is not the one logged", st.Reason)
		}
	}
}

func TestMalformedReviews(t *testing.T) {
	g := newGate(t)
	both := ask("list pods @dev")
	both.NonResourceAttributes = &authzv1.NonResourceAttributes{Path: "/", Verb: "get"}
	for name, c := range map[string]struct {
		body string
		want int
	}{
		"empty":             {"", 400},
		"no JSON":           {"{", 400},
		"array":             {"[]", 400},
		"wrong type":        {`{"kind":"SubjectAccessReview","apiVersion":"authorization.k8s.io/v1","spec":{"user":1}}`, 400},
		"two values":        {string(sarJSON(t, ask("list pods"))) + "{}", 400},
		"other kind":        {`{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1","spec":{}}`, 400},
		"other version":     {`{"kind":"SubjectAccessReview","apiVersion":"authorization.k8s.io/v1beta1","spec":{"resourceAttributes":{}}}`, 400},
		"kind in lowcase":   {`{"KIND":"SubjectAccessReview","apiVersion":"authorization.k8s.io/v1","spec":{"resourceAttributes":{}}}`, 400},
		"no attributes":     {`{"kind":"SubjectAccessReview","apiVersion":"authorization.k8s.io/v1","spec":{"user":"alice@contoso.com"}}`, 400},
		"both attributes":   {string(sarJSON(t, both)), 400},
		"too large":         {`{"kind":"` + strings.Repeat("x", 5<<20) + `"}`, 413},
		"deep":              {strings.Repeat(`{"spec":`, 20_000), 400},
		"field in odd case": {`{"kind":"SubjectAccessReview","apiVersion":"authorization.k8s.io/v1","spec":{"User":"alice@contoso.com","RESOURCEATTRIBUTES":{"verb":"list"}}}`, 400},
	} {
		t.Run(name, func(t *testing.T) {
			rec := g.post("one", "subjectaccessreview", []byte(c.body))
			if rec.Code != c.want {
				t.Errorf("status %d, want %d: %s", rec.Code, c.want, rec.Body)
			}
			readStatus(t, rec)
		})
	}
}

// TestUserFieldHasCase makes sure that a second spelling of a field is not read: the API server would not read it either.
func TestUserFieldHasCase(t *testing.T) {
	g := newGate(t)
	body := `{"kind":"SubjectAccessReview","apiVersion":"authorization.k8s.io/v1","spec":{"user":"nobody@contoso.com","User":"alice@contoso.com","resourceAttributes":{"verb":"list","resource":"pods"}}}`
	if st := readReview(t, g.post("one", "subjectaccessreview", []byte(body))); st == nil || !st.Denied {
		t.Errorf("%+v", st)
	}
}
