// Package hostagent owns the identity endpoint on a host itself, in the forms of the instance metadata service, which have
// no secret: the agent holds the host's secret, asks the control plane with it, and answers whoever runs on the host.
//
//	GET /metadata/identity/oauth2/token (Metadata: true) ┐
//	POST /oauth2/token (Metadata: true; MSI_ENDPOINT)    ┴─► control plane, with the secret ─► the answer as it is
//
// It serves loopback and link-local addresses alone, and answers the host itself: not a pod or another machine that a route
// leads to a link-local address, unless its network is allowed. It takes nothing that was forwarded, keeps no token and writes
// none down.
package hostagent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Agent is the endpoint of one host.
type Agent struct {
	// Endpoint is where the control plane gives tokens.
	Endpoint string
	// Secret returns the host's secret. It is asked for each time, so a new one needs no restart.
	Secret func() (string, error)
	// Own returns the host's own addresses; nil means those of its interfaces.
	Own func() ([]netip.Addr, error)
	// Allowed are the networks whose requests are answered beside the host's own.
	Allowed []netip.Prefix
	HTTP    *http.Client
	Log     *slog.Logger
}

const (
	maxAnswer = 1 << 20
	maxForm   = 16 << 10
	timeout   = 30 * time.Second
)

// Listen opens an address on which the agent may serve.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, fmt.Errorf("%q is not an address with a port: %w", address, err)
	}
	if !at.Addr().IsLoopback() && !at.Addr().IsLinkLocalUnicast() {
		return nil, fmt.Errorf("%s can be reached from other hosts: serve a loopback address, or 169.254.169.254", at.Addr())
	}
	var cfg net.ListenConfig
	return cfg.Listen(ctx, "tcp", address)
}

// Handler returns what answers on the host.
func (a *Agent) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metadata/identity/oauth2/token", a.get)
	mux.HandleFunc("POST /oauth2/token", a.post)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ok, err := a.answers(r.RemoteAddr)
		switch {
		case err != nil:
			a.Log.WarnContext(r.Context(), "the host's addresses cannot be read", "error", err)
			http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
		case !ok:
			a.Log.WarnContext(r.Context(), "a request from elsewhere was refused", "from", r.RemoteAddr)
			refuse(w, http.StatusForbidden, "forbidden", "The identities of this host are for the host itself. keyreeve identity agent --allow lets a network in.")
		case !byAddress(r.Host):
			refuse(w, http.StatusForbidden, "forbidden", "This endpoint is asked for by its address, not by a name.")
		default:
			mux.ServeHTTP(w, r)
		}
	})
}

// answers reports whether a request comes from the host itself, or from a network that is allowed.
func (a *Agent) answers(remote string) (bool, error) {
	peer, err := netip.ParseAddrPort(remote)
	if err != nil {
		return false, nil //nolint:nilerr // who that is, nobody knows
	}
	from := peer.Addr().Unmap().WithZone("")
	if from.IsLoopback() || slices.ContainsFunc(a.Allowed, func(p netip.Prefix) bool { return p.Contains(from) }) {
		return true, nil
	}
	own := a.Own
	if own == nil {
		own = interfaceAddrs
	}
	list, err := own()
	return err == nil && slices.Contains(list, from), err
}

// byAddress reports whether a request names this endpoint by an address. A page in a browser, whose name was made to mean this
// machine for the moment, names it by that name, and could set every header.
func byAddress(host string) bool {
	if name, port, err := net.SplitHostPort(host); err == nil && port != "" {
		host = name
	} else {
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	_, err := netip.ParseAddr(host)
	return err == nil || strings.EqualFold(host, "localhost")
}

// interfaceAddrs are the addresses of the host's interfaces.
func interfaceAddrs() ([]netip.Addr, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var out []netip.Addr
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p.Addr().Unmap().WithZone(""))
		}
	}
	return out, nil
}

// Serve serves until ctx ends.
func (a *Agent) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{Handler: a.Handler(), ReadHeaderTimeout: timeout, WriteTimeout: 2 * timeout}
	ended := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer ended()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func refuse(w http.ResponseWriter, status int, code, text string) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"error":%q,"error_description":%q}`, code, text)
}

// admitted refuses what a page in a browser, or a proxy that was led here, could send.
func admitted(w http.ResponseWriter, r *http.Request) bool {
	switch {
	case r.Header.Get("Metadata") != "true":
		refuse(w, http.StatusBadRequest, "bad_request_102", "Required metadata header not specified")
	case r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Forwarded") != "":
		refuse(w, http.StatusBadRequest, "invalid_request", "Requests that were forwarded for somebody else are refused.")
	default:
		return true
	}
	return false
}

func (a *Agent) get(w http.ResponseWriter, r *http.Request) {
	if admitted(w, r) {
		a.ask(w, r, r.URL.Query())
	}
}

func (a *Agent) post(w http.ResponseWriter, r *http.Request) {
	if !admitted(w, r) {
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		refuse(w, http.StatusBadRequest, "invalid_request", "The form is malformed.")
		return
	}
	a.ask(w, r, r.PostForm)
}

// ask asks the control plane, and passes its answer on.
func (a *Agent) ask(w http.ResponseWriter, r *http.Request, sent url.Values) {
	q := url.Values{"api-version": {"2019-08-01"}}
	for _, key := range []string{"resource", "client_id", "object_id", "principal_id", "msi_res_id", "mi_res_id"} {
		if v, ok := sent[key]; ok {
			q[key] = v
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	status, again, body, err := a.fetch(ctx, q)
	if err != nil {
		a.Log.WarnContext(ctx, "the control plane gave no answer", "error", err)
		http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if again != "" {
		w.Header().Set("Retry-After", again)
	}
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// fetch returns the answer's status, when to ask again if it says so, and its body.
func (a *Agent) fetch(ctx context.Context, q url.Values) (status int, again string, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.Endpoint+"?"+q.Encode(), nil)
	if err != nil {
		return 0, "", nil, err
	}
	secret, err := a.Secret()
	if err != nil {
		return 0, "", nil, fmt.Errorf("the host's secret: %w", err)
	}
	req.Header.Set("X-Identity-Header", secret)
	client := *a.HTTP
	// The library would take the secret along to wherever an answer leads.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := client.Do(req)
	if err != nil {
		return 0, "", nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode >= 300 && res.StatusCode < 400 {
		return 0, "", nil, fmt.Errorf("%s leads elsewhere (%s): --endpoint has to be where tokens are given", a.Endpoint, res.Status)
	}
	body, err = io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	return res.StatusCode, res.Header.Get("Retry-After"), body, err
}
