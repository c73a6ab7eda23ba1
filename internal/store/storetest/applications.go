package storetest

import (
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/store"
)

func applicationCases() []methodCase {
	return []methodCase{
		{"applications", "PutApplication Application ApplicationByAppID ApplicationByURI DeleteApplication", applications},
		{"client secrets", "PutClientSecret ClientSecrets ClientSecretsOf DeleteClientSecret", clientSecrets},
		{"client keys", "PutClientKey ClientKeys ClientKeysOf DeleteClientKey ForgetCredentials", clientKeys},
		{"federated credentials", "PutFederatedCredential FederatedCredentials FederatedCredentialsOf FederatedCredentialsNear FederatedCredential FederatedCredentialNamed CountFederatedCredentials DeleteFederatedCredential", federatedCredentials},
		{"consent", "PutPermissionGrant PermissionGrant PermissionGrants PermissionGrantsOf PermissionGrantsBy DeletePermissionGrant", permissionGrants},
		{"app roles", "PutAppRoleAssignment AppRoleAssignment AppRoleAssignments AppRolesAssignedTo DeleteAppRoleAssignment", appRoleAssignments},
		{"deleted objects", "PutDeleted Deleted DropDeleted DeletedObjects", deletedObjects},
		{"owners", "AddOwner RemoveOwner Owners OwnedBy Owns", owners},
	}
}

func clientID(name string) ident.ClientID { return ident.Derive[ident.ClientID]("storetest", name) }
func credID(name string) ident.CredentialID {
	return ident.Derive[ident.CredentialID]("storetest", name)
}
func grantID(name string) ident.GrantID { return ident.Derive[ident.GrantID]("storetest", name) }
func permission(name string) ident.PermissionID {
	return ident.Derive[ident.PermissionID]("storetest", name)
}

func applications(_ *testing.T, b *bench) {
	a := directory.Application{
		ID: oid("app"), AppID: ident.Derive[ident.ClientID]("storetest", "app"), Tenant: b.tenant, DisplayName: "App",
		IdentifierURIs: []string{"api://App", "api://APP", "https://app.test"}, PublicRedirectURIs: []string{"http://localhost"}, Public: true, CreatedAt: zoned(),
	}
	changed := a
	changed.IdentifierURIs, changed.AppID = []string{"api://changed"}, ident.Derive[ident.ClientID]("storetest", "changed")
	byURI := func(uri string) func(*store.Tx) (directory.Application, error) {
		return func(tx *store.Tx) (directory.Application, error) { return tx.ApplicationByURI(b.tenant, uri) }
	}
	byID := func(id ident.ClientID) func(*store.Tx) (directory.Application, error) {
		return func(tx *store.Tx) (directory.Application, error) { return tx.ApplicationByAppID(id) }
	}
	b.update(func(tx *store.Tx) error { return tx.PutApplication(a) })
	has(b, byID(a.AppID), a)
	has(b, byURI("API://app"), a)
	b.update(func(tx *store.Tx) error { return tx.PutApplication(changed) })
	lacks(b, byID(a.AppID))
	lacks(b, byURI("api://app"))
	has(b, byID(changed.AppID), changed)
	has(b, byURI("api://changed"), changed)
	other := a
	other.ID = oid("second")
	other.IdentifierURIs = []string{"api://new", "api://CHANGED"}
	b.refused(fault.Conflict, func(tx *store.Tx) error { return tx.PutApplication(other) })
	other.IdentifierURIs, other.AppID = nil, changed.AppID
	b.refused(fault.Conflict, func(tx *store.Tx) error { return tx.PutApplication(other) })
	other.AppID, other.IdentifierURIs, other.Tenant = a.AppID, changed.IdentifierURIs, b.other()
	b.update(func(tx *store.Tx) error { return tx.PutApplication(other) }) // the URI is another tenant's
	byObject := func(tx *store.Tx) (directory.Application, error) { return tx.Application(changed.ID) }
	has(b, byObject, changed)
	rev := b.update(func(tx *store.Tx) error { return tx.DeleteApplication(changed.ID) })
	b.told(rev, "delete application "+changed.ID.String())
	lacks(b, byObject)
	lacks(b, byURI("api://changed"))
	b.refused(fault.NotFound, func(tx *store.Tx) error { return tx.DeleteApplication(changed.ID) })
}

