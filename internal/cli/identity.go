package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/keyreeve/keyreeve/internal/hostagent"
)

func identityCommand(d Deps) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "identity",
		Short: "Managed identities on hosts outside clusters",
	}
	cmd.AddCommand(hostCommand(d), agentCommand(d))
	return cmd
}

// newHost is what `identity host` is told.
type newHost struct {
	name, group, subscription, location, out string
	identities                               []string
}

// hostCommand makes a host and its secret.
func hostCommand(d Deps) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "host NAME",
		Short: "Make a host to which managed identities are assigned, and a new secret for it",
		Long: "Make a host, a machine or a runner outside clusters, to which managed identities are assigned, and a secret with which it\n" +
			"gets their tokens. For a host that is there already it assigns what is named and makes a new secret: the one before\n" +
			"ends. The secret is written to a file that its owner alone may read.\n\n" +
			"It asks the control plane as you, with the token of `az login`, in the environment of `keyreeve env`. You need\n" +
			"Managed Identity Operator on each identity.",
		Args: cobra.ExactArgs(1),
	}
	var h newHost
	f := cmd.Flags()
	f.StringVarP(&h.group, "resource-group", "g", "", "resource group (required)")
	f.StringVar(&h.subscription, "subscription", "", "subscription id (default: that of az)")
	f.StringVarP(&h.location, "location", "l", "", "location (default: the resource group's)")
	f.StringArrayVar(&h.identities, "identity", nil, "resource id of a user-assigned identity (required; may be repeated)")
	f.StringVar(&h.out, "secret-file", "", "file for the secret (default NAME.secret)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		h.name = args[0]
		if h.group == "" || len(h.identities) == 0 {
			return errors.New("--resource-group and --identity are needed")
		}
		if h.out == "" {
			h.out = h.name + ".secret"
		}
		return h.run(cmd.Context(), d)
	}
	return cmd
}

func (h *newHost) run(ctx context.Context, d Deps) error {
	arm, sub, err := armFromEnvironment(ctx)
	if err != nil {
		return err
	}
	if h.subscription == "" {
		h.subscription = sub
	}
	if h.subscription == "" {
		return errors.New("--subscription is needed: there is none in the environment")
	}
	in := "/subscriptions/" + url.PathEscape(h.subscription) + "/resourceGroups/" + url.PathEscape(h.group)
	if h.location == "" {
		var at struct {
			Location string `json:"location"`
		}
		if err := arm.Get(ctx, in, &at); err != nil {
			return err
		}
		h.location = at.Location
	}
	users := map[string]struct{}{}
	for _, id := range h.identities {
		users[id] = struct{}{}
	}
	id := in + "/providers/Keyreeve.Identity/hosts/" + url.PathEscape(h.name)
	var made json.RawMessage
	body := map[string]any{"location": h.location, "identity": map[string]any{"type": "UserAssigned", "userAssignedIdentities": users}}
	if err := arm.Put(ctx, id, body, &made); err != nil {
		return err
	}
	var secret struct {
		Endpoint string `json:"identityEndpoint"`
		Header   string `json:"identityHeader"`
	}
	if err := arm.Post(ctx, id+"/newSecret", struct{}{}, &secret); err != nil {
		return err
	}
	if err := os.WriteFile(h.out, []byte(secret.Header+"\n"), 0o600); err != nil {
		return err
	}
	_, err = fmt.Fprintf(d.Out, "The secret is in %s. On the host:\n\n  export IDENTITY_ENDPOINT=%s IDENTITY_HEADER=\"$(cat %s)\"\n\n"+
		"for azidentity and kubelogin, or, for az and others that ask the instance metadata service:\n\n"+
		"  keyreeve identity agent --endpoint %s --secret-file %s\n", h.out, secret.Endpoint, h.out, secret.Endpoint, h.out)
	return err
}

// agentCommand serves the forms of the metadata service on a host.
func agentCommand(d Deps) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Serve the identity endpoint of this host, in the forms of the instance metadata service",
		Long: "Serve the identity endpoint of this host, in the foreground: GET /metadata/identity/oauth2/token, which MSAL finds by\n" +
			"AZURE_POD_IDENTITY_AUTHORITY_HOST, and POST /oauth2/token for az before 2.7x, which finds it by MSI_ENDPOINT. Whoever can connect to it gets the host's tokens, so it serves loopback and link-local addresses\n" +
			"alone. A line `ready` is printed when it answers.",
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	endpoint := f.String("endpoint", "", "where the control plane gives tokens (required)")
	file := f.String("secret-file", "", "file with the host's secret (required)")
	listen := f.String("listen", "127.0.0.1:40342", "address to serve; 169.254.169.254:80 where that is this host's")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		u, err := url.Parse(*endpoint)
		if err != nil || u.Scheme != "https" || u.Host == "" {
			return errors.New("--endpoint is needed: the https address that `keyreeve identity host` printed")
		}
		secret, err := os.ReadFile(*file)
		if err != nil {
			return fmt.Errorf("--secret-file: %w", err)
		}
		log, err := logger(d.Err, "info")
		if err != nil {
			return err
		}
		ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		l, err := hostagent.Listen(ctx, *listen)
		if err != nil {
			return fmt.Errorf("--listen: %w", err)
		}
		if _, err := fmt.Fprintf(d.Out, "export AZURE_POD_IDENTITY_AUTHORITY_HOST=http://%[1]s\nexport MSI_ENDPOINT=http://%[1]s/oauth2/token\nready\n", l.Addr()); err != nil {
			return errors.Join(err, l.Close())
		}
		a := &hostagent.Agent{Endpoint: *endpoint, Secret: strings.TrimSpace(string(secret)), HTTP: &http.Client{}, Log: log}
		return a.Serve(ctx, l)
	}
	return cmd
}
