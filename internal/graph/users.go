package graph

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/store"
)

// userSchema lists the properties of users in the order of an answer to GET. The usual ones are those the service
// answers without $select.
func userSchema() schema[directory.User] {
	type user = directory.User
	return schema[user]{
		entity: "user", set: "users", resource: "User", kind: userObject, area: directory.Users,
		id: func(u user) ident.ObjectID { return u.ID }, orders: []string{"displayname", "userprincipalname"}, props: userProperties(),
	}
}

func userProperties() []property[directory.User] {
	type user = directory.User
	text := func(name string, get func(user) string) property[user] {
		return property[user]{name: name, value: func(u user) any { return textOrNull(get(u)) }, kind: filterText}
	}
	extra := func(p property[user]) property[user] { p.extra = true; return p }
	return []property[user]{
		{name: "businessPhones", value: func(u user) any { return textsOrEmpty(u.BusinessPhones) }},
		text("displayName", func(u user) string { return u.DisplayName }),
		text("givenName", func(u user) string { return u.GivenName }),
		text("jobTitle", func(u user) string { return u.JobTitle }),
		text("mail", func(u user) string { return u.Mail }),
		text("mobilePhone", func(u user) string { return u.MobilePhone }),
		text("officeLocation", func(u user) string { return u.OfficeLocation }),
		text("preferredLanguage", func(u user) string { return u.PreferredLanguage }),
		text("surname", func(u user) string { return u.Surname }),
		text("userPrincipalName", func(u user) string { return u.UserPrincipalName }),

		extra(property[user]{name: "accountEnabled", value: func(u user) any { return u.AccountEnabled }, kind: filterBool}),
		extra(property[user]{name: "createdDateTime", value: func(u user) any { return instant(u.CreatedAt) }, kind: filterTime}),
		extra(property[user]{name: "deletedDateTime", value: null[user]}),
		extra(text("department", func(u user) string { return u.Department })),
		extra(text("mailNickname", func(u user) string { return u.MailNickname })),
		extra(text("onPremisesImmutableId", func(u user) string { return u.ImmutableID })),
		extra(property[user]{name: "onPremisesSyncEnabled", value: null[user]}),
		extra(property[user]{name: "otherMails", value: none[user]}),
		extra(property[user]{name: "passwordPolicies", value: null[user]}),
		extra(property[user]{name: "passwordProfile", value: null[user]}), // write-only
		extra(property[user]{name: "proxyAddresses", value: none[user]}),
		extra(property[user]{name: "signInSessionsValidFromDateTime", value: func(u user) any { return instant(u.SessionsValidFrom) }}),
		extra(text("usageLocation", func(u user) string { return u.UsageLocation })),
		extra(text("userType", func(u user) string { return u.UserType })),
		text("id", func(u user) string { return u.ID.String() }),
	}
}

func (rq *request) users(tx *store.Tx) source[directory.User] {
	q := rq.names(false, true)
	place := store.UserCursor
	if q.ByUPN {
		place = store.UPNCursor
	}
	s := source[directory.User]{
		place: place,
		all:   func() (int64, error) { return tx.CountUsers(rq.caller.Tenant) },
		read: func(after store.NameCursor, limit int) ([]directory.User, error) {
			q.After, q.Limit = after, limit
			return tx.Users(q)
		},
	}
	if id, ok := rq.query.filter.must(opEq, "id"); ok {
		return s.one(func() (directory.User, error) { return rq.user(tx, id) })
	}
	return s
}

func listUsers(rq *request) error  { return listEntities(rq, userSchema(), rq.users) }
func countUsers(rq *request) error { return countEntities(rq, userSchema(), rq.users) }

// user finds a user of the caller's tenant by object id or user principal name.
func (rq *request) user(tx *store.Tx, key string) (directory.User, error) {
	var u directory.User
	var err error
	if id, bad := ident.Parse[ident.ObjectID](key); bad == nil {
		u, err = tx.User(id)
	} else {
		u, err = tx.UserByUPN(rq.caller.Tenant, key)
	}
	if store.IsNotFound(err) || err == nil && u.Tenant != rq.caller.Tenant {
		return u, absent(key).Because(store.ErrNotFound)
	}
	return u, err
}

