package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyreeve/keyreeve/internal/fault"
)

// answers is a service that answers each request with the next of a list, and remembers what it was asked.
type answers struct {
	*httptest.Server
	asked []string
}

type reply struct {
	status int
	header http.Header
	body   string
}

func serve(t *testing.T, list ...reply) (*answers, *Client) {
	t.Helper()
	a := &answers{}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.asked = append(a.asked, r.Method+" "+r.URL.RequestURI()+" "+r.Header.Get("Authorization"))
		if len(list) == 0 {
			t.Errorf("one request too many: %s", r.URL)
			w.WriteHeader(http.StatusTeapot)
			return
		}
		next := list[0]
		list = list[1:]
		w.Header().Set("Content-Type", "application/json")
		maps.Copy(w.Header(), next.header)
		w.WriteHeader(next.status)
		_, _ = fmt.Fprint(w, strings.ReplaceAll(next.body, "{self}", a.URL))
	}))
	t.Cleanup(a.Close)
	return a, &Client{BaseURL: a.URL, HTTP: a.Client(), Token: func(context.Context) (string, error) { return "secret", nil }}
}

// TestNoTokenForOthers holds that the token goes to the service alone, wherever an answer or a caller points.
func TestNoTokenForOthers(t *testing.T) {
	stranger := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("a stranger was asked with %q", r.Header.Get("Authorization"))
	}))
	defer stranger.Close()
	_, c := serve(t, reply{200, nil, `{"value":[1],"nextLink":"` + stranger.URL + `/more"}`}, reply{202, nil, ""})
	for _, where := range []string{stranger.URL + "/x", c.BaseURL, c.BaseURL + ".evil.test/x", c.BaseURL + "@evil.test/", "x", "", "//evil.test/x"} {
		if strings.HasPrefix(where, "//") {
			continue // a path below the origin: nothing of a host is read from it
		}
		if _, err := c.Call(t.Context(), http.MethodGet, where, nil); err == nil || !strings.Contains(err.Error(), "gets no token") {
			t.Errorf("%q: %v", where, err)
		}
	}
	if _, err := c.All(t.Context(), "/list"); err == nil || !strings.Contains(err.Error(), "gets no token") {
		t.Errorf("a list that goes on elsewhere: %v", err)
	}
	elsewhere := Answer{Header: http.Header{"Azure-Asyncoperation": {stranger.URL + "/op"}, "Retry-After": {"0"}}}
	if err := c.Await(t.Context(), elsewhere, func(string) {}); err == nil || !strings.Contains(err.Error(), "gets no token") {
		t.Errorf("an operation that goes on elsewhere: %v", err)
	}
}

// TestPaths holds that a path that looks like another host's stays a path.
func TestPaths(t *testing.T) {
	a, c := serve(t, reply{204, nil, ""})
	if _, err := c.Call(t.Context(), http.MethodGet, "//evil.test/x", nil); err != nil {
		t.Fatal(err)
	}
	if len(a.asked) != 1 || !strings.HasPrefix(a.asked[0], "GET //evil.test/x ") {
		t.Errorf("asked %q", a.asked)
	}
}

func TestAll(t *testing.T) {
	a, c := serve(t,
		reply{200, nil, `{"value":[1,2],"nextLink":"{self}/list?page=2"}`},
		reply{200, nil, `{"value":[3],"@odata.nextLink":"{self}/list?page=3"}`},
		reply{200, nil, `{"value":[]}`})
	got, err := c.All(t.Context(), "/list")
	if err != nil || fmt.Sprint(got) != "[1 2 3]" {
		t.Errorf("%v %v", got, err)
	}
	if len(a.asked) != 3 || !strings.HasPrefix(a.asked[2], "GET /list?page=3 Bearer secret") {
		t.Errorf("asked %q", a.asked)
	}
	_, c = serve(t, reply{200, nil, `{"error":null}`})
	if _, err := c.All(t.Context(), "/list"); err == nil {
		t.Error("what is no list was taken for one")
	}
}

