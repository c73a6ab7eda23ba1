// Package metadata owns the endpoint at which hosts get tokens of the managed identities that are assigned to them, in the
// forms of App Service (2019-08-01, 2017-09-01).
//
//	GET /msi/token + the host's secret ─► which host ─► which of its identities ─► a token, or a refusal
//
// Who asks is known by the secret alone, never by an address: a host gets tokens for what is assigned to it now, and for
// nothing else. The form of the instance metadata service has no secret; it is served on the host itself (keyreeve
// identity agent), by a process that holds the secret.
package metadata

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/oauth"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/web"
)

// Path is where hosts ask.
const Path = "/msi/token"

// Request is a request for a token that may be granted.
type Request struct {
	Tenant                            ident.TenantID
	Client                            ident.ClientID
	Resource, RemoteAddr, Correlation string
}

// Handler serves the endpoint.
type Handler struct {
	DB *store.DB
	// Issue makes the token.
	Issue func(context.Context, Request) (oauth.TokenV1, error)
	Now   func() time.Time
	Log   *slog.Logger

	guard guard
}

// answer is a token in the form of the App Service endpoint.
type answer struct {
	AccessToken string `json:"access_token"`
	Client      string `json:"client_id"`
	ExpiresIn   string `json:"expires_in"`
	ExpiresOn   string `json:"expires_on"`
	NotBefore   string `json:"not_before"`
	Resource    string `json:"resource"`
	TokenType   string `json:"token_type"`
}

// Mount registers the endpoint.
func (h *Handler) Mount(mux *http.ServeMux) {
	a := web.Adapter{Log: h.Log, Now: h.Now, Face: "identity", WriteError: writeError}
	mux.Handle("GET "+Path, a.Handle(h.serve))
	mux.Handle("GET "+Path+"/{$}", a.Handle(h.serve)) // az adds a slash
}

func refuse(kind fault.Kind, code, text string) error { return fault.New(kind, code, "%s", text) }

func (h *Handler) serve(w http.ResponseWriter, r *http.Request) error {
	web.NoStore(w)
	if r.Header.Get("X-Forwarded-For") != "" {
		return refuse(fault.Invalid, "invalid_request", "Requests that were forwarded for somebody else are refused.")
	}
	host, err := h.host(r)
	if err != nil {
		return err
	}
	web.EventOf(r).Add("host", host.ID())
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return refuse(fault.Invalid, "invalid_request", "The query is malformed.")
	}
	name := q.Get("resource")
	if name == "" {
		return refuse(fault.Invalid, "invalid_resource", "The parameter resource is missing.")
	}
	i, err := h.identity(r.Context(), host, q)
	if err != nil {
		return err
	}
	t, err := h.Issue(r.Context(), Request{
		Tenant: host.Tenant, Client: i.client, Resource: name, RemoteAddr: remote(r), Correlation: web.EventOf(r).RequestID.String(),
	})
	if err != nil {
		return err
	}
	web.EventOf(r).Add("principal", i.principal.String())
	out := answer{
		AccessToken: t.AccessToken, Client: i.client.String(), ExpiresIn: t.ExpiresIn, ExpiresOn: t.ExpiresOn, NotBefore: t.NotBefore,
		Resource: name, TokenType: t.TokenType,
	}
	return web.WriteJSON(w, http.StatusOK, "application/json; charset=utf-8", out)
}

// host finds who asks, by the secret in the header of either form.
func (h *Handler) host(r *http.Request) (resource.Host, error) {
	secret := r.Header.Get("X-Identity-Header")
	if secret == "" {
		secret = r.Header.Get("Secret")
	}
	denied := refuse(fault.Unauthenticated, "unauthorized_client", "The secret of the host is missing or wrong.")
	hash := ""
	if secret != "" && len(secret) <= maxSecret {
		hash = proof.HashToken(secret) // 256 bits of chance: what is looked up is a hash
	}
	if !h.guard.admits(hash, remote(r), h.Now()) {
		return resource.Host{}, refuse(fault.TooMany, "too_many_requests", "Too many requests with a wrong secret came from this address. Try again later.")
	}
	if hash == "" {
		h.guard.wrong(hash, remote(r), h.Now())
		return resource.Host{}, denied
	}
	var host resource.Host
	err := h.DB.View(r.Context(), func(tx *store.Tx) (err error) {
		host, err = tx.HostBySecret(hash)
		return err
	})
	switch {
	case store.IsNotFound(err):
		h.guard.wrong(hash, remote(r), h.Now())
		return host, denied
	case err == nil:
		h.guard.right(hash, h.Now())
	}
	return host, err
}

