package kubehook

import (
	"log/slog"
	"net/http"
	"strings"
	"time"

	authnv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyreeve/keyreeve/internal/caller"
	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/managedcluster"
	"github.com/keyreeve/keyreeve/internal/web"
	"github.com/keyreeve/keyreeve/internal/world"
)

// Keys of what a TokenReview's answer says beside name and groups; the API server shows it again in every review of access.
// Kubernetes wants them in lower case.
const (
	extraObject   = "oid"
	extraSession  = "keyreeve.io/session"
	extraTokenID  = "keyreeve.io/token-id"
	extraIssuedAt = "keyreeve.io/token-issued-at" // RFC 3339, whole seconds
)

func (h *Handler) tokenReview(w http.ResponseWriter, r *http.Request) error {
	snap, err := h.open(r)
	if err != nil {
		return err
	}
	body, err := h.body(w, r)
	if err != nil {
		return err
	}
	raw, err := readToken(body)
	if err != nil {
		return err
	}
	ev := web.EventOf(r)
	ev.Add("cluster", snap.cluster.ID.String())
	ev.Add("revision", int64(snap.revision))
	user, why, err := h.authenticate(&snap, raw)
	if err != nil {
		return err
	}
	out := authnv1.TokenReview{TypeMeta: metav1.TypeMeta{Kind: tokenKind, APIVersion: tokenVersion}}
	if why != "" {
		ev.Raise(slog.LevelInfo)
		ev.Add("verdict", "not authenticated")
		ev.Add("reason", why)
		out.Status.Error = "Keyreeve: " + why + " (reference " + ev.RequestID.String() + ")"
	} else {
		ev.Add("verdict", "authenticated")
		ev.Add("principal", user.UID)
		out.Status.Authenticated, out.Status.User = true, user
	}
	return web.WriteJSON(w, http.StatusOK, "application/json", out)
}

// authenticate returns who a token stands for at a cluster, or why it stands for nobody there; an error when that is not
// known.
func (h *Handler) authenticate(snap *snapshot, raw string) (authnv1.UserInfo, string, error) {
	none := authnv1.UserInfo{}
	if snap.cluster.AAD == nil {
		return none, "the cluster has no Microsoft Entra integration", nil
	}
	server, ok := serverApp(snap.cluster.AAD)
	if !ok {
		return none, "the cluster's server application is none that takes tokens for it", nil
	}
	if raw == "" {
		return none, "there is no token", nil
	}
	c, err := h.Tokens.CheckFor(raw, []string{server, "spn:" + server})
	if fault.Is(err, fault.Unauthenticated) {
		return none, "the token is not accepted", nil
	}
	if err != nil {
		return none, "", unknown().Because(err)
	}
	// Whoever checks the token checks the audience too; this holds even if it did not.
	if !isFor(c.Audience, server) {
		return none, "the token is for another audience", nil
	}
	tenant := snap.tenant()
	if c.Tenant != tenant {
		return none, "the token is of another tenant than the cluster", nil
	}
	p, ok := h.World.Principal(c.Object)
	if !ok || p.Tenant != tenant {
		return none, "the account is not in the cluster's tenant", nil
	}
	if p.Kind == world.User && c.Session.IsZero() {
		return none, "the token is of no session", nil
	}
	if why := standing(h.World, h.Now(), &p, signIn{session: c.Session, issuedAt: c.IssuedAt}); why != "" {
		return none, why, nil
	}
	return userInfo(&p, c, h.World.GroupsOf(p.ID)), "", nil
}

// serverApp is the application whose tokens a cluster takes: the one of AKS, or with the legacy integration one that the
// tenant registered. A well-known application is never that: what was issued for Resource Manager or Graph opens no cluster,
// whatever was written into the cluster's profile.
func serverApp(a *managedcluster.AAD) (string, bool) {
	if a.Managed {
		return directory.AKSServer().String(), true
	}
	id, err := ident.Parse[ident.ClientID](a.ServerAppID)
	return id.String(), err == nil && !directory.WellKnown(id)
}

// isFor reports whether an audience is a spelling of an application.
func isFor(aud, app string) bool {
	aud = strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(aud, "spn:"), "api://"), "/")
	return strings.EqualFold(aud, app)
}

// userInfo is a principal as Kubernetes sees it: a user by principal name, a service principal by object id, its groups
// by object id.
func userInfo(p *world.Principal, c caller.Caller, groups []ident.ObjectID) authnv1.UserInfo {
	oid := p.ID.String()
	u := authnv1.UserInfo{
		Username: p.Name, UID: oid,
		Extra: map[string]authnv1.ExtraValue{
			extraObject:   {oid},
			extraTokenID:  {c.TokenID},
			extraIssuedAt: {c.IssuedAt.UTC().Format(time.RFC3339)},
		},
	}
	if !c.Session.IsZero() {
		u.Extra[extraSession] = authnv1.ExtraValue{c.Session.String()}
	}
	if len(groups) > 0 {
		u.Groups = make([]string, len(groups))
		for i, g := range groups {
			u.Groups[i] = g.String()
		}
	}
	return u
}