func TestRefusal(t *testing.T) {
	for text, want := range map[string]struct {
		status int
		kind   fault.Kind
		code   string
	}{
		`{"error":{"code":"AuthorizationFailed","message":"no"}}`:      {403, fault.Forbidden, "AuthorizationFailed"},
		`{"code":"OperationNotAllowed","message":"busy","details":[]}`: {409, fault.Conflict, "OperationNotAllowed"},
		`{"error":{"code":"x","message":"%s %d"},"code":"outer"}`:      {429, fault.TooMany, "x"},
		`<html>`: {502, fault.Internal, ""},
		`{}`:     {503, fault.Unavailable, ""},
		`[]`:     {404, fault.NotFound, ""},
		``:       {401, fault.Unauthenticated, ""},
	} {
		_, c := serve(t, reply{want.status, nil, text})
		_, err := c.Call(t.Context(), http.MethodGet, "/x", nil)
		var f *fault.Error
		if !errors.As(err, &f) || f.Kind != want.kind || f.Code != want.code || strings.Contains(err.Error(), "%!") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestAwait follows operations of both forms to all their ends, without waiting for real.
func TestAwait(t *testing.T) {
	for name, test := range map[string]struct {
		header  string
		answers []reply
		want    string
		told    int
	}{
		"succeeds":        {"Azure-AsyncOperation", []reply{{200, nil, `{"status":"InProgress"}`}, {200, nil, `{"status":"Succeeded"}`}}, "", 1},
		"fails":           {"Azure-AsyncOperation", []reply{{200, nil, `{"status":"Failed","error":{"code":"PodDrainFailure","message":"a pod stays"}}`}}, "a pod stays", 0},
		"is canceled":     {"Azure-AsyncOperation", []reply{{200, nil, `{"status":"Canceled"}`}}, "Canceled", 0},
		"says nothing":    {"Azure-AsyncOperation", []reply{{200, nil, `{}`}}, "ended with status", 0},
		"by its location": {"Location", []reply{{202, nil, ``}, {200, nil, `{}`}}, "", 1},
		"location fails":  {"Location", []reply{{500, nil, `{"error":{"code":"x","message":"broken"}}`}}, "broken", 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				list := test.answers
				c := &Client{
					BaseURL: "https://arm.test", Token: func(context.Context) (string, error) { return "t", nil },
					HTTP: &http.Client{Transport: roundTrip(func(*http.Request) *http.Response {
						next := list[0]
						list = list[1:]
						w := httptest.NewRecorder()
						w.Header().Set("Content-Type", "application/json")
						w.Header().Set("Retry-After", "7")
						w.WriteHeader(next.status)
						_, _ = w.WriteString(next.body)
						return w.Result()
					})},
				}
				told, began := 0, time.Now()
				first := Answer{Status: 202, Header: http.Header{http.CanonicalHeaderKey(test.header): {"https://arm.test/op"}, "Retry-After": {"7"}}}
				err := c.Await(t.Context(), first, func(string) { told++ })
				if got := fmt.Sprint(err); test.want == "" && err != nil || !strings.Contains(got, test.want) {
					t.Errorf("%v", err)
				}
				if told != test.told || len(list) != 0 {
					t.Errorf("told %d times, %d answers left", told, len(list))
				}
				if took := time.Since(began); took != time.Duration(len(test.answers))*7*time.Second {
					t.Errorf("it asked after %s", took)
				}
			})
		})
	}
}

type roundTrip func(*http.Request) *http.Response

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r), nil }

// TestAwaitEnds holds that whoever does not want to wait any more need not.
func TestAwaitEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, c := serve(t)
	a := Answer{Header: http.Header{"Location": {c.BaseURL + "/op"}, "Retry-After": {"60"}}}
	if err := c.Await(ctx, a, func(string) {}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// FuzzAnswer gives the client whatever a service could answer: it neither panics, nor takes a refusal for a success, nor
// shows the token.
func FuzzAnswer(f *testing.F) {
	f.Add(200, `{"value":[{"id":"x"}]}`, "application/json", "5")
	f.Add(403, `{"error":{"code":"AuthorizationFailed","message":"no %s"}}`, "application/json", "")
	f.Add(409, `{"error":{"code":{},"message":[]}}`, "text/html", "-1")
	f.Add(202, `null`, "application/json; odata=x", "99999999999999999999")
	f.Fuzz(func(t *testing.T, status int, body, kind, retry string) {
		if status < 200 || status > 599 {
			return
		}
		c := &Client{
			BaseURL: "https://arm.test", Token: func(context.Context) (string, error) { return "very-secret", nil },
			HTTP: &http.Client{
				Transport: roundTrip(func(*http.Request) *http.Response {
					w := httptest.NewRecorder()
					w.Header()["Content-Type"], w.Header()["Retry-After"] = []string{kind}, []string{retry}
					w.WriteHeader(status)
					_, _ = w.WriteString(body)
					return w.Result()
				}),
				CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			},
		}
		a, err := c.Call(t.Context(), http.MethodGet, "/x", nil)
		if status >= 400 {
			if _, refused := errors.AsType[*fault.Error](err); !refused {
				t.Fatalf("%d was taken for a success", status)
			}
		} else if err == nil && strings.Contains(kind, "json") && strings.TrimSpace(body) != "" && !json.Valid([]byte(body)) {
			t.Fatalf("%q was taken for JSON", body)
		}
		if err != nil && strings.Contains(err.Error(), "very-secret") {
			t.Fatal("the token is shown")
		}
		if wait := retryAfter(a.Header); wait < 0 || wait > time.Minute {
			t.Fatalf("it waits %s", wait)
		}
	})
}
