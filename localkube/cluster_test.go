package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	authentication "k8s.io/api/authentication/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/keyreeve/keyreeve/localkube/internal/control"
	"github.com/keyreeve/keyreeve/localkube/internal/spec"
	"github.com/keyreeve/keyreeve/localkube/internal/spectest"
)

// world is one cluster that a sequence of tests works on.
type world struct {
	*spectest.Cluster
	whole *testing.T // the process outlives the steps
	hooks *hooks
	p     *process
	admin kubernetes.Interface
}

func TestCluster(t *testing.T) {
	w := &world{Cluster: spectest.New(t, 3), whole: t}
	w.Spec.Listen = freePort(t)
	w.Spec.OrphanTimeout = spec.Duration(time.Minute) // if this test dies, the process does
	w.Spec.Nodes[2].Taints = []spec.Taint{{Key: "CriticalAddonsOnly", Value: "true", Effect: "PreferNoSchedule"}}
	w.hooks = startHooks(t, w.Cluster)
	w.p = launch(t, w.Spec)
	t.Logf("ready after %s", w.p.waitReady().Round(time.Millisecond))
	w.p.watch()
	w.admin = w.client(t, &rest.Config{TLSClientConfig: certificate(w.Clients.Client("root", "system:masters"))})

	for _, step := range []struct {
		name string
		run  func(*world, *testing.T)
	}{
		{"status", (*world).testStatus},
		{"version", (*world).testVersion},
		{"without credentials", (*world).testAnonymous},
		{"feature gates", (*world).testGates},
		{"nodes", (*world).testNodes},
		{"deployment", (*world).testDeployment},
		{"pods", (*world).testPods},
		{"streams", (*world).testStreams},
		{"job", (*world).testJob},
		{"service account", (*world).testServiceAccount},
		{"certificate user", (*world).testCertificateUser},
		{"token user", (*world).testTokenUser},
		{"webhook down", (*world).testWebhookDown},
		{"second process", (*world).testSecondProcess},
		{"replace nodes", (*world).testReplaceNodes},
		{"kill", (*world).testKill},
		{"stop", (*world).testStop},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.run(w, t) }) {
			return // what follows builds on it
		}
	}
}

func certificate(p spec.KeyPair) rest.TLSClientConfig {
	return rest.TLSClientConfig{CertData: []byte(p.Cert), KeyData: []byte(p.Key)}
}

func (w *world) config(c *rest.Config) *rest.Config {
	c.Host, c.CAData, c.QPS = "https://"+w.Spec.Listen, []byte(w.Servers.PEM), -1
	return c
}

