package main

import (
	"os"
	"os/signal"
	"syscall"
)

// signals are channels of the signals that a server handles. They are caught before the server prints
// that it listens, so that none ends it without a shutdown.
type signals struct{ stop, hup chan os.Signal }

// surviveBrokenPipes keeps the process alive when the reader of its standard output or error has gone. It
// doesn't ignore SIGPIPE, because its children would inherit that.
func surviveBrokenPipes() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }

func catchSignals() signals {
	c := signals{make(chan os.Signal, 2), make(chan os.Signal, 1)}
	signal.Notify(c.stop, os.Interrupt, syscall.SIGTERM)
	signal.Notify(c.hup, syscall.SIGHUP)
	return c
}

func (c signals) release() {
	signal.Stop(c.stop)
	signal.Stop(c.hup)
}
