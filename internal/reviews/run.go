package reviews

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	authzv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Side is one of the two authorizers: what a request comes to when it is asked.
type Side interface {
	Ask(ctx context.Context, c *Corpus, rev Review) (Answer, error)
}

// ModelSide is the model as an authorizer.
type ModelSide struct{}

// Ask answers by the published rules.
func (ModelSide) Ask(_ context.Context, c *Corpus, rev Review) (Answer, error) {
	return c.Model(rev), nil
}

// Webhook is a SubjectAccessReview webhook, with Kubernetes' own roles behind it.
type Webhook struct {
	// URL is its address; {cluster} in it stands for the cluster's id.
	URL    string
	Client *http.Client
	// RolesFirst says that Kubernetes' own roles are asked before it, as AKS does with guard; else only where it has no opinion.
	RolesFirst bool
}

// Ask sends the review. An answer that is not 200 is Unknown; only a failure to ask is an error.
func (w Webhook) Ask(ctx context.Context, c *Corpus, rev Review) (Answer, error) {
	v := c.view(&rev)
	if w.RolesFirst && v.kubernetes() {
		return Allowed, nil
	}
	body, err := json.Marshal(authzv1.SubjectAccessReview{
		TypeMeta: metav1.TypeMeta{Kind: "SubjectAccessReview", APIVersion: authzv1.SchemeGroupVersion.String()}, Spec: rev.Spec,
	})
	if err != nil {
		return "", fmt.Errorf("reviews: %w", err)
	}
	address := strings.ReplaceAll(w.URL, "{cluster}", c.Clusters[rev.Cluster].ID)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return "", fmt.Errorf("reviews: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := w.Client.Do(req)
	if err != nil {
		return "", fmt.Errorf("reviews: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return "", fmt.Errorf("reviews: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return Unknown, nil
	}
	var out authzv1.SubjectAccessReview
	if err := json.Unmarshal(raw, &out); err != nil {
		return "", fmt.Errorf("reviews: the answer of %s is no review: %w", address, err)
	}
	switch s := out.Status; {
	case s.Allowed && s.Denied, s.EvaluationError != "":
		return Unknown, nil
	case s.Allowed:
		return Allowed, nil
	case s.Denied || w.RolesFirst || !v.kubernetes():
		return Refused, nil
	}
	return Allowed, nil // no opinion, and the cluster's own roles allow
}

// Mismatch is a review on which the sides differ, with the intended differences that explain it; none if nothing does.
type Mismatch struct {
	Review      Review
	Left, Right Answer
	By          []string
}

// Report is the outcome of a run.
type Report struct {
	Reviews int
	// Answers counts the left side's, Differences the mismatches by what explains them.
	Answers     map[Answer]int
	Differences map[string]int
	// Unexplained are the mismatches that nothing explains, by number; all are counted, the first few are kept.
	Unexplained      []Mismatch
	UnexplainedCount int
}

// kept is how many unexplained mismatches a report keeps.
const kept = 100

// Run asks both sides the first n reviews, with so many askers at a time. An error of either side ends it.
func Run(ctx context.Context, c *Corpus, left, right Side, n, askers int) (Report, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	out := Report{Reviews: n, Answers: map[Answer]int{}, Differences: map[string]int{}}
	var next atomic.Int64
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range max(1, askers) {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				m, err := compare(ctx, c, left, right, c.Review(i))
				if err != nil {
					cancel(err)
					return
				}
				mu.Lock()
				out.add(m)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.SortFunc(out.Unexplained, func(a, b Mismatch) int { return a.Review.Number - b.Review.Number })
	out.Unexplained = out.Unexplained[:min(kept, len(out.Unexplained))]
	return out, context.Cause(ctx)
}

func compare(ctx context.Context, c *Corpus, left, right Side, rev Review) (Mismatch, error) {
	l, err := left.Ask(ctx, c, rev)
	if err != nil {
		return Mismatch{}, err
	}
	r, err := right.Ask(ctx, c, rev)
	if err != nil {
		return Mismatch{}, err
	}
	m := Mismatch{Review: rev, Left: l, Right: r}
	if l != r {
		m.By = c.Explain(rev, l)
	}
	return m, nil
}

func (r *Report) add(m Mismatch) {
	r.Answers[m.Left]++
	switch {
	case m.Left == m.Right:
	case len(m.By) > 0:
		r.Differences[strings.Join(m.By, " with ")]++
	default:
		r.UnexplainedCount++
		r.Unexplained = append(r.Unexplained, m)
	}
}

// Write writes a report for people.
func (r Report) Write(w io.Writer) {
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
	p("%d reviews: %d allowed, %d refused, %d unknown", r.Reviews, r.Answers[Allowed], r.Answers[Refused], r.Answers[Unknown])
	p("intended differences:")
	for _, by := range slices.Sorted(maps.Keys(r.Differences)) {
		p("%8d  %s", r.Differences[by], by)
	}
	reasons := map[string]string{}
	for _, d := range Differences() {
		reasons[d.ID] = d.Reason
	}
	used := map[string]bool{}
	for by := range r.Differences {
		for id := range strings.SplitSeq(by, " with ") {
			used[id] = true
		}
	}
	for _, id := range slices.Sorted(maps.Keys(used)) {
		p("  %s: %s", id, reasons[id])
	}
	p("unexplained: %d", r.UnexplainedCount)
	for _, m := range r.Unexplained {
		p("  left %s, right %s: %s", m.Left, m.Right, m.Review)
	}
}
