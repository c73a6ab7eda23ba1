package controllers

import (
	"context"
	"fmt"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/kubernetes/cmd/kube-controller-manager/app"
	"k8s.io/kubernetes/cmd/kube-controller-manager/app/options"
	"k8s.io/kubernetes/cmd/kube-controller-manager/names"

	"github.com/keyreeve/keyreeve/localkube/internal/apiserver"
	"github.com/keyreeve/keyreeve/localkube/internal/ramdir"
	"github.com/keyreeve/keyreeve/localkube/internal/spec"
)

// shutdownTimeout is how long controllers may take to end.
const shutdownTimeout = 2 * time.Second

// Manager is a controller manager that is ready to run.
type Manager struct {
	options *options.KubeControllerManagerOptions
}

// absent are the controllers that do not run here: nothing signs certificates, because a cluster's administrator could
// have any name signed; and pretend nodes have no cloud, disks, devices or routes.
func absent() []string {
	return []string{
		names.CertificateSigningRequestSigningController,
		names.CertificateSigningRequestApprovingController,
		names.CertificateSigningRequestCleanerController,
		names.PodCertificateRequestCleanerController,
		names.NodeIpamController,
		names.TTLController,
		names.PersistentVolumeAttachDetachController,
		names.PersistentVolumeExpanderController,
		names.DeviceTaintEvictionController,
		names.ResourceClaimController,
		names.ResourcePoolStatusRequestController,
		names.StorageVersionMigratorController,
		names.StorageVersionGarbageCollectorController,
	}
}

// NewManager prepares a controller manager that talks to the API server by client.
func NewManager(s *spec.Spec, dir *ramdir.Dir, client *rest.Config) (*Manager, error) {
	o, err := options.NewKubeControllerManagerOptions()
	if err != nil {
		return nil, fmt.Errorf("controller manager's defaults: %w", err)
	}
	kubeconfig, err := writeKubeconfig(dir, "controller-manager.kubeconfig", client)
	if err != nil {
		return nil, err
	}
	rootCA, err := dir.Write("cluster-ca.crt", []byte(s.PKI.ClusterCA))
	if err != nil {
		return nil, err
	}
	signingKey, err := dir.Write("service-account.key", []byte(s.PKI.ServiceAccount.SigningKey))
	if err != nil {
		return nil, err
	}
	o.Generic.ClientConnection.Kubeconfig = kubeconfig
	o.Generic.ClientConnection.QPS = clientQPS
	o.Generic.ClientConnection.Burst = clientBurst
	o.Generic.LeaderElection.LeaderElect = false
	o.Generic.Controllers = []string{"*"}
	for _, name := range absent() {
		o.Generic.Controllers = append(o.Generic.Controllers, "-"+name)
	}
	o.SecureServing.BindPort = 0
	o.KubeCloudShared.UseServiceAccountCredentials = true
	o.KubeCloudShared.ClusterName = s.Name
	o.SAController.RootCAFile = rootCA
	o.SAController.ServiceAccountKeyFile = signingKey
	o.ControllerShutdownTimeout = shutdownTimeout
	return &Manager{options: o}, nil
}

// Run runs the controllers until ctx ends.
func (m *Manager) Run(ctx context.Context) error {
	config, err := m.options.Config(ctx, app.KnownControllers(), app.ControllersDisabledByDefault(), app.ControllerAliases())
	if err != nil {
		return fmt.Errorf("configure controller manager: %w", err)
	}
	return ended(ctx, "controller manager", app.Run(ctx, config.Complete()))
}

func writeKubeconfig(dir *ramdir.Dir, name string, client *rest.Config) (string, error) {
	b, err := apiserver.Kubeconfig(client)
	if err != nil {
		return "", fmt.Errorf("encode %s: %w", name, err)
	}
	return dir.Write(name, b)
}

// ended tells a component that was stopped from one that stopped.
func ended(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // it was asked to stop: how it took that does not matter
	}
	if err != nil {
		return fmt.Errorf("run %s: %w", what, err)
	}
	return fmt.Errorf("the %s stopped by itself", what)
}
