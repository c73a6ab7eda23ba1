package store

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// backupFormat and backupVersion begin every backup. A change that an older program cannot read has a new version.
const (
	backupFormat  = "keyreeve-backup"
	backupVersion = 1
)

// BackupHeader is the first line of a backup.
//
// A backup is gzipped text, a JSON value a line: the header; for each table {"table","columns"} and its rows, each an array
// with a text, a whole number, null, or {"bytes"} in base64 for each column; at last {"rows","sha256"}, the number of rows
// and the hash of everything before. No engine's own form is in it, so that it can be restored to any.
type BackupHeader struct {
	Format  string `json:"format"`
	Version int    `json:"version"`
	// MadeAt and Revision say which state of the store it is.
	MadeAt   time.Time `json:"madeAt"`
	Revision int64     `json:"revision"`
	// Migrations are those that the tables have gone through.
	Migrations []int `json:"migrations"`
	// SealCheck lets the owner of a sealing key tell whether it is the one that the data was sealed with.
	SealCheck string `json:"sealCheck"`
}

type backupTable struct {
	Table   string   `json:"table"`
	Columns []string `json:"columns"`
}

type backupEnd struct {
	Rows   int64  `json:"rows"`
	SHA256 string `json:"sha256"`
}

type backupBytes struct {
	Bytes string `json:"bytes"`
}

// leftOut are the tables that a backup has no rows of: what they say is of this database, not of what is kept in it.
func leftOut(table string) bool { return table == "migrations" || table == "leases" }

// Backup writes one consistent state of the store, while others read and write it.
func (db *DB) Backup(ctx context.Context, w io.Writer, sealCheck string) (BackupHeader, error) {
	h := BackupHeader{Format: backupFormat, Version: backupVersion, MadeAt: db.opt.Now().UTC(), SealCheck: sealCheck}
	zipped := gzip.NewWriter(w)
	sum := sha256.New()
	out := json.NewEncoder(io.MultiWriter(zipped, sum))
	out.SetEscapeHTML(false)
	err := db.View(ctx, func(tx *Tx) error {
		applied, err := appliedMigrations(ctx, tx.sql)
		if err != nil {
			return err
		}
		h.Migrations = slices.Sorted(maps.Keys(applied))
		if h.Revision, err = tx.count("head", `SELECT revision FROM head`); err != nil {
			return err
		}
		tables, err := tx.texts("tables", db.engine.tables)
		if err != nil {
			return err
		}
		if err := out.Encode(h); err != nil {
			return err
		}
		var end backupEnd
		for _, t := range tables {
			if leftOut(t) {
				continue
			}
			n, err := backupRows(ctx, tx.sql, t, out)
			if err != nil {
				return fmt.Errorf("store: backup of %s: %w", t, err)
			}
			end.Rows += n
		}
		end.SHA256 = hex.EncodeToString(sum.Sum(nil))
		return out.Encode(end)
	})
	return h, errors.Join(err, zipped.Close())
}

// backupRows writes a table.
func backupRows(ctx context.Context, tx runner, table string, out *json.Encoder) (int64, error) {
	rows, err := tx.QueryContext(ctx, `SELECT * FROM `+quoted(table))
	if err != nil {
		return 0, err
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		return 0, err
	}
	if err := out.Encode(backupTable{table, columns}); err != nil {
		return 0, err
	}
	values, into := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	var n int64
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return 0, err
		}
		for i, v := range values {
			switch v := v.(type) {
			case nil, string, int64:
			case []byte:
				values[i] = backupBytes{base64.StdEncoding.EncodeToString(v)}
			default:
				return 0, fmt.Errorf("column %s has a %T: a backup knows texts, whole numbers and bytes", columns[i], v)
			}
		}
		if err := out.Encode(values); err != nil {
			return 0, err
		}
		n++
	}
	return n, rows.Err()
}

func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// ErrNotEmpty says that a database which should be restored to holds something.
var ErrNotEmpty = errors.New("store: the database is not empty: a backup is restored to a new one")

