// Package caller owns who is asking: a bearer token checked against the keys and against the world, for ARM, Graph and
// the gate alike.
//
//	raw token ── token.Verifier ──► claims ── world: principal, session, revocations ──► Caller
//
// It proves who; what they may do is decided elsewhere.
package caller

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/token"
	"github.com/keyreeve/keyreeve/internal/world"
)

// Kind says what sort of principal is asking.
type Kind string

// The kinds of caller.
const (
	User             Kind = "User"
	ServicePrincipal Kind = "ServicePrincipal"
)

// Caller is a principal whose token was found good.
type Caller struct {
	Kind    Kind
	Tenant  ident.TenantID
	Object  ident.ObjectID
	Name    string // user principal name, or the object id of a service principal
	Client  ident.ClientID
	Session ident.SessionID // zero for a service principal
	TokenID string          // uti
	// Roles are the template ids of the directory roles held.
	Roles    []ident.DirectoryRoleID
	IssuedAt time.Time
	Expires  time.Time
	// AMR are the authentication methods of the sign-in (RFC 8176), ACR its class.
	AMR []string
	ACR string
	// Scopes are the delegated permissions of a user's token (scp).
	Scopes []string
	// Audience is the aud of the token, in the spelling it was asked for.
	Audience string
}

// Checker says who a token stands for now.
type Checker struct {
	Verifier *token.Verifier
	World    *world.World
	Now      func() time.Time
	// Lag is how long the world may be behind those who issue tokens, where other processes do; 0 where this one does. A
	// token that is younger, and whose session or principal the world does not know, is waited for and then not refused but
	// unknown.
	Lag time.Duration
}

// errBehind says that a token is of something that the world does not know yet.
var errBehind = errors.New("caller: the token is newer than what is known")

// behind is a refusal that may be for want of news.
func behind(err error) error {
	return fault.As(err).Because(errors.Join(errors.Unwrap(err), errBehind))
}

// Check returns the caller that a raw access token stands for. Its errors are faults:
//
//	Unauthenticated, with ARM's code (see below)   the token is not, or no longer, good
//	Unavailable                                    the world does not know; neither yes nor no
//
// Codes: InvalidAuthenticationToken, InvalidAuthenticationTokenAudience, ExpiredAuthenticationToken.
func (c Checker) Check(raw string) (Caller, error) {
	if _, _, err := c.World.Status(); err != nil {
		return Caller{}, fault.New(fault.Unavailable, "ServiceUnavailable", "The directory cannot be read at the moment.").Because(err)
	}
	claims, err := c.Verifier.Verify(raw)
	if err != nil {
		return Caller{}, c.refused(err)
	}
	out, err := c.know(claims)
	if c.Lag == 0 || !errors.Is(err, errBehind) || c.Now().Sub(time.Unix(claims.IssuedAt, 0)) > c.Lag {
		return out, err
	}
	// What the token is of comes with the feed, most often within milliseconds.
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 100 {
		<-tick.C
		if out, err = c.know(claims); !errors.Is(err, errBehind) {
			return out, err
		}
	}
	return Caller{}, fault.New(fault.Unavailable, "ServiceUnavailable", "The sign-in is not known here yet. Please try again.").Because(err)
}

// know returns the caller of claims that were verified, from what the world holds.
func (c Checker) know(claims token.Access) (Caller, error) {
	p, ok := c.World.Principal(claims.Object)
	if !ok {
		return Caller{}, behind(gone(claims, "The access token is invalid: its principal does not exist in the tenant."))
	}
	if p.Tenant != claims.Tenant || (p.Kind == world.User) != (claims.IdentityType == token.TypeUser) {
		return Caller{}, gone(claims, "The access token is invalid: its principal does not exist in the tenant.")
	}
	if !p.Enabled {
		return Caller{}, gone(claims, "The access token is invalid: its principal is disabled.")
	}
	// iat has whole seconds; see token.IssuedAfter for the second of the revocation itself.
	if time.Unix(claims.IssuedAt, 0).Before(p.ValidFrom) {
		return Caller{}, revoked(claims)
	}
	out := Caller{
		Kind: User, Tenant: claims.Tenant, Object: claims.Object, Name: p.Name, Client: claims.AppID,
		Session: claims.Session, TokenID: claims.ID, Roles: Roles(c.World, claims.Object),
		IssuedAt: time.Unix(claims.IssuedAt, 0).UTC(), Expires: time.Unix(claims.Expires, 0).UTC(),
		AMR: claims.AMR, ACR: claims.ACR, Scopes: strings.Fields(claims.Scope), Audience: claims.Audience,
	}
	if p.Kind == world.ServicePrincipal {
		out.Kind = ServicePrincipal
		if p.AppID != claims.AppID {
			return Caller{}, gone(claims, "The access token is invalid: it was issued to another application.")
		}
		return out, nil
	}
	s, ok := c.World.Session(claims.Session)
	if !ok {
		return Caller{}, behind(revoked(claims))
	}
	if s.User != claims.Object || !s.Live(c.Now()) || s.CreatedAt.Before(p.ValidFrom) {
		return Caller{}, revoked(claims)
	}
	return out, nil
}

// Roles returns the directory roles that a principal holds, itself or by a group that may hold them.
func Roles(w *world.World, id ident.ObjectID) []ident.DirectoryRoleID {
	roles := w.DirectoryRoles(id)
	for _, g := range w.GroupsOf(id) {
		if group, ok := w.Group(g); ok && group.IsAssignableToRole {
			roles = append(roles, w.DirectoryRoles(g)...)
		}
	}
	slices.SortFunc(roles, func(a, b ident.DirectoryRoleID) int { return slices.Compare(a[:], b[:]) })
	return slices.Compact(roles)
}
