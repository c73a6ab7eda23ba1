package apiserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	basecompatibility "k8s.io/component-base/compatibility"
	"k8s.io/component-base/featuregate"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"
	"k8s.io/kubernetes/pkg/controlplane/reconcilers"

	"github.com/keyreeve/keyreeve/localkube/internal/spec"
)

// watchGrace is how long open watches may take to end when the server stops. Without it the server would wait for
// whoever watches to go away.
const watchGrace = time.Second

// buildOptions turns a spec into the API server's own options.
func buildOptions(ctx context.Context, s *spec.Spec, f *files, listener net.Listener, etcd string) (options.CompletedOptions, error) {
	none := options.CompletedOptions{}
	o := options.NewServerRunOptions()
	gates := o.GenericServerRunOptions.ComponentGlobalsRegistry
	if err := gates.Set(); err != nil {
		return none, fmt.Errorf("set feature gates: %w", err)
	}
	if gate, ok := gates.FeatureGateFor(basecompatibility.DefaultKubeComponent).(featuregate.MutableFeatureGate); ok {
		gate.AddMetrics()
	}
	gates.AddMetrics()
	// The API server and its controllers talk to it of their own accord; warnings to them are for nobody.
	rest.SetDefaultWarningHandler(rest.NoWarnings{})

	name, err := cache.NewInformerName("kube-apiserver")
	if err != nil {
		return none, fmt.Errorf("name informers: %w", err)
	}
	o.InformerName = name
	o.Etcd.StorageConfig.Transport.ServerList = []string{etcd}
	o.ServiceClusterIPRanges = s.ServiceCIDR
	o.AllowPrivileged = true
	o.Features.EnableProfiling = false
	o.Admission.GenericAdmission.EnablePlugins = []string{"NodeRestriction"}
	o.ProxyClientCertFile, o.ProxyClientKeyFile = f.frontCert, f.frontKey
	applyServing(o, s, f, listener)
	applyAuthentication(o, s, f)
	applyAuthorization(o, f)
	applyAudit(o, s.AuditLog, f.auditPolicy)

	completed, err := o.Complete(ctx)
	if err != nil {
		return none, fmt.Errorf("complete options: %w", err)
	}
	if errs := completed.Validate(); len(errs) > 0 {
		return none, fmt.Errorf("check options: %w", errors.Join(utilerrors.NewAggregate(errs)))
	}
	return completed, nil
}

func applyServing(o *options.ServerRunOptions, s *spec.Spec, f *files, listener net.Listener) {
	addr := listener.Addr().(*net.TCPAddr)
	o.SecureServing.Listener = listener
	o.SecureServing.BindAddress, o.SecureServing.BindPort = addr.IP, addr.Port
	o.SecureServing.ServerCert.CertDirectory, o.SecureServing.ServerCert.PairName = "", ""
	o.SecureServing.ServerCert.CertKey.CertFile = f.servingCert
	o.SecureServing.ServerCert.CertKey.KeyFile = f.servingKey
	o.GenericServerRunOptions.ShutdownWatchTerminationGracePeriod = watchGrace
	o.GenericServerRunOptions.ExternalHost = s.ExternalHost
	o.GenericServerRunOptions.AdvertiseAddress = advertised(s.ExternalHost, addr.IP)
	o.EndpointReconcilerType = string(reconcilers.LeaseEndpointReconcilerType)
	if o.GenericServerRunOptions.AdvertiseAddress.IsLoopback() {
		// The API refuses endpoints with loopback addresses, and nothing in a pretend pod would use them.
		o.EndpointReconcilerType = string(reconcilers.NoneEndpointReconcilerType)
	}
}

// advertised is the address to give for the API server: what the spec says, or else where it listens.
func advertised(host string, listen net.IP) net.IP {
	if ip := net.ParseIP(host); ip != nil && !ip.IsUnspecified() && ip.To4() != nil {
		return ip
	}
	if !listen.IsUnspecified() && listen.To4() != nil {
		return listen
	}
	return net.IPv4(127, 0, 0, 1)
}

// maxTokenLife bounds the tokens of service accounts that are asked for, as AKS does.
const maxTokenLife = 24 * time.Hour

func applyAuthentication(o *options.ServerRunOptions, s *spec.Spec, f *files) {
	a := o.Authentication
	a.TokenSuccessCacheTTL, a.TokenFailureCacheTTL = tokenCacheTTL, 0
	a.AuthenticationConfigFile = f.authentication
	a.ClientCert.ClientCA = f.clientCA
	a.RequestHeader.ClientCAFile = f.frontCA
	a.RequestHeader.AllowedNames = []string{s.PKI.FrontProxy.Client.CommonName()}
	a.RequestHeader.UsernameHeaders = []string{"X-Remote-User"}
	a.RequestHeader.UIDHeaders = []string{"X-Remote-Uid"}
	a.RequestHeader.GroupHeaders = []string{"X-Remote-Group"}
	a.RequestHeader.ExtraHeaderPrefixes = []string{"X-Remote-Extra-"}
	a.ServiceAccounts.Issuers = []string{s.PKI.ServiceAccount.Issuer}
	a.ServiceAccounts.MaxExpiration = maxTokenLife
	a.ServiceAccounts.JWKSURI = s.PKI.ServiceAccount.JWKSURI
	a.ServiceAccounts.KeyFiles = f.verifyKeys
	o.ServiceAccountSigningKeyFile = f.signingKey
	if f.tokenReview != "" {
		a.WebHook.ConfigFile = f.tokenReview
		a.WebHook.Version = "v1"
		a.WebHook.CacheTTL = 0 // the cache around all token authenticators is enough
		a.WebHook.RetryBackoff = webhookRetry()
	}
}

func applyAuthorization(o *options.ServerRunOptions, f *files) {
	a := o.Authorization
	a.WebhookRetryBackoff = webhookRetry()
	if f.authorization != "" {
		a.AuthorizationConfigurationFile = f.authorization
		return
	}
	a.Modes = []string{"Node", "RBAC"}
}
