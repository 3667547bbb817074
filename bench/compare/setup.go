package main

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/sallyport/sallyport/bench"
)

// setup is what a group's subjects are set up with, outside package testing.
type setup struct {
	log      io.Writer
	cleanups []func()
}

// fatal is what Fatalf panics with; withSetup makes an error of it.
type fatal struct{ error }

func (s *setup) Helper()          {}
func (s *setup) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }

func (s *setup) Logf(format string, args ...any) {
	fmt.Fprintf(s.log, format+"\n", args...)
}

// Fatalf ends what runs in the goroutine that withSetup called, as in a test.
func (s *setup) Fatalf(format string, args ...any) {
	panic(fatal{fmt.Errorf(format, args...)})
}

// withSetup calls f, and then, last first, whatever cleans up: all of it, even
// after a failure. What was fatal to any of them is the error.
func withSetup(log io.Writer, f func(bench.T) error) error {
	s := &setup{log: log}
	err := caught(func() error { return f(s) })
	for len(s.cleanups) > 0 {
		last := len(s.cleanups) - 1
		cleanup := s.cleanups[last]
		s.cleanups = slices.Delete(s.cleanups, last, last+1)
		err = errors.Join(err, caught(func() error { cleanup(); return nil }))
	}
	return err
}

func caught(f func() error) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case fatal:
			err = r.error
		default:
			panic(r)
		}
	}()
	return f()
}
