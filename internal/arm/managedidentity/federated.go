package managedidentity

import (
	"errors"
	"net/http"
	"strings"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

const federatedType = resource.IdentityType + "/federatedIdentityCredentials"

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

// named reads the identity and the credential of a path; found is false if there is no such credential.
func named(tx *store.Tx, r *arm.Request) (i resource.Identity, c proof.FederatedCredential, found bool, err error) {
	if i, err = find(tx, r); err != nil {
		return i, c, false, err
	}
	c, err = tx.FederatedCredentialNamed(i.Principal, r.Param("credential"))
	if store.IsNotFound(err) {
		return i, c, false, nil
	}
	return i, c, err == nil, err
}

func (h *Handler) listFederated(_ http.ResponseWriter, r *arm.Request) error {
	value := []federatedBody{}
	err := h.DB.View(r.Context(), func(tx *store.Tx) error {
		i, err := find(tx, r)
		if err != nil {
			return err
		}
		list, err := tx.FederatedCredentialsOf(i.Principal)
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
		i, c, ok, err := named(tx, r)
		if err != nil {
			return err
		}
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
		i, c, exists, err := named(tx, r)
		if err != nil {
			return err
		}
		if !exists {
			n, err := tx.CountFederatedCredentials(i.Principal)
			if err != nil {
				return err
			}
			if n >= proof.MaxFederated {
				return fault.New(fault.Invalid, "BadRequest", "An identity has at most %d federated identity credentials.", proof.MaxFederated)
			}
			status = http.StatusCreated
			c = proof.FederatedCredential{ID: ident.New[ident.ObjectID](), Owner: i.Principal, Tenant: i.Tenant, AppID: i.Client, Name: r.Param("credential")}
		}
		c.Issuer, c.Subject, c.Audiences = in.Properties.Issuer, in.Properties.Subject, in.Properties.Audiences
		if err := checkFederated(c); err != nil {
			return err
		}
		err = tx.PutFederatedCredential(c)
		if store.IsExists(err) {
			return fault.New(fault.Conflict, "Conflict", "Issuer and subject combination already exists for this Managed Identity.").Because(err)
		}
		if err != nil {
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
		i, c, ok, err := named(tx, r)
		if err != nil {
			return err
		}
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
