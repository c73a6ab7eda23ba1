package server

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/datadir"
	"github.com/keyreeve/keyreeve/internal/store"
)

// recoveries reports emergency kubeconfigs that were minted beside the control plane: each entry of the journal once, in
// the audit log and as a warning.
type recoveries struct {
	db  *store.DB
	dir datadir.Dir
	log *slog.Logger
	now func() time.Time
}

// settingRecoveries counts the entries that are in the audit log.
const settingRecoveries = "recoveries"

func (r recoveries) report(ctx context.Context) error {
	var seen int
	err := r.db.View(ctx, func(tx *store.Tx) error {
		text, ok, err := tx.Setting(settingRecoveries)
		if err != nil || !ok {
			return err
		}
		if seen, err = strconv.Atoi(text); err != nil {
			return fmt.Errorf("recoveries: %w", err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	entries, count, err := r.dir.RecoveriesAfter(seen)
	if err != nil {
		// A journal that lost entries is itself worth a record; go on from where it ends.
		entries = []datadir.Recovery{{Reason: err.Error()}}
	}
	if len(entries) == 0 {
		return nil
	}
	_, err = r.db.Update(ctx, func(tx *store.Tx) error {
		for _, e := range entries {
			at := e.At
			if at.IsZero() {
				at = r.now()
			}
			if err := tx.Audit(audit.Record{
				At: at, Event: audit.ClusterRecovered, ActorName: e.OSUser, Target: e.ResourceID,
				Detail: map[string]string{"fingerprint": e.Fingerprint, "notAfter": e.NotAfter.Format(time.RFC3339), "reason": e.Reason},
			}); err != nil {
				return err
			}
		}
		return tx.SetSetting(settingRecoveries, strconv.Itoa(count))
	})
	if err != nil {
		return err
	}
	for _, e := range entries {
		r.log.WarnContext(ctx, "an emergency kubeconfig was minted", "cluster", e.ResourceID, "by", e.OSUser, "reason", e.Reason,
			"at", e.At, "until", e.NotAfter)
	}
	return nil
}

// run reports now and then every few seconds.
func (r recoveries) run(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for {
		if err := r.report(ctx); err != nil && ctx.Err() == nil {
			r.log.ErrorContext(ctx, "recoveries could not be reported", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
