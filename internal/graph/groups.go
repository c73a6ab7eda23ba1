package graph

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/store"
)

// groupSchema lists the properties of groups in the order the service writes them.
func groupSchema() schema[directory.Group] {
	type group = directory.Group
	nil_ := func(name string) property[group] { return property[group]{name: name, value: null[group]} }
	empty := func(name string) property[group] { return property[group]{name: name, value: none[group]} }
	text := func(name string, get func(group) string) property[group] {
		return property[group]{name: name, value: func(g group) any { return textOrNull(get(g)) }, kind: filterText}
	}
	truth := func(name string, get func(group) any) property[group] {
		return property[group]{name: name, value: get, kind: filterBool}
	}
	return schema[group]{
		entity: "group", set: "groups", resource: "Group", kind: groupObject, area: directory.Groups,
		id: func(g group) ident.ObjectID { return g.ID }, orders: []string{"displayname"}, props: []property[group]{
			text("id", func(g group) string { return g.ID.String() }),
			nil_("deletedDateTime"),
			nil_("classification"),
			{name: "createdDateTime", value: func(g group) any { return instant(g.CreatedAt) }, kind: filterTime},
			empty("creationOptions"),
			text("description", func(g group) string { return g.Description }),
			text("displayName", func(g group) string { return g.DisplayName }),
			nil_("expirationDateTime"),
			empty("groupTypes"),
			truth("isAssignableToRole", func(g group) any {
				if g.IsAssignableToRole {
					return true
				}
				return nil
			}),
			nil_("mail"),
			truth("mailEnabled", func(group) any { return false }),
			text("mailNickname", func(g group) string { return g.MailNickname }),
			nil_("membershipRule"),
			nil_("membershipRuleProcessingState"),
			nil_("onPremisesDomainName"),
			nil_("onPremisesLastSyncDateTime"),
			nil_("onPremisesNetBiosName"),
			nil_("onPremisesSamAccountName"),
			nil_("onPremisesSecurityIdentifier"),
			nil_("onPremisesSyncEnabled"),
			nil_("preferredDataLocation"),
			nil_("preferredLanguage"),
			empty("proxyAddresses"),
			{name: "renewedDateTime", value: func(g group) any { return instant(g.CreatedAt) }},
			empty("resourceBehaviorOptions"),
			empty("resourceProvisioningOptions"),
			truth("securityEnabled", func(g group) any { return g.SecurityEnabled }),
			text("securityIdentifier", func(g group) string { return securityIdentifier(g.ID) }),
			nil_("theme"),
			nil_("uniqueName"),
			nil_("visibility"),
			empty("onPremisesProvisioningErrors"),
			empty("serviceProvisioningErrors"),
		},
	}
}

// securityIdentifier writes an object id as a Windows SID: S-1-12-1 and the id as four little-endian numbers, in the
// byte order GUIDs have in memory there.
func securityIdentifier(id ident.ObjectID) string {
	a := binary.BigEndian.Uint32(id[0:4])
	b := uint32(binary.BigEndian.Uint16(id[4:6])) | uint32(binary.BigEndian.Uint16(id[6:8]))<<16
	return fmt.Sprintf("S-1-12-1-%d-%d-%d-%d", a, b, binary.LittleEndian.Uint32(id[8:12]), binary.LittleEndian.Uint32(id[12:16]))
}

func (rq *request) groups(tx *store.Tx) source[directory.Group] {
	q := rq.names(true, false)
	s := source[directory.Group]{
		place: store.GroupCursor,
		all:   func() (int64, error) { return tx.CountGroups(rq.caller.Tenant) },
		read: func(after store.NameCursor, limit int) ([]directory.Group, error) {
			q.After, q.Limit = after, limit
			return tx.Groups(q)
		},
	}
	if id, ok := rq.query.filter.must(opEq, "id"); ok {
		return s.one(func() (directory.Group, error) {
			id, err := ident.Parse[ident.ObjectID](id)
			if err != nil {
				return directory.Group{}, store.ErrNotFound
			}
			return rq.group(tx, id)
		})
	}
	return s
}

func listGroups(rq *request) error  { return listEntities(rq, groupSchema(), rq.groups) }
func countGroups(rq *request) error { return countEntities(rq, groupSchema(), rq.groups) }

// objectID parses an object id of a path.
func objectID(s string) (ident.ObjectID, error) {
	id, err := ident.Parse[ident.ObjectID](s)
	if err != nil {
		return id, badRequest("Invalid object identifier '%s'.", printable(s))
	}
	return id, nil
}

// group finds a group of the caller's tenant.
func (rq *request) group(tx *store.Tx, id ident.ObjectID) (directory.Group, error) {
	g, err := tx.Group(id)
	if store.IsNotFound(err) || err == nil && g.Tenant != rq.caller.Tenant {
		return g, absent(id.String()).Because(store.ErrNotFound)
	}
	return g, err
}

