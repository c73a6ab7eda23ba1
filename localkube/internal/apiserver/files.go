package apiserver

import (
	"encoding/json"
	"fmt"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/keyreeve/keyreeve/localkube/internal/ramdir"
	"github.com/keyreeve/keyreeve/localkube/internal/spec"
)

// files are the paths that the API server reads.
type files struct {
	clientCA, servingCert, servingKey   string
	signingKey                          string
	verifyKeys                          []string
	frontCA, frontCert, frontKey        string
	authentication, auditPolicy         string
	tokenReview, authorization, webhook string
}

// writer writes files until the first error.
type writer struct {
	dir *ramdir.Dir
	err error
}

func (w *writer) put(name string, content []byte) string {
	if w.err != nil {
		return ""
	}
	p, err := w.dir.Write(name, content)
	w.err = err
	return p
}

func (w *writer) putJSON(name string, v any) string {
	if w.err != nil {
		return ""
	}
	b, err := json.Marshal(v)
	if err != nil {
		w.err = fmt.Errorf("encode %s: %w", name, err)
		return ""
	}
	return w.put(name, b)
}

func (w *writer) putKubeconfig(name string, hook *spec.Webhook) string {
	if w.err != nil {
		return ""
	}
	b, err := Kubeconfig(&rest.Config{
		Host: hook.URL,
		TLSClientConfig: rest.TLSClientConfig{
			CAData: []byte(hook.CA), CertData: []byte(hook.Client.Cert), KeyData: []byte(hook.Client.Key),
		},
	})
	if err != nil {
		w.err = fmt.Errorf("encode %s: %w", name, err)
		return ""
	}
	return w.put(name, b)
}

func writeFiles(s *spec.Spec, dir *ramdir.Dir) (*files, error) {
	w := &writer{dir: dir}
	f := &files{
		clientCA:       w.put("client-ca.crt", []byte(s.PKI.ClientCA)),
		servingCert:    w.put("serving.crt", []byte(s.PKI.Serving.Cert)),
		servingKey:     w.put("serving.key", []byte(s.PKI.Serving.Key)),
		signingKey:     w.put("service-account.key", []byte(s.PKI.ServiceAccount.SigningKey)),
		frontCA:        w.put("front-proxy-ca.crt", []byte(s.PKI.FrontProxy.CA)),
		frontCert:      w.put("front-proxy.crt", []byte(s.PKI.FrontProxy.Client.Cert)),
		frontKey:       w.put("front-proxy.key", []byte(s.PKI.FrontProxy.Client.Key)),
		authentication: w.putJSON("authentication.json", authenticationConfig()),
	}
	if s.AuditLog != "" {
		f.auditPolicy = w.putJSON("audit-policy.json", auditPolicy())
	}
	for i, k := range s.PKI.ServiceAccount.VerifyKeys {
		f.verifyKeys = append(f.verifyKeys, w.put(fmt.Sprintf("service-account-%d.pub", i), []byte(k)))
	}
	if s.TokenReview != nil {
		f.tokenReview = w.putKubeconfig("token-review.kubeconfig", s.TokenReview)
	}
	if s.Authorization != nil {
		f.webhook = w.putKubeconfig("authorization.kubeconfig", s.Authorization)
		f.authorization = w.putJSON("authorization.json", authorizationConfig(f.webhook))
	}
	return f, w.err
}

// Kubeconfig writes a client's configuration, certificates and keys included, in the form that programs read.
func Kubeconfig(c *rest.Config) ([]byte, error) {
	const name = "localkube"
	return clientcmd.Write(clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{name: {
			Server: c.Host, TLSServerName: c.ServerName, CertificateAuthorityData: c.CAData,
		}},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{name: {
			ClientCertificateData: c.CertData, ClientKeyData: c.KeyData,
		}},
		Contexts:       map[string]*clientcmdapi.Context{name: {Cluster: name, AuthInfo: name}},
		CurrentContext: name,
	})
}
