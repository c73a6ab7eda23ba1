// Package deployments owns the deployment of templates (Microsoft.Resources/deployments), into resource groups and into
// subscriptions: checking, foretelling and doing what a template says.
//
//	PUT ─► template: expand ─► may the caller do all of it? ─► one transaction (deployment, operation) ─► 201
//	                                                                     │
//	                        worker: each resource by a call of the same API, in the caller's name ─► Succeeded or Failed
//
// It knows no resource type: every resource goes through the route that anybody's request for it goes through, with what the
// caller may do at that moment. It keeps the template and the parameters sealed.
package deployments

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/seal"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/world"
)

// Handler serves deployments.
type Handler struct {
	DB     *store.DB
	World  *world.World
	Sealer *seal.Sealer
	// Contents are the rooms that keep something in resource groups: a deployment of mode Complete removes what its template
	// does not name.
	Contents []arm.Contents
	// LoginURL is the token service's origin.
	LoginURL string
	Now      func() time.Time
	Log      *slog.Logger

	face *arm.Face
}

const (
	kind        = "Microsoft.Resources/deployments"
	verb        = "Deploying"
	mostHistory = 800 // deployments that are kept of one scope
)

// Mount registers the routes and the worker.
func (h *Handler) Mount(f *arm.Face, runner *arm.Runner) {
	h.face = f
	const (
		sub   = "/subscriptions/{subscription}"
		group = sub + "/resourceGroups/{group}"
		below = "/providers/" + kind
		one   = "/{name}"
	)
	route := func(method, pattern, action string, handle arm.HandlerFunc) {
		f.Handle(arm.Route{Method: method, Pattern: pattern, Action: kind + "/" + action, Errors: arm.FromGateway, Handle: handle})
	}
	for _, base := range []string{sub + below, group + below} {
		route(http.MethodGet, base, "read", h.list)
		route(http.MethodGet, base+one, "read", h.get)
		route(http.MethodHead, base+one, "read", h.head)
		route(http.MethodPut, base+one, "write", h.put)
		route(http.MethodDelete, base+one, "delete", h.delete)
		route(http.MethodPost, base+one+"/validate", "validate/action", h.validate)
		route(http.MethodPost, base+one+"/whatIf", "whatIf/action", h.whatIf)
		route(http.MethodPost, base+one+"/cancel", "cancel/action", h.cancel)
		route(http.MethodPost, base+one+"/exportTemplate", "exportTemplate/action", h.export)
		route(http.MethodGet, base+one+"/operationStatuses/{operation}", "operationstatuses/read", h.status)
		route(http.MethodGet, base+one+"/operations", "operations/read", h.operations)
		route(http.MethodGet, base+one+"/operations/{operation}", "operations/read", h.operation)
	}
	// Clients ask for the operations without the provider.
	route(http.MethodGet, group+"/deployments/{name}/operations", "operations/read", h.operations)
	route(http.MethodGet, group+"/deployments/{name}/operations/{operation}", "operations/read", h.operation)
	runner.Register(kind, verb, h.worker())
}

// Resources is empty: deployments are not among the resources of a group.
func (h *Handler) Resources(*store.Tx, ident.SubscriptionID, string) ([]arm.GenericResource, error) {
	return nil, nil
}

// Exists reports whether a deployment is there.
func (h *Handler) Exists(tx *store.Tx, id ident.ResourceID) (exists, known bool, err error) {
	if !equalFold(id.Type(), kind) {
		return false, false, nil
	}
	_, err = tx.Deployment(id.String())
	if store.IsNotFound(err) {
		return false, true, nil
	}
	return err == nil, true, err
}

// DeleteAll ends and removes the deployments of a group.
func (h *Handler) DeleteAll(ctx context.Context, sub ident.SubscriptionID, group string) error {
	_, err := h.DB.Update(ctx, func(tx *store.Tx) error {
		list, err := tx.Deployments(sub, group)
		if err != nil {
			return err
		}
		for _, d := range list {
			if d.Active() {
				if _, err := arm.CancelOperation(tx, h.Now(), d.Operation, "The resource group was deleted."); err != nil && !store.IsNotFound(err) {
					return err
				}
			}
			if err := tx.DeleteDeployment(d.ID()); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}

// at returns the deployment that a request's path names, without what is known of it.
func at(r *arm.Request) resource.Deployment {
	return resource.Deployment{Subscription: r.SubscriptionID(), Group: r.Group.Name, Name: r.Param("name")}
}
