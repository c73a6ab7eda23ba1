package kubehook

import (
	"encoding/json"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	authzv1 "k8s.io/api/authorization/v1"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"pgregory.net/rapid"

	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/rbac"
)

var guid = regexp.MustCompile(`(?i)\A[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\z`)

var discoveryPath = regexp.MustCompile(`\A(/(api|apis|openapi)(/(?s:.*))?|/version/?)\z`)

// slowDecide answers a review the obvious way, from the lists of the cast: no index, no world, every rule spelled out once
// more. It is what fuzzing compares with.
func slowDecide(k managedcluster.Cluster, s authzv1.SubjectAccessReviewSpec, mirrorKnown bool) verdict {
	if strings.HasPrefix(s.User, "system:") {
		return verdictNoOpinion
	}
	get := func(key string) []string {
		var out []string
		for name, v := range s.Extra {
			if strings.EqualFold(name, key) {
				out = append(out, v...)
			}
		}
		return out
	}
	req := slowRequest(s)
	malformed := slowMalformed(req)
	special := strings.HasPrefix(req.Verb, "impersonate:") || strings.HasPrefix(req.Verb, "impersonate-on:")
	if ids := get("authentication.kubernetes.io/credential-id"); slices.ContainsFunc(ids, func(id string) bool {
		return strings.HasPrefix(strings.ToLower(id), "x509sha256=")
	}) {
		for name, c := range certificates() {
			if s.User != c.Kind+"-"+c.Holder.String() || !slices.Contains(s.Groups, "keyreeve:cluster-admins") {
				continue
			}
			if malformed {
				continue
			}
			if len(ids) == 1 && ids[0][len("x509sha256="):] == fingerprint(name) && c.Cluster == k.ID && c.Epoch == k.Epoch &&
				!k.LocalAccountsDisabled && c.RevokedAt.IsZero() && clock().Before(c.NotAfter) && !special {
				return verdictAllow
			}
			// A void one may still look which kinds there are, so that kubectl gets to the question that is refused.
			void := c.Epoch != k.Epoch || k.LocalAccountsDisabled || !c.RevokedAt.IsZero() || !clock().Before(c.NotAfter)
			if len(ids) == 1 && ids[0][len("x509sha256="):] == fingerprint(name) && c.Cluster == k.ID && void &&
				req.NonResource && req.Verb == "get" && discoveryPath.MatchString(req.Path) && !strings.Contains(req.Path, "..") {
				return verdictAllow
			}
		}
		return verdictDeny
	}
	p, v := slowIdentify(k, s, get)
	if p == nil {
		return v
	}
	if !slowStanding(p, get) || special || malformed {
		return verdictDeny
	}
	groups := slowGroups(p)
	admin := slices.ContainsFunc(k.AAD.AdminGroups, func(g ident.ObjectID) bool {
		return slices.ContainsFunc(groups, func(name string) bool { return oid(name) == g })
	})
	switch {
	case admin:
		return verdictAllow
	case req.Verb == "impersonate" && !req.NonResource && (req.Resource == "groups" && (req.Name == "system:masters" || req.Name == "keyreeve:cluster-admins") ||
		req.Resource == "userextras" && strings.EqualFold(req.Subresource, "authentication.kubernetes.io/credential-id")):
		return verdictDeny
	case !mirrorKnown:
		return verdictUnknown
	case slowRBAC(req, userName(p.name), groups):
		return verdictAllow
	}
	return verdictDeny
}

// What Kubernetes can have, in the words of its own rules for names.
var (
	label  = regexp.MustCompile(`\A[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\z`)
	part   = regexp.MustCompile(`\A(\*|[a-z0-9]([-._a-z0-9]*[a-z0-9])?)\z`)
	action = regexp.MustCompile(`\A(\*|[A-Za-z0-9][-_:A-Za-z0-9]*)\z`)
	path   = regexp.MustCompile(`\A(/|(/[!-"$&->@-\[\]-~]+)+/?)\z`)
)

