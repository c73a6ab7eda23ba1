package cli

import (
	"context"
	"errors"
	"net/url"

	"github.com/spf13/pflag"

	"github.com/keyreeve/keyreeve/internal/client"
	"github.com/keyreeve/keyreeve/internal/fault"
)

// place is where a resource is made: what az's own commands are told by the same flags.
type place struct{ group, subscription, location string }

func (p *place) flags(f *pflag.FlagSet) {
	f.StringVarP(&p.group, "resource-group", "g", "", "resource group (required)")
	f.StringVar(&p.subscription, "subscription", "", "subscription id (default: that of az)")
	f.StringVarP(&p.location, "location", "l", "", "location (default: the resource group's)")
}

// asksAsYou is how open finds out who asks, for the help of its commands.
const asksAsYou = "It asks the control plane as you, with the token of `keyreeve login` or `az login` (or the one in KEYREEVE_TOKEN), in the environment\n" +
	"of `keyreeve env`."

// open returns the Resource Manager API of the environment, and finds the subscription if none was named.
func (p *place) open(ctx context.Context) (*client.Client, error) {
	arm, sub, err := armFromEnvironment(ctx)
	if err != nil {
		return nil, err
	}
	if p.subscription == "" {
		p.subscription = sub
	}
	if p.subscription == "" {
		return nil, errors.New("--subscription is needed: there is none in the environment")
	}
	return arm, nil
}

func (p *place) groupPath() string {
	return "/subscriptions/" + url.PathEscape(p.subscription) + "/resourceGroups/" + url.PathEscape(p.group)
}

// resource is the path of a resource of a type.
func (p *place) resource(kind, name string) string {
	return p.groupPath() + "/providers/" + kind + "/" + url.PathEscape(name)
}

// found is what is kept of a resource that is there already; it is empty for one that is not.
type found struct {
	ID       string            `json:"id"`
	Location string            `json:"location"`
	Tags     map[string]string `json:"tags"`
}

// find reads the resource at a path, and settles the location: as asked for, the resource's, or its group's.
func (p *place) find(ctx context.Context, arm *client.Client, path string) (found, error) {
	var have, group found
	if err := arm.Get(ctx, path, &have); err != nil && !fault.Is(err, fault.NotFound) {
		return have, err
	}
	if p.location == "" {
		p.location = have.Location
	}
	if p.location == "" {
		if err := arm.Get(ctx, p.groupPath(), &group); err != nil {
			return have, err
		}
		p.location = group.Location
	}
	return have, nil
}
