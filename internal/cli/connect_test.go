package cli

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/pki"
)

func authority(t testing.TB, name string) string {
	t.Helper()
	a, err := pki.NewAuthority(name, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return a.CertPEM()
}

func TestCertificates(t *testing.T) {
	one, two := authority(t, "One"), authority(t, "Two")
	for name, test := range map[string]struct {
		text string
		want int
	}{
		"one": {one, 1}, "two": {one + "\n" + two, 2}, "none": {"", -1}, "no PEM": {"x", -1}, "half": {one + two[:len(two)/2], -1},
		"a key among them": {one + "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", -1}, "too many": {strings.Repeat(one, maxAuthorities+1), -1},
	} {
		all, err := certificates(test.text)
		if (err != nil) != (test.want < 0) || err == nil && len(all) != test.want {
			t.Errorf("%s: %d, %v", name, len(all), err)
		}
		for _, c := range all {
			if err := sameFingerprint(strings.ToUpper(strings.TrimPrefix(c.fingerprint, "sha256:")), c.fingerprint); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// FuzzCertificates holds that a bundle is certificates and nothing else, or refused, and that reading what was read gives the
// same.
func FuzzCertificates(f *testing.F) {
	one := authority(f, "One")
	f.Add(one + one)
	f.Add("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := certificates(text)
		if err != nil {
			return
		}
		joined := ""
		for _, c := range all {
			joined += c.text
		}
		again, err := certificates(joined)
		if err != nil || len(again) != len(all) {
			t.Fatalf("%v: %d and %d", err, len(again), len(all))
		}
		for i := range all {
			if again[i] != all[i] {
				t.Fatalf("%+v\n%+v", all[i], again[i])
			}
		}
	})
}

// FuzzIntroduction reads whatever a server could say of itself: only https origins come of it, and the one that was asked.
func FuzzIntroduction(f *testing.F) {
	f.Add(`{"login":"LOGIN","arm":"https://arm.test","graph":"https://graph.test","ca":""}`)
	f.Add(`{"login":"LOGIN","arm":"http://arm.test","graph":"https://graph.test/x"}`)
	f.Add(`{"login":"LOGIN","arm":"https://u:p@arm.test?x#y","graph":"https://graph.test"}`)
	f.Add(`{"login":"https://evil.test","arm":"https://u:p@arm.test?x#y"}`)
	const login = "https://login.test:8443"
	f.Fuzz(func(t *testing.T, text string) {
		var in introduction
		if json.Unmarshal([]byte(strings.ReplaceAll(text, "LOGIN", login)), &in) != nil || in.check(login) != nil {
			return
		}
		if in.Login != login {
			t.Fatalf("it is said to be %s", in.Login)
		}
		for _, e := range []string{in.Login, in.ARM, in.Graph} {
			if !strings.HasPrefix(e, "https://") || strings.ContainsAny(strings.TrimPrefix(e, "https://"), "/@?# ") {
				t.Fatalf("%q is no origin", e)
			}
		}
	})
}
