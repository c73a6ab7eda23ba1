// Package workload owns what becomes of pods that are labelled to use workload identity: they get a token of their
// service account for the token service, and the environment variables by which the Azure SDKs find it.
//
// It does what the mutating webhook of Azure Workload Identity does, as an admission plugin of the API server: no call
// leaves the process when a pod is made, and nobody in the cluster can remove it.
package workload

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/initializer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/kubernetes/pkg/apis/core"

	corev1 "k8s.io/api/core/v1"
)

// PluginName is the name of the admission plugin.
const PluginName = "WorkloadIdentity"

// What users write and pods get.
const (
	prefix       = "azure.workload.identity/"
	useLabel     = prefix + "use"
	clientID     = prefix + "client-id"
	tenantID     = prefix + "tenant-id"
	expiration   = prefix + "service-account-token-expiration"
	skip         = prefix + "skip-containers"
	proxySidecar = prefix + "inject-proxy-sidecar"

	volumeName = "azure-workload-identity-reserved-token"
	mountPath  = "/var/run/secrets/azure/wi"
	tokenPath  = "token/azure-identity-token"
	audience   = "api://AzureADTokenExchange"

	shortest, longest, usual = int64(3600), int64(86400), int64(3600)
)

// Config is what pods are told.
type Config struct {
	// TenantID is the tenant of service accounts that name none.
	TenantID string
	// AuthorityHost is the token service, with a slash at the end.
	AuthorityHost string
}

// Register adds the plugin to those that there are.
func Register(plugins *admission.Plugins, c Config) {
	plugins.Register(PluginName, func(io.Reader) (admission.Interface, error) {
		return &plugin{Handler: admission.NewHandler(admission.Create), config: c}, nil
	})
}

// Order puts the plugin behind the webhooks that change objects, so that containers which these add are seen too.
func Order(names []string) []string {
	i := slices.Index(names, "MutatingAdmissionWebhook")
	return slices.Insert(slices.Clone(names), i+1, PluginName)
}

type plugin struct {
	*admission.Handler
	config   Config
	accounts listers.ServiceAccountLister
	client   kubernetes.Interface
}

var (
	_ admission.MutationInterface                  = &plugin{}
	_ initializer.WantsExternalKubeInformerFactory = &plugin{}
	_ initializer.WantsExternalKubeClientSet       = &plugin{}
)

// SetExternalKubeInformerFactory implements initializer.WantsExternalKubeInformerFactory.
func (p *plugin) SetExternalKubeInformerFactory(f informers.SharedInformerFactory) {
	accounts := f.Core().V1().ServiceAccounts()
	p.accounts = accounts.Lister()
	p.SetReadyFunc(accounts.Informer().HasSynced)
}

// SetExternalKubeClientSet implements initializer.WantsExternalKubeClientSet.
func (p *plugin) SetExternalKubeClientSet(c kubernetes.Interface) { p.client = c }

// ValidateInitialization implements admission.InitializationValidator.
func (p *plugin) ValidateInitialization() error {
	if p.accounts == nil || p.client == nil {
		return fmt.Errorf("%s: the service accounts are missing", PluginName)
	}
	return nil
}

// Admit implements admission.MutationInterface.
func (p *plugin) Admit(ctx context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	if a.GetResource().GroupResource() != core.Resource("pods") || a.GetSubresource() != "" {
		return nil
	}
	pod, ok := a.GetObject().(*core.Pod)
	if !ok || pod.Labels[useLabel] != "true" {
		return nil
	}
	if !p.WaitForReady() {
		return admission.NewForbidden(a, fmt.Errorf("the service accounts are not known yet"))
	}
	account, err := p.account(ctx, a.GetNamespace(), pod.Spec.ServiceAccountName)
	if err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	if err := p.inject(pod, account); err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	return nil
}

