package arm_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/arm/armtest"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/rbac"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
)

const clusters = "Microsoft.ContainerService/managedClusters"

// startable registers a route that starts an operation on thing, with the verb of its query.
func startable(r *armtest.Rig) {
	r.Face.Handle(arm.Route{
		Method: http.MethodPost, Errors: arm.Bare, Action: clusters + "/start/action",
		Pattern: "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerService/managedClusters/{name}/start",
		Handle: func(w http.ResponseWriter, q *arm.Request) error {
			verb, _, err := q.Query("verb")
			if err != nil {
				return err
			}
			var op resource.Operation
			_, err = r.DB.Update(q.Context(), func(tx *store.Tx) (err error) {
				op, err = q.StartOperation(tx, arm.NewOperation{Resource: q.Scope, Verb: verb, Location: "westus2", Final: http.StatusNoContent, Input: map[string]string{"a": "b"}})
				return err
			})
			if err != nil {
				return err
			}
			q.AsyncHeader("Microsoft.ContainerService", op)
			q.LocationHeader("Microsoft.ContainerService", op)
			w.WriteHeader(http.StatusAccepted)
			return nil
		},
	})
}

func start(r *armtest.Rig, verb string) armtest.Answer {
	r.T.Helper()
	return r.Do("POST", thing+"/start?api-version=2022-11-01&verb="+verb, armtest.Owner, "")
}

// path cuts the origin off a polling URL.
func path(t *testing.T, url string) string {
	t.Helper()
	p, ok := strings.CutPrefix(url, armtest.BaseURL)
	if !ok {
		t.Fatalf("%q is not on the face's origin", url)
	}
	return p
}

func newRunner(r *armtest.Rig) *arm.Runner {
	return &arm.Runner{DB: r.DB, Now: r.Clock.Now, Log: r.Log()}
}

func TestOperationFromStartToEnd(t *testing.T) {
	r := withThing(t)
	startable(r)
	runner := newRunner(r)
	goOn := make(chan error)
	var ended []string
	runner.Register(clusters, "Updating", arm.Worker{
		Do:        func(context.Context, resource.Operation) error { return <-goOn },
		Succeeded: func(*store.Tx, resource.Operation) error { ended = append(ended, "succeeded"); return nil },
		Failed: func(_ *store.Tx, _ resource.Operation, cause error) error {
			ended = append(ended, cause.Error())
			return nil
		},
	})
	r.Run(runner)

	a := start(r, "Updating").Want(202, "")
	status, result := path(t, a.Header.Get("Azure-AsyncOperation")), path(t, a.Header.Get("Location"))
	prefix := sub + "/providers/Microsoft.ContainerService/locations/westus2/"
	if !strings.HasPrefix(status, prefix+"operations/") || !strings.HasPrefix(result, prefix+"operationresults/") ||
		!strings.HasSuffix(status, "?api-version=2016-03-30") || a.Header.Get("Retry-After") != "1" {
		t.Fatalf("headers %v", a.Header)
	}
	id := status[len(prefix+"operations/") : len(prefix+"operations/")+36]

	a = r.Do("GET", status, armtest.Owner, "").Want(200, "")
	if diff := cmp.Diff(`{"name":"`+id+`","status":"InProgress","startTime":"2025-05-16T06:50:42.1991607Z"}`, a.Body); diff != "" {
		t.Error(diff)
	}
	if a.Header.Get("Retry-After") != "1" || a.Header.Get("Content-Type") != "application/json" {
		t.Errorf("headers %v", a.Header)
	}
	a = r.Do("GET", result, armtest.Owner, "").Want(202, "")
	if a.Header.Get("Retry-After") != "1" || a.Header.Get("Location") != armtest.BaseURL+result || a.Body != "" {
		t.Errorf("%v %q", a.Header, a.Body)
	}

	// A second one on the same resource is refused, in whatever case.
	a = r.Do("POST", strings.ToUpper(thing)+"/start?api-version=2022-11-01&verb=Updating", armtest.Owner, "").Want(409, "OperationNotAllowed")
	if want := `{"code":"OperationNotAllowed","details":null,"message":"Operation is not allowed: Another operation (Updating) is in progress, please wait for it ` +
		`to finish before starting a new operation. See https://aka.ms/aks-pending-operation for more details","subcode":""}`; a.Body != want {
		t.Error(cmp.Diff(want, a.Body))
	}

	r.Clock.Move(time.Minute + 300900*time.Nanosecond)
	goOn <- nil
	r.Ended(status)
	a = r.Do("GET", status, armtest.Owner, "").Want(200, "")
	if diff := cmp.Diff(`{"name":"`+id+`","status":"Succeeded","startTime":"2025-05-16T06:50:42.1991607Z","endTime":"2025-05-16T06:51:42.1994616Z"}`, a.Body); diff != "" {
		t.Error(diff)
	}
	a = r.Do("GET", result, armtest.Owner, "").Want(204, "")
	if a.Header.Get("Retry-After") != "" {
		t.Errorf("headers %v", a.Header)
	}

	// The next may begin; its failure shows its public half.
	a = start(r, "Updating").Want(202, "")
	goOn <- fault.New(fault.Invalid, "CreateFailed", "why")
	r.Ended(a.Header.Get("Azure-AsyncOperation"))
	a = r.Do("GET", path(t, a.Header.Get("Azure-AsyncOperation")), armtest.Owner, "").Want(200, "")
	if !strings.HasSuffix(a.Body, `,"error":{"code":"CreateFailed","message":"why"}}`) || !strings.Contains(a.Body, `"status":"Failed"`) {
		t.Error(a.Body)
	}
	if diff := cmp.Diff([]string{"succeeded", "CreateFailed: why"}, ended); diff != "" {
		t.Error(diff)
	}
}

