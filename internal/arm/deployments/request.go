package deployments

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/arm"
	"github.com/keyreeve/keyreeve/internal/caller"
	"github.com/keyreeve/keyreeve/internal/fault"
	"github.com/keyreeve/keyreeve/internal/ident"
	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/store"
	"github.com/keyreeve/keyreeve/internal/template"
)

func equalFold(a, b string) bool { return strings.EqualFold(a, b) }

// asked is the body of a request: what to deploy.
type asked struct {
	Template   *template.Object
	Parameters *template.Object // values by name
	Mode       string
	Location   string
	Tags       map[string]string
	// IDsOnly is what a foretelling may ask for.
	IDsOnly bool
}

const (
	incremental = "Incremental"
	complete    = "Complete"
)

func badRequest(format string, args ...any) error {
	return fault.New(fault.Invalid, "InvalidRequestContent", "The request content was invalid and could not be deserialized: '%s'.", fmt.Sprintf(format, args...))
}

func notOffered(member, instead string) error {
	return fault.New(fault.Invalid, "DeploymentFeatureNotSupported", "'%s' is not supported here: %s.", member, instead)
}

// read reads the body of a request.
func read(raw []byte) (asked, error) {
	var a asked
	v, err := template.Read(raw)
	if err != nil {
		return a, err
	}
	body, ok := v.(*template.Object)
	if !ok {
		return a, badRequest("the body has to be an object")
	}
	p := body.Child("properties")
	if p == nil {
		return a, badRequest("Required property 'properties' not found in JSON. Path ''")
	}
	for member, instead := range map[string]string{
		"templateLink": "send the template itself", "parametersLink": "send the parameters themselves",
		"onErrorDeployment": "deploy the earlier template again", "extensionConfigs": "there are no extensions",
	} {
		if x, ok := p.Get(member); ok && x != nil {
			return a, notOffered(member, instead)
		}
	}
	a.Location = body.Text("location")
	for n, x := range body.Child("tags").All() {
		s, ok := x.(string)
		if !ok || len(a.Tags) == 50 {
			return a, badRequest("the tags have to be at most 50 strings")
		}
		if a.Tags == nil {
			a.Tags = map[string]string{}
		}
		a.Tags[n] = s
	}
	switch mode := p.Text("mode"); {
	case equalFold(mode, incremental):
		a.Mode = incremental
	case equalFold(mode, complete):
		a.Mode = complete
	default:
		return a, badRequest("The deployment mode '%s' is not valid; it is Incremental or Complete. Path 'properties.mode'", mode)
	}
	a.IDsOnly = equalFold(p.Child("whatIfSettings").Text("resultFormat"), "ResourceIdOnly")
	t, _ := p.Get("template")
	if a.Template, ok = t.(*template.Object); !ok {
		return a, fault.New(fault.Invalid, "InvalidTemplate", "Deployment template validation failed: 'The template is missing or is no object'.")
	}
	a.Parameters, err = values(p)
	return a, err
}

func values(p *template.Object) (*template.Object, error) {
	out := template.NewObject()
	for n, x := range p.Child("parameters").All() {
		o, _ := x.(*template.Object)
		v, ok := o.Get("value")
		if !ok {
			if _, vault := o.Get("reference"); vault {
				return nil, notOffered("reference", "parameter '"+n+"' refers to a key vault, and there is none; give its value")
			}
			return nil, badRequest("The parameter '%s' has no value", n)
		}
		out.Set(n, v)
	}
	return out, nil
}

var nameForm = regexp.MustCompile(`^[-\w._()]{1,64}$`)

// checkName holds the name of a deployment against its rule.
func checkName(name string) error {
	if nameForm.MatchString(name) {
		return nil
	}
	return fault.New(fault.Invalid, "InvalidDeploymentName",
		"The deployment name is not valid: it has 1 to 64 letters, digits, '-', '.', '_', '(' and ')'.")
}

