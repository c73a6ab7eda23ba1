package managedidentity

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

// The kinds of identities that a resource may have, in the spelling of the service's answers.
const (
	noIdentity  = "None"
	ownKind     = "SystemAssigned"
	userKind    = "UserAssigned"
	ownAndUsers = ownKind + ", " + userKind
)

type hostBody struct {
	ID       string            `json:"id"`
	Name     string            `json:"name"`
	Type     string            `json:"type"`
	Location string            `json:"location"`
	Tags     map[string]string `json:"tags"`
	Identity hostIdentity      `json:"identity"`
}

type hostIdentity struct {
	Type      string                  `json:"type"`
	Tenant    ident.TenantID          `json:"tenantId,omitzero"`
	Principal ident.ObjectID          `json:"principalId,omitzero"`
	Users     map[string]hostUserBody `json:"userAssignedIdentities,omitempty"`
}

// hostUserBody is empty for an identity that is gone.
type hostUserBody struct {
	Principal ident.ObjectID `json:"principalId,omitzero"`
	Client    ident.ClientID `json:"clientId,omitzero"`
}

func renderHost(tx *store.Tx, h resource.Host) (hostBody, error) {
	out := hostBody{ID: h.ID(), Name: h.Name, Type: resource.HostType, Location: h.Location, Tags: h.Tags, Identity: hostIdentity{Type: noIdentity}}
	if out.Tags == nil {
		out.Tags = map[string]string{}
	}
	if !h.Own.IsZero() {
		out.Identity.Type, out.Identity.Tenant, out.Identity.Principal = ownKind, h.Tenant, h.Own.Principal
	}
	if len(h.Assigned) == 0 {
		return out, nil
	}
	if out.Identity.Type = ownAndUsers; h.Own.IsZero() {
		out.Identity.Type = userKind
	}
	out.Identity.Users = map[string]hostUserBody{}
	for _, a := range h.Assigned {
		i, err := tx.Identity(a.ID)
		switch {
		case err == nil && i.Principal == a.Principal:
			out.Identity.Users[a.ID] = hostUserBody{i.Principal, i.Client}
		case err == nil, store.IsNotFound(err):
			out.Identity.Users[a.ID] = hostUserBody{}
		default:
			return out, err
		}
	}
	return out, nil
}

// sentHost is the body of a PUT or PATCH of a host.
type sentHost struct {
	sent
	identity *sentIdentity
}

// sentIdentity is what a body says of identities: of each user-assigned one, whether it is wanted or to be taken away.
type sentIdentity struct {
	system, user bool
	users        map[string]bool
}

// wanted is which identities a host is to have.
type wanted struct {
	system bool
	users  []string
}

// readHost reads a body. Members that the service owns may come back and change nothing.
func readHost(r *arm.Request) (sentHost, error) {
	in, members, err := readMembers(r)
	out := sentHost{sent: in}
	if err != nil {
		return out, err
	}
	for k, v := range members {
		if strings.EqualFold(k, "identity") && !isNull(v) {
			if out.identity, err = readIdentity(v); err != nil {
				return out, err
			}
		}
	}
	return out, nil
}

func isNull(v json.RawMessage) bool { return bytes.Equal(bytes.TrimSpace(v), []byte("null")) }

func badIdentity(format string, args ...any) error {
	return fault.New(fault.Invalid, "InvalidParameter", format, args...).At("identity")
}

func readIdentity(raw json.RawMessage) (*sentIdentity, error) {
	var doc struct {
		Type  string                     `json:"type"`
		Users map[string]json.RawMessage `json:"userAssignedIdentities"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, badIdentity("The identity cannot be read.")
	}
	out := &sentIdentity{users: map[string]bool{}}
	for word := range strings.SplitSeq(doc.Type, ",") {
		switch word = strings.TrimSpace(word); {
		case strings.EqualFold(word, ownKind):
			out.system = true
		case strings.EqualFold(word, userKind):
			out.user = true
		case !strings.EqualFold(doc.Type, noIdentity):
			return nil, badIdentity("identity.type '%s' is none of %s, %s, '%s', %s.", doc.Type, noIdentity, ownKind, ownAndUsers, userKind)
		}
	}
	for id, v := range doc.Users {
		out.users[id] = !isNull(v)
		if out.users[id] && !out.user {
			return nil, badIdentity("Identities are listed, and identity.type '%s' does not name %s.", doc.Type, userKind)
		}
	}
	return out, nil
}

// wants is what a body asks for; nil if it says nothing. A PATCH begins from the host's identities.
func (s sentHost) wants(before *resource.Host) *wanted {
	if s.identity == nil {
		return nil
	}
	out := &wanted{system: s.identity.system}
	if !s.identity.user {
		return out
	}
	if before != nil {
		for _, a := range before.Assigned {
			if !slices.ContainsFunc(keys(s.identity.users), func(id string) bool { return strings.EqualFold(id, a.ID) }) {
				out.users = append(out.users, a.ID)
			}
		}
	}
	for id, want := range s.identity.users {
		if want {
			out.users = append(out.users, id)
		}
	}
	return out
}

func keys(m map[string]bool) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	return out
}
