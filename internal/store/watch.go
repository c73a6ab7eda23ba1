package store

import (
	"context"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// Watch keeps followers up to what other processes write, until ctx ends. It returns an error with cause ErrDiverged when
// the database has another history than the one that was followed: the process must begin anew.
//
// A notification says at once that there is something to read. Should none come, the database is asked every Options.Poll.
func (db *DB) Watch(ctx context.Context) error {
	if !db.engine.shared {
		<-ctx.Done()
		return nil
	}
	ctx, stop := context.WithCancel(ctx)
	wake := make(chan struct{}, 1)
	listening := make(chan struct{})
	go func() {
		defer close(listening)
		db.listen(ctx, wake)
	}()
	defer func() { stop(); <-listening }()
	tick := time.NewTicker(db.opt.Poll)
	defer tick.Stop()
	for {
		db.look(ctx)
		if lost := db.lost.Load(); lost != nil {
			return unreachable(*lost)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-wake:
		}
	}
}

// look reads what others wrote. An error is not told: Checked says since when nothing could be read.
func (db *DB) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	// First without the lock, so that writers do not wait for a database that is away.
	if err := db.Ping(ctx); err == nil {
		_ = db.CatchUp(ctx)
	}
}

// Shared says whether other processes may write to the database.
func (db *DB) Shared() bool { return db.engine.shared }

// Ping asks the database for its head.
func (db *DB) Ping(ctx context.Context) error {
	return db.View(ctx, func(tx *Tx) error {
		_, err := tx.count("head", `SELECT revision FROM head`)
		return err
	})
}

// Checked returns when the head was last known to be the database's: what is decided from memory is at least as new.
func (db *DB) Checked() time.Time {
	if !db.engine.shared {
		return db.opt.Now()
	}
	return unstamp(db.checked.Load())
}

// listen waits for notifications of commits on a connection of its own, and makes a new one when it breaks.
func (db *DB) listen(ctx context.Context, wake chan<- struct{}) {
	cfg, err := postgresConfig(db.opt.Postgres)
	if err != nil {
		return // it could be read when the store was opened
	}
	pause := 100 * time.Millisecond
	for ctx.Err() == nil {
		if db.listenOnce(ctx, cfg, wake) {
			pause = 100 * time.Millisecond
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
		pause = min(2*pause, 2*time.Second)
	}
}

// listenOnce listens until the connection breaks, and reports whether there was one.
func (db *DB) listenOnce(ctx context.Context, cfg *pgx.ConnConfig, wake chan<- struct{}) bool {
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return false
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(closing)
	}()
	if _, err := conn.Exec(ctx, `LISTEN keyreeve_feed`); err != nil {
		return false
	}
	signal(wake) // what was written before
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return true
		}
		// This process's own commits come back too.
		if rev, err := strconv.ParseInt(n.Payload, 10, 64); err != nil || rev > int64(db.Head()) {
			signal(wake)
		}
	}
}

func signal(wake chan<- struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}
