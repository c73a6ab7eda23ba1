package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/test/harness"
)

const (
	azClient     = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"
	aksServer    = "6dae42f8-4368-4678-94ff-3960e28e3630"
	testPassword = "Silver-Lantern-7-Orchard"
)

// estate is a Keyreeve whose APIs are asked directly, for tests that ask often.
type estate struct {
	t          testing.TB
	k          *harness.Keyreeve
	p          person
	graph, arm *asker
	login      string
	root       string // the subscription's id as a path
	cas        map[string]string
}

func newEstate(t testing.TB) *estate {
	t.Helper()
	k := harness.Up(t)
	p := signIn(t, k)
	e := &estate{t: t, k: k, p: p, login: lookup(p.env, "KEYREEVE_LOGIN_URL"), root: "/subscriptions/" + k.Admin.SubscriptionID, cas: map[string]string{}}
	e.graph = newAsker(t, k.Data.CA(), p.az("account", "get-access-token", "--resource-type", "ms-graph", "--query", "accessToken", "-o", "tsv"))
	e.arm = newAsker(t, k.Data.CA(), p.az("account", "get-access-token", "--query", "accessToken", "-o", "tsv"))
	return e
}

// call asks and demands success; the answer is read into out unless that is nil.
func (e *estate) call(a *asker, method, url string, body, out any) {
	e.t.Helper()
	code, text := a.do(method, url, body)
	if code/100 != 2 {
		e.t.Fatalf("%s %s: %d %s", method, url, code, text)
	}
	if out != nil {
		if err := json.Unmarshal([]byte(text), out); err != nil {
			e.t.Fatalf("%s %s: %v", method, url, err)
		}
	}
}

func (e *estate) dir(method, path string, body any) string {
	e.t.Helper()
	var out struct{ ID string }
	var into any
	if method == http.MethodPost && !strings.HasSuffix(path, "$ref") && !strings.HasSuffix(path, "Sessions") {
		into = &out
	}
	e.call(e.graph, method, lookup(e.p.env, "KEYREEVE_GRAPH_URL")+"/v1.0"+path, body, into)
	return out.ID
}

func (e *estate) manage(method, path, version string, body, out any) {
	e.t.Helper()
	e.call(e.arm, method, lookup(e.p.env, "KEYREEVE_ARM_URL")+path+"?api-version="+version, body, out)
}

func (e *estate) user(name string) string {
	e.t.Helper()
	return e.dir(http.MethodPost, "/users", map[string]any{
		"accountEnabled": true, "displayName": name, "mailNickname": name, "userPrincipalName": name + "@keyreeve.test",
		"passwordProfile": map[string]any{"password": testPassword, "forceChangePasswordNextSignIn": false},
	})
}

func (e *estate) group(name string, members ...string) string {
	e.t.Helper()
	id := e.dir(http.MethodPost, "/groups", map[string]any{"displayName": name, "mailNickname": name, "mailEnabled": false, "securityEnabled": true})
	for _, m := range members {
		e.join(id, m)
	}
	return id
}

func (e *estate) join(group, member string) {
	e.t.Helper()
	ref := map[string]string{"@odata.id": lookup(e.p.env, "KEYREEVE_GRAPH_URL") + "/v1.0/directoryObjects/" + member}
	e.dir(http.MethodPost, "/groups/"+group+"/members/$ref", ref)
}

func (e *estate) leave(group, member string) {
	e.t.Helper()
	e.dir(http.MethodDelete, "/groups/"+group+"/members/"+member+"/$ref", nil)
}

