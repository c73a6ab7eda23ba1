package streams

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/request"
)

// answers is an authorizer that a test changes its mind for, by user name and verb.
type answers struct {
	mu  sync.Mutex
	no  map[string]bool
	err error
	// asked counts the questions.
	asked int
}

func (a *answers) Authorize(_ context.Context, q authorizer.Attributes) (authorizer.Decision, string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked++
	switch {
	case a.err != nil:
		return authorizer.DecisionDeny, "", a.err
	case a.no[q.GetUser().GetName()+" "+q.GetVerb()+" "+q.GetName()]:
		return authorizer.DecisionDeny, "", nil
	case a.no["none"]:
		return authorizer.DecisionNoOpinion, "", nil
	}
	return authorizer.DecisionAllow, "", nil
}

func (a *answers) set(change func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change()
}

func TestStreams(t *testing.T) {
	alice := &user.DefaultInfo{Name: "alice"}
	for name, tc := range map[string]struct {
		original, played user.Info
		change           func(*answers)
		ends             bool
	}{
		"still allowed":               {alice, alice, func(*answers) {}, false},
		"right ended":                 {alice, alice, func(a *answers) { a.no["alice watch "] = true }, true},
		"nobody has an opinion":       {alice, alice, func(a *answers) { a.no["none"] = true }, true},
		"not known now":               {alice, alice, func(a *answers) { a.err = errors.New("down") }, false},
		"the cluster's own part":      {&user.DefaultInfo{Name: "system:kube-scheduler"}, nil, func(a *answers) { a.no["none"] = true }, false},
		"who is played lost it":       {alice, &user.DefaultInfo{Name: "bob"}, func(a *answers) { a.no["bob watch "] = true }, true},
		"may not play any more":       {alice, &user.DefaultInfo{Name: "bob"}, func(a *answers) { a.no["alice impersonate bob"] = true }, true},
		"may not play the group":      {alice, &user.DefaultInfo{Name: "bob", Groups: []string{"admins"}}, func(a *answers) { a.no["alice impersonate admins"] = true }, true},
		"may not play the account":    {alice, &user.DefaultInfo{Name: "system:serviceaccount:ns:robot"}, func(a *answers) { a.no["alice impersonate robot"] = true }, true},
		"plays an account, by itself": {alice, &user.DefaultInfo{Name: "system:serviceaccount:ns:robot"}, func(a *answers) { a.no["system:serviceaccount:ns:robot watch "] = true }, false},
	} {
		t.Run(name, func(t *testing.T) {
			a := &answers{no: map[string]bool{}}
			w := &Watch{Authorizer: a, LongRunning: func(*http.Request, *request.RequestInfo) bool { return true }, Log: slog.New(slog.DiscardHandler)}
			started, ended := make(chan struct{}), make(chan struct{})
			handler := w.Inner(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				close(started)
				<-r.Context().Done()
				close(ended)
			}))
			played := tc.played
			if played == nil {
				played = tc.original
			}
			// As the API server's chain does it: authentication, then the played user and what is asked in the context.
			auth := w.Authenticator(authenticator.RequestFunc(func(*http.Request) (*authenticator.Response, bool, error) {
				return &authenticator.Response{User: tc.original}, true, nil
			}))
			chain := w.Outer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if _, ok, err := auth.AuthenticateRequest(r); !ok || err != nil {
					t.Error("not authenticated")
				}
				ctx := request.WithUser(r.Context(), played)
				ctx = request.WithRequestInfo(ctx, &request.RequestInfo{IsResourceRequest: true, Verb: "watch", APIVersion: "v1", Resource: "pods"})
				handler.ServeHTTP(rw, r.WithContext(ctx))
			}))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go chain.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/api/v1/pods?watch=1", nil))
			<-started
			w.Check(t.Context())
			select {
			case <-ended:
				t.Fatal("ended while all was allowed")
			default:
			}
			a.set(func() { tc.change(a) })
			w.Check(t.Context())
			select {
			case <-ended:
				if !tc.ends {
					t.Error("ended")
				}
			default:
				if tc.ends {
					// The handler sees the end of its context a moment later.
					<-ended
				}
			}
			cancel()
			<-ended
		})
	}
}

// TestOtherRequestsAreNotHeld: what is not long-running is not kept, and nothing is kept after a stream's end.
func TestOtherRequestsAreNotHeld(t *testing.T) {
	w := &Watch{LongRunning: func(_ *http.Request, i *request.RequestInfo) bool { return i.Verb == "watch" }, Log: slog.New(slog.DiscardHandler)}
	for _, verb := range []string{"get", "watch"} {
		during := -1
		inner := w.Inner(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { during = len(w.all()) }))
		ctx := context.WithValue(t.Context(), holderKey{}, &holder{original: &user.DefaultInfo{Name: "alice"}})
		ctx = request.WithUser(ctx, &user.DefaultInfo{Name: "alice"})
		ctx = request.WithRequestInfo(ctx, &request.RequestInfo{IsResourceRequest: true, Verb: verb, Resource: "pods"})
		inner.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil))
		if want := map[string]int{"get": 0, "watch": 1}[verb]; during != want {
			t.Errorf("%s: %d held during the request, want %d", verb, during, want)
		}
		if len(w.all()) != 0 {
			t.Errorf("%s: held after its end", verb)
		}
	}
}
