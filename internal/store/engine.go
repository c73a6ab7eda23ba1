package store

import (
	"database/sql"
	"errors"

	"github.com/keyreeve/keyreeve/internal/fault"
)

// engine is what differs between databases; all SQL text beside it is the same.
type engine struct {
	name string
	// migrations is the folder of the migrations.
	migrations string
	// lockMigrations is a statement that keeps other processes from migrating until the transaction ends; empty if
	// beginning to write does that already.
	lockMigrations string
	// lockHead reads revision and floor, and keeps other processes from writing until the transaction ends.
	lockHead string
	// tables lists the tables in an order in which each follows those it refers to: that of their making.
	tables string
	// afterRestore is a statement that sets right what rows with numbers of their own leave behind; or empty.
	afterRestore string
	// view are the options of a reading transaction, so that it sees one state.
	view *sql.TxOptions
	// poisons says that a statement which fails spoils its transaction up to the last savepoint.
	poisons bool
	// shared says that other processes may write to the database.
	shared bool
	// constraint says whether an error is a row that the schema does not allow: a conflict, or a broken reference.
	constraint func(error) bool
	// conflict and away say whether an error is a name that is taken, or a database that cannot be reached; stale that it
	// comes of a connection which was broken before it was used.
	conflict, away, stale func(error) bool
	// doubtful says whether a commit may have been made although it returned an error.
	doubtful func(error) bool
}

// failed makes a fault of an error of the database.
func (e *engine) failed(err error, format string, args ...any) error {
	switch {
	case e == nil: // a look into a file
	case e.conflict(err):
		return taken(errors.Join(ErrExists, err))
	case e.away(err):
		return unreachable(err)
	}
	return fault.Wrap(err, format, args...)
}

func unreachable(cause error) error {
	return fault.New(fault.Unavailable, "", "The database cannot be reached at the moment. Please try again.").Because(errors.Join(ErrAway, cause))
}

// IsAway reports whether err says that the database cannot be reached.
func IsAway(err error) bool { return errors.Is(err, ErrAway) }
