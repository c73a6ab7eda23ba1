package kubehook

import (
	"log/slog"
	"net/http"

	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/web"
)

// question is a review of access, parsed.
type question struct {
	user, uid string
	extra     []fact
	// groups are those that the review shows. They count only of a certificate; of people those of the directory do.
	groups  []string
	request rbac.KubeRequest
}

func (h *Handler) accessReview(w http.ResponseWriter, r *http.Request) error {
	snap, err := h.open(r)
	if err != nil {
		return err
	}
	body, err := h.body(w, r)
	if err != nil {
		return err
	}
	q, err := readQuestion(body)
	if err != nil {
		return err
	}
	ev := web.EventOf(r)
	a := h.decide(&snap, &q)
	note(ev, &snap, &q, &a)
	if a.verdict == verdictUnknown {
		return unknown()
	}
	b := h.buffers.get()
	defer h.buffers.put(b)
	*b = h.appendReview(*b, &snap, &a, ev.RequestID)
	w.Header()["Content-Type"] = []string{"application/json"}
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(*b) // the asker is gone: nobody to tell
	return nil
}

// appendReview appends the review that answers.
func (h *Handler) appendReview(b []byte, snap *snapshot, a *answer, reference ident.GUID) []byte {
	b = append(b, `{"kind":"`+reviewKind+`","apiVersion":"`+reviewVersion+`","status":{"allowed":`...)
	switch a.verdict {
	case verdictAllow:
		b = appendString(append(b, `true,"reason":`...), h.allowText(snap, a))
	case verdictDeny:
		b = appendString(append(b, `false,"denied":true,"reason":`...), denyText(a, reference))
	case verdictNoOpinion, verdictUnknown:
		b = append(b, `false`...)
	}
	return append(b, `}}`...)
}

// logged is the longest text of a request that goes into the log.
const logged = 256

func short(s string) string {
	if len(s) > logged {
		return s[:logged] + "…"
	}
	return s
}

// note describes a decision in the request's log entry. Denials are always worth a line.
func note(ev *web.Event, snap *snapshot, q *question, a *answer) {
	if a.verdict == verdictDeny {
		ev.Raise(slog.LevelInfo)
	}
	ev.Describe(func() []slog.Attr { return describe(snap, q, a) })
}

// describe is what the log says of a decision.
func describe(snap *snapshot, q *question, a *answer) []slog.Attr {
	req := &q.request
	out := make([]slog.Attr, 0, 12)
	add := func(key, value string) { out = append(out, slog.String(key, value)) }
	add("cluster", snap.cluster.ID.String())
	add("user", short(q.user))
	if a.principal != nil {
		add("principal", a.principal.ID.String())
	}
	add("verb", short(req.Verb))
	if req.NonResource {
		add("target", short(req.Path))
	} else {
		resource := req.Resource
		if req.Subresource != "" {
			resource += "/" + req.Subresource
		}
		add("resource", short(resource))
		add("apiGroup", short(req.APIGroup))
		add("namespace", short(req.Namespace))
		add("name", short(req.Name))
	}
	add("verdict", a.verdict.String())
	add("reason", a.why)
	return append(out, slog.Int64("revision", int64(snap.revision)))
}