// account reads a service account, also one that was made a moment ago.
func (p *plugin) account(ctx context.Context, namespace, name string) (*corev1.ServiceAccount, error) {
	if name == "" {
		name = "default"
	}
	account, err := p.accounts.ServiceAccounts(namespace).Get(name)
	if apierrors.IsNotFound(err) {
		account, err = p.client.CoreV1().ServiceAccounts(namespace).Get(ctx, name, metav1.GetOptions{})
	}
	if err != nil {
		return nil, fmt.Errorf("workload identity: service account %s/%s: %w", namespace, name, err)
	}
	return account, nil
}

// inject gives a pod its token and says where it is.
func (p *plugin) inject(pod *core.Pod, account *corev1.ServiceAccount) error {
	if v := pod.Annotations[proxySidecar]; v != "" && v != "false" {
		return fmt.Errorf("workload identity: the annotation %s is not offered: nothing runs on the nodes of this cluster", proxySidecar)
	}
	seconds, err := lifetime(pod, account)
	if err != nil {
		return err
	}
	tenant := account.Annotations[tenantID]
	if tenant == "" {
		tenant = p.config.TenantID
	}
	env := []core.EnvVar{
		{Name: "AZURE_CLIENT_ID", Value: account.Annotations[clientID]},
		{Name: "AZURE_TENANT_ID", Value: tenant},
		{Name: "AZURE_FEDERATED_TOKEN_FILE", Value: mountPath + "/" + tokenPath},
		{Name: "AZURE_AUTHORITY_HOST", Value: p.config.AuthorityHost},
	}
	skipped := skippedContainers(pod)
	for _, list := range [][]core.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			if !slices.Contains(skipped, list[i].Name) {
				prepare(&list[i], env)
			}
		}
	}
	if !slices.ContainsFunc(pod.Spec.Volumes, func(v core.Volume) bool { return v.Name == volumeName }) {
		pod.Spec.Volumes = append(pod.Spec.Volumes, tokenVolume(seconds))
	}
	return nil
}

// lifetime is how long a token lives: by the pod, by its service account, or as usual.
func lifetime(pod *core.Pod, account *corev1.ServiceAccount) (int64, error) {
	text := pod.Annotations[expiration]
	if text == "" {
		text = account.Annotations[expiration]
	}
	if text == "" {
		return usual, nil
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("workload identity: the annotation %s is not a whole number of seconds: %q", expiration, text)
	}
	if seconds < shortest || seconds > longest {
		return 0, fmt.Errorf("token expiration %d not valid. Expected value to be between %d and %d", seconds, shortest, longest)
	}
	return seconds, nil
}

func skippedContainers(pod *core.Pod) []string {
	var out []string
	for name := range strings.SplitSeq(pod.Annotations[skip], ";") {
		if name = strings.TrimSpace(name); name != "" {
			out = append(out, name)
		}
	}
	return out
}

// prepare gives a container what it does not have.
func prepare(c *core.Container, env []core.EnvVar) {
	for _, e := range env {
		if e.Value != "" && !slices.ContainsFunc(c.Env, func(have core.EnvVar) bool { return have.Name == e.Name }) {
			c.Env = append(c.Env, e)
		}
	}
	if !slices.ContainsFunc(c.VolumeMounts, func(m core.VolumeMount) bool { return m.MountPath == mountPath }) {
		c.VolumeMounts = append(c.VolumeMounts, core.VolumeMount{Name: volumeName, MountPath: mountPath, ReadOnly: true})
	}
}

func tokenVolume(seconds int64) core.Volume {
	mode := int32(0o644)
	return core.Volume{Name: volumeName, VolumeSource: core.VolumeSource{Projected: &core.ProjectedVolumeSource{
		DefaultMode: &mode,
		Sources: []core.VolumeProjection{{ServiceAccountToken: &core.ServiceAccountTokenProjection{
			Audience: audience, ExpirationSeconds: &seconds, Path: tokenPath,
		}}},
	}}}
}
