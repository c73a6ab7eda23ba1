package deployments

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/caller"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/template"
	"github.com/keyreeve/keyreeve/internal/world"
)

// atOnce is how many resources of a deployment are written at a time.
const atOnce = 4

// job is one run of a deployment. After a restart it goes on: what is done already is on record.
type job struct {
	h  *Handler
	d  resource.Deployment
	op resource.Operation
}

func (h *Handler) worker() arm.Worker {
	return arm.Worker{
		Do: h.do,
		Succeeded: func(tx *store.Tx, op resource.Operation) error {
			return h.end(tx, op, func(d *resource.Deployment) { d.State = succeeded })
		},
		Failed: func(tx *store.Tx, op resource.Operation, cause error) error {
			return h.end(tx, op, func(d *resource.Deployment) {
				d.State, d.Error = failed, shown(arm.DetailOf(cause))
				endSteps(d, h.Now(), failed)
			})
		},
	}
}

func shown(d arm.Detail) *resource.DeploymentError {
	e := &resource.DeploymentError{Code: d.Code, Message: d.Message, Target: d.Target}
	for _, x := range d.Details {
		e.Details = append(e.Details, *shown(x))
	}
	return e
}

func (h *Handler) end(tx *store.Tx, op resource.Operation, how func(*resource.Deployment)) error {
	d, err := tx.Deployment(op.ResourceKey)
	if store.IsNotFound(err) || err == nil && d.Operation != op.ID {
		return nil
	}
	if err != nil {
		return err
	}
	d.EndedAt = h.Now().UTC()
	how(&d)
	return tx.PutDeployment(d)
}

// who is the caller in whose name a deployment works, as that principal is now. Who was disabled, or whose sessions were
// revoked since, deploys nothing more.
func (h *Handler) who(d resource.Deployment) (caller.Caller, error) {
	gone := fault.New(fault.Forbidden, "AuthorizationFailed", "Who started the deployment may not sign in any more.")
	p, ok := h.World.Principal(d.By)
	if !ok || !p.Enabled || p.ValidFrom.After(d.StartedAt) {
		return caller.Caller{}, gone
	}
	c := caller.Caller{Kind: caller.User, Tenant: p.Tenant, Object: p.ID, Name: p.Name, Roles: caller.Roles(h.World, p.ID), IssuedAt: d.StartedAt}
	if p.Kind == world.ServicePrincipal {
		c.Kind, c.Client = caller.ServicePrincipal, p.AppID
	}
	return c, nil
}

func (h *Handler) do(ctx context.Context, op resource.Operation) error {
	j := &job{h: h, op: op}
	var a asked
	err := h.DB.View(ctx, func(tx *store.Tx) (err error) {
		if j.d, err = tx.Deployment(op.ResourceKey); err != nil {
			return err
		}
		a, err = h.input(tx, j.d)
		return err
	})
	if err != nil {
		return err
	}
	who, err := h.who(j.d)
	if err != nil {
		return err
	}
	p, err := h.plan(ctx, j.d, who, a)
	if err != nil {
		return err
	}
	if err := j.resources(ctx, p); err != nil {
		return err
	}
	if a.Mode == complete {
		if err := j.remove(ctx, who, p); err != nil {
			return err
		}
	}
	if !p.HasOutputs() {
		return nil
	}
	out, err := p.Outputs(j.runtime(ctx))
	if err != nil {
		return j.failure(arm.DetailOf(err))
	}
	return j.record(ctx, func(d *resource.Deployment) { d.Outputs = []byte(template.Write(out)) })
}

// failure is the error of a deployment of which a part failed.
func (j *job) failure(details ...arm.Detail) error {
	return arm.WithDetails(fault.New(fault.Conflict, "DeploymentFailed", "At least one resource deployment operation failed. Please list deployment operations for details. "+
		"Please see https://aka.ms/arm-deployment-operations for usage details.").At(j.d.ID()), details...)
}

// record changes what is on record of this run; when it is over, or another runs, it is a mistake to go on.
func (j *job) record(ctx context.Context, change func(*resource.Deployment)) error {
	_, err := j.h.DB.Update(ctx, func(tx *store.Tx) error {
		d, err := tx.Deployment(j.op.ResourceKey)
		if err != nil {
			return err
		}
		if d.Operation != j.op.ID || !d.Active() {
			return fault.New(fault.Conflict, "DeploymentCanceled", "The deployment has ended.")
		}
		d.State = running
		change(&d)
		return tx.PutDeployment(d)
	})
	return err
}