// inputs are what a template of a deployment is expanded with.
func (h *Handler) inputs(ctx context.Context, d resource.Deployment, who caller.Caller, a asked) (template.Inputs, error) {
	sub, _ := h.World.Subscription(d.Subscription)
	tenant, _ := h.World.Tenant(who.Tenant)
	in := template.Inputs{
		Name: d.Name, Mode: a.Mode, Location: d.Location, SubscriptionID: d.Subscription.String(), GroupName: d.Group, Parameters: a.Parameters,
		Subscription: template.NewObject("id", "/subscriptions/"+sub.ID.String(), "subscriptionId", sub.ID.String(), "tenantId", sub.Tenant.String(),
			"displayName", sub.DisplayName),
		Tenant:   template.NewObject("tenantId", who.Tenant.String(), "displayName", tenant.DisplayName),
		Deployer: template.NewObject("objectId", who.Object.String(), "tenantId", who.Tenant.String()),
		Environment: template.NewObject("name", "Keyreeve", "resourceManager", h.face.BaseURL+"/", "portal", h.face.PortalURL, "graph", h.face.GraphURL+"/",
			"authentication", template.NewObject("loginEndpoint", h.LoginURL+"/", "tenant", "common", "identityProvider", "AAD"),
			"suffixes", template.NewObject()),
		Now: h.Now(), NewGUID: func() string { return ident.New[ident.GUID]().String() },
	}
	if d.Group == "" {
		return in, nil
	}
	var g resource.Group
	err := h.DB.View(ctx, func(tx *store.Tx) (err error) {
		g, err = arm.ResourceGroup(tx, d.Subscription, d.Group)
		return err
	})
	in.Group = template.NewObject("id", d.Scope(), "name", g.Name, "type", "Microsoft.Resources/resourceGroups", "location", g.Location)
	if g.ManagedBy != "" {
		in.Group.Set("managedBy", g.ManagedBy)
	}
	tags := template.NewObject()
	for n, v := range g.Tags {
		tags.Set(n, v)
	}
	in.Group.Set("tags", tags)
	in.Group.Set("properties", template.NewObject("provisioningState", g.State))
	return in, err
}

// plan expands a template.
func (h *Handler) plan(ctx context.Context, d resource.Deployment, who caller.Caller, a asked) (*template.Plan, error) {
	t, err := template.Parse(a.Template)
	if err != nil {
		return nil, err
	}
	in, err := h.inputs(ctx, d, who, a)
	if err != nil {
		return nil, err
	}
	return t.Expand(in)
}

// Bounds of deployments in deployments. A few lines can unfold into any number of them: each may be there 800 times.
const (
	maxNested   = 5
	maxUnfolded = 4000     // resources of a template with all that are nested in it; ours
	maxText     = 64 << 20 // bytes of the deployments that are nested in a template; ours
)

// unfolding counts what a template holds.
type unfolding struct {
	depth int // of deployments in deployments
	// resources and bytes may still come.
	resources, bytes *int
}

func unfold() unfolding {
	resources, bytes := maxUnfolded, maxText
	return unfolding{resources: &resources, bytes: &bytes}
}

// spend counts resources and bytes, and refuses those that are too many.
func (u unfolding) spend(resources, bytes int) error {
	*u.resources -= resources
	*u.bytes -= bytes
	switch {
	case *u.resources < 0:
		return fault.New(fault.Invalid, "InvalidTemplate",
			"Deployment template validation failed: 'The template and the deployments in it have more than %d resources'.", maxUnfolded)
	case *u.bytes < 0:
		return fault.New(fault.Invalid, "InvalidTemplate", "Deployment template validation failed: 'The deployments in the template have more than %d bytes'.", maxText)
	}
	return nil
}

func tooDeep() error {
	return fault.New(fault.Invalid, "InvalidTemplate", "Deployment template validation failed: 'Deployments are nested deeper than %d'.", maxNested)
}

// preflight refuses a plan in which there is something that the caller may not do, before any of it is done.
func (h *Handler) preflight(ctx context.Context, d resource.Deployment, who caller.Caller, a asked, p *template.Plan, u unfolding) error {
	if err := u.spend(len(p.Resources), 0); err != nil {
		return err
	}
	made := map[string]bool{}
	var trouble []error
	for _, res := range p.Resources {
		if err := ctx.Err(); err != nil {
			return err
		}
		if equalFold(res.Type, "Microsoft.Resources/resourceGroups") {
			made[strings.ToLower(res.ID)] = true
		}
		err := h.face.MayAct(ctx, who, arm.Call{Method: "PUT", ID: res.ID, APIVersion: res.APIVersion})
		if e := fault.As(err); e != nil && e.Code == "ResourceGroupNotFound" && made[groupOf(res.ID)] {
			err = nil
		}
		if err == nil && equalFold(res.Type, kind) {
			err = h.preflightInner(ctx, who, res, made, u)
		}
		if err != nil {
			if fault.Is(err, fault.Unavailable) || u.spend(0, 0) != nil {
				return err
			}
			trouble = append(trouble, refusal(res, err))
		}
	}
	if a.Mode == complete {
		extra, err := h.extra(ctx, d, who, p)
		if err != nil {
			return err
		}
		for _, x := range extra {
			if err := h.face.MayAct(ctx, who, arm.Call{Method: "DELETE", ID: x.ID, APIVersion: h.version(x.Type)}); err != nil {
				trouble = append(trouble, refusal(&template.Resource{ID: x.ID, Name: x.Name, Type: x.Type}, err))
			}
		}
	}
	return joined(trouble)
}

