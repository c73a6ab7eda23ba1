package e2e

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
	"software.sslmate.com/src/go-pkcs12"

	"github.com/keyreeve/keyreeve/test/browser"
	"github.com/keyreeve/keyreeve/test/harness"
)

// aksClient is the application by which people sign in to clusters with the managed integration.
const aksClient = "80faf920-1908-4b52-b5ef-a8e7bedfc67a"

// modeWorld is a Keyreeve with a cluster, and with somebody for each login mode of kubelogin who may do everything there.
type modeWorld struct {
	k *harness.Keyreeve
	p person
	// login is the authority, with a slash at the end.
	login string
	// served is the kubeconfig of cluster c1 that get-credentials gives.
	served []byte
}

// modeRow is a way to sign in.
type modeRow struct {
	name string
	args []string
	env  []string
	// as is who the API server says that one is.
	as string
	// person does what a person at the terminal has to; it is told what the plugin says.
	person func(t *testing.T, said *saying)
	// served is the kubeconfig; nil for that of c1.
	served []byte
	// refused, by program, is what it says where it gives no token that works.
	refused map[string]string
}

const azures, ours = "clients/kubelogin", "kubelogin"

// kubeconfig puts the arguments of a row into a kubeconfig that get-credentials gave. All else stays.
func (w *modeWorld) kubeconfig(t *testing.T, r *modeRow) string {
	t.Helper()
	text := r.served
	if text == nil {
		text = w.served
	}
	var c map[string]any
	if err := yaml.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	users, _ := c["users"].([]any)
	u, _ := users[0].(map[string]any)["user"].(map[string]any)
	e, ok := u["exec"].(map[string]any)
	if !ok {
		t.Fatalf("no exec section in\n%s", text)
	}
	if r.args != nil {
		e["args"] = append([]string{"get-token"}, r.args...)
	}
	out, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "config")
	writeFile(t, path, string(out))
	return path
}

// saying is what a program says on standard error, while it runs.
type saying struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *saying) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

func (s *saying) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

// await waits until it says something of a form.
func (s *saying) await(t *testing.T, form *regexp.Regexp) []string {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 1500 {
		if m := form.FindStringSubmatch(s.String()); m != nil {
			return m
		}
		<-tick.C
	}
	t.Fatalf("it does not say %s, but\n%s", form, s)
	return nil
}

