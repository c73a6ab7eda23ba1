package kubelogin_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"
)

const (
	tenant = "72f988bf-86f1-41af-91ab-2d7cd011db47"
	client = "80faf920-1908-4b52-b5ef-a8e7bedfc67a"
	server = "6dae42f8-4368-4678-94ff-3960e28e3630"
	user   = "alice@contoso.test"
)

// authority is a token service on loopback that says yes, and writes down what it was asked. It stands in for the endpoints
// and grants that Keyreeve's own does not have, and can be told to misbehave.
type authority struct {
	*httptest.Server
	CA string // a file of its certificate

	mu sync.Mutex
	// asked holds the forms of the token endpoints, devices counts the device codes handed out.
	asked         []url.Values
	devices, made int
	// refuse, if set, is the error body of the token endpoints; pending is how often a device code is not confirmed yet.
	refuse   string
	pending  int
	life     time.Duration
	date     time.Duration // how far its clock is ahead
	complete bool
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{life: time.Hour, complete: true}
	mux := http.NewServeMux()
	a.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", time.Now().Add(a.skew()).UTC().Format(http.TimeFormat))
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(a.Close)
	write := func(w http.ResponseWriter, status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	type object = map[string]any
	mux.HandleFunc("GET /{tid}/v2.0/.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		base := a.URL + "/" + r.PathValue("tid")
		write(w, 200, object{
			"issuer": base + "/v2.0", "authorization_endpoint": base + "/oauth2/v2.0/authorize", "token_endpoint": base + "/oauth2/v2.0/token",
			"device_authorization_endpoint": base + "/oauth2/v2.0/devicecode", "jwks_uri": base + "/keys",
		})
	})
	mux.HandleFunc("GET /common/UserRealm/{upn}", func(w http.ResponseWriter, r *http.Request) {
		write(w, 200, object{"ver": "1.0", "account_type": "Managed", "domain_name": "contoso.test", "cloud_instance_name": "x", "cloud_audience_urn": "urn"})
	})
	mux.HandleFunc("GET /{tid}/oauth2/v2.0/authorize", func(w http.ResponseWriter, r *http.Request) {
		// The answer is posted to the client by the page, which this is the text of.
		if q := r.URL.Query(); q.Get("response_mode") == "form_post" && q.Get("code_challenge_method") == "S256" {
			fmt.Fprintln(w, q.Get("redirect_uri"), q.Get("state"))
		}
	})
	device := func(w http.ResponseWriter, _ *http.Request) {
		a.mu.Lock()
		a.devices++
		n := a.devices
		complete := a.complete
		a.mu.Unlock()
		out := object{
			"device_code": fmt.Sprint("device-", n), "user_code": fmt.Sprint("CODE-", n), "verification_uri": a.URL + "/device", "verification_url": a.URL + "/device",
			"expires_in": "900", "interval": "1", "message": fmt.Sprint("To sign in, use CODE-", n),
		}
		if !strings.Contains(r2path(w), "legacy") {
			out["expires_in"], out["interval"] = 900, 1
		}
		if complete {
			out["verification_uri_complete"] = a.URL + "/device?code=" + fmt.Sprint("CODE-", n)
		}
		write(w, 200, out)
	}
	mux.HandleFunc("POST /{tid}/oauth2/v2.0/devicecode", device)
	mux.HandleFunc("POST /{tid}/oauth2/devicecode", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Form", "legacy")
		device(w, r)
	})
	token := func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		a.mu.Lock()
		defer a.mu.Unlock()
		if strings.Contains(r.Form.Get("grant_type"), "device_code") && a.pending > 0 {
			a.pending--
			write(w, 400, object{"error": "authorization_pending", "error_description": "AADSTS70016: not yet"})
			return
		}
		form := r.PostForm
		form.Set("path", strings.TrimPrefix(r.URL.Path, "/"+tenant))
		a.asked = append(a.asked, form)
		if a.refuse != "" {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(400)
			_, _ = w.Write([]byte(a.refuse))
			return
		}
		part := func(v object) string {
			data, _ := json.Marshal(v)
			return base64.RawURLEncoding.EncodeToString(data)
		}
		now := time.Now()
		a.made++
		jwt := func(aud string) string {
			return part(object{"alg": "none"}) + "." + part(object{
				"aud": aud, "iss": a.URL, "sub": user, "oid": "o", "tid": tenant, "preferred_username": user, "exp": now.Add(a.life).Unix(), "n": a.made,
			}) + ".sig"
		}
		out := object{"token_type": "Bearer", "access_token": jwt(server), "scope": form.Get("scope"), "expires_in": int(a.life.Seconds()), "ext_expires_in": int(a.life.Seconds())}
		if form.Get("token_type") == "pop" {
			out["token_type"] = "pop"
		}
		if form.Get("grant_type") != "client_credentials" {
			out["refresh_token"], out["id_token"] = "refresh-token", jwt(client)
			out["client_info"] = part(object{"uid": "o", "utid": tenant})
		}
		if !strings.Contains(r.URL.Path, "v2.0") {
			out["expires_in"], out["expires_on"], out["not_before"] = fmt.Sprint(int(a.life.Seconds())), fmt.Sprint(now.Add(a.life).Unix()), fmt.Sprint(now.Unix())
		}
		write(w, 200, out)
	}
	mux.HandleFunc("POST /{tid}/oauth2/v2.0/token", token)
	mux.HandleFunc("POST /{tid}/oauth2/token", token)
	a.CA = filepath.Join(t.TempDir(), "ca.pem")
	writeFile(t, a.CA, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Certificate().Raw})))
	return a
}

func r2path(w http.ResponseWriter) string { return w.Header().Get("X-Form") }

func (a *authority) skew() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.date
}

// set changes its behaviour.
func (a *authority) set(f func(*authority)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f(a)
}

// last takes what it was asked since the last time.
func (a *authority) last() []url.Values {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := a.asked
	a.asked = nil
	return out
}

func writeFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// certificates writes a certificate with its key in all the forms that are taken, and some that are not.
func certificates(t testing.TB) map[string]string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "deployer"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := x509.MarshalPKCS8PrivateKey(other)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	pfx := func(e *pkcs12.Encoder, password string) string {
		data, err := e.Encode(key, cert, nil, password)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	c := block("CERTIFICATE", der)
	dir := t.TempDir()
	out := map[string]string{}
	for name, text := range map[string]string{
		"good.pem": block("PRIVATE KEY", pkcs8) + c, "pkcs1.pem": c + block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key)),
		"legacy.pfx": pfx(pkcs12.LegacyDES, "pw"), "modern.pfx": pfx(pkcs12.Modern, "pw"), "open.pfx": pfx(pkcs12.LegacyDES, ""),
		"foreign.pem": block("PRIVATE KEY", foreign) + c, "keyless.pem": c, "certless.pem": block("PRIVATE KEY", pkcs8),
		"encrypted.pem": c + block("ENCRYPTED PRIVATE KEY", []byte("x")), "garbage.pem": "no certificate", "cut.pfx": pfx(pkcs12.Modern, "pw")[:200], "empty.pem": "",
	} {
		out[name] = filepath.Join(dir, name)
		writeFile(t, out[name], text)
	}
	return out
}

func pemOf(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}