func (w *world) client(t *testing.T, c *rest.Config) kubernetes.Interface {
	t.Helper()
	client, err := kubernetes.NewForConfig(w.config(c))
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func (w *world) testStatus(t *testing.T) {
	got := w.p.status()
	if time.Since(got.StartedAt) > time.Minute || got.StartedAt.IsZero() {
		t.Errorf("startedAt is %s", got.StartedAt)
	}
	got.StartedAt = time.Time{}
	want := control.Status{
		Name: "c1", PID: w.p.cmd.Process.Pid, Generation: 7, Phase: control.Ready, Ready: true,
		Version: "v1.37.2", Nodes: control.NodeCount{Want: 3, Ready: 3},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	fi, err := os.Stat(w.Spec.ControlSocket)
	if err != nil {
		t.Fatal(err)
	}
	if fi.Mode().Perm() != 0o600 {
		t.Errorf("control socket has mode %s", fi.Mode())
	}
	var refusal map[string]string
	if code := w.p.call(http.MethodGet, "/nothing", "", &refusal); code != http.StatusNotFound || refusal["error"] == "" {
		t.Errorf("an unknown path answers %d %v", code, refusal)
	}
}

func (w *world) testVersion(t *testing.T) {
	v, err := w.admin.Discovery().ServerVersion()
	if err != nil {
		t.Fatal(err)
	}
	if v.GitVersion != "v1.37.2" || v.Major != "1" || v.Minor != "37" || v.GitTreeState != "clean" {
		t.Errorf("version is %+v", v)
	}
}

func (w *world) testAnonymous(t *testing.T) {
	client, err := rest.HTTPClientFor(w.config(&rest.Config{}))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{
		"/readyz": 200, "/livez": 200, "/healthz": 200,
		"/version": 401, "/api": 401, "/apis": 401, "/api/v1/pods": 401, "/metrics": 401, "/openid/v1/jwks": 401,
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+w.Spec.Listen+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("GET %s answers %d, want %d", path, res.StatusCode, want)
		}
	}
}

func (w *world) testGates(t *testing.T) {
	metrics, err := w.admin.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := `kubernetes_feature_enabled{name="ConstrainedImpersonation",stage="BETA"} 0`; !bytes.Contains(metrics, []byte(want)) {
		t.Errorf("metrics do not have %s", want)
	}
}

func (w *world) testNodes(t *testing.T) {
	list, err := w.admin.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Items) != 3 {
		t.Fatalf("%d nodes", len(list.Items))
	}
	ips := map[string]bool{}
	for _, n := range list.Items {
		if !nodeReady(&n) {
			t.Errorf("%s is not ready", n.Name)
		}
		for k, v := range map[string]string{
			"agentpool": "nodepool1", "kubernetes.azure.com/agentpool": "nodepool1", "kubernetes.azure.com/role": "agent",
			"kubernetes.azure.com/mode": "system", "kubernetes.azure.com/cluster": "c1",
			"kubernetes.io/hostname": n.Name, "node.kubernetes.io/instance-type": "Standard_DS2_v2",
		} {
			if n.Labels[k] != v {
				t.Errorf("%s: label %s is %q, want %q", n.Name, k, n.Labels[k], v)
			}
		}
		if got := n.Status.NodeInfo.KubeletVersion; got != "v1.37.2" {
			t.Errorf("%s: kubelet is %s", n.Name, got)
		}
		ips[n.Status.Addresses[0].Address] = true
		lease, err := w.admin.CoordinationV1().Leases("kube-node-lease").Get(t.Context(), n.Name, metav1.GetOptions{})
		if err != nil || time.Since(lease.Spec.RenewTime.Time) > 20*time.Second {
			t.Errorf("%s: lease is %v, %v", n.Name, lease, err)
		}
	}
	want := map[string]bool{"10.224.0.4": true, "10.224.0.5": true, "10.224.0.6": true}
	if diff := cmp.Diff(want, ips); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"agent", "agent", "agent"}, w.column(t, "Roles")); diff != "" {
		t.Errorf("what kubectl prints under ROLES (-want +got):\n%s", diff)
	}
	eventually(t, 3*time.Second, "only own taints", func() error {
		list, err := w.admin.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		var taints []string
		for _, n := range list.Items {
			for _, taint := range n.Spec.Taints {
				taints = append(taints, taint.ToString())
			}
		}
		if diff := cmp.Diff([]string{"CriticalAddonsOnly=true:PreferNoSchedule"}, taints); diff != "" {
			return notYet("taints (-want +got):\n%s", diff)
		}
		return nil
	})
}

// column is a column of the table of nodes as the API server prints it.
func (w *world) column(t *testing.T, name string) []string {
	t.Helper()
	raw, err := w.admin.CoreV1().RESTClient().Get().Resource("nodes").
		SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var table metav1.Table
	if err := json.Unmarshal(raw, &table); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(table.ColumnDefinitions, func(d metav1.TableColumnDefinition) bool { return d.Name == name })
	if i < 0 {
		t.Fatalf("no column %s", name)
	}
	var cells []string
	for _, r := range table.Rows {
		cells = append(cells, fmt.Sprint(r.Cells[i]))
	}
	return cells
}

