package arm

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/web"
)

// The activity log: every write that a known caller asked for, done or refused. What was done is written down in the
// transaction that does it; a refusal, and what changes nothing here, soon after.

// action is what a request asks for, in the words of roles.
func (r *Request) action() string {
	if r.route.Action != Self {
		return r.route.Action
	}
	namespace, kind := typeOf(r.segments)
	what := namespace + "/" + kind
	switch r.HTTP.Method {
	case http.MethodDelete:
		return what + "/delete"
	case http.MethodPost:
		// The last segment of a path such as …/register is what to do.
		if last := r.segments[len(r.segments)-1]; !strings.HasSuffix(kind, last) {
			what += "/" + last
		}
		return what + "/action"
	}
	return what + "/write"
}

func (r *Request) correlation() string { return r.w.Header().Get("X-Ms-Correlation-Request-Id") }

// activity is the request as the log tells of it.
func (r *Request) activity(status audit.ActivityStatus) audit.Activity {
	ev := web.EventOf(r.HTTP)
	a := audit.Activity{
		ID: ident.New[ident.GUID](), At: r.Now(), Tenant: r.Caller.Tenant, Subscription: r.Subscription.ID, Caller: r.Caller.Object,
		CallerName: r.Caller.Name, Action: r.action(), Resource: r.Scope, Status: status, Method: r.HTTP.Method,
		ClientRequest: ev.ClientRequestID, Correlation: r.correlation(),
	}
	if host, _, err := net.SplitHostPort(r.HTTP.RemoteAddr); err == nil {
		a.Address = host
	}
	if r.started != nil {
		a.Operation = r.started.ID.String()
	}
	if status == audit.ActivitySucceeded {
		a.Body = r.shown
	}
	return a
}

// Show keeps what the request writes or removes, in JSON, for its entry in the activity log: readers of the log learn from it
// who was given what. A handler calls it before Audit.
func (r *Request) Show(body []byte) { r.shown = string(body) }

// noteDone writes down, once, that the request does what it asks for.
func (r *Request) noteDone(tx *store.Tx) error {
	if r.noted || r.HTTP.Method == http.MethodGet || r.HTTP.Method == http.MethodHead {
		return nil
	}
	r.noted = true
	status := audit.ActivitySucceeded
	if r.started != nil {
		status = audit.ActivityAccepted
	}
	return tx.PutActivity(r.activity(status))
}

// noteEnd writes down how a long operation ended.
func noteEnd(tx *store.Tx, now time.Time, op resource.Operation, cause error) error {
	o := op.Origin
	if o.Action == "" {
		return nil // the program's own
	}
	a := audit.Activity{
		ID: ident.New[ident.GUID](), At: now.UTC(), Tenant: o.Tenant, Subscription: op.Subscription, Caller: op.StartedBy, CallerName: o.CallerName,
		Action: o.Action, Resource: o.Resource, Status: audit.ActivitySucceeded, Correlation: o.Correlation, Operation: op.ID.String(),
	}
	if cause != nil {
		f := fault.As(cause)
		a.Status, a.Code, a.Message = audit.ActivityFailed, errorCode(f), f.Public
	}
	return tx.PutActivity(a)
}

// isWrite reports whether a request is one for the log. A POST whose handler decides by itself who may is a question.
func (r *Request) isWrite() bool {
	switch r.HTTP.Method {
	case http.MethodPut, http.MethodPatch, http.MethodDelete:
		return true
	case http.MethodPost:
		return r.route.Action != Self
	}
	return false
}

// note writes down a write that is not on record yet: it was refused, or changed nothing that is kept here.
func (f *Face) note(r *Request, err error) {
	if !r.admitted || !r.isWrite() || err == nil && r.noted {
		return
	}
	a := r.activity(audit.ActivitySucceeded)
	if err != nil {
		e := fault.As(err)
		if e.Kind == fault.Unauthenticated || errors.Is(err, context.Canceled) {
			return
		}
		a.Status, a.Code, a.Message, a.HTTPStatus = audit.ActivityFailed, errorCode(e), strings.ToValidUTF8(e.Public, ""), httpStatus(e)
		a.Body = ""
	}
	f.refusals.add(a)
}

// mostWaiting bounds the activities that wait to be written down; older ones give way. Whoever floods the log with refusals
// floods memory no further than this.
const mostWaiting = 1000

// waiting are activities that wait to be written down: those that changed nothing, so that asking for what one may not have
// costs no commit of its own.
type waiting struct {
	mu   sync.Mutex
	list []audit.Activity
	lost int
	some chan struct{} // has one element when there may be something in the list
}

// news returns the channel that tells of activities.
func (w *waiting) news() chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.some == nil {
		w.some = make(chan struct{}, 1)
	}
	return w.some
}

// add appends activities.
func (w *waiting) add(more ...audit.Activity) {
	news := w.news()
	w.mu.Lock()
	w.list = append(w.list, more...)
	w.cut()
	w.mu.Unlock()
	select {
	case news <- struct{}{}:
	default:
	}
}

// cut lets the oldest give way.
func (w *waiting) cut() {
	if over := len(w.list) - mostWaiting; over > 0 {
		w.list = slices.Delete(w.list, 0, over)
		w.lost += over
	}
}

func (w *waiting) take() (list []audit.Activity, lost int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	list, lost = w.list, w.lost
	w.list, w.lost = nil, 0
	return list, lost
}

// putBack returns activities that could not be written down; they are older than what came meanwhile.
func (w *waiting) putBack(list []audit.Activity, lost int) {
	w.mu.Lock()
	w.list = append(list, w.list...)
	w.lost += lost
	w.cut()
	w.mu.Unlock()
	w.add() // tells
}

// WriteActivity writes down the activities that wait. Whoever reads the log calls it first. If it fails, they go on waiting.
func (f *Face) WriteActivity(ctx context.Context) error {
	list, lost := f.refusals.take()
	if len(list) > 0 {
		_, err := f.DB.Update(ctx, func(tx *store.Tx) error {
			for _, a := range list {
				if err := tx.PutActivity(a); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			f.refusals.putBack(list, lost)
			return err
		}
	}
	if lost > 0 {
		f.Log.WarnContext(ctx, "the activity log misses entries", "missing", lost)
	}
	return nil
}

// KeepActivity writes down the activities that wait until ctx ends, and at the end: one that comes alone at once, many once
// a second.
func (f *Face) KeepActivity(ctx context.Context) error {
	news := f.refusals.news()
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			return f.WriteActivity(last)
		case <-news:
		}
		if err := f.WriteActivity(ctx); err != nil && ctx.Err() == nil {
			f.Log.ErrorContext(ctx, "activities could not be written down", "error", err)
		}
		pause.Reset(time.Second)
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
	}
}
