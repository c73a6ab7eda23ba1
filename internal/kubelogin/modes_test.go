package kubelogin_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/test/harness"
)

// outcome is what a program printed.
type outcome struct {
	out, err string
	status   int
}

type credential struct {
	APIVersion string `json:"apiVersion"`
	Kind       string
	Status     struct {
		Token               string
		ExpirationTimestamp time.Time
	}
}

func (o outcome) credential(t testing.TB) credential {
	t.Helper()
	var c credential
	if err := json.Unmarshal([]byte(o.out), &c); err != nil || c.Status.Token == "" || o.status != 0 {
		t.Fatalf("no credential, status %d\n%s%s", o.status, o.out, o.err)
	}
	return c
}

// start runs get-token in a home of its own.
func start(t testing.TB, program, home string, env []string, args ...string) (*exec.Cmd, *bytes.Buffer, *bytes.Buffer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, harness.Program(t, program), append([]string{"get-token"}, args...)...)
	cmd.Env = append([]string{"HOME=" + home, "PATH=" + os.Getenv("PATH")}, env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, &out, &errs
}

func getToken(t testing.TB, program, home string, env []string, args ...string) outcome {
	t.Helper()
	cmd, out, errs := start(t, program, home, env, args...)
	_ = cmd.Wait()
	return outcome{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

// trust is how each program comes to trust an authority: Azure's by a variable of the whole process, ours by what a kubeconfig
// carries.
func trust(t testing.TB, program, ca string) []string {
	t.Helper()
	if strings.HasPrefix(program, "clients/") {
		return []string{"SSL_CERT_FILE=" + ca}
	}
	text, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	return []string{"KEYREEVE_AUTHORITY_CA=" + base64.StdEncoding.EncodeToString(text)}
}

// programs are Azure's kubelogin and ours.
var programs = []string{"clients/kubelogin", "kubelogin"}

// canonical is a form without what differs between any two requests.
func canonical(forms []url.Values) string {
	var lines []string
	for _, f := range forms {
		for name, values := range f {
			value := strings.Join(values, " ")
			switch name {
			case "client_assertion", "code_verifier", "req_cnf", "code", "device_code":
				value = "…"
			case "redirect_uri":
				value = strings.TrimRight(value, "0123456789")
			case "scope":
				words := strings.Fields(value)
				sort.Strings(words)
				value = strings.Join(words, " ")
			case "client_info", "claims":
				continue
			}
			if name == "client_assertion" && strings.HasPrefix(strings.Join(values, ""), "outside.") {
				value = strings.Join(values, "")
			}
			lines = append(lines, name+"="+value)
		}
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

// TestModes: in each mode both programs ask the authority the same, and print the token that it gives.
func TestModes(t *testing.T) {
	a := newAuthority(t)
	certs := certificates(t)
	dir := t.TempDir()
	assertion := filepath.Join(dir, "assertion")
	writeFile(t, assertion, "outside.of.file")
	var issuers int
	outside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		issuers++
		switch {
		case r.URL.Path == "/github" && r.URL.Query().Get("audience") == "api://AzureADTokenExchange" && strings.EqualFold(r.Header.Get("Authorization"), "bearer job"):
			fmt.Fprint(w, `{"count":1,"value":"outside.of.github"}`)
		case r.URL.Path == "/ado" && r.Method == http.MethodPost && r.URL.Query().Get("serviceConnectionId") == "conn" && r.Header.Get("Authorization") == "Bearer job":
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"oidcToken":"outside.of.ado"}`)
		case r.URL.Path == "/msi" && r.Header.Get("X-IDENTITY-HEADER") == "secret":
			q := r.URL.Query()
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"access_token":"msi %s %s %s","expires_on":"%d","resource":"x","token_type":"Bearer"}`,
				q.Get("resource"), q.Get("client_id"), q.Get("mi_res_id"), time.Now().Add(time.Hour).Unix())
		default:
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	t.Cleanup(outside.Close)
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	stub := func(name, script string) {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	expiry := time.Now().Add(time.Hour)
	stub("az", fmt.Sprintf(`printf '{"accessToken":"az %%s","expiresOn":"x","expires_on":%d,"tokenType":"Bearer"}' "$*"`, expiry.Unix()))
	stub("azd", fmt.Sprintf(`printf '{"token":"azd %%s","expiresOn":"%s"}' "$*"`, expiry.UTC().Format(time.RFC3339)))
	stub("xdg-open", `set -- $(curl -s --cacert "`+a.CA+`" "$1"); exec curl -s -d code=the-code --data-urlencode "state=$2" "$1" >/dev/null`)
	path := "PATH=" + bin + ":" + os.Getenv("PATH")
	common := []string{"--server-id", server, "--tenant-id", tenant, "--authority-host", a.URL + "/", "--disable-instance-discovery"}
	common = slices.Clip(common)
	public := slices.Clip(append(common, "--client-id", client))
	pop := []string{"--pop-enabled", "--pop-claims", "u=/subscriptions/x/managedClusters/c"}
	msi := []string{"IDENTITY_ENDPOINT=" + outside.URL + "/msi", "IDENTITY_HEADER=secret"}
	for _, tt := range []struct {
		name  string
		args  []string
		env   []string
		token string // what it begins with; empty for one of the authority's
	}{
		{"devicecode", append(public, "-l", "devicecode"), nil, ""},
		{"devicecode legacy", append(public, "-l", "devicecode", "--legacy"), nil, ""},
		{"interactive", append(public, "-l", "interactive"), []string{path}, ""},
		{"interactive pop", append(append(public, "-l", "interactive"), pop...), []string{path}, ""},
		{"ropc", append(public, "-l", "ropc", "--username", user, "--password", "p w"), nil, ""},
		{"ropc by environment", append(public, "-l", "ropc"), []string{"AZURE_USERNAME=" + user, "AAD_USER_PRINCIPAL_PASSWORD=p w"}, ""},
		{"ropc pop", append(append(public, "-l", "ropc", "--username", user, "--password", "p w"), pop...), nil, ""},
		{"spn secret", append(public, "-l", "spn", "--client-secret", "s"), nil, ""},
		{"spn by environment", append(common, "-l", "spn"), []string{"AZURE_CLIENT_ID=" + client, "AZURE_CLIENT_SECRET=s"}, ""},
		{"spn secret legacy", append(public, "-l", "spn", "--client-secret", "s", "--legacy"), nil, ""},
		{"spn secret pop", append(append(public, "-l", "spn", "--client-secret", "s"), pop...), nil, ""},
		{"spn secret legacy pop", append(append(public, "-l", "spn", "--client-secret", "s", "--legacy"), pop...), nil, ""},
		{"spn PEM legacy pop", append(append(public, "-l", "spn", "--client-certificate", certs["good.pem"], "--legacy"), pop...), nil, ""},
		{"spn PEM", append(public, "-l", "spn", "--client-certificate", certs["good.pem"]), nil, ""},
		{"spn PFX", append(public, "-l", "spn", "--client-certificate", certs["legacy.pfx"], "--client-certificate-password", "pw"), nil, ""},
		{"spn PFX without password", append(public, "-l", "spn", "--client-certificate", certs["open.pfx"]), nil, ""},
		{"spn PEM legacy", append(public, "-l", "spn", "--client-certificate", certs["good.pem"], "--legacy"), nil, ""},
		{"spn PEM pop", append(append(public, "-l", "spn", "--client-certificate", certs["good.pem"]), pop...), nil, ""},
		{"workloadidentity file", append(public, "-l", "workloadidentity", "--federated-token-file", assertion), nil, ""},
		{"workloadidentity by environment", []string{"-l", "workloadidentity", "--server-id", server, "--disable-instance-discovery"}, []string{
			"AZURE_CLIENT_ID=" + client, "AZURE_TENANT_ID=" + tenant, "AZURE_FEDERATED_TOKEN_FILE=" + assertion, "AZURE_AUTHORITY_HOST=" + a.URL + "/",
		}, ""},
		{"workloadidentity GitHub", append(public, "-l", "workloadidentity"), []string{
			"ACTIONS_ID_TOKEN_REQUEST_URL=" + outside.URL + "/github?v=1", "ACTIONS_ID_TOKEN_REQUEST_TOKEN=job",
		}, ""},
		{"azurepipelines", append(public, "-l", "azurepipelines", "--azure-pipelines-service-connection-id", "conn"), []string{
			"SYSTEM_ACCESSTOKEN=job", "SYSTEM_OIDCREQUESTURI=" + outside.URL + "/ado",
		}, ""},
		{"msi", []string{"-l", "msi", "--server-id", server}, msi, "msi " + server + "  "},
		{"msi client", []string{"-l", "msi", "--server-id", server, "--client-id", client}, msi, "msi " + server + " " + client + " "},
		{"msi resource", []string{"-l", "msi", "--server-id", server, "--identity-resource-id", "/sub/id"}, msi, "msi " + server + "  /sub/id"},
		{"azurecli", []string{"-l", "azurecli", "--server-id", server, "-t", tenant, "-s", "my sub"}, []string{path}, "az account get-access-token"},
		{"azd", []string{"-l", "azd", "--server-id", server, "-t", tenant}, []string{path}, "azd auth token"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var forms, tokens [2]string
			for i, program := range programs {
				home := t.TempDir()
				got := getToken(t, program, home, append(trust(t, program, a.CA), tt.env...), tt.args...)
				c := got.credential(t)
				forms[i], tokens[i] = canonical(a.last()), c.Status.Token
				if left := time.Until(c.Status.ExpirationTimestamp); left < 58*time.Minute || left > 61*time.Minute {
					t.Errorf("%s: the token ends in %s", program, left)
				}
				if c.APIVersion != "client.authentication.k8s.io/v1beta1" || c.Kind != "ExecCredential" {
					t.Errorf("%s: %+v", program, c)
				}
				if program == "kubelogin" && tt.token == "" {
					if again := getToken(t, program, home, append(trust(t, program, a.CA), tt.env...), tt.args...).credential(t); bare(t, again.Status.Token) != bare(t, c.Status.Token) || len(a.last()) > 0 {
						t.Error("a second call asks again")
					}
				}
			}
			if diff := cmp.Diff(forms[0], forms[1]); diff != "" {
				t.Errorf("what Azure's asks, and ours:\n%s", diff)
			}
			if tt.token != "" && (tokens[0] != tokens[1] || !strings.HasPrefix(tokens[1], tt.token)) {
				t.Errorf("Azure's token %q, ours %q", tokens[0], tokens[1])
			}
			if tt.token == "" && forms[1] == "" {
				t.Error("the authority was not asked")
			}
			if shape(t, tokens[0]) != shape(t, tokens[1]) {
				t.Errorf("Azure's token %s\nours %s", shape(t, tokens[0]), shape(t, tokens[1]))
			}
		})
	}
}

// TestAnotherJob: a token that one job of a pipeline got is not handed to the next one on the same agent, whose right to the service
// connection nobody has asked about.
func TestAnotherJob(t *testing.T) {
	a := newAuthority(t)
	outside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer allowed" {
			w.WriteHeader(http.StatusUnauthorized)
		}
		_, _ = fmt.Fprint(w, `{"oidcToken":"outside.job.token"}`)
	}))
	defer outside.Close()
	home := t.TempDir()
	args := []string{
		"-l", "azurepipelines", "--server-id", server, "--tenant-id", tenant, "--client-id", client, "--authority-host", a.URL + "/", "--disable-instance-discovery",
		"--azure-pipelines-service-connection-id", "conn", "--timeout", "10s",
	}
	job := func(token string) outcome {
		env := append(trust(t, "kubelogin", a.CA), "SYSTEM_OIDCREQUESTURI="+outside.URL+"/ado")
		if token != "" {
			env = append(env, "SYSTEM_ACCESSTOKEN="+token)
		}
		return getToken(t, "kubelogin", home, env, args...)
	}
	first := job("allowed").credential(t)
	if again := job("allowed").credential(t); again.Status.Token != first.Status.Token {
		t.Error("the same job signs in again")
	}
	for _, token := range []string{"", "another"} {
		if r := job(token); r.status != 1 || r.out != "" {
			t.Errorf("job with token %q: %+v", token, r)
		}
	}
}

