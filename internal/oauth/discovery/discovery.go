// Package discovery owns what clients read before they sign in: the metadata documents, the key set, instance discovery
// and the user realm.
//
// It answers from the world alone and changes nothing. Where a client finds what:
//
//	/{tenant}/v2.0/.well-known/openid-configuration        MSAL, azidentity, kube-apiserver
//	/{tenant}/.well-known/openid-configuration             v1: guard, ADAL
//	/adfs/{any}/{tenant}/.well-known/openid-configuration  az, for which an authority of this form needs no validation
//	/adfs/.well-known/openid-configuration                 az in its ADFS mode
//	/{tenant}/discovery/keys, …/discovery/v2.0/keys        one key set for all tenants
//	/common/discovery/instance, /common/userrealm/{user}   MSAL
package discovery

import (
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/keyring"
	"github.com/keyreeve/keyreeve/internal/logon"
	"github.com/keyreeve/keyreeve/internal/oauth"
	"github.com/keyreeve/keyreeve/internal/web"
	"github.com/keyreeve/keyreeve/internal/world"
)

// Handler serves the documents. Fill every field.
type Handler struct {
	World *world.World
	// BaseURL is the login address, GraphURL that of Graph; both without a trailing slash.
	BaseURL, GraphURL string
	Now               func() time.Time
	Log               *slog.Logger
}

// Mount adds the routes to mux. Put the mux behind FoldPaths.
func (h Handler) Mount(mux *http.ServeMux) {
	a := web.Adapter{Log: h.Log, Now: h.Now, Face: "login", WriteError: web.OAuthErrors(h.BaseURL, h.Now)}
	get := func(pattern string, f web.Handler) { mux.Handle("GET "+pattern, a.Handle(web.OAuth(f))) }
	get("/{tenant}/v2.0/.well-known/openid-configuration", h.v2)
	get("/{tenant}/.well-known/openid-configuration", h.v1)
	get("/adfs/{any}/{tenant}/.well-known/openid-configuration", h.v2)
	get("/adfs/.well-known/openid-configuration", h.v2)
	get("/{tenant}/discovery/v2.0/keys", h.keys)
	get("/{tenant}/discovery/keys", h.keys)
	get("/common/discovery/instance", h.instance)
	get("/common/userrealm/{user}", h.userRealm)
}

