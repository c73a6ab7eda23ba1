package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	conf "github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/internal/datadir"
	"github.com/keyreeve/keyreeve/internal/server"
)

func serveCommand(d Deps) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run Keyreeve in production",
		Long: "Run Keyreeve in the foreground as a configuration file says: on SQLite as one process, on PostgreSQL as any\n" +
			"number of them. `keyreeve init` makes the first tenant before.\n\n" +
			"When everything answers, a line `ready` is printed. SIGTERM stops it in good order.",
		Args: cobra.NoArgs,
	}
	file := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := serveConfig(d, *file)
		if err != nil {
			return err
		}
		ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		s, err := server.Open(ctx, cfg)
		if err != nil {
			return err
		}
		return s.Run(ctx, func(e datadir.Endpoints) {
			cfg.Log.InfoContext(ctx, "ready", "login", e.Login, "arm", e.ARM, "graph", e.Graph)
			_, _ = fmt.Fprintln(d.Out, "ready")
		})
	}
	return cmd
}

// configFlag adds --config to a command and returns where its value will be.
func configFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("config", "", "configuration file (required)")
}

// serveConfig reads a configuration file for the server.
func serveConfig(d Deps, file string) (server.Config, error) {
	if file == "" {
		return server.Config{}, errors.New("name the configuration with --config FILE")
	}
	c, err := conf.Load(file)
	if err != nil {
		return server.Config{}, err
	}
	log, err := serveLogger(d, c.Log)
	if err != nil {
		return server.Config{}, err
	}
	cfg := server.Config{Serve: &c, Log: log, Now: d.Now}
	if c.Clusters != nil && c.Clusters.Localkube == "" {
		cfg.Localkube = filepath.Join(filepath.Dir(d.Executable), "localkube")
	}
	return cfg, nil
}

func serveLogger(d Deps, l conf.Log) (*slog.Logger, error) {
	if l.Format == "text" {
		return logger(d.Err, l.Level)
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(l.Level)); err != nil {
		return nil, err
	}
	return slog.New(slog.NewJSONHandler(d.Err, &slog.HandlerOptions{Level: level})), nil
}

func initCommand(d Deps) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make the first tenant and administrator of a production server",
		Long: "Make the sealing key if there is none, bring the database to the newest migration, and make the first tenant, a\n" +
			"subscription and an administrator (Global Administrator, and Owner of the subscription). On a database that has a\n" +
			"tenant it changes nothing and succeeds, so it may run before every start.",
		Args: cobra.NoArgs,
	}
	file := configFlag(cmd)
	f := cmd.Flags()
	domain := f.String("domain", "", "first domain of the tenant, such as example.org (required)")
	user := f.String("user", "admin", "name of the administrator in the domain")
	password := f.String("password-file", "", "file that holds the administrator's password (default: a strong one is made)")
	admin := f.String("admin-file", "", "new file for the administrator's sign-in (required without --password-file)")
	grant := f.Bool("allow-password-grant", false, "let the Azure CLI and AKS client applications use the password grant, for scripts")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := serveConfig(d, *file)
		if err != nil {
			return err
		}
		who := server.FirstAdministrator{Domain: *domain, UserName: *user, PasswordGrant: *grant}
		switch {
		case *domain == "":
			return errors.New("name the tenant's first domain with --domain")
		case *password != "":
			if who.Password, err = server.ReadPassword(*password); err != nil {
				return err
			}
		case *admin == "":
			return errors.New("name a password with --password-file, or a new file for a strong one with --admin-file")
		}
		if *admin != "" {
			who.Prepare = func(a datadir.InitialAdmin) error { return server.WriteAdministrator(*admin, a) }
		}
		made, err := server.Init(cmd.Context(), cfg, who)
		switch {
		case err != nil:
			return err
		case !made:
			_, err = fmt.Fprintln(d.Out, "the database has a tenant: nothing to do")
		default:
			_, err = fmt.Fprintf(d.Out, "made the tenant %s with the administrator %s@%s\n", *domain, *user, *domain)
		}
		return err
	}
	return cmd
}

func configCommand(d Deps) *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Look at a configuration"}
	check := &cobra.Command{
		Use:   "check FILE",
		Short: "Say everything that is wrong with a configuration, or that it is good",
		Long: "Say everything that is wrong with a configuration: its form, the files it names, and whether the database answers\n" +
			"and holds a tenant. Nothing is changed.",
		Args: cobra.ExactArgs(1),
	}
	offline := check.Flags().Bool("offline", false, "look at the file alone, not at what it names")
	check.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := serveConfig(d, args[0])
		if err == nil && !*offline {
			err = server.Check(cmd.Context(), cfg)
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(d.Out, "%s is good\n", args[0])
		return err
	}
	cmd.AddCommand(check)
	return cmd
}

// kept adds --config and --data to a command and returns what finds the database that one of them names.
func kept(d Deps, cmd *cobra.Command) func() (server.Kept, error) {
	file, data := configFlag(cmd), cmd.Flags().String("data", "", "data folder of `keyreeve up`, in place of --config")
	return func() (server.Kept, error) {
		if (*file == "") == (*data == "") {
			return server.Kept{}, errors.New("name either --config FILE or --data DIR")
		}
		if *data != "" {
			return server.KeptIn(server.Config{Data: datadir.Dir(*data), Now: d.Now})
		}
		cfg, err := serveConfig(d, *file)
		if err != nil {
			return server.Kept{}, err
		}
		return server.KeptBy(cfg)
	}
}

func backupCommand(d Deps) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup",
		Short: "Write a consistent copy of the database, while it is in use",
		Long: "Write one consistent state of the database to a new file, while servers read and write it. The file is of no\n" +
			"engine's own form: it can be restored to SQLite and to PostgreSQL. Secrets in it stay sealed; keep the sealing key\n" +
			"elsewhere, since without it a backup is of no use, and with it the backup is the directory.",
		Args: cobra.NoArgs,
	}
	source, out := kept(d, cmd), cmd.Flags().String("out", "", "new file for the backup (required)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		k, err := source()
		if err != nil {
			return err
		}
		if *out == "" {
			return errors.New("name a new file with --out")
		}
		h, err := k.Backup(cmd.Context(), *out)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(d.Out, "%s holds revision %d\n", *out, h.Revision)
		return err
	}
	return cmd
}

func restoreCommand(d Deps) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "restore",
		Short: "Fill an empty database with a backup",
		Long: "Fill an empty database, SQLite or PostgreSQL, with a backup. The sealing key that the backup was made with must be\n" +
			"in its place. Nothing is written to a database that holds anything, nor from a backup that is damaged.",
		Args: cobra.NoArgs,
	}
	file, from := configFlag(cmd), cmd.Flags().String("from", "", "the backup (required)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := serveConfig(d, *file)
		if err != nil {
			return err
		}
		k, err := server.KeptBy(cfg)
		if err != nil {
			return err
		}
		return restore(cmd.Context(), d, k, *from)
	}
	return cmd
}

func restore(ctx context.Context, d Deps, k server.Kept, from string) error {
	if from == "" {
		return errors.New("name the backup with --from")
	}
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	h, err := k.Restore(ctx, f)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(d.Out, "restored revision %d of %s\n", h.Revision, h.MadeAt.Format("2006-01-02 15:04:05Z"))
	return err
}
