package issuer_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/keyreeve/keyreeve/internal/issuer"
)

// key is a public key as issuers publish it.
var key = func() string {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	text, err := jose.JSONWebKey{Key: private.Public(), KeyID: "k", Use: "sig"}.MarshalJSON()
	if err != nil {
		panic(err)
	}
	return string(text)
}()

// TestOnlyGoodAddresses: nothing is asked for over plain http elsewhere, and nothing odd at all.
func TestOnlyGoodAddresses(t *testing.T) {
	r := &issuer.Remote{Now: time.Now, Networks: issuer.Loopback()}
	for _, address := range []string{
		"", "x", "http://issuer.test", "http://localhost.evil.test", "http://127.0.0.1.evil.test", "file:///etc/passwd", "https://", "https://u:p@issuer.test",
		"https://issuer.test?x=y", "https://issuer.test#x", "gopher://issuer.test", "//issuer.test", "http://[::2]/",
	} {
		if _, ok, err := r.Keys(t.Context(), address, ""); ok || err == nil || !strings.Contains(err.Error(), "this is no issuer") {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// TestBadAnswers: an issuer that answers badly is refused, and left alone for a while.
func TestBadAnswers(t *testing.T) {
	for name, row := range map[string]struct{ metadata, keys string }{
		"another issuer":    {`{"issuer":"https://evil.test","jwks_uri":"%s/keys"}`, `{"keys":[` + key + `]}`},
		"keys over http":    {`{"issuer":"%s","jwks_uri":"http://evil.test/keys"}`, `{"keys":[` + key + `]}`},
		"no JSON":           {`<html>`, ``},
		"too large":         {`{"issuer":"%s","jwks_uri":"%s/keys","x":"` + strings.Repeat("x", 300<<10) + `"}`, ``},
		"too many keys":     {`{"issuer":"%s","jwks_uri":"%s/keys"}`, `{"keys":[` + strings.Repeat(key+",", 100) + key + `]}`},
		"keys are no list":  {`{"issuer":"%s","jwks_uri":"%s/keys"}`, `{"keys":{}}`},
		"somewhere else":    {"redirect", ``},
		"no keys document":  {`{"issuer":"%s"}`, ``},
		"an internal error": {"500", ``},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			var server *httptest.Server
			server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				text := row.keys
				if r.URL.Path != "/keys" {
					asked.Add(1)
					text = strings.ReplaceAll(row.metadata, "%s", server.URL)
				}
				switch text {
				case "redirect":
					http.Redirect(w, r, "/keys", http.StatusFound)
				case "500":
					w.WriteHeader(http.StatusInternalServerError)
				}
				_, _ = fmt.Fprint(w, text)
			}))
			defer server.Close()
			r := &issuer.Remote{Now: time.Now, Networks: issuer.Loopback()}
			for range 3 {
				if keys, ok, err := r.Keys(t.Context(), server.URL, "k"); ok || err == nil {
					t.Fatal(keys)
				}
			}
			if asked.Load() != 1 {
				t.Errorf("asked %d times", asked.Load())
			}
		})
	}
}

// TestUnreadableKeysHideNoOthers: what is no public key for signatures is left out, and the rest counts.
func TestUnreadableKeysHideNoOthers(t *testing.T) {
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text := `{"issuer":"` + server.URL + `","jwks_uri":"` + server.URL + `/keys?x=y"}`
		if r.URL.Path == "/keys" {
			text = `{"keys":[{"kty":"new"},{"kty":"oct","k":"AAAA","kid":"k"},` + strings.Replace(key, `"sig"`, `"enc"`, 1) + `,` + key + `]}`
		}
		_, _ = fmt.Fprint(w, text)
	}))
	defer server.Close()
	now := time.Now()
	r := &issuer.Remote{Networks: issuer.Loopback(), Now: func() time.Time { return now }}
	keys, ok, err := r.Keys(t.Context(), server.URL, "k")
	if err != nil || !ok || len(keys) != 1 {
		t.Fatal(keys, ok, err)
	}
	server.Close() // and it is gone: what is known counts for a day
	now = now.Add(23 * time.Hour)
	if keys, ok, err := r.Keys(t.Context(), server.URL, "k"); err != nil || !ok || len(keys) != 1 {
		t.Fatal(keys, ok, err)
	}
	now = now.Add(2 * time.Hour)
	if _, ok, err := r.Keys(t.Context(), server.URL, "k"); ok || err == nil {
		t.Fatal("keys of yesterday still count")
	}
}

// TestSlowIssuer: while an issuer is slow, those whose key is known do not wait; those who go away spoil nothing for those who stay;
// and it is asked once, however many ask.
func TestSlowIssuer(t *testing.T) {
	var asked atomic.Int32
	slow := make(chan struct{})
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/keys" {
			if asked.Add(1) > 1 {
				<-slow
			}
			_, _ = fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, server.URL, server.URL+"/keys")
			return
		}
		keys := key
		if asked.Load() > 1 {
			keys += "," + strings.Replace(key, `"kid":"k"`, `"kid":"new"`, 1)
		}
		_, _ = fmt.Fprint(w, `{"keys":[`+keys+`]}`)
	}))
	defer server.Close()
	var now atomic.Int64
	now.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Unix())
	r := &issuer.Remote{Networks: issuer.Loopback(), Now: func() time.Time { return time.Unix(now.Load(), 0) }}
	count := func(ctx context.Context, kid string) (int, error) {
		keys, _, err := r.Keys(ctx, server.URL, kid)
		return len(keys), err
	}
	if n, err := count(t.Context(), "k"); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if n, err := count(t.Context(), "new"); n != 0 || err != nil || asked.Load() != 1 {
		t.Fatalf("a key that is not known, a moment later: %d %v, asked %d times", n, err, asked.Load())
	}
	now.Add(31)
	gone, leave := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() { _, err := count(gone, "new"); first <- err }()
	for asked.Load() < 2 {
		runtime.Gosched()
	}
	others := make(chan int, 8)
	for range cap(others) {
		go func() { n, _ := count(t.Context(), "new"); others <- n }()
	}
	if n, err := count(t.Context(), "k"); n != 1 || err != nil {
		t.Errorf("a key that is known: %d %v", n, err)
	}
	leave()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	close(slow)
	for range cap(others) {
		if n := <-others; n != 1 {
			t.Errorf("%d keys after the issuer changed them, want 1", n)
		}
	}
	if asked.Load() != 2 {
		t.Errorf("asked %d times", asked.Load())
	}
}