func getUser(rq *request) error { return getEntity(rq, userSchema(), rq.readableUser) }

// readableUser finds the user that the path names, for an actor who may read it. Who may not learns nothing of what is there.
func (rq *request) readableUser(tx *store.Tx, a directory.Actor) (directory.User, error) {
	u, err := rq.user(tx, rq.args[0])
	if denied := a.MayReadUser(u.ID); denied != nil {
		return u, denied
	}
	return u, err
}

// userChange is what a request wants of a user.
type userChange struct {
	// sent names the properties that were sent, for the audit log.
	sent     []string
	enabled  bool // accountEnabled was sent
	password *string
}

// readUser reads a body over u.
func readUser(b *body, u *directory.User) (userChange, error) {
	var c userChange
	for _, f := range []struct {
		name string
		dst  *string
	}{
		{"userPrincipalName", &u.UserPrincipalName},
		{"displayName", &u.DisplayName},
		{"mailNickname", &u.MailNickname},
		{"givenName", &u.GivenName},
		{"surname", &u.Surname},
		{"mail", &u.Mail},
		{"jobTitle", &u.JobTitle},
		{"mobilePhone", &u.MobilePhone},
		{"officeLocation", &u.OfficeLocation},
		{"preferredLanguage", &u.PreferredLanguage},
		{"department", &u.Department},
		{"usageLocation", &u.UsageLocation},
		{"onPremisesImmutableId", &u.ImmutableID},
		{"userType", &u.UserType},
	} {
		sent, err := b.text(f.name, f.dst)
		if err != nil {
			return c, err
		}
		if sent {
			c.sent = append(c.sent, f.name)
		}
	}
	sent, err := b.boolean("accountEnabled", &u.AccountEnabled)
	if err != nil {
		return c, err
	}
	if c.enabled = sent; sent {
		c.sent = append(c.sent, "accountEnabled")
	}
	if sent, err = b.texts("businessPhones", &u.BusinessPhones); err != nil {
		return c, err
	} else if sent {
		c.sent = append(c.sent, "businessPhones")
	}
	profile, err := b.object("passwordProfile", "microsoft.graph.passwordProfile")
	if err != nil {
		return c, err
	}
	if profile != nil {
		if err := c.readPassword(profile, u); err != nil {
			return c, err
		}
		c.sent = append(c.sent, "passwordProfile")
	}
	return c, b.rest("microsoft.graph.user", func(name string) bool { _, ok := userSchema().find(name); return ok })
}

func (c *userChange) readPassword(profile *body, u *directory.User) error {
	var password string
	sent, err := profile.text("password", &password)
	if err != nil {
		return err
	}
	if sent {
		c.password = &password
	}
	change, changeMFA := u.MustChangePassword, false
	if sent {
		change = false
	}
	if _, err := profile.boolean("forceChangePasswordNextSignIn", &change); err != nil {
		return err
	}
	if _, err := profile.boolean("forceChangePasswordNextSignInWithMfa", &changeMFA); err != nil {
		return err
	}
	u.MustChangePassword = change || changeMFA
	return profile.rest("microsoft.graph.passwordProfile", nothing)
}

// hash makes the stored form of the password, if one was sent. It is slow by design, and so not done in a transaction.
func (c *userChange) hash(rq *request) (string, error) {
	if c.password == nil {
		return "", nil
	}
	if err := directory.CheckPassword(*c.password); err != nil {
		return "", err
	}
	return rq.h.HashPassword(*c.password)
}

