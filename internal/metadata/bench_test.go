package metadata_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/keyring/keytest"
	"github.com/keyreeve/keyreeve/internal/logintest"
	"github.com/keyreeve/keyreeve/internal/metadata"
	"github.com/keyreeve/keyreeve/internal/oauth"
	"github.com/keyreeve/keyreeve/internal/oauth/grant"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

// BenchmarkToken is a token for a host, its record on disk included, beside Go's own RSA-2048 signature in one run; and a refusal.
func BenchmarkToken(b *testing.B) {
	b.Run("sign", func(b *testing.B) {
		key, sum := keytest.Private(b, 0), sha256.Sum256([]byte("x"))
		for b.Loop() {
			if _, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:]); err != nil {
				b.Fatal(err)
			}
		}
	})
	s := logintest.Start(b)
	i := resource.Identity{
		Subscription: ident.New[ident.SubscriptionID](), Tenant: s.Tenant.ID, Group: "rg", Name: "runner", Location: "eastus",
		Principal: ident.New[ident.ObjectID](), Client: ident.New[ident.ClientID](), CreatedAt: s.Clock.Now(),
	}
	secret := proof.NewToken("krh_")
	host := resource.Host{
		Subscription: i.Subscription, Tenant: i.Tenant, Group: "rg", Name: "ci", Secret: proof.HashToken(secret),
		Assigned: []resource.AssignedIdentity{{ID: i.ID(), Principal: i.Principal}},
	}
	s.Update(func(tx *store.Tx) error {
		if err := tx.PutIdentity(i); err != nil {
			return err
		}
		return tx.PutHost(host)
	})
	mux := http.NewServeMux()
	(&metadata.Handler{DB: s.DB, Now: s.Clock.Now, Log: slog.New(slog.DiscardHandler), Issue: func(ctx context.Context, q metadata.Request) (oauth.TokenV1, error) {
		return s.Grants.IssueIdentity(ctx, grant.ForIdentity(q))
	}}).Mount(mux)
	for _, row := range []struct {
		name, secret string
		want         int
	}{{"token", secret, http.StatusOK}, {"refused", "krh_wrong", http.StatusTooManyRequests}} {
		b.Run(row.name, func(b *testing.B) {
			for b.Loop() {
				r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, metadata.Path+"?resource=https://management.azure.com/", nil)
				r.Header.Set("X-Identity-Header", row.secret)
				w := httptest.NewRecorder()
				mux.ServeHTTP(w, r)
				if w.Code != row.want && w.Code != http.StatusUnauthorized {
					b.Fatal(w.Code, w.Body.String())
				}
			}
		})
	}
}
