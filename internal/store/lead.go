package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"time"

	"github.com/keyreeve/keyreeve/internal/fault"
)

// ErrDeposed says that a write was made in the name of a leader that is none any more.
var ErrDeposed = errors.New("store: another process leads")

// fence is what a leader's writes must still find true.
type fence struct {
	name  string
	epoch int64
}

type fenceKey struct{}

// Lead runs work whenever this process is the leader of a name, until ctx ends. At most one process's writes count: the
// context that work gets carries the leader's epoch, and Update with it, or with one made from it, fails with ErrDeposed
// once another process has taken over. work must return soon after its context ends; if it returns an error before, so
// does Lead.
//
// A leader that does not show itself for a whole term loses the lead to whoever asks. Clocks are not compared: each process
// counts by its own how long the leader's beat has not risen. 0 is a term of nine seconds.
func (db *DB) Lead(ctx context.Context, name string, term time.Duration, work func(context.Context) error) error {
	term = orElse(term, 9*time.Second)
	holder := rand.Text()
	for ctx.Err() == nil {
		epoch, ok := db.acquire(ctx, name, holder, term)
		if !ok {
			return nil
		}
		err := db.serveTerm(ctx, fence{name, epoch}, holder, term, work)
		if err != nil {
			return err
		}
	}
	return nil
}

// serveTerm runs work while the lead can be renewed, and then gives it up.
func (db *DB) serveTerm(ctx context.Context, f fence, holder string, term time.Duration, work func(context.Context) error) error {
	leading, stop := context.WithCancel(context.WithValue(ctx, fenceKey{}, f))
	defer stop()
	done := make(chan error, 1)
	go func() { done <- work(leading) }()
	tick := time.NewTicker(term / 3)
	defer tick.Stop()
	renewed := time.NewTimer(term * 2 / 3)
	defer renewed.Stop()
	for {
		select {
		case err := <-done: // by itself, or since ctx ended
			db.resign(ctx, f, holder)
			if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
				return nil
			}
			if err == nil && ctx.Err() == nil {
				<-ctx.Done() // nothing is left to do, and others need not try
			}
			return err
		case <-renewed.C:
			stop()
			return ended(<-done)
		case <-tick.C:
			beat, cancel := context.WithTimeout(ctx, term/3)
			n, err := db.quietly(beat, `UPDATE leases SET beat = beat + 1 WHERE name = $1 AND holder = $2 AND epoch = $3`, f.name, holder, f.epoch)
			cancel()
			switch {
			case err == nil && n == 0: // deposed
				stop()
				return ended(<-done)
			case err == nil:
				renewed.Reset(term * 2 / 3)
			}
		}
	}
}

// ended passes over what work says of its context's end.
func ended(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, ErrDeposed) || IsAway(err) {
		return nil
	}
	return err
}

// resign lets another process lead at once.
func (db *DB) resign(ctx context.Context, f fence, holder string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	// If it fails, the others wait for the term's end.
	_, _ = db.quietly(ctx, `UPDATE leases SET holder = '' WHERE name = $1 AND holder = $2 AND epoch = $3`, f.name, holder, f.epoch)
}

// acquire waits until the lead is this process's, and returns its epoch; false when ctx ended before.
func (db *DB) acquire(ctx context.Context, name, holder string, term time.Duration) (int64, bool) {
	const looks = 6 // a term
	tick := time.NewTicker(term / looks)
	defer tick.Stop()
	var last lease
	for unchanged := 0; ; unchanged++ {
		now, err := db.lease(ctx, name)
		if err != nil || now != last {
			last, unchanged = now, 0
		}
		if err == nil && (now.holder == "" || now.holder == holder || unchanged > looks) {
			if epoch, err := db.takeOver(ctx, name, holder, now); err == nil {
				return epoch, true
			}
		}
		select {
		case <-ctx.Done():
			return 0, false
		case <-tick.C:
		}
	}
}

type lease struct {
	holder      string
	epoch, beat int64
}

// lease reads who leads; the zero lease if nobody ever did.
func (db *DB) lease(ctx context.Context, name string) (l lease, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	err = db.View(ctx, func(tx *Tx) error {
		err := tx.sql.QueryRowContext(ctx, `SELECT holder, epoch, beat FROM leases WHERE name = $1`, name).Scan(&l.holder, &l.epoch, &l.beat)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return l, err
}

// takeOver makes this process the leader after a lease that was seen. It holds the lock that writes hold, so that a write
// of the old leader is either before it or refused.
func (db *DB) takeOver(ctx context.Context, name, holder string, seen lease) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, db.opt.WriteTimeout)
	defer cancel()
	tx, err := db.write.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer func() { _ = tx.Rollback() }()
	var head, floor int64
	if err := tx.QueryRowContext(ctx, db.engine.lockHead).Scan(&head, &floor); err != nil {
		return 0, err
	}
	res, err := tx.ExecContext(ctx,
		`INSERT INTO leases (name, holder, epoch, beat) VALUES ($1, $2, 1, 0)
		 ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, epoch = leases.epoch + 1, beat = 0
		 WHERE leases.holder = $3 AND leases.epoch = $4 AND leases.beat = $5`, name, holder, seen.holder, seen.epoch, seen.beat)
	if err != nil {
		return 0, err
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return 0, errors.Join(ErrDeposed, err)
	}
	var epoch int64
	if err := tx.QueryRowContext(ctx, `SELECT epoch FROM leases WHERE name = $1`, name).Scan(&epoch); err != nil {
		return 0, err
	}
	return epoch, tx.Commit()
}

// quietly runs one writing statement that is no change of the store: it takes no revision and waits for no other write.
func (db *DB) quietly(ctx context.Context, query string, args ...any) (int64, error) {
	pool := db.read
	if !db.engine.shared {
		pool = db.write // SQLite's readers cannot write
	}
	res, err := pool.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// checkFence refuses a write in the name of a leader that is none any more.
func (db *DB) checkFence(ctx context.Context, tx *Tx) error {
	f, ok := ctx.Value(fenceKey{}).(fence)
	if !ok {
		return nil
	}
	var epoch int64
	err := tx.read([]any{&epoch}, `SELECT epoch FROM leases WHERE name = $1`, f.name)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return db.engine.failed(err, "store: leader")
	}
	if epoch != f.epoch {
		return fault.New(fault.Unavailable, "", "Another process leads now.").Because(ErrDeposed)
	}
	return nil
}
