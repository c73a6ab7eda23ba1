package feed

import (
	"errors"
	"strings"

	"github.com/keyreeve/keyreeve/internal/ident"
)

// A snapshot of twenty million memberships is told by member, for they would be most of it: one key, one value and one parse
// for all groups of a member.

// ErrMemberships is the cause when the value of a Memberships event is malformed.
var ErrMemberships = errors.New("not a list of group ids")

// Groups appends the groups of a Memberships event to list. Its value is a JSON list of ids, without spaces.
func (e *Event) Groups(list []ident.ObjectID) ([]ident.ObjectID, error) {
	const quoted = len(`"00000000-0000-0000-0000-000000000000"`)
	v := e.Value
	if len(v) < 2 || v[0] != '[' || v[len(v)-1] != ']' {
		return nil, ErrMemberships
	}
	if len(v) == 2 {
		return list, nil
	}
	for v = v[1:]; ; v = v[quoted+1:] {
		if len(v) < quoted+1 || v[0] != '"' || v[quoted-1] != '"' {
			return nil, ErrMemberships
		}
		id, err := ident.ParseBytes[ident.ObjectID](v[1 : quoted-1])
		if err != nil {
			return nil, err
		}
		list = append(list, id)
		if len(v) == quoted+1 {
			return list, nil // the last is followed by the end of the list
		}
		if v[quoted] != ',' {
			return nil, ErrMemberships
		}
	}
}

// Members returns a Memberships event as the Member events that it stands for.
func (e *Event) Members() ([]Event, error) {
	groups, err := e.Groups(nil)
	if err != nil {
		return nil, err
	}
	member, err := ident.Parse[ident.ObjectID](e.Key)
	if err != nil {
		return nil, err
	}
	out := make([]Event, len(groups))
	for i, g := range groups {
		out[i] = Event{Kind: Member, Op: e.Op, Key: strings.Join([]string{g.String(), member.String()}, "/")}
	}
	return out, nil
}
