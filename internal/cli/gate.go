package cli

import (
	"errors"
	"fmt"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/keyreeve/keyreeve/internal/outpost"
)

func gateCommand(d Deps) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "gate",
		Short: "Run the gate beside an attached cluster's API server",
		Long: "Run the gate beside an attached cluster's API server, in the foreground. It enrols once with the token that\n" +
			"`keyreeve cluster attach` made, writes the files that the API server reads, follows the control plane, and answers\n" +
			"from memory, also while the control plane is away.\n\n" +
			"A line `ready` is printed when it answers; /readyz says whether it knows enough to decide.",
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	file := f.String("config", "", "gate.yaml (required)")
	check := f.Bool("check", false, "check the configuration and do nothing else")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *file == "" {
			return errors.New("name the configuration with --config FILE")
		}
		cfg, err := outpost.Load(*file)
		if err != nil {
			return err
		}
		if *check {
			_, err := fmt.Fprintf(d.Out, "%s is good\n", *file)
			return err
		}
		level := cfg.LogLevel
		if level == "" {
			level = "info"
		}
		log, err := logger(d.Err, level)
		if err != nil {
			return err
		}
		ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		g, err := outpost.New(cfg, outpost.Deps{Version: d.Version, Now: d.Now, Log: log})
		if err != nil {
			return err
		}
		return g.Run(ctx, func() { _, _ = fmt.Fprintln(d.Out, "ready") })
	}
	return cmd
}