// Restore fills a new, empty database with a backup, and brings it to the newest migration. check is asked whether the
// sealing key is the right one before anything is written. An error leaves the database empty.
func Restore(ctx context.Context, opt Options, r io.Reader, check func(BackupHeader) error) (h BackupHeader, err error) {
	db := &DB{opt: opt}
	in, err := openBackup(r)
	if err != nil {
		return h, err
	}
	h = in.header
	known, err := readMigrations(migrations, "migrations/sqlite")
	if err != nil {
		return h, err
	}
	for _, n := range h.Migrations {
		if !slices.ContainsFunc(known, func(m migration) bool { return m.number == n }) {
			return h, fmt.Errorf("store: the backup is at migration %d, which this program does not know: use a newer program", n)
		}
	}
	if err := check(h); err != nil {
		return h, err
	}
	if opt.Postgres != "" {
		err = db.openPostgres()
	} else {
		err = db.openSQLite()
	}
	if err != nil {
		return h, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	tx, err := db.write.BeginTx(ctx, nil)
	if err != nil {
		return h, db.engine.failed(err, "store: restore")
	}
	defer func() { _ = tx.Rollback() }()
	if err := db.engine.restore(ctx, tx, in); err != nil {
		return h, err
	}
	if err := tx.Commit(); err != nil {
		return h, db.engine.failed(err, "store: restore")
	}
	return h, migrate(ctx, db.write, migrations, db.engine)
}

// restore fills the database of a transaction.
func (e *engine) restore(ctx context.Context, tx *sql.Tx, in *backupReader) error {
	at := &Tx{ctx: ctx, sql: tx, engine: e}
	before, err := at.texts("tables", e.tables)
	if err != nil {
		return err
	}
	if len(before) > 0 {
		return ErrNotEmpty
	}
	// The tables are made as they were; what newer migrations do, they do to the rows.
	if err := applyMigrations(ctx, tx, migrations, *e, func(n int) bool { return slices.Contains(in.header.Migrations, n) }); err != nil {
		return err
	}
	tables, err := at.texts("tables", e.tables)
	if err != nil {
		return err
	}
	for _, t := range slices.Backward(tables) {
		if leftOut(t) {
			continue
		}
		empty := `DELETE FROM ` + quoted(t) //nolint:gosec // a table of our schema, quoted; what migrations put there goes
		if _, err := tx.ExecContext(ctx, empty); err != nil {
			return fmt.Errorf("store: restore: %w", err)
		}
	}
	if err := in.rows(func(t backupTable, row []any) error {
		if !slices.Contains(tables, t.Table) || leftOut(t.Table) {
			return fmt.Errorf("there is no table %s", t.Table)
		}
		marks, names := make([]string, len(row)), make([]string, len(row))
		for i := range row {
			marks[i], names[i] = fmt.Sprintf("$%d", i+1), quoted(t.Columns[i])
		}
		//nolint:gosec // the table is of our schema, and names are quoted
		insert := fmt.Sprintf(`INSERT INTO %s (%s) VALUES (%s)`, quoted(t.Table), strings.Join(names, ", "), strings.Join(marks, ", "))
		_, err := tx.ExecContext(ctx, insert, row...)
		return err
	}); err != nil {
		return fmt.Errorf("store: restore: %w", err)
	}
	if e.afterRestore != "" {
		if _, err := tx.ExecContext(ctx, e.afterRestore); err != nil {
			return fmt.Errorf("store: restore: %w", err)
		}
	}
	return nil
}

// backupReader reads a backup line by line, hashing what it reads.
type backupReader struct {
	header BackupHeader
	lines  *bufio.Reader
	sum    hash.Hash
}

// maxBackupLine bounds a row: a change of 10,000 events or a cluster's body fits many times.
const maxBackupLine = 256 << 20

func openBackup(r io.Reader) (*backupReader, error) {
	unzipped, err := gzip.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("store: this is no backup: %w", err)
	}
	b := &backupReader{lines: bufio.NewReaderSize(unzipped, 1<<20), sum: sha256.New()}
	line, err := b.line()
	if err != nil {
		return nil, fmt.Errorf("store: this is no backup: %w", err)
	}
	if err := json.Unmarshal(line, &b.header); err != nil || b.header.Format != backupFormat {
		return nil, errors.New("store: this is no backup of Keyreeve")
	}
	if b.header.Version != backupVersion {
		return nil, fmt.Errorf("store: the backup has version %d, and this program reads %d", b.header.Version, backupVersion)
	}
	b.sum.Write(line)
	return b, nil
}

// line reads the next line with its end.
func (b *backupReader) line() ([]byte, error) {
	var line []byte
	for {
		part, err := b.lines.ReadSlice('\n')
		if line = append(line, part...); len(line) > maxBackupLine {
			return nil, errors.New("a line is too long")
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}

// rows calls fn with each row, and returns an error unless the backup is whole.
func (b *backupReader) rows(fn func(backupTable, []any) error) error {
	var table backupTable
	var n int64
	for {
		line, err := b.line()
		if err != nil {
			return fmt.Errorf("the backup ends too early: %w", err)
		}
		if line[0] == '[' {
			row, err := backupRow(line)
			if err != nil || len(row) != len(table.Columns) {
				return fmt.Errorf("row %d of %s cannot be read: %w", n, table.Table, errors.Join(err, errColumns))
			}
			if err := fn(table, row); err != nil {
				return fmt.Errorf("row %d, of %s: %w", n, table.Table, err)
			}
			n++
		} else {
			var next struct {
				backupTable
				backupEnd
			}
			if err := json.Unmarshal(line, &next); err != nil {
				return fmt.Errorf("after row %d: %w", n, err)
			}
			if next.Table == "" {
				if next.Rows != n || next.SHA256 != hex.EncodeToString(b.sum.Sum(nil)) {
					return errors.New("the backup is damaged: its hash is another")
				}
				return nil
			}
			table = next.backupTable
		}
		b.sum.Write(line)
	}
}

var errColumns = errors.New("one value for each column is wanted")

// backupRow reads the values of a row.
func backupRow(line []byte) ([]any, error) {
	var raw []json.RawMessage
	if err := json.Unmarshal(line, &raw); err != nil {
		return nil, err
	}
	row := make([]any, len(raw))
	for i, v := range raw {
		var err error
		switch v[0] {
		case 'n':
			row[i] = nil
		case '"':
			var s string
			err = json.Unmarshal(v, &s)
			row[i] = s
		case '{':
			var b backupBytes
			if err = json.Unmarshal(v, &b); err == nil {
				row[i], err = base64.StdEncoding.DecodeString(b.Bytes)
			}
		default:
			var n int64
			err = json.Unmarshal(v, &n)
			row[i] = n
		}
		if err != nil {
			return nil, err
		}
	}
	return row, nil
}
