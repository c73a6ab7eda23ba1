package authorize

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/keyreeve/keyreeve/internal/consent"
	"github.com/keyreeve/keyreeve/internal/handoff"
	"github.com/keyreeve/keyreeve/internal/oauth"
	"github.com/keyreeve/keyreeve/internal/session"
)

// The longest values that are carried along, in bytes.
const (
	maxState = 4 << 10
	maxNonce = 1 << 10
	maxHint  = 320
)

// check fills in the rest of a request, and refuses what cannot be asked for.
func (h Handler) check(q map[string]string, client consent.Client, req *handoff.Request) error {
	if len(req.State) > maxState {
		req.State = ""
		return oauth.BadParameter(oauth.ParamState, "is too long")
	}
	switch t := q[oauth.ParamResponseType]; t {
	case "code":
	case "":
		return oauth.MissingParameter(oauth.ParamResponseType)
	default:
		return oauth.BadResponseType(consent.Clip(t))
	}
	for _, name := range []string{"request", "request_uri", "registration"} { // OpenID Connect Core 3.1.2.6
		if q[name] != "" {
			return oauth.BadParameter(name, "is not offered")
		}
	}
	if err := challenge(q, req); err != nil {
		return err
	}
	if req.Nonce = q[oauth.ParamNonce]; len(req.Nonce) > maxNonce {
		return oauth.BadParameter(oauth.ParamNonce, "is too long")
	}
	if err := h.scope(q, client, req); err != nil {
		return err
	}
	if text := q[oauth.ParamClaims]; text != "" && !json.Valid([]byte(text)) {
		return oauth.BadParameter(oauth.ParamClaims, "is not valid JSON")
	}
	req.LoginHint, req.DomainHint = clipHint(q["login_hint"]), clipHint(q["domain_hint"])
	return interaction(q, req)
}

// challenge reads PKCE (RFC 7636). Public clients must use it, and nobody may use plain (RFC 9700 2.1.1).
func challenge(q map[string]string, req *handoff.Request) error {
	method, c := q["code_challenge_method"], q["code_challenge"]
	switch {
	case c == "" && method == "":
		if req.Public {
			return oauth.NeedsChallenge()
		}
		return nil
	case method != "S256":
		if method == "" {
			method = "plain" // which is what no method means
		}
		return oauth.PlainChallenge(consent.Clip(method))
	case !session.IsChallenge(c):
		return oauth.BadParameter("code_challenge", "is not the base64url form of a SHA-256")
	}
	req.Challenge = c
	return nil
}

// scope reads what is asked for, and refuses resources and permissions that do not exist.
func (h Handler) scope(q map[string]string, client consent.Client, req *handoff.Request) error {
	var s consent.Scopes
	if req.V1 {
		if req.Scope = q[oauth.ParamResource]; req.Scope == "" {
			req.Scope = defaultResource
		}
		s = consent.V1Scopes(req.Scope)
	} else {
		if req.Scope = q[oauth.ParamScope]; req.Scope == "" {
			return oauth.MissingParameter(oauth.ParamScope)
		}
		var err error
		if s, err = consent.ParseScope(req.Scope); err != nil {
			return err
		}
	}
	tenant := req.Tenant
	if tenant.IsZero() {
		tenant = client.Tenant
	}
	t, err := h.Apps.Target(s, tenant, directoryOf(*req))
	if err != nil {
		return err
	}
	_, err = t.Named(s)
	return err
}

// defaultResource is what a v1 request that names none gets.
const defaultResource = "https://graph.microsoft.com"

// interaction reads what may be asked of the person.
func interaction(q map[string]string, req *handoff.Request) error {
	prompts := strings.Fields(q[oauth.ParamPrompt])
	known := []string{oauth.PromptNone, oauth.PromptLogin, oauth.PromptConsent, oauth.PromptSelectAccount}
	for _, p := range prompts {
		if !slices.Contains(known, p) {
			return oauth.BadParameter(oauth.ParamPrompt, "must be none, login, select_account or consent")
		}
	}
	if len(prompts) > 1 && slices.Contains(prompts, oauth.PromptNone) {
		return oauth.BadParameter(oauth.ParamPrompt, "combines none with others") // OpenID Connect Core 3.1.2.1
	}
	req.Prompts = prompts
	if text := q["max_age"]; text != "" {
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil || n < 0 {
			return oauth.BadParameter("max_age", "is not a number of seconds")
		}
		req.MaxAge = n
	}
	return nil
}

func clipHint(s string) string {
	if len(s) > maxHint || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd }) {
		return ""
	}
	return s
}
