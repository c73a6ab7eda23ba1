package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/keyreeve/keyreeve/internal/client"
	"github.com/keyreeve/keyreeve/internal/kubewire"
	"github.com/keyreeve/keyreeve/internal/outpost"
)

// attachment is what `cluster attach` is told.
type attachment struct {
	place
	name, server, caFile string
	tenant               string
	adminGroups          []string
	// azureRBAC and disableLocalAccounts are nil when nothing was said.
	azureRBAC, disableLocalAccounts *bool
	distribution, kubernetesVersion string
	out                             string
}

func attachCommand(d Deps) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "attach NAME",
		Short: "Attach a cluster that runs elsewhere, and print what its API server needs",
		Long: "Attach a cluster that runs elsewhere: make its resource, a managed cluster that az, role assignments and kubelogin\n" +
			"take as any other, and a one-time token with which a gate beside its API server enrols within an hour. What the\n" +
			"gate and the API server need is written to a folder, and what to do with it is printed.\n\n" +
			"For a cluster that is attached already, it changes what is said anew (az aks update needs node pools, which an attached\n" +
			"cluster has not) and makes another token: each API server has a gate of its own.\n\n" +
			asksAsYou,
		Args: cobra.ExactArgs(1),
	}
	var a attachment
	f := cmd.Flags()
	a.flags(f)
	f.StringVar(&a.server, "server", "", "the API server as people reach it, https://HOST:PORT (required)")
	f.StringVar(&a.caFile, "ca", "", "file with the certificates that vouch for it, PEM (required)")
	f.StringVar(&a.tenant, "tenant", "", "tenant of the people who sign in (default: the subscription's)")
	f.StringArrayVar(&a.adminGroups, "admin-group", nil, "object id of a group whose members administer the cluster; may be repeated")
	azureRBAC := f.Bool("enable-azure-rbac", false, "decide by Azure role assignments too")
	locals := f.Bool("disable-local-accounts", false, "deny the cluster's own client certificates too, all but those of system:masters")
	f.StringVar(&a.distribution, "distribution", "kubeadm", "kubeadm, kind, k3s, rke2 or talos")
	f.StringVar(&a.kubernetesVersion, "kubernetes-version", "1.34", "the API server's version")
	f.StringVar(&a.out, "out", "", "folder for the files (default NAME-gate)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		a.name = args[0]
		if f.Changed("enable-azure-rbac") {
			a.azureRBAC = azureRBAC
		}
		if f.Changed("disable-local-accounts") {
			a.disableLocalAccounts = locals
		}
		return a.run(cmd.Context(), d)
	}
	return cmd
}

func (a *attachment) run(ctx context.Context, d Deps) error {
	if a.group == "" || a.server == "" || a.caFile == "" {
		return errors.New("--resource-group, --server and --ca are needed")
	}
	distribution, err := kubewire.ParseDistribution(a.distribution)
	if err != nil {
		return fmt.Errorf("--distribution: %w", err)
	}
	minor, err := kubewire.ParseMinor(a.kubernetesVersion)
	if err != nil {
		return fmt.Errorf("--kubernetes-version: %w", err)
	}
	ca, err := os.ReadFile(a.caFile)
	if err != nil {
		return fmt.Errorf("--ca: %w", err)
	}
	if a.out == "" {
		a.out = a.name + "-gate"
	}
	if _, err := os.Stat(filepath.Join(a.out, "gate.yaml")); err == nil {
		return fmt.Errorf("%s holds a gate.yaml: name another folder with --out", a.out)
	}
	arm, err := a.open(ctx)
	if err != nil {
		return err
	}
	id := a.resource("Microsoft.ContainerService/managedClusters", a.name)
	if err := a.put(ctx, arm, id, string(ca)); err != nil {
		return err
	}
	var e enrollment
	if err := arm.Post(ctx, id+"/keyreeveEnrollGate", struct{}{}, &e); err != nil {
		return fmt.Errorf("the cluster is there, and has no token yet: %w", err)
	}
	s := kubewire.Settings{Minor: minor, Dir: "/var/lib/keyreeve-gate/apiserver", GateURL: "https://127.0.0.1:9443", Cluster: e.ClusterID}
	if err := a.write(s, distribution, e); err != nil {
		return err
	}
	_, err = fmt.Fprintf(d.Out, "Attached %s.\nFiles in %s; the enrolment token there is good until %s, once.\n\n%s", id, a.out,
		e.ExpiresOn.Local().Format(time.RFC1123), s.Guide(distribution, a.out))
	return err
}

// enrollment is the answer of keyreeveEnrollGate.
type enrollment struct {
	Token                string    `json:"token"`
	ExpiresOn            time.Time `json:"expiresOn"`
	ClusterID            string    `json:"clusterId"`
	ControlPlane         string    `json:"controlPlane"`
	CertificateAuthority string    `json:"certificateAuthority"`
}

