package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/internal/datadir"
	"github.com/keyreeve/keyreeve/internal/server"
)

func upCommand(d Deps) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Run Keyreeve on this machine, with everything it needs",
		Long: "Run Keyreeve on this machine in the foreground: sign-in on the given port, ARM on the next, Graph on the\n" +
			"one after. The first run makes a tenant, a subscription and an administrator; later runs go on with them.\n" +
			"Clusters run as processes of their own and come back with their data.\n\n" +
			"When everything answers, a line `ready` is printed.",
		Args: cobra.NoArgs,
	}
	data := dataFlag(cmd)
	f := cmd.Flags()
	listen := f.String("listen", "127.0.0.1:8443", "HOST:PORT of sign-in; the three ports after it are used too")
	localkube := f.String("localkube", "", "program that runs a cluster (default: localkube beside this program)")
	level := f.String("log-level", "info", "debug, info, warn or error")
	orphan := f.Duration("orphan-timeout", 0, "stop a cluster that no control plane has watched for this long; 0: never")
	ports := f.String("cluster-ports", "10440-10999", "FIRST-LAST port for the API servers of clusters")
	webhooks := f.Bool("cluster-webhooks", false, "let clusters ask about access by HTTPS, as attached ones do, and not at a Unix socket")
	clients := f.String("clients-dir", "", "folder with kubectl and kubelogin for az aks install-cli (default: clients beside this program)")
	signing := f.String("token-signing", config.RS256, "rs256, or es256 for the access tokens of ARM and Graph, which takes a fraction of the time")
	detach := f.Bool("detach-clusters", false, "leave the clusters running when Keyreeve stops")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		dir, err := dataDir(*data)
		if err != nil {
			return err
		}
		abs, err := filepath.Abs(string(dir))
		if err != nil {
			return err
		}
		log, err := logger(d.Err, *level)
		if err != nil {
			return err
		}
		program := *localkube
		if program == "" {
			program = filepath.Join(filepath.Dir(d.Executable), "localkube")
		}
		// A cluster's process runs in a folder of its own.
		if program, err = filepath.Abs(program); err != nil {
			return err
		}
		if !fileExists(program) {
			return fmt.Errorf("%s is not there, and clusters need it: build it with `make build`, or name it with --localkube", program)
		}
		if *signing != config.RS256 && *signing != config.ES256 {
			return fmt.Errorf("--token-signing %q is neither %s nor %s", *signing, config.RS256, config.ES256)
		}
		first, last, err := portRange(*ports)
		if err != nil {
			return err
		}
		if *clients == "" {
			*clients = filepath.Join(filepath.Dir(d.Executable), "clients")
		}
		ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		cfg := server.Config{
			Data: datadir.Dir(abs), Listen: *listen, Localkube: program, OrphanTimeout: *orphan, Detach: *detach,
			ClusterPorts: [2]int{first, last}, Webhooks: *webhooks, Clients: *clients, ES256: *signing == config.ES256,
			Log: log, Now: d.Now, Progress: func(text string) { _, _ = fmt.Fprintln(d.Err, text) },
		}
		return runUp(ctx, d, cfg)
	}
	return cmd
}

func runUp(ctx context.Context, d Deps, cfg server.Config) error {
	s, err := server.Open(ctx, cfg)
	if err != nil {
		return err
	}
	return s.Run(ctx, func(e datadir.Endpoints) {
		_, _ = fmt.Fprint(d.Out, welcome(cfg.Data, e, d.Executable))
		_, _ = fmt.Fprintln(d.Out, "ready")
	})
}

// welcome says how to go on.
func welcome(dir datadir.Dir, e datadir.Endpoints, executable string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Keyreeve runs with the data in %s\n\n", dir)
	fmt.Fprintf(&b, "  sign-in  %s\n  ARM      %s\n  Graph    %s\n\n", e.Login, e.ARM, e.Graph)
	if admin, err := dir.ReadInitialAdmin(); err == nil {
		fmt.Fprintf(&b, "First administrator: %s, password in %s\n\n", admin.UserPrincipalName, dir.InitialAdmin())
	}
	fmt.Fprintf(&b, "In another terminal:\n\n")
	fmt.Fprintf(&b, "  eval \"$(%s env --data %s)\"\n", executable, dir)
	fmt.Fprintf(&b, "  az login --use-device-code\n\n")
	if ca, err := os.ReadFile(dir.CA()); err == nil {
		if own, err := certificates(string(ca)); err == nil {
			fmt.Fprintf(&b, "On another machine:\n\n  eval \"$(keyreeve connect %s --ca-fingerprint %s)\"\n\n", e.Login, own[0].fingerprint)
		}
	}
	return b.String()
}

// portRange reads FIRST-LAST.
func portRange(text string) (first, last int, err error) {
	a, b, ok := strings.Cut(text, "-")
	first, err1 := strconv.Atoi(a)
	last, err2 := strconv.Atoi(b)
	if !ok || err1 != nil || err2 != nil || first < 1 || last > 65535 || first > last {
		return 0, 0, fmt.Errorf("--cluster-ports %q is not FIRST-LAST with ports from 1 to 65535", text)
	}
	return first, last, nil
}