func clientSecrets(_ *testing.T, b *bench) {
	app, other := ident.Derive[ident.ClientID]("storetest", "a"), ident.Derive[ident.ClientID]("storetest", "b")
	secret := func(name string, app ident.ClientID) proof.ClientSecret {
		return proof.ClientSecret{ID: ident.Derive[ident.CredentialID]("storetest", name), AppID: app, DisplayName: name, Hash: "hash", EndAt: zoned()}
	}
	s := secret("s", app)
	s.Owner = oid("app")
	list := func(app ident.ClientID) func(*store.Tx) ([]proof.ClientSecret, error) {
		return func(tx *store.Tx) ([]proof.ClientSecret, error) { return tx.ClientSecrets(app) }
	}
	has(b, list(app), nil)
	b.update(func(tx *store.Tx) error {
		return firstError(tx.PutClientSecret(s), tx.PutClientSecret(secret("o", other)))
	})
	has(b, list(app), []proof.ClientSecret{s})
	s.DisplayName = "changed"
	b.update(func(tx *store.Tx) error { return tx.PutClientSecret(s) })
	has(b, list(app), []proof.ClientSecret{s})
	has(b, func(tx *store.Tx) ([]proof.ClientSecret, error) { return tx.ClientSecretsOf(oid("app")) }, []proof.ClientSecret{s})
	b.update(func(tx *store.Tx) error { return tx.DeleteClientSecret(s.ID) })
	has(b, list(app), nil)
	b.refused(fault.NotFound, func(tx *store.Tx) error { return tx.DeleteClientSecret(s.ID) })
	has(b, list(other), []proof.ClientSecret{secret("o", other)})
}

func clientKeys(_ *testing.T, b *bench) {
	key := func(owner, id string) proof.ClientKey {
		return proof.ClientKey{ID: credID(id), Owner: oid(owner), AppID: clientID("a"), SHA1: "AB", SHA256: "CD", Certificate: []byte{1, 0, 2}, StartAt: zoned(), EndAt: zoned()}
	}
	of := func(owner string) func(*store.Tx) ([]proof.ClientKey, error) {
		return func(tx *store.Tx) ([]proof.ClientKey, error) { return tx.ClientKeysOf(oid(owner)) }
	}
	all := func(tx *store.Tx) ([]proof.ClientKey, error) { return tx.ClientKeys(clientID("a")) }
	mine, theirs := key("app", "k"), key("sp", "k") // one keyId, two owners
	b.update(func(tx *store.Tx) error { return firstError(tx.PutClientKey(mine), tx.PutClientKey(theirs)) })
	mine.DisplayName = "changed"
	b.update(func(tx *store.Tx) error { return tx.PutClientKey(mine) })
	has(b, of("app"), []proof.ClientKey{mine})
	has(b, of("sp"), []proof.ClientKey{theirs})
	has(b, func(tx *store.Tx) (int, error) { l, err := all(tx); return len(l), err }, 2)
	b.update(func(tx *store.Tx) error { return tx.DeleteClientKey(oid("app"), credID("k")) })
	b.refused(fault.NotFound, func(tx *store.Tx) error { return tx.DeleteClientKey(oid("app"), credID("k")) })
	has(b, all, []proof.ClientKey{theirs})
	b.update(func(tx *store.Tx) error {
		return firstError(tx.PutClientSecret(proof.ClientSecret{ID: credID("s"), Owner: oid("sp"), AppID: clientID("a")}),
			tx.PutFederatedCredential(proof.FederatedCredential{ID: oid("f"), Owner: oid("sp"), AppID: clientID("a"), Name: "f"}))
	})
	rev := b.update(func(tx *store.Tx) error { return tx.ForgetCredentials(oid("sp")) })
	b.told(rev, "put private ")
	has(b, all, nil)
	has(b, func(tx *store.Tx) ([]proof.ClientSecret, error) { return tx.ClientSecrets(clientID("a")) }, nil)
	has(b, func(tx *store.Tx) ([]proof.FederatedCredential, error) {
		return tx.FederatedCredentialsNear(clientID("a"), "")
	}, nil)
	b.update(func(tx *store.Tx) error { return tx.ForgetCredentials(oid("sp")) })
}

