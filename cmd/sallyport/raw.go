package main

import (
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/term"
)

// endSignals returns the signals that end a client. Signals that the process was
// started to ignore, as nohup does, stay ignored.
func endSignals() (all []os.Signal) {
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(s) {
			all = append(all, s)
		}
	}
	return all
}

// makeRaw makes a terminal raw until restore is called. A signal still ends the process, after the terminal is
// restored. If endSignals are caught, the caller does that for these.
func makeRaw(fd int, caught bool) (restore func(), err error) {
	ends := make(chan os.Signal, 1)
	signal.Notify(ends, syscall.SIGQUIT)
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

// dieOf ends the process as a caught signal would have.
func dieOf(s os.Signal) {
	signal.Reset(s)
	self, err := os.FindProcess(os.Getpid())
	if err = errors.Join(err, self.Signal(s)); err != nil {
		os.Exit(exitFailed) // this system can't send it
	}
	select {}
}
