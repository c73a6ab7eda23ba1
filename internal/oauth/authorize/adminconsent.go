package authorize

import (
	"net/http"

	"github.com/keyreeve/keyreeve/internal/handoff"
	"github.com/keyreeve/keyreeve/internal/oauth"
	"github.com/keyreeve/keyreeve/internal/page"
)

// adminConsent has an administrator allow all that an application registered that it needs, for everybody in the
// tenant. The application is told by a redirect, which carries no code.
func (h Handler) adminConsent(w http.ResponseWriter, r *http.Request) error {
	q, err := parameters(w, r)
	if err != nil {
		return err
	}
	req, client, err := h.identify(r, q, false)
	if err != nil {
		return err
	}
	if client.FirstParty {
		return oauth.BadParameter(oauth.ParamClientID, "names an application that needs nobody's consent")
	}
	if len(req.State) > maxState {
		return oauth.BadParameter(oauth.ParamState, "is too long")
	}
	req.AdminConsent, req.Scope, req.Mode = true, "openid", oauth.ModeQuery
	req.Prompts = []string{oauth.PromptSelectAccount}
	text, err := req.Seal(h.Sealer)
	if err != nil {
		return err
	}
	//nolint:gosec // to our own pages; the text is sealed
	http.Redirect(w, r, h.BaseURL+handoff.SignInPath+"?request="+text, http.StatusSeeOther)
	return nil
}

// consented tells an application that an administrator allowed what it needs.
func (h Handler) consented(w http.ResponseWriter, r *http.Request, req handoff.Request, name, tenant string) error {
	return h.answer(w, r, req, name, h.issuer(req, tenant), []page.Field{
		{Name: "admin_consent", Value: "True"}, {Name: "tenant", Value: tenant},
	})
}
