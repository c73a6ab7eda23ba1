package graph

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/internal/caller"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/web"
)

// maxSteps is how many requests a batch may hold (Microsoft Graph, JSON batching).
const maxSteps = 20

// step is one request of a batch.
type step struct {
	ID        string            `json:"id"`
	Method    string            `json:"method"`
	URL       string            `json:"url"`
	Headers   map[string]string `json:"headers"`
	Body      json.RawMessage   `json:"body"`
	DependsOn []string          `json:"dependsOn"`
}

// parseBatch reads a batch and puts its steps in an order in which each follows those it depends on.
func parseBatch(raw []byte) ([]step, error) {
	b, err := parseBody(raw)
	if err != nil {
		return nil, err
	}
	rawSteps, ok := b.take("requests")
	var steps []step
	if !ok || json.Unmarshal(rawSteps, &steps) != nil || len(steps) == 0 {
		return nil, fault.New(fault.Invalid, "BadRequest", "Invalid batch payload format.")
	}
	if err := b.rest("batch", nothing); err != nil {
		return nil, err
	}
	if len(steps) > maxSteps {
		return nil, fault.New(fault.Invalid, "MaximumValueExceeded", "Number of batch request steps exceeds the maximum value of %d.", maxSteps)
	}
	known := map[string]bool{}
	for i := range steps {
		s := &steps[i]
		if err := s.check(); err != nil {
			return nil, err
		}
		if known[s.ID] {
			return nil, fault.New(fault.Invalid, "BadRequest", "The request id '%s' is not unique in the batch.", printable(s.ID))
		}
		known[s.ID] = true
	}
	return inOrder(steps, known)
}

func (s *step) check() error {
	bad := func(what string) error {
		return fault.New(fault.Invalid, "BadRequest", "Invalid batch payload format: request '%s' %s.", printable(s.ID), what)
	}
	if s.ID == "" || len(s.ID) > 128 {
		return bad("has no id, or one that is too long")
	}
	s.Method = strings.ToUpper(s.Method)
	if !slices.Contains([]string{http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodPut, http.MethodDelete}, s.Method) {
		return bad("has no method that is known")
	}
	path, _, _ := strings.Cut(s.URL, "?")
	if s.URL == "" || strings.Contains(path, "://") || strings.HasPrefix(s.URL, "//") || strings.ContainsAny(s.URL, " \t\r\n#") {
		return bad("needs a relative URL")
	}
	s.URL = "/" + strings.TrimPrefix(s.URL, "/")
	if strings.HasPrefix(firstSegment(s.URL), "$batch") {
		return bad("is a batch itself")
	}
	if isNull(s.Body) {
		s.Body = nil
	}
	if len(s.Body) > maxBody {
		return bad("has a body that is too large")
	}
	return nil
}

// inOrder sorts steps so that each follows what it depends on, and keeps the client's order otherwise.
func inOrder(steps []step, known map[string]bool) ([]step, error) {
	done := map[string]bool{}
	out := make([]step, 0, len(steps))
	for len(out) < len(steps) {
		was := len(out)
		for _, s := range steps {
			if done[s.ID] {
				continue
			}
			ready := true
			for _, d := range s.DependsOn {
				if !known[d] {
					return nil, fault.New(fault.Invalid, "BadRequest", "Request '%s' depends on '%s', which is not in the batch.", printable(s.ID), printable(d))
				}
				ready = ready && done[d]
			}
			if ready {
				done[s.ID] = true
				out = append(out, s)
			}
		}
		if len(out) == was {
			return nil, fault.New(fault.Invalid, "BadRequest", "The requests of the batch depend on one another in a circle.")
		}
	}
	return out, nil
}

// batch answers several requests of one caller, each by itself: what one of them changed stays when another fails.
func batch(rq *request) error {
	raw, err := web.ReadBody(rq.w, rq.r, web.MaxBody)
	if err != nil {
		return err
	}
	steps, err := parseBatch(raw)
	if err != nil {
		return err
	}
	failed := map[string]bool{}
	answers := []object{}
	for _, s := range steps {
		if err := rq.r.Context().Err(); err != nil {
			return fault.Wrap(err, "graph: batch")
		}
		i := slices.IndexFunc(s.DependsOn, func(d string) bool { return failed[d] })
		if i >= 0 {
			failed[s.ID] = true
			answers = append(answers, object{
				{"id", s.ID},
				{"status", http.StatusFailedDependency},
				{"headers", object{{"Content-Type", "application/json"}}},
				{"body", object{{"error", object{{"code", "FailedDependency"}, {"message", "A request that this one depends on failed: '" + printable(s.DependsOn[i]) + "'."}}}}},
			})
			continue
		}
		a := rq.step(s)
		failed[s.ID] = a.status() >= http.StatusBadRequest
		answers = append(answers, a.object(s.ID))
	}
	return web.WriteJSON(rq.w, http.StatusOK, "application/json", object{{"responses", answers}})
}

// step answers one request of a batch.
func (rq *request) step(s step) *memory {
	m := &memory{header: http.Header{}}
	u, err := url.ParseRequestURI(rq.h.BaseURL + "/" + rq.version + s.URL)
	if err != nil {
		rq.h.writeError(m, rq.r, fault.New(fault.Invalid, "BadRequest", "The request URI is not valid."))
		return m
	}
	r := (&http.Request{Method: s.Method, URL: u, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(s.Body)), Host: rq.r.Host, RemoteAddr: rq.r.RemoteAddr}).WithContext(rq.r.Context())
	for k, v := range s.Headers {
		if !strings.EqualFold(k, "Authorization") { // a batch has one caller
			r.Header.Set(k, v)
		}
	}
	c := rq.caller
	c.Roles = caller.Roles(rq.h.World, c.Object) // a step before may have changed them
	rq.h.stamp(m, rq.r)
	if err := rq.h.dispatch(rq.routes, m, r, c); err != nil && m.code == 0 {
		rq.h.writeError(m, rq.r, err)
	}
	return m
}

// memory is an answer that is kept to be put into another one.
type memory struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (m *memory) Header() http.Header { return m.header }

func (m *memory) WriteHeader(code int) {
	if m.code == 0 {
		m.code = code
	}
}

func (m *memory) Write(b []byte) (int, error) {
	m.WriteHeader(http.StatusOK)
	return m.body.Write(b)
}

func (m *memory) status() int {
	if m.code == 0 {
		return http.StatusOK
	}
	return m.code
}

// object is the answer as it stands in that of the batch.
func (m *memory) object(id string) object {
	headers := object{}
	for _, name := range []string{"Cache-Control", "Location", "Odata-Version", "Content-Type", "Retry-After"} {
		if v := m.header.Get(name); v != "" {
			headers = append(headers, field{name, v})
		}
	}
	out := object{{"id", id}, {"status", m.status()}, {"headers", headers}}
	switch {
	case m.body.Len() == 0:
		return out
	case strings.HasPrefix(m.header.Get("Content-Type"), "application/json"):
		return append(out, field{"body", json.RawMessage(m.body.Bytes())})
	}
	return append(out, field{"body", base64.StdEncoding.EncodeToString(m.body.Bytes())})
}
