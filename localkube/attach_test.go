package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/sets"
	authzconfig "k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/apis/apiserver/load"
	"k8s.io/apiserver/pkg/apis/apiserver/validation"
	authorizationcel "k8s.io/apiserver/pkg/authorization/cel"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"
	"sigs.k8s.io/yaml"
)

// What `keyreeve cluster attach` prints, as the main module's tests keep it. These tests hold it against Kubernetes' own
// types, which the main module must not know.
const printed = "../internal/kubewire/testdata"

// TestPrintedAuthorization reads the files strictly and checks them as an API server does at its start.
func TestPrintedAuthorization(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(printed, "authorization-1.*.yaml"))
	if err != nil || len(files) < 4 {
		t.Fatalf("%v %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		// The file that a kubeconfig is named by must be there.
		kubeconfig := filepath.Join(t.TempDir(), "authorization.kubeconfig")
		content, err := os.ReadFile(filepath.Join(printed, "authorization.kubeconfig"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(kubeconfig, content, 0o600); err != nil {
			t.Fatal(err)
		}
		text = regexp.MustCompile(`kubeConfigFile: .*`).ReplaceAll(text, []byte("kubeConfigFile: "+kubeconfig))
		config, err := load.LoadFromData(text)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		errs := validation.ValidateAuthorizationConfiguration(authorizationcel.NewDefaultCompiler(), nil, config,
			sets.New("Webhook", "Node", "RBAC"), sets.New("Webhook"))
		for _, err := range errs {
			t.Errorf("%s: %v", file, err)
		}
		if a := config.Authorizers; len(a) != 3 || a[0].Type != authzconfig.TypeWebhook || a[0].Webhook.FailurePolicy != authzconfig.FailurePolicyDeny || a[2].Type != "RBAC" {
			t.Errorf("%s: chain %+v", file, a)
		}
		// A caching that is not switched off is at most as long as can be.
		if w := config.Authorizers[0].Webhook; w.AuthorizedTTL.Milliseconds() != 1 || w.UnauthorizedTTL.Milliseconds() != 1 {
			t.Errorf("%s: caches %v %v", file, w.AuthorizedTTL, w.UnauthorizedTTL)
		}
	}
	if config, err := load.LoadFromFile(filepath.Join(printed, "authorization-1.37.yaml")); err != nil || config.Authorizers[0].Webhook.CacheAuthorizedRequests || config.Authorizers[0].Webhook.CacheUnauthorizedRequests {
		t.Errorf("1.37 caches: %v", err)
	}
}

// TestPrintedKubeconfigs reads the webhooks' kubeconfigs as client-go does.
func TestPrintedKubeconfigs(t *testing.T) {
	for name, path := range map[string]string{"authorization.kubeconfig": "/subjectaccessreview", "authentication.kubeconfig": "/tokenreview"} {
		config, err := clientcmd.LoadFromFile(filepath.Join(printed, name))
		if err != nil {
			t.Fatal(err)
		}
		c := config.Contexts[config.CurrentContext]
		if c == nil || config.Clusters[c.Cluster] == nil || config.AuthInfos[c.AuthInfo] == nil {
			t.Fatalf("%s: its context is not whole", name)
		}
		if server := config.Clusters[c.Cluster].Server; !strings.HasPrefix(server, "https://") || !strings.HasSuffix(server, path) {
			t.Errorf("%s: %s", name, server)
		}
		if a := config.AuthInfos[c.AuthInfo]; a.ClientCertificate == "" || a.ClientKey == "" || config.Clusters[c.Cluster].CertificateAuthority == "" {
			t.Errorf("%s: no files", name)
		}
	}
}

// TestPrintedFlags: the API server has every flag that is printed.
func TestPrintedFlags(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(printed, "apiserver-k3s-1.37.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string][]string
	if err := yaml.UnmarshalStrict(text, &doc); err != nil {
		t.Fatal(err)
	}
	o := options.NewServerRunOptions()
	known := map[string]bool{}
	sets := o.Flags()
	for _, set := range sets.FlagSets {
		for _, arg := range doc["kube-apiserver-arg"] {
			name, value, _ := strings.Cut(arg, "=")
			if f := set.Lookup(name); f != nil {
				known[name] = true
				if err := f.Value.Set(value); err != nil {
					t.Errorf("--%s: %v", arg, err)
				}
			}
		}
	}
	if len(doc["kube-apiserver-arg"]) != 5 || len(known) != 5 {
		t.Errorf("%v, known %v", doc, known)
	}
}
