package kubehook

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authnv1 "k8s.io/api/authentication/v1"

	"github.com/keyreeve/keyreeve/internal/caller"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
)

// bearer is what the token service says of a good token of a member of the cast.
func bearer(name, sessionName string, change ...func(*caller.Caller)) caller.Caller {
	c := caller.Caller{
		Object: oid(name), TokenID: "token of " + name, IssuedAt: clock().Add(-30 * time.Second), Expires: clock().Add(time.Hour),
		Audience: directory.AKSServer().String(),
	}
	for _, p := range cast() {
		if p.name == name {
			c.Tenant = tenantID(p.tenant)
		}
	}
	if sessionName != "" {
		c.Session = sessionID(sessionName)
	}
	for _, f := range change {
		f(&c)
	}
	return c
}

func ids(names ...string) []string {
	var out []string
	for _, n := range names {
		out = append(out, oid(n).String())
	}
	return out
}

func TestTokenReviewAnswers(t *testing.T) {
	g := newGate(t)
	g.tokens["alice"] = bearer("alice", "alice")
	g.tokens["erin"] = bearer("erin", "erin")
	g.tokens["robot"] = bearer("robot", "")
	g.tokens["nobody"] = bearer("nobody", "nobody", func(c *caller.Caller) { c.Audience = "spn:" + strings.ToUpper(c.Audience) })
	issued := authnv1.ExtraValue{"2026-11-01T11:59:30Z"}
	user := func(name, username string, session bool, groups ...string) authnv1.UserInfo {
		u := authnv1.UserInfo{Username: username, UID: oid(name).String(), Groups: ids(groups...), Extra: map[string]authnv1.ExtraValue{
			"oid": {oid(name).String()}, "keyreeve.io/token-id": {"token of " + name}, "keyreeve.io/token-issued-at": issued,
		}}
		if session {
			u.Extra["keyreeve.io/session"] = authnv1.ExtraValue{sessionID(name).String()}
		}
		return u
	}
	for raw, want := range map[string]authnv1.UserInfo{
		"alice":  user("alice", "alice@contoso.com", true, "admins"),
		"erin":   user("erin", "erin@contoso.com", true, "inner", "middle", "outer"),
		"robot":  user("robot", oid("robot").String(), false, "devs"),
		"nobody": user("nobody", "nobody@contoso.com", true),
	} {
		code, got := g.tokenReview(t, "one", raw)
		if code != http.StatusOK || !got.Authenticated || got.Error != "" {
			t.Errorf("%s: %d %+v", raw, code, got)
		}
		sortStrings := cmp.Transformer("sort", func(in []string) map[string]int {
			out := map[string]int{}
			for _, s := range in {
				out[s]++
			}
			return out
		})
		if diff := cmp.Diff(want, got.User, sortStrings); diff != "" {
			t.Errorf("%s (-want +got):\n%s", raw, diff)
		}
		for k := range got.User.Extra {
			if k != strings.ToLower(k) {
				t.Errorf("extra key %q has upper case", k)
			}
		}
	}
}

