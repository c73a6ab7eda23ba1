package graph

import (
	"net/http"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/store"
)

func federatedSchema() schema[proof.FederatedCredential] {
	type cred = proof.FederatedCredential
	text := func(name string, get func(cred) string) property[cred] {
		return property[cred]{name: name, value: func(c cred) any { return textOrNull(get(c)) }, kind: filterText}
	}
	return schema[cred]{entity: "federatedIdentityCredential", resource: "FederatedIdentityCredential", area: directory.Applications, props: []property[cred]{
		text("id", func(c cred) string { return c.ID.String() }),
		text("name", func(c cred) string { return c.Name }),
		text("issuer", func(c cred) string { return c.Issuer }),
		text("subject", func(c cred) string { return c.Subject }),
		text("description", func(c cred) string { return c.Description }),
		{name: "audiences", value: func(c cred) any { return textsOrEmpty(c.Audiences) }, kind: filterTexts},
	}}
}

// federatedSet is the name of the collection in contexts.
func federatedSet(app ident.ObjectID) string {
	return "applications('" + app.String() + "')/federatedIdentityCredentials"
}

func listFederated(rq *request) error {
	s := federatedSchema()
	if err := s.checkFilter(rq.query.filter); err != nil {
		return err
	}
	if err := s.checkSelect(rq.query.selected); err != nil {
		return err
	}
	f := rq.query.filter
	rq.query.filter = nil
	if err := rq.plain(); err != nil {
		return err
	}
	var out collection
	err := rq.read(func(tx *store.Tx, a directory.Actor) error {
		app, err := rq.readableApplication(tx, a)
		if err != nil {
			return err
		}
		out.set = federatedSet(app.ID)
		all, err := tx.FederatedCredentialsOf(app.ID)
		for _, c := range all {
			if s.matches(f, c) {
				out.items = append(out.items, s.render(c, rq.query.selected, false))
			}
		}
		out.count = int64(len(out.items))
		return err
	})
	if err != nil {
		return err
	}
	return rq.collection(out)
}

// readableApplication finds the application that the path names, for an actor who may read it.
func (rq *request) readableApplication(tx *store.Tx, a directory.Actor) (directory.Application, error) {
	app, err := rq.bareApplication(tx, rq.args[0])
	if denied := rq.mayReadOwned(tx, a, app.ID); denied != nil {
		return app, denied
	}
	return app, err
}

// federated finds a credential of an application by its id or its name.
func (rq *request) federated(tx *store.Tx, owner ident.ObjectID, key string) (proof.FederatedCredential, error) {
	if name, ok := trimName(key); ok {
		key = name
	}
	c, err := tx.FederatedCredentialNamed(owner, key)
	if id, bad := ident.Parse[ident.ObjectID](key); store.IsNotFound(err) && bad == nil {
		c, err = tx.FederatedCredential(owner, id)
	}
	if store.IsNotFound(err) {
		return c, absent(key).Because(err)
	}
	return c, err
}

// trimName reads a key predicate name=….
func trimName(key string) (string, bool) {
	const prefix = "name="
	if len(key) > len(prefix) && fold(key[:len(prefix)]) == prefix {
		return key[len(prefix):], true
	}
	return "", false
}

func getFederated(rq *request) error {
	s := federatedSchema()
	if err := s.checkSelect(rq.query.selected); err != nil {
		return err
	}
	if err := rq.plain(); err != nil {
		return err
	}
	var o object
	var set string
	err := rq.read(func(tx *store.Tx, a directory.Actor) error {
		app, err := rq.readableApplication(tx, a)
		if err != nil {
			return err
		}
		set = federatedSet(app.ID)
		c, err := rq.federated(tx, app.ID, rq.args[1])
		o = s.render(c, rq.query.selected, false)
		return err
	})
	if err != nil {
		return err
	}
	return rq.entity(http.StatusOK, set, o)
}

