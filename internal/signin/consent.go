package signin

import (
	"net/http"
	"net/url"
)

func (h Handler) consentDue(_ *http.Request, _ *flow) (bool, error) { return false, nil }

func (h Handler) askConsent(_ http.ResponseWriter, _ *http.Request, _ *flow, _ string) error {
	return nil
}

func (h Handler) takeConsent(_ http.ResponseWriter, _ *http.Request, _ *flow, _ url.Values) (string, error) {
	return "", nil
}
