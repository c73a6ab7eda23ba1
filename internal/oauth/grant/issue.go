package grant

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/caller"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/keyring"
	"github.com/keyreeve/keyreeve/internal/oauth"
	"github.com/keyreeve/keyreeve/internal/proof"
	"github.com/keyreeve/keyreeve/internal/session"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/token"
	"github.com/keyreeve/keyreeve/internal/web"
)

// refreshPrefix lets secret scanners know whose token they found.
const refreshPrefix = "krr_"

// issued is what a successful request yields.
type issued struct {
	claims   token.Access
	identity *token.Identity // nil when none is due
	// access and id are the signed forms.
	access, id string
	refresh    string
	life       time.Duration
	clientInfo string
}

// issue decides what the tokens for a subject say, in the transaction that used up its proof. They are signed after it:
// a signature takes longer than all else, and nobody else could write meanwhile.
func (h Handler) issue(tx *store.Tx, req *request, s subject) (issued, error) {
	life := h.accessLife(req, s)
	out := issued{claims: h.common(req, life), life: life}
	if s.user.ID.IsZero() {
		h.forApplication(&out.claims, req, s)
		if req.client.Managed {
			var err error
			if out.claims.ManagedIdentity, err = managedID(tx, s.app.ID); err != nil {
				return out, err
			}
		}
	} else if err := h.issueUser(tx, req, s, &out); err != nil {
		return out, err
	}
	name := s.user.UserPrincipalName
	if name == "" {
		name = req.client.Name
	}
	return out, tx.Audit(audit.Record{
		At: req.now, Event: audit.TokenIssued, Tenant: out.claims.Tenant, Actor: out.claims.Object, ActorName: name,
		Target: req.target.Audience, Correlation: req.origin.Correlation,
		Detail: map[string]string{
			"grant": req.grant, "client": req.client.ID.String(), "session": s.session.ID.String(), "token": out.claims.ID,
			"remoteAddr": req.origin.RemoteAddr,
		},
	})
}

// issueUser adds what the tokens of a person have.
func (h Handler) issueUser(tx *store.Tx, req *request, s subject, out *issued) error {
	var err error
	if req.scp, err = h.allowed(tx, req, s); err != nil {
		return err
	}
	h.forUser(&out.claims, req, s)
	if req.scopes.OpenID {
		i := h.identity(req, s, out.claims)
		out.identity = &i
	}
	if req.scopes.Offline {
		if out.refresh, err = h.refreshToken(tx, req, s.session); err != nil {
			return err
		}
	}
	if req.form[oauth.ParamClientInfo] == "1" {
		out.clientInfo, err = clientInfo(s.user.ID, s.user.Tenant)
	}
	return err
}

// signers are what signs the tokens of a request.
type signers struct{ access, id *keyring.Signer }

// signers finds what signs the tokens of a request.
func (h Handler) signers(req *request) (signers, error) {
	all, err := h.Ring.Active(req.now)
	if err != nil {
		return signers{}, err
	}
	s := signers{access: all, id: all}
	if h.ES256 && ours(req.target.ID) {
		if fast, err := h.Ring.ActiveES256(req.now); err == nil {
			s.access = fast
		}
	}
	return s, nil
}

// ours reports whether a resource is this service itself: each request there is held against what was revoked, and
// nobody else has to check its tokens. The AKS server application is not: API servers and guard check its tokens.
func ours(resource ident.ClientID) bool {
	return resource == directory.ResourceManager() || resource == directory.MicrosoftGraph()
}

// sign makes the tokens of what was issued.
func (o *issued) sign(by signers) error {
	var err error
	if o.access, err = o.claims.Mint(by.access); err != nil {
		return fault.Wrap(err, "mint access token")
	}
	if o.identity != nil {
		if o.id, err = o.identity.Mint(by.id); err != nil {
			return fault.Wrap(err, "mint id token")
		}
	}
	return nil
}

// accessLife is how long the next access token lives, in whole seconds. Where each request is held against what was
// revoked, and the client understands being told so (continuous access evaluation), a person's token may live a day.
func (h Handler) accessLife(req *request, s subject) time.Duration {
	if h.AccessLife > 0 {
		return h.AccessLife.Truncate(time.Second)
	}
	var b [2]byte
	_, _ = rand.Read(b[:]) // never fails
	spread := int(binary.BigEndian.Uint16(b[:]))
	if ours(req.target.ID) && len(req.capabilities) > 0 && !s.user.ID.IsZero() {
		return 24*time.Hour + time.Duration(spread%(4*60*60))*time.Second
	}
	return time.Hour + time.Duration(spread%(15*60))*time.Second
}

// common are the claims of every access token.
func (h Handler) common(req *request, life time.Duration) token.Access {
	return token.Access{
		Audience: req.target.Audience, NotBefore: req.now.Unix(), Expires: req.now.Add(life).Unix(),
		AppID: req.client.ID, AppIDACR: req.client.method, ID: token.NewID(), Version: "1.0", Capabilities: req.capabilities,
	}
}

func (h Handler) forApplication(c *token.Access, req *request, s subject) {
	c.Tenant, c.Object, c.Subject, c.IdentityType = s.app.Tenant, s.app.ID, s.app.ID.String(), token.TypeApp
	c.Issuer = token.IssuerV1(h.BaseURL, c.Tenant)
	c.IdentityProvider = c.Issuer
	c.IssuedAt = token.IssuedAfter(req.now, s.app.ValidFrom)
	h.directoryClaims(c, req, "servicePrincipals")
}