func TestFailuresOfWorkers(t *testing.T) {
	for name, test := range map[string]struct {
		do            func(context.Context, resource.Operation) error
		code, message string
	}{
		"fault":     {func(context.Context, resource.Operation) error { return fault.New(fault.Conflict, "X", "y") }, "X", "y"},
		"error":     {func(context.Context, resource.Operation) error { return errors.New("a secret") }, "InternalServerError", "An internal error occurred."},
		"panic":     {func(context.Context, resource.Operation) error { panic("a secret") }, "InternalServerError", "An internal error occurred."},
		"no worker": {nil, "InternalServerError", "An internal error occurred."},
	} {
		t.Run(name, func(t *testing.T) {
			r := withThing(t)
			startable(r)
			runner := newRunner(r)
			if test.do != nil {
				runner.Register(clusters, "Creating", arm.Worker{Do: test.do})
			}
			r.Run(runner)
			a := start(r, "Creating").Want(202, "")
			op := r.Ended(a.Header.Get("Azure-AsyncOperation"))
			if op.Status != resource.Failed || op.ErrorCode != test.code || op.ErrorMessage != test.message {
				t.Errorf("%+v", op)
			}
			r.Do("GET", path(t, a.Header.Get("Location")), armtest.Owner, "").Want(409, test.code)
		})
	}
}

func TestShutdownLeavesTheOperationToBeResumed(t *testing.T) {
	r := withThing(t)
	startable(r)
	first := newRunner(r)
	begun := make(chan struct{})
	first.Register(clusters, "Updating", arm.Worker{Do: func(ctx context.Context, _ resource.Operation) error {
		close(begun)
		<-ctx.Done()
		return ctx.Err()
	}})
	stop := r.Run(first)
	poll := start(r, "Updating").Want(202, "").Header.Get("Azure-AsyncOperation")
	<-begun
	stop()
	if a := r.Do("GET", path(t, poll), armtest.Owner, ""); !strings.Contains(a.Body, `"InProgress"`) {
		t.Fatal(a.Body)
	}
	if err := r.DB.Close(); err != nil {
		t.Fatal(err)
	}

	r.Open()
	second := newRunner(r)
	var input atomic.Value
	second.Register(clusters, "Updating", arm.Worker{Do: func(_ context.Context, op resource.Operation) error {
		input.Store(string(op.Input))
		return nil
	}})
	r.Run(second)
	if op := r.Ended(poll); op.Status != resource.Succeeded || input.Load() != `{"a":"b"}` {
		t.Errorf("%+v, input %v", op, input.Load())
	}
}