func readFederated(b *body, c *proof.FederatedCredential, created bool) error {
	list := []fieldOf{{"issuer", &c.Issuer}, {"subject", &c.Subject}, {"audiences", &c.Audiences}, {"description", &c.Description}}
	if created {
		list = append(list, fieldOf{"name", &c.Name})
	}
	if _, err := b.fieldsInto(list); err != nil {
		return err
	}
	if !created {
		// az sends the name with a change; it cannot be another one.
		var name string
		was, err := b.text("name", &name)
		if err != nil {
			return err
		}
		if was && name != c.Name {
			return badRequest("Property 'name' of resource 'FederatedIdentityCredential' cannot be changed.").At("name")
		}
	}
	return b.rest("microsoft.graph.federatedIdentityCredential", func(name string) bool { _, ok := federatedSchema().find(name); return ok })
}

// putFederated checks a credential against the rules and writes it.
func (rq *request) putFederated(tx *store.Tx, h holder, c proof.FederatedCredential, created bool) error {
	if err := c.Check(); err != nil {
		return err
	}
	named, err := tx.FederatedCredentialNamed(h.id, c.Name)
	if err != nil && !store.IsNotFound(err) {
		return err
	}
	if err == nil && named.ID != c.ID {
		return fault.New(fault.Conflict, "Request_MultipleObjectsWithSameKeyValue", "FederatedIdentityCredential with name %s already exists.", c.Name).At("name")
	}
	n, err := tx.CountFederatedCredentials(h.id)
	if err != nil {
		return err
	}
	if created && n >= proof.MaxFederated {
		return badRequest("No more federated identity credentials can be added to the application: the limit is %d.", proof.MaxFederated)
	}
	err = tx.PutFederatedCredential(c)
	if store.IsExists(err) {
		return fault.New(fault.Conflict, "Request_MultipleObjectsWithSameKeyValue",
			"FederatedIdentityCredential with same issuer and subject already exists.").At("subject").Because(err)
	}
	if err != nil {
		return err
	}
	return rq.audit(tx, audit.FederationWritten, h.id, map[string]string{
		"displayName": h.name, "appId": h.app.String(), "name": c.Name, "issuer": c.Issuer, "subject": c.Subject,
	})
}

func createFederated(rq *request) error {
	b, err := rq.body()
	if err != nil {
		return err
	}
	var c proof.FederatedCredential
	readErr := readFederated(b, &c, true)
	var h holder
	err = rq.update(func(tx *store.Tx, a directory.Actor) error {
		if h, err = rq.changeable(tx, a, applicationObject); err != nil {
			return err
		}
		if readErr != nil {
			return readErr
		}
		c.ID, c.Owner, c.Tenant, c.AppID = ident.New[ident.ObjectID](), h.id, rq.caller.Tenant, h.app
		return rq.putFederated(tx, h, c, true)
	})
	if err != nil {
		return err
	}
	rq.w.Header().Set("Location", rq.h.BaseURL+"/v2/"+rq.caller.Tenant.String()+"/federatedIdentityCredentials/"+c.ID.String())
	return rq.entity(http.StatusCreated, federatedSet(h.id), federatedSchema().render(c, nil, false))
}

func updateFederated(rq *request) error {
	b, err := rq.body()
	if err != nil {
		return err
	}
	err = rq.update(func(tx *store.Tx, a directory.Actor) error {
		h, err := rq.changeable(tx, a, applicationObject)
		if err != nil {
			return err
		}
		c, err := rq.federated(tx, h.id, rq.args[1])
		if err != nil {
			return err
		}
		if err := readFederated(b.clone(), &c, false); err != nil {
			return err
		}
		return rq.putFederated(tx, h, c, false)
	})
	if err != nil {
		return err
	}
	return rq.noContent()
}

func deleteFederated(rq *request) error {
	err := rq.update(func(tx *store.Tx, a directory.Actor) error {
		h, err := rq.changeable(tx, a, applicationObject)
		if err != nil {
			return err
		}
		c, err := rq.federated(tx, h.id, rq.args[1])
		if err != nil {
			return err
		}
		if err := tx.DeleteFederatedCredential(c.ID); err != nil {
			return err
		}
		return rq.audit(tx, audit.FederationDeleted, h.id, map[string]string{"displayName": h.name, "appId": h.app.String(), "name": c.Name})
	})
	if err != nil {
		return err
	}
	return rq.noContent()
}
