//go:build linux

// Soak runs gates that share a seat on an etcd of three nodes among kills, stops, partitions and full disks. Then it
// judges what the device behind the gates has seen. "go run ./soak -help" explains it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const usage = `Two gates ("sallyport serve --fleet-seat") guard one device. Twenty clients queue at both of them
and write octets with their names and counters. Every fifth is "sallyport hold" with a command that uses the device
itself. Faults come one after another. Then the run is judged:

    no octet of a session reaches the device later than 1 s after the first one of a later session; only
    a gate that was stopped (SIGSTOP) may end one write then
    tokens grow in the order of first octets, and in the order of asking
    the position of a waiting client never grows
    each reply that a client got is on record in its gate's log, and the logs verify
    the device is never without octets for longer than 20 s while clients wait
    at rest nobody has a place, and the gates have no more descriptors than at the start

As root it also cuts the cables between clients and gates (network namespaces), and fills disks (tmpfs).
The exit code is 0 if all of it holds, 1 if not (the directory is kept then), 2 after wrong usage.

`

// options are the flags.
type options struct {
	length time.Duration
	seed   uint64
	short  bool
	faults string
	etcd   string
	bin    string
	keep   bool
	logins int
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == nodeVerb {
		runNode(os.Args[2])
	}
	if len(os.Args) == 5 && os.Args[1] == touchVerb {
		os.Exit(touch(os.Args[2], os.Args[3], os.Args[4]))
	}
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), usage)
		flag.PrintDefaults()
	}
	o := options{}
	flag.DurationVar(&o.length, "for", 30*time.Minute, "how long faults come; `duration` also from $SOAK")
	flag.Uint64Var(&o.seed, "seed", 0, "repeat the faults of the run with this `number`; 0: others each time")
	flag.BoolVar(&o.short, "short", false, "less than a minute, with the faults "+shortFaults)
	flag.StringVar(&o.faults, "faults", "", "these faults only, one after another: `KIND=DURATION,...`")
	flag.StringVar(&o.etcd, "etcd", "", "`path` of etcd, to be run in place of the one in this program")
	flag.StringVar(&o.bin, "bin", "", "`path` of sallyport, in place of one that is built")
	flag.BoolVar(&o.keep, "keep", false, "keep the directory of the run")
	flag.IntVar(&o.logins, "logins", 0, "instead, measure this `number` of logins with and without a shared seat")
	var err error
	if length := os.Getenv("SOAK"); length != "" {
		err = flag.Set("for", length)
	}
	flag.Parse()
	if o.short {
		o.faults = shortFaults
	}
	plan, planErr := parsePlan(o.faults)
	if err = errors.Join(err, planErr); err != nil || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "soak: see -help:", err)
		os.Exit(2)
	}
	if o.seed == 0 {
		o.seed = rand.Uint64N(1e9) + 1
	}
	os.Exit(run(o, plan))
}

// run makes the run and returns the exit code.
func run(o options, plan []fault) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	w, err := newWorld(ctx, o)
	if err == nil {
		if o.logins > 0 {
			err = w.measureLogins(ctx, o.logins)
		} else {
			fmt.Printf("seed %d, etcd %s\n", o.seed, w.etcdName())
			err = w.play(ctx, plan)
		}
	}
	kept := w.clear(o.keep || err != nil && ctx.Err() == nil)
	if kept != "" {
		fmt.Println("kept:", kept)
	}
	if err != nil {
		fmt.Printf("FAILED, seed %d:\n%v\n", o.seed, err)
		return 1
	}
	if o.logins == 0 {
		fmt.Printf("all of it held; seed %d\n", o.seed)
	}
	return 0
}
