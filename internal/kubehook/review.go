package kubehook

import (
	"log/slog"
	"net/http"
	"strings"

	authzv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/web"
)

// question is a review of access, parsed.
type question struct {
	user, uid string
	extra     map[string]authzv1.ExtraValue
	// groups are those that the review shows. They count only of a certificate; of people those of the directory do.
	groups  []string
	request rbac.KubeRequest
}

func (h *Handler) accessReview(w http.ResponseWriter, r *http.Request) error {
	snap, err := h.open(r)
	if err != nil {
		return err
	}
	var in authzv1.SubjectAccessReview
	if err := decode(w, r, "SubjectAccessReview", authzv1.SchemeGroupVersion.String(), &in, func() metav1.TypeMeta { return in.TypeMeta }); err != nil {
		return err
	}
	q, err := parse(&in.Spec)
	if err != nil {
		return err
	}
	ev := web.EventOf(r)
	a := h.decide(&snap, &q)
	h.note(ev, &snap, &q, &a)
	if a.verdict == verdictUnknown {
		return unknown()
	}
	out := authzv1.SubjectAccessReview{TypeMeta: in.TypeMeta}
	switch a.verdict {
	case verdictAllow:
		out.Status.Allowed = true
		out.Status.Reason = h.allowText(&snap, &a)
	case verdictDeny:
		out.Status.Denied = true
		out.Status.Reason = denyText(&a, ev.RequestID)
	case verdictNoOpinion, verdictUnknown:
	}
	return web.WriteJSON(w, http.StatusOK, "application/json", out)
}

// parse takes from a review what decides.
func parse(s *authzv1.SubjectAccessReviewSpec) (question, error) {
	q := question{user: s.User, uid: s.UID, extra: s.Extra, groups: s.Groups}
	res, non := s.ResourceAttributes, s.NonResourceAttributes
	switch {
	case res != nil && non == nil:
		q.request = rbac.KubeRequest{
			Verb: res.Verb, APIGroup: res.Group, Resource: res.Resource, Subresource: res.Subresource,
			Name: res.Name, Namespace: res.Namespace,
		}
	case non != nil && res == nil:
		q.request = rbac.KubeRequest{Verb: non.Verb, NonResource: true, Path: non.Path}
	default:
		return question{}, fault.New(fault.Invalid, "", "Exactly one of resourceAttributes and nonResourceAttributes must be given.")
	}
	return q, nil
}

// extras returns the values of a key in any letter case. Two spellings of one key are two values.
func (q *question) extras(key string) []string {
	if v, ok := q.extra[key]; ok && len(q.extra) == 1 {
		return v
	}
	var out []string
	for k, v := range q.extra {
		if strings.EqualFold(k, key) {
			out = append(out, v...)
		}
	}
	return out
}

// logged is the longest text of a request that goes into the log.
const logged = 256

func short(s string) string {
	if len(s) > logged {
		return s[:logged] + "…"
	}
	return s
}

// note fills the request's log entry: one for every decision.
func (h *Handler) note(ev *web.Event, snap *snapshot, q *question, a *answer) {
	req := &q.request
	ev.Add("cluster", snap.cluster.ID.String())
	ev.Add("user", short(q.user))
	if a.principal != nil {
		ev.Add("principal", a.principal.ID.String())
	}
	ev.Add("verb", short(req.Verb))
	if req.NonResource {
		ev.Add("target", short(req.Path))
	} else {
		resource := req.Resource
		if req.Subresource != "" {
			resource += "/" + req.Subresource
		}
		ev.Add("resource", short(resource))
		ev.Add("apiGroup", short(req.APIGroup))
		ev.Add("namespace", short(req.Namespace))
		ev.Add("name", short(req.Name))
	}
	if a.verdict == verdictDeny {
		ev.Raise(slog.LevelInfo)
	}
	ev.Add("verdict", a.verdict.String())
	ev.Add("reason", a.why)
	ev.Add("revision", int64(snap.revision))
}
