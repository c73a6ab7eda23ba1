package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/keyreeve/keyreeve/internal/client"
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
	place
	name, out  string
	identities []string
	system     bool
}

// hostCommand makes a host and its secret.
func hostCommand(d Deps) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "host NAME",
		Short: "Make a host to which managed identities are assigned, and a new secret for it",
		Long: "Make a host, a machine or a runner outside clusters, to which managed identities are assigned, and a secret with which it\n" +
			"gets their tokens. For a host that is there already, the identities that are named take the place of those it had (with\n" +
			"none named they stay), and it gets a new secret: the one before ends. The secret is written to a file that its owner\n" +
			"alone may read.\n\n" +
			asksAsYou + " You need Managed Identity Operator on each identity.",
		Args: cobra.ExactArgs(1),
	}
	var h newHost
	f := cmd.Flags()
	h.flags(f)
	f.StringArrayVar(&h.identities, "identity", nil, "resource id of a user-assigned identity; may be repeated")
	f.BoolVar(&h.system, "system-assigned", false, "give it an identity of its own, which comes and goes with it")
	f.StringVar(&h.out, "secret-file", "", "file for the secret (default NAME.secret)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		h.name = args[0]
		if h.group == "" {
			return errors.New("--resource-group is needed")
		}
		if h.out == "" {
			h.out = h.name + ".secret"
		}
		return h.run(cmd.Context(), d)
	}
	return cmd
}

// put makes the host's resource, or brings it to what was asked for.
func (h *newHost) put(ctx context.Context, arm *client.Client, id string) error {
	have, err := h.find(ctx, arm, id)
	if err != nil {
		return err
	}
	body := map[string]any{"location": h.location, "tags": have.Tags}
	switch users := map[string]struct{}{}; {
	case !h.system && len(h.identities) == 0 && have.ID == "":
		return errors.New("--identity or --system-assigned is needed: a new host has no identity")
	case h.system && len(h.identities) == 0:
		body["identity"] = map[string]any{"type": "SystemAssigned"}
	case len(h.identities) > 0:
		kind := "UserAssigned"
		if h.system {
			kind = "SystemAssigned, UserAssigned"
		}
		for _, id := range h.identities {
			users[id] = struct{}{}
		}
		body["identity"] = map[string]any{"type": kind, "userAssignedIdentities": users}
	}
	var made json.RawMessage
	return arm.Put(ctx, id, body, &made)
}

func (h *newHost) run(ctx context.Context, d Deps) error {
	arm, err := h.open(ctx)
	if err != nil {
		return err
	}
	id := h.resource("Keyreeve.Identity/hosts", h.name)
	if err := h.put(ctx, arm, id); err != nil {
		return err
	}
	var secret struct {
		Endpoint string `json:"identityEndpoint"`
		Header   string `json:"identityHeader"`
	}
	if err := arm.Post(ctx, id+"/newSecret", struct{}{}, &secret); err != nil {
		return err
	}
	if err := writePrivate(h.out, []byte(secret.Header+"\n")); err != nil {
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
			"AZURE_POD_IDENTITY_AUTHORITY_HOST, and POST /oauth2/token for older az, which finds it by MSI_ENDPOINT. Whoever can connect to\n" +
			"it from this host gets the host's tokens. It serves loopback and link-local addresses alone, and answers no other machine\n" +
			"and no pod that has a network of its own, unless --allow names its network. A line `ready` is printed when it answers.",
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	endpoint := f.String("endpoint", "", "where the control plane gives tokens (required)")
	file := f.String("secret-file", "", "file with the host's secret (required); a new one is read without a restart")
	listen := f.String("listen", "127.0.0.1:40342", "address to serve; 169.254.169.254:80 where that is this host's")
	allow := f.StringArray("allow", nil, "network whose requests are answered too, such as 10.244.0.0/16 for a node's pods; may be repeated")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		u, err := url.Parse(*endpoint)
		if err != nil || u.Scheme != "https" || u.Host == "" {
			return errors.New("--endpoint is needed: the https address that `keyreeve identity host` printed")
		}
		log, err := logger(d.Err, "info")
		if err != nil {
			return err
		}
		a := &hostagent.Agent{Endpoint: *endpoint, HTTP: &http.Client{}, Log: log, Secret: func() (string, error) {
			text, err := os.ReadFile(*file)
			return strings.TrimSpace(string(text)), err
		}}
		if _, err := a.Secret(); err != nil {
			return fmt.Errorf("--secret-file: %w", err)
		}
		for _, text := range *allow {
			p, err := netip.ParsePrefix(text)
			if err != nil {
				return fmt.Errorf("--allow: %w", err)
			}
			a.Allowed = append(a.Allowed, p.Masked())
		}
		return serveAgent(cmd.Context(), d, a, *listen)
	}
	return cmd
}

func serveAgent(ctx context.Context, d Deps, a *hostagent.Agent, address string) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	l, err := hostagent.Listen(ctx, address)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	if _, err := fmt.Fprintf(d.Out, "export AZURE_POD_IDENTITY_AUTHORITY_HOST=http://%[1]s\nexport MSI_ENDPOINT=http://%[1]s/oauth2/token\nready\n", l.Addr()); err != nil {
		return errors.Join(err, l.Close())
	}
	return a.Serve(ctx, l)
}

// writePrivate writes a file for its owner alone, also where one is there that others may read.
func writePrivate(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if info, statErr := f.Stat(); statErr == nil && info.Mode().IsRegular() {
		err = f.Chmod(0o600)
	}
	if err == nil {
		_, err = f.Write(data)
	}
	return errors.Join(err, f.Close())
}
