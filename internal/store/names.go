package store

import (
	"errors"
	"unicode/utf8"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
)

// NameQuery selects directory objects of a tenant. Set fields must all hold; comparisons ignore case.
type NameQuery struct {
	Tenant ident.TenantID
	// DisplayName and MailNickname must be equal; DisplayPrefix must start the display name; UPN is for users.
	DisplayName   string
	DisplayPrefix string
	MailNickname  string
	UPN           string
	// After is the cursor of the last object of the page before; Limit is the page's size, at least 1.
	After NameCursor
	Limit int
}

// UserCursor is the place right after a user.
func UserCursor(u directory.User) NameCursor {
	return NameCursor{Key: directory.Fold(u.DisplayName), ID: u.ID.String()}
}

// GroupCursor is the place right after a group.
func GroupCursor(g directory.Group) NameCursor {
	return NameCursor{Key: directory.Fold(g.DisplayName), ID: g.ID.String()}
}

// ServicePrincipalCursor is the place right after a service principal.
func ServicePrincipalCursor(p directory.ServicePrincipal) NameCursor {
	return NameCursor{Key: directory.Fold(p.DisplayName), ID: p.ID.String()}
}

// NameCursor is a place in a list ordered by display name and id. The zero cursor is the start.
type NameCursor struct {
	Key string
	ID  string
}

// page returns the WHERE conditions and arguments of a query; args start at $1.
func (q NameQuery) page(hasUPN, hasNickname bool) (where string, args []any, err error) {
	arg := func(v any) string {
		args = append(args, v)
		return "$" + itoa(len(args))
	}
	where = "tenant = " + arg(q.Tenant)
	if q.DisplayName != "" {
		where += " AND display_key = " + arg(directory.Fold(q.DisplayName))
	}
	if q.DisplayPrefix != "" {
		p := directory.Fold(q.DisplayPrefix)
		where += " AND display_key >= " + arg(p)
		if end, ok := after(p); ok {
			where += " AND display_key < " + arg(end)
		}
	}
	if q.MailNickname != "" {
		if !hasNickname {
			return "", nil, fault.New(fault.Invalid, "", "Only groups can be listed by mail nickname.")
		}
		where += " AND nickname_key = " + arg(directory.Fold(q.MailNickname))
	}
	if q.UPN != "" {
		if !hasUPN {
			return "", nil, fault.New(fault.Invalid, "", "Only users have a user principal name.")
		}
		where += " AND upn_key = " + arg(directory.Fold(q.UPN))
	}
	if q.After != (NameCursor{}) {
		where += " AND (display_key, id) > (" + arg(q.After.Key) + ", " + arg(q.After.ID) + ")"
	}
	if q.Limit <= 0 {
		return "", nil, fault.Wrap(errors.New("a page has no size"), "store: list")
	}
	where += " ORDER BY display_key, id LIMIT " + arg(q.Limit)
	return where, args, nil
}

// Users returns a page of users ordered by display name.
func (tx *Tx) Users(q NameQuery) ([]directory.User, error) {
	where, args, err := q.page(true, false)
	if err != nil {
		return nil, err
	}
	return all[directory.User](tx, "user", `SELECT doc FROM users WHERE `+where, args...)
}

// Groups returns a page of groups ordered by display name.
func (tx *Tx) Groups(q NameQuery) ([]directory.Group, error) {
	where, args, err := q.page(false, true)
	if err != nil {
		return nil, err
	}
	return all[directory.Group](tx, "group", `SELECT doc FROM user_groups WHERE `+where, args...)
}

// ServicePrincipals returns a page of service principals ordered by display name.
func (tx *Tx) ServicePrincipals(q NameQuery) ([]directory.ServicePrincipal, error) {
	where, args, err := q.page(false, false)
	if err != nil {
		return nil, err
	}
	return all[directory.ServicePrincipal](tx, "service principal", `SELECT doc FROM service_principals WHERE `+where, args...)
}

// CountUsers returns the number of users of a tenant.
func (tx *Tx) CountUsers(tenant ident.TenantID) (int64, error) {
	return tx.count("user", `SELECT count(*) FROM users WHERE tenant = $1`, tenant)
}

// CountGroups returns the number of groups of a tenant.
func (tx *Tx) CountGroups(tenant ident.TenantID) (int64, error) {
	return tx.count("group", `SELECT count(*) FROM user_groups WHERE tenant = $1`, tenant)
}

// CountServicePrincipals returns the number of service principals of a tenant.
func (tx *Tx) CountServicePrincipals(tenant ident.TenantID) (int64, error) {
	return tx.count("service principal", `SELECT count(*) FROM service_principals WHERE tenant = $1`, tenant)
}

func (tx *Tx) count(what, query string, args ...any) (int64, error) {
	var n int64
	if err := tx.sql.QueryRowContext(tx.ctx, query, args...).Scan(&n); err != nil {
		return 0, tx.engine.failed(err, "store: count %s", what)
	}
	return n, nil
}

// after returns the least text that is greater than every text beginning with prefix, and false if there is none.
// Texts compare by code point, as they do by their UTF-8 bytes.
func after(prefix string) (string, bool) {
	for prefix != "" {
		r, size := utf8.DecodeLastRuneInString(prefix)
		prefix = prefix[:len(prefix)-size]
		switch r {
		case utf8.MaxRune:
			continue // its successor is that of the rune before
		case 0xD7FF:
			return prefix + "\uE000", true // over the surrogates, which no text has
		}
		return prefix + string(r+1), true
	}
	return "", false
}

// Before reports whether a place comes before another in a list.
func (c NameCursor) Before(d NameCursor) bool {
	return c.Key < d.Key || c.Key == d.Key && c.ID < d.ID
}