func getGroup(rq *request) error {
	return getEntity(rq, groupSchema(), func(tx *store.Tx, a directory.Actor) (directory.Group, error) {
		id, err := objectID(rq.args[0])
		if err != nil {
			return directory.Group{}, err
		}
		if err := a.MayRead(directory.Groups); err != nil {
			return directory.Group{}, err
		}
		return rq.group(tx, id)
	})
}

// groupChange is what a request wants of a group.
type groupChange struct {
	sent    []string
	members []ident.ObjectID
	owners  []ident.ObjectID
}

// readGroup reads a body over g. created is set for a group that is being made.
func readGroup(b *body, g *directory.Group, created bool) (groupChange, error) {
	var c groupChange
	mailEnabled, assignable := false, g.IsAssignableToRole
	for _, f := range []struct {
		name string
		read func(string) (bool, error)
	}{
		{"displayName", func(n string) (bool, error) { return b.text(n, &g.DisplayName) }},
		{"description", func(n string) (bool, error) { return b.text(n, &g.Description) }},
		{"mailNickname", func(n string) (bool, error) { return b.text(n, &g.MailNickname) }},
		{"securityEnabled", func(n string) (bool, error) { return b.boolean(n, &g.SecurityEnabled) }},
		{"mailEnabled", func(n string) (bool, error) { return b.boolean(n, &mailEnabled) }},
		{"isAssignableToRole", func(n string) (bool, error) { return b.boolean(n, &assignable) }},
	} {
		sent, err := f.read(f.name)
		if err != nil {
			return c, err
		}
		if sent {
			c.sent = append(c.sent, f.name)
		} else if created && (f.name == "mailEnabled" || f.name == "securityEnabled") {
			return c, badRequest("A value is required for property '%s' of resource 'Group'.", f.name).At(f.name)
		}
	}
	if mailEnabled {
		return c, badRequest("The service supports security groups only: property mailEnabled of resource 'Group' must be false.").At("mailEnabled")
	}
	if assignable != g.IsAssignableToRole && !created {
		return c, badRequest("Property isAssignableToRole of resource 'Group' can only be set when the group is created.").At("isAssignableToRole")
	}
	g.IsAssignableToRole = assignable
	var err error
	if c.members, err = b.references("members@odata.bind"); err != nil {
		return c, err
	}
	if created {
		if c.owners, err = b.references("owners@odata.bind"); err != nil {
			return c, err
		}
	}
	return c, b.rest("microsoft.graph.group", func(name string) bool { _, ok := groupSchema().find(name); return ok })
}

// references reads the addresses of objects that are to be related to another one.
func (b *body) references(property string) ([]ident.ObjectID, error) {
	var bound []string
	if _, err := b.texts(property, &bound); err != nil {
		return nil, err
	}
	name, _, _ := strings.Cut(property, "@")
	if len(bound) > maxBound {
		return nil, badRequest("The number of %s to add exceeds the limit of %d.", name, maxBound).At(name)
	}
	out := make([]ident.ObjectID, 0, len(bound))
	for _, ref := range bound {
		id, err := reference(ref)
		if err != nil {
			return nil, err
		}
		out = append(out, id)
	}
	return out, nil
}

// maxBound is how many members one request may add (Microsoft Graph, group).
const maxBound = 20

func createGroup(rq *request) error {
	b, err := rq.body()
	if err != nil {
		return err
	}
	g := directory.Group{ID: ident.New[ident.ObjectID](), Tenant: rq.caller.Tenant, CreatedAt: rq.h.Now().UTC()}
	c, readErr := readGroup(b, &g, true)
	err = rq.update(func(tx *store.Tx, a directory.Actor) error {
		if err := a.MayCreateGroup(g.IsAssignableToRole); err != nil {
			return err
		}
		if readErr != nil {
			return readErr
		}
		if err := directory.CheckGroup(g); err != nil {
			return err
		}
		if err := tx.PutGroup(g); err != nil {
			return err
		}
		if err := rq.audit(tx, audit.GroupCreated, g.ID, map[string]string{"displayName": g.DisplayName}); err != nil {
			return err
		}
		maker := a.ID
		if a.MayManageGroup(g.IsAssignableToRole, false) == nil {
			maker = ident.ObjectID{}
		}
		if err := rq.firstOwners(tx, maker, g.ID, c.owners); err != nil {
			return err
		}
		return rq.addMembers(tx, g, c.members)
	})
	if err != nil {
		return err
	}
	rq.createdAt(g.ID.String(), "Group")
	s := groupSchema()
	return rq.entity(http.StatusCreated, s.set, s.render(g, nil, true))
}

// managedGroup finds the group that the path names, for an actor who may do to it what may decides.
func (rq *request) managedGroup(tx *store.Tx, may func(assignableToRole, owner bool) error, a directory.Actor) (directory.Group, error) {
	id, err := objectID(rq.args[0])
	if err != nil {
		return directory.Group{}, err
	}
	g, err := rq.group(tx, id)
	owner := false
	if err == nil {
		if owner, err = tx.Owns(a.ID, id); err != nil {
			return g, err
		}
	}
	if denied := may(g.IsAssignableToRole, owner); denied != nil {
		return g, denied
	}
	return g, err
}

