package mirror

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
)

// connect makes the one client that the four kinds of a cluster share. client-go's own transports are kept for ever in a
// cache of the process; this one ends with the member.
func connect(cfg Config) (*http.Client, rest.Interface, error) {
	u, err := url.Parse(cfg.Host)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, nil, fmt.Errorf("mirror: host %q is not of the form https://HOST:PORT", cfg.Host)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(cfg.CA) {
		return nil, nil, errors.New("mirror: no certificate in CA")
	}
	settings := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	if cfg.Token == "" && cfg.TokenFile == "" || len(cfg.Cert) > 0 {
		pair, err := tls.X509KeyPair(cfg.Cert, cfg.Key)
		if err != nil {
			return nil, nil, fmt.Errorf("mirror: client certificate: %w", err)
		}
		settings.Certificates = []tls.Certificate{pair}
	}
	httpClient := &http.Client{Transport: &http.Transport{
		TLSClientConfig:     settings,
		TLSHandshakeTimeout: 5 * time.Second,
		ForceAttemptHTTP2:   true,
		// A peer that is gone without a word is noticed by its silence.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 5 * time.Second, PingTimeout: 3 * time.Second},
	}}
	if cfg.Token != "" || cfg.TokenFile != "" {
		httpClient.Transport = bearer{next: httpClient.Transport, token: cfg.Token, file: cfg.TokenFile}
	}
	scheme := runtime.NewScheme()
	if err := rbacv1.AddToScheme(scheme); err != nil {
		return nil, nil, fmt.Errorf("mirror: types: %w", err)
	}
	metav1.AddToGroupVersion(scheme, rbacv1.SchemeGroupVersion)
	client, err := rest.RESTClientForConfigAndClient(&rest.Config{
		Host: cfg.Host, APIPath: "/apis", UserAgent: "keyreeve-mirror", QPS: -1,
		ContentConfig: rest.ContentConfig{
			GroupVersion: &rbacv1.SchemeGroupVersion, NegotiatedSerializer: serializer.NewCodecFactory(scheme).WithoutConversion(),
			AcceptContentTypes: runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON, ContentType: runtime.ContentTypeProtobuf,
		},
	}, httpClient)
	if err != nil {
		return nil, nil, fmt.Errorf("mirror: client: %w", err)
	}
	return httpClient, client, nil
}
