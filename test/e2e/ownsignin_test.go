package e2e

import (
	"bufio"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/test/harness"
)

// TestOwnSignIn signs in with the keyreeve command in every way that there is beside a person's password: a code on another
// device, an application's secret, certificate and token from elsewhere, and a host's managed identity. Each sign-in does
// what its role allows and no more, and renews its tokens by itself.
func TestOwnSignIn(t *testing.T) {
	k := harness.Up(t)
	login := "https://" + k.Listen
	machine := func(more ...string) []string { return connected(t, more, login, "--ca-file", k.Data.CA()) }
	admin := machine()
	keyreeve := func(args ...string) string {
		t.Helper()
		return harness.Must(t, admin, "keyreeve", args...)
	}
	keyreeve("login", "-u", k.Admin.UserPrincipalName, "-p", k.Admin.Password, "-o", "none")
	keyreeve("group", "create", "-n", "rg", "-l", "eastus", "-o", "none")
	scope := keyreeve("group", "show", "-n", "rg", "--query", "id", "-o", "tsv")
	f := harness.NewForge(t)
	const branch = "repo:contoso/shop:ref:refs/heads/main"
	made := strings.Split(keyreeve("ad", "sp", "create-for-rbac", "-n", "shop", "--role", "Reader", "--scopes", scope, "--query", "[appId, password]", "-o", "tsv"), "\n")
	app, secret := made[0], made[1]
	pem := keyreeve("ad", "app", "credential", "reset", "--id", app, "--create-cert", "--append", "--query", "fileWithCertAndPrivateKey", "-o", "tsv")
	keyreeve("ad", "app", "federated-credential", "create", "--id", app, "--parameters",
		`{"name":"main","issuer":"`+f.Issuer(harness.GitHub)+`","subject":"`+branch+`","audiences":["`+exchange+`"]}`)
	stranger := keyreeve("ad", "app", "create", "--display-name", "stranger", "--query", "appId", "-o", "tsv")
	other := keyreeve("ad", "app", "credential", "reset", "--id", stranger, "--create-cert", "--query", "fileWithCertAndPrivateKey", "-o", "tsv")
	principal := []string{"login", "--service-principal", "-u", app, "--tenant", k.Admin.TenantID}
	for name, proof := range map[string][]string{
		"secret": {"-p", secret}, "certificate": {"--certificate", pem}, "federated token": {"--federated-token", f.Token(harness.GitHub, exchange)},
	} {
		t.Run(name, func(t *testing.T) {
			reads(t, machine(), append(principal, proof...), "servicePrincipal")
		})
	}
	t.Run("refused", func(t *testing.T) {
		for want, proof := range map[string][]string{
			"AADSTS7000215": {"-p", "wrong"}, "AADSTS700027": {"--certificate", other}, "AADSTS50027": {"--federated-token", "e30.e30.x"},
			"must hold a certificate and its private key": {"--certificate", k.Data.CA()},
		} {
			env := machine()
			_, stderr, status := harness.Run(t, env, "keyreeve", append(principal, proof...)...)
			if status == 0 || !strings.Contains(stderr, want) || strings.Contains(stderr, secret) {
				t.Errorf("%s: %d %s", want, status, stderr)
			}
			if _, err := os.Stat(filepath.Join(value(env, "KEYREEVE_WORKSTATION"), "sign-ins.json")); err == nil {
				t.Errorf("%s: a sign-in is kept", want)
			}
		}
	})
	t.Run("managed identity", func(t *testing.T) {
		id := keyreeve("identity", "create", "-g", "rg", "-n", "runner", "--query", "id", "-o", "tsv")
		keyreeve("role", "assignment", "create", "--assignee-object-id", keyreeve("identity", "show", "-g", "rg", "-n", "runner", "--query", "principalId", "-o", "tsv"),
			"--assignee-principal-type", "ServicePrincipal", "--role", "Reader", "--scope", scope, "-o", "none")
		file := filepath.Join(t.TempDir(), "secret")
		out := keyreeve("identity", "host", "ci-1", "-g", "rg", "--identity", id, "--secret-file", file)
		_, rest, _ := strings.Cut(out, "IDENTITY_ENDPOINT=")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		env := machine("IDENTITY_ENDPOINT="+strings.Fields(rest)[0], "IDENTITY_HEADER="+strings.TrimSpace(string(text)))
		reads(t, env, []string{"login", "--identity"}, "servicePrincipal")
	})
	t.Run("device code", func(t *testing.T) {
		env := machine()
		withDeviceCode(t, k, env)
		if got := harness.Must(t, env, "keyreeve", "account", "show", "--query", "user.name", "-o", "tsv"); got != k.Admin.UserPrincipalName {
			t.Error(got)
		}
		harness.Must(t, env, "keyreeve", "ad", "user", "list", "-o", "none") // another audience, by the refresh token
	})
}