func updateGroup(rq *request) error {
	b, err := rq.body()
	if err != nil {
		return err
	}
	err = rq.update(func(tx *store.Tx, a directory.Actor) error {
		g, err := rq.managedGroup(tx, a.MayManageGroup, a)
		if err != nil {
			return err
		}
		c, err := readGroup(b.clone(), &g, false)
		if err != nil {
			return err
		}
		if err := directory.CheckGroup(g); err != nil {
			return err
		}
		if err := tx.PutGroup(g); err != nil {
			return err
		}
		slices.Sort(c.sent)
		detail := map[string]string{"displayName": g.DisplayName, "properties": strings.Join(c.sent, ",")}
		if err := rq.audit(tx, audit.GroupUpdated, g.ID, detail); err != nil {
			return err
		}
		return rq.addMembers(tx, g, c.members)
	})
	if err != nil {
		return err
	}
	return rq.noContent()
}

func deleteGroup(rq *request) error {
	err := rq.update(func(tx *store.Tx, a directory.Actor) error {
		g, err := rq.managedGroup(tx, a.MayManageGroup, a)
		if err != nil {
			return err
		}
		if err := rq.keepAdministrator(tx, func() error { return rq.softDeleteGroup(tx, g) }); err != nil {
			return err
		}
		return rq.audit(tx, audit.GroupDeleted, g.ID, map[string]string{"displayName": g.DisplayName})
	})
	if err != nil {
		return err
	}
	return rq.noContent()
}

// addMembers puts objects of the tenant into a group.
func (rq *request) addMembers(tx *store.Tx, g directory.Group, ids []ident.ObjectID) error {
	for _, id := range ids {
		m, err := rq.directoryObject(tx, id)
		if err != nil {
			return err
		}
		if err := directory.CheckMember(g, id, m.kind == groupObject); err != nil {
			return err
		}
		err = tx.AddMember(g.ID, id)
		if store.IsExists(err) {
			return badRequest("One or more added object references already exist for the following modified properties: 'members'.")
		}
		if err != nil {
			return err
		}
		detail := map[string]string{"displayName": g.DisplayName, "member": id.String(), "memberType": string(m.kind)}
		if err := rq.audit(tx, audit.MemberAdded, g.ID, detail); err != nil {
			return err
		}
	}
	return nil
}

// reference returns the object id that an @odata.id names: its last segment. The host is the client's idea of ours.
func reference(s string) (ident.ObjectID, error) {
	bad := badRequest("Invalid URL format specified in @odata.id for property '%s'.", printable(s))
	u, err := url.Parse(s)
	if err != nil {
		return ident.ObjectID{}, bad
	}
	path := strings.TrimSuffix(u.Path, "/")
	last := path[strings.LastIndexByte(path, '/')+1:]
	if _, key, ok := strings.Cut(last, "("); ok {
		last = unquoteKey(strings.TrimSuffix(key, ")"))
	}
	id, err := ident.Parse[ident.ObjectID](last)
	if err != nil {
		return id, bad
	}
	return id, nil
}

// reference reads a body that names one object: {"@odata.id": address}.
func (b *body) reference() (string, error) {
	var ref string
	if raw, ok := b.take("@odata.id"); !ok || json.Unmarshal(raw, &ref) != nil {
		return "", badRequest("The request body must hold the property '@odata.id' with the address of the object to add.")
	}
	return ref, b.rest("microsoft.graph.directoryObject", nothing)
}

func addMember(rq *request) error {
	b, err := rq.body()
	if err != nil {
		return err
	}
	ref, err := b.reference()
	if err != nil {
		return err
	}
	err = rq.update(func(tx *store.Tx, a directory.Actor) error {
		g, err := rq.managedGroup(tx, a.MayChangeMembers, a)
		if err != nil {
			return err
		}
		id, err := reference(ref)
		if err != nil {
			return err
		}
		return rq.addMembers(tx, g, []ident.ObjectID{id})
	})
	if err != nil {
		return err
	}
	return rq.noContent()
}

func removeMember(rq *request) error {
	err := rq.update(func(tx *store.Tx, a directory.Actor) error {
		g, err := rq.managedGroup(tx, a.MayChangeMembers, a)
		if err != nil {
			return err
		}
		id, err := objectID(rq.args[1])
		if err != nil {
			return err
		}
		err = rq.keepAdministrator(tx, func() error { return tx.RemoveMember(g.ID, id) })
		if store.IsNotFound(err) {
			return absent(id.String())
		}
		if err != nil {
			return err
		}
		return rq.audit(tx, audit.MemberRemoved, g.ID, map[string]string{"displayName": g.DisplayName, "member": id.String()})
	})
	if err != nil {
		return err
	}
	return rq.noContent()
}
