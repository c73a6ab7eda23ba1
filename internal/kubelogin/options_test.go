package kubelogin

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/kubelogin/ask"
	"github.com/keyreeve/keyreeve/internal/kubelogin/tokencache"
)

func parse(t *testing.T, env map[string]string, args ...string) *Options {
	t.Helper()
	d := Deps{Out: io.Discard, Err: io.Discard, Now: time.Now, Environ: func(name string) (string, bool) { v, ok := env[name]; return v, ok }}
	o, ok := quickParse(d, args)
	if !ok {
		t.Fatalf("%v is not understood", args)
	}
	o.fromEnvironment()
	return o
}

func TestAuthority(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cloud.json")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	stack := map[string]string{"AZURE_ENVIRONMENT_FILEPATH": file}
	write(`{"name":"AzureStackCloud","activeDirectoryEndpoint":"https://login.stack.test/adfs"}`)
	for _, tt := range []struct {
		args []string
		env  map[string]string
		want string
	}{
		{nil, nil, publicCloud},
		{[]string{"-e", "AzureCloud"}, nil, publicCloud},
		{[]string{"-e", "azureusgovernment"}, nil, governmentCloud},
		{[]string{"-e", "AzureChinaCloud"}, nil, chinaCloud},
		{[]string{"-e", "Nonsense"}, nil, publicCloud},
		{[]string{"-e", "AzureStackCloud"}, nil, publicCloud},
		{[]string{"-e", "AzureStackCloud"}, stack, "https://login.stack.test/adfs/"},
		{[]string{"--authority-host", "https://a.test/", "-e", "AzureChinaCloud"}, stack, "https://a.test/"},
		{[]string{"-l", "devicecode"}, map[string]string{"AZURE_AUTHORITY_HOST": "https://b.test/"}, publicCloud},
		{[]string{"-l", "workloadidentity"}, map[string]string{"AZURE_AUTHORITY_HOST": "https://b.test/"}, "https://b.test/"},
		{[]string{"-l", "workloadidentity", "--disable-environment-override"}, map[string]string{"AZURE_AUTHORITY_HOST": "https://b.test/"}, publicCloud},
	} {
		if got, err := parse(t, tt.env, tt.args...).authority(); got != tt.want || err != nil {
			t.Errorf("%v %v: %q, %v", tt.args, tt.env, got, err)
		}
	}
	for _, text := range []string{"{", "{}", `{"activeDirectoryEndpoint":"http://plain.test/"}`} {
		write(text)
		if got, err := parse(t, stack, "-e", "AzureStackCloud").authority(); err == nil {
			t.Errorf("%s: %q", text, got)
		}
	}
}

func TestEnvironment(t *testing.T) {
	env := map[string]string{
		"AAD_SERVICE_PRINCIPAL_CLIENT_ID": "older", "AZURE_CLIENT_ID": "newer", "AZURE_CLIENT_SECRET": "secret", "AZURE_TENANT_ID": "tenant", "ARM_CLIENT_ID": "arm",
		"AZURE_USERNAME": "user", "AZURE_CLI_TIMEOUT": "7s", "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID": "conn", "AZURESUBSCRIPTION_CLIENT_ID": "sub",
	}
	o := parse(t, env, "--client-id", "flag", "--username", "flag")
	if o.clientID != "newer" || o.clientSecret != "secret" || o.tenantID != "tenant" || o.username != "user" || o.timeout != 7*time.Second || o.serviceConnection != "" {
		t.Errorf("%+v", o)
	}
	if o = parse(t, env, "--client-id", "flag", "--use-azurerm-env-vars"); o.clientID != "arm" || o.clientSecret != "" {
		t.Errorf("%+v", o)
	}
	if o = parse(t, env, "--client-id", "flag", "--disable-environment-override"); o.clientID != "flag" || o.timeout != time.Minute {
		t.Errorf("%+v", o)
	}
	if o = parse(t, env, "-l", "azurepipelines"); o.clientID != "newer" || o.serviceConnection != "conn" {
		t.Errorf("%+v", o)
	}
}

func TestValidate(t *testing.T) {
	for _, args := range []string{
		"-l nonsense", "--authority-host login.test/", "--authority-host https://login.test", "--authority-host https:///", "--pop-enabled", "--pop-claims u=x",
		"--timeout 0s", "--timeout -1s", "--token-cache attic",
	} {
		if err := parse(t, nil, strings.Fields(args)...).validate(); err == nil {
			t.Errorf("%s is taken", args)
		}
	}
}

// TestNoSecretOfAnotherMode: a variable that is set for one mode is no part of the identity of another.
func TestNoSecretOfAnotherMode(t *testing.T) {
	r, err := parse(t, map[string]string{"AZURE_CLIENT_SECRET": "s", "AZURE_PASSWORD": "p"}, "-l", "devicecode", "--server-id", "x").request()
	if err != nil || r.Secret+r.Password != "" || r.Mode != ask.DeviceCode {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestFresh(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		obtained, expires time.Duration
		want              bool
	}{
		{0, time.Hour, true},
		{-55 * time.Minute, 4 * time.Minute, false},
		{-54 * time.Minute, 6 * time.Minute, true},
		{0, time.Minute, true},
		{-40 * time.Second, 20 * time.Second, false},
		{0, 15 * time.Second, true},
		{0, 9 * time.Second, false},
		{-time.Hour, -time.Second, false},
		{time.Hour, 2 * time.Hour, false}, // a clock that was set back
	} {
		if got := fresh(tokencache.Token{Obtained: now.Add(tt.obtained), Expires: now.Add(tt.expires)}, now); got != tt.want {
			t.Errorf("%+v: %v", tt, got)
		}
	}
}