func federatedCredentials(_ *testing.T, b *bench) {
	cred := func(id, owner, name, subject string) proof.FederatedCredential {
		return proof.FederatedCredential{
			ID: oid(id), Owner: oid(owner), Tenant: b.tenant, AppID: clientID(owner), Name: name, Issuer: "https://issuer.test", Subject: subject, Audiences: []string{"api://x"},
		}
	}
	of := func(owner string) func(*store.Tx) ([]proof.FederatedCredential, error) {
		return func(tx *store.Tx) ([]proof.FederatedCredential, error) { return tx.FederatedCredentialsOf(oid(owner)) }
	}
	first, second := cred("1", "app", "Zeta", "system:serviceaccount:a:b"), cred("2", "app", "alpha", "system:serviceaccount:a:B")
	b.update(func(tx *store.Tx) error {
		return firstError(tx.PutFederatedCredential(first), tx.PutFederatedCredential(second), tx.PutFederatedCredential(cred("3", "mi", "zeta", first.Subject)))
	})
	has(b, of("app"), []proof.FederatedCredential{second, first}) // by name; subjects differ by case alone
	third := cred("3", "mi", "zeta", first.Subject)
	match := func(app, issuer, subject string) func(*store.Tx) ([]proof.FederatedCredential, error) {
		return func(tx *store.Tx) ([]proof.FederatedCredential, error) {
			return tx.FederatedCredentials(clientID(app), issuer, subject)
		}
	}
	near := func(app, issuer string) func(*store.Tx) (int, error) {
		return func(tx *store.Tx) (int, error) {
			list, err := tx.FederatedCredentialsNear(clientID(app), issuer)
			return len(list), err
		}
	}
	has(b, match("mi", third.Issuer, third.Subject), []proof.FederatedCredential{third})
	has(b, match("app", first.Issuer, first.Subject), []proof.FederatedCredential{first})
	for _, other := range [][3]string{{"app", first.Issuer + "/", first.Subject}, {"app", first.Issuer, strings.ToUpper(first.Subject)}, {"none", first.Issuer, first.Subject}} {
		has(b, match(other[0], other[1], other[2]), nil)
	}
	has(b, near("app", first.Issuer), 2)
	has(b, near("app", "https://other.test"), 2) // none of that issuer: any
	has(b, near("none", first.Issuer), 0)
	for _, key := range []string{"Zeta", "ZETA"} {
		has(b, func(tx *store.Tx) (proof.FederatedCredential, error) {
			return tx.FederatedCredentialNamed(oid("app"), key)
		}, first)
	}
	has(b, func(tx *store.Tx) (proof.FederatedCredential, error) {
		return tx.FederatedCredential(oid("app"), first.ID)
	}, first)
	has(b, func(tx *store.Tx) (int64, error) { return tx.CountFederatedCredentials(oid("app")) }, 2)
	has(b, func(tx *store.Tx) (int64, error) { return tx.CountFederatedCredentials(oid("none")) }, 0)
	b.refused(fault.NotFound, func(tx *store.Tx) error { _, err := tx.FederatedCredential(oid("mi"), first.ID); return err })
	b.refused(fault.NotFound, func(tx *store.Tx) error { _, err := tx.FederatedCredentialNamed(oid("mi"), "alpha"); return err })
	b.refused(fault.Conflict, func(tx *store.Tx) error { return tx.PutFederatedCredential(cred("4", "app", "ZETA", "other")) })
	b.refused(fault.Conflict, func(tx *store.Tx) error { return tx.PutFederatedCredential(cred("4", "app", "new", first.Subject)) })
	first.Subject = "changed"
	b.update(func(tx *store.Tx) error { return tx.PutFederatedCredential(first) })
	has(b, of("app"), []proof.FederatedCredential{second, first})
	b.update(func(tx *store.Tx) error { return tx.DeleteFederatedCredential(first.ID) })
	b.refused(fault.NotFound, func(tx *store.Tx) error { return tx.DeleteFederatedCredential(first.ID) })
	has(b, of("app"), []proof.FederatedCredential{second})
}

