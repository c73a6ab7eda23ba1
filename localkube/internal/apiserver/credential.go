package apiserver

import (
	"net/http"
	"net/url"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
)

// keepCredentialID refuses requests that play a person with a credential id. The API server puts it there for client
// certificates, and the authorizer takes it as the word of the API server.
func keepCredentialID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name := range r.Header {
			if namesCredentialID(name) {
				err := apierrors.NewForbidden(schema.GroupResource{Group: "authentication.k8s.io", Resource: "userextras"},
					user.CredentialIDKey, errPlayed)
				responsewriters.ErrorNegotiated(err, legacyscheme.Codecs, schema.GroupVersion{Version: "v1"}, w, r)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

type textError string

func (e textError) Error() string { return string(e) }

const errPlayed = textError("a credential id cannot be impersonated")

// namesCredentialID reports whether a header is an Impersonate-Extra- for the credential id, as the impersonation filter
// would read it: without letter case, and unescaped.
func namesCredentialID(header string) bool {
	const prefix = "impersonate-extra-"
	lower := strings.ToLower(header)
	key, ok := strings.CutPrefix(lower, prefix)
	if !ok {
		return false
	}
	if plain, err := url.PathUnescape(key); err == nil {
		key = strings.ToLower(plain)
	}
	return key == strings.ToLower(user.CredentialIDKey)
}
