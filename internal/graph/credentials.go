package graph

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/store"
)

// Bounds of credentials: how many secrets and how many certificates an object may have, how long a secret is good for when
// the client does not say, and how long the name of one may be.
const (
	maxSecrets     = 100
	maxKeys        = 100
	secretLife     = 2 * 365 * 24 * time.Hour
	maxCredentials = 120
)

func secretObject(s proof.ClientSecret, secret string) object {
	return object{
		{"customKeyIdentifier", nil},
		{"displayName", textOrNull(s.DisplayName)},
		{"endDateTime", instant(s.EndAt)},
		{"hint", s.Hint},
		{"keyId", s.ID},
		{"secretText", textOrNull(secret)},
		{"startDateTime", instant(s.StartAt)},
	}
}

func secretObjects(secrets []proof.ClientSecret) []object {
	out := []object{}
	for _, s := range secrets {
		out = append(out, secretObject(s, ""))
	}
	return out
}

func keyObject(k proof.ClientKey, withKey bool) object {
	custom := any(k.SHA1)
	if len(k.CustomID) > 0 {
		custom = strings.ToUpper(hex.EncodeToString(k.CustomID))
	}
	key := any(nil)
	if withKey {
		key = base64.StdEncoding.EncodeToString(k.Certificate)
	}
	return object{
		{"customKeyIdentifier", custom},
		{"displayName", textOrNull(k.DisplayName)},
		{"endDateTime", instant(k.EndAt)},
		{"key", key},
		{"keyId", k.ID},
		{"startDateTime", instant(k.StartAt)},
		{"type", "AsymmetricX509Cert"},
		{"usage", "Verify"},
	}
}

func keyObjects(keys []proof.ClientKey, withKey bool) []object {
	out := []object{}
	for _, k := range keys {
		out = append(out, keyObject(k, withKey))
	}
	return out
}

// keyChange is a certificate as a client sent it.
type keyChange struct {
	id          ident.CredentialID
	displayName string
	customID    []byte
	key         []byte // DER; empty for one that is there already
	start, end  time.Time
}

// readKeys reads a list of keyCredentials.
func readKeys(b *body, property string) (out []keyChange, sent bool, err error) {
	items, sent, err := b.list(property, "microsoft.graph.keyCredential")
	if err != nil {
		return nil, sent, err
	}
	if len(items) > maxKeys {
		return nil, sent, badRequest("The number of key credentials exceeds the limit of %d.", maxKeys).At(property)
	}
	for _, o := range items {
		k, err := readKey(o)
		if err != nil {
			return nil, sent, err
		}
		if slices.ContainsFunc(out, func(other keyChange) bool { return other.id == k.id && !k.id.IsZero() }) {
			return nil, sent, badRequest("The key credentials have a keyId twice.").At(property)
		}
		out = append(out, k)
	}
	return out, sent, nil
}

func readKey(o *body) (keyChange, error) {
	var k keyChange
	var custom, key string
	typ, usage := "AsymmetricX509Cert", "Verify"
	_, err := o.fieldsInto([]fieldOf{
		{"keyId", &k.id},
		{"displayName", &k.displayName},
		{"customKeyIdentifier", &custom},
		{"key", &key},
		{"startDateTime", &k.start},
		{"endDateTime", &k.end},
		{"type", &typ},
		{"usage", &usage},
	})
	if err != nil {
		return k, err
	}
	if err := o.rest("microsoft.graph.keyCredential", nothing); err != nil {
		return k, err
	}
	if typ != "AsymmetricX509Cert" || usage != "Verify" {
		return k, badRequest("Key credentials of type '%s' for '%s' are not supported: the type must be AsymmetricX509Cert and the usage Verify.", printable(typ), printable(usage)).At("keyCredentials")
	}
	if k.key, err = decodeKey(key); err != nil {
		return k, err
	}
	if k.customID, err = decodeID(custom); err != nil {
		return k, err
	}
	return k, checkCredentialName(k.displayName)
}