func nodeReady(n *corev1.Node) bool {
	return slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

func podSpec(policy corev1.RestartPolicy) corev1.PodSpec {
	return corev1.PodSpec{RestartPolicy: policy, Containers: []corev1.Container{{Name: "main", Image: "registry.example/web:1"}}}
}

func (w *world) deploy(t *testing.T, name string, replicas int32) {
	t.Helper()
	labels := map[string]string{"app": name}
	_, err := w.admin.AppsV1().Deployments("default").Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: podSpec(corev1.RestartPolicyAlways)},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) scale(t *testing.T, name string, replicas int) {
	t.Helper()
	patch := fmt.Sprintf(`{"spec":{"replicas":%d}}`, replicas)
	_, err := w.admin.AppsV1().Deployments("default").Patch(t.Context(), name, "application/merge-patch+json", []byte(patch), metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

// running waits until a deployment has exactly as many pods as that, all running and available.
func (w *world) running(t *testing.T, name string, replicas int, within time.Duration) []corev1.Pod {
	t.Helper()
	var pods []corev1.Pod
	took := eventually(t, within, fmt.Sprintf("%d pods of %s", replicas, name), func() error {
		list, err := w.admin.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{LabelSelector: "app=" + name})
		if err != nil {
			return err
		}
		up := 0
		for _, p := range list.Items {
			if p.Status.Phase == corev1.PodRunning && p.DeletionTimestamp == nil {
				up++
			}
		}
		d, err := w.admin.AppsV1().Deployments("default").Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if up != replicas || len(list.Items) != replicas || int(d.Status.AvailableReplicas) != replicas {
			return notYet("%d pods, %d running, %d available", len(list.Items), up, d.Status.AvailableReplicas)
		}
		pods = list.Items
		return nil
	})
	t.Logf("%s has %d pods after %s", name, replicas, took.Round(time.Millisecond))
	return pods
}

func (w *world) testDeployment(t *testing.T) {
	w.deploy(t, "web", 3)
	cidr := netip.MustParsePrefix(w.Spec.PodCIDR)
	ips := map[string]bool{}
	for _, p := range w.running(t, "web", 3, 10*time.Second) {
		if ip, err := netip.ParseAddr(p.Status.PodIP); err != nil || !cidr.Contains(ip) || ips[p.Status.PodIP] {
			t.Errorf("%s has address %q", p.Name, p.Status.PodIP)
		}
		ips[p.Status.PodIP] = true
		if c := p.Status.ContainerStatuses; len(c) != 1 || !c[0].Ready || c[0].State.Running == nil {
			t.Errorf("%s has containers %+v", p.Name, c)
		}
		if p.Status.StartTime == nil || p.Status.HostIP == "" {
			t.Errorf("%s has start %v, host %q", p.Name, p.Status.StartTime, p.Status.HostIP)
		}
	}
	w.scale(t, "web", 100)
	w.running(t, "web", 100, 20*time.Second)
	w.scale(t, "web", 3)
	w.running(t, "web", 3, 20*time.Second)
}

func (w *world) pod(t *testing.T, name string, annotations map[string]string, s corev1.PodSpec) {
	t.Helper()
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: annotations}, Spec: s}
	// The default service account is made by a controller.
	eventually(t, 5*time.Second, "pod "+name, func() error {
		_, err := w.admin.CoreV1().Pods("default").Create(t.Context(), p, metav1.CreateOptions{})
		return err
	})
}

func (w *world) phase(t *testing.T, name string, want corev1.PodPhase) *corev1.Pod {
	t.Helper()
	var pod *corev1.Pod
	eventually(t, 8*time.Second, name+" is "+string(want), func() error {
		p, err := w.admin.CoreV1().Pods("default").Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if p.Status.Phase != want {
			return notYet("it is %s", p.Status.Phase)
		}
		pod = p
		return nil
	})
	return pod
}

func (w *world) testPods(t *testing.T) {
	prepared := podSpec(corev1.RestartPolicyAlways)
	prepared.InitContainers = []corev1.Container{{Name: "first", Image: "a"}, {Name: "second", Image: "b"}}
	w.pod(t, "prepared", nil, prepared)
	w.pod(t, "once", nil, podSpec(corev1.RestartPolicyNever))
	w.pod(t, "stays", map[string]string{"keyreeve.io/pretend": "running"}, podSpec(corev1.RestartPolicyNever))

	p := w.phase(t, "prepared", corev1.PodRunning)
	var names []string
	for _, c := range p.Status.InitContainerStatuses {
		if c.State.Terminated == nil || c.State.Terminated.ExitCode != 0 {
			t.Errorf("init container %s is %+v", c.Name, c.State)
		}
		names = append(names, c.Name)
	}
	if diff := cmp.Diff([]string{"first", "second"}, names); diff != "" {
		t.Errorf("init containers (-want +got):\n%s", diff)
	}
	w.phase(t, "stays", corev1.PodRunning)
	w.phase(t, "once", corev1.PodSucceeded)
	w.phase(t, "stays", corev1.PodRunning)

	for _, name := range []string{"prepared", "once", "stays"} {
		if err := w.admin.CoreV1().Pods("default").Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, 3*time.Second, "pods are gone", func() error {
		for _, name := range []string{"prepared", "once", "stays"} {
			if _, err := w.admin.CoreV1().Pods("default").Get(t.Context(), name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
				return notYet("%s: %v", name, err)
			}
		}
		return nil
	})
}

