// Package streams ends long-running requests whose right has ended.
//
// Kubernetes authorizes a watch once, at its start. Here it is asked again twice a second, with the same questions and the
// same authorizer; a stream that would not be let in any more is ended. Who is not known now (the authorizer fails) is
// neither let in nor thrown out. Requests of system: users, the cluster's own parts, are not asked about again.
//
// A watch or a log that is followed ends with its request's context. The connection of an exec, an attach or a port-forward is
// taken from the HTTP server when it is upgraded, so it is noted then, and closed.
package streams

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/filters"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/endpoints/responsewriter"
)

const (
	// every is how long a stream may outlive its right, less the time that asking takes.
	every = 500 * time.Millisecond
	// timeout bounds one question, and atOnce how many are asked at a time.
	timeout = 3 * time.Second
	atOnce  = 16
)

// Authorizer answers a question; every authorizer of Kubernetes does.
type Authorizer interface {
	Authorize(ctx context.Context, a authorizer.Attributes) (authorizer.Decision, string, error)
}

// Watch is what keeps an eye on streams.
type Watch struct {
	Authorizer Authorizer
	// LongRunning tells streams from other requests.
	LongRunning request.LongRunningRequestCheck
	Log         *slog.Logger

	mu   sync.Mutex
	open map[*stream]struct{}
}

// stream is a long-running request, the questions it was let in by, and how to end it.
type stream struct {
	questions []authorizer.Attributes
	end       func()
	who       string
}

type holderKey struct{}

// holder carries the original user of a request from its authentication to its handler: after impersonation, the
// request's context knows only who is played.
type holder struct{ original user.Info }

// Outer goes around the whole handler chain.
func (w *Watch) Outer(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(rw, r.WithContext(context.WithValue(r.Context(), holderKey{}, &holder{})))
	})
}

// Authenticator goes around the chain's authenticator.
func (w *Watch) Authenticator(next authenticator.Request) authenticator.Request {
	return authenticator.RequestFunc(func(r *http.Request) (*authenticator.Response, bool, error) {
		res, ok, err := next.AuthenticateRequest(r)
		if h, held := r.Context().Value(holderKey{}).(*holder); held && ok && res != nil {
			h.original = res.User
		}
		return res, ok, err
	})
}

// Inner goes around the handler that the chain protects.
func (w *Watch) Inner(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		info, ok := request.RequestInfoFrom(r.Context())
		if !ok || !w.LongRunning(r, info) {
			next.ServeHTTP(rw, r)
			return
		}
		questions := questionsOf(r.Context())
		if len(questions) == 0 {
			next.ServeHTTP(rw, r)
			return
		}
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		taken := &taking{ResponseWriter: rw}
		s := &stream{questions: questions, who: questions[0].GetUser().GetName(), end: func() {
			cancel()
			taken.close()
		}}
		w.add(s)
		defer w.remove(s)
		next.ServeHTTP(responsewriter.WrapForHTTP1Or2(taken), r.WithContext(ctx))
	})
}

// questionsOf returns what has to be allowed for a request to go on: the request itself, and each impersonation in it.
// There are none when it is one of the cluster's own parts that asks.
func questionsOf(ctx context.Context) []authorizer.Attributes {
	h, ok := ctx.Value(holderKey{}).(*holder)
	if !ok || h.original == nil || strings.HasPrefix(h.original.GetName(), "system:") {
		return nil
	}
	attributes, err := filters.GetAuthorizerAttributes(ctx)
	if err != nil || attributes.GetUser() == nil {
		return nil
	}
	played := attributes.GetUser()
	if played.GetName() == h.original.GetName() && played.GetUID() == h.original.GetUID() {
		return asked(attributes)
	}
	questions := impersonations(h.original, played)
	if !strings.HasPrefix(played.GetName(), "system:") {
		questions = append(questions, asked(attributes)...)
	}
	return questions
}

// asked are the questions about the request itself. Who opens an exec, an attach or a port-forward by GET, as WebSockets do,
// has been asked for create besides.
func asked(a authorizer.Attributes) []authorizer.Attributes {
	if !slices.Contains([]string{"exec", "attach", "portforward"}, a.GetSubresource()) || a.GetVerb() == "create" {
		return []authorizer.Attributes{a}
	}
	return []authorizer.Attributes{a, create{a}}
}

// create is a question asked for another verb.
type create struct{ authorizer.Attributes }

func (create) GetVerb() string { return "create" }

// impersonations are the questions that the impersonation filter asked. Groups that Kubernetes adds by itself are not
// among them.
func impersonations(original, played user.Info) []authorizer.Attributes {
	ask := func(resource, namespace, name string) authorizer.Attributes {
		return authorizer.AttributesRecord{
			User: original, Verb: "impersonate", APIVersion: "v1", Resource: resource, Namespace: namespace, Name: name, ResourceRequest: true,
		}
	}
	var questions []authorizer.Attributes
	if rest, ok := strings.CutPrefix(played.GetName(), "system:serviceaccount:"); ok {
		namespace, name, _ := strings.Cut(rest, ":")
		return append(questions, ask("serviceaccounts", namespace, name))
	}
	questions = append(questions, ask("users", "", played.GetName()))
	for _, g := range played.GetGroups() {
		if g != user.AllAuthenticated && g != user.AllUnauthenticated {
			questions = append(questions, ask("groups", "", g))
		}
	}
	return questions
}

func (w *Watch) add(s *stream) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open == nil {
		w.open = map[*stream]struct{}{}
	}
	w.open[s] = struct{}{}
}

func (w *Watch) remove(s *stream) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.open, s)
}

func (w *Watch) all() []*stream {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]*stream, 0, len(w.open))
	for s := range w.open {
		out = append(out, s)
	}
	return out
}

// Run asks about all streams again and again until ctx ends.
func (w *Watch) Run(ctx context.Context) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			w.Check(ctx)
		}
	}
}

// Check asks about all streams once, and ends those that would not be let in.
func (w *Watch) Check(ctx context.Context) {
	slots := make(chan struct{}, atOnce)
	var asking sync.WaitGroup
	for _, s := range w.all() {
		slots <- struct{}{}
		asking.Go(func() {
			defer func() { <-slots }()
			if w.refused(ctx, s) {
				w.Log.InfoContext(ctx, "a stream was ended: its right has ended", "user", s.who)
				s.end()
			}
		})
	}
	asking.Wait()
}

// refused reports whether one of a stream's questions is answered with no, or with no opinion by anyone.
func (w *Watch) refused(ctx context.Context, s *stream) bool {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for _, q := range s.questions {
		decision, _, err := w.Authorizer.Authorize(ctx, q)
		if decision == authorizer.DecisionAllow {
			continue
		}
		return err == nil && ctx.Err() == nil
	}
	return false
}
