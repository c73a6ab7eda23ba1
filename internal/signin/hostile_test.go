package signin_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/logintest"
)

// Every form of the login address, for people and for programs, refuses one of 10 MB, and one that is none, without changing
// anything and in few words.
func TestEveryFormWithHostileBodies(t *testing.T) {
	s := logintest.Start(t)
	const form = "application/x-www-form-urlencoded"
	for _, path := range []string{
		"/device", "/signin/account", "/signin/password", "/signin/newpassword", "/signin/consent", "/signin/confirm", "/signin/signout",
		"/common/oauth2/v2.0/token", "/common/oauth2/token", "/common/oauth2/v2.0/devicecode", "/common/oauth2/devicecode",
		"/common/oauth2/v2.0/introspect", "/common/oauth2/v2.0/revoke", "/common/openid/userinfo", "/common/oauth2/v2.0/authorize",
	} {
		for name, row := range map[string]struct{ kind, body string }{
			"10 MB":           {form, "state=" + strings.Repeat("x", 10<<20)},
			"a million names": {form, strings.Repeat("a&", 5<<20)},
			"one name often":  {form, strings.Repeat("state=x&", 1000)},
			"not decodable":   {form, "state=%zz"},
			"not UTF-8":       {form, "state=%ff%fe&user_code=%ff"},
			"a NUL":           {form, "state=%00&username=%00&client_id=%00"},
			"JSON":            {"application/json", `{"state":"x"}`},
			"parts":           {"multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"state\"\r\n\r\nx\r\n--x--\r\n"},
		} {
			before := s.DB.Head()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.BaseURL+path, strings.NewReader(row.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", row.kind)
			req.Header.Set("Sec-Fetch-Site", "same-origin")
			a := s.Do(req)
			if a.Status < 400 || a.Status >= 500 || len(a.Text) > 16<<10 {
				t.Errorf("%s, %s: %d %.300s", path, name, a.Status, a.Text)
			}
			if s.DB.Head() != before {
				t.Errorf("%s, %s: something changed", path, name)
			}
		}
	}
}
