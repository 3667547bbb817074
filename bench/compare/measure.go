package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/sallyport/sallyport/bench"
)

// results are the samples of each subject by name, in the order of the rounds.
type results map[string][]bench.Sample

var errInterrupted = errors.New("interrupted")

// measure runs the groups one after another. If one fails, it goes on with the next. When ctx ends, it
// ends after the current turn. The results are good in any case. Each sample goes to raw at once.
func measure(ctx context.Context, groups []bench.Group, raw, stderr io.Writer) (r results, err error) {
	fmt.Fprintf(raw, "goos: %s\ngoarch: %s\npkg: github.com/sallyport/sallyport/bench\ncpu: %s\n",
		runtime.GOOS, runtime.GOARCH, cpu())
	r = results{}
	var left time.Duration
	var shown time.Time
	for _, g := range groups {
		left += time.Duration(len(g.Subjects)*g.Rounds) * g.Block
	}
	for _, g := range groups {
		failed := withSetup(func(t bench.T) error {
			return bench.Interleave(t, g, func(round int, s bench.Sample) error {
				if time.Since(shown) > 10*time.Second {
					shown = time.Now()
					fmt.Fprintf(stderr, "%s, round %d of %d, at least %v left\n", g.Name, round+1, g.Rounds, left.Round(time.Second))
				}
				left -= g.Block
				r[s.Name] = append(r[s.Name], s)
				_, err := fmt.Fprintln(raw, s)
				return errors.Join(err, ctx.Err())
			})
		})
		if ctx.Err() != nil {
			return r, errInterrupted
		}
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", g.Name, failed))
		}
	}
	return r, err
}

// setup is a bench.T outside of package testing.
type setup struct{ cleanups []func() }

// fatal is what Fatalf panics with. withSetup makes an error of it.
type fatal struct{ error }

func (s *setup) Helper()                         {}
func (s *setup) Logf(string, ...any)             {}
func (s *setup) Cleanup(f func())                { s.cleanups = append(s.cleanups, f) }
func (s *setup) Fatalf(text string, args ...any) { panic(fatal{fmt.Errorf(text, args...)}) }

// withSetup calls f, and then the cleanups, last first, even after a failure.
func withSetup(f func(bench.T) error) error {
	s := new(setup)
	err := caught(func() error { return f(s) })
	for len(s.cleanups) > 0 {
		last := len(s.cleanups) - 1
		cleanup := s.cleanups[last]
		s.cleanups = s.cleanups[:last]
		err = errors.Join(err, caught(func() error { cleanup(); return nil }))
	}
	return err
}

func caught(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = r.(fatal).error // another panic is a fault, and goes on
		}
	}()
	return f()
}
