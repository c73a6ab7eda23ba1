package kubeplugin

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keyreeve/keyreeve/internal/accesstext"
	"github.com/keyreeve/keyreeve/internal/client"
)

// resourceManager is whom a token for questions about access is for.
const resourceManager = "https://management.azure.com"

func explainCommand(d Deps, f *flags) *cobra.Command {
	var namespace, cluster string
	cmd := &cobra.Command{
		Use:     "explain VERB RESOURCE[.GROUP][/SUBRESOURCE] [NAME] | VERB /PATH",
		Short:   "Say whether you may do something in this cluster, and why",
		Example: "  kubectl keyreeve explain list pods -n dev\n  kubectl keyreeve explain update deployments.apps/scale web -n dev\n  kubectl keyreeve explain get /metrics",
		Args:    cobra.RangeArgs(2, 3), ValidArgsFunction: completeQuestion,
	}
	cmd.Flags().StringVarP(&namespace, "namespace", "n", "", "namespace (default: everywhere in the cluster)")
	cmd.Flags().StringVar(&cluster, "cluster-id", "", "the cluster's resource id, where it cannot be found by its address")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		q, err := accesstext.Question(args, namespace)
		if err != nil {
			return err
		}
		h, err := f.here(d)
		if err != nil {
			return err
		}
		// The API server's answer is what counts; Resource Manager's has the reasons.
		verdict, err := h.decide(cmd.Context(), q)
		if err != nil {
			return err
		}
		var e client.Explanation
		c, id, why := h.resourceManager(cmd.Context(), cluster)
		if why == nil {
			e, why = c.Explain(cmd.Context(), id, q)
		}
		if f.output == "json" {
			out := map[string]any{"decision": verdict.word(), "reason": verdict.Reason}
			if why == nil {
				out["explanation"] = e
			} else {
				out["explanationMissing"] = why.Error()
			}
			return printJSON(d.Out, out)
		}
		if why == nil && e.Decision == verdict.word() {
			return accesstext.Explanation(d.Out, &e)
		}
		if err := verdict.print(d.Out); err != nil || why == nil {
			return err
		}
		_, _ = fmt.Fprintf(d.Err, "kubectl keyreeve: the API server says no more, and Resource Manager was not asked: %v\n", why)
		return nil
	}
	return cmd
}

func accessCommand(d Deps, f *flags) *cobra.Command {
	var cluster string
	cmd := &cobra.Command{
		Use: "access", Short: "List all that you hold in this cluster", Args: cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, err := f.here(d)
			if err != nil {
				return err
			}
			c, id, err := h.resourceManager(cmd.Context(), cluster)
			if err != nil {
				return err
			}
			got, err := c.Access(cmd.Context(), id, client.Question{})
			if err != nil {
				return err
			}
			if f.output == "json" {
				return printJSON(d.Out, got)
			}
			return accesstext.Access(d.Out, &got)
		},
	}
	cmd.Flags().StringVar(&cluster, "cluster-id", "", "the cluster's resource id, where it cannot be found by its address")
	return cmd
}

func completeQuestion(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"}, cobra.ShellCompDirectiveNoFileComp
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}

// verdict is what a SelfSubjectAccessReview answers.
type verdict struct {
	Allowed         bool   `json:"allowed"`
	Denied          bool   `json:"denied"`
	Reason          string `json:"reason"`
	EvaluationError string `json:"evaluationError"`
}

func (v verdict) word() string {
	if v.Allowed {
		return "allow"
	}
	return "deny"
}

func (v verdict) print(w io.Writer) error {
	text := v.word()
	if v.Reason != "" {
		text += ": " + v.Reason
	}
	if v.EvaluationError != "" {
		text += "\n" + v.EvaluationError
	}
	_, err := fmt.Fprintln(w, text)
	return err
}

