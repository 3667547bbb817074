package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// soak is a run.
type soak struct {
	options
	dir    string
	bin    string // the command
	device *device
	table  table
}

// table counts what happened.
type table struct{}

func (t *table) print(w io.Writer) { fmt.Fprintln(w, "nothing is counted yet") }

func newSoak(ctx context.Context, o options) (*soak, error) {
	dir, err := os.MkdirTemp("", "sallyport-soak-")
	if err != nil {
		return nil, err
	}
	s := &soak{options: o, dir: dir}
	if s.device, err = newDevice(); err != nil {
		return s, err
	}
	s.bin, err = build(ctx, dir)
	return s, err
}

// play makes the acts.
func (s *soak) play(ctx context.Context) error {
	srv, err := startServer(ctx, s.bin, s.dir+"/state")
	if err != nil {
		return err
	}
	srv.signal(15)
	if !srv.ended(5e9) {
		return errors.New("no end")
	}
	if s.control != "" {
		return errControl
	}
	return nil
}

// clear ends what the run has started, and removes its directory, or returns it if it is kept.
func (s *soak) clear(keep bool) (kept string) {
	if s.device != nil {
		s.device.close()
	}
	if keep {
		return s.dir
	}
	_ = os.RemoveAll(s.dir)
	return ""
}
