package clusterissuer_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/oauth/clusterissuer"
	"github.com/keyreeve/keyreeve/internal/pki"
	"github.com/keyreeve/keyreeve/internal/world"
)

const base = "https://login.test"

// rig is the face over a world with one cluster.
type rig struct {
	t     *testing.T
	world *world.World
	rev   feed.Revision
	now   time.Time
	h     clusterissuer.Handler
}

func newRig(t *testing.T) *rig {
	t.Helper()
	w, err := world.New()
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, world: w, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	r.h = clusterissuer.Handler{World: w, BaseURL: base, Now: func() time.Time { return r.now }, Log: slog.New(slog.DiscardHandler)}
	return r
}

func (r *rig) put(c managedcluster.Cluster) {
	r.t.Helper()
	raw, err := json.Marshal(c)
	if err != nil {
		r.t.Fatal(err)
	}
	r.rev++
	if err := r.world.Apply(feed.Change{Revision: r.rev, At: r.now, Events: []feed.Event{{Kind: feed.Cluster, Op: feed.Put, Key: c.ID.String(), Value: raw}}}); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) get(path string) *httptest.ResponseRecorder {
	mux := http.NewServeMux()
	r.h.Mount(mux)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequestWithContext(r.t.Context(), http.MethodGet, path, nil))
	return w
}

func publicKey(t *testing.T) string {
	t.Helper()
	s, err := pki.Secrets{}.WithServiceAccountKey()
	if err != nil {
		t.Fatal(err)
	}
	key, err := s.ServiceAccountPublic()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestRotation: old and new key count for a day, by the documents and in this process alike; then the new one alone.
func TestRotation(t *testing.T) {
	r := newRig(t)
	c := managedcluster.Cluster{ID: ident.New[ident.ClusterID](), Tenant: ident.New[ident.TenantID](), Name: "c1", WantsIssuer: true}
	path := "/oidc/" + c.Tenant.String() + "/" + c.ID.String() + "/"
	c = c.IssuedBy(base+path, publicKey(t))
	r.put(c)
	count := func() int {
		t.Helper()
		var set jose.JSONWebKeySet
		if err := json.Unmarshal(r.get(path+"openid/v1/jwks").Body.Bytes(), &set); err != nil {
			t.Fatal(err)
		}
		inside, ok, err := r.h.Keys(t.Context(), base+path, "")
		if !ok || err != nil || len(inside) != len(set.Keys) {
			t.Fatal(inside, ok, err)
		}
		for _, k := range set.Keys {
			if one, _, _ := r.h.Keys(t.Context(), base+path, k.KeyID); len(one) != 1 || k.Algorithm != "RS256" || !k.IsPublic() {
				t.Errorf("%+v", k)
			}
		}
		return len(set.Keys)
	}
	if n := count(); n != 1 {
		t.Fatal(n)
	}
	c = c.SigningKeyRotated(publicKey(t), r.now)
	r.put(c)
	if n := count(); n != 2 {
		t.Errorf("%d keys after a rotation", n)
	}
	r.now = r.now.Add(managedcluster.RetiredKeyLife)
	if n := count(); n != 1 {
		t.Errorf("%d keys a day later", n)
	}
	if c = c.SigningKeyRotated(publicKey(t), r.now); len(c.Issuer.Keys) != 2 {
		t.Errorf("%d keys are kept", len(c.Issuer.Keys))
	}
	// Replaced authorities leave no key of before.
	r.put(c.IssuedBy(c.Issuer.URL, publicKey(t)))
	if n := count(); n != 1 {
		t.Errorf("%d keys after the authorities were replaced", n)
	}
}

// TestUnknown: nobody is an issuer who was not asked to be, or is not any more; and none of our addresses is asked for.
func TestUnknown(t *testing.T) {
	r := newRig(t)
	c := managedcluster.Cluster{ID: ident.New[ident.ClusterID](), Tenant: ident.New[ident.TenantID](), Name: "c1"}
	path := "/oidc/" + c.Tenant.String() + "/" + c.ID.String() + "/"
	url := base + path
	gone := func(why string, issuer string, known bool) {
		t.Helper()
		if keys, ok, err := r.h.Keys(t.Context(), issuer, ""); len(keys) != 0 || ok != known || err != nil {
			t.Errorf("%s: %d keys, known %v, %v", why, len(keys), ok, err)
		}
	}
	missing := func(why, path string) {
		t.Helper()
		for _, doc := range []string{".well-known/openid-configuration", "openid/v1/jwks"} {
			if w := r.get(path + doc); w.Code != http.StatusNotFound {
				t.Errorf("%s: %d", why, w.Code)
			}
		}
	}
	gone("no cluster", url, true)
	r.put(c)
	gone("not enabled", url, true)
	missing("not enabled", path)
	c = c.IssuedBy(url, publicKey(t))
	r.put(c)
	gone("without the slash", base+path[:len(path)-1], true)
	gone("somebody else's", "https://other.test"+path, false)
	missing("another tenant", "/oidc/"+ident.New[ident.TenantID]().String()+"/"+c.ID.String()+"/")
	c.ProvisioningState = managedcluster.Deleting
	r.put(c)
	gone("being deleted", url, true)
	missing("being deleted", path)
}
