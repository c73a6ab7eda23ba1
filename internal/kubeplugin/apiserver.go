package kubeplugin

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
)

const (
	// patience is how long a server may take to answer.
	patience = 30 * time.Second
	// maxAnswer bounds an answer.
	maxAnswer = 4 << 20
)

// pool returns the system's authorities and those in a PEM text; nil for the system's alone.
func pool(more []byte, system bool) (*x509.CertPool, error) {
	if len(more) == 0 {
		return nil, nil //nolint:nilnil // what the standard library takes for the system's
	}
	roots := x509.NewCertPool()
	if system {
		if s, err := x509.SystemCertPool(); err == nil {
			roots = s
		}
	}
	if !roots.AppendCertsFromPEM(more) {
		return nil, errors.New("the kubeconfig's certificates are no PEM certificates")
	}
	return roots, nil
}

func httpClient(cfg *tls.Config, proxy string) (*http.Client, error) {
	t := &http.Transport{TLSClientConfig: cfg, Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: 15 * time.Second}
	if proxy != "" {
		u, err := url.Parse(proxy)
		if err != nil {
			return nil, fmt.Errorf("the cluster's proxy-url is no URL: %w", err)
		}
		t.Proxy = http.ProxyURL(u)
	}
	return &http.Client{Transport: t, Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, nil
}

// toAPIServer is a client that trusts what the kubeconfig says, and shows its client certificate.
func (h *here) toAPIServer() (*http.Client, error) {
	roots, err := pool(h.CA, false)
	if err != nil {
		return nil, err
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, ServerName: h.TLSServerName, InsecureSkipVerify: h.InsecureSkipTLSVerify} //nolint:gosec // only where the kubeconfig asks for it
	if len(h.Certificate) > 0 {
		pair, err := tls.X509KeyPair(h.Certificate, h.Key)
		if err != nil {
			return nil, fmt.Errorf("the client certificate of the user %q cannot be used: %w", h.UserName, err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return httpClient(cfg, h.ProxyURL)
}

// review posts a review to the API server and reads what became of it.
func (h *here) review(ctx context.Context, path string, in, out any) error {
	// kubectl shows no credential to a server without TLS either: whoever listens would have it.
	if u, err := url.Parse(h.Server); err != nil || u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("the cluster's server %q is no https address: nothing that says who you are is sent there", h.Server)
	}
	c, err := h.toAPIServer()
	if err != nil {
		return err
	}
	token, err := h.token(ctx)
	if err != nil {
		return err
	}
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(h.Server, "/")+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("the cluster's server %q is no URL", h.Server)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	h.impersonate(req.Header)
	resp, err := c.Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		return fmt.Errorf("the API server %s does not answer: %w", h.Server, err)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return fmt.Errorf("the API server %s: %w", h.Server, err)
	}
	switch {
	case resp.StatusCode == http.StatusUnauthorized:
		return fmt.Errorf("the API server %s does not know you: it refuses the token or certificate of the user %q", h.Server, h.UserName)
	case resp.StatusCode >= http.StatusBadRequest:
		var status struct {
			Message string `json:"message"`
		}
		if json.Unmarshal(text, &status) != nil || status.Message == "" {
			status.Message = resp.Status
		}
		return fmt.Errorf("the API server %s refuses: %s", h.Server, shown(status.Message))
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("the API server %s answers with something else than a review: %w", h.Server, err)
	}
	return nil
}

// impersonate says whom the user stands for, as kubectl does.
func (h *here) impersonate(header http.Header) {
	set := func(name string, values ...string) {
		for _, v := range values {
			if v != "" {
				header.Add(name, v)
			}
		}
	}
	set("Impersonate-User", h.As.User)
	set("Impersonate-Uid", h.As.UID)
	set("Impersonate-Group", h.As.Groups...)
	for key, values := range h.As.Extra {
		set("Impersonate-Extra-"+url.PathEscape(key), values...)
	}
}

// shown is text of a server without what could move a terminal's cursor.
func shown(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' {
			return -1
		}
		return r
	}, text)
}

// typed is the head of a Kubernetes object.
type typed struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
}

// identity is who the API server says that one is.
type identity struct {
	Username string              `json:"username"`
	UID      string              `json:"uid,omitempty"`
	Groups   []string            `json:"groups,omitempty"`
	Extra    map[string][]string `json:"extra,omitempty"`
}

// self asks who one is.
func (h *here) self(ctx context.Context) (identity, error) {
	var out struct {
		Status struct {
			UserInfo identity `json:"userInfo"`
		} `json:"status"`
	}
	const v1 = "authentication.k8s.io/v1"
	err := h.review(ctx, "/apis/"+v1+"/selfsubjectreviews", typed{v1, "SelfSubjectReview"}, &out)
	return out.Status.UserInfo, err
}