func checkCredentialName(name string) error {
	if utf8.RuneCountInString(name) > maxCredentials || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' }) {
		return badRequest("Invalid value specified for property 'displayName' of a credential.").At("displayName")
	}
	return nil
}

// decodeKey reads a certificate as base64 of DER, with or without line breaks, or of PEM.
func decodeKey(text string) ([]byte, error) {
	if text == "" {
		return nil, nil
	}
	bad := badRequest("Key value is invalid certificate.").At("key")
	if block, _ := pem.Decode([]byte(text)); block != nil {
		return block.Bytes, nil
	}
	compact := strings.Map(func(r rune) rune {
		if r == '\n' || r == '\r' || r == ' ' || r == '\t' {
			return -1
		}
		return r
	}, text)
	raw, err := base64.StdEncoding.DecodeString(compact)
	if err != nil {
		return nil, bad
	}
	if block, _ := pem.Decode(raw); block != nil {
		return block.Bytes, nil
	}
	return raw, nil
}

// decodeID reads a customKeyIdentifier: hex as the service writes thumbprints, else base64.
func decodeID(text string) ([]byte, error) {
	if raw, err := hex.DecodeString(text); err == nil && len(raw) <= 64 {
		return raw, nil
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw) > 64 {
		return nil, wrongType("customKeyIdentifier", "Edm.Binary")
	}
	return raw, nil
}

// record makes the record of a certificate that was sent.
func (k keyChange) record(owner ident.ObjectID, app ident.ClientID) (proof.ClientKey, error) {
	out, err := proof.NewClientKey(k.key, k.start, k.end)
	if err != nil {
		return out, badRequest("Key value is invalid certificate.").At("key").Because(err)
	}
	notBefore, notAfter := out.Validity()
	if out.StartAt.Before(notBefore) || out.EndAt.After(notAfter) || !out.StartAt.Before(out.EndAt) {
		return out, fault.New(fault.Invalid, "KeyCredentialsInvalidEndDate", "Key credential start and end must lie within the time for which the certificate is valid.").At("endDateTime")
	}
	out.ID, out.Owner, out.AppID, out.DisplayName = k.id, owner, app, k.displayName
	if out.ID.IsZero() {
		out.ID = ident.New[ident.CredentialID]()
	}
	if id := k.customID; len(id) > 0 && !strings.EqualFold(hex.EncodeToString(id), out.SHA1) {
		out.CustomID = id
	}
	return out, nil
}

// mayProve refuses credentials for the service principal of a well-known application: who had one would be taken for
// the application itself.
func (rq *request) mayProve(h holder) error {
	if rq.h.Catalog == nil {
		return nil
	}
	if _, known := rq.h.Catalog.App(h.app); known {
		return fault.New(fault.Forbidden, "CannotUpdateLockedServicePrincipalProperty", "Credentials cannot be added to the service principal of a well-known application.")
	}
	return nil
}

// replaceKeys makes the certificates of an object those that were sent. One without its key must be there already.
func (rq *request) replaceKeys(tx *store.Tx, h holder, want []keyChange) error {
	if len(want) > 0 {
		if err := rq.mayProve(h); err != nil {
			return err
		}
	}
	there, err := tx.ClientKeysOf(h.id)
	if err != nil {
		return err
	}
	keep := map[ident.CredentialID]bool{}
	for _, k := range want {
		i := slices.IndexFunc(there, func(t proof.ClientKey) bool { return t.ID == k.id })
		if len(k.key) == 0 {
			if i < 0 {
				return badRequest("A value is required for property 'key' of a new key credential.").At("key")
			}
			keep[k.id] = true
			continue
		}
		record, err := k.record(h.id, h.app)
		if err != nil {
			return err
		}
		keep[record.ID] = true
		if err := tx.PutClientKey(record); err != nil {
			return err
		}
		if err := rq.credentialAudit(tx, audit.AppCredentialAdded, h, record.ID, "certificate "+record.SHA256); err != nil {
			return err
		}
	}
	for _, t := range there {
		if keep[t.ID] {
			continue
		}
		if err := tx.DeleteClientKey(h.id, t.ID); err != nil {
			return err
		}
		if err := rq.credentialAudit(tx, audit.AppCredentialRemoved, h, t.ID, "certificate "+t.SHA256); err != nil {
			return err
		}
	}
	return nil
}

