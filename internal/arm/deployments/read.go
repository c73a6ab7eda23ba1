package deployments

import (
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/template"
)

func (h *Handler) one(r *arm.Request) (d resource.Deployment, err error) {
	err = h.DB.View(r.Context(), func(tx *store.Tx) error {
		d, err = load(tx, r)
		return err
	})
	return d, err
}

func (h *Handler) get(_ http.ResponseWriter, r *arm.Request) error {
	d, err := h.one(r)
	if err != nil {
		return err
	}
	return r.WriteJSON(http.StatusOK, render(d, r.Now()))
}

func (h *Handler) head(w http.ResponseWriter, r *arm.Request) error {
	if _, err := h.one(r); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

var stateFilter = regexp.MustCompile(`^\s*provisioningState\s+(eq|ne)\s+'([A-Za-z]+)'\s*$`)

type page[T any] struct {
	Value    []T    `json:"value"`
	NextLink string `json:"nextLink,omitempty"`
}

func (h *Handler) list(_ http.ResponseWriter, r *arm.Request) error {
	filter, filtered, err := r.Query("$filter")
	if err != nil {
		return err
	}
	m := stateFilter.FindStringSubmatch(filter)
	if filtered && m == nil {
		return fault.New(fault.Invalid, "InvalidFilterInQueryString", "Invalid $filter '%s' specified in the query string: it is like provisioningState eq 'Failed'.", filter)
	}
	scope := resource.Deployment{Subscription: r.SubscriptionID()}
	if strings.Contains(strings.ToLower(r.Scope), "/resourcegroups/") {
		scope.Group = r.Param("group")
	}
	var all []resource.Deployment
	err = h.DB.View(r.Context(), func(tx *store.Tx) (err error) {
		if scope.Group != "" {
			if _, err := arm.ResourceGroup(tx, scope.Subscription, scope.Group); err != nil {
				return err
			}
		}
		all, err = tx.Deployments(scope.Subscription, scope.Group)
		return err
	})
	if err != nil {
		return err
	}
	var shown []answer
	for _, d := range all {
		if m == nil || equalFold(d.State, m[2]) == equalFold(m[1], "eq") {
			shown = append(shown, render(d, r.Now()))
		}
	}
	out, err := paged(r, shown)
	if err != nil {
		return err
	}
	return r.WriteJSON(http.StatusOK, out)
}

// paged cuts a list to what $top and $skiptoken ask for.
func paged[T any](r *arm.Request, all []T) (page[T], error) {
	out := page[T]{Value: []T{}}
	number := func(name string, least int) (int, bool, error) {
		text, sent, err := r.Query(name)
		if err != nil || !sent {
			return 0, false, err
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < least {
			return 0, false, fault.New(fault.Invalid, "InvalidTopInQueryString", "Invalid %s '%s' specified in the query string.", name, text)
		}
		return n, true, nil
	}
	top, sent, err := number("$top", 1)
	if err != nil {
		return out, err
	}
	skip, _, err := number("$skiptoken", 0)
	if err != nil {
		return out, err
	}
	all = all[min(skip, len(all)):]
	if sent && len(all) > top {
		q := url.Values{"api-version": {r.APIVersion}, "$top": {strconv.Itoa(top)}, "$skiptoken": {strconv.Itoa(skip + top)}}
		if f, ok, _ := r.Query("$filter"); ok {
			q.Set("$filter", f)
		}
		out.NextLink = r.URL(r.HTTP.URL.EscapedPath(), q)
		all = all[:top]
	}
	out.Value = append(out.Value, all...)
	return out, nil
}

type statusBody struct {
	Status string                    `json:"status"`
	Error  *resource.DeploymentError `json:"error,omitempty"`
}

func (h *Handler) status(w http.ResponseWriter, r *arm.Request) error {
	d, err := h.one(r)
	if err != nil {
		return err
	}
	if id, ok := operationOf(r); !ok || id != d.Operation {
		return fault.New(fault.NotFound, "OperationNotFound", "The operation of deployment '%s' could not be found.", d.Name)
	}
	if d.Active() {
		w.Header().Set("Retry-After", "1")
	}
	return r.WriteJSON(http.StatusOK, statusBody{Status: d.State, Error: d.Error})
}

type operationBody struct {
	ID          string              `json:"id"`
	OperationID string              `json:"operationId"`
	Properties  operationProperties `json:"properties"`
}

type operationProperties struct {
	ProvisioningOperation string      `json:"provisioningOperation"`
	ProvisioningState     string      `json:"provisioningState"`
	Timestamp             string      `json:"timestamp"`
	Duration              string      `json:"duration"`
	TrackingID            string      `json:"trackingId"`
	StatusCode            string      `json:"statusCode,omitempty"`
	StatusMessage         *statusBody `json:"statusMessage,omitempty"`
	TargetResource        *named      `json:"targetResource,omitempty"`
}

func stepAnswers(d resource.Deployment, r *arm.Request) []operationBody {
	var out []operationBody
	for _, s := range d.Steps {
		when := s.EndedAt
		if when.IsZero() {
			when = r.Now()
		}
		b := operationBody{ID: d.ID() + "/operations/" + s.ID, OperationID: s.ID, Properties: operationProperties{
			ProvisioningOperation: s.Action, ProvisioningState: s.State, Timestamp: when.UTC().Format(timeForm), Duration: duration(when.Sub(s.StartedAt)),
			TrackingID: d.Correlation, StatusCode: s.StatusCode, TargetResource: &named{s.Resource, s.Type, s.Name},
		}}
		if s.Error != nil {
			b.Properties.StatusMessage = &statusBody{Status: s.State, Error: s.Error}
		}
		out = append(out, b)
	}
	if !d.Active() && d.State == succeeded {
		when := d.EndedAt.UTC()
		out = append(out, operationBody{ID: d.ID() + "/operations/" + d.Operation.Compact()[:16], OperationID: d.Operation.Compact()[:16], Properties: operationProperties{
			ProvisioningOperation: "EvaluateDeploymentOutput", ProvisioningState: succeeded, Timestamp: when.Format(timeForm), Duration: "PT0S",
			TrackingID: d.Correlation, StatusCode: "OK",
		}})
	}
	return out
}

func (h *Handler) operations(_ http.ResponseWriter, r *arm.Request) error {
	d, err := h.one(r)
	if err != nil {
		return err
	}
	out, err := paged(r, stepAnswers(d, r))
	if err != nil {
		return err
	}
	return r.WriteJSON(http.StatusOK, out)
}

func (h *Handler) operation(_ http.ResponseWriter, r *arm.Request) error {
	d, err := h.one(r)
	if err != nil {
		return err
	}
	for _, b := range stepAnswers(d, r) {
		if equalFold(b.OperationID, r.Param("operation")) {
			return r.WriteJSON(http.StatusOK, b)
		}
	}
	return fault.New(fault.NotFound, "DeploymentOperationNotFound", "The operation of deployment '%s' could not be found.", d.Name)
}

// input opens what a deployment works with.
func (h *Handler) input(tx *store.Tx, d resource.Deployment) (asked, error) {
	sealed, err := tx.DeploymentInput(d.ID())
	if err != nil {
		return asked{}, err
	}
	raw, err := h.Sealer.Open(sealName(d), sealed)
	if err != nil {
		return asked{}, fault.Wrap(err, "input of a deployment")
	}
	v, err := template.Read(raw)
	if err != nil {
		return asked{}, fault.Wrap(err, "input of a deployment")
	}
	o, _ := v.(*template.Object)
	return asked{Template: o.Child("template"), Parameters: o.Child("parameters"), Mode: o.Text("mode")}, nil
}

func (h *Handler) export(_ http.ResponseWriter, r *arm.Request) error {
	var a asked
	err := h.DB.View(r.Context(), func(tx *store.Tx) error {
		d, err := load(tx, r)
		if err != nil {
			return err
		}
		a, err = h.input(tx, d)
		return err
	})
	if err != nil {
		return err
	}
	return r.WriteJSON(http.StatusOK, map[string]any{"template": a.Template})
}
