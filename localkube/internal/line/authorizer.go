package line

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

const (
	// Timeout bounds one question, the wait for a connection included.
	Timeout = 3 * time.Second
	// connectWithin bounds the wait for a connection: while nobody listens, requests fail soon and do not pile up.
	connectWithin = 500 * time.Millisecond
	// connections are how many are kept open. Each is answered by one processor.
	connections = 2
	// attempts are how often a question is sent when its connection ends: all of them end when the other side starts anew.
	attempts = connections + 1
)

// Authorizer asks over the line.
type Authorizer struct {
	conns [connections]*conn
	next  atomic.Uint32
	// buffers are reused between questions.
	buffers sync.Pool
}

// Open makes an authorizer that asks at a socket. It connects, and connects again, by itself until ctx ends.
func Open(ctx context.Context, socket string, log *slog.Logger) *Authorizer {
	a := &Authorizer{}
	for i := range a.conns {
		a.conns[i] = newConn(socket, log)
		go a.conns[i].run(ctx)
	}
	return a
}

var errNotKnown = errors.New("the authorizer cannot decide")

// largestKept is the largest buffer that is kept for another question.
const largestKept = 64 << 10

// Authorize answers as the webhook would, see the package.
func (a *Authorizer) Authorize(ctx context.Context, attr authorizer.Attributes) (authorizer.Decision, string, error) {
	if u := attr.GetUser(); u == nil || strings.HasPrefix(u.GetName(), "system:") {
		return authorizer.DecisionNoOpinion, "", nil
	}
	got, err := a.ask(ctx, attr)
	if err != nil {
		return authorizer.DecisionDeny, "", fmt.Errorf("ask the authorizer: %w", err)
	}
	switch got.verdict {
	case allow:
		return authorizer.DecisionAllow, got.reason, nil
	case deny:
		return authorizer.DecisionDeny, got.reason, nil
	case noOpinion:
		return authorizer.DecisionNoOpinion, got.reason, nil
	}
	return authorizer.DecisionDeny, "", fmt.Errorf("%w: %s", errNotKnown, got.reason)
}

// ask sends a question, and again if the connection ends before the answer.
func (a *Authorizer) ask(ctx context.Context, attr authorizer.Attributes) (answer, error) {
	b, ok := a.buffers.Get().(*[]byte)
	if !ok {
		b = new([]byte)
	}
	defer func() {
		if cap(*b) <= largestKept {
			a.buffers.Put(b)
		}
	}()
	var err error
	if *b, err = appendQuestion((*b)[:0], attr); err != nil {
		return answer{}, err
	}
	timeout := time.NewTimer(Timeout)
	defer timeout.Stop()
	var got answer
	for range attempts {
		if got = a.conns[a.next.Add(1)%connections].ask(ctx, timeout.C, *b); !errors.Is(got.err, errLost) {
			break
		}
	}
	return got, got.err
}

// ConditionsAwareAuthorize knows no conditions.
func (a *Authorizer) ConditionsAwareAuthorize(ctx context.Context, attr authorizer.Attributes) authorizer.ConditionsAwareDecision {
	return authorizer.ConditionsAwareDecisionFromParts(a.Authorize(ctx, attr))
}

// EvaluateConditions knows no conditions.
func (*Authorizer) EvaluateConditions(context.Context, authorizer.ConditionsAwareDecision, authorizer.ConditionsData) (authorizer.Decision, string, error) {
	return authorizer.DecisionDeny, "", authorizer.ErrorConditionEvaluationNotSupported
}

// RulesFor says, as a webhook does, that what it returns is not all.
func (*Authorizer) RulesFor(context.Context, user.Info, string) ([]authorizer.ResourceRuleInfo, []authorizer.NonResourceRuleInfo, bool, error) {
	return nil, nil, true, errors.New("the authorizer lists no rules")
}
