package kubewire

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Distribution is a way to run Kubernetes.
type Distribution string

// The distributions.
const (
	Kubeadm Distribution = "kubeadm"
	Kind    Distribution = "kind"
	K3s     Distribution = "k3s"
	RKE2    Distribution = "rke2"
	Talos   Distribution = "talos"
)

// Distributions lists them.
func Distributions() []Distribution { return []Distribution{Kubeadm, Kind, K3s, RKE2, Talos} }

// ParseDistribution reads a name.
func ParseDistribution(name string) (Distribution, error) {
	if d := Distribution(strings.ToLower(name)); slices.Contains(Distributions(), d) {
		return d, nil
	}
	return "", fmt.Errorf("%q is none of kubeadm, kind, k3s, rke2, talos", name)
}

// volumeName names the shared folder among an API server pod's volumes.
const volumeName = "keyreeve-gate"

// APIServer returns the part of a distribution's own configuration that makes its API server ask the gate, as a YAML
// document. For kubeadm and kind it is for the ClusterConfiguration.
func (s Settings) APIServer(d Distribution) ([]byte, error) {
	switch d {
	case Kubeadm, Kind:
		return encode(s.kubeadm())
	case K3s:
		return encode(map[string]any{"kube-apiserver-arg": s.arguments()})
	case RKE2:
		return encode(map[string]any{
			"kube-apiserver-arg":         s.arguments(),
			"kube-apiserver-extra-mount": []string{s.Dir + ":" + s.Dir + ":ro"},
		})
	case Talos:
		return encode(s.talos())
	}
	return nil, fmt.Errorf("kubewire: no distribution %q", d)
}

func (s Settings) arguments() []string {
	var out []string
	for _, f := range s.Flags() {
		out = append(out, f.Name+"="+f.Value)
	}
	return out
}

// kubeadmV4Since is the Kubernetes 1.x whose kubeadm reads v1beta4, in which arguments are a list.
const kubeadmV4Since = 31

func (s Settings) kubeadm() map[string]any {
	version, args := "v1beta4", any(nil)
	if s.Minor < kubeadmV4Since {
		m := map[string]string{}
		for _, f := range s.Flags() {
			m[f.Name] = f.Value
		}
		version, args = "v1beta3", m
	} else {
		var list []map[string]string
		for _, f := range s.Flags() {
			list = append(list, map[string]string{"name": f.Name, "value": f.Value})
		}
		args = list
	}
	return map[string]any{
		"apiVersion": "kubeadm.k8s.io/" + version, "kind": "ClusterConfiguration",
		"apiServer": map[string]any{
			"extraArgs": args,
			"extraVolumes": []map[string]any{
				{"name": volumeName, "hostPath": s.Dir, "mountPath": s.Dir, "readOnly": true, "pathType": "Directory"},
			},
		},
	}
}

// talos returns a machine configuration patch. Talos writes the authorization configuration itself, of the list given here,
// and refuses the flag; an order given is kept.
func (s Settings) talos() map[string]any {
	args := map[string]string{}
	for _, f := range s.Flags() {
		if f.Name != "authorization-config" {
			args[f.Name] = f.Value
		}
	}
	return map[string]any{"cluster": map[string]any{"apiServer": map[string]any{
		"authorizationConfig": s.authorizers(),
		"extraArgs":           args,
		"extraVolumes":        []map[string]any{{"hostPath": s.Dir, "mountPath": s.Dir, "readonly": true}},
	}}}
}

// MirrorManifest is what lets the gate read the cluster's own roles and bindings: a service account and its token.
func MirrorManifest() []byte {
	return []byte(`apiVersion: v1
kind: ServiceAccount
metadata:
  name: keyreeve-gate
  namespace: kube-system
---
apiVersion: v1
kind: Secret
metadata:
  name: keyreeve-gate
  namespace: kube-system
  annotations:
    kubernetes.io/service-account.name: keyreeve-gate
type: kubernetes.io/service-account-token
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: keyreeve-gate
rules:
- apiGroups: ["rbac.authorization.k8s.io"]
  resources: ["roles", "rolebindings", "clusterroles", "clusterrolebindings"]
  verbs: ["get", "list", "watch"]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: keyreeve-gate
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: keyreeve-gate
subjects:
- kind: ServiceAccount
  name: keyreeve-gate
  namespace: kube-system
`)
}

// Minimum says which versions of a distribution can be told.
func (d Distribution) Minimum() string {
	switch d {
	case Kubeadm, Kind:
		return "Kubernetes and kubeadm 1.30"
	case K3s:
		return "k3s 1.30.12, 1.31.8, 1.32.4, or any 1.33: before, k3s sets --authorization-mode and cannot be told not to"
	case RKE2:
		return "RKE2 1.30.12, 1.31.8, 1.32.4, or any 1.33: before, RKE2 sets --authorization-mode and cannot be told not to"
	case Talos:
		return "Talos 1.9 with Kubernetes 1.30"
	}
	return ""
}

