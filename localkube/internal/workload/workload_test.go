package workload

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/kubernetes/pkg/apis/core"
)

func newPlugin(t *testing.T, accounts ...*corev1.ServiceAccount) admission.MutationInterface {
	t.Helper()
	client := fake.NewClientset()
	for _, a := range accounts {
		if _, err := client.CoreV1().ServiceAccounts(a.Namespace).Create(t.Context(), a, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	p := &plugin{Handler: admission.NewHandler(admission.Create), config: Config{TenantID: "tenant", AuthorityHost: "https://login.test/"}}
	f := informers.NewSharedInformerFactory(client, 0)
	p.SetExternalKubeClientSet(client)
	p.SetExternalKubeInformerFactory(f)
	f.Start(t.Context().Done())
	f.WaitForCacheSync(t.Context().Done())
	if err := p.ValidateInitialization(); err != nil {
		t.Fatal(err)
	}
	return p
}

func admit(t *testing.T, p admission.MutationInterface, pod *core.Pod) error {
	t.Helper()
	return p.Admit(t.Context(), admission.NewAttributesRecord(pod, nil, core.Kind("Pod").WithVersion("v1"), "shop", "web",
		core.Resource("pods").WithVersion("v1"), "", admission.Create, nil, false, nil), nil)
}

func account(annotations map[string]string) *corev1.ServiceAccount {
	return &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", Annotations: annotations}}
}

func newPod(annotations map[string]string) *core.Pod {
	return &core.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", Labels: map[string]string{useLabel: "true"}, Annotations: annotations},
		Spec: core.PodSpec{
			ServiceAccountName: "web", InitContainers: []core.Container{{Name: "init"}},
			Containers: []core.Container{{Name: "app", Env: []core.EnvVar{{Name: "AZURE_TENANT_ID", Value: "its own"}}}, {Name: "side"}},
		},
	}
}

func env(c core.Container, name string) string {
	if i := slices.IndexFunc(c.Env, func(e core.EnvVar) bool { return e.Name == name }); i >= 0 {
		return c.Env[i].Value
	}
	return ""
}

func TestInject(t *testing.T) {
	p := newPlugin(t, account(map[string]string{clientID: "client", expiration: "7200"}))
	pod := newPod(map[string]string{skip: " side ; other"})
	if err := admit(t, p, pod); err != nil {
		t.Fatal(err)
	}
	for _, c := range []core.Container{pod.Spec.InitContainers[0], pod.Spec.Containers[0]} {
		if env(c, "AZURE_CLIENT_ID") != "client" || env(c, "AZURE_FEDERATED_TOKEN_FILE") != "/var/run/secrets/azure/wi/token/azure-identity-token" ||
			env(c, "AZURE_AUTHORITY_HOST") != "https://login.test/" || len(c.VolumeMounts) != 1 || !c.VolumeMounts[0].ReadOnly {
			t.Errorf("%+v", c)
		}
	}
	if got := env(pod.Spec.Containers[0], "AZURE_TENANT_ID") + ", " + env(pod.Spec.InitContainers[0], "AZURE_TENANT_ID"); got != "its own, tenant" {
		t.Error(got)
	}
	if c := pod.Spec.Containers[1]; len(c.Env)+len(c.VolumeMounts) != 0 {
		t.Errorf("a skipped container was changed: %+v", c)
	}
	v := pod.Spec.Volumes
	if len(v) != 1 || !strings.HasPrefix(v[0].Name, "azure-workload-identity-reserved-") {
		t.Fatalf("%+v", v)
	}
	if s := v[0].Projected.Sources[0].ServiceAccountToken; s.Audience != audience || *s.ExpirationSeconds != 7200 || s.Path != "token/azure-identity-token" {
		t.Errorf("%+v", s)
	}
	// Doing it again, as reinvocation does, adds nothing.
	before := pod.DeepCopy()
	if err := admit(t, p, pod); err != nil || len(pod.Spec.Volumes) != 1 || len(pod.Spec.Containers[0].Env) != len(before.Spec.Containers[0].Env) {
		t.Error("it was added twice", err)
	}
}

func TestNotAsked(t *testing.T) {
	p := newPlugin(t)
	for _, value := range []string{"", "false", "True", "yes"} {
		pod := newPod(nil)
		pod.Labels[useLabel] = value
		if err := admit(t, p, pod); err != nil || len(pod.Spec.Volumes) != 0 {
			t.Errorf("%q: %v", value, err)
		}
	}
}

func TestRefused(t *testing.T) {
	for name, row := range map[string]struct {
		account *corev1.ServiceAccount
		pod     map[string]string
		want    string
	}{
		"no service account": {nil, nil, "shop/web"},
		"too short":          {account(map[string]string{expiration: "3599"}), nil, "token expiration 3599 not valid. Expected value to be between 3600 and 86400"},
		"too long":           {account(nil), map[string]string{expiration: "86401"}, "token expiration 86401 not valid"},
		"no number":          {account(nil), map[string]string{expiration: "1h"}, "whole number"},
		"the pod wins":       {account(map[string]string{expiration: "3600"}), map[string]string{expiration: "1"}, "token expiration 1 not valid"},
		"a proxy":            {account(nil), map[string]string{proxySidecar: "true"}, "not offered"},
	} {
		t.Run(name, func(t *testing.T) {
			var accounts []*corev1.ServiceAccount
			if row.account != nil {
				accounts = append(accounts, row.account)
			}
			err := admit(t, newPlugin(t, accounts...), newPod(row.pod))
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("%v, want %q", err, row.want)
			}
		})
	}
}
