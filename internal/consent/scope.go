package consent

import (
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/internal/directory"
	"github.com/keyreeve/keyreeve/internal/oauth"
)

// Scopes is a parsed scope parameter.
type Scopes struct {
	// Raw is the parameter as it was sent; answers echo it, since clients look up what they cached by it.
	Raw                             string
	OpenID, Profile, Email, Offline bool
	// Resource is what the other scopes belong to; empty if there are none.
	Resource string
	// All asks for everything (/.default); else Permissions lists what is asked for.
	All         bool
	Permissions []string
}

// V1Scopes are what a resource of the v1 endpoints stands for: it always brings people an id token and a refresh token.
func V1Scopes(resource string) Scopes {
	return Scopes{Raw: resource, Resource: resource, All: true, OpenID: true, Profile: true, Offline: true}
}

// maxScope is the longest scope parameter that is read, in bytes.
const maxScope = 8 << 10

// ParseScope reads a scope parameter (RFC 6749 3.3) in Entra's form: OpenID Connect's scopes, and any number of scopes
// of one resource, each written RESOURCE/PERMISSION. A permission without a resource belongs to Microsoft Graph.
//
// The resource keeps a slash of its own: https://management.core.windows.net//.default is for
// https://management.core.windows.net/.
func ParseScope(text string) (Scopes, error) {
	if len(text) > maxScope {
		return Scopes{}, oauth.BadScope(Clip(text), "is too long")
	}
	s := Scopes{Raw: text}
	for _, c := range []byte(text) {
		if c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			return Scopes{}, oauth.BadScope(Clip(text), "holds a character that scopes may not have")
		}
	}
	for part := range strings.FieldsSeq(text) {
		switch part {
		case oauth.ScopeOpenID:
			s.OpenID = true
			continue
		case oauth.ScopeProfile:
			s.Profile = true
			continue
		case oauth.ScopeEmail:
			s.Email = true
			continue
		case oauth.ScopeOfflineAccess:
			s.Offline = true
			continue
		}
		resource, permission, err := splitScope(part)
		if err != nil {
			return Scopes{}, err
		}
		if s.Resource != "" && s.Resource != resource {
			return Scopes{}, oauth.BadScope(Clip(part), "belongs to another resource than the scopes before it: a token is for one resource")
		}
		s.Resource = resource
		if permission == ".default" {
			s.All = true
		} else if !slices.Contains(s.Permissions, permission) {
			s.Permissions = append(s.Permissions, permission)
		}
	}
	if s.All && len(s.Permissions) > 0 {
		return Scopes{}, oauth.BadScope(Clip(text), "combines /.default with permissions of the same resource")
	}
	return s, nil
}

// splitScope takes a scope apart at its last slash, if that is not one of the resource's scheme.
func splitScope(scope string) (resource, permission string, err error) {
	i := strings.LastIndexByte(scope, '/')
	if i < 0 {
		return directory.MicrosoftGraph().String(), scope, nil
	}
	resource, permission = scope[:i], scope[i+1:]
	if resource == "" || permission == "" || strings.HasSuffix(resource, ":/") || resource == "/" {
		return "", "", oauth.BadScope(Clip(scope), "names no permission: write RESOURCE/.default")
	}
	return resource, permission, nil
}