// resources writes the resources of a plan, each after what it depends on. What fails keeps back only what depends on it.
func (j *job) resources(ctx context.Context, p *template.Plan) error {
	type result struct {
		res *template.Resource
		err error
	}
	results := make(chan result)
	state := map[*template.Resource]string{}
	var details []arm.Detail
	busy := 0
	for {
		for _, res := range p.Resources {
			if state[res] != "" || busy == atOnce || !ready(res, state) {
				continue
			}
			state[res] = running
			busy++
			go func() { results <- result{res, j.deploy(ctx, p, res)} }()
		}
		if busy == 0 {
			break
		}
		got := <-results
		busy--
		state[got.res] = succeeded
		if got.err != nil {
			state[got.res] = failed
			details = append(details, arm.DetailOf(got.err))
		}
		if ctx.Err() != nil {
			for ; busy > 0; busy-- {
				<-results
			}
			return ctx.Err()
		}
	}
	if len(details) > 0 {
		return j.failure(details...)
	}
	return nil
}

func ready(res *template.Resource, state map[*template.Resource]string) bool {
	for _, d := range res.DependsOn {
		if state[d] != succeeded {
			return false
		}
	}
	return true
}

// deploy writes one resource and waits until it is there.
func (j *job) deploy(ctx context.Context, p *template.Plan, res *template.Resource) error {
	if j.done(res.ID) {
		return nil
	}
	return j.step(ctx, "Create", res, func() (string, error) {
		body, err := p.BodyOf(res, j.runtime(ctx))
		if err != nil {
			return "BadRequest", err
		}
		return j.change(ctx, arm.Call{Method: http.MethodPut, ID: res.ID, APIVersion: res.APIVersion, Body: []byte(template.Write(body))})
	})
}

// done reports whether an earlier run, before a restart, has done with a resource.
func (j *job) done(id string) bool {
	for _, s := range j.d.Steps {
		if equalFold(s.Resource, id) && s.State == succeeded {
			return true
		}
	}
	return false
}

// step does something with a resource, and keeps a record of it.
func (j *job) step(ctx context.Context, action string, res *template.Resource, do func() (string, error)) error {
	id := ident.New[ident.GUID]().Compact()[:16]
	err := j.record(ctx, func(d *resource.Deployment) {
		kept := d.Steps[:0]
		for _, s := range d.Steps {
			if !equalFold(s.Resource, res.ID) {
				kept = append(kept, s)
			}
		}
		d.Steps = append(kept, resource.DeploymentStep{
			ID: strings.ToUpper(id), Action: action, Resource: res.ID, Type: res.Type, Name: res.Name, State: running, StartedAt: j.h.Now().UTC(),
		})
	})
	if err != nil {
		return err
	}
	code, failure := do()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	err = j.record(ctx, func(d *resource.Deployment) {
		for i := range d.Steps {
			s := &d.Steps[i]
			if !equalFold(s.Resource, res.ID) {
				continue
			}
			s.State, s.StatusCode, s.EndedAt = succeeded, code, j.h.Now().UTC()
			if failure != nil {
				s.State, s.Error = failed, shown(arm.DetailOf(failure))
			}
		}
	})
	if failure != nil {
		return failure
	}
	return err
}

