package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/keyreeve/keyreeve/internal/fault"
)

// serve runs a handler behind an Adapter and returns the answer and the log entry.
func serve(t *testing.T, r *http.Request, h Handler) (*httptest.ResponseRecorder, map[string]any) {
	t.Helper()
	var log bytes.Buffer
	now := time.Unix(0, 0)
	a := Adapter{
		Log: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})), Face: "test",
		Now: func() time.Time { now = now.Add(time.Second); return now },
		WriteError: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, fault.As(err).Public, 400+int(fault.As(err).Kind))
		},
	}
	w := httptest.NewRecorder()
	a.Handle(h).ServeHTTP(w, r)
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	entry := map[string]any{}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &entry); err != nil {
		t.Fatal(err, log.String())
	}
	return w, entry
}

func TestAdapter(t *testing.T) {
	secret := errors.New("the disk said hunter2")
	for name, tc := range map[string]struct {
		h      Handler
		status int
		body   string
		level  string
	}{
		"good":        {func(w http.ResponseWriter, _ *http.Request) error { w.WriteHeader(204); return nil }, 204, "", "DEBUG"},
		"writes only": {func(w http.ResponseWriter, _ *http.Request) error { _, err := w.Write([]byte("x")); return err }, 200, "x", "DEBUG"},
		"nothing":     {func(http.ResponseWriter, *http.Request) error { return nil }, 200, "", "DEBUG"},
		"fault":       {func(http.ResponseWriter, *http.Request) error { return fault.New(fault.NotFound, "C", "gone") }, 400 + int(fault.NotFound), "gone\n", "INFO"},
		"hidden cause": {func(http.ResponseWriter, *http.Request) error {
			return fault.New(fault.Invalid, "", "bad").Because(secret)
		}, 401, "bad\n", "INFO"},
		"other error":    {func(http.ResponseWriter, *http.Request) error { return secret }, 400, "An internal error occurred.\n", "ERROR"},
		"panic":          {func(http.ResponseWriter, *http.Request) error { panic("hunter2") }, 400, "An internal error occurred.\n", "ERROR"},
		"error too late": {func(w http.ResponseWriter, _ *http.Request) error { w.WriteHeader(201); return secret }, 201, "", "ERROR"},
		"panic too late": {func(w http.ResponseWriter, _ *http.Request) error { w.WriteHeader(201); panic("x") }, 201, "", "ERROR"},
		"informational": {func(w http.ResponseWriter, _ *http.Request) error {
			w.WriteHeader(103)
			return fault.New(fault.Invalid, "", "bad")
		}, 401, "bad\n", "INFO"},
	} {
		t.Run(name, func(t *testing.T) {
			w, entry := serve(t, httptest.NewRequest("GET", "/p", nil), tc.h)
			if name != "informational" && (w.Code != tc.status || w.Body.String() != tc.body) { // a recorder knows one status alone
				t.Errorf("%d %q, want %d %q", w.Code, w.Body, tc.status, tc.body)
			}
			if strings.Contains(w.Body.String(), "hunter2") {
				t.Error("the cause is in the answer")
			}
			if entry["level"] != tc.level || entry["status"] != float64(tc.status) || entry["face"] != "test" || entry["path"] != "/p" {
				t.Errorf("logged %v", entry)
			}
		})
	}
	defer func() {
		if recover() != http.ErrAbortHandler { //nolint:errorlint // as net/http compares it
			t.Error("the abort was swallowed")
		}
	}()
	serve(t, httptest.NewRequest("GET", "/", nil), func(http.ResponseWriter, *http.Request) error { panic(http.ErrAbortHandler) })
}

func TestEvent(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("x-ms-client-request-id", "mine")
	_, entry := serve(t, r, func(_ http.ResponseWriter, r *http.Request) error {
		e := EventOf(r)
		if e.ClientRequestID != "mine" || e.RequestID.IsZero() || EventOf(r) != e {
			t.Errorf("got %+v", e)
		}
		e.Add("who", "alice")
		return nil
	})
	if entry["who"] != "alice" || len(entry["requestId"].(string)) != 36 {
		t.Errorf("logged %v", entry)
	}
	if e := EventOf(httptest.NewRequest("GET", "/", nil)); e == nil || e.RequestID.IsZero() {
		t.Error("no event outside an Adapter")
	}
}

func TestClientRequestID(t *testing.T) {
	for sent, want := range map[string]string{
		"": "", "abc": "abc", strings.Repeat("x", 65): strings.Repeat("x", 64), "a b": "", "a\tb": "", "é": "", "a\x7f": "",
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header["Client-Request-Id"] = []string{sent}
		if got := clientRequestID(r); got != want {
			t.Errorf("%q: %q, want %q", sent, got, want)
		}
	}
}

func TestReadBody(t *testing.T) {
	read := func(body io.Reader) ([]byte, error) {
		return ReadBody(httptest.NewRecorder(), httptest.NewRequest("POST", "/", body), 4)
	}
	if b, err := read(strings.NewReader("1234")); err != nil || string(b) != "1234" {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := read(strings.NewReader("12345")); !fault.Is(err, fault.TooLarge) {
		t.Errorf("got %v", err)
	}
	if _, err := read(iotest.ErrReader(errors.New("gone"))); !fault.Is(err, fault.Invalid) || strings.Contains(err.Error(), "gone") {
		t.Errorf("got %v", err)
	}
}

func TestDecodeJSON(t *testing.T) {
	for body, want := range map[string]string{
		`{"a":1,"unknown":2}`: "", ` {"a":1} `: "", `{"a":1}{}`: "more than one value", `{"a":1} x`: "more than one value",
		``: "unexpected end of JSON input", `{"a":`: "unexpected end of JSON input", `{"a":"secret"}`: "field 'a' has the wrong type", `{a}`: "JSON syntax",
	} {
		var v struct {
			A int `json:"a"`
		}
		err := DecodeJSON(httptest.NewRecorder(), httptest.NewRequest("POST", "/", strings.NewReader(body)), &v)
		if want == "" {
			if err != nil || v.A != 1 {
				t.Errorf("%s: %v", body, err)
			}
			continue
		}
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %s", body, err, want)
		}
	}
	var v any
	big := strings.NewReader(`"` + strings.Repeat("x", MaxBody) + `"`)
	if err := DecodeJSON(httptest.NewRecorder(), httptest.NewRequest("POST", "/", big), &v); !fault.Is(err, fault.TooLarge) {
		t.Errorf("got %v", err)
	}
}

func TestWriteJSON(t *testing.T) {
	w := httptest.NewRecorder()
	if err := WriteJSON(w, 201, "application/x", map[string]string{"a": "<&>"}); err != nil || w.Body.String() != `{"a":"<&>"}` || w.Code != 201 || w.Header().Get("Content-Type") != "application/x" {
		t.Errorf("%v %v %s", err, w.Header(), w.Body)
	}
	w = httptest.NewRecorder()
	if err := WriteJSON(w, 200, "x", func() {}); !fault.Is(err, fault.Internal) || w.Body.Len() > 0 {
		t.Errorf("%v, %s", err, w.Body)
	}
}

func TestIsForm(t *testing.T) {
	for ct, want := range map[string]bool{
		"application/x-www-form-urlencoded": true, "Application/X-WWW-Form-Urlencoded; charset=utf-8": true, "application/json": false, "": false, "x;;": false,
	} {
		r := httptest.NewRequest("POST", "/", nil)
		r.Header.Set("Content-Type", ct)
		if IsForm(r) != want {
			t.Errorf("%q: %t", ct, !want)
		}
	}
}