func (w *world) testJob(t *testing.T) {
	two := int32(2)
	_, err := w.admin.BatchV1().Jobs("default").Create(t.Context(), &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "work"},
		Spec: batchv1.JobSpec{
			Completions: &two, Parallelism: &two,
			Template: corev1.PodTemplateSpec{Spec: podSpec(corev1.RestartPolicyOnFailure)},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	took := eventually(t, 15*time.Second, "job completes", func() error {
		j, err := w.admin.BatchV1().Jobs("default").Get(t.Context(), "work", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if j.Status.CompletionTime == nil || j.Status.Succeeded != 2 {
			return notYet("%+v", j.Status)
		}
		return nil
	})
	t.Logf("job complete after %s", took.Round(time.Millisecond))
}

func (w *world) testServiceAccount(t *testing.T) {
	ctx := t.Context()
	if _, err := w.admin.CoreV1().ServiceAccounts("default").Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "robot"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	token, err := w.admin.CoreV1().ServiceAccounts("default").CreateToken(ctx, "robot", &authentication.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	robot := w.client(t, &rest.Config{BearerToken: token.Status.Token})
	if _, err := robot.CoreV1().Pods("default").List(ctx, metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("without a role: %v, want forbidden", err)
	}
	_, err = w.admin.RbacV1().RoleBindings("default").Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "robot"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "edit"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: "default", Name: "robot"}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, 3*time.Second, "service account reads pods", func() error {
		_, err := robot.CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
		return err
	})
	if _, err := w.admin.CoreV1().Secrets("default").Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "robot", Annotations: map[string]string{corev1.ServiceAccountNameKey: "robot"}},
		Type:       corev1.SecretTypeServiceAccountToken,
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, 3*time.Second, "lasting token is made and works", func() error {
		s, err := w.admin.CoreV1().Secrets("default").Get(ctx, "robot", metav1.GetOptions{})
		if err != nil {
			return err
		}
		_, err = w.client(t, &rest.Config{BearerToken: string(s.Data["token"])}).CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
		return err
	})
	ca, err := w.admin.CoreV1().ConfigMaps("default").Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
	if err != nil || ca.Data["ca.crt"] != w.Servers.PEM {
		t.Errorf("published authority is %v, %v", ca, err)
	}
	if asked := w.hooks.about(func(u string) bool { return strings.HasPrefix(u, "system:") }); len(asked) > 0 {
		t.Errorf("the webhook was asked about %s", asked[0].User)
	}
}

func (w *world) testCertificateUser(t *testing.T) {
	ctx := t.Context()
	pair := w.Clients.Client("clusteradmin", "keyreeve:admins")
	client := w.client(t, &rest.Config{TLSClientConfig: certificate(pair)})
	read := func() error {
		_, err := client.CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
		return err
	}
	if err := read(); !apierrors.IsForbidden(err) {
		t.Errorf("with no opinion and no role: %v, want forbidden", err)
	}
	asked := w.hooks.about(func(u string) bool { return u == "clusteradmin" })
	if len(asked) == 0 {
		t.Fatal("the webhook was not asked")
	}
	block, _ := pem.Decode([]byte(pair.Cert))
	sum := sha256.Sum256(block.Bytes)
	want := "X509SHA256=" + hex.EncodeToString(sum[:])
	if diff := cmp.Diff([]string{want}, []string(asked[0].Extra["authentication.kubernetes.io/credential-id"])); diff != "" {
		t.Errorf("credential id (-want +got):\n%s", diff)
	}
	if !slices.Contains(asked[0].Groups, "keyreeve:admins") || asked[0].ResourceAttributes.Resource != "pods" {
		t.Errorf("the webhook was asked %+v", asked[0])
	}
	// No answer is remembered: each takes effect with the next request.
	for range 3 {
		w.hooks.decide("clusteradmin", true)
		if err := read(); err != nil {
			t.Errorf("when allowed: %v", err)
		}
		w.hooks.decide("clusteradmin", false)
		if err := read(); !apierrors.IsForbidden(err) {
			t.Errorf("when denied: %v, want forbidden", err)
		}
	}
}

