package deployments

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/resource"
	"github.com/keyreeve/keyreeve/internal/template"
)

// answer is a deployment as it is written; the keys are in the order of the recorded answers.
type answer struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	Type       string            `json:"type"`
	Location   string            `json:"location,omitempty"`
	Tags       map[string]string `json:"tags,omitempty"`
	Properties properties        `json:"properties"`
}

type properties struct {
	TemplateHash       string                    `json:"templateHash"`
	Parameters         json.RawMessage           `json:"parameters,omitempty"`
	Mode               string                    `json:"mode"`
	ProvisioningState  string                    `json:"provisioningState"`
	Timestamp          string                    `json:"timestamp"`
	Duration           string                    `json:"duration"`
	CorrelationID      string                    `json:"correlationId"`
	Providers          json.RawMessage           `json:"providers"`
	Dependencies       json.RawMessage           `json:"dependencies"`
	Outputs            json.RawMessage           `json:"outputs,omitempty"`
	OutputResources    *[]reference              `json:"outputResources,omitempty"`
	ValidatedResources *[]reference              `json:"validatedResources,omitempty"`
	Error              *resource.DeploymentError `json:"error,omitempty"`
}

type reference struct {
	ID string `json:"id"`
}

const timeForm = "2006-01-02T15:04:05.0000000Z"

func render(d resource.Deployment, now time.Time) answer {
	when := d.EndedAt
	if when.IsZero() {
		when = now
	}
	a := answer{ID: d.ID(), Name: d.Name, Type: kind, Location: d.Location, Tags: d.Tags, Properties: properties{
		TemplateHash: d.Hash, Parameters: d.Parameters, Mode: d.Mode, ProvisioningState: d.State, Timestamp: when.UTC().Format(timeForm),
		Duration: duration(when.Sub(d.StartedAt)), CorrelationID: d.Correlation, Providers: d.Providers, Dependencies: d.Dependencies,
		Outputs: d.Outputs, Error: d.Error,
	}}
	if d.State == succeeded {
		list := []reference{}
		for _, s := range d.Steps {
			if s.Action == "Create" && s.State == succeeded {
				list = append(list, reference{s.Resource})
			}
		}
		a.Properties.OutputResources = &list
	}
	return a
}

type (
	provider struct {
		Namespace     string         `json:"namespace"`
		ResourceTypes []providerType `json:"resourceTypes"`
	}
	providerType struct {
		ResourceType string    `json:"resourceType"`
		Locations    []*string `json:"locations"`
	}
	dependency struct {
		DependsOn []named `json:"dependsOn"`
		named
	}
	named struct {
		ID           string `json:"id"`
		ResourceType string `json:"resourceType"`
		ResourceName string `json:"resourceName"`
	}
)

// describe fills in what a deployment tells of its plan.
func describe(d *resource.Deployment, p *template.Plan, a asked) error {
	providers, dependencies := []provider{}, []dependency{}
	for _, res := range p.Resources {
		providers = mention(providers, res)
		if len(res.DependsOn) == 0 {
			continue
		}
		dep := dependency{named: named{res.ID, res.Type, res.Name}}
		for _, on := range res.DependsOn {
			dep.DependsOn = append(dep.DependsOn, named{on.ID, on.Type, on.Name})
		}
		dependencies = append(dependencies, dep)
	}
	var err error
	if d.Providers, err = json.Marshal(providers); err != nil {
		return err
	}
	if d.Dependencies, err = json.Marshal(dependencies); err != nil {
		return err
	}
	if shown := p.ShownParameters(); shown.Len() > 0 {
		d.Parameters = []byte(template.Write(shown))
	}
	d.Mode, d.Hash = a.Mode, decimal(template.Hash(a.Template))
	return nil
}

func mention(list []provider, res *template.Resource) []provider {
	namespace, name, _ := strings.Cut(res.Type, "/")
	var place *string
	if s := res.Body.Text("location"); s != "" {
		place = &s
	}
	for i := range list {
		if !equalFold(list[i].Namespace, namespace) {
			continue
		}
		for _, t := range list[i].ResourceTypes {
			if equalFold(t.ResourceType, name) {
				return list
			}
		}
		list[i].ResourceTypes = append(list[i].ResourceTypes, providerType{name, []*string{place}})
		return list
	}
	return append(list, provider{namespace, []providerType{{name, []*string{place}}}})
}