func slowMalformed(r rbac.KubeRequest) bool {
	name := func(s string) bool { return part.MatchString(s) && len(s) <= 253 && !strings.Contains(s, "..") }
	if !action.MatchString(r.Verb) || len(r.Verb) > 253 {
		return true
	}
	if r.NonResource {
		segments := strings.Split(r.Path, "/")
		return !path.MatchString(r.Path) || strings.Contains(r.Path, "//") || slices.Contains(segments, ".") || slices.Contains(segments, "..") || len(r.Path) > 1024
	}
	return r.Namespace != "" && !label.MatchString(r.Namespace) || !name(r.Resource) || r.APIGroup != "" && !name(r.APIGroup) ||
		r.Verb != "impersonate" && r.Subresource != "" && !name(r.Subresource)
}

func slowRequest(s authzv1.SubjectAccessReviewSpec) rbac.KubeRequest {
	if n := s.NonResourceAttributes; n != nil {
		return rbac.KubeRequest{NonResource: true, Verb: n.Verb, Path: n.Path}
	}
	a := s.ResourceAttributes
	return rbac.KubeRequest{Verb: a.Verb, APIGroup: a.Group, Resource: a.Resource, Subresource: a.Subresource, Name: a.Name, Namespace: a.Namespace}
}

func slowIdentify(k managedcluster.Cluster, s authzv1.SubjectAccessReviewSpec, get func(string) []string) (*person, verdict) {
	tenant := ""
	for _, n := range []string{"contoso", "fabrikam"} {
		if k.AAD != nil && (k.AAD.Tenant == tenantID(n) || k.AAD.Tenant.IsZero() && k.Tenant == tenantID(n)) {
			tenant = n
		}
	}
	same := func(a, b string) bool { return strings.ToLower(a) == strings.ToLower(b) } //nolint:staticcheck // not EqualFold: that folds more
	find := func(ok func(person) bool) *person {
		for _, p := range cast() {
			if ok(p) {
				return &p
			}
		}
		return nil
	}
	objects := get("oid")
	var p *person
	if len(objects) == 0 {
		if tenant == "" {
			return nil, verdictNoOpinion
		}
		p = find(func(p person) bool {
			return same(s.User, oid(p.name).String()) || !p.app && p.tenant == tenant && same(s.User, upn(p.name, p.tenant))
		})
		if p == nil {
			_, domain, _ := cutLast(s.User, "@")
			if same(domain, tenant+".com") || guid.MatchString(s.User) {
				return nil, verdictDeny
			}
			return nil, verdictNoOpinion
		}
	} else if len(objects) == 1 {
		p = find(func(p person) bool { return same(objects[0], oid(p.name).String()) })
	}
	if p == nil || tenant == "" || p.tenant != tenant {
		return nil, verdictDeny
	}
	id := oid(p.name).String()
	if !same(s.User, id) && !same(s.User, userName(p.name)) || s.UID != "" && !same(s.UID, id) {
		return nil, verdictDeny
	}
	return p, 0
}