// run signs in with one of the programs and asks the API server who one is, and for its nodes.
func (w *modeWorld) run(t *testing.T, program string, r *modeRow) {
	t.Helper()
	home := t.TempDir()
	bin := filepath.Join(home, "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(harness.Program(t, program), filepath.Join(bin, "kubelogin")); err != nil {
		t.Fatal(err)
	}
	env := slices.Concat(harness.BareEnv(home), r.env)
	path := lookup(env, "PATH")
	env = append(env, "PATH="+bin+":"+path, "KUBECONFIG="+w.kubeconfig(t, r))
	if program == azures {
		env = append(env, "SSL_CERT_FILE="+w.k.Data.CA())
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	said := &saying{}
	cmd := exec.CommandContext(ctx, harness.Program(t, "clients/kubectl"), "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}")
	var out bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = env, &out, said, 5*time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- cmd.Wait() }()
	if r.person != nil {
		r.person(t, said)
	}
	err := <-done
	if want := r.refused[program]; want != "" {
		if err == nil || !strings.Contains(said.String(), want) {
			t.Errorf("%v, %s; and no %q in\n%s", err, &out, want, said)
		}
		return
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	if out.String() != r.as {
		t.Errorf("the API server knows %q, want %q", &out, r.as)
	}
	// Whoever has to be asked is asked once: Azure's has a cache that outlives it only where the kernel lends it one.
	if r.person != nil && program == azures {
		return
	}
	if out := harness.Must(t, env, "clients/kubectl", "get", "nodes", "-o", "name"); !strings.HasPrefix(out, "node/") {
		t.Error(out)
	}
}

// common are the flags that lead to the private authority.
func (w *modeWorld) common(server string, more ...string) []string {
	return append([]string{
		"--server-id", server, "--tenant-id", w.k.Admin.TenantID, "--authority-host", w.login, "--disable-instance-discovery",
	}, more...)
}

// newModeWorld makes the cluster.
func newModeWorld(t *testing.T) *modeWorld {
	t.Helper()
	k := harness.Up(t)
	w := &modeWorld{k: k, p: signIn(t, k)}
	w.login = strings.TrimSuffix(lookup(w.p.env, "KEYREEVE_LOGIN_URL"), "/") + "/"
	w.p.cluster("c1", "--enable-aad", "--enable-azure-rbac", "--enable-oidc-issuer", "--enable-workload-identity")
	w.p.admit(w.p.az("ad", "signed-in-user", "show", "--query", "id", "-o", "tsv"), "User")
	w.served = w.p.credentials("c1")
	return w
}

// admit lets a principal do everything in cluster c1.
func (p person) admit(object, kind string) {
	p.t.Helper()
	p.az("role", "assignment", "create", "--assignee-object-id", object, "--assignee-principal-type", kind,
		"--role", "Azure Kubernetes Service RBAC Cluster Admin", "--scope", c1(p), "-o", "none")
}

func (p person) credentials(cluster string) []byte {
	p.t.Helper()
	file := filepath.Join(p.t.TempDir(), "config")
	p.az("aks", "get-credentials", "-g", "rg", "-n", cluster, "-f", file)
	text, err := os.ReadFile(file)
	if err != nil {
		p.t.Fatal(err)
	}
	return text
}

var (
	// deviceOfAzure and deviceOfOurs are how the two ask for a device sign-in.
	deviceOfAzure = regexp.MustCompile(`open the page (https://\S+) and enter the code (\S+) to authenticate`)
	deviceOfOurs  = regexp.MustCompile(`To sign in, open (https://\S+)\nor enter the code (\S+) at`)
)

// device takes a device sign-in through the pages as the first administrator.
func (w *modeWorld) device(t *testing.T, said *saying) {
	t.Helper()
	byDevice(t, said, w.k.Admin.UserPrincipalName, w.k.Admin.Password)
}

// byDevice takes a device sign-in through the pages, by the link that holds the code where the program shows one.
func byDevice(t *testing.T, said *saying, user, password string) {
	t.Helper()
	m := said.await(t, regexp.MustCompile(deviceOfAzure.String()+"|"+deviceOfOurs.String()))
	tab := browser.Start(t)
	if m[1] != "" {
		tab.Open(m[1])
		tab.Type("#code", strings.ToLower(m[2])+"\r")
	} else {
		tab.Open(m[3])
		tab.Type("#code", "\r")
	}
	tab.Heading("Sign in")
	tab.Type("#username", user+"\t"+password+"\r")
	tab.Click("button[value=approve]")
	tab.Heading("✓ You are signed in")
}

// TestKubeloginModes signs in by each login mode, with Azure's kubelogin and ours, and uses the cluster with what it gives.
func TestKubeloginModes(t *testing.T) {
	w := newModeWorld(t)
	for _, r := range slices.Concat(w.people(t), w.servicePrincipal(t), w.identities(t), w.lent(t), w.legacy(t)) {
		t.Run(r.name, func(t *testing.T) {
			for _, program := range []string{azures, ours} {
				t.Run(program, func(t *testing.T) { w.run(t, program, &r) })
			}
		})
	}
}

// people are the modes in which somebody signs in by hand or by name.
func (w *modeWorld) people(t *testing.T) []modeRow {
	t.Helper()
	upn := w.k.Admin.UserPrincipalName
	desktop := browser.NewOpener(t)
	desk := []string{"PATH=" + desktop.Dir + ":" + os.Getenv("PATH")}
	byBrowser := func(t *testing.T, _ *saying) {
		t.Helper()
		tab := browser.Start(t)
		tab.Open(desktop.Await(t))
		tab.Heading("Sign in")
		tab.Type("#username", upn+"\t"+w.k.Admin.Password+"\r")
		tab.Do() // the page that says that it is over need not be seen
	}
	public := w.common(aksServer, "--client-id", aksClient)
	with := func(more ...string) []string { return slices.Concat(public, more) }
	return []modeRow{
		{name: "as served, a device code", as: upn, person: w.device},
		{name: "interactive", args: with("-l", "interactive"), env: desk, as: upn, person: byBrowser},
		{name: "ropc", args: with("-l", "ropc", "--username", upn, "--password", w.k.Admin.Password), as: upn},
		{name: "ropc by environment", args: with("-l", "ropc"), env: []string{"AZURE_USERNAME=" + upn, "AAD_USER_PRINCIPAL_PASSWORD=" + w.k.Admin.Password}, as: upn},
		// The server refuses what it does not have, and both say so.
		{
			name: "ropc with proof of possession", args: with("-l", "ropc", "--username", upn, "--password", w.k.Admin.Password, "--pop-enabled", "--pop-claims", "u="+c1(w.p)),
			refused: map[string]string{azures: "AADSTS9002313", ours: "AADSTS9002313"},
		},
	}
}

// servicePrincipal are the modes of an application that proves itself.
func (w *modeWorld) servicePrincipal(t *testing.T) []modeRow {
	t.Helper()
	var made struct{ AppID, Password, FileWithCertAndPrivateKey string }
	read := func(text string) {
		if err := json.Unmarshal([]byte(text), &made); err != nil {
			t.Fatal(err)
		}
	}
	read(w.p.az("ad", "sp", "create-for-rbac", "-n", "deployer", "--only-show-errors", "-o", "json"))
	app, secret := made.AppID, made.Password
	read(w.p.az("ad", "app", "credential", "reset", "--id", app, "--create-cert", "--append", "--only-show-errors", "-o", "json"))
	object := w.p.az("ad", "sp", "show", "--id", app, "--query", "id", "-o", "tsv")
	w.p.admit(object, "ServicePrincipal")
	pfx := filepath.Join(t.TempDir(), "cert.pfx")
	writeFile(t, pfx, pfxOf(t, made.FileWithCertAndPrivateKey, "the password"))

	f := newForge(t)
	f.subject = "sc://contoso/shop/keyreeve"
	credential, err := json.Marshal(map[string]any{"name": "pipelines", "issuer": f.URL, "subject": f.subject, "audiences": []string{exchange}})
	if err != nil {
		t.Fatal(err)
	}
	w.p.az("ad", "app", "federated-credential", "create", "--id", app, "--parameters", string(credential), "-o", "none")

	with := func(more ...string) []string { return w.common(aksServer, more...) }
	spn := func(more ...string) []string {
		return with(append([]string{"-l", "spn", "--client-id", app}, more...)...)
	}
	return []modeRow{
		{name: "spn, secret", args: spn("--client-secret", secret), as: object},
		{name: "spn, secret by environment", args: with("-l", "spn"), env: []string{"AZURE_CLIENT_ID=" + app, "AZURE_CLIENT_SECRET=" + secret}, as: object},
		{name: "spn, Terraform's environment", args: with("-l", "spn", "--use-azurerm-env-vars"), env: []string{"ARM_CLIENT_ID=" + app, "ARM_CLIENT_SECRET=" + secret, "ARM_TENANT_ID=" + w.k.Admin.TenantID}, as: object},
		{name: "spn, PEM", args: spn("--client-certificate", made.FileWithCertAndPrivateKey), as: object},
		{name: "spn, PFX", args: spn("--client-certificate", pfx, "--client-certificate-password", "the password"), as: object},
		{
			name: "spn, PFX and a wrong password", args: spn("--client-certificate", pfx, "--client-certificate-password", "another"),
			refused: map[string]string{azures: "password", ours: "the password is wrong"},
		},
		{name: "spn, a wrong secret", args: spn("--client-secret", secret+"x"), refused: map[string]string{azures: "AADSTS7000215", ours: "The client secret is wrong"}},
		{
			name: "spn with proof of possession", args: spn("--client-secret", secret, "--pop-enabled", "--pop-claims", "u="+c1(w.p)),
			refused: map[string]string{azures: "AADSTS9002313", ours: "AADSTS9002313"},
		},
		{
			name: "azurepipelines", args: with("-l", "azurepipelines", "--client-id", app, "--azure-pipelines-service-connection-id", "connection"),
			env: []string{"SYSTEM_OIDCREQUESTURI=" + f.URL + "/pipelines", "SYSTEM_ACCESSTOKEN=job"}, as: object,
		},
		{name: "azurepipelines by environment", args: with("-l", "azurepipelines"), env: []string{
			"SYSTEM_OIDCREQUESTURI=" + f.URL + "/pipelines", "SYSTEM_ACCESSTOKEN=job", "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID=connection",
			"AZURESUBSCRIPTION_CLIENT_ID=" + app, "AZURESUBSCRIPTION_TENANT_ID=" + w.k.Admin.TenantID,
		}, as: object},
		{name: "workloadidentity, GitHub Actions", args: with("-l", "workloadidentity", "--client-id", app), env: []string{
			"ACTIONS_ID_TOKEN_REQUEST_URL=" + f.URL + "/actions?v=1", "ACTIONS_ID_TOKEN_REQUEST_TOKEN=job",
		}, as: object},
	}
}

// pfxOf packs a PEM file of a certificate and its key.
func pfxOf(t *testing.T, path, password string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var cert *x509.Certificate
	var key any
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			cert, err = x509.ParseCertificate(block.Bytes)
		} else {
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := key.(*rsa.PrivateKey); !ok || cert == nil {
		t.Fatalf("%T and %v in %s", key, cert, path)
	}
	data, err := pkcs12.LegacyDES.Encode(key, cert, nil, password) // what Azure's kubelogin reads
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// identities are the modes of identities that have no secret: of a host, and of a service account.
func (w *modeWorld) identities(t *testing.T) []modeRow {
	t.Helper()
	id := w.p.az("identity", "create", "-g", "rg", "-n", "runner", "--query", "id", "-o", "tsv")
	client := w.p.az("identity", "show", "--ids", id, "--query", "clientId", "-o", "tsv")
	object := w.p.az("identity", "show", "--ids", id, "--query", "principalId", "-o", "tsv")
	w.p.admit(object, "ServicePrincipal")
	file := filepath.Join(t.TempDir(), "secret")
	out := harness.Must(t, w.p.env, "keyreeve", "identity", "host", "ci-1", "-g", "rg", "--identity", id, "--secret-file", file)
	_, rest, _ := strings.Cut(out, "IDENTITY_ENDPOINT=")
	secret, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	host := []string{"IDENTITY_ENDPOINT=" + strings.Fields(rest)[0], "IDENTITY_HEADER=" + strings.TrimSpace(string(secret))}

	issuer := w.p.az("aks", "show", "-g", "rg", "-n", "c1", "--query", "oidcIssuerProfile.issuerUrl", "-o", "tsv")
	w.p.az("identity", "federated-credential", "create", "-g", "rg", "--identity-name", "runner", "--name", "web", "--issuer", issuer,
		"--subject", "system:serviceaccount:default:web", "--audiences", exchange, "-o", "none")
	w.p.kubectl("--context", "c1-admin", "create", "serviceaccount", "web")
	projected := filepath.Join(t.TempDir(), "projected")
	writeFile(t, projected, w.p.kubectl("--context", "c1-admin", "create", "token", "web", "--audience", exchange))

	msi := func(more ...string) []string { return w.common(aksServer, append([]string{"-l", "msi"}, more...)...) }
	return []modeRow{
		{name: "msi", args: msi(), env: host, as: object},
		{name: "msi by client id", args: msi("--client-id", client), env: host, as: object},
		{name: "msi by resource id", args: msi("--identity-resource-id", id), env: host, as: object},
		{
			name: "msi, an identity of others", args: msi("--client-id", "11111111-1111-1111-1111-111111111111"), env: host,
			refused: map[string]string{azures: "Identity not found", ours: "Identity not found"},
		},
		{name: "workloadidentity", args: w.common(aksServer, "-l", "workloadidentity", "--client-id", client, "--federated-token-file", projected), as: object},
		{name: "workloadidentity by environment", args: []string{"-l", "workloadidentity", "--server-id", aksServer, "--disable-instance-discovery"}, env: []string{
			"AZURE_CLIENT_ID=" + client, "AZURE_TENANT_ID=" + w.k.Admin.TenantID, "AZURE_FEDERATED_TOKEN_FILE=" + projected, "AZURE_AUTHORITY_HOST=" + w.login,
		}, as: object},
	}
}

// lent are the modes in which another program's sign-in is used.
func (w *modeWorld) lent(t *testing.T) []modeRow {
	t.Helper()
	upn := w.k.Admin.UserPrincipalName
	// There is no azd in the package archives: this one answers as it does, with a token of the real service.
	dir := t.TempDir()
	token := w.p.az("account", "get-access-token", "--resource", aksServer, "--query", "accessToken", "-o", "tsv")
	script := fmt.Sprintf("#!/bin/sh\ncase \"$*\" in\n\"auth token\"*\"--scope %s/.default\"*) printf '{\"token\":\"%s\",\"expiresOn\":\"%s\"}' ;;\n*) echo \"azd: $*\" >&2; exit 1 ;;\nesac\n",
		aksServer, token, time.Now().Add(30*time.Minute).UTC().Format(time.RFC3339))
	if err := os.WriteFile(filepath.Join(dir, "azd"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return []modeRow{
		{name: "azurecli", args: []string{"-l", "azurecli", "--server-id", aksServer}, env: w.p.env, as: upn},
		{
			name: "azurecli, tenant and subscription", args: []string{"-l", "azurecli", "--server-id", aksServer, "-t", w.k.Admin.TenantID, "-s", w.k.Admin.SubscriptionID}, env: w.p.env,
			// az takes one of the two.
			refused: map[string]string{azures: "subscription", ours: "subscription"},
		},
		{name: "azd", args: []string{"-l", "azd", "--server-id", aksServer}, env: []string{"PATH=" + dir + ":" + os.Getenv("PATH")}, as: upn},
	}
}

// legacy are the modes that ask for a version 1 token, for a cluster with the integration of old, whose applications are the
// tenant's own.
func (w *modeWorld) legacy(t *testing.T) []modeRow {
	t.Helper()
	app := func(args ...string) string {
		id := w.p.az(append([]string{"ad", "app", "create", "--query", "appId", "-o", "tsv"}, args...)...)
		w.p.az("ad", "sp", "create", "--id", id, "-o", "none")
		return id
	}
	server, client := app("--display-name", "aks-server"), app("--display-name", "aks-client", "--is-fallback-public-client", "true")
	object := w.p.az("ad", "app", "show", "--id", server, "--query", "id", "-o", "tsv")
	w.p.az("rest", "--method", "patch", "--url", lookup(w.p.env, "KEYREEVE_GRAPH_URL")+"/v1.0/applications/"+object, "--body",
		`{"api":{"oauth2PermissionScopes":[{"id":"8b1c9c0e-6a0f-4b0e-9a39-1f2d3c4b5a69","value":"user_impersonation","type":"User","isEnabled":true,"adminConsentDisplayName":"d","adminConsentDescription":"d"}]}}`)
	w.p.az("ad", "app", "permission", "grant", "--id", client, "--api", server, "--scope", "user_impersonation", "-o", "none")
	harness.Must(t, w.p.env, "clients/az-2.45", "aks", "create", "-g", "rg", "-n", "v1", "--node-count", "1", "--aad-client-app-id", client,
		"--aad-server-app-id", server, "--aad-server-app-secret", "secret", "--aad-tenant-id", w.k.Admin.TenantID, "--generate-ssh-keys", "-o", "none")
	w.p.az("aks", "get-credentials", "-g", "rg", "-n", "v1", "--admin", "--overwrite-existing")

	var made struct{ AppID, Password, FileWithCertAndPrivateKey string }
	read := func(text string) {
		if err := json.Unmarshal([]byte(text), &made); err != nil {
			t.Fatal(err)
		}
	}
	read(w.p.az("ad", "sp", "create-for-rbac", "-n", "old-deployer", "--only-show-errors", "-o", "json"))
	deployer, secret := made.AppID, made.Password
	read(w.p.az("ad", "app", "credential", "reset", "--id", deployer, "--create-cert", "--append", "--only-show-errors", "-o", "json"))
	principal := w.p.az("ad", "sp", "show", "--id", deployer, "--query", "id", "-o", "tsv")
	for name, user := range map[string]string{"person": w.k.Admin.UserPrincipalName, "deployer": principal} {
		w.p.kubectl("--context", "v1-admin", "create", "clusterrolebinding", name, "--clusterrole", "cluster-admin", "--user", user)
	}
	served := w.p.credentials("v1")
	spn := func(more ...string) []string {
		return w.common(server, append([]string{"-l", "spn", "--legacy", "--client-id", deployer}, more...)...)
	}
	return []modeRow{
		{name: "legacy as served, a device code", served: served, as: w.k.Admin.UserPrincipalName, person: w.device},
		{name: "legacy spn, secret", served: served, args: spn("--client-secret", secret), as: principal},
		{name: "legacy spn, PEM", served: served, args: spn("--client-certificate", made.FileWithCertAndPrivateKey), as: principal},
		{name: "legacy cluster, a token of version 2", served: served, args: w.common(server, "-l", "spn", "--client-id", deployer, "--client-secret", secret), as: principal},
		{
			name: "legacy cluster, a token for another", served: served, args: w.common(aksServer, "-l", "spn", "--client-id", deployer, "--client-secret", secret),
			refused: map[string]string{azures: "You must be logged in", ours: "You must be logged in"},
		},
	}
}

// TestKubeloginOwnCloud: ours takes the authority from $AZURE_ENVIRONMENT_FILEPATH; Azure's asks the public cloud whatever is in it.
func TestKubeloginOwnCloud(t *testing.T) {
	k := harness.Up(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "cloud.json")
	writeFile(t, file, fmt.Sprintf(`{"name":"AzureStackCloud","activeDirectoryEndpoint":"https://%s"}`, k.Listen))
	asked := make(chan string, 20)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Host
		w.WriteHeader(http.StatusBadGateway)
	}))
	t.Cleanup(proxy.Close)
	for _, program := range []string{azures, ours} {
		env := append(harness.BareEnv(t.TempDir()), "AZURE_ENVIRONMENT_FILEPATH="+file, "SSL_CERT_FILE="+k.Data.CA(), "HTTPS_PROXY="+proxy.URL)
		out, stderr, status := harness.Run(t, env, program, "get-token", "-e", "AzureStackCloud", "-l", "ropc", "--server-id", aksServer, "--client-id", aksClient,
			"--tenant-id", k.Admin.TenantID, "--username", k.Admin.UserPrincipalName, "--password", k.Admin.Password, "--disable-instance-discovery", "--timeout", "10s")
		switch program {
		case ours:
			if status != 0 || !strings.Contains(out, `"token":"ey`) || len(asked) > 0 {
				t.Errorf("ours: %s", stderr)
			}
		default:
			if status == 0 {
				t.Error("Azure's kubelogin reads the file now: the difference can go")
			}
			if host := <-asked; !strings.HasPrefix(host, "login.microsoftonline.com") {
				t.Errorf("Azure's kubelogin asks %s", host)
			}
			for len(asked) > 0 {
				<-asked
			}
		}
	}
}
