// Soak runs the built command for minutes among hundreds of good and bad clients, faults of the network and of
// the disk, kills and reloads, and then judges from outside what has happened: it compares what its clients and
// a device behind the server noted with the server's logs. "go run ./specs/soak -help" explains it.
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

const usage = `Soak runs the real command in acts: queue, reject and takeover, in turn. In each act
clients come and go all the time while the network, the disk, the server and the clients
themselves fail. Then the run is judged:

    every answered request has its record, in its order, in the log of its connection
    one session at a time, also across restarts, and one user of the device at a time
    every file of the log verifies, and the files of a rotation verify together
    the current password logs in, an old one does not, and the log has neither
    after each act the seat is free, and memory, descriptors and goroutines have not grown

With -cuts it cuts the connections of holds instead, by a pulled cable between two network
namespaces (as root) or a hop that is frozen, and no COMMAND may show a sign of life when
the next is seated.

The exit code is 0 if all of it holds, 1 if not (the directory of the run is kept then),
2 after wrong usage, and 130 after an interrupt. A run with the same seed makes the same
choices; how they meet in time differs.

`

// options are the flags.
type options struct {
	length  time.Duration
	seed    uint64
	control string
	keep    bool
	cuts    int
	console bool
}

func main() {
	if len(os.Args) > 2 && os.Args[1] == touchVerb {
		os.Exit(touch(os.Args[2:]))
	}
	if len(os.Args) == 4 && os.Args[1] == aliveVerb {
		os.Exit(alive(os.Args[2], os.Args[3] == ignoresTerm))
	}
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), usage)
		flag.PrintDefaults()
	}
	o := options{}
	flag.DurationVar(&o.length, "for", 10*time.Minute, "how long clients come, at least 10 s; `duration` also from $SOAK")
	flag.Uint64Var(&o.seed, "seed", 0, "repeat the choices of the run with this `number`; 0: others each time")
	flag.StringVar(&o.control, "control", "", "break a rule on purpose, so that the run must fail: two-drivers (clients that go past the server to the device; with -cuts, a COMMAND past hold)")
	flag.BoolVar(&o.keep, "keep", false, "keep the directory of the run")
	flag.IntVar(&o.cuts, "cuts", 0, "instead, cut the connections of this `number` of holds, side by side, and judge when the next is seated; to pull a cable it must be root")
	flag.BoolVar(&o.console, "console", false, "instead, print the memory of serve --console while its backend says 10 MB a minute and nobody is seated")
	err := fromEnvironment()
	flag.Parse()
	if o.length < 10*time.Second || o.control != "" && o.control != twoDrivers || flag.NArg() > 0 || err != nil {
		fmt.Fprintln(os.Stderr, "soak: see -help:", err)
		os.Exit(2)
	}
	if o.seed == 0 {
		o.seed = rand.Uint64N(1e9) + 1
	}
	if o.cuts > 0 {
		os.Exit(runCuts(o))
	}
	if o.console {
		os.Exit(runConsole(o))
	}
	fmt.Printf("seed %d, for %s\n", o.seed, o.length)
	os.Exit(run(o))
}

// fromEnvironment sets -for to $SOAK, if that is set.
func fromEnvironment() error {
	if length := os.Getenv("SOAK"); length != "" {
		return flag.Set("for", length)
	}
	return nil
}

// run makes the run and returns the exit code.
func run(o options) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s, err := newSoak(ctx, o)
	if err == nil {
		err = s.play(ctx)
	}
	interrupted := ctx.Err() != nil
	if s != nil {
		s.table.print(os.Stdout)
		kept := s.clear(o.keep || err != nil && !interrupted)
		if kept != "" {
			fmt.Println("kept:", kept)
		}
	}
	switch {
	case interrupted:
		fmt.Printf("interrupted; seed %d\n", o.seed)
		return 130
	case err != nil:
		fmt.Printf("FAILED, seed %d:\n%v\n", o.seed, err)
		return 1
	}
	fmt.Printf("all of it held; seed %d\n", o.seed)
	return 0
}

// errControl is the end of a run with -control in which no rule was broken.
var errControl = errors.New("the control was not noticed")