func TestCancelEndsTheWorkersContext(t *testing.T) {
	r := withThing(t)
	startable(r)
	runner := newRunner(r)
	begun, over := make(chan struct{}), make(chan struct{})
	runner.Register(clusters, "Creating", arm.Worker{Do: func(ctx context.Context, _ resource.Operation) error {
		close(begun)
		<-ctx.Done()
		close(over)
		return nil
	}})
	r.Run(runner)
	poll := start(r, "Creating").Want(202, "").Header.Get("Azure-AsyncOperation")
	<-begun
	r.Update(func(tx *store.Tx) error {
		op, err := tx.RunningOperation(strings.ToLower(thing))
		if err != nil {
			return err
		}
		_, err = arm.CancelOperation(tx, r.Clock.Now(), op.ID, "aborted")
		return err
	})
	<-over
	if op := r.Ended(poll); op.Status != resource.Canceled || op.ErrorMessage != "aborted" {
		t.Errorf("%+v", op)
	}
	start(r, "Other").Want(202, "") // the resource is free again
}

func TestEndIsTriedAgainUntilItIsWritten(t *testing.T) {
	r := withThing(t)
	startable(r)
	runner := newRunner(r)
	var tries atomic.Int32
	runner.Register(clusters, "Creating", arm.Worker{
		Do: func(context.Context, resource.Operation) error { return nil },
		Succeeded: func(*store.Tx, resource.Operation) error {
			if tries.Add(1) == 1 {
				return errors.New("disk full")
			}
			return nil
		},
	})
	r.Run(runner)
	poll := start(r, "Creating").Want(202, "").Header.Get("Azure-AsyncOperation")
	if op := r.Ended(poll); op.Status != resource.Succeeded || tries.Load() != 2 {
		t.Errorf("%+v after %d tries", op, tries.Load())
	}
}

func TestOneOperationPerResourceUnderRace(t *testing.T) {
	r := withThing(t)
	startable(r)
	var wg sync.WaitGroup
	var started atomic.Int32
	for range 16 {
		wg.Go(func() {
			if start(r, "Updating").Status == 202 {
				started.Add(1)
			}
		})
	}
	wg.Wait()
	if started.Load() != 1 {
		t.Errorf("%d operations began", started.Load())
	}
}

func TestWhoMaySeeAnOperation(t *testing.T) {
	r := withThing(t)
	startable(r)
	r.Grant(armtest.App, rbac.PrincipalServicePrincipal, armtest.ContributorRole, thing)
	poll := path(t, r.Do("POST", thing+"/start?api-version=2022-11-01&verb=Updating", armtest.App, "").Want(202, "").Header.Get("Azure-AsyncOperation"))
	r.Do("GET", poll, armtest.App, "").Want(200, "")
	r.Do("GET", poll, armtest.Reader, "").Want(200, "")
	r.Do("GET", poll, armtest.Nobody, "").Want(403, "AuthorizationFailed")
	r.Do("GET", poll, armtest.Stranger, "").Want(401, "InvalidAuthenticationTokenTenant")
	r.Do("GET", poll, "", "").Want(401, "AuthenticationFailed")
	// Who started it sees its end, also when the right went with the resource.
	r.Update(func(tx *store.Tx) error { return tx.DeleteAssignmentsBelow(thing) })
	r.Do("GET", poll, armtest.App, "").Want(200, "")

	for name, p := range map[string]string{
		"unknown":                 strings.Replace(poll, "/operations/", "/operations/0", 1),
		"not an id":               sub + "/providers/Microsoft.ContainerService/locations/westus2/operations/x?api-version=2016-03-30",
		"in another subscription": strings.Replace(poll, armtest.Sub, armtest.OtherSub, 1),
	} {
		as := armtest.Owner
		if strings.Contains(p, armtest.OtherSub) {
			as = armtest.Stranger
		}
		if a := r.Do("GET", p, as, ""); a.Status != 404 {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
	}
}

func TestFinishTwice(t *testing.T) {
	r := withThing(t)
	startable(r)
	start(r, "Updating").Want(202, "")
	var op resource.Operation
	r.Update(func(tx *store.Tx) (err error) {
		op, err = tx.RunningOperation(strings.ToLower(thing))
		return err
	})
	if op.StartedBy != ident.MustParse[ident.ObjectID](armtest.Owner) {
		t.Errorf("started by %s", op.StartedBy)
	}
	for _, want := range []bool{true, false} {
		r.Update(func(tx *store.Tx) error {
			got, err := arm.FinishOperation(tx, r.Clock.Now(), op.ID, nil)
			if got != want {
				t.Errorf("FinishOperation = %v, want %v", got, want)
			}
			return err
		})
	}
}
