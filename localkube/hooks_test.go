package main

import (
	"crypto/tls"
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	authentication "k8s.io/api/authentication/v1"
	authorization "k8s.io/api/authorization/v1"

	"github.com/keyreeve/keyreeve/localkube/internal/spectest"
)

// hooks is a stand-in for what the API server asks: it does as the test says, and remembers what it was asked.
type hooks struct {
	t      *testing.T
	config *tls.Config
	addr   string

	mu     sync.Mutex
	server *http.Server
	tokens map[string]string // token → user
	allow  map[string]bool   // user → answer; users not in it get no opinion
	asked  []authorization.SubjectAccessReviewSpec
}

func startHooks(t *testing.T, c *spectest.Cluster) *hooks {
	t.Helper()
	h := &hooks{
		t: t, addr: "127.0.0.1:0", tokens: map[string]string{}, allow: map[string]bool{},
		config: &tls.Config{
			Certificates: []tls.Certificate{spectest.TLS(t, c.Hooks.Server())},
			ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: c.Hooks.Pool(), MinVersion: tls.VersionTLS13,
		},
	}
	h.up()
	t.Cleanup(h.down)
	c.Spec.TokenReview = c.Hook("https://" + h.addr + "/token")
	c.Spec.Authorization = c.Hook("https://" + h.addr + "/authorize")
	return h
}

func (h *hooks) up() {
	h.t.Helper()
	l, err := net.Listen("tcp", h.addr)
	if err != nil {
		h.t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", h.token)
	mux.HandleFunc("POST /authorize", h.authorize)
	server := &http.Server{Handler: mux, TLSConfig: h.config, ReadHeaderTimeout: time.Second}
	h.mu.Lock()
	h.addr, h.server = l.Addr().String(), server
	h.mu.Unlock()
	go func() { _ = server.ServeTLS(l, "", "") }()
}

func (h *hooks) down() {
	h.mu.Lock()
	defer h.mu.Unlock()
	_ = h.server.Close()
}

func (h *hooks) token(w http.ResponseWriter, r *http.Request) {
	var review authentication.TokenReview
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
		h.t.Errorf("token review: %v", err)
	}
	h.mu.Lock()
	user, ok := h.tokens[review.Spec.Token]
	h.mu.Unlock()
	review.Status = authentication.TokenReviewStatus{Authenticated: ok}
	if ok {
		review.Status.User = authentication.UserInfo{Username: user}
	}
	h.answer(w, review)
}

func (h *hooks) authorize(w http.ResponseWriter, r *http.Request) {
	var review authorization.SubjectAccessReview
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
		h.t.Errorf("access review: %v", err)
	}
	h.mu.Lock()
	h.asked = append(h.asked, review.Spec)
	allowed, known := h.allow[review.Spec.User]
	h.mu.Unlock()
	review.Status = authorization.SubjectAccessReviewStatus{Allowed: known && allowed, Denied: known && !allowed}
	h.answer(w, review)
}

func (h *hooks) answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		h.t.Logf("answer not taken: %v", err)
	}
}

// decide sets what is answered about a user.
func (h *hooks) decide(user string, allowed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.allow[user] = allowed
}

// grant makes a token good for a user, and revoke ends that.
func (h *hooks) grant(token, user string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tokens[token] = user
}

func (h *hooks) revoke(token string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.tokens, token)
}

// about is what was asked about users that match.
func (h *hooks) about(match func(user string) bool) []authorization.SubjectAccessReviewSpec {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(h.asked), func(s authorization.SubjectAccessReviewSpec) bool { return !match(s.User) })
}