func createUser(rq *request) error {
	// Asked before the work of a hash, and again in the transaction that writes.
	if err := rq.read(func(_ *store.Tx, a directory.Actor) error { return a.MayCreateUsers() }); err != nil {
		return err
	}
	b, err := rq.body()
	if err != nil {
		return err
	}
	now := rq.h.Now().UTC()
	u := directory.User{ID: ident.New[ident.ObjectID](), Tenant: rq.caller.Tenant, UserType: "Member", CreatedAt: now, SessionsValidFrom: now}
	c, err := readUser(b, &u)
	if err != nil {
		return err
	}
	switch {
	case !c.enabled:
		return required("accountEnabled")
	case c.password == nil:
		return required("passwordProfile")
	}
	hash, err := c.hash(rq)
	if err != nil {
		return err
	}
	err = rq.update(func(tx *store.Tx, a directory.Actor) error {
		if err := a.MayCreateUsers(); err != nil {
			return err
		}
		if err := rq.putUser(tx, u); err != nil {
			return err
		}
		if err := tx.PutPassword(u.ID, hash); err != nil {
			return err
		}
		return rq.audit(tx, audit.UserCreated, u.ID, map[string]string{"userPrincipalName": u.UserPrincipalName})
	})
	if err != nil {
		return err
	}
	rq.createdAt(u.ID.String(), "User")
	s := userSchema()
	return rq.entity(http.StatusCreated, s.set, s.render(u, nil, true))
}

func required(property string) error {
	return badRequest("A value is required for property '%s' of resource 'User'.", property).At(property)
}

// putUser checks a user against the rules and writes it.
func (rq *request) putUser(tx *store.Tx, u directory.User) error {
	t, err := tx.Tenant(rq.caller.Tenant)
	if err != nil {
		return err
	}
	if err := directory.CheckUser(u, t.Domains); err != nil {
		return err
	}
	err = tx.PutUser(u)
	if store.IsExists(err) {
		return badRequest("Another object with the same value for property userPrincipalName already exists.").At("userPrincipalName").Because(err)
	}
	return err
}

func updateUser(rq *request) error {
	b, err := rq.body()
	if err != nil {
		return err
	}
	// The body is read once over a blank user, to hash its password outside the transaction.
	raw := b.clone()
	var blank directory.User
	c, err := readUser(b, &blank)
	if err != nil {
		return err
	}
	err = rq.read(func(tx *store.Tx, a directory.Actor) error {
		_, err := rq.managedUser(tx, a)
		return err
	})
	if err != nil {
		return err
	}
	hash, err := c.hash(rq)
	if err != nil {
		return err
	}
	err = rq.update(func(tx *store.Tx, a directory.Actor) error {
		u, err := rq.managedUser(tx, a)
		if err != nil {
			return err
		}
		if _, err := readUser(raw.clone(), &u); err != nil {
			return err
		}
		if hash != "" {
			// What was begun with the old password ends with it.
			u.SessionsValidFrom = rq.h.Now().UTC()
			if err := tx.PutPassword(u.ID, hash); err != nil {
				return err
			}
		}
		if err := rq.keepAdministrator(tx, func() error { return rq.putUser(tx, u) }); err != nil {
			return err
		}
		slices.Sort(c.sent)
		return rq.audit(tx, audit.UserUpdated, u.ID, map[string]string{
			"userPrincipalName": u.UserPrincipalName, "properties": strings.Join(c.sent, ","),
			"accountEnabled": strconv.FormatBool(u.AccountEnabled),
		})
	})
	if err != nil {
		return err
	}
	return rq.noContent()
}

// managedUser finds the user that the path names, for an actor who may manage it.
func (rq *request) managedUser(tx *store.Tx, a directory.Actor) (directory.User, error) {
	u, err := rq.user(tx, rq.args[0])
	if err != nil && !store.IsNotFound(err) {
		return u, err
	}
	privileged := false
	if err == nil {
		var failed error
		if privileged, failed = rq.privileged(tx, u.ID); failed != nil {
			return u, failed
		}
	}
	if denied := a.MayManageUser(u.ID, privileged); denied != nil {
		return u, denied
	}
	return u, err
}

