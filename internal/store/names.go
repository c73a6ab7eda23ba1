package store

import (
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
)

// NameQuery selects directory objects of a tenant. Set fields must all hold; comparisons ignore case.
type NameQuery struct {
	Tenant ident.TenantID
	// DisplayName and MailNickname must be equal; DisplayPrefix must start the display name, each of DisplayParts be in
	// it; UPN and UPNPrefix are for users.
	DisplayName   string
	DisplayPrefix string
	DisplayParts  []string
	MailNickname  string
	UPN           string
	UPNPrefix     string
	// ByUPN orders users by their user principal name: cursors are then those of UPNCursor. Descending turns the order round.
	ByUPN      bool
	Descending bool
	// After is the cursor of the last object of the page before; Limit is the page's size, at least 1.
	After NameCursor
	Limit int
}

// UserCursor is the place right after a user.
func UserCursor(u directory.User) NameCursor {
	return NameCursor{Key: directory.Fold(u.DisplayName), ID: u.ID.String()}
}

// UPNCursor is the place right after a user in a list ordered by user principal name.
func UPNCursor(u directory.User) NameCursor {
	return NameCursor{Key: directory.Fold(u.UserPrincipalName), ID: u.ID.String()}
}

// ApplicationCursor is the place right after an application.
func ApplicationCursor(a directory.Application) NameCursor {
	return NameCursor{Key: directory.Fold(a.DisplayName), ID: a.ID.String()}
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

// columns says which of the columns a table has that not all have.
type columns struct{ upn, nickname bool }

// selection is the end of a query under construction, and its arguments from $1.
type selection struct {
	where string
	order string
	limit int
	args  []any
}

func (b *selection) arg(v any) string {
	b.args = append(b.args, v)
	return "$" + itoa(len(b.args))
}

func (b *selection) text() string { return b.where + b.order + " LIMIT " + b.arg(b.limit) }

// prefix asks that a column begins with a text.
func (b *selection) prefix(column, text string) {
	p := directory.Fold(text)
	b.where += " AND " + column + " >= " + b.arg(p)
	if end, ok := after(p); ok {
		b.where += " AND " + column + " < " + b.arg(end)
	}
}

func (q NameQuery) page(has columns) (*selection, error) {
	if q.Limit <= 0 {
		return nil, fault.Wrap(errors.New("a page has no size"), "store: list")
	}
	if q.MailNickname != "" && !has.nickname {
		return nil, fault.New(fault.Invalid, "", "Only groups can be listed by mail nickname.")
	}
	if (q.UPN != "" || q.UPNPrefix != "" || q.ByUPN) && !has.upn {
		return nil, fault.New(fault.Invalid, "", "Only users have a user principal name.")
	}
	b := &selection{limit: q.Limit}
	b.where = "tenant = " + b.arg(q.Tenant)
	if q.DisplayName != "" {
		b.where += " AND display_key = " + b.arg(directory.Fold(q.DisplayName))
	}
	if q.DisplayPrefix != "" {
		b.prefix("display_key", q.DisplayPrefix)
	}
	for _, part := range q.DisplayParts {
		b.where += " AND display_key LIKE " + b.arg("%"+likeEscaper().Replace(directory.Fold(part))+"%") + " ESCAPE '!'"
	}
	if q.MailNickname != "" {
		b.where += " AND nickname_key = " + b.arg(directory.Fold(q.MailNickname))
	}
	if q.UPN != "" {
		b.where += " AND upn_key = " + b.arg(directory.Fold(q.UPN))
	}
	if q.UPNPrefix != "" {
		b.prefix("upn_key", q.UPNPrefix)
	}
	key, comparison, direction := "display_key", ">", ""
	if q.ByUPN {
		key = "upn_key"
	}
	if q.Descending {
		comparison, direction = "<", " DESC"
	}
	if q.After != (NameCursor{}) {
		b.where += " AND (" + key + ", id) " + comparison + " (" + b.arg(q.After.Key) + ", " + b.arg(q.After.ID) + ")"
	}
	b.order = " ORDER BY " + key + direction + ", id" + direction
	return b, nil
}

func likeEscaper() *strings.Replacer { return strings.NewReplacer("!", "!!", "%", "!%", "_", "!_") }

// named reads a page of a table.
func named[T any](tx *Tx, what, table string, has columns, q NameQuery) ([]T, error) {
	b, err := q.page(has)
	if err != nil {
		return nil, err
	}
	return all[T](tx, what, `SELECT doc FROM `+table+` WHERE `+b.text(), b.args...)
}

// Users returns a page of users ordered by display name, or by user principal name.
func (tx *Tx) Users(q NameQuery) ([]directory.User, error) {
	return named[directory.User](tx, "user", "users", columns{upn: true}, q)
}

// Groups returns a page of groups ordered by display name.
func (tx *Tx) Groups(q NameQuery) ([]directory.Group, error) {
	return named[directory.Group](tx, "group", "user_groups", columns{nickname: true}, q)
}

// Applications returns a page of applications ordered by display name.
func (tx *Tx) Applications(q NameQuery) ([]directory.Application, error) {
	return named[directory.Application](tx, "application", "applications", columns{}, q)
}

// ServicePrincipals returns a page of service principals ordered by display name.
func (tx *Tx) ServicePrincipals(q NameQuery) ([]directory.ServicePrincipal, error) {
	return named[directory.ServicePrincipal](tx, "service principal", "service_principals", columns{}, q)
}

// CountUsers returns the number of users of a tenant.
func (tx *Tx) CountUsers(tenant ident.TenantID) (int64, error) {
	return tx.count("user", `SELECT count(*) FROM users WHERE tenant = $1`, tenant)
}

// CountGroups returns the number of groups of a tenant.
func (tx *Tx) CountGroups(tenant ident.TenantID) (int64, error) {
	return tx.count("group", `SELECT count(*) FROM user_groups WHERE tenant = $1`, tenant)
}

// CountApplications returns the number of applications of a tenant.
func (tx *Tx) CountApplications(tenant ident.TenantID) (int64, error) {
	return tx.count("application", `SELECT count(*) FROM applications WHERE tenant = $1`, tenant)
}

// CountServicePrincipals returns the number of service principals of a tenant.
func (tx *Tx) CountServicePrincipals(tenant ident.TenantID) (int64, error) {
	return tx.count("service principal", `SELECT count(*) FROM service_principals WHERE tenant = $1`, tenant)
}

func (tx *Tx) count(what, query string, args ...any) (int64, error) {
	var n int64
	if err := tx.read([]any{&n}, query, args...); err != nil {
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
