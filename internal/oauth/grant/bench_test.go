package grant_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/keyring/keytest"
	"github.com/keyreeve/keyreeve/internal/logintest"
)

// BenchmarkClientCredentials puts the token endpoint beside Go's own RSA-2048 signatures on the same cores in one run:
// what stays is the price of everything else, the sign-in record on disk included.
func BenchmarkClientCredentials(b *testing.B) {
	b.Run("sign", func(b *testing.B) {
		key := keytest.Private(b, 0)
		sum := sha256.Sum256([]byte("x"))
		before := processors(b)
		b.SetParallelism(8)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:]); err != nil {
					b.Fatal(err)
				}
			}
		})
		report(b, before)
	})
	// What ES256 would cost in place of RS256 (ADR 13).
	b.Run("sign ES256", func(b *testing.B) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			b.Fatal(err)
		}
		sum := sha256.Sum256([]byte("x"))
		before := processors(b)
		b.SetParallelism(8)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := ecdsa.SignASN1(rand.Reader, key, sum[:]); err != nil {
					b.Fatal(err)
				}
			}
		})
		report(b, before)
	})
	for _, row := range []struct {
		name, resource string
		start          func(testing.TB) *logintest.Service
	}{
		{"token for Resource Manager", "https://management.azure.com/.default", logintest.Start},
		{"token for a registered application", "api://deployer/.default", logintest.Start},
		{"token for Resource Manager, ES256", "https://management.azure.com/.default", logintest.StartES256},
	} {
		b.Run(row.name, func(b *testing.B) {
			s := row.start(b)
			s.Level.Set(slog.LevelInfo) // as servers log unless they are told otherwise
			body := url.Values{
				"grant_type": {"client_credentials"}, "client_id": {s.App.AppID.String()}, "client_secret": {s.AppSecret}, "scope": {row.resource},
			}.Encode()
			b.ResetTimer()
			before := processors(b)
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/contoso.test/oauth2/v2.0/token", strings.NewReader(body))
					r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
					w := httptest.NewRecorder()
					s.Handler.ServeHTTP(w, r)
					if w.Code != http.StatusOK {
						b.Fatal(w.Body.String())
					}
				}
			})
			report(b, before)
		})
	}
}

// processors returns the processor time that this process has used.
func processors(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// report gives the rate, and the processor time of one, which says more on a machine that does other things.
func report(b *testing.B, before time.Duration) {
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "1/s")
	b.ReportMetric(float64((processors(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
}
