package deployments

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/template"
)

// The provisioning states.
const (
	accepted  = "Accepted"
	running   = "Running"
	succeeded = "Succeeded"
	failed    = "Failed"
	canceled  = "Canceled"
)

func decimal(n uint64) string { return strconv.FormatUint(n, 10) }

// prepare reads a request and checks all that can be checked before anything is done.
func (h *Handler) prepare(w http.ResponseWriter, r *arm.Request) (resource.Deployment, asked, *template.Plan, error) {
	d := at(r)
	if err := checkName(d.Name); err != nil {
		return d, asked{}, nil, err
	}
	raw, err := r.Body()
	if err != nil {
		return d, asked{}, nil, err
	}
	a, err := read(raw)
	if err != nil {
		return d, a, nil, err
	}
	if d.Group == "" {
		l, ok := resource.FindLocation(a.Location)
		if !ok {
			return d, a, nil, fault.New(fault.Invalid, "LocationRequired", "A deployment of a subscription needs a location that there is; '%s' is none.", a.Location)
		}
		d.Location = l.Name
	} else if a.Location != "" {
		return d, a, nil, fault.New(fault.Invalid, "InvalidDeployment", "The 'location' property is not allowed for '%s' at resource group scope. "+
			"Please see https://aka.ms/arm-deployment-subscription for usage details.", d.Name)
	}
	d.Tags, d.Correlation, d.By = a.Tags, w.Header().Get("X-Ms-Correlation-Request-Id"), r.Caller.Object
	d.StartedAt = r.Now()
	p, err := h.plan(r.Context(), d, r.Caller, a)
	if err != nil {
		return d, a, nil, err
	}
	return d, a, p, describe(&d, p, a)
}

func (h *Handler) validate(w http.ResponseWriter, r *arm.Request) error {
	d, a, p, err := h.prepare(w, r)
	if err == nil {
		err = h.preflight(r.Context(), d, r.Caller, a, p, unfold())
	}
	if err != nil {
		return err
	}
	d.State, d.EndedAt = succeeded, r.Now()
	out := render(d, r.Now())
	list := []reference{}
	for _, res := range p.Resources {
		list = append(list, reference{res.ID})
	}
	out.Properties.OutputResources, out.Properties.ValidatedResources = nil, &list
	return r.WriteJSON(http.StatusOK, out)
}

func (h *Handler) put(w http.ResponseWriter, r *arm.Request) error {
	d, a, p, err := h.prepare(w, r)
	if err == nil {
		err = h.preflight(r.Context(), d, r.Caller, a, p, unfold())
	}
	if err != nil {
		return err
	}
	// The values that were found for the parameters stay: a default may be different at another time.
	sealed := h.Sealer.Seal(sealName(d), []byte(template.Write(template.NewObject("template", a.Template, "parameters", p.Parameters, "mode", a.Mode))))
	d.State = accepted
	status := http.StatusCreated
	_, err = h.DB.Update(r.Context(), func(tx *store.Tx) error {
		old, err := tx.Deployment(d.ID())
		switch {
		case err == nil && old.Active():
			return fault.New(fault.Conflict, "DeploymentActive", "Unable to edit or replace deployment '%s': previous deployment from '%s' is still active. "+
				"Please see https://aka.ms/arm-deploy for usage details.", d.Name, old.StartedAt.Format(time.RFC3339))
		case err == nil:
			status = http.StatusOK
		case !store.IsNotFound(err):
			return err
		}
		if d.Group != "" {
			if _, err := arm.ResourceGroupForWrite(tx, d.Subscription, d.Group); err != nil {
				return err
			}
		}
		op, err := r.StartOperation(tx, arm.NewOperation{Resource: d.ID(), Verb: verb, Location: placeOf(d, r), Final: http.StatusOK})
		if err != nil {
			return err
		}
		d.Operation = op.ID
		if err := tx.PutDeployment(d); err != nil {
			return err
		}
		if err := tx.PutDeploymentInput(d.ID(), sealed); err != nil {
			return err
		}
		if err := prune(tx, d); err != nil {
			return err
		}
		return r.Audit(tx, audit.DeploymentStarted, d.ID(), map[string]string{"mode": d.Mode, "operation": op.ID.String()})
	})
	if err != nil {
		return err
	}
	w.Header().Set("Azure-AsyncOperation", h.face.BaseURL+d.ID()+"/operationStatuses/"+d.Operation.String()+"?api-version="+r.APIVersion)
	w.Header().Set("Retry-After", "1")
	return r.WriteJSON(status, render(d, r.Now()))
}