// Conversion says what becomes of --authorization-mode.
func (d Distribution) Conversion() string {
	switch d {
	case Kubeadm, Kind:
		return "kubeadm leaves --authorization-mode=Node,RBAC out by itself when authorization-config is among its extraArgs. In a static pod\n" +
			"manifest edited by hand, take that line out: the API server refuses to start with both."
	case K3s, RKE2:
		return "The flag --authorization-mode=Node,RBAC is left out by itself when authorization-config is given. An authorization-mode of your own\n" +
			"among kube-apiserver-arg must go: the API server refuses to start with both."
	case Talos:
		return "Talos writes the configuration itself. An authorization-mode of your own among extraArgs must go. Node and RBAC are named in the\n" +
			"list, after the gate: left out, Talos would put both before it, and what they allow would not be asked about."
	}
	return ""
}

// apply says where the document of APIServer goes.
func (s Settings) apply(d Distribution) string {
	switch d {
	case Kubeadm:
		return "Merge it into the ClusterConfiguration that the cluster was made with (kubectl -n kube-system get configmap kubeadm-config), then on each\n" +
			"control plane node: kubeadm init phase control-plane apiserver --config CLUSTERCONFIGURATION"
	case Kind:
		return "kind runs kubeadm in a container: start the gate in the node (docker exec), merge the document into /kind/kubeadm.conf there,\n" +
			"and run: kubeadm init phase control-plane apiserver --config /kind/kubeadm.conf"
	case K3s:
		return "Put it into /etc/rancher/k3s/config.yaml.d/keyreeve.yaml on each server, then: systemctl restart k3s"
	case RKE2:
		return "Put it into /etc/rancher/rke2/config.yaml.d/keyreeve.yaml on each server, then: systemctl restart rke2-server"
	case Talos:
		return "Apply it to each control plane node: talosctl patch machineconfig --patch @apiserver.yaml\n" +
			"The host has no place for programs: run the gate as a static pod (machine.pods) with hostNetwork and the folder as a hostPath volume.\n" +
			"The API server runs as user 65534 there: set apiServerFilesGroup in gate.yaml to a group that its pod has."
	}
	return ""
}

// Guide says in order what to do on the cluster's side. files is the folder that holds what was written.
func (s Settings) Guide(d Distribution, files string) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("Attach a %s cluster (Kubernetes 1.%d; minimum: %s)", d, s.Minor, d.Minimum())
	p("")
	p("1. Let the gate read the cluster's own roles and bindings, and write its kubeconfig:")
	p("     kubectl apply -f %s", path.Join(files, "gate-rbac.yaml"))
	p("   Its token: kubectl -n kube-system get secret keyreeve-gate -o go-template='{{.data.token | base64decode}}'")
	p("2. Copy %s to /etc/keyreeve-gate on each control plane node, one enrolment token a node, and start the gate there:", files)
	p("     keyreeve gate --config /etc/keyreeve-gate/gate.yaml --check && keyreeve gate --config /etc/keyreeve-gate/gate.yaml")
	p("   It enrols, and writes into %s what the API server reads; the keys are made there and stay there.", s.Dir)
	p("3. When http://127.0.0.1:9444/readyz says ok, tell the API server. %s", s.apply(d))
	p("     %s:", path.Join(files, "apiserver.yaml"))
	doc, err := s.APIServer(d)
	if err != nil {
		return err.Error()
	}
	for line := range strings.Lines(string(doc)) {
		b.WriteString("       " + line)
	}
	p("   %s", strings.ReplaceAll(d.Conversion(), "\n", "\n   "))
	p("")
	p("What to know")
	p("- Users whose names begin with system: are never asked about: controllers, kubelets and service accounts do not depend on the gate. Neither")
	p("  do certificates of the group system:masters.")
	p("- The API server remembers a good token for 10 s, and no flag changes that. Access ends at once all the same: each request is authorized")
	p("  anew, and the gate looks at account, session and groups then. What `kubectl auth whoami` shows may be 10 s old.")
	p("- A failing gate means no access for people (failurePolicy Deny), never what RBAC alone would allow them.")
	if d == Kubeadm || d == Kind {
		p("- Since 1.29 kubeadm's admin.conf is of the group kubeadm:cluster-admins, which the gate is asked about. The way in without a gate is")
		p("  super-admin.conf, which is of system:masters: keep it.")
	}
	if s.Minor >= constrainedSince {
		p("- Constrained impersonation is off: the API server would remember its success for 10 s before it asks anyone.")
	}
	return b.String()
}
