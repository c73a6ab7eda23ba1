// Package filelock owns locks on open files that hold between processes and end with the one that has them, on every system
// that the command is built for.
//
// It knows nothing of what the files are for.
package filelock

import "errors"

// ErrTaken says that another process has the lock.
var ErrTaken = errors.New("another process has it")
