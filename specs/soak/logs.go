package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// logs are the files of an act's log: the one that the server writes, and those that were moved away, the oldest
// first. Only the operator uses them.
type logs struct {
	path   string // of the file that the server writes
	store  string // the directory that the other files end in
	pieces []piece
	lost   []span // records that were written in these may be in no file
}

// piece is a file of the log that has another name now.
type piece struct {
	path     string
	complete bool // the server no longer writes into it
	cut      bool // what follows it may be lost
}

func newLogs(dir, store string) *logs {
	return &logs{path: filepath.Join(dir, "audit.jsonl"), store: store}
}

// rename moves the file away, where the server still writes into it.
func (l *logs) rename() error {
	to := fmt.Sprintf("%s.%03d", l.path, len(l.pieces))
	if err := os.Rename(l.path, to); err != nil {
		return err
	}
	l.pieces = append(l.pieces, piece{path: to})
	return nil
}

// awaitNew waits until the server has begun a new file.
func (l *logs) awaitNew(ctx context.Context) bool {
	for range 1000 {
		if _, err := os.Stat(l.path); err == nil {
			return true
		}
		if !pause(ctx, 10*time.Millisecond) {
			break
		}
	}
	return false
}

// tidy moves the renamed files into the store, if the server has begun a new one.
func (l *logs) tidy() error {
	if _, err := os.Stat(l.path); err != nil {
		return nil
	}
	for i := range l.pieces {
		if p := &l.pieces[i]; !p.complete {
			to := l.name(i)
			if err := copyFile(p.path, to); err != nil {
				return err
			}
			if err := os.Remove(p.path); err != nil {
				return err
			}
			*p = piece{to, true, p.cut}
		}
	}
	return nil
}

func (l *logs) name(i int) string { return filepath.Join(l.store, fmt.Sprintf("audit-%03d.jsonl", i)) }

// copyTruncate is what logrotate's copytruncate does.
func (l *logs) copyTruncate() error {
	began := time.Now()
	to := l.name(len(l.pieces))
	if err := copyFile(l.path, to); err != nil {
		return err
	}
	if err := os.Truncate(l.path, 0); err != nil {
		return err
	}
	l.pieces = append(l.pieces, piece{to, true, true})
	l.lost = append(l.lost, span{began, time.Now()})
	return nil
}

// remove deletes the file. What the server writes into it until it notices is kept all the same, by the
// descriptor; the caller calls keep then.
func (l *logs) remove() (keep func() error, err error) {
	file, err := os.Open(l.path)
	if err != nil {
		return nil, err
	}
	if err := os.Remove(l.path); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	to := l.name(len(l.pieces))
	l.pieces = append(l.pieces, piece{to, true, false})
	return func() error {
		defer file.Close()
		out, err := os.Create(to)
		if err == nil {
			_, err = io.Copy(out, file)
			err = errors.Join(err, out.Close())
		}
		return err
	}, nil
}

// finish returns all files in their order, when no server runs.
func (l *logs) finish() ([]piece, error) {
	if err := l.tidy(); err != nil {
		return nil, err
	}
	err := copyFile(l.path, l.name(len(l.pieces)))
	if errors.Is(err, fs.ErrNotExist) { // renamed, and never begun anew
		return slices.Clone(l.pieces), nil
	}
	return append(slices.Clone(l.pieces), piece{path: l.name(len(l.pieces)), complete: true}), err
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