// remove deletes what the group holds and the template does not name.
func (j *job) remove(ctx context.Context, who caller.Caller, p *template.Plan) error {
	extra, err := j.h.extra(ctx, j.d, who, p)
	if err != nil {
		return err
	}
	if err := j.gone(ctx, extra); err != nil {
		return err
	}
	var details []arm.Detail
	for _, x := range extra {
		err := j.step(ctx, "Delete", &template.Resource{ID: x.ID, Type: x.Type, Name: x.Name}, func() (string, error) {
			return j.change(ctx, arm.Call{Method: http.MethodDelete, ID: x.ID, APIVersion: j.h.version(x.Type)})
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			details = append(details, arm.DetailOf(err))
		}
	}
	if len(details) > 0 {
		return j.failure(details...)
	}
	return nil
}

// gone ends the deletions of an earlier run, before a restart, of what is no more.
func (j *job) gone(ctx context.Context, still []arm.GenericResource) error {
	there := map[string]bool{}
	for _, x := range still {
		there[strings.ToLower(x.ID)] = true
	}
	ended := func(s resource.DeploymentStep) bool {
		return s.Action == "Delete" && s.State == running && !there[strings.ToLower(s.Resource)]
	}
	if !slices.ContainsFunc(j.d.Steps, ended) {
		return nil
	}
	return j.record(ctx, func(d *resource.Deployment) {
		for i, s := range d.Steps {
			if ended(s) {
				d.Steps[i].State, d.Steps[i].StatusCode, d.Steps[i].EndedAt = succeeded, "OK", j.h.Now().UTC()
			}
		}
	})
}

// act calls the API in the name of who deploys. The right to do so is asked for anew each time.
func (j *job) act(ctx context.Context, c arm.Call) (arm.Reply, error) {
	who, err := j.h.who(j.d)
	if err != nil {
		return arm.Reply{}, err
	}
	c.Correlation = j.d.Correlation
	rep, err := j.h.face.Act(ctx, who, c)
	if err != nil {
		return rep, err
	}
	return rep, refused(rep)
}

// change writes or deletes a resource and waits for the work that this begins. It returns the status in words.
func (j *job) change(ctx context.Context, c arm.Call) (string, error) {
	// Work that an earlier run has begun on the resource, before a restart, ends first.
	if j.begun(c.ID) {
		if err := j.quiet(ctx, c.ID); err != nil {
			return "", err
		}
	}
	rep, err := j.act(ctx, c)
	code := strings.ReplaceAll(http.StatusText(rep.Status), " ", "")
	if err != nil {
		return code, err
	}
	url := rep.Header.Get("Azure-AsyncOperation")
	if url == "" && rep.Status == http.StatusAccepted {
		url = rep.Header.Get("Location")
	}
	if url == "" {
		return code, nil
	}
	path, _, _ := strings.Cut(url, "?")
	id, err := ident.Parse[ident.OperationID](path[strings.LastIndexByte(path, '/')+1:])
	if err != nil {
		return code, fault.Wrap(err, "operation of %s", c.ID)
	}
	op, err := j.ended(ctx, id)
	if err == nil && op.Status != resource.Succeeded && op.Status != resource.InProgress {
		return "Conflict", fault.New(fault.Conflict, op.ErrorCode, "%s", op.ErrorMessage)
	}
	return code, err
}

func (j *job) begun(id string) bool {
	for _, s := range j.d.Steps {
		if equalFold(s.Resource, id) && s.State == running {
			return true
		}
	}
	return false
}

func (j *job) quiet(ctx context.Context, id string) error {
	var op resource.Operation
	err := j.h.DB.View(ctx, func(tx *store.Tx) (err error) {
		op, err = tx.RunningOperation(strings.ToLower(id))
		return err
	})
	if store.IsNotFound(err) {
		return nil
	}
	if err == nil {
		_, err = j.ended(ctx, op.ID)
	}
	return err
}

// ended waits for the end of an operation.
func (j *job) ended(ctx context.Context, id ident.OperationID) (resource.Operation, error) {
	for wait := 20 * time.Millisecond; ; wait = min(wait*3/2, 500*time.Millisecond) {
		var op resource.Operation
		err := j.h.DB.View(ctx, func(tx *store.Tx) (err error) {
			op, err = tx.Operation(id)
			return err
		})
		if store.IsNotFound(err) {
			return op, nil // gone with its resource
		}
		if err != nil || op.Status != resource.InProgress {
			return op, err
		}
		pause := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			pause.Stop()
			return op, ctx.Err()
		case <-pause.C:
		}
	}
}

// refused reads the error of a reply.
func refused(rep arm.Reply) error {
	if rep.Status < http.StatusBadRequest {
		return nil
	}
	type failure struct {
		Code, Message, Target string
		Details               []arm.Detail
	}
	var body struct {
		Error *failure
		Code  string
		// Message stands beside Code where the error has no wrap.
		Message string
	}
	f := failure{Code: "InternalServerError", Message: "The answer cannot be read."}
	if json.Unmarshal(rep.Body, &body) == nil {
		if body.Error != nil {
			f = *body.Error
		} else if body.Code != "" {
			f = failure{Code: body.Code, Message: body.Message}
		}
	}
	k := fault.Conflict
	switch rep.Status {
	case http.StatusBadRequest:
		k = fault.Invalid
	case http.StatusForbidden:
		k = fault.Forbidden
	case http.StatusNotFound:
		k = fault.NotFound
	case http.StatusServiceUnavailable:
		k = fault.Unavailable
	}
	return arm.WithDetails(fault.New(k, f.Code, "%s", f.Message).At(f.Target), f.Details...)
}

// runtime answers what only running resources can tell.
func (j *job) runtime(ctx context.Context) template.Runtime {
	return asker{func(c arm.Call) (arm.Reply, error) { return j.act(ctx, c) }}
}

type asker struct {
	act func(arm.Call) (arm.Reply, error)
}

func (a asker) object(c arm.Call) (*template.Object, error) {
	rep, err := a.act(c)
	if err != nil {
		return nil, err
	}
	v, err := template.Read(rep.Body)
	if err != nil {
		return nil, fault.Wrap(err, "answer of %s", c.ID)
	}
	o, ok := v.(*template.Object)
	if !ok {
		return nil, fault.Wrap(errors.New("no object"), "answer of %s", c.ID)
	}
	return o, nil
}

func (a asker) Reference(id, apiVersion string) (*template.Object, error) {
	return a.object(arm.Call{Method: http.MethodGet, ID: id, APIVersion: apiVersion})
}

func (a asker) List(id, action, apiVersion string, body any) (any, error) {
	c := arm.Call{Method: http.MethodPost, ID: id, Action: action, APIVersion: apiVersion}
	if body != nil {
		c.Body = []byte(template.Write(body))
	}
	return a.object(c)
}
