package managedidentity

import (
	"errors"
	"net/http"
	"strings"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

const federatedType = resource.IdentityType + "/federatedIdentityCredentials"

// mostFederated bounds the federated credentials of an identity. The real service's 20 is a limit that every large
// cluster meets; ours is there only so that one identity cannot fill the database.
const mostFederated = 10_000

func (h *Handler) mountFederated(route func(method, pattern, action string, handle arm.HandlerFunc)) {
	const set = itemPath + "/federatedIdentityCredentials"
	route(http.MethodGet, set, federatedType+"/read", h.listFederated)
	route(http.MethodGet, set+"/{credential}", federatedType+"/read", h.getFederated)
	route(http.MethodPut, set+"/{credential}", federatedType+"/write", h.putFederated)
	route(http.MethodDelete, set+"/{credential}", federatedType+"/delete", h.removeFederated)
}

type federatedBody struct {
	ID         string              `json:"id,omitempty"`
	Name       string              `json:"name,omitempty"`
	Type       string              `json:"type,omitempty"`
	Properties federatedProperties `json:"properties"`
}

type federatedProperties struct {
	Issuer    string   `json:"issuer"`
	Subject   string   `json:"subject"`
	Audiences []string `json:"audiences"`
}

func renderFederated(i resource.Identity, c proof.FederatedCredential) federatedBody {
	return federatedBody{
		ID: i.ID() + "/federatedIdentityCredentials/" + c.Name, Name: c.Name, Type: federatedType,
		Properties: federatedProperties{Issuer: c.Issuer, Subject: c.Subject, Audiences: c.Audiences},
	}
}

// named finds the credential of a path among those of its identity.
func named(r *arm.Request, list []proof.FederatedCredential) (proof.FederatedCredential, bool) {
	for _, c := range list {
		if directory.Fold(c.Name) == directory.Fold(r.Param("credential")) {
			return c, true
		}
	}
	return proof.FederatedCredential{}, false
}

// federated reads the identity of a path and its credentials.
func federated(tx *store.Tx, r *arm.Request) (resource.Identity, []proof.FederatedCredential, error) {
	i, err := find(tx, r)
	if err != nil {
		return i, nil, err
	}
	list, err := tx.FederatedCredentialsOf(i.Principal)
	return i, list, err
}

func (h *Handler) listFederated(_ http.ResponseWriter, r *arm.Request) error {
	value := []federatedBody{}
	err := h.DB.View(r.Context(), func(tx *store.Tx) error {
		i, list, err := federated(tx, r)
		for _, c := range list {
			value = append(value, renderFederated(i, c))
		}
		return err
	})
	if err != nil {
		return err
	}
	return r.WriteJSON(http.StatusOK, map[string]any{"value": value})
}

func (h *Handler) getFederated(_ http.ResponseWriter, r *arm.Request) error {
	var out federatedBody
	err := h.DB.View(r.Context(), func(tx *store.Tx) error {
		i, list, err := federated(tx, r)
		if err != nil {
			return err
		}
		c, ok := named(r, list)
		if !ok {
			return arm.ResourceNotFound(federatedType, r.Param("name")+"/"+r.Param("credential"), r.Param("group"))
		}
		out = renderFederated(i, c)
		return nil
	})
	if err != nil {
		return err
	}
	return r.WriteJSON(http.StatusOK, out)
}

func (h *Handler) putFederated(_ http.ResponseWriter, r *arm.Request) error {
	var in federatedBody
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	var out federatedBody
	status := http.StatusOK
	_, err := h.DB.Update(r.Context(), func(tx *store.Tx) error {
		i, list, err := federated(tx, r)
		if err != nil {
			return err
		}
		c, exists := named(r, list)
		if !exists {
			if len(list) >= mostFederated {
				return fault.New(fault.Invalid, "BadRequest", "An identity has at most %d federated identity credentials.", mostFederated)
			}
			status = http.StatusCreated
			c = proof.FederatedCredential{ID: ident.New[ident.ObjectID](), Owner: i.Principal, Tenant: i.Tenant, AppID: i.Client, Name: r.Param("credential")}
		}
		c.Issuer, c.Subject, c.Audiences = in.Properties.Issuer, in.Properties.Subject, in.Properties.Audiences
		if err := checkFederated(c); err != nil {
			return err
		}
		for _, o := range list {
			if o.ID != c.ID && o.Issuer == c.Issuer && o.Subject == c.Subject {
				return fault.New(fault.Conflict, "Conflict", "Issuer and subject combination already exists for this Managed Identity.")
			}
		}
		if err := tx.PutFederatedCredential(c); err != nil {
			return err
		}
		out = renderFederated(i, c)
		return r.Audit(tx, audit.FederationWritten, out.ID, map[string]string{"issuer": c.Issuer, "subject": c.Subject, "owner": i.Principal.String()})
	})
	if err != nil {
		return err
	}
	return r.WriteJSON(status, out)
}

// checkFederated is the rules' answer in this face's words.
func checkFederated(c proof.FederatedCredential) error {
	err := c.Check()
	if err == nil {
		return nil
	}
	f, ok := errors.AsType[*fault.Error](err)
	if !ok {
		return err
	}
	why := map[string]string{
		"name":      "has 3 to 120 letters, digits, hyphens and underscores, and begins with a letter or digit",
		"issuer":    "is an https address without a query and a fragment, of at most 600 characters",
		"subject":   "has 1 to 600 characters and no space around it",
		"audiences": "has exactly one audience, of at most 600 characters",
	}[strings.ToLower(f.Target)]
	return fault.New(fault.Invalid, "BadRequest", "The federated identity credential is invalid: %s %s.", f.Target, why).At(f.Target).Because(err)
}

func (h *Handler) removeFederated(w http.ResponseWriter, r *arm.Request) error {
	status := http.StatusOK
	_, err := h.DB.Update(r.Context(), func(tx *store.Tx) error {
		i, list, err := federated(tx, r)
		if err != nil {
			return err
		}
		c, ok := named(r, list)
		if !ok {
			status = http.StatusNoContent
			return nil
		}
		if err := tx.DeleteFederatedCredential(c.ID); err != nil {
			return err
		}
		return r.Audit(tx, audit.FederationDeleted, renderFederated(i, c).ID, map[string]string{"issuer": c.Issuer, "subject": c.Subject, "owner": i.Principal.String()})
	})
	if err != nil {
		return err
	}
	w.WriteHeader(status)
	return nil
}
