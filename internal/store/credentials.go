package store

import (
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/feed"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/proof"
)

// What applications prove themselves with. A credential has an owner, the object it was added to: an application, one of
// its service principals, or the service principal of a managed identity. Lists by appId are for those who check a proof:
// they must leave out what belongs to a service principal of another tenant. Lists by owner are for those who manage it.

// text is an id as the database has it where it may be absent.
func text[K any](id ident.ID[K]) string {
	if id.IsZero() {
		return ""
	}
	return id.String()
}

// PutClientSecret makes or replaces a client secret's record.
func (tx *Tx) PutClientSecret(s proof.ClientSecret) error {
	return tx.put(feed.Private, "", s,
		`INSERT INTO client_secrets (doc, id, app_id, owner) VALUES ($1, $2, $3, $4)
		 ON CONFLICT (id) DO UPDATE SET doc = excluded.doc, app_id = excluded.app_id, owner = excluded.owner`, s.ID, s.AppID, text(s.Owner))
}

// DeleteClientSecret removes a client secret.
func (tx *Tx) DeleteClientSecret(id ident.CredentialID) error {
	return tx.remove(feed.Private, id.String(), `DELETE FROM client_secrets WHERE id = $1`, id)
}

// ClientSecrets returns the secrets of an application and of its service principals.
func (tx *Tx) ClientSecrets(app ident.ClientID) ([]proof.ClientSecret, error) {
	return all[proof.ClientSecret](tx, "client secret", `SELECT doc FROM client_secrets WHERE app_id = $1 ORDER BY id`, app)
}

// ClientSecretsOf returns the secrets that one object has.
func (tx *Tx) ClientSecretsOf(owner ident.ObjectID) ([]proof.ClientSecret, error) {
	return all[proof.ClientSecret](tx, "client secret", `SELECT doc FROM client_secrets WHERE owner = $1 ORDER BY id`, owner.String())
}

// PutClientKey makes or replaces a certificate's record.
func (tx *Tx) PutClientKey(k proof.ClientKey) error {
	return tx.put(feed.Private, "", k,
		`INSERT INTO client_keys (doc, owner, id, app_id) VALUES ($1, $2, $3, $4)
		 ON CONFLICT (owner, id) DO UPDATE SET doc = excluded.doc, app_id = excluded.app_id`, k.Owner, k.ID, k.AppID)
}

// DeleteClientKey removes a certificate from its owner.
func (tx *Tx) DeleteClientKey(owner ident.ObjectID, id ident.CredentialID) error {
	return tx.remove(feed.Private, id.String(), `DELETE FROM client_keys WHERE owner = $1 AND id = $2`, owner, id)
}

// ClientKeys returns the certificates of an application and of its service principals.
func (tx *Tx) ClientKeys(app ident.ClientID) ([]proof.ClientKey, error) {
	return all[proof.ClientKey](tx, "key", `SELECT doc FROM client_keys WHERE app_id = $1 ORDER BY owner, id`, app)
}

// ClientKeysOf returns the certificates that one object has.
func (tx *Tx) ClientKeysOf(owner ident.ObjectID) ([]proof.ClientKey, error) {
	return all[proof.ClientKey](tx, "key", `SELECT doc FROM client_keys WHERE owner = $1 ORDER BY id`, owner)
}

// PutFederatedCredential makes or replaces a federated credential. Conflict if its owner has another one of the same
// name, or for the same issuer and subject.
func (tx *Tx) PutFederatedCredential(c proof.FederatedCredential) error {
	return tx.put(feed.Private, "", c,
		`INSERT INTO federated_credentials (doc, id, owner, app_id, name_key, issuer, subject) VALUES ($1, $2, $3, $4, $5, $6, $7)
		 ON CONFLICT (id) DO UPDATE SET doc = excluded.doc, owner = excluded.owner, app_id = excluded.app_id, name_key = excluded.name_key,
		   issuer = excluded.issuer, subject = excluded.subject`,
		c.ID, c.Owner, c.AppID, directory.Fold(c.Name), c.Issuer, c.Subject)
}

// DeleteFederatedCredential removes a federated credential.
func (tx *Tx) DeleteFederatedCredential(id ident.ObjectID) error {
	return tx.remove(feed.Private, id.String(), `DELETE FROM federated_credentials WHERE id = $1`, id)
}

// FederatedCredentials returns the federated credentials of a client, application or managed identity, for one issuer and subject,
// compared with case.
func (tx *Tx) FederatedCredentials(app ident.ClientID, issuer, subject string) ([]proof.FederatedCredential, error) {
	return all[proof.FederatedCredential](tx, "federated credential",
		`SELECT doc FROM federated_credentials WHERE app_id = $1 AND issuer = $2 AND subject = $3 ORDER BY name_key, id`, app, issuer, subject)
}

// nearEnough is how many credentials tell how far a token is from all of them.
const nearEnough = 20

// FederatedCredentialsNear returns a few of the federated credentials of a client: for an issuer, if there are such.
func (tx *Tx) FederatedCredentialsNear(app ident.ClientID, issuer string) ([]proof.FederatedCredential, error) {
	list, err := all[proof.FederatedCredential](tx, "federated credential",
		`SELECT doc FROM federated_credentials WHERE app_id = $1 AND issuer = $2 ORDER BY subject LIMIT $3`, app, issuer, nearEnough)
	if err != nil || len(list) > 0 {
		return list, err
	}
	return all[proof.FederatedCredential](tx, "federated credential",
		`SELECT doc FROM federated_credentials WHERE app_id = $1 ORDER BY issuer, subject LIMIT $2`, app, nearEnough)
}

// FederatedCredentialNamed returns the federated credential of an object that has a name, without case.
func (tx *Tx) FederatedCredentialNamed(owner ident.ObjectID, name string) (proof.FederatedCredential, error) {
	return one[proof.FederatedCredential](tx, "federated credential", name,
		`SELECT doc FROM federated_credentials WHERE owner = $1 AND name_key = $2`, owner, directory.Fold(name))
}

// FederatedCredential returns the federated credential of an object that has an id.
func (tx *Tx) FederatedCredential(owner, id ident.ObjectID) (proof.FederatedCredential, error) {
	return one[proof.FederatedCredential](tx, "federated credential", id.String(),
		`SELECT doc FROM federated_credentials WHERE owner = $1 AND id = $2`, owner, id)
}

// CountFederatedCredentials returns how many federated credentials an object has.
func (tx *Tx) CountFederatedCredentials(owner ident.ObjectID) (int64, error) {
	return tx.count("federated credential", `SELECT count(*) FROM federated_credentials WHERE owner = $1`, owner)
}

// FederatedCredentialsOf returns the federated credentials that one object has, by name.
func (tx *Tx) FederatedCredentialsOf(owner ident.ObjectID) ([]proof.FederatedCredential, error) {
	return all[proof.FederatedCredential](tx, "federated credential", `SELECT doc FROM federated_credentials WHERE owner = $1 ORDER BY name_key, id`, owner)
}

// ForgetCredentials removes every credential of an object that is gone for good. None is no error.
func (tx *Tx) ForgetCredentials(owner ident.ObjectID) error {
	for _, q := range []string{
		`DELETE FROM client_secrets WHERE owner = $1`, `DELETE FROM client_keys WHERE owner = $1`, `DELETE FROM federated_credentials WHERE owner = $1`,
	} {
		if _, err := tx.exec(q, owner); err != nil {
			return err
		}
	}
	return nil
}
