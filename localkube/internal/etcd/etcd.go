// Package etcd owns the embedded etcd: one member, reached through one Unix socket and nothing else.
//
// The socket lies in a directory that only this user can enter, so no certificate guards it and no port is open. What
// etcd has acknowledged is on disk: it syncs its log before it answers.
package etcd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// A single member has nobody to lose an election to: short ticks make it lead soon after its start.
const (
	tick     = 20 * time.Millisecond
	election = 100 * time.Millisecond
)

const (
	quotaBytes      = 1 << 30
	slowRequest     = time.Second
	snapshotCount   = 2000
	snapshotCatchUp = 200
)

// Server is a running etcd.
type Server struct {
	etcd     *embed.Etcd
	endpoint string
	level    zap.AtomicLevel
}

// Start starts etcd on dir and answers when it can take requests. Warnings go to log.
func Start(ctx context.Context, dir, socket string, log io.Writer) (*Server, error) {
	client := url.URL{Scheme: "unix", Path: socket}
	cfg := embed.NewConfig()
	cfg.Name = "localkube"
	cfg.Dir = dir
	cfg.ListenClientUrls = []url.URL{client}
	cfg.AdvertiseClientUrls = []url.URL{client}
	cfg.ListenPeerUrls = nil // no peers, no peer port
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	cfg.TickMs = uint(tick.Milliseconds())
	cfg.ElectionMs = uint(election.Milliseconds())
	cfg.SnapshotCount = snapshotCount
	cfg.SnapshotCatchUpEntries = snapshotCatchUp
	cfg.MaxSnapFiles = 2
	cfg.MaxWalFiles = 2
	cfg.QuotaBackendBytes = quotaBytes
	cfg.WarningApplyDuration = slowRequest
	cfg.WarningUnaryRequestDuration = slowRequest
	cfg.EnableGRPCGateway = false
	cfg.AuthToken = "" // nobody signs in
	cfg.BootstrapDefragThresholdMegabytes = 64
	level := zap.NewAtomicLevelAt(zapcore.WarnLevel)
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(warnings(log, level))

	e, err := embed.StartEtcd(cfg)
	if err != nil {
		return nil, fmt.Errorf("start etcd: %w", err)
	}
	select {
	case <-e.Server.ReadyNotify():
		return &Server{etcd: e, endpoint: client.String(), level: level}, nil
	case err := <-e.Err():
		e.Close()
		return nil, fmt.Errorf("start etcd: %w", err)
	case <-ctx.Done():
		e.Close()
		return nil, fmt.Errorf("start etcd: %w", context.Cause(ctx))
	}
}

// Endpoint is what clients connect to.
func (s *Server) Endpoint() string { return s.endpoint }

// Run waits for etcd to fail or for ctx to end. It does not stop etcd.
func (s *Server) Run(ctx context.Context) error {
	select {
	case err := <-s.etcd.Err():
		return fmt.Errorf("etcd: %w", err)
	case <-s.etcd.Server.StopNotify():
		return errors.New("etcd stopped by itself")
	case <-ctx.Done():
		return nil
	}
}

// Close stops etcd. It takes its own listeners' end for an error, which is nobody's concern.
func (s *Server) Close() {
	s.level.SetLevel(zapcore.FatalLevel)
	s.etcd.Close()
}

// warnings writes what matters in the form that the rest of the process logs in.
func warnings(w io.Writer, level zap.AtomicLevel) *zap.Logger {
	enc := zapcore.NewJSONEncoder(zapcore.EncoderConfig{
		TimeKey: "time", LevelKey: "level", NameKey: "logger", MessageKey: "msg",
		EncodeTime:     zapcore.RFC3339NanoTimeEncoder,
		EncodeLevel:    zapcore.CapitalLevelEncoder,
		EncodeDuration: zapcore.StringDurationEncoder,
	})
	core := zapcore.NewCore(enc, zapcore.AddSync(w), level)
	return zap.New(expected{core}).With(zap.String("part", "etcd"))
}

// expected leaves out what etcd warns of at every start, or at the first, of a member such as this one.
type expected struct{ zapcore.Core }

// Check implements zapcore.Core.
func (c expected) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if slices.Contains(expectedMessages(), e.Message) {
		return ce
	}
	return c.Core.Check(e, ce)
}

// With implements zapcore.Core.
func (c expected) With(fs []zapcore.Field) zapcore.Core { return expected{c.Core.With(fs)} }

func expectedMessages() []string {
	return []string{
		"Running http and grpc server on single port. This is not recommended for production.",
		"Failed to detect schema version",
		"failed to update storage version",
	}
}