func permissionGrants(_ *testing.T, b *bench) {
	grant := func(id, client, resource string) directory.PermissionGrant {
		return directory.PermissionGrant{ID: grantID(id), Tenant: b.tenant, Client: oid(client), Resource: oid(resource), Consent: directory.AllPrincipals, Scope: "openid"}
	}
	all, one := grant("1", "c", "r"), grant("2", "c", "r")
	one.Consent, one.Principal = directory.OnePrincipal, oid("u")
	rev := b.update(func(tx *store.Tx) error { return firstError(tx.PutPermissionGrant(all), tx.PutPermissionGrant(one)) })
	b.told(rev, "put permissionGrant "+all.ID.String(), "put permissionGrant "+one.ID.String())
	b.refused(fault.Conflict, func(tx *store.Tx) error { return tx.PutPermissionGrant(grant("3", "c", "r")) })
	has(b, func(tx *store.Tx) (directory.PermissionGrant, error) { return tx.PermissionGrant(one.ID) }, one)
	has(b, func(tx *store.Tx) ([]directory.PermissionGrant, error) { return tx.PermissionGrantsBy(oid("u")) }, []directory.PermissionGrant{one})
	has(b, func(tx *store.Tx) (int, error) { l, err := tx.PermissionGrantsOf(oid("c")); return len(l), err }, 2)
	page := func(after ident.GrantID, limit int) func(tx *store.Tx) ([]directory.PermissionGrant, error) {
		return func(tx *store.Tx) ([]directory.PermissionGrant, error) {
			return tx.PermissionGrants(b.tenant, after, limit)
		}
	}
	inOrder := []directory.PermissionGrant{all, one}
	if all.ID.String() > one.ID.String() {
		inOrder = []directory.PermissionGrant{one, all}
	}
	has(b, page(ident.GrantID{}, 1), inOrder[:1])
	has(b, page(inOrder[0].ID, 5), inOrder[1:])
	rev = b.update(func(tx *store.Tx) error { return tx.DeletePermissionGrant(all.ID) })
	b.told(rev, "delete permissionGrant "+all.ID.String())
	lacks(b, func(tx *store.Tx) (directory.PermissionGrant, error) { return tx.PermissionGrant(all.ID) })
	b.refused(fault.NotFound, func(tx *store.Tx) error { return tx.DeletePermissionGrant(all.ID) })
	// It goes with whom it speaks of.
	b.update(func(tx *store.Tx) error { return tx.PutUser(b.aUser("u")) })
	b.update(func(tx *store.Tx) error { return tx.DeleteUser(oid("u")) })
	has(b, page(ident.GrantID{}, 5), nil)
}

func appRoleAssignments(_ *testing.T, b *bench) {
	assignment := func(id, principal, resource, role string) directory.AppRoleAssignment {
		a := directory.AppRoleAssignment{ID: grantID(id), Tenant: b.tenant, Principal: oid(principal), PrincipalType: directory.PrincipalUser, Resource: oid(resource), CreatedAt: zoned()}
		if role != "" {
			a.Role = permission(role)
		}
		return a
	}
	a, def := assignment("1", "p", "r", "reader"), assignment("2", "p", "r", "")
	rev := b.update(func(tx *store.Tx) error { return firstError(tx.PutAppRoleAssignment(a), tx.PutAppRoleAssignment(def)) })
	b.told(rev, "put appRoleAssignment "+a.ID.String(), "put appRoleAssignment "+def.ID.String())
	b.refused(fault.Conflict, func(tx *store.Tx) error { return tx.PutAppRoleAssignment(assignment("3", "p", "r", "reader")) })
	b.refused(fault.Conflict, func(tx *store.Tx) error { return tx.PutAppRoleAssignment(assignment("3", "p", "r", "")) })
	has(b, func(tx *store.Tx) (directory.AppRoleAssignment, error) { return tx.AppRoleAssignment(def.ID) }, def)
	has(b, func(tx *store.Tx) (int, error) { l, err := tx.AppRoleAssignments(oid("p")); return len(l), err }, 2)
	to := func(tx *store.Tx) (int, error) {
		l, err := tx.AppRolesAssignedTo(oid("r"), ident.GrantID{}, 10)
		return len(l), err
	}
	has(b, to, 2)
	has(b, func(tx *store.Tx) (int, error) {
		l, err := tx.AppRolesAssignedTo(oid("r"), ident.GrantID{}, 1)
		return len(l), err
	}, 1)
	b.update(func(tx *store.Tx) error { return tx.DeleteAppRoleAssignment(a.ID) })
	lacks(b, func(tx *store.Tx) (directory.AppRoleAssignment, error) { return tx.AppRoleAssignment(a.ID) })
	b.refused(fault.NotFound, func(tx *store.Tx) error { return tx.DeleteAppRoleAssignment(a.ID) })
	has(b, to, 1)
	// It goes with its resource.
	b.update(func(tx *store.Tx) error { return tx.PutServicePrincipal(b.aPrincipal("r")) })
	rev = b.update(func(tx *store.Tx) error { return tx.DeleteServicePrincipal(oid("r")) })
	b.told(rev, "delete appRoleAssignment "+def.ID.String(), "delete servicePrincipal "+oid("r").String())
	has(b, to, 0)
}