// FoldPaths makes the token service's paths match without regard to letter case and doubled slashes, as Entra's do.
// Other paths pass unchanged, or are nobody's if they are not clean: a mux would answer with a redirect of status 307, which sends
// what was posted once more (RFC 9700 4.12). So it stands before every mux.
func FoldPaths(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if folded := fold(r.URL.Path); folded != r.URL.Path {
			r2 := *r
			u := *r.URL
			u.Path, u.RawPath = folded, ""
			r2.URL = &u
			r = &r2
		}
		if clean := path.Clean("/" + r.URL.Path); clean != r.URL.Path && clean+"/" != r.URL.Path {
			http.NotFound(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// fold returns the form of a path under which it is mounted, or the path itself if it is none of ours.
func fold(sent string) string {
	folded := strings.ToLower(sent)
	for strings.Contains(folded, "//") {
		folded = strings.ReplaceAll(folded, "//", "/")
	}
	ours := folded == "/device" || strings.HasPrefix(folded, "/device/")
	for _, part := range []string{"/oauth2/", "/.well-known/openid-configuration", "/discovery/", "/common/userrealm/", "/adminconsent", "/openid/userinfo"} {
		ours = ours || strings.Contains(folded, part)
	}
	if !ours {
		return sent
	}
	return folded
}

// metadata is an openid-configuration (OpenID Connect Discovery 3), with the members of Entra's that hold here.
type metadata struct {
	TokenEndpoint         string   `json:"token_endpoint"`
	TokenAuthMethods      []string `json:"token_endpoint_auth_methods_supported"`
	JWKSURI               string   `json:"jwks_uri"`
	SubjectTypes          []string `json:"subject_types_supported"`
	IDTokenAlgorithms     []string `json:"id_token_signing_alg_values_supported"`
	ResponseTypes         []string `json:"response_types_supported"`
	ResponseModes         []string `json:"response_modes_supported"`
	ChallengeMethods      []string `json:"code_challenge_methods_supported"`
	ResponseIssuer        bool     `json:"authorization_response_iss_parameter_supported"`
	GrantTypes            []string `json:"grant_types_supported"`
	Scopes                []string `json:"scopes_supported"`
	Issuer                string   `json:"issuer"`
	RequestURIParameter   bool     `json:"request_uri_parameter_supported"`
	AuthorizationEndpoint string   `json:"authorization_endpoint"`
	DeviceEndpoint        string   `json:"device_authorization_endpoint"`
	UserInfoEndpoint      string   `json:"userinfo_endpoint"`
	EndSessionEndpoint    string   `json:"end_session_endpoint"`
	IntrospectionEndpoint string   `json:"introspection_endpoint"`
	RevocationEndpoint    string   `json:"revocation_endpoint"`
	Claims                []string `json:"claims_supported"`
	TenantRegionScope     *string  `json:"tenant_region_scope"`
	CloudInstanceName     string   `json:"cloud_instance_name"`
	MSGraphHost           string   `json:"msgraph_host"`
}

func (h Handler) v2(w http.ResponseWriter, r *http.Request) error {
	return h.document(w, r, "/oauth2/v2.0/", "/discovery/v2.0/keys",
		func(t string) string { return h.BaseURL + "/" + t + "/v2.0" })
}

func (h Handler) v1(w http.ResponseWriter, r *http.Request) error {
	return h.document(w, r, "/oauth2/", "/discovery/keys", func(t string) string { return h.BaseURL + "/" + t + "/" })
}

// document writes a metadata document. Its URLs carry the tenant's id, or the word that stands for any tenant, since
// MSAL takes the realm of what it caches from them.
func (h Handler) document(w http.ResponseWriter, r *http.Request, endpoints, keys string, issuer func(tenant string) string) error {
	segment := r.PathValue("tenant")
	if segment == "" {
		segment = oauth.Organizations // the ADFS form names no tenant
	}
	tenant, err := logon.Tenant(h.World, segment)
	if err != nil {
		return err
	}
	segment, named := strings.ToLower(segment), "{tenantid}"
	if !tenant.ID.IsZero() {
		segment, named = tenant.ID.String(), tenant.ID.String()
	}
	at := h.BaseURL + "/" + segment
	return h.write(w, metadata{
		TokenEndpoint: at + endpoints + "token", DeviceEndpoint: at + endpoints + "devicecode",
		UserInfoEndpoint: at + "/openid/userinfo", EndSessionEndpoint: at + endpoints + "logout",
		IntrospectionEndpoint: at + "/oauth2/v2.0/introspect", RevocationEndpoint: at + "/oauth2/v2.0/revoke",
		AuthorizationEndpoint: at + endpoints + "authorize", JWKSURI: at + keys, Issuer: issuer(named),
		TokenAuthMethods: []string{"client_secret_post", "private_key_jwt", "client_secret_basic"},
		SubjectTypes:     []string{"pairwise"}, IDTokenAlgorithms: h.algorithms(), ResponseTypes: []string{"code"},
		ResponseModes: []string{oauth.ModeQuery, oauth.ModeFragment, oauth.ModeFormPost}, ChallengeMethods: []string{"S256"}, ResponseIssuer: true,
		GrantTypes: []string{oauth.GrantAuthorizationCode, oauth.GrantDeviceCode, oauth.GrantRefreshToken, oauth.GrantClientCredentials, oauth.GrantOnBehalfOf, oauth.GrantPassword},
		Scopes:     []string{oauth.ScopeOpenID, oauth.ScopeProfile, oauth.ScopeEmail, oauth.ScopeOfflineAccess},
		Claims: []string{
			"sub", "iss", "aud", "exp", "iat", "nbf", "nonce", "preferred_username", "name", "tid", "oid", "ver", "email", "amr", "sid",
		},
		CloudInstanceName: hostname(h.BaseURL), MSGraphHost: host(h.GraphURL),
	})
}

// algorithms are those that tokens are signed with. Id tokens have the first; who reads the list to check our access tokens
// needs the other too, when there is a key for it.
func (h Handler) algorithms() []string {
	names := []string{string(keyring.RS256)}
	if len(keyring.Of(keyring.ES256, h.World.SigningKeys())) > 0 {
		names = append(names, string(keyring.ES256))
	}
	return names
}

func (h Handler) keys(w http.ResponseWriter, r *http.Request) error {
	if _, err := logon.Tenant(h.World, r.PathValue("tenant")); err != nil {
		return err
	}
	return h.write(w, keyring.Published(h.World.SigningKeys(), h.Now()))
}

// instanceAnswer is the answer of instance discovery (wire-contract 3.2).
type instanceAnswer struct {
	TenantDiscoveryEndpoint string         `json:"tenant_discovery_endpoint"`
	APIVersion              string         `json:"api-version"`
	Metadata                []instanceHost `json:"metadata"`
}

type instanceHost struct {
	PreferredNetwork string   `json:"preferred_network"`
	PreferredCache   string   `json:"preferred_cache"`
	Aliases          []string `json:"aliases"`
}

// instance says that an authority is known, if it is this one. Some clients leave out the port when they ask.
func (h Handler) instance(w http.ResponseWriter, r *http.Request) error {
	asked := r.URL.Query().Get("authorization_endpoint")
	if asked == "" {
		return oauth.MissingParameter("authorization_endpoint")
	}
	u, err := url.Parse(asked)
	if err != nil || u.Scheme != "https" || !strings.EqualFold(u.Hostname(), hostname(h.BaseURL)) {
		return oauth.UnknownInstance()
	}
	path := strings.Split(strings.Trim(fold(u.Path), "/"), "/")
	segment := path[0]
	if segment == "adfs" && len(path) > 2 {
		segment = path[2]
	}
	tenant, err := logon.Tenant(h.World, segment)
	if err != nil {
		return err
	}
	segment = strings.ToLower(segment)
	if !tenant.ID.IsZero() {
		segment = tenant.ID.String()
	}
	self := host(h.BaseURL)
	return h.write(w, instanceAnswer{
		TenantDiscoveryEndpoint: h.BaseURL + "/" + segment + "/v2.0/.well-known/openid-configuration", APIVersion: "1.1",
		Metadata: []instanceHost{{self, self, slices.Compact([]string{self, hostname(h.BaseURL)})}},
	})
}

// realm is the answer of the user realm (wire-contract 5.2).
type realm struct {
	Version           string `json:"ver"`
	AccountType       string `json:"account_type"`
	DomainName        string `json:"domain_name"`
	CloudInstanceName string `json:"cloud_instance_name"`
	CloudAudienceURN  string `json:"cloud_audience_urn"`
}

// userRealm says how the users of a domain sign in. It looks at the domain only, so it tells nothing about who exists.
func (h Handler) userRealm(w http.ResponseWriter, r *http.Request) error {
	_, domain, ok := strings.Cut(r.PathValue("user"), "@")
	if !ok || domain == "" {
		return oauth.Malformed("the user name has no domain")
	}
	kind := "Managed"
	if _, ok := h.World.TenantByDomain(domain); !ok {
		kind = "Unknown"
	}
	return h.write(w, realm{
		Version: "1.0", AccountType: kind, DomainName: domain, CloudInstanceName: hostname(h.BaseURL),
		CloudAudienceURN: "urn:federation:MicrosoftOnline",
	})
}

func (h Handler) write(w http.ResponseWriter, v any) error {
	// Shorter than the day a new key is published ahead of its use.
	w.Header().Set("Cache-Control", "private, max-age=3600")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	return web.WriteJSON(w, http.StatusOK, "application/json; charset=utf-8", v)
}

func host(base string) string {
	u, err := url.Parse(base)
	if err != nil {
		return ""
	}
	return u.Host
}

func hostname(base string) string {
	u, err := url.Parse(base)
	if err != nil {
		return ""
	}
	return u.Hostname()
}
