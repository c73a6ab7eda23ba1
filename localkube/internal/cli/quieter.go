package cli

import (
	"context"
	"log/slog"
	"slices"
	"strings"
)

// quieter lowers the level of what Kubernetes' parts call information, of which they have much.
type quieter struct{ next slog.Handler }

func lowered(l slog.Level) slog.Level {
	if l < slog.LevelWarn {
		return min(l, slog.LevelDebug)
	}
	return l
}

// Enabled implements slog.Handler.
func (q quieter) Enabled(ctx context.Context, l slog.Level) bool {
	return q.next.Enabled(ctx, lowered(l))
}

// Handle implements slog.Handler.
func (q quieter) Handle(ctx context.Context, r slog.Record) error {
	r.Level = lowered(r.Level)
	if r.Level > slog.LevelDebug && isExpected(r) {
		r.Level = slog.LevelDebug
	}
	if !q.next.Enabled(ctx, r.Level) {
		return nil
	}
	return q.next.Handle(ctx, r)
}

// isExpected knows what Kubernetes calls an error and is none here: options left unset, what is not there yet at the
// first start, a controller that looks again because its memory is behind, and somebody's wrong token.
func isExpected(r slog.Record) bool {
	texts := []string{r.Message}
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "err" {
			texts = append(texts, a.Value.String())
		}
		return true
	})
	return slices.ContainsFunc(texts, func(text string) bool {
		return slices.ContainsFunc([]string{
			"The manifest file is empty, ignoring.",
			"Found stale data, removed previous endpoints on kubernetes service",
			"Failed to ensure lease exists, will retry",
			`namespaces "kube-system" not found`,
			"is not as new as written version",
			"Unable to authenticate the request",
		}, func(known string) bool { return strings.Contains(text, known) })
	})
}

// WithAttrs implements slog.Handler.
func (q quieter) WithAttrs(as []slog.Attr) slog.Handler { return quieter{q.next.WithAttrs(as)} }

// WithGroup implements slog.Handler.
func (q quieter) WithGroup(name string) slog.Handler { return quieter{q.next.WithGroup(name)} }
