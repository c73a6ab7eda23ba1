package account

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// FuzzIdentify reads whatever a token service could answer for a token: it says who it is for as the JSON in the middle says,
// or that it is no token.
func FuzzIdentify(f *testing.F) {
	f.Add("e30.eyJ0aWQiOiJ0IiwidXBuIjoiYUBiIn0.x")
	f.Add("e30.eyJ0aWQiOjF9.x")
	f.Add("..")
	f.Fuzz(func(t *testing.T, token string) {
		id, err := Identify(token)
		if err != nil {
			if id != (Identity{}) && strings.Count(token, ".") != 2 {
				t.Fatalf("%+v of what is no token", id)
			}
			return
		}
		raw, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
		if err != nil {
			t.Fatalf("%q was read", token)
		}
		var want Identity
		if err := json.Unmarshal(raw, &want); err != nil || want != id {
			t.Fatalf("%+v, want %+v, %v", id, want, err)
		}
	})
}

type answered func(*http.Request) (*http.Response, error)

func (f answered) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// FuzzSignIn signs in at whatever a token service could answer: a refusal never becomes a sign-in, and no error shows the
// password or a token.
func FuzzSignIn(f *testing.F) {
	f.Add(200, `{"access_token":"e30.eyJ1cG4iOiJhQGIifQ.x","refresh_token":"r","expires_in":"3600"}`)
	f.Add(400, `{"error":"invalid_grant","error_description":"AADSTS50126: no"}`)
	f.Add(200, `{"access_token":"e30.e30.x","expires_in":-9223372036854775808}`)
	f.Add(500, `<html>`)
	f.Fuzz(func(t *testing.T, status int, body string) {
		if status < 100 || status > 599 {
			return
		}
		a := &Accounts{
			Path: filepath.Join(t.TempDir(), "f"), Login: "https://login.test", Now: func() time.Time { return time.Unix(1e9, 0) },
			HTTP: &http.Client{Transport: answered(func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}, nil
			})},
		}
		in, token, err := a.WithPassword(t.Context(), "t", "ann", "very-secret", "aud")
		if status >= 400 && err == nil {
			t.Fatalf("%d was taken for a sign-in", status)
		}
		if err == nil && (token.Access == "" || in.Type != User) {
			t.Fatalf("a sign-in without a token: %+v", in)
		}
		if err != nil && strings.Contains(err.Error(), "very-secret") && !strings.Contains(body, "very-secret") {
			t.Fatal("the password is shown")
		}
	})
}

// FuzzOpen reads whatever the file of sign-ins could hold: it is read, or said to be damaged, and never loses its owner's
// sign-ins by reading.
func FuzzOpen(f *testing.F) {
	f.Add(`{"signIns":[{"name":"a","tokens":{"x":{"accessToken":"t","expires":"2030-01-01T00:00:00Z"}}}],"subscriptions":[{"id":"s","userName":"a"}]}`)
	f.Add(`{"signIns":[{}],"subscriptions":[{},{}]}`)
	f.Add(`[`)
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "sign-ins.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		a := &Accounts{Path: path, Login: "https://login.test", Now: time.Now, HTTP: &http.Client{Transport: answered(func(*http.Request) (*http.Response, error) { return nil, io.EOF })}}
		err := a.Open()
		if valid := json.Valid([]byte(text)); err == nil && !valid {
			t.Fatalf("%q was read", text)
		}
		if err == nil {
			if s, err := a.Subscription(""); err == nil {
				_, _ = a.Token(t.Context(), s, "x")
			}
		}
		if after, err := os.ReadFile(path); err != nil || string(after) != text && !json.Valid(after) {
			t.Fatalf("the file is damaged: %v %q", err, after)
		}
	})
}
