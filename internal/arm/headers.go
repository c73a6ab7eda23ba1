package arm

import (
	"net/http"
	"strings"

	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/web"
)

// standardHeaders sets what every answer of Resource Manager carries.
func (f *Face) standardHeaders(w http.ResponseWriter, r *http.Request) {
	id := web.EventOf(r).RequestID.String()
	correlation := id
	if c := r.Header.Get("x-ms-correlation-request-id"); ident.IsGUID(c) {
		correlation = strings.ToLower(c)
	}
	h := w.Header()
	h.Set("X-Ms-Request-Id", id)
	h.Set("X-Ms-Correlation-Request-Id", correlation)
	h.Set("X-Ms-Routing-Request-Id", "KEYREEVE:"+f.Now().UTC().Format("20060102T150405Z")+":"+id)
	h.Set("Cache-Control", "no-cache")
	h.Set("Pragma", "no-cache")
	h.Set("Expires", "-1")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
	// Clients read how many requests are left. There is no such limit here, so the number does not fall.
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		h.Set("X-Ms-Ratelimit-Remaining-Subscription-Reads", "11999")
	case http.MethodDelete:
		h.Set("X-Ms-Ratelimit-Remaining-Subscription-Deletes", "14999")
	default:
		h.Set("X-Ms-Ratelimit-Remaining-Subscription-Writes", "1199")
	}
	if c := web.EventOf(r).ClientRequestID; c != "" && strings.EqualFold(r.Header.Get("x-ms-return-client-request-id"), "true") {
		h.Set("X-Ms-Client-Request-Id", c)
	}
}