func (h Handler) forUser(c *token.Access, req *request, s subject) {
	u := s.user
	c.Tenant, c.Object, c.IdentityType = u.Tenant, u.ID, token.TypeUser
	c.Subject = token.PairwiseSubject(u.Tenant, u.ID, req.target.ID)
	c.Issuer = token.IssuerV1(h.BaseURL, c.Tenant)
	c.IssuedAt = token.IssuedAfter(req.now, u.SessionsValidFrom)
	c.ACR, c.AMR, c.Session = "1", s.session.Methods, s.session.ID
	c.Family, c.Given, c.Name = u.Surname, u.GivenName, u.DisplayName
	c.UPN, c.UniqueName, c.IPAddress = u.UserPrincipalName, u.UserPrincipalName, req.origin.RemoteAddr
	c.Scope = strings.Join(req.scp, " ")
	h.directoryClaims(c, req, "users")
	if u.UserType != "Guest" {
		c.DirectoryRoles = append(c.DirectoryRoles, token.MemberWID)
	}
}

// directoryClaims adds roles and groups, or the place to ask for them when they are too many. They inform clients;
// decisions look them up.
func (h Handler) directoryClaims(c *token.Access, req *request, collection string) {
	c.Roles = h.apps().Roles(req.target, c.Object)
	for _, r := range caller.Roles(h.World, c.Object) {
		c.DirectoryRoles = append(c.DirectoryRoles, r.String())
	}
	if !req.target.Groups {
		return
	}
	for _, id := range h.World.GroupsOf(c.Object) {
		if g, ok := h.World.Group(id); ok && g.SecurityEnabled {
			c.Groups = append(c.Groups, id)
		}
	}
	if len(c.Groups) > token.GroupLimit {
		c.Groups = nil
		c.ClaimNames = map[string]string{"groups": "src1"}
		c.ClaimSources = map[string]token.ClaimSource{
			"src1": {Endpoint: h.GraphURL + "/v1.0/" + collection + "/" + c.Object.String() + "/getMemberObjects"},
		}
	}
}

func (h Handler) identity(req *request, s subject, c token.Access) token.Identity {
	u := s.user
	i := token.Identity{
		Audience: req.client.ID, Issuer: token.IssuerV2(h.BaseURL, u.Tenant), IssuedAt: c.IssuedAt, NotBefore: c.NotBefore,
		Expires: c.Expires, AMR: s.session.Methods, Object: u.ID, Session: s.session.ID,
		Subject: token.PairwiseSubject(u.Tenant, u.ID, req.client.ID), Tenant: u.Tenant, ID: token.NewID(), Version: "2.0", Nonce: s.nonce,
	}
	if req.v1 {
		i.Issuer, i.Version, i.UPN = token.IssuerV1(h.BaseURL, u.Tenant), "1.0", u.UserPrincipalName
	}
	if req.scopes.Profile {
		i.Name, i.Username = u.DisplayName, u.UserPrincipalName
	}
	if req.scopes.Email {
		i.Email = u.Mail
	}
	return i
}

// refreshToken makes the next link of the session's chain.
func (h Handler) refreshToken(tx *store.Tx, req *request, s session.Session) (string, error) {
	text, scope := proof.NewToken(refreshPrefix), req.scopes.Raw
	if req.v1 {
		scope += oauth.DefaultSuffix + " openid profile offline_access"
	}
	return text, tx.PutRefreshToken(session.RefreshToken{
		Hash: proof.HashToken(text), Session: s.ID, Client: req.client.ID, User: s.User, HomeTenant: s.Tenant, Public: req.keepsNone(), Scope: scope,
		CreatedAt: req.now.UTC(), ExpiresAt: req.now.UTC().Add(session.Life),
	})
}

// clientInfo names the account in the way that stays the same in every tenant.
func clientInfo(user ident.ObjectID, home ident.TenantID) (string, error) {
	raw, err := json.Marshal(struct {
		UID  ident.ObjectID `json:"uid"`
		UTID ident.TenantID `json:"utid"`
	}{user, home})
	if err != nil {
		return "", fault.Wrap(err, "client_info")
	}
	return base64.RawURLEncoding.EncodeToString(raw), nil
}

// answer writes the tokens.
func (h Handler) answer(w http.ResponseWriter, r *http.Request, req *request, out issued) error {
	web.NoStore(w)
	w.Header().Set("x-ms-request-id", web.EventOf(r).RequestID.String())
	family := ""
	if req.client.Family && out.refresh != "" {
		family = "1"
	}
	life := int64(out.life / time.Second)
	if !req.v1 {
		return web.WriteJSON(w, http.StatusOK, "application/json; charset=utf-8", oauth.Token{
			TokenType: "Bearer", Scope: req.scopes.Raw, ExpiresIn: life, ExtExpiresIn: life, ExpiresOn: out.claims.Expires,
			AccessToken: out.access, RefreshToken: out.refresh, FamilyID: family, IDToken: out.id, ClientInfo: out.clientInfo,
		})
	}
	text := strconv.FormatInt(life, 10)
	return web.WriteJSON(w, http.StatusOK, "application/json; charset=utf-8", oauth.TokenV1{
		TokenType: "Bearer", Scope: strings.Join(slices.Clone(req.scp), " "), ExpiresIn: text, ExtExpiresIn: text,
		ExpiresOn: strconv.FormatInt(out.claims.Expires, 10), NotBefore: strconv.FormatInt(out.claims.NotBefore, 10), Resource: req.scopes.Resource,
		AccessToken: out.access, RefreshToken: out.refresh, FamilyID: family, IDToken: out.id, ClientInfo: out.clientInfo,
	})
}