func placeOf(d resource.Deployment, r *arm.Request) string {
	if d.Location != "" {
		return d.Location
	}
	return r.Group.Location
}

// sealName binds what is sealed to the deployment and to this run of it.
func sealName(d resource.Deployment) string { return "deployment " + d.Key() }

// prune removes the oldest deployments of a scope when there are too many.
func prune(tx *store.Tx, d resource.Deployment) error {
	list, err := tx.Deployments(d.Subscription, d.Group)
	if err != nil {
		return err
	}
	for i := len(list) - 1; i >= mostHistory; i-- {
		if !list[i].Active() {
			if err := tx.DeleteDeployment(list[i].ID()); err != nil {
				return err
			}
		}
	}
	return nil
}

// load reads the deployment that a request names.
func load(tx *store.Tx, r *arm.Request) (resource.Deployment, error) {
	d, err := tx.Deployment(at(r).ID())
	if store.IsNotFound(err) {
		return d, fault.New(fault.NotFound, "DeploymentNotFound", "Deployment '%s' could not be found.", r.Param("name"))
	}
	return d, err
}

func (h *Handler) delete(w http.ResponseWriter, r *arm.Request) error {
	status := http.StatusNoContent
	_, err := h.DB.Update(r.Context(), func(tx *store.Tx) error {
		d, err := tx.Deployment(at(r).ID())
		if store.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if d.Active() {
			return fault.New(fault.Conflict, "DeploymentActive", "Unable to delete deployment '%s': it is still active. Cancel it first.", d.Name)
		}
		if err := tx.DeleteDeployment(d.ID()); err != nil {
			return err
		}
		return r.Audit(tx, audit.DeploymentDeleted, d.ID(), nil)
	})
	if err != nil {
		return err
	}
	w.WriteHeader(status)
	return nil
}

func (h *Handler) cancel(w http.ResponseWriter, r *arm.Request) error {
	_, err := h.DB.Update(r.Context(), func(tx *store.Tx) error {
		d, err := load(tx, r)
		if err != nil {
			return err
		}
		if !d.Active() {
			return fault.New(fault.Conflict, "DeploymentCannotBeCancelled",
				"The deployment '%s' cannot be cancelled: its provisioning state is '%s'.", d.Name, d.State)
		}
		if err := cancelRun(tx, r.Now(), d); err != nil {
			return err
		}
		return r.Audit(tx, audit.DeploymentCanceled, d.ID(), nil)
	})
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// cancelRun ends a deployment, with those in its template that it has begun.
func cancelRun(tx *store.Tx, now time.Time, d resource.Deployment) error {
	if _, err := arm.CancelOperation(tx, now, d.Operation, "The deployment was canceled."); err != nil {
		return err
	}
	begun := d.Steps
	d.Steps = slices.Clone(begun)
	d.State, d.EndedAt = canceled, now.UTC()
	d.Error = &resource.DeploymentError{Code: "DeploymentCanceled", Message: "The deployment was canceled. What it had begun goes on by itself."}
	endSteps(&d, now.UTC(), canceled)
	if err := tx.PutDeployment(d); err != nil {
		return err
	}
	for _, s := range begun {
		if s.State != running || !equalFold(s.Type, kind) {
			continue
		}
		inner, err := tx.Deployment(s.Resource)
		if store.IsNotFound(err) || err == nil && (!inner.Active() || inner.Correlation != d.Correlation) {
			continue
		}
		if err == nil {
			err = cancelRun(tx, now, inner)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func endSteps(d *resource.Deployment, now time.Time, state string) {
	for i := range d.Steps {
		if d.Steps[i].State == running {
			d.Steps[i].State, d.Steps[i].EndedAt = state, now
		}
	}
}

// operationOf reads the id of an operation in a path.
func operationOf(r *arm.Request) (ident.OperationID, bool) {
	id, err := ident.Parse[ident.OperationID](r.Param("operation"))
	return id, err == nil
}
