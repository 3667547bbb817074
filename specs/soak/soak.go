package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// soak is a run.
type soak struct {
	options
	dir    string
	bin    string // the command
	device *device
	trusts bool // serve has the flag --trust
	table
}

func newSoak(ctx context.Context, o options) (*soak, error) {
	dir, err := os.MkdirTemp("", "sallyport-soak-")
	if err != nil {
		return nil, err
	}
	s := &soak{options: o, dir: dir}
	if s.device, err = newDevice(); err != nil {
		return s, err
	}
	if s.bin, err = build(ctx, dir); err != nil {
		return s, err
	}
	help, err := exec.CommandContext(ctx, s.bin, "serve", "--help").Output()
	s.trusts = bytes.Contains(help, []byte(" --trust "))
	return s, err
}

// policies are those of the acts, in turn.
var policies = []string{"queue", "reject", "takeover"}

// play makes the acts: three in a short run, six in a long one.
func (s *soak) play(ctx context.Context) error {
	acts := len(policies)
	if s.length >= 4*time.Minute {
		acts *= 2
	}
	progress, cancel := context.WithCancel(ctx)
	defer cancel()
	go s.progress(progress)
	for i := range acts {
		a := &act{soak: s, number: i, policy: policies[i%len(policies)], length: s.length / time.Duration(acts)}
		if err := a.play(ctx); err != nil {
			return fmt.Errorf("act %d (%s, flags %q): %w", i, a.policy, a.host.arguments(), err)
		}
	}
	if s.control != "" {
		return errControl
	}
	return ctx.Err()
}

// progress prints a line each half minute.
func (s *soak) progress(ctx context.Context) {
	for began := time.Now(); pause(ctx, 30*time.Second); {
		fmt.Printf("%4.0f s: %d sessions, %d requests answered, %d overlaps\n", time.Since(began).Seconds(),
			s.of("sessions"), s.of("requests answered"), s.of("overlaps on the device"))
	}
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