// reads signs in, and holds that the sign-in may read the resource group and not make one.
func reads(t *testing.T, env, login []string, kind string) {
	t.Helper()
	if got := harness.Must(t, env, "keyreeve", append(login, "--query", "[0].user.type", "-o", "tsv")...); got != kind {
		t.Errorf("type %s", got)
	}
	harness.Must(t, env, "keyreeve", "group", "show", "-n", "rg", "-o", "none")
	if token := harness.Must(t, env, "keyreeve", "account", "get-access-token", "--resource", "6dae42f8-4368-4678-94ff-3960e28e3630", "--query", "tokenType", "-o", "tsv"); token != "Bearer" {
		t.Error(token)
	}
	if _, stderr, status := harness.Run(t, env, "keyreeve", "group", "create", "-n", "rg2", "-l", "eastus"); status == 0 || !strings.Contains(stderr, "AuthorizationFailed") {
		t.Errorf("a reader made a group: %s", stderr)
	}
	file := filepath.Join(value(env, "KEYREEVE_WORKSTATION"), "sign-ins.json")
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%s: %v", file, err)
	}
}

var deviceSentence = regexp.MustCompile(`open the page (https://\S+) and enter the code (\S+) to authenticate`)

// withDeviceCode signs in with a code, which a person types into the pages at a browser of their own.
func withDeviceCode(t *testing.T, k *harness.Keyreeve, env []string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), harness.Program(t, "keyreeve"), "login", "--use-device-code")
	cmd.Env = env
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said, asked := "", false
	for in := bufio.NewScanner(stderr); in.Scan(); {
		said += in.Text() + "\n"
		if m := deviceSentence.FindStringSubmatch(said); m != nil && !asked {
			asked = true
			approve(t, trusting(t, k), m[1], m[2], k.Admin.UserPrincipalName, k.Admin.Password)
		}
	}
	if err := cmd.Wait(); err != nil || !asked {
		t.Fatalf("%v\n%s", err, said)
	}
}

var stateField = regexp.MustCompile(`name="state" value="([^"]*)"`)

// approve takes a code through the pages, without scripts.
func approve(t *testing.T, c *http.Client, page, code, user, password string) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Jar = jar
	base, err := url.Parse(page)
	if err != nil {
		t.Fatal(err)
	}
	state := ""
	send := func(path string, form url.Values) string {
		if state != "" {
			form.Set("state", state)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base.Scheme+"://"+base.Host+path, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Sec-Fetch-Site", "same-origin")
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s %v\n%s", path, res.Status, err, text)
		}
		if m := stateField.FindStringSubmatch(string(text)); m != nil {
			state = html.UnescapeString(m[1])
		}
		return string(text)
	}
	send("/device", url.Values{"user_code": {code}})
	send("/signin/password", url.Values{"username": {user}, "password": {password}})
	if done := send("/signin/confirm", url.Values{"action": {"approve"}}); !strings.Contains(done, "You are signed in") {
		t.Errorf("the last page says\n%s", done)
	}
}
