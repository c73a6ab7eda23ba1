package helm

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	yamlutil "k8s.io/apimachinery/pkg/util/yaml"
)

const dir = "../../deploy/helm/keyreeve"

func TestLint(t *testing.T) {
	for _, m := range lint.AllWithKubeVersion(dir, nil, "default", nil).Messages {
		if m.Severity >= support.WarningSev {
			t.Error(m)
		}
	}
}

// variants are values beside the chart's own.
func variants() map[string]map[string]any {
	return map[string]map[string]any{
		"as it comes": {},
		"certificates": {
			"tls":       map[string]any{"login": "login-tls", "graph": "graph-tls"},
			"authority": map[string]any{"configMap": "corporate-ca"},
		},
		"behind an ingress": {"proxy": map[string]any{"terminatesTLS": true, "trustedAddresses": []any{"10.0.0.0/8"}}},
		"all set": {
			"init": map[string]any{"enabled": false}, "podDisruptionBudget": map[string]any{"enabled": false},
			"federation":   map[string]any{"privateNetworks": []any{"10.20.0.0/16", "fd00::/8"}},
			"clientsClaim": "clients", "accessTokenLifetime": "30m",
			"imagePullSecrets": []any{map[string]any{"name": "pull"}}, "nodeSelector": map[string]any{"a": "b"},
			"tolerations": []any{map[string]any{"key": "x", "operator": "Exists"}},
			"affinity":    map[string]any{"nodeAffinity": map[string]any{}},
			"service":     map[string]any{"type": "LoadBalancer", "annotations": map[string]any{"c": "d"}},
		},
	}
}

func load(t *testing.T) *chart.Chart {
	t.Helper()
	c, err := loader.LoadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// render returns the objects that the chart makes, as texts.
func render(c *chart.Chart, values map[string]any) (map[string]string, error) {
	v, err := chartutil.ToRenderValues(c, values, chartutil.ReleaseOptions{Name: "kr", Namespace: "keyreeve", IsInstall: true, Revision: 1}, nil)
	if err != nil {
		return nil, err
	}
	return engine.Render(c, v)
}

// TestObjects reads every rendered object strictly as Kubernetes would, and the configuration in it as keyreeve does.
func TestObjects(t *testing.T) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, appsv1.AddToScheme, policyv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	for name, values := range variants() {
		t.Run(name, func(t *testing.T) {
			files, err := render(load(t), values)
			if err != nil {
				t.Fatal(err)
			}
			kinds := map[string]int{}
			for file, text := range files {
				if strings.HasSuffix(file, ".txt") {
					continue
				}
				docs := yamlutil.NewDocumentDecoder(io.NopCloser(strings.NewReader(text)))
				buf := make([]byte, 1<<20)
				for {
					n, err := docs.Read(buf)
					if errors.Is(err, io.EOF) {
						break
					}
					if err != nil {
						t.Fatal(err)
					}
					if len(bytes.TrimSpace(buf[:n])) == 0 {
						continue
					}
					o, gvk, err := decoder.Decode(buf[:n], nil, nil)
					if err != nil {
						t.Errorf("%s: %v\n%s", file, err, buf[:n])
						continue
					}
					kinds[gvk.Kind]++
					check(t, o)
				}
			}
			if kinds["ServiceAccount"] != 1 || kinds["Deployment"] != 1 || kinds["Service"] != 1 || kinds["ConfigMap"] != 1 {
				t.Errorf("objects: %v", kinds)
			}
		})
	}
}

func check(t *testing.T, o runtime.Object) {
	t.Helper()
	switch o := o.(type) {
	case *corev1.ConfigMap:
		file := filepath.Join(t.TempDir(), "keyreeve.yaml")
		if err := os.WriteFile(file, []byte(o.Data["keyreeve.yaml"]), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("../../bin/keyreeve", "config", "check", "--offline", file).CombinedOutput()
		if err != nil {
			t.Errorf("%v: %s\n%s", err, out, o.Data["keyreeve.yaml"])
		}
	case *appsv1.Deployment:
		pod := o.Spec.Template.Spec
		volumes := map[string]bool{}
		for _, v := range pod.Volumes {
			volumes[v.Name] = true
		}
		ports := map[string]bool{}
		for _, c := range append(pod.InitContainers, pod.Containers...) {
			for _, m := range c.VolumeMounts {
				if !volumes[m.Name] {
					t.Errorf("%s mounts %s, which is no volume", c.Name, m.Name)
				}
			}
			for _, p := range c.Ports {
				ports[p.Name] = true
			}
			if s := c.SecurityContext; s == nil || !*s.ReadOnlyRootFilesystem || *s.AllowPrivilegeEscalation {
				t.Errorf("%s may do more than it needs", c.Name)
			}
		}
		for _, p := range []string{"login", "arm", "graph", "gate", "health"} {
			if !ports[p] {
				t.Errorf("there is no port %s", p)
			}
		}
		if o.Spec.Selector.MatchLabels["app.kubernetes.io/instance"] != o.Spec.Template.Labels["app.kubernetes.io/instance"] {
			t.Error("the deployment does not select its pods")
		}
	}
}

// TestSaid holds that values come to stand in the configuration, beyond being read.
func TestSaid(t *testing.T) {
	files, err := render(load(t), variants()["all set"])
	if err != nil {
		t.Fatal(err)
	}
	text := files["keyreeve/templates/configmap.yaml"]
	for _, want := range []string{`privateNetworks: ["10.20.0.0/16","fd00::/8"]`, "clientsDir: /usr/share/keyreeve/clients", "accessTokenLifetime: 30m"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
}

// TestRefused holds that values which cannot work are refused before anything is installed.
func TestRefused(t *testing.T) {
	for name, test := range map[string]struct {
		values map[string]any
		want   string
	}{
		"misspelt":      {map[string]any{"replica": 3}, "replica"},
		"http":          {map[string]any{"origins": map[string]any{"login": "http://x"}}, "login"},
		"clear to all":  {map[string]any{"proxy": map[string]any{"terminatesTLS": true}}, "trustedAddresses"},
		"no replicas":   {map[string]any{"replicas": 0}, "replicas"},
		"secret no key": {map[string]any{"secrets": map[string]any{"dsn": map[string]any{"key": ""}}}, "key"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := render(load(t), test.values); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}