func (rq *request) credentialAudit(tx *store.Tx, event audit.Event, h holder, id ident.CredentialID, what string) error {
	return rq.audit(tx, event, h.id, map[string]string{"displayName": h.name, "appId": h.app.String(), "keyId": id.String(), "credential": what})
}

func addPassword(kind objectType) func(*request) error {
	return func(rq *request) error {
		b, err := rq.body()
		if err != nil {
			return err
		}
		o, err := b.object("passwordCredential", "microsoft.graph.passwordCredential")
		if err != nil {
			return err
		}
		if o == nil {
			o = &body{}
		}
		var name string
		start, end := time.Time{}, time.Time{}
		if _, err := o.fieldsInto([]fieldOf{{"displayName", &name}, {"startDateTime", &start}, {"endDateTime", &end}}); err != nil {
			return err
		}
		for typ, left := range map[string]*body{"microsoft.graph.passwordCredential": o, "addPassword": b} {
			if err := left.rest(typ, nothing); err != nil {
				return err
			}
		}
		if err := checkCredentialName(name); err != nil {
			return err
		}
		now := rq.h.Now().UTC()
		if start.IsZero() {
			start = now
		}
		if end.IsZero() {
			end = start.Add(secretLife)
		}
		if !start.Before(end) || !now.Before(end) {
			return badRequest("The credential's end is not after its start, or lies in the past.").At("endDateTime")
		}
		var secret string
		var record proof.ClientSecret
		err = rq.update(func(tx *store.Tx, a directory.Actor) error {
			h, err := rq.changeable(tx, a, kind)
			if err != nil {
				return err
			}
			if err := rq.mayProve(h); err != nil {
				return err
			}
			there, err := tx.ClientSecretsOf(h.id)
			if err != nil {
				return err
			}
			if len(there) >= maxSecrets {
				return badRequest("The number of password credentials exceeds the limit of %d.", maxSecrets).At("passwordCredentials")
			}
			secret, record = proof.NewClientSecret(h.app, name, start, end.Sub(start))
			record.Owner = h.id
			if err := tx.PutClientSecret(record); err != nil {
				return err
			}
			return rq.credentialAudit(tx, audit.AppCredentialAdded, h, record.ID, "secret")
		})
		if err != nil {
			return err
		}
		rq.w.Header().Set("Location", rq.h.BaseURL)
		return rq.write(http.StatusOK, append(object{rq.context("microsoft.graph.passwordCredential")}, secretObject(record, secret)...))
	}
}

// keyID reads a body that names a credential.
func (rq *request) keyID(action string, more ...string) (id ident.CredentialID, err error) {
	b, err := rq.body()
	if err != nil {
		return id, err
	}
	sent, err := guid(b, "keyId", &id)
	if err != nil {
		return id, err
	}
	for _, name := range more {
		b.take(name)
	}
	if !sent || id.IsZero() {
		return id, badRequest("A value is required for parameter 'keyId'.").At("keyId")
	}
	return id, b.rest(action, nothing)
}

func removePassword(kind objectType) func(*request) error {
	return func(rq *request) error {
		id, err := rq.keyID("removePassword")
		if err != nil {
			return err
		}
		err = rq.update(func(tx *store.Tx, a directory.Actor) error {
			h, err := rq.changeable(tx, a, kind)
			if err != nil {
				return err
			}
			there, err := tx.ClientSecretsOf(h.id)
			if err != nil {
				return err
			}
			if !slices.ContainsFunc(there, func(s proof.ClientSecret) bool { return s.ID == id }) {
				return badRequest("No password credential found with keyId.").At("keyId")
			}
			if err := tx.DeleteClientSecret(id); err != nil {
				return err
			}
			return rq.credentialAudit(tx, audit.AppCredentialRemoved, h, id, "secret")
		})
		if err != nil {
			return err
		}
		return rq.noContent()
	}
}

