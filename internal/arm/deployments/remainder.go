package deployments

import (
	"context"
	"strings"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/caller"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/template"
)

// extra are the resources of the group that neither a template nor a deployment in it names: a deployment of mode Complete
// removes them.
func (h *Handler) extra(ctx context.Context, d resource.Deployment, who caller.Caller, p *template.Plan) ([]arm.GenericResource, error) {
	if d.Group == "" {
		return nil, fault.New(fault.Invalid, "InvalidDeploymentMode", "The deployment mode Complete is for resource groups; a subscription takes Incremental.")
	}
	named := map[string]bool{}
	h.names(ctx, who, p, named, 0)
	var out []arm.GenericResource
	err := h.DB.View(ctx, func(tx *store.Tx) error {
		for _, res := range p.Resources {
			if err := begotten(tx, res.Type, res.ID, d.Correlation, named, 0); err != nil {
				return err
			}
		}
		for _, c := range h.Contents {
			list, err := c.Resources(tx, d.Subscription, d.Group)
			if err != nil {
				return err
			}
			for _, x := range list {
				if !named[strings.ToLower(x.ID)] {
					out = append(out, x)
				}
			}
		}
		return nil
	})
	return out, err
}

// names collects what a plan names, and the deployments in it as far as they are known before they run.
func (h *Handler) names(ctx context.Context, who caller.Caller, p *template.Plan, named map[string]bool, depth int) {
	for _, res := range p.Resources {
		named[strings.ToLower(res.ID)] = true
		if !equalFold(res.Type, kind) || res.Open || depth >= maxNested {
			continue
		}
		inner, err := read([]byte(template.Write(res.Body)))
		d, ok := deploymentAt(res.ID)
		if err != nil || !ok {
			continue // refused elsewhere
		}
		d.Location = inner.Location
		if p, err := h.plan(ctx, d, who, inner); err == nil {
			h.names(ctx, who, p, named, depth+1)
		}
	}
}

// begotten collects what a deployment in a template has made in this run of the outer one, which the correlation tells.
func begotten(tx *store.Tx, ofType, id, correlation string, named map[string]bool, depth int) error {
	if !equalFold(ofType, kind) || depth > maxNested {
		return nil
	}
	d, err := tx.Deployment(id)
	if store.IsNotFound(err) || err == nil && d.Correlation != correlation {
		return nil
	}
	if err != nil {
		return err
	}
	for _, s := range d.Steps {
		named[strings.ToLower(s.Resource)] = true
		if err := begotten(tx, s.Type, s.Resource, correlation, named, depth+1); err != nil {
			return err
		}
	}
	return nil
}
