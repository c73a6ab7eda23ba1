package reviews

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	authzv1 "k8s.io/api/authorization/v1"
)

func now() time.Time { return time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC) }

func corpus(t *testing.T, seed uint64, azure bool) *Corpus {
	t.Helper()
	c, err := NewCorpus(seed, Small(), azure)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func local(t *testing.T, c *Corpus) Webhook {
	t.Helper()
	w, err := NewLocal(c, now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// TestGate asks the gate and the model. Every difference must be an intended one.
func TestGate(t *testing.T) {
	n := 20_000
	if testing.Short() {
		n = 2000
	}
	c := corpus(t, 1, false)
	began := time.Now()
	r, err := Run(t.Context(), c, local(t, c), ModelSide{}, n, 2)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	r.Write(&text)
	t.Logf("%s in %v\n%s", "asked", time.Since(began), &text)
	if r.UnexplainedCount > 0 {
		t.Error("there are differences that nothing explains")
	}
	// A corpus that mostly misses, or never differs, would show little.
	if r.Answers[Allowed] < n/10 || r.Answers[Refused] < n/10 || r.Answers[Unknown] > 0 {
		t.Errorf("answers %v", r.Answers)
	}
	for _, d := range everywhere() {
		if r.Differences[d.ID] == 0 && n >= 20_000 {
			t.Errorf("no review meets the intended difference %q", d.ID)
		}
	}
}

// TestAzureGate is TestGate with clusters that take Azure roles.
func TestAzureGate(t *testing.T) {
	const n = 20_000
	c := corpus(t, 11, true)
	r, err := Run(t.Context(), c, local(t, c), ModelSide{}, n, 2)
	if err != nil {
		t.Fatal(err)
	}
	if r.UnexplainedCount > 0 || r.Answers[Allowed] < n/10 || r.Answers[Unknown] > 0 {
		var text strings.Builder
		r.Write(&text)
		t.Error(&text)
	}
	for _, d := range inAzure() {
		met := 0
		for by, count := range r.Differences {
			if strings.Contains(by, d.ID) {
				met += count
			}
		}
		if met == 0 {
			t.Errorf("no review meets the intended difference %q", d.ID)
		}
	}
}

// TestMeant holds the gate against the corrected model exactly: an intended difference excuses only what it says.
func TestMeant(t *testing.T) {
	c := corpus(t, 2, false)
	gate := local(t, c)
	for n := range 2000 {
		rev := c.Review(n)
		got, err := gate.Ask(t.Context(), c, rev)
		if err != nil {
			t.Fatal(err)
		}
		if want := c.Meant(rev); got != want {
			t.Errorf("%s, want %s: %s", got, want, rev)
		}
	}
}

// TestFindsFaults: an authorizer that is wrong on something does not get through.
func TestFindsFaults(t *testing.T) {
	c := corpus(t, 3, false)
	gate := local(t, c)
	for name, wrong := range map[string]func(*authzv1.SubjectAccessReviewSpec){
		"ignores resource names": func(s *authzv1.SubjectAccessReviewSpec) {
			if a := s.ResourceAttributes; a != nil && a.Name != "" {
				a.Name = "web"
			}
		},
		"folds sub-resources into the parent": func(s *authzv1.SubjectAccessReviewSpec) {
			if a := s.ResourceAttributes; a != nil {
				a.Subresource = ""
			}
		},
		"takes list for get": func(s *authzv1.SubjectAccessReviewSpec) {
			if a := s.ResourceAttributes; a != nil && a.Verb == "list" {
				a.Verb = "get"
			}
		},
		"mixes up namespaces": func(s *authzv1.SubjectAccessReviewSpec) {
			if a := s.ResourceAttributes; a != nil && a.Namespace == "prod" {
				a.Namespace = "dev"
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := Run(t.Context(), c, faulty{gate, wrong}, ModelSide{}, 3000, 2)
			if err != nil {
				t.Fatal(err)
			}
			if r.UnexplainedCount == 0 {
				t.Error("nothing was found")
			}
		})
	}
}

// faulty is an authorizer that reads reviews wrongly.
type faulty struct {
	Webhook
	wrong func(*authzv1.SubjectAccessReviewSpec)
}

func (f faulty) Ask(ctx context.Context, c *Corpus, rev Review) (Answer, error) {
	read := rev
	read.Spec = *rev.Spec.DeepCopy()
	f.wrong(&read.Spec)
	return f.Webhook.Ask(ctx, c, read)
}

// TestSame: the same seed makes the same corpus, world and reviews.
func TestSame(t *testing.T) {
	for _, azure := range []bool{false, true} {
		a, b := corpus(t, 7, azure), corpus(t, 7, azure)
		if d := cmp.Diff(a, b, cmpopts.IgnoreUnexported(Corpus{})); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff(a.Review(5), b.Review(5)); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff(a.Review(5), corpus(t, 8, azure).Review(5)); d == "" {
			t.Error("another seed makes the same review")
		}
	}
}

// TestAzureModel pins the published mapping by rows of its table.
func TestAzureModel(t *testing.T) {
	c := corpus(t, 1, true)
	k := &c.Clusters[0]
	for _, test := range []struct {
		attributes authzv1.ResourceAttributes
		action     string
	}{
		{authzv1.ResourceAttributes{Verb: "get", Resource: "pods"}, "pods/read"},
		{authzv1.ResourceAttributes{Verb: "patch", Group: "apps", Resource: "deployments"}, "apps/deployments/write"},
		{authzv1.ResourceAttributes{Verb: "get", Resource: "pods", Subresource: "log"}, "pods/read"},
		{authzv1.ResourceAttributes{Verb: "create", Resource: "pods", Subresource: "exec"}, "pods/exec/action"},
		{authzv1.ResourceAttributes{Verb: "update", Group: "apps", Resource: "deployments", Subresource: "scale"}, "apps/deployments/write"},
		{authzv1.ResourceAttributes{Verb: "deletecollection", Group: "example.com", Resource: "widgets"}, "example.com/widgets/delete"},
		{authzv1.ResourceAttributes{Verb: "impersonate", Resource: "users"}, "users/impersonate/action"},
		{authzv1.ResourceAttributes{Verb: "approve", Group: "certificates.k8s.io", Resource: "certificatesigningrequests"}, "certificates.k8s.io/certificatesigningrequests"},
	} {
		rev := Review{Spec: authzv1.SubjectAccessReviewSpec{ResourceAttributes: &test.attributes}}
		if got, ok := c.view(&rev).action(); !ok || got != clusterType+"/"+test.action {
			t.Errorf("%+v is %s, want %s", test.attributes, got, test.action)
		}
	}
	allowed := 0
	for n := range 3000 {
		rev := c.Review(n)
		if c.Clusters[rev.Cluster].AzureRBAC && c.Model(rev) == Allowed {
			allowed++
		}
	}
	if allowed < 200 {
		t.Errorf("%d reviews are allowed with Azure's roles", allowed)
	}
	if !c.above("/providers/Microsoft.Management/managementGroups/platform", k.ResourceID) || c.above(k.ResourceID+"x", k.ResourceID) ||
		c.above(k.ResourceID, k.ResourceID+"x") || !c.above("/", k.ResourceID) {
		t.Error("scopes")
	}
}

// TestWebhook: what a webhook may answer, and what a request comes to.
func TestWebhook(t *testing.T) {
	c := corpus(t, 1, false)
	var bound, unbound Review // with and without a right by the cluster's own roles
	for n := 0; bound.Spec.User == "" || unbound.Spec.User == ""; n++ {
		if rev := c.Review(n); c.view(&rev).kubernetes() {
			bound = rev
		} else if rev.Spec.User != "" {
			unbound = rev
		}
	}
	for name, test := range map[string]struct {
		code               int
		status             authzv1.SubjectAccessReviewStatus
		want, wantUnbound  Answer
		first, firstWantUn Answer
	}{
		"allows":            {200, authzv1.SubjectAccessReviewStatus{Allowed: true}, Allowed, Allowed, Allowed, Allowed},
		"denies":            {200, authzv1.SubjectAccessReviewStatus{Denied: true}, Refused, Refused, Allowed, Refused},
		"no opinion":        {200, authzv1.SubjectAccessReviewStatus{}, Allowed, Refused, Allowed, Refused},
		"both":              {200, authzv1.SubjectAccessReviewStatus{Allowed: true, Denied: true}, Unknown, Unknown, Allowed, Unknown},
		"evaluation error":  {200, authzv1.SubjectAccessReviewStatus{EvaluationError: "x"}, Unknown, Unknown, Allowed, Unknown},
		"not now":           {503, authzv1.SubjectAccessReviewStatus{}, Unknown, Unknown, Allowed, Unknown},
		"allows with a 500": {500, authzv1.SubjectAccessReviewStatus{Allowed: true}, Unknown, Unknown, Allowed, Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(test.code)
				_ = json.NewEncoder(w).Encode(authzv1.SubjectAccessReview{Status: test.status})
			}))
			defer s.Close()
			for first, want := range map[bool][2]Answer{false: {test.want, test.wantUnbound}, true: {test.first, test.firstWantUn}} {
				w := Webhook{URL: s.URL, Client: s.Client(), RolesFirst: first}
				for i, rev := range []Review{bound, unbound} {
					if got, err := w.Ask(t.Context(), c, rev); err != nil || got != want[i] {
						t.Errorf("roles first %t, bound %t: %s, %v, want %s", first, i == 0, got, err, want[i])
					}
				}
			}
		})
	}
	w := Webhook{URL: "https://127.0.0.1:1/", Client: http.DefaultClient}
	if _, err := Run(t.Context(), c, w, ModelSide{}, 10, 2); err == nil {
		t.Error("an authorizer that cannot be reached agrees")
	}
}