func (w *world) testTokenUser(t *testing.T) {
	ctx := t.Context()
	client := w.client(t, &rest.Config{BearerToken: "alices-token"})
	read := func() error {
		_, err := client.CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
		return err
	}
	if err := read(); !apierrors.IsUnauthorized(err) {
		t.Errorf("an unknown token: %v, want unauthorized", err)
	}
	w.hooks.decide("alice", true)
	w.hooks.grant("alices-token", "alice")
	if err := read(); err != nil {
		t.Errorf("a good token that was unknown before: %v", err)
	}
	for range 2 {
		if err := read(); err != nil {
			t.Fatal(err)
		}
		w.hooks.revoke("alices-token")
		took := eventually(t, time.Second, "revoked token is refused", func() error {
			if err := read(); !apierrors.IsUnauthorized(err) {
				return notYet("%v", err)
			}
			return nil
		})
		t.Logf("revoked token refused after %s", took.Round(time.Millisecond))
		w.hooks.grant("alices-token", "alice")
	}
}

func (w *world) testWebhookDown(t *testing.T) {
	ctx := t.Context()
	w.hooks.decide("clusteradmin", true)
	admin := w.client(t, &rest.Config{TLSClientConfig: certificate(w.Clients.Client("clusteradmin"))})
	alice := w.client(t, &rest.Config{BearerToken: "alices-token"})
	token, err := w.admin.CoreV1().ServiceAccounts("default").CreateToken(ctx, "robot", &authentication.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	robot := w.client(t, &rest.Config{BearerToken: token.Status.Token})
	list := func(c kubernetes.Interface) error {
		_, err := c.CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
		return err
	}
	for name, c := range map[string]kubernetes.Interface{"admin": admin, "alice": alice, "robot": robot} {
		if err := list(c); err != nil {
			t.Fatalf("%s, before: %v", name, err)
		}
	}
	w.hooks.down()
	if err := list(admin); err == nil {
		t.Error("an admin whom the webhook decides about is let in without it")
	}
	eventually(t, 2*time.Second, "token user is refused", func() error {
		if list(alice) == nil {
			return notYet("let in")
		}
		return nil
	})
	begin := time.Now()
	if err := list(robot); err != nil {
		t.Errorf("service account: %v", err)
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("service account waits for %s", took)
	}
	w.scale(t, "web", 5)
	w.running(t, "web", 5, 10*time.Second)
	w.hooks.up()
	if err := list(admin); err != nil {
		t.Errorf("admin, after: %v", err)
	}
}

func (w *world) testSecondProcess(t *testing.T) {
	second := *w.Spec
	second.ControlSocket += "2"
	second.Listen = freePort(t)
	p := launch(t, &second)
	if code := p.waitEnd(10 * time.Second); code != 3 {
		t.Errorf("exit code %d, want 3", code)
	}
	if !strings.Contains(p.log.String(), "another localkube runs on this data directory") {
		t.Errorf("log is %s", p.log.String())
	}
	if s := w.p.status(); !s.Ready {
		t.Errorf("the first is %+v", s)
	}
}

func (w *world) testReplaceNodes(t *testing.T) {
	put := func(nodes []spec.Node) {
		t.Helper()
		b, err := json.Marshal(nodes)
		if err != nil {
			t.Fatal(err)
		}
		if code := w.p.call(http.MethodPut, "/nodes", string(b), nil); code != http.StatusOK {
			t.Fatalf("answers %d", code)
		}
	}
	names := func(want []spec.Node) {
		t.Helper()
		eventually(t, 5*time.Second, fmt.Sprintf("%d nodes", len(want)), func() error {
			list, err := w.admin.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
			if err != nil {
				return err
			}
			got, wanted := map[string]bool{}, map[string]bool{}
			for _, n := range list.Items {
				got[n.Name] = nodeReady(&n)
			}
			for _, n := range want {
				wanted[n.Name] = true
			}
			if s := w.p.status(); !maps.Equal(got, wanted) || !s.Ready || s.Nodes.Want != len(want) {
				return notYet("nodes %v, status %+v", got, s)
			}
			return nil
		})
	}
	w.scale(t, "web", 12)
	w.running(t, "web", 12, 10*time.Second)
	four := spectest.Nodes(4)
	four[3].Labels = map[string]string{"kubernetes.azure.com/mode": "user"}
	put(four)
	names(four)
	n, err := w.admin.CoreV1().Nodes().Get(t.Context(), four[3].Name, metav1.GetOptions{})
	if err != nil || n.Labels["kubernetes.azure.com/mode"] != "user" {
		t.Errorf("the new node is %v, %v", n, err)
	}
	eventually(t, 3*time.Second, "the third node's taint is gone", func() error {
		n, err := w.admin.CoreV1().Nodes().Get(t.Context(), four[2].Name, metav1.GetOptions{})
		if err != nil || len(n.Spec.Taints) > 0 {
			return notYet("%v %v", n.Spec.Taints, err)
		}
		return nil
	})
	put(four[1:3])
	names(four[1:3])
	eventually(t, 5*time.Second, "pods are on the nodes that are left", func() error {
		for _, p := range w.running(t, "web", 12, 10*time.Second) {
			if p.Spec.NodeName != four[1].Name && p.Spec.NodeName != four[2].Name {
				return notYet("%s is on %s", p.Name, p.Spec.NodeName)
			}
		}
		return nil
	})
	for _, body := range []string{"", "{}", "null", `[{"name":"x"}]`, `[{"name":"x","pool":"p","vmSize":"s","more":1}]`, `[] []`} {
		var refusal map[string]string
		if code := w.p.call(http.MethodPut, "/nodes", body, &refusal); code != http.StatusBadRequest || refusal["error"] == "" {
			t.Errorf("PUT %s answers %d %v", body, code, refusal)
		}
	}
	names(four[1:3])
}

func (w *world) testKill(t *testing.T) {
	gone := w.p.watch()
	stop := make(chan struct{})
	last := make(chan int)
	go func() {
		written := 0
		for {
			select {
			case <-stop:
				last <- written
				return
			default:
			}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			_, err := w.admin.CoreV1().ConfigMaps("default").Create(ctx,
				&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("written-%d", written+1)}}, metav1.CreateOptions{})
			cancel()
			if err == nil {
				written++
			}
		}
	}()
	time.Sleep(500 * time.Millisecond)
	if err := w.p.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case <-gone:
	case <-time.After(time.Second):
		t.Error("GET /alive does not end with the process")
	}
	close(stop)
	written := <-last
	w.p.waitEnd(time.Second)
	if _, err := os.Lstat(w.Spec.ControlSocket); err != nil {
		t.Errorf("the killed process left no socket to clean up: %v", err)
	}

	w.Spec.Nodes = spectest.Nodes(3)
	w.Spec.Generation++
	w.p = launch(w.whole, w.Spec)
	t.Logf("ready again after %s, with %d objects written before the kill", w.p.waitReady().Round(time.Millisecond), written)
	w.p.watch()
	if s := w.p.status(); s.Generation != 8 || s.Nodes.Ready != 3 {
		t.Errorf("status is %+v", s)
	}
	if written == 0 {
		t.Error("nothing was written before the kill")
	}
	for i := range written {
		if _, err := w.admin.CoreV1().ConfigMaps("default").Get(t.Context(), fmt.Sprintf("written-%d", i+1), metav1.GetOptions{}); err != nil {
			t.Errorf("object %d of %d is lost: %v", i+1, written, err)
		}
	}
	w.running(t, "web", 12, 10*time.Second)
	w.scale(t, "web", 2)
	w.running(t, "web", 2, 10*time.Second)
}

