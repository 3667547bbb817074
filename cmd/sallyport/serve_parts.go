package main

import (
	"slices"

	"github.com/spf13/pflag"
)

// A part is an optional feature of serve, in a file of its own. serve calls its methods in this order.
type part interface {
	// define adds the flags of the part.
	define(flags *pflag.FlagSet)
	// check returns errors of usage, before anything is opened.
	check() error
	// observe gets each record of the interaction log, see Observe of audit.Options: it must not block. It may be
	// called before start and after stop.
	observe(line []byte)
	// start begins the work of the part, when the listener is open and before the first connection is accepted.
	// It may set fields of the server. After an error serve ends. stop, which may be nil, is called after the last
	// connection has ended.
	start(r *running) (stop func(), err error)
}

// A follower is a part that follows reloads and the shutdown. Its methods are called one at a time, except that
// stopping does not wait long for a reload that hangs.
type follower interface {
	// reloading is called when a reload begins, reloaded when it has ended.
	reloading()
	reloaded(err error)
	// stopping is called when the shutdown begins.
	stopping()
}

// serveParts returns the parts of serve.
func serveParts(f *serveFlags) []part {
	f.fleet.serve = f
	return []part{&f.fleet, newNotifier(), &controlPart{}, &linesPart{}, &metricsPart{}}
}

// checkParts returns the first error of usage.
func (f *serveFlags) checkParts() error {
	for _, p := range f.parts {
		if err := p.check(); err != nil {
			return err
		}
	}
	return nil
}

// observe passes a record of the interaction log to each part.
func (f *serveFlags) observe(line []byte) {
	for _, p := range f.parts {
		p.observe(line)
	}
}

// startParts starts each part. stop stops the started ones, the last one first.
func (r *running) startParts() (stop func(), err error) {
	var stops []func()
	stop = func() {
		for _, end := range slices.Backward(stops) {
			end()
		}
	}
	for _, p := range r.flags.parts {
		end, err := p.start(r)
		if err != nil {
			stop()
			return nil, err
		}
		if end != nil {
			stops = append(stops, end)
		}
	}
	return stop, nil
}

// follow calls a method of each part that is a follower.
func (r *running) follow(call func(follower)) {
	for _, p := range r.flags.parts {
		if f, ok := p.(follower); ok {
			call(f)
		}
	}
}