// token signs somebody in for the API server.
func (e *estate) token(form url.Values) string {
	e.t.Helper()
	form.Set("scope", aksServer+"/.default")
	res, err := e.arm.http.PostForm(e.login+"/"+e.k.Admin.TenantID+"/oauth2/v2.0/token", form)
	if err != nil {
		e.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var out struct {
		AccessToken string `json:"access_token"`
	}
	text, _ := io.ReadAll(res.Body)
	if err := json.Unmarshal(text, &out); err != nil || out.AccessToken == "" {
		e.t.Fatalf("token: %d %s", res.StatusCode, text)
	}
	return out.AccessToken
}

func (e *estate) userToken(name string) string {
	e.t.Helper()
	return e.token(url.Values{"grant_type": {"password"}, "client_id": {azClient}, "username": {name + "@keyreeve.test"}, "password": {testPassword}})
}

const authorizationVersion, aksVersion = "2022-04-01", "2024-05-01"

// assign assigns a role, by the GUID of its definition, and returns the assignment's path.
func (e *estate) assign(scope, role, principal, kind string) string {
	e.t.Helper()
	path := scope + "/providers/Microsoft.Authorization/roleAssignments/" + ident.New[ident.GUID]().String()
	e.manage(http.MethodPut, path, authorizationVersion, map[string]any{"properties": map[string]any{
		"roleDefinitionId": e.root + "/providers/Microsoft.Authorization/roleDefinitions/" + role, "principalId": principal, "principalType": kind,
	}}, nil)
	return path
}

func (e *estate) unassign(path string) {
	e.t.Helper()
	e.manage(http.MethodDelete, path, authorizationVersion, nil, nil)
}

// target is a cluster: where its API server is, and who vouches for it.
type target struct {
	name, id, server, ca string
}

// embedded creates a cluster with Azure roles, whose admins are the members of a group.
func (e *estate) embedded(name, admins string) target {
	e.t.Helper()
	e.p.cluster(name, "--enable-aad", "--enable-azure-rbac", "--aad-admin-group-object-ids", admins)
	c := target{name: "embedded", id: e.root + "/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/" + name}
	file := e.t.TempDir() + "/ca.crt"
	config := e.adminConfig(c)
	c.server = config.Clusters[0].Cluster.Server
	if err := os.WriteFile(file, config.Clusters[0].Cluster.CA, 0o600); err != nil {
		e.t.Fatal(err)
	}
	c.ca = file
	return c
}

type kubeconfig struct {
	Clusters []struct {
		Cluster struct {
			Server string `json:"server"`
			CA     []byte `json:"certificate-authority-data"`
		} `json:"cluster"`
	} `json:"clusters"`
	Users []struct {
		User struct {
			Cert []byte `json:"client-certificate-data"`
			Key  []byte `json:"client-key-data"`
		} `json:"user"`
	} `json:"users"`
}

// adminConfig asks for an admin certificate.
func (e *estate) adminConfig(c target) kubeconfig {
	e.t.Helper()
	var out struct {
		Kubeconfigs []struct{ Value string }
	}
	e.manage(http.MethodPost, c.id+"/listClusterAdminCredential", aksVersion, map[string]any{}, &out)
	text, err := base64.StdEncoding.DecodeString(out.Kubeconfigs[0].Value)
	if err != nil {
		e.t.Fatal(err)
	}
	var config kubeconfig
	if err := yaml.Unmarshal(text, &config); err != nil {
		e.t.Fatal(err)
	}
	return config
}

// byToken and byCertificate ask a cluster's API server.
func (e *estate) byToken(c target, token string) *asker { return newAsker(e.t, c.ca, token) }

func (e *estate) byCertificate(c target, cert, key []byte) *asker {
	e.t.Helper()
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		e.t.Fatal(err)
	}
	a := newAsker(e.t, c.ca, "")
	transport, ok := a.http.Transport.(*http.Transport)
	if !ok {
		e.t.Fatal("no transport")
	}
	transport.TLSClientConfig.Certificates = []tls.Certificate{pair}
	return a
}

// localAccounts switches a cluster's local accounts and waits until that is done.
func (e *estate) localAccounts(c target, disabled bool) {
	e.t.Helper()
	var body map[string]any
	e.manage(http.MethodGet, c.id, aksVersion, nil, &body)
	properties, ok := body["properties"].(map[string]any)
	if !ok {
		e.t.Fatalf("cluster %v", body)
	}
	properties["disableLocalAccounts"] = disabled
	e.manage(http.MethodPut, c.id, aksVersion, body, nil)
	for start := time.Now(); ; {
		var now struct {
			Properties struct{ ProvisioningState string }
		}
		e.manage(http.MethodGet, c.id, aksVersion, nil, &now)
		if now.Properties.ProvisioningState == "Succeeded" {
			return
		}
		if time.Since(start) > time.Minute {
			e.t.Fatalf("local accounts: %s after a minute", now.Properties.ProvisioningState)
		}
	}
}

// thumbprint is the name that a certificate in PEM form has on record.
func thumbprint(t testing.TB, cert []byte) string {
	t.Helper()
	block, _ := pem.Decode(cert)
	if block == nil {
		t.Fatal("no certificate")
	}
	if _, err := x509.ParseCertificate(block.Bytes); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sum256(block.Bytes))
}
