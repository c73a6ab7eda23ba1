package metadata_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

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
		h.Identities = append(h.Identities, i.ID())
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
		return tx.PutHost(resource.Host{Subscription: ident.MustParse[ident.SubscriptionID](armtest.Sub), Tenant: a.Tenant, Group: "rg", Name: "new", Identities: []string{a.ID()}})
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
}