func (w *world) testStop(t *testing.T) {
	// A watch that is open must not hold the end up.
	watch, err := w.admin.CoreV1().Pods("").Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Stop()
	if code := w.p.call(http.MethodPost, "/stop", "", nil); code != http.StatusAccepted {
		t.Errorf("stop answers %d", code)
	}
	begin := time.Now()
	if code := w.p.waitEnd(stopTimeout); code != 0 {
		t.Errorf("exit code %d", code)
	}
	t.Logf("stopped after %s", time.Since(begin).Round(time.Millisecond))
	if strings.Contains(w.p.log.String(), "did not stop in time") {
		t.Errorf("not everything stopped:\n%s", w.p.log.String())
	}
	if _, err := os.Lstat(w.Spec.ControlSocket); !os.IsNotExist(err) {
		t.Errorf("control socket is still there: %v", err)
	}
	for _, dir := range []string{"/dev/shm", os.TempDir()} { //nolint:usetesting // where localkube puts it
		entries, err := os.ReadDir(dir)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		sum := sha256.Sum256([]byte(w.Spec.DataDir))
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), hex.EncodeToString(sum[:8])) {
				t.Errorf("%s is left in %s", e.Name(), dir)
			}
		}
	}
	secrets := [][]byte{[]byte("PRIVATE KEY")}
	for _, k := range []string{w.Spec.PKI.Serving.Key, w.Spec.PKI.ServiceAccount.SigningKey, w.Spec.PKI.Operator.Key} {
		block, _ := pem.Decode([]byte(k))
		secrets = append(secrets, block.Bytes)
	}
	err = filepath.WalkDir(w.Spec.DataDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		for _, s := range secrets {
			if bytes.Contains(b, s) {
				t.Errorf("%s holds a key", path)
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if log := w.p.log.String(); strings.Contains(log, "PRIVATE KEY") || strings.Contains(log, "alices-token") {
		t.Error("the log holds a secret")
	}
}

// TestAlone runs a cluster with no webhooks and no nodes, whose output nobody reads and whom nobody looks after.
func TestAlone(t *testing.T) {
	c := spectest.New(t, 0)
	c.Spec.Listen = freePort(t)
	c.Spec.OrphanTimeout = spec.Duration(2 * time.Second)
	p := launchUnread(t, c.Spec)
	w := &world{Cluster: c, p: p}
	eventually(t, 10*time.Second, "control socket", func() error {
		_, err := os.Lstat(c.Spec.ControlSocket)
		return err
	})
	eventually(t, 5*time.Second, "control API", func() error {
		conn, err := net.Dial("unix", c.Spec.ControlSocket)
		if err == nil {
			_ = conn.Close()
		}
		return err
	})
	held, release := context.WithCancel(t.Context())
	defer release()
	req, err := http.NewRequestWithContext(held, http.MethodGet, "http://localkube/alive", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := p.http().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	eventually(t, startTimeout, "ready", func() error {
		if s := p.status(); !s.Ready {
			return notYet("%+v", s)
		}
		return nil
	})
	// The user has no role; without a webhook that means no.
	user := w.client(t, &rest.Config{TLSClientConfig: certificate(c.Clients.Client("somebody"))})
	if _, err := user.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("a user without a role: %v, want forbidden", err)
	}
	time.Sleep(2500 * time.Millisecond) // longer than the timeout, but it is held
	if s := p.status(); s.Phase != control.Ready {
		t.Errorf("phase is %s", s.Phase)
	}
	release()
	if code := p.waitEnd(2*time.Second + stopTimeout); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestRefused says what the command line and a wrong document lead to.
func TestRefused(t *testing.T) {
	valid, err := json.Marshal(spectest.New(t, 1).Spec)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name  string
		args  []string
		stdin string
		code  int
		says  string
	}{
		{"no command", nil, "", 2, "usage"},
		{"unknown command", []string{"walk"}, "", 2, "usage"},
		{"unknown flag", []string{"run", "-fast"}, "", 2, "fast"},
		{"too many arguments", []string{"run", "spec.json"}, "", 2, "usage"},
		{"no document", []string{"run"}, "", 2, "empty"},
		{"unknown field", []string{"run"}, `{"nom":"c1"}`, 2, "nom"},
		{"invalid document", []string{"run"}, strings.Replace(string(valid), `"listen":"127.0.0.1:10443"`, `"listen":"here"`, 1), 2, "listen: must be IP:PORT"},
	} {
		t.Run(row.name, func(t *testing.T) {
			cmd := exec.Command(program(), row.args...)
			cmd.Stdin = strings.NewReader(row.stdin)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			_ = cmd.Run()
			if code := cmd.ProcessState.ExitCode(); code != row.code {
				t.Errorf("exit code %d, want %d", code, row.code)
			}
			if !strings.Contains(stderr.String(), row.says) {
				t.Errorf("says %q, want something with %q", stderr.String(), row.says)
			}
		})
	}
	out, err := exec.Command(program(), "version").Output()
	if err != nil || string(out) != "v1.37.2\n" {
		t.Errorf("version prints %q, %v", out, err)
	}
}
