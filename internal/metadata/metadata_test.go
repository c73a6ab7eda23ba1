package metadata_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/arm/armtest"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/metadata"
	"github.com/keyreeve/keyreeve/internal/oauth"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

// rig is the endpoint over a store with hosts and identities.
type rig struct {
	*armtest.Rig
	asked []metadata.Request
	fail  error
	h     http.Handler
	// from is the address that requests come from, if it matters.
	from string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{Rig: armtest.New(t)}
	mux := http.NewServeMux()
	(&metadata.Handler{DB: r.DB, Now: r.Clock.Now, Log: r.Log(), Issue: func(_ context.Context, q metadata.Request) (oauth.TokenV1, error) {
		r.asked = append(r.asked, q)
		return oauth.TokenV1{AccessToken: "token of " + q.Client.String(), TokenType: "Bearer", ExpiresOn: "1"}, r.fail
	}}).Mount(mux)
	r.h = mux
	return r
}

func (r *rig) identity(name string) resource.Identity {
	r.T.Helper()
	i := resource.Identity{
		Subscription: ident.MustParse[ident.SubscriptionID](armtest.Sub), Tenant: ident.MustParse[ident.TenantID](armtest.Tenant), Group: "rg", Name: name,
		Location: "eastus", Principal: ident.New[ident.ObjectID](), Client: ident.New[ident.ClientID](), CreatedAt: r.Clock.Now(),
	}
	r.Update(func(tx *store.Tx) error { return tx.PutIdentity(i) })
	return i
}

// host makes a host and returns its secret.
func (r *rig) host(name string, identities ...resource.Identity) string {
	r.T.Helper()
	secret := proof.NewToken("krh_")
	h := resource.Host{
		Subscription: ident.MustParse[ident.SubscriptionID](armtest.Sub), Tenant: ident.MustParse[ident.TenantID](armtest.Tenant), Group: "rg", Name: name,
		Secret: proof.HashToken(secret),
	}
	for _, i := range identities {
		h.Assigned = append(h.Assigned, resource.AssignedIdentity{ID: i.ID(), Principal: i.Principal})
	}
	r.Update(func(tx *store.Tx) error { return tx.PutHost(h) })
	return secret
}

func (r *rig) ask(query, secret string, header ...string) (int, string) {
	r.T.Helper()
	req := httptest.NewRequestWithContext(r.T.Context(), http.MethodGet, metadata.Path+"?"+query, nil)
	if secret != "" {
		req.Header.Set("X-Identity-Header", secret)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	if r.from != "" {
		req.RemoteAddr = r.from
	}
	w := httptest.NewRecorder()
	r.h.ServeHTTP(w, req)
	if w.Header().Get("Cache-Control") != "no-store" {
		r.T.Error("an answer may be kept by others")
	}
	return w.Code, w.Body.String()
}

// TestChoice: which identity a request means, and that it must be one of the host's.
func TestChoice(t *testing.T) {
	r := newRig(t)
	a, b, c := r.identity("a"), r.identity("b"), r.identity("c")
	one, both, none := r.host("one", a), r.host("both", a, b), r.host("none")
	for _, row := range []struct {
		name, query, secret string
		want                *resource.Identity
		text                string
	}{
		{"the only one", "", one, &a, ""},
		{"client_id", "&client_id=" + b.Client.String(), both, &b, ""},
		{"clientid, in capitals", "&clientid=" + strings.ToUpper(b.Client.String()), both, &b, ""},
		{"object_id", "&object_id=" + a.Principal.String(), both, &a, ""},
		{"principal_id", "&principal_id=" + a.Principal.String(), both, &a, ""},
		{"mi_res_id", "&mi_res_id=" + strings.ToUpper(b.ID()), both, &b, ""},
		{"msi_res_id", "&msi_res_id=" + b.ID(), both, &b, ""},
		{"one of two", "", both, nil, "Multiple user assigned identities exist"},
		{"of no host", "&client_id=" + c.Client.String(), both, nil, "Identity not found"},
		{"of another host", "&client_id=" + b.Client.String(), one, nil, "Identity not found"},
		{"an object id for a client id", "&client_id=" + a.Principal.String(), one, nil, "Identity not found"},
		{"two names", "&client_id=" + a.Client.String() + "&object_id=" + b.Principal.String(), both, nil, "Only one"},
		{"one name twice", "&client_id=" + a.Client.String() + "&client_id=" + b.Client.String(), both, nil, "Only one"},
		{"an empty name", "&client_id=", one, nil, "Identity not found"},
		{"no identity", "", none, nil, "Identity not found"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r.asked = nil
			status, body := r.ask("resource=https://management.azure.com/"+row.query, row.secret)
			if row.want == nil {
				if status != 400 || !strings.Contains(body, row.text) || len(r.asked) != 0 {
					t.Errorf("%d %s", status, body)
				}
				return
			}
			if status != 200 || len(r.asked) != 1 || r.asked[0].Client != row.want.Client || !strings.Contains(body, `"client_id":"`+row.want.Client.String()) {
				t.Errorf("%d %s", status, body)
			}
		})
	}
}

