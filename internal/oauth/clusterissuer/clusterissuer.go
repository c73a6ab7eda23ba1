// Package clusterissuer owns the face of managed clusters as issuers of service account tokens: their metadata (OpenID
// Connect Discovery) and keys, public as anybody who trusts such a token needs them, and the same keys for the token
// service in this process, which asks nobody over the network for what it knows.
//
//	/oidc/TENANT/CLUSTER/.well-known/openid-configuration ─► /oidc/TENANT/CLUSTER/openid/v1/jwks
//
// It knows public keys alone, by the world: a key that was rotated out counts until its tokens are over.
package clusterissuer

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/web"
	"github.com/keyreeve/keyreeve/internal/world"
)

// Handler serves the issuers.
type Handler struct {
	World *world.World
	// BaseURL is the login address, without a slash at the end.
	BaseURL string
	Now     func() time.Time
	Log     *slog.Logger
}

// maxAge lets those who check tokens keep the documents for a while: far less than a key counts after it was rotated out.
const maxAge = "public, max-age=3600"

// Mount registers the routes.
func (h Handler) Mount(mux *http.ServeMux) {
	a := web.Adapter{Log: h.Log, Now: h.Now, Face: "login", WriteError: writeError}
	mux.Handle("GET /oidc/{tenant}/{cluster}/.well-known/openid-configuration", a.Handle(h.metadata))
	mux.Handle("GET /oidc/{tenant}/{cluster}/openid/v1/jwks", a.Handle(h.jwks))
}

// writeError answers in plain words: these documents have no form for errors.
func writeError(w http.ResponseWriter, _ *http.Request, err error) {
	if fault.Is(err, fault.NotFound) {
		http.Error(w, fault.As(err).Public, http.StatusNotFound)
		return
	}
	http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
}

// find returns the issuing cluster of a path.
func (h Handler) find(r *http.Request) (managedcluster.Cluster, error) {
	c, ok := h.cluster(r.PathValue("cluster"))
	if !ok || c.Tenant.String() != strings.ToLower(r.PathValue("tenant")) {
		return c, fault.New(fault.NotFound, "NotFound", "There is no such issuer.")
	}
	return c, nil
}

// cluster returns a cluster that is an issuer, by its id.
func (h Handler) cluster(text string) (managedcluster.Cluster, bool) {
	id, err := ident.Parse[ident.ClusterID](text)
	if err != nil {
		return managedcluster.Cluster{}, false
	}
	c, ok := h.World.Cluster(id)
	return c, ok && c.Issuer != nil && c.ProvisioningState != managedcluster.Deleting
}

func (h Handler) metadata(w http.ResponseWriter, r *http.Request) error {
	c, err := h.find(r)
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", maxAge)
	return web.WriteJSON(w, http.StatusOK, "application/json", struct {
		Issuer     string   `json:"issuer"`
		JWKSURI    string   `json:"jwks_uri"`
		Responses  []string `json:"response_types_supported"`
		Subjects   []string `json:"subject_types_supported"`
		Algorithms []string `json:"id_token_signing_alg_values_supported"`
	}{c.Issuer.URL, c.Issuer.URL + "openid/v1/jwks", []string{"id_token"}, []string{"public"}, []string{"RS256"}})
}

func (h Handler) jwks(w http.ResponseWriter, r *http.Request) error {
	c, err := h.find(r)
	if err != nil {
		return err
	}
	keys, err := h.keys(c)
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", maxAge)
	return web.WriteJSON(w, http.StatusOK, "application/jwk-set+json", jose.JSONWebKeySet{Keys: keys})
}

// keys are the keys whose tokens count now.
func (h Handler) keys(c managedcluster.Cluster) ([]jose.JSONWebKey, error) {
	var out []jose.JSONWebKey
	for _, text := range c.Issuer.Good(h.Now()) {
		k, err := published(text)
		if err != nil {
			return nil, fault.Wrap(err, "keys of cluster %s", c.ID)
		}
		out = append(out, k)
	}
	return out, nil
}

// published is a public key in the form of a key set, under the id that an API server gives it.
func published(text string) (jose.JSONWebKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return jose.JSONWebKey{}, errors.New("a key is not PEM")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return jose.JSONWebKey{}, fmt.Errorf("a key cannot be read: %w", err)
	}
	sum := sha256.Sum256(block.Bytes)
	return jose.JSONWebKey{
		Key: crypto.PublicKey(key), KeyID: base64.RawURLEncoding.EncodeToString(sum[:]), Algorithm: string(jose.RS256), Use: "sig",
	}, nil
}

// Keys finds the keys of an issuer that is one of our clusters. Another's, and one that is gone, is not known; an address
// of ours is never fetched.
func (h Handler) Keys(_ context.Context, issuer, kid string) ([]jose.JSONWebKey, bool, error) {
	name := strings.TrimSuffix(issuer, "/")
	c, ok := h.cluster(name[strings.LastIndexByte(name, '/')+1:])
	if !ok || c.Issuer.URL != issuer {
		// What has our address and is no cluster's is known to have no keys.
		return nil, strings.HasPrefix(issuer, h.BaseURL+"/"), nil
	}
	all, err := h.keys(c)
	if err != nil {
		return nil, true, err
	}
	var out []jose.JSONWebKey
	for _, k := range all {
		if kid == "" || k.KeyID == kid {
			out = append(out, k)
		}
	}
	return out, true, nil
}