// candidate is one of a host's identities. id is empty for its own, which is no resource.
type candidate struct {
	principal ident.ObjectID
	client    ident.ClientID
	id        string
}

// identity is the one of a host's identities that a request means. Those that are gone since are not assigned any more, nor is
// another one that was made under the same name.
func (h *Handler) identity(ctx context.Context, host resource.Host, q url.Values) (candidate, error) {
	var list []candidate
	if !host.Own.IsZero() {
		list = append(list, candidate{principal: host.Own.Principal, client: host.Own.Client})
	}
	err := h.DB.View(ctx, func(tx *store.Tx) error {
		for _, a := range host.Assigned {
			i, err := tx.Identity(a.ID)
			if store.IsNotFound(err) || err == nil && i.Principal != a.Principal {
				continue
			}
			if err != nil {
				return err
			}
			list = append(list, candidate{i.Principal, i.Client, i.ID()})
		}
		return nil
	})
	if err != nil {
		return candidate{}, err
	}
	return choose(list, q)
}

// selectors are the parameters by which clients name an identity.
func (c candidate) selectors() map[string]string {
	client, object := c.client.String(), c.principal.String()
	return map[string]string{
		"client_id": client, "clientid": client, "object_id": object, "principal_id": object, "mi_res_id": c.id, "msi_res_id": c.id,
	}
}

// choose finds the identity that a query names. If it names none, that is the host's own one, or the only one.
func choose(list []candidate, q url.Values) (candidate, error) {
	named := 0
	for key := range (candidate{}).selectors() {
		named += len(q[key])
	}
	switch {
	case named > 1:
		return candidate{}, refuse(fault.Invalid, "invalid_request", "Only one of client_id, object_id and msi_res_id may be given.")
	case named == 0 && len(list) > 0 && (len(list) == 1 || list[0].id == ""):
		return list[0], nil
	case named == 0 && len(list) > 1:
		return candidate{}, refuse(fault.Invalid, "invalid_request",
			"Multiple user assigned identities exist, please specify the clientId / resourceId of the identity in the token request")
	}
	for _, c := range list {
		for key, value := range c.selectors() {
			if v := q.Get(key); v != "" && strings.EqualFold(v, value) {
				return c, nil
			}
		}
	}
	return candidate{}, refuse(fault.Invalid, "invalid_request", "Identity not found")
}

func remote(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// writeError writes an error in the form of the metadata service.
func writeError(w http.ResponseWriter, _ *http.Request, err error) {
	status, code, text := http.StatusInternalServerError, "server_error", "An internal error occurred."
	if e, ok := errors.AsType[*oauth.Error](err); ok {
		status, code, text = http.StatusBadRequest, e.Word, e.Error()
	} else {
		f := fault.As(err)
		switch f.Kind {
		case fault.Invalid:
			status = http.StatusBadRequest
		case fault.Unauthenticated:
			status = http.StatusUnauthorized
		case fault.TooMany:
			status = http.StatusTooManyRequests
			w.Header().Set("Retry-After", retryAfter)
		case fault.Unavailable:
			status = http.StatusServiceUnavailable
		default:
		}
		if status != http.StatusInternalServerError {
			code, text = f.Code, f.Public
		}
	}
	if err := web.WriteJSON(w, status, "application/json; charset=utf-8", map[string]string{"error": code, "error_description": text}); err != nil {
		http.Error(w, http.StatusText(status), status)
	}
}