// addKey and removeKey need, at Microsoft Graph, a proof of possession signed with a key that is there already: they
// are for applications that roll their own keys.
func addKey(kind objectType) func(*request) error {
	return func(rq *request) error {
		b, err := rq.body()
		if err != nil {
			return err
		}
		o, err := b.object("keyCredential", "microsoft.graph.keyCredential")
		if err != nil {
			return err
		}
		var signed string
		sent, err := b.text("proof", &signed)
		if err != nil {
			return err
		}
		b.take("passwordCredential")
		if err := b.rest("addKey", nothing); err != nil {
			return err
		}
		if o == nil || !sent {
			return badRequest("The parameters 'keyCredential' and 'proof' are required.").At("keyCredential")
		}
		k, err := readKey(o)
		if err != nil {
			return err
		}
		var record proof.ClientKey
		err = rq.rollKey(kind, signed, func(tx *store.Tx, h holder, there []proof.ClientKey) error {
			if len(there) >= maxKeys {
				return badRequest("The number of key credentials exceeds the limit of %d.", maxKeys).At("keyCredentials")
			}
			k.id = ident.CredentialID{} // the service gives the id
			if record, err = k.record(h.id, h.app); err != nil {
				return err
			}
			if err := tx.PutClientKey(record); err != nil {
				return err
			}
			return rq.credentialAudit(tx, audit.AppCredentialAdded, h, record.ID, "certificate "+record.SHA256)
		})
		if err != nil {
			return err
		}
		rq.w.Header().Set("Location", rq.h.BaseURL)
		return rq.write(http.StatusOK, append(object{rq.context("microsoft.graph.keyCredential")}, keyObject(record, true)...))
	}
}

func removeKey(kind objectType) func(*request) error {
	return func(rq *request) error {
		b, err := rq.body()
		if err != nil {
			return err
		}
		var id ident.CredentialID
		var signed string
		if _, err := b.fieldsInto([]fieldOf{{"keyId", &id}, {"proof", &signed}}); err != nil {
			return err
		}
		if err := b.rest("removeKey", nothing); err != nil {
			return err
		}
		err = rq.rollKey(kind, signed, func(tx *store.Tx, h holder, there []proof.ClientKey) error {
			i := slices.IndexFunc(there, func(k proof.ClientKey) bool { return k.ID == id })
			if i < 0 {
				return badRequest("No key credential found with keyId.").At("keyId")
			}
			if err := tx.DeleteClientKey(h.id, id); err != nil {
				return err
			}
			return rq.credentialAudit(tx, audit.AppCredentialRemoved, h, id, "certificate "+there[i].SHA256)
		})
		if err != nil {
			return err
		}
		return rq.noContent()
	}
}

// rollKey runs a change of an object's certificates that is shown to come from who holds one of them.
func (rq *request) rollKey(kind objectType, signed string, change func(*store.Tx, holder, []proof.ClientKey) error) error {
	return rq.update(func(tx *store.Tx, a directory.Actor) error {
		h, err := rq.holder(tx, kind)
		if err != nil && !store.IsNotFound(err) {
			return err
		}
		owner := false
		if err == nil {
			var failed error
			if owner, failed = tx.Owns(a.ID, h.id); failed != nil {
				return failed
			}
		}
		// An application rolls its own keys without a permission.
		itself := a.Application && err == nil && rq.caller.Client == h.app
		if denied := h.may(a, owner); denied != nil && !itself {
			return denied
		}
		if err != nil {
			return err
		}
		there, err := tx.ClientKeysOf(h.id)
		if err != nil {
			return err
		}
		if err := proof.CheckPossession(there, signed, h.id, rq.h.Now()); err != nil {
			return fault.New(fault.Forbidden, "Authentication_MissingOrMalformed", "The proof of possession is not valid: it must be a token signed with a certificate that the object has, "+
				"with aud 00000002-0000-0000-c000-000000000000, iss the object's id, and nbf and exp no more than ten minutes apart.").At("proof").Because(err)
		}
		return change(tx, h, there)
	})
}