func cutLast(s, sep string) (string, string, bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

func slowStanding(p *person, get func(string) []string) bool {
	if p.disabled {
		return false
	}
	if v := get("keyreeve.io/token-issued-at"); len(v) > 0 {
		at, err := time.Parse(time.RFC3339, v[0])
		if len(v) > 1 || err != nil || at.IsZero() || at.Before(p.validFrom) {
			return false
		}
	}
	v := get("keyreeve.io/session")
	if len(v) == 0 {
		return true
	}
	for name, s := range sessions() {
		if len(v) == 1 && strings.ToLower(v[0]) == sessionID(name).String() {
			return s.User == oid(p.name) && s.RevokedAt.IsZero() && clock().Before(s.ExpiresAt) && !s.CreatedAt.Before(p.validFrom)
		}
	}
	// The id of no session at all names none.
	return len(v) == 1 && v[0] == "00000000-0000-0000-0000-000000000000"
}

func slowGroups(p *person) []string {
	var out []string
	for _, g := range p.groups {
		for g != "" {
			out = append(out, g)
			g = nested()[g]
		}
	}
	return out
}

func slowRBAC(req rbac.KubeRequest, user string, groups []string) bool {
	star := func(list []string, v string) bool { return slices.Contains(list, "*") || slices.Contains(list, v) }
	for _, b := range kubeBindings() {
		if b.Namespace != "" && (req.NonResource || b.Namespace != req.Namespace) {
			continue
		}
		bound := slices.ContainsFunc(b.Subjects, func(s rbac.Subject) bool {
			return s.Kind == "User" && s.Name == user || s.Kind == "Group" && (s.Name == "system:authenticated" ||
				slices.ContainsFunc(groups, func(g string) bool { return oid(g).String() == s.Name }))
		})
		if !bound {
			continue
		}
		for _, r := range kubeRoles() {
			if r.Name != b.RoleRef.Name || (r.Namespace == "") != (b.RoleRef.Kind == "ClusterRole") || r.Namespace != "" && r.Namespace != b.Namespace {
				continue
			}
			for _, rule := range r.Rules {
				full := req.Resource
				if req.Subresource != "" {
					full += "/" + req.Subresource
				}
				ok := star(rule.Verbs, req.Verb)
				if req.NonResource {
					ok = ok && slices.ContainsFunc(rule.NonResourceURLs, func(u string) bool {
						return u == req.Path || strings.HasSuffix(u, "*") && strings.HasPrefix(req.Path, strings.TrimRight(u, "*"))
					})
				} else {
					ok = ok && star(rule.APIGroups, req.APIGroup) && star(rule.Resources, full) &&
						(len(rule.ResourceNames) == 0 || slices.Contains(rule.ResourceNames, req.Name))
				}
				if ok {
					return true
				}
			}
		}
	}
	return false
}

// check asks the gate and the oracle.
func check(t tb, g *gate, k managedcluster.Cluster, body []byte) {
	rec := g.post(k.Name, "subjectaccessreview", body)
	var in authzv1.SubjectAccessReview
	_, good := slowQuestion(body)
	bad := !good || utiljson.Unmarshal(body, &in) != nil || in.Kind != "SubjectAccessReview" || in.APIVersion != "authorization.k8s.io/v1" ||
		(in.Spec.ResourceAttributes == nil) == (in.Spec.NonResourceAttributes == nil)
	if bad {
		if rec.Code != http.StatusBadRequest {
			t.Fatalf("malformed, and answered %d", rec.Code)
		}
		return
	}
	want := slowDecide(k, in.Spec, g.mirror.known)
	if want == verdictUnknown {
		if rec.Code != http.StatusServiceUnavailable {
			t.Fatalf("status %d, the oracle does not know: %s", rec.Code, body)
		}
		return
	}
	st := readReview(t, rec)
	if st == nil || st.Allowed != (want == verdictAllow) || st.Denied != (want == verdictDeny) {
		t.Fatalf("got %d %+v, the oracle says %v: %s", rec.Code, st, want, body)
	}
}

func TestOracleAgreesWithRows(t *testing.T) {
	for _, r := range rows() {
		i := slices.IndexFunc(clusters(), func(k managedcluster.Cluster) bool { return k.Name == r.in() })
		if got := slowDecide(clusters()[i], r.spec(), r.mirror != "unknown"); got != r.want {
			t.Errorf("%s: the oracle says %v, want %v", r.name, got, r.want)
		}
	}
}

// TestAgainstOracle asks at random about the cast, with extras that belong together and that do not.
func TestAgainstOracle(t *testing.T) {
	g := newGate(t)
	var users, objects, sess, certs, whats []string
	for _, p := range cast() {
		users = append(users, userName(p.name), strings.ToUpper(userName(p.name)))
		objects = append(objects, oid(p.name).String())
	}
	users = append(users, objects...)
	users = append(users, "", "root@elsewhere.org", "ghost@contoso.com", "x@FABRIKAM.com", "system:admin", "@")
	objects = append(objects, "", "x", strings.ToUpper(oid("alice").String()), oid("admins").String())
	for _, n := range slices.Sorted(maps.Keys(sessions())) {
		sess = append(sess, sessionID(n).String())
	}
	sess = append(sess, "x", "00000000-0000-0000-0000-000000000000", sessionID("no").String())
	for _, n := range slices.Sorted(maps.Keys(certificates())) {
		certs = append(certs, x509ID(n))
	}
	certs = append(certs, "X509SHA256=", "x509sha256="+fingerprint("good"), "JTI=1", "")
	for _, r := range rows() {
		whats = append(whats, r.what)
	}
	times := []string{
		"x", "0001-01-01T00:00:00Z", clock().Format(time.RFC3339), clock().Add(-61 * time.Second).Format(time.RFC3339),
		clock().Add(-2 * time.Hour).Format(time.RFC3339), "2026-11-01T12:59:00+01:00",
	}
	rapid.Check(t, func(t *rapid.T) {
		pick := func(what string, from []string) string { return rapid.SampledFrom(from).Draw(t, what) }
		spec := ask(pick("what", whats))
		if rapid.Bool().Draw(t, "consistent") {
			p := rapid.SampledFrom(cast()).Draw(t, "person")
			token(p.name, rapid.SampledFrom([]string{"", p.name, "revoked", "carol after"}).Draw(t, "session name"))(&spec)
		} else {
			spec.User = pick("user", users)
			spec.Extra = extra{}
		}
		add := func(key string, from []string) {
			if rapid.IntRange(0, 3).Draw(t, "has "+key) == 0 {
				spec.Extra[key] = rapid.SliceOfN(rapid.SampledFrom(from), 0, 2).Draw(t, key)
			}
		}
		add("oid", objects)
		add("keyreeve.io/session", sess)
		add("keyreeve.io/token-issued-at", times)
		add(credentialID, certs)
		if rapid.IntRange(0, 3).Draw(t, "has uid") == 0 {
			spec.UID = pick("uid", objects)
		}
		g.mirror.known = rapid.Bool().Draw(t, "mirror known")
		k := rapid.SampledFrom(clusters()).Draw(t, "cluster")
		raw, err := json.Marshal(authzv1.SubjectAccessReview{Spec: spec})
		if err != nil {
			t.Fatal(err)
		}
		body := strings.Replace(string(raw), "{", `{"kind":"SubjectAccessReview","apiVersion":"authorization.k8s.io/v1",`, 1)
		check(t, g, k, []byte(body))
	})
}

func FuzzSubjectAccessReview(f *testing.F) {
	for _, r := range rows() {
		if len(r.name) > 0 && !strings.HasPrefix(r.name, "long") {
			f.Add(sarJSON(f, r.spec()), r.in(), r.mirror != "unknown")
		}
	}
	g := newGate(f)
	f.Fuzz(func(t *testing.T, body []byte, cluster string, mirrorKnown bool) {
		i := max(0, slices.IndexFunc(clusters(), func(k managedcluster.Cluster) bool { return k.Name == cluster }))
		g.mirror.known = mirrorKnown
		check(t, g, clusters()[i], body)
	})
}

func FuzzTokenReview(f *testing.F) {
	f.Add([]byte(`{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1","spec":{"token":"raw.alice"}}`))
	f.Add([]byte(`{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1","spec":{"token":"","audiences":["x"]},"status":{"authenticated":true}}`))
	g := newGate(f)
	g.tokens["alice"] = bearer("alice", "alice")
	f.Fuzz(func(t *testing.T, body []byte) {
		var in struct {
			Kind       string `json:"kind"`
			APIVersion string `json:"apiVersion"`
			Spec       struct {
				Token string `json:"token"`
			} `json:"spec"`
		}
		rec := g.post("one", "tokenreview", body)
		if rec.Code != http.StatusOK {
			if rec.Code != http.StatusBadRequest && rec.Code != http.StatusServiceUnavailable {
				t.Fatalf("status %d", rec.Code)
			}
			readStatus(t, rec)
			return
		}
		if err := utiljson.Unmarshal(body, &in); err != nil || in.Kind != "TokenReview" || in.APIVersion != "authentication.k8s.io/v1" {
			t.Fatalf("answered a body that is no TokenReview")
		}
		good := strings.TrimPrefix(in.Spec.Token, "raw.") == "alice"
		if got := strings.Contains(rec.Body.String(), `"authenticated":true`); got != good {
			t.Fatalf("authenticated %v, want %v", got, good)
		}
	})
}
