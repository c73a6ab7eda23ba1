package az

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// credentialCommands are the same for applications and for service principals.
func credentialCommands() []command {
	certificates := flag{name: "cert", kind: toggle, help: "certificates, and not secrets"}
	keyID := flag{name: "key-id", help: "id of the credential", must: true}
	var all []command
	for _, of := range []struct {
		path, name string
		on         func(func(*call, string) (any, error)) func(*call) (any, error)
	}{{"ad app credential", "an application", onApp}, {"ad sp credential", "a service principal", onPrincipal}} {
		all = append(all,
			command{
				path: of.path + " list", short: "List the credentials of " + of.name, flags: []flag{appID(), certificates},
				run: of.on(func(x *call, path string) (any, error) {
					o, err := x.object(path)
					if err != nil {
						return nil, err
					}
					return o[credentialList(x.on("cert"))], nil
				}),
			},
			command{
				path: of.path + " delete", short: "Delete a credential of " + of.name, flags: []flag{appID(), keyID, certificates},
				run: of.on(deleteCredential),
			},
			command{
				path: of.path + " reset", short: "Give " + of.name + " a new secret, in place of those it has", run: of.on(resetCredential),
				flags: append([]flag{
					appID(),
					{name: "append", kind: toggle, help: "keep the others"},
					{name: "display-name", help: "name of the secret"},
					{name: "years", help: "how many years it is good for (default 1)"},
					{name: "end-date", help: "until when it is good, such as 2030-12-31"},
				}, certificateFlags()...),
			},
		)
	}
	return all
}

func credentialList(certificates bool) string {
	if certificates {
		return "keyCredentials"
	}
	return "passwordCredentials"
}

func deleteCredential(x *call, path string) (any, error) {
	key := x.word("key-id")
	if !x.on("cert") {
		return x.none(http.MethodPost, path+"/removePassword", map[string]any{"keyId": key})
	}
	o, err := x.object(path)
	if err != nil {
		return nil, err
	}
	var left []any
	list, _ := o["keyCredentials"].([]any)
	for _, c := range list {
		if m, _ := c.(map[string]any); str(m, "keyId") != key {
			left = append(left, c)
		}
	}
	if len(left) == len(list) {
		return nil, fmt.Errorf("there is no certificate with the key id %q", key)
	}
	if left == nil {
		left = []any{}
	}
	return x.none(http.MethodPatch, path, map[string]any{"keyCredentials": left})
}

func resetCredential(x *call, path string) (any, error) {
	now := x.d.Now().UTC()
	until, err := x.expiry(now)
	if err != nil {
		return nil, err
	}
	o, err := x.object(path)
	if err != nil {
		return nil, err
	}
	if !x.on("append") {
		if err := x.dropSecrets(path, o); err != nil {
			return nil, err
		}
	}
	var name any
	if x.given("display-name") {
		name = x.word("display-name")
	}
	out := map[string]any{"appId": o["appId"], "password": nil}
	if x.wantsCertificate() {
		c, err := x.certificate(now, until)
		if err != nil {
			return nil, err
		}
		keys := []any{}
		if have, ok := o["keyCredentials"].([]any); ok && x.on("append") {
			keys = have
		}
		if _, err := x.do(http.MethodPatch, path, map[string]any{"keyCredentials": append(keys, x.keyCredential(c, name, now, until))}); err != nil {
			return nil, err
		}
		if c.file != "" {
			out["fileWithCertAndPrivateKey"] = c.file
		}
	} else if out["password"], err = x.newSecret(path, name, now, until); err != nil {
		return nil, err
	}
	s, err := x.subscription()
	if err != nil {
		return nil, err
	}
	out["tenant"] = s.TenantID
	x.warn("%s", secretWarning)
	return out, nil
}

// expiry is until when a new secret is good.
func (x *call) expiry(now time.Time) (time.Time, error) {
	if x.given("years") && x.given("end-date") {
		return now, errors.New("give --years or --end-date, not both")
	}
	if x.given("end-date") {
		for _, form := range []string{time.RFC3339, "2006-01-02T15:04:05", time.DateOnly} {
			if t, err := time.Parse(form, x.word("end-date")); err == nil {
				return t, nil
			}
		}
		return now, fmt.Errorf("--end-date %q is no date such as 2030-12-31", x.word("end-date"))
	}
	years := 1
	if x.given("years") {
		n, err := strconv.Atoi(x.word("years"))
		if err != nil || n < 1 || n > 99 {
			return now, fmt.Errorf("--years %q is not a number of years", x.word("years"))
		}
		years = n
	}
	return now.AddDate(years, 0, 0), nil
}

// newSecret adds a secret to an application or service principal and returns its text.
func (x *call) newSecret(path string, name any, from, until time.Time) (any, error) {
	v, err := x.do(http.MethodPost, path+"/addPassword", map[string]any{"passwordCredential": map[string]any{
		"displayName": name, "startDateTime": wireTime(from), "endDateTime": wireTime(until),
	}})
	if err != nil {
		return nil, err
	}
	m, _ := v.(map[string]any)
	return m["secretText"], nil
}

// dropSecrets removes all secrets that an object has.
func (x *call) dropSecrets(path string, o map[string]any) error {
	list, _ := o["passwordCredentials"].([]any)
	for _, c := range list {
		m, _ := c.(map[string]any)
		if _, err := x.do(http.MethodPost, path+"/removePassword", map[string]any{"keyId": m["keyId"]}); err != nil {
			return err
		}
	}
	return nil
}