// decide asks the API server.
func (h *here) decide(ctx context.Context, q client.Question) (verdict, error) {
	type resource struct {
		Namespace   string `json:"namespace,omitempty"`
		Verb        string `json:"verb"`
		Group       string `json:"group,omitempty"`
		Resource    string `json:"resource"`
		Subresource string `json:"subresource,omitempty"`
		Name        string `json:"name,omitempty"`
	}
	type path struct {
		Path string `json:"path"`
		Verb string `json:"verb"`
	}
	var in struct {
		typed
		Spec struct {
			Resource *resource `json:"resourceAttributes,omitempty"`
			Path     *path     `json:"nonResourceAttributes,omitempty"`
		} `json:"spec"`
	}
	const v1 = "authorization.k8s.io/v1"
	in.typed = typed{v1, "SelfSubjectAccessReview"}
	if q.Path != "" {
		in.Spec.Path = &path{q.Path, q.Verb}
	} else {
		in.Spec.Resource = &resource{q.Namespace, q.Verb, q.Group, q.Resource, q.Subresource, q.Name}
	}
	var out struct {
		Status verdict `json:"status"`
	}
	err := h.review(ctx, "/apis/"+v1+"/selfsubjectaccessreviews", in, &out)
	return out.Status, err
}

// resourceManager finds the Keyreeve behind the authority, and the cluster in it.
func (h *here) resourceManager(ctx context.Context, cluster string) (*client.Client, string, error) {
	if h.signIn == nil {
		return nil, "", fmt.Errorf("the user %q does not sign in at a directory, and what a certificate or a token of the cluster's own may do is not known there", h.UserName)
	}
	if h.As.User != "" {
		return nil, "", fmt.Errorf("the user %q stands for %s (impersonation), and Resource Manager knows whoever signs in alone", h.UserName, h.As.User)
	}
	roots, err := pool(h.signIn.CA(), true)
	if err != nil {
		return nil, "", err
	}
	web, err := httpClient(&tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}, "")
	if err != nil {
		return nil, "", err
	}
	arm, err := introduce(ctx, web, h.signIn.Authority())
	if err != nil {
		return nil, "", err
	}
	c := &client.Client{BaseURL: arm, HTTP: web, Token: func(ctx context.Context) (string, error) { return h.signIn.For(ctx, resourceManager) }}
	if cluster != "" {
		return c, strings.TrimSuffix(cluster, "/"), nil
	}
	id, err := h.find(ctx, c)
	return c, id, err
}

// introduce asks the authority where its Resource Manager is.
func introduce(ctx context.Context, web *http.Client, authority string) (string, error) {
	none := fmt.Errorf("no Keyreeve answers at %s", authority)
	u, err := url.Parse(authority)
	if err != nil || u.Scheme != "https" {
		return "", none
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.Scheme+"://"+u.Host+"/.well-known/keyreeve", nil)
	if err != nil {
		return "", none
	}
	resp, err := web.Do(req)
	if err != nil {
		return "", fmt.Errorf("%w: %w", none, err)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return "", fmt.Errorf("%w: %w", none, err)
	}
	var in struct {
		ARM string `json:"arm"`
	}
	if resp.StatusCode != http.StatusOK || json.Unmarshal(text, &in) != nil {
		return "", none
	}
	if arm, err := url.Parse(in.ARM); err != nil || arm.Scheme != "https" || arm.Host == "" || arm.Path != "" {
		return "", none
	}
	return in.ARM, nil
}

// find returns the resource id of the cluster that answers at the context's address.
func (h *here) find(ctx context.Context, c *client.Client) (string, error) {
	ids, err := c.Clusters(ctx)
	if err != nil {
		return "", err
	}
	var named []string
	for _, id := range ids {
		var x struct {
			Properties struct {
				FQDN        string `json:"fqdn"`
				PrivateFQDN string `json:"privateFQDN"`
			} `json:"properties"`
		}
		// The name of the user in a kubeconfig that get-credentials wrote says group and cluster.
		parts := strings.Split(id, "/")
		if len(parts) == 9 && strings.EqualFold(h.UserName, "clusterUser_"+parts[4]+"_"+parts[8]) {
			named = append(named, id)
		}
		if err := c.Get(ctx, id, &x); err != nil {
			continue
		}
		if u, err := url.Parse(h.Server); err == nil {
			if host := u.Hostname(); host != "" && (strings.EqualFold(host, x.Properties.FQDN) || strings.EqualFold(host, x.Properties.PrivateFQDN)) {
				return id, nil
			}
		}
	}
	if len(named) == 1 {
		return named[0], nil
	}
	return "", fmt.Errorf("you see no cluster at %s in Resource Manager, and with its resource id, --cluster-id, you need not", h.Server)
}