// parts decodes the header and payload of a token.
func parts(t testing.TB, token string) (header, payload map[string]any) {
	t.Helper()
	p := strings.Split(token, ".")
	if len(p) != 3 {
		return nil, nil
	}
	for i, into := range []*map[string]any{&header, &payload} {
		data, err := base64.RawURLEncoding.DecodeString(p[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, into); err != nil {
			t.Fatal(err)
		}
	}
	return header, payload
}

// bare is the access token in a proof of possession.
func bare(t testing.TB, token string) string {
	if _, payload := parts(t, token); payload["at"] != nil {
		return fmt.Sprint(payload["at"])
	}
	return token
}

// shape is a token without what differs between any two.
func shape(t testing.TB, token string) string {
	header, payload := parts(t, token)
	if payload["at"] == nil {
		return ""
	}
	cnf, _ := payload["cnf"].(map[string]any)
	jwk, _ := cnf["jwk"].(map[string]any)
	if jwk["kid"] != header["kid"] {
		t.Errorf("key %v in %v", jwk, header)
	}
	delete(header, "kid")
	var names []string
	for name := range payload {
		names = append(names, name)
	}
	for name := range jwk {
		names = append(names, name)
	}
	sort.Strings(names)
	return fmt.Sprint(header, payload["u"], jwk["alg"], jwk["e"], names, len(fmt.Sprint(payload["nonce"])))
}