// preflightInner looks into a deployment in a template, as far as its parameters are known before it.
func (h *Handler) preflightInner(ctx context.Context, who caller.Caller, res *template.Resource, made map[string]bool, u unfolding) error {
	text := template.Write(res.Body)
	if err := u.spend(0, len(text)); err != nil {
		return err
	}
	inner, err := read([]byte(text))
	if err != nil {
		return err
	}
	if inner.Mode == complete {
		return fault.New(fault.Invalid, "InvalidTemplate", "Deployment template validation failed: 'The deployment '%s' in the template has the mode Complete; "+
			"only the outermost deployment may have it'.", res.Name)
	}
	if u.depth++; u.depth+levels(inner.Template) > maxNested {
		return tooDeep()
	}
	d, ok := deploymentAt(res.ID)
	if !ok || res.Open || made[strings.ToLower(d.Scope())] {
		return nil // what it is deployed with, or into, comes of what is deployed before
	}
	d.Location = inner.Location
	p, err := h.plan(ctx, d, who, inner)
	if err != nil {
		return err
	}
	return h.preflight(ctx, d, who, inner, p, u)
}

// levels is how deep deployments are nested in a template, as it is written.
func levels(t *template.Object) int {
	deepest := 0
	list, _ := t.Get("resources")
	resources, _ := list.([]any)
	if named, ok := list.(*template.Object); ok { // resources by name, in newer templates
		for _, x := range named.All() {
			resources = append(resources, x)
		}
	}
	for _, x := range resources {
		if o, ok := x.(*template.Object); ok {
			inner, _ := o.Child("properties").Get("template")
			if t, ok := inner.(*template.Object); ok {
				deepest = max(deepest, 1+levels(t))
			}
			deepest = max(deepest, levels(o))
		}
	}
	return deepest
}

// deploymentAt reads the id of a deployment.
func deploymentAt(id string) (resource.Deployment, bool) {
	s := strings.Split(strings.Trim(id, "/"), "/")
	if len(s) != 6 && len(s) != 8 {
		return resource.Deployment{}, false
	}
	sub, err := ident.Parse[ident.SubscriptionID](s[1])
	d := resource.Deployment{Subscription: sub, Name: s[len(s)-1]}
	if len(s) == 8 {
		d.Group = s[3]
	}
	return d, err == nil
}

// groupOf is the lower-case id of the group that an id lies in.
func groupOf(id string) string {
	s := strings.Split(strings.ToLower(id), "/")
	return strings.Join(s[:min(5, len(s))], "/")
}

func refusal(res *template.Resource, err error) error {
	e := fault.As(err)
	if e.Kind == fault.Forbidden {
		return fault.New(fault.Forbidden, "AuthorizationFailed", "Authorization failed for template resource '%s' of type '%s'. %s", res.Name, res.Type, e.Public)
	}
	return err
}

// joined makes one error of those that were found before a deployment.
func joined(trouble []error) error {
	if len(trouble) == 0 {
		return nil
	}
	first := fault.As(trouble[0])
	if len(trouble) == 1 && first.Kind != fault.Forbidden {
		return trouble[0]
	}
	worst := fault.Invalid
	var texts []string
	details := make([]arm.Detail, 0, len(trouble))
	for _, err := range trouble {
		e := fault.As(err)
		if e.Kind == fault.Forbidden {
			worst = fault.Forbidden
		}
		texts = append(texts, "'"+e.Public+"'")
		details = append(details, arm.DetailOf(err))
	}
	if len(texts) > 20 {
		texts = append(texts[:20], fmt.Sprintf("and %d more", len(texts)-20))
	}
	return arm.WithDetails(fault.New(worst, "InvalidTemplateDeployment", "Deployment failed with multiple errors: %s", strings.Join(texts, ", ")), details...)
}

// version is an api-version that a type has.
func (h *Handler) version(of string) string {
	namespace, name, _ := strings.Cut(of, "/")
	if h.face.Supports != nil {
		if s, ok := h.face.Supports(namespace, name); ok && len(s.Versions) > 0 {
			return s.Versions[0]
		}
	}
	return "2021-04-01"
}

// duration is a time span in ISO 8601.
func duration(d time.Duration) string {
	return "PT" + strconv.FormatFloat(max(0, d.Round(100*time.Nanosecond).Seconds()), 'f', -1, 64) + "S"
}