// TestWho: only the secret counts, and what is assigned when it is shown.
func TestWho(t *testing.T) {
	r := newRig(t)
	a := r.identity("a")
	secret := r.host("h", a)
	const query = "resource=r"
	for name, header := range map[string][]string{
		"no secret": nil, "wrong": {"Secret", secret + "x"}, "shorter": {"Secret", secret[:len(secret)-1]}, "its hash": {"Secret", proof.HashToken(secret)},
		"long": {"Secret", strings.Repeat("x", 10_000)}, "a metadata header": {"Metadata", "true"}, "bearer": {"Authorization", "Bearer " + secret},
	} {
		if status, body := r.ask(query, "", header...); status != 401 || !strings.Contains(body, "unauthorized_client") {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	// A host without a secret has the empty hash, which nothing must meet.
	r.Update(func(tx *store.Tx) error {
		return tx.PutHost(resource.Host{Subscription: ident.MustParse[ident.SubscriptionID](armtest.Sub), Tenant: a.Tenant, Group: "rg", Name: "new", Assigned: []resource.AssignedIdentity{{ID: a.ID(), Principal: a.Principal}}})
	})
	if status, _ := r.ask(query, ""); status != 401 {
		t.Error(status)
	}
	if status, body := r.ask(query, secret, "X-Forwarded-For", "192.0.2.1"); status != 400 || !strings.Contains(body, "forwarded") {
		t.Errorf("%d %s", status, body)
	}
	if status, body := r.ask("", secret); status != 400 || !strings.Contains(body, "invalid_resource") {
		t.Errorf("%d %s", status, body)
	}
	if status, _ := r.ask(query, "", "Secret", secret); status != 200 { // 2017-09-01
		t.Error(status)
	}
	if len(r.asked) != 1 {
		t.Errorf("%d tokens were issued, want 1", len(r.asked))
	}
	r.fail = errors.New("the database is at /secret/path")
	if status, body := r.ask(query, secret); status != 500 || strings.Contains(body, "/secret/path") {
		t.Errorf("%d %s", status, body)
	}
	r.fail = nil
	next := r.host("h", a)
	if status, _ := r.ask(query, secret); status != 401 {
		t.Error("the old secret still counts")
	}
	r.Update(func(tx *store.Tx) error { return tx.DeleteIdentity(a) })
	if status, body := r.ask(query, next); status != 400 || !strings.Contains(body, "Identity not found") {
		t.Errorf("%d %s", status, body)
	}
	// Another identity of the same name was assigned to nobody.
	if again := r.identity("a"); again.ID() != a.ID() {
		t.Fatal(again.ID())
	}
	if status, body := r.ask(query, next); status != 400 || !strings.Contains(body, "Identity not found") {
		t.Errorf("an identity of the same name as one that is gone: %d %s", status, body)
	}
}

// TestOwn: a host's own identity is meant when none is named, and has no resource to be named by.
func TestOwn(t *testing.T) {
	r := newRig(t)
	a := r.identity("a")
	own := resource.OwnIdentity{Principal: ident.New[ident.ObjectID](), Client: ident.New[ident.ClientID]()}
	for _, users := range [][]resource.AssignedIdentity{nil, {{ID: a.ID(), Principal: a.Principal}}} {
		secret := r.host("h")
		r.Update(func(tx *store.Tx) error {
			h, err := tx.HostBySecret(proof.HashToken(secret))
			if err != nil {
				return err
			}
			h.Own, h.Assigned = own, users
			return tx.PutHost(h)
		})
		for query, want := range map[string]ident.ClientID{
			"": own.Client, "&client_id=" + own.Client.String(): own.Client, "&object_id=" + own.Principal.String(): own.Client, "&mi_res_id=": {},
			"&client_id=" + a.Client.String(): map[bool]ident.ClientID{true: a.Client}[users != nil],
		} {
			r.asked = nil
			status, body := r.ask("resource=r"+query, secret)
			switch {
			case want.IsZero() && (status != 400 || len(r.asked) != 0):
				t.Errorf("%q: %d %s", query, status, body)
			case !want.IsZero() && (status != 200 || r.asked[0].Client != want):
				t.Errorf("%q: %d %s", query, status, body)
			}
		}
	}
}

// TestWrongSecrets: an address that is wrong too often waits, whatever it shows then. Hosts that were right before go on, and
// others elsewhere do not notice.
func TestWrongSecrets(t *testing.T) {
	r := newRig(t)
	a := r.identity("a")
	running, starting := r.host("running", a), r.host("starting", a)
	if status, _ := r.ask("resource=r", running); status != 200 {
		t.Fatal(status)
	}
	var last int
	wrong := 0
	for ; wrong < 1000; wrong++ {
		if last, _ = r.ask("resource=r", "krh_wrong"); last != 401 {
			break
		}
	}
	if last != 429 || wrong < 5 || wrong > 100 {
		t.Fatalf("after %d wrong secrets: %d", wrong, last)
	}
	if status, body := r.ask("resource=r", starting); status != 429 || !strings.Contains(body, "too_many_requests") || len(r.asked) != 1 {
		t.Errorf("a guess that is right, after too many: %d %s", status, body)
	}
	if status, _ := r.ask("resource=r", running); status != 200 {
		t.Errorf("a host that was right before: %d", status)
	}
	r.Update(func(tx *store.Tx) error {
		h, err := tx.HostBySecret(proof.HashToken(running))
		if err != nil {
			return err
		}
		h.Secret = proof.HashToken("another")
		return tx.PutHost(h)
	})
	if status, _ := r.ask("resource=r", running); status != 401 {
		t.Errorf("a secret that was right and is over: %d", status)
	}
	if status, _ := r.ask("resource=r", running); status != 429 {
		t.Errorf("the same again: %d", status)
	}
	r.from = "198.51.100.7:1"
	if status, _ := r.ask("resource=r", starting); status != 200 {
		t.Errorf("from elsewhere: %d", status)
	}
	r.from = ""
	r.Clock.Move(time.Minute)
	if status, _ := r.ask("resource=r", starting); status != 200 {
		t.Errorf("a minute later: %d", status)
	}
}