func owners(_ *testing.T, b *bench) {
	b.update(func(tx *store.Tx) error {
		return firstError(tx.AddOwner(oid("g"), oid("a")), tx.AddOwner(oid("g"), oid("b")), tx.AddOwner(oid("h"), oid("a")))
	})
	b.refused(fault.Conflict, func(tx *store.Tx) error { return tx.AddOwner(oid("g"), oid("a")) })
	has(b, func(tx *store.Tx) ([]ident.ObjectID, error) { return tx.Owners(oid("g")) }, sorted(oid("a"), oid("b")))
	owned := sorted(oid("g"), oid("h"))
	has(b, func(tx *store.Tx) ([]ident.ObjectID, error) { return tx.OwnedBy(oid("a"), ident.ObjectID{}, 1) }, owned[:1])
	has(b, func(tx *store.Tx) ([]ident.ObjectID, error) { return tx.OwnedBy(oid("a"), owned[0], 9) }, owned[1:])
	owns := func(owner, object string) func(*store.Tx) (bool, error) {
		return func(tx *store.Tx) (bool, error) { return tx.Owns(oid(owner), oid(object)) }
	}
	has(b, owns("b", "g"), true)
	has(b, owns("b", "h"), false)
	b.update(func(tx *store.Tx) error { return tx.RemoveOwner(oid("g"), oid("b")) })
	b.refused(fault.NotFound, func(tx *store.Tx) error { return tx.RemoveOwner(oid("g"), oid("b")) })
	has(b, owns("b", "g"), false)
	// Who is deleted owns nothing, and what is deleted has no owner.
	b.update(func(tx *store.Tx) error { return firstError(tx.PutUser(b.aUser("a")), tx.DeleteUser(oid("a"))) })
	has(b, owns("a", "h"), false)
	b.update(func(tx *store.Tx) error {
		return firstError(tx.PutGroup(b.aGroup("g")), tx.AddOwner(oid("g"), oid("b")), tx.DeleteGroup(oid("g")))
	})
	has(b, owns("b", "g"), false)
}

func deletedObjects(_ *testing.T, b *bench) {
	deleted := func(name string, kind directory.Kind) directory.Deleted {
		d := directory.Deleted{ID: oid(name), Tenant: b.tenant, Kind: kind, DeletedAt: zoned(), MemberOf: []ident.ObjectID{oid("g")}}
		switch kind {
		case directory.KindUser:
			u := b.aUser(name)
			d.User, d.PasswordHash = &u, "hash"
		case directory.KindGroup:
			g := b.aGroup(name)
			d.Group = &g
		case directory.KindApplication, directory.KindServicePrincipal:
		}
		return d
	}
	u, v, g := deleted("u", directory.KindUser), deleted("V", directory.KindUser), deleted("g", directory.KindGroup)
	get := func(tx *store.Tx) (directory.Deleted, error) { return tx.Deleted(u.ID) }
	life(b, u, u, (*store.Tx).PutDeleted, get, func(tx *store.Tx) error { return tx.DropDeleted(u.ID) })
	rev := b.update(func(tx *store.Tx) error {
		return firstError(tx.PutDeleted(u), tx.PutDeleted(v), tx.PutDeleted(g), tx.PutClientSecret(proof.ClientSecret{ID: credID("s"), Owner: v.ID, AppID: clientID("a")}))
	})
	b.told(rev, "put private ")
	list := func(after store.NameCursor) func(tx *store.Tx) ([]directory.Deleted, error) {
		return func(tx *store.Tx) ([]directory.Deleted, error) {
			return tx.DeletedObjects(directory.KindUser, store.NameQuery{Tenant: b.tenant, Limit: 5, After: after})
		}
	}
	has(b, list(store.NameCursor{}), []directory.Deleted{u, v})
	has(b, list(store.DeletedCursor(u)), []directory.Deleted{v})
	lacks(b, func(tx *store.Tx) (directory.User, error) { return tx.User(u.ID) })
	// They go for good after a while, with what they could have proved themselves with.
	end := zoned().Add(directory.RestorableFor)
	b.update(func(tx *store.Tx) error { _, err := tx.DeleteExpired(end); return err })
	has(b, list(store.NameCursor{}), []directory.Deleted{u, v})
	b.update(func(tx *store.Tx) error { _, err := tx.DeleteExpired(end.Add(1)); return err })
	has(b, list(store.NameCursor{}), nil)
	has(b, func(tx *store.Tx) ([]proof.ClientSecret, error) { return tx.ClientSecretsOf(v.ID) }, nil)
}
