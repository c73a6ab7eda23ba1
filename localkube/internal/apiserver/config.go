package apiserver

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apiserver"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/metrics"
	"k8s.io/apiserver/pkg/authorization/union"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/util/webhook"
	aggregatorscheme "k8s.io/kube-aggregator/pkg/apiserver/scheme"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/controlplane"
	controlplaneapiserver "k8s.io/kubernetes/pkg/controlplane/apiserver"
	openapi "k8s.io/kubernetes/pkg/generated/openapi"

	"github.com/keyreeve/keyreeve/localkube/internal/line"
)

// newConfig is app.NewConfig, step by step: before anything that authorizes is made from the generic configuration, its
// authorizer gets the one at the socket before it. There is no option for that.
func newConfig(ctx context.Context, opts options.CompletedOptions, socket string, log *slog.Logger) (*app.Config, error) {
	generic, informers, storage, err := controlplaneapiserver.BuildGenericConfig(
		opts.CompletedOptions,
		[]*runtime.Scheme{legacyscheme.Scheme, apiextensions.Scheme, aggregatorscheme.Scheme},
		controlplane.DefaultAPIResourceConfigSource(), openapi.GetOpenAPIDefinitions, opts.InformerName,
	)
	if err != nil {
		return nil, fmt.Errorf("configure API server: %w", err)
	}
	if socket != "" {
		askFirst(generic, line.Open(ctx, socket, log))
	}
	c := &app.Config{Options: opts}
	kube, resolver, plugins, err := app.CreateKubeAPIServerConfig(opts, generic, informers, storage)
	if err != nil {
		return nil, fmt.Errorf("configure API server: %w", err)
	}
	c.KubeAPIs = kube
	plane := kube.ControlPlane
	c.ApiExtensions, err = controlplaneapiserver.CreateAPIExtensionsConfig(
		*plane.Generic, plane.VersionedInformers, plugins, opts.CompletedOptions, opts.MasterCount, resolver,
		webhook.NewDefaultAuthenticationInfoResolverWrapper(
			plane.ProxyTransport, plane.Generic.EgressSelector, plane.Generic.LoopbackClientConfig, plane.Generic.TracerProvider,
		),
	)
	if err != nil {
		return nil, fmt.Errorf("configure API extensions: %w", err)
	}
	c.Aggregator, err = controlplaneapiserver.CreateAggregatorConfig(
		*plane.Generic, opts.CompletedOptions, plane.VersionedInformers, resolver, plane.ProxyTransport, plane.Extra.PeerProxy, plugins,
	)
	if err != nil {
		return nil, fmt.Errorf("configure aggregator: %w", err)
	}
	return c, nil
}

// askFirst puts an authorizer where the chain of an AuthorizationConfiguration would have it: after the privileged group,
// before Node and RBAC.
func askFirst(generic *genericapiserver.Config, first *line.Authorizer) {
	generic.Authorization.Authorizer = chain{
		first: metrics.InstrumentedAuthorizer("Socket", authorizerName, first), rest: generic.Authorization.Authorizer,
	}
	generic.RuleResolver = union.NewRuleResolvers(first, generic.RuleResolver)
}

// chain asks one authorizer, and others if it has no opinion.
type chain struct{ first, rest authorizer.Authorizer }

// privileged reports whether the rest of the chain allows a user everything before it looks further.
func privileged(a authorizer.Attributes) bool {
	u := a.GetUser()
	return u != nil && slices.Contains(u.GetGroups(), user.SystemPrivilegedGroup)
}

func (c chain) Authorize(ctx context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	if !privileged(a) {
		if decision, reason, err := c.first.Authorize(ctx, a); decision != authorizer.DecisionNoOpinion {
			return decision, reason, err
		}
	}
	return c.rest.Authorize(ctx, a)
}

func (c chain) ConditionsAwareAuthorize(ctx context.Context, a authorizer.Attributes) authorizer.ConditionsAwareDecision {
	if !privileged(a) {
		if decision, reason, err := c.first.Authorize(ctx, a); decision != authorizer.DecisionNoOpinion {
			return authorizer.ConditionsAwareDecisionFromParts(decision, reason, err)
		}
	}
	return c.rest.ConditionsAwareAuthorize(ctx, a)
}

// EvaluateConditions is for the rest: the first knows none.
func (c chain) EvaluateConditions(ctx context.Context, d authorizer.ConditionsAwareDecision, data authorizer.ConditionsData) (authorizer.Decision, string, error) {
	return c.rest.EvaluateConditions(ctx, d, data)
}