// privileged reports whether a user holds a directory role or is in a group that may hold one.
func (rq *request) privileged(tx *store.Tx, user ident.ObjectID) (bool, error) {
	roles, err := tx.DirectoryRoles(user)
	if err != nil {
		return false, err
	}
	if slices.ContainsFunc(roles, func(r ident.DirectoryRoleID) bool { return r != directory.DirectoryReaders() }) {
		return true, nil
	}
	groups, err := tx.MemberOf(user)
	if err != nil {
		return false, err
	}
	for _, id := range groups {
		g, err := tx.Group(id)
		if err != nil {
			return false, err
		}
		if g.IsAssignableToRole {
			return true, nil
		}
	}
	return false, nil
}

// keepAdministrator runs a change and refuses it if it leaves the tenant without a Global Administrator who can sign in.
func (rq *request) keepAdministrator(tx *store.Tx, change func() error) error {
	before, err := rq.hasAdministrator(tx)
	if err != nil {
		return err
	}
	if err := change(); err != nil {
		return err
	}
	after, err := rq.hasAdministrator(tx)
	if err != nil {
		return err
	}
	return directory.KeepsAdministrator(before, after)
}

// hasAdministrator reports whether an enabled user of the tenant holds Global Administrator, itself or by a group.
func (rq *request) hasAdministrator(tx *store.Tx) (bool, error) {
	holders, err := tx.DirectoryRoleHolders(directory.GlobalAdministrator())
	if err != nil {
		return false, err
	}
	for _, id := range holders {
		found, err := rq.anyEnabled(tx, []ident.ObjectID{id})
		if err != nil || found {
			return found, err
		}
		if g, err := tx.Group(id); store.IsNotFound(err) || err == nil && !g.IsAssignableToRole {
			continue
		} else if err != nil {
			return false, err
		}
		var after ident.ObjectID
		for {
			part, err := tx.Members(id, after, chunk)
			if err != nil {
				return false, err
			}
			if found, err := rq.anyEnabled(tx, part); err != nil || found {
				return found, err
			}
			if len(part) < chunk {
				break
			}
			after = part[len(part)-1]
		}
	}
	return false, nil
}

// anyEnabled reports whether one of some objects is a user of the tenant that can sign in.
func (rq *request) anyEnabled(tx *store.Tx, ids []ident.ObjectID) (bool, error) {
	for _, id := range ids {
		u, err := tx.User(id)
		if err == nil && u.AccountEnabled && u.Tenant == rq.caller.Tenant {
			return true, nil
		}
		if err != nil && !store.IsNotFound(err) {
			return false, err
		}
	}
	return false, nil
}

func deleteUser(rq *request) error {
	err := rq.update(func(tx *store.Tx, a directory.Actor) error {
		u, err := rq.managedUser(tx, a)
		if err != nil {
			return err
		}
		if err := rq.keepAdministrator(tx, func() error { return rq.softDeleteUser(tx, u) }); err != nil {
			return err
		}
		return rq.audit(tx, audit.UserDeleted, u.ID, map[string]string{"userPrincipalName": u.UserPrincipalName})
	})
	if err != nil {
		return err
	}
	return rq.noContent()
}

// revokeSignInSessions ends every session and token of a user that began before now.
func revokeSignInSessions(rq *request) error {
	err := rq.update(func(tx *store.Tx, a directory.Actor) error {
		u, err := rq.user(tx, rq.args[0])
		if err != nil && !store.IsNotFound(err) {
			return err
		}
		privileged, failed := rq.privileged(tx, u.ID)
		if failed != nil {
			return failed
		}
		if denied := a.MayEndSessions(u.ID, privileged); denied != nil {
			return denied
		}
		if err != nil {
			return err
		}
		u.SessionsValidFrom = rq.h.Now().UTC()
		if err := tx.PutUser(u); err != nil {
			return err
		}
		return rq.audit(tx, audit.SessionRevoked, u.ID, map[string]string{"userPrincipalName": u.UserPrincipalName})
	})
	if err != nil {
		return err
	}
	return rq.action("Edm.Boolean", true)
}