// put makes the cluster's resource, or brings it to what was asked for.
func (a *attachment) put(ctx context.Context, arm *client.Client, id, ca string) error {
	if _, err := a.find(ctx, arm, id); err != nil {
		return err
	}
	// What is not said stays as it is.
	aad := map[string]any{"managed": true}
	if a.azureRBAC != nil {
		aad["enableAzureRBAC"] = *a.azureRBAC
	}
	if a.tenant != "" {
		aad["tenantID"] = a.tenant
	}
	if len(a.adminGroups) > 0 {
		aad["adminGroupObjectIDs"] = a.adminGroups
	}
	properties := map[string]any{"keyreeveAttachedProfile": map[string]any{"server": a.server, "certificateAuthority": ca}, "aadProfile": aad}
	if a.disableLocalAccounts != nil {
		properties["disableLocalAccounts"] = *a.disableLocalAccounts
	}
	body := map[string]any{"location": a.location, "properties": properties}
	var made json.RawMessage
	return arm.Put(ctx, id, body, &made)
}

// write writes the folder for the gate's host.
func (a *attachment) write(s kubewire.Settings, d kubewire.Distribution, e enrollment) error {
	if err := os.MkdirAll(a.out, 0o700); err != nil {
		return err
	}
	config, err := yaml.Marshal(outpost.Config{
		ControlPlane: e.ControlPlane, ControlPlaneCA: "control-plane-ca.pem", Cluster: e.ClusterID, EnrollmentTokenFile: "enrollment-token",
		Kubeconfig: "kubeconfig", KubernetesVersion: a.kubernetesVersion,
	})
	if err != nil {
		return err
	}
	server, err := s.APIServer(d)
	if err != nil {
		return err
	}
	files, err := s.Files()
	if err != nil {
		return err
	}
	kubeconfig, err := mirrorKubeconfig(a.server, a.caFile)
	if err != nil {
		return err
	}
	for name, text := range map[string][]byte{
		"gate.yaml": config, "enrollment-token": []byte(e.Token + "\n"), "control-plane-ca.pem": []byte(e.CertificateAuthority),
		"gate-rbac.yaml": kubewire.MirrorManifest(), "apiserver.yaml": server, "kubeconfig": kubeconfig,
		kubewire.AuthorizationFile: files[kubewire.AuthorizationFile],
	} {
		w, done, err := output(nil, filepath.Join(a.out, name))
		if err != nil {
			return err
		}
		_, err = w.Write(text)
		if err := done(err); err != nil {
			return err
		}
	}
	return nil
}

// mirrorKubeconfig is the gate's kubeconfig but for the token, which goes into a file beside it.
func mirrorKubeconfig(server, caFile string) ([]byte, error) {
	ca, err := os.ReadFile(caFile)
	if err != nil {
		return nil, err
	}
	type object = map[string]any
	return yaml.Marshal(object{
		"apiVersion": "v1", "kind": "Config", "current-context": "cluster",
		"clusters": []object{{"name": "cluster", "cluster": object{"server": server, "certificate-authority-data": ca}}},
		"users":    []object{{"name": "gate", "user": object{"tokenFile": "token"}}},
		"contexts": []object{{"name": "cluster", "context": object{"cluster": "cluster", "user": "gate"}}},
	})
}

// armFromEnvironment returns the Resource Manager API of the environment that `keyreeve env` set up, with the caller's
// token, and the subscription that az works with.
func armFromEnvironment(ctx context.Context) (*client.Client, string, error) {
	base := os.Getenv("KEYREEVE_ARM_URL")
	if base == "" {
		return nil, "", errors.New("KEYREEVE_ARM_URL is not set: eval \"$(keyreeve env)\" first")
	}
	base = strings.TrimSuffix(base, "/")
	trust := &tls.Config{MinVersion: tls.VersionTLS12}
	if file := os.Getenv("REQUESTS_CA_BUNDLE"); file != "" { // not set where this machine trusts the server anyway
		bundle, err := os.ReadFile(file)
		if err != nil {
			return nil, "", fmt.Errorf("REQUESTS_CA_BUNDLE, which `keyreeve env` sets: %w", err)
		}
		trust.RootCAs = x509.NewCertPool()
		if !trust.RootCAs.AppendCertsFromPEM(bundle) {
			return nil, "", errors.New("REQUESTS_CA_BUNDLE holds no certificate")
		}
	}
	token, subscription, err := credential{arm: base, now: time.Now}.get(ctx)
	if err != nil {
		return nil, "", err
	}
	return &client.Client{
		BaseURL: base, Token: func(context.Context) (string, error) { return token, nil },
		HTTP: &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: trust}},
	}, subscription, nil
}