func TestTokenReviewRefuses(t *testing.T) {
	at := func(d time.Duration) func(*caller.Caller) {
		return func(c *caller.Caller) { c.IssuedAt = clock().Add(d) }
	}
	aud := func(text string) func(*caller.Caller) { return func(c *caller.Caller) { c.Audience = text } }
	for _, c := range []struct {
		name    string
		token   caller.Caller
		raw     string // instead of the token
		cluster string
		want    string // part of the error; empty when it is accepted
		code    int
	}{
		{name: "good", token: bearer("alice", "alice")},
		{name: "not a token of ours", raw: "garbage", want: "not accepted"},
		{name: "empty", raw: "none", want: "there is no token"},
		{name: "cluster without Entra", token: bearer("alice", "alice"), cluster: "plain", want: "no Microsoft Entra integration"},
		{name: "legacy cluster, its application", token: bearer("alice", "alice", aud(legacyServer)), cluster: "legacy"},
		{name: "legacy cluster, its application as older clients spell it", token: bearer("alice", "alice", aud("spn:"+legacyServer)), cluster: "legacy"},
		{name: "legacy cluster, the AKS application", token: bearer("alice", "alice"), cluster: "legacy", want: "another audience"},
		{name: "legacy cluster's application elsewhere", token: bearer("alice", "alice", aud(legacyServer)), want: "another audience"},
		{name: "legacy cluster without an application", token: bearer("alice", "alice", aud("")), cluster: "legacy-unset", want: "none that takes tokens"},
		{name: "legacy cluster that names Resource Manager", token: bearer("alice", "alice", aud(directory.ResourceManager().String())), cluster: "legacy-wrong", want: "none that takes tokens"},
		{name: "legacy cluster, another tenant", token: bearer("eve", "eve", aud(legacyServer)), cluster: "legacy", want: "another tenant"},
		{name: "cluster takes the subscription's tenant", token: bearer("alice", "alice"), cluster: "inherits"},
		{name: "another tenant", token: bearer("eve", "eve"), want: "another tenant"},
		{name: "another tenant's cluster", token: bearer("alice", "alice"), cluster: "theirs", want: "another tenant"},
		{name: "their cluster", token: bearer("eve", "eve"), cluster: "theirs"},
		{name: "tenant of the token is not the principal's", token: bearer("eve", "eve", func(c *caller.Caller) { c.Tenant = tenantID("contoso") }), want: "not in the cluster's tenant"},
		{name: "another audience", token: bearer("alice", "alice", func(c *caller.Caller) { c.Audience = "https://management.azure.com/" }), want: "another audience"},
		{name: "no audience", token: bearer("alice", "alice", func(c *caller.Caller) { c.Audience = "" }), want: "another audience"},
		{name: "disabled", token: bearer("bob", "bob"), want: "disabled"},
		{name: "disabled service principal", token: bearer("tin", ""), want: "disabled"},
		{name: "deleted", token: bearer("who", "", func(c *caller.Caller) { c.Tenant = tenantID("contoso") }), want: "not in the cluster's tenant"},
		{name: "a group", token: bearer("admins", "", func(c *caller.Caller) { c.Tenant = tenantID("contoso") }), want: "not in the cluster's tenant"},
		{name: "session revoked", token: bearer("alice", "revoked"), want: "has ended"},
		{name: "session expired", token: bearer("alice", "expired"), want: "has ended"},
		{name: "session unknown", token: bearer("alice", "never was"), want: "has ended"},
		{name: "session of another", token: bearer("alice", "dave"), want: "has ended"},
		{name: "person without session", token: bearer("alice", ""), want: "no session"},
		{name: "issued before the revocation", token: bearer("carol", "carol after", at(-61*time.Minute)), want: "has ended"},
		{name: "issued after, session from before", token: bearer("carol", "carol before"), want: "has ended"},
		{name: "issued after the revocation", token: bearer("carol", "carol after")},
		{name: "service principal, issued before", token: bearer("rusty", "", at(-61*time.Second)), want: "has ended"},
		{name: "service principal, issued after", token: bearer("rusty", "")},
		{name: "token service does not know", raw: "unavailable", code: 503},
		{name: "token service fails", raw: "broken", code: 503},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newGate(t)
			raw := "good"
			switch c.raw {
			case "":
				g.tokens[raw] = c.token
			case "none":
				raw = ""
			default:
				raw = c.raw
			}
			cluster := "one"
			if c.cluster != "" {
				cluster = c.cluster
			}
			code, got := g.tokenReview(t, cluster, raw)
			if c.code == 0 {
				c.code = http.StatusOK
			}
			if code != c.code {
				t.Fatalf("status %d, want %d", code, c.code)
			}
			if code != http.StatusOK {
				return
			}
			if got.Authenticated != (c.want == "") || !strings.Contains(got.Error, c.want) || (got.Error == "") != (c.want == "") {
				t.Errorf("got %+v, want %q", got, c.want)
			}
			if !got.Authenticated && !cmp.Equal(got.User, authnv1.UserInfo{}) {
				t.Errorf("a refusal names %+v", got.User)
			}
			for _, s := range []string{"alice", "contoso", oid("alice").String(), tenantID("contoso").String()} {
				if strings.Contains(got.Error, s) {
					t.Errorf("the error names %q: %q", s, got.Error)
				}
			}
		})
	}
}

