package main

import (
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/term"
)

// endSignals are the signals that end a command that is no server. Those that it was started to
// ignore, as by nohup, stay ignored.
func endSignals() (all []os.Signal) {
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(s) {
			all = append(all, s)
		}
	}
	return all
}

// makeRaw makes a terminal raw until restore. A signal ends the process meanwhile as it would
// without, but not before the terminal is restored; where signals are caught already, whoever
// catches them restores it.
func makeRaw(fd int, caught bool) (restore func(), err error) {
	ends := make(chan os.Signal, 1)
	if all := endSignals(); !caught && len(all) > 0 {
		signal.Notify(ends, all...)
	}
	old, err := term.MakeRaw(fd)
	if err != nil {
		signal.Stop(ends)
		return nil, err
	}
	done := make(chan struct{})
	go func() {
		select {
		case s := <-ends:
			_ = term.Restore(fd, old)
			dieOf(s)
		case <-done:
		}
	}()
	return sync.OnceFunc(func() {
		signal.Stop(ends)
		close(done)
		_ = term.Restore(fd, old)
	}), nil
}

// dieOf ends the process as the signal does that was caught.
func dieOf(s os.Signal) {
	signal.Reset(s)
	self, err := os.FindProcess(os.Getpid())
	if err = errors.Join(err, self.Signal(s)); err != nil {
		os.Exit(exitFailed) // a system that can't send it
	}
	select {}
}