// TestRevocationIsImmediate changes the world and asks again, with the token and with what the API server remembers of it.
func TestRevocationIsImmediate(t *testing.T) {
	for name, event := range map[string]feed.Event{
		"left the group": {Kind: feed.Member, Op: feed.Delete, Key: oid("devs").String() + "/" + oid("dave").String()},
		"group deleted":  {Kind: feed.Group, Op: feed.Delete, Key: oid("devs").String()},
		"user deleted":   {Kind: feed.User, Op: feed.Delete, Key: oid("dave").String()},
		"session gone":   {Kind: feed.Session, Op: feed.Delete, Key: sessionID("dave").String()},
		"session revoked": {Kind: feed.Session, Op: feed.Put, Key: sessionID("dave").String(), Value: fmt.Appendf(nil,
			`{"id":%q,"user":%q,"createdAt":"2026-11-01T11:59:00Z","expiresAt":"2027-01-01T00:00:00Z","revokedAt":"2026-11-01T11:59:59Z"}`,
			sessionID("dave"), oid("dave"))},
		"user disabled": {Kind: feed.User, Op: feed.Put, Key: oid("dave").String(), Value: fmt.Appendf(nil,
			`{"id":%q,"tenant":%q,"userPrincipalName":"dave@contoso.com","accountEnabled":false}`, oid("dave"), tenantID("contoso"))},
		"all sessions revoked": {Kind: feed.User, Op: feed.Put, Key: oid("dave").String(), Value: fmt.Appendf(nil,
			`{"id":%q,"tenant":%q,"userPrincipalName":"dave@contoso.com","accountEnabled":true,"sessionsValidFrom":"2026-11-01T11:59:59Z"}`, oid("dave"), tenantID("contoso"))},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate(t)
			g.tokens["dave"] = bearer("dave", "dave")
			spec := ask("list pods @dev")
			token("dave", "dave")(&spec)
			if _, st := g.review(t, "one", spec); st == nil || !st.Allowed {
				t.Fatalf("not allowed before: %+v", st)
			}
			if _, st := g.tokenReview(t, "one", "dave"); !st.Authenticated {
				t.Fatalf("not authenticated before: %+v", st)
			}
			if err := g.World.Apply(feed.Change{Revision: 43, At: clock(), Events: []feed.Event{event}}); err != nil {
				t.Fatal(err)
			}
			if _, st := g.review(t, "one", spec); st == nil || !st.Denied {
				t.Errorf("not denied after: %+v", st)
			}
			_, st := g.tokenReview(t, "one", "dave")
			if group := strings.Contains(name, "group"); st.Authenticated != group || len(st.User.Groups) != 0 {
				t.Errorf("after: %+v", st)
			}
		})
	}
}

func TestNoLimitOfGroups(t *testing.T) {
	g := newGate(t)
	g.tokens["robot"] = bearer("robot", "")
	c := feed.Change{Revision: 43, At: clock()}
	for i := range 1000 {
		id := ident.Derive[ident.ObjectID]("many", fmt.Sprint(i))
		c.Events = append(c.Events,
			feed.Event{Kind: feed.Group, Op: feed.Put, Key: id.String(), Value: fmt.Appendf(nil, `{"id":%q}`, id)},
			feed.Event{Kind: feed.Member, Op: feed.Put, Key: id.String() + "/" + oid("robot").String()})
	}
	if err := g.World.Apply(c); err != nil {
		t.Fatal(err)
	}
	if _, st := g.tokenReview(t, "one", "robot"); len(st.User.Groups) != 1001 {
		t.Errorf("%d groups", len(st.User.Groups))
	}
}

func TestMalformedTokenReviews(t *testing.T) {
	g := newGate(t)
	for name, body := range map[string]string{
		"empty": "", "no JSON": "x", "other kind": `{"kind":"SubjectAccessReview","apiVersion":"authorization.k8s.io/v1"}`,
		"other version": `{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1beta1","spec":{"token":"alice"}}`,
		"wrong type":    `{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1","spec":{"token":["alice"]}}`,
	} {
		rec := g.post("one", "tokenreview", []byte(body))
		if rec.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", name, rec.Code)
		}
		readStatus(t, rec)
	}
}
