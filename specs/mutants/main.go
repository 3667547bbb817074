// Mutants breaks the product in many small ways, one at a time, and demands that
// the tests notice. "go run ./specs/mutants -help" explains it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"
)

const usage = `Each patch in specs/mutants/faults breaks the product in one small way. Its header says
what is broken and why that matters, and ends with the tests that must notice:

    label: FILTER              specs, by a Ginkgo label filter; those of the command only
                               if the filter names area:command
    tests: ./PACKAGE REGEXP    Go tests of a package

They must pass without the patch, and one of them must fail with it. If none does, the
fault SURVIVED: write the missing test. A patch that does not apply or compile is an
error, and so is a run that crashes or takes 10 minutes. A spec that reaches its time-out
counts only if the header says "may hang". To write a fault, break the product and

    (printf 'What is broken. Why that matters.\nlabel: promise:1\n\n'; git diff -U1) \
        >specs/mutants/faults/NAME.patch

The exit code is 0 if every fault is caught, 1 if not, and 2 after wrong usage.

`

func main() {
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), usage)
		flag.PrintDefaults()
	}
	pattern := flag.String("run", "", "only the faults whose name matches this `regexp`")
	sample := flag.Int("sample", 0, "only about this `number` of faults, others each day")
	flag.Parse()
	faults, err := readFaults("specs/mutants/faults", *pattern)
	root, rootErr := os.Getwd()
	if err = errors.Join(err, rootErr); err != nil || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "mutants: see -help, and run it in the module's root:", flag.Args(), err)
		os.Exit(2)
	}
	if *sample > 0 {
		faults = ofDay(faults, int(time.Now().Unix()/(24*60*60)), *sample)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if !(&engine{root: root}).tryAll(ctx, faults) {
		os.Exit(1)
	}
}

// tryAll tries the faults, as many at once as there are processors, prints how
// it goes, and reports whether all were caught.
func (e *engine) tryAll(ctx context.Context, faults []fault) bool {
	began, slots := time.Now(), make(chan bool, runtime.NumCPU())
	var group sync.WaitGroup
	var mu sync.Mutex // for the output, tried and lost
	tried, lost := 0, []string{}
	for _, f := range faults {
		slots <- true
		if ctx.Err() != nil {
			break
		}
		group.Go(func() {
			defer func() { <-slots }()
			began := time.Now()
			by, err := e.try(ctx, f)
			mu.Lock()
			defer mu.Unlock()
			tried++
			verdict := fmt.Sprintf("caught by %q", by)
			if err != nil {
				verdict, lost = fmt.Sprintf("NOT CAUGHT: %v", err), append(lost, f.name)
			}
			fmt.Printf("[%d/%d] %s (%s) in %.1f s: %s\n", tried, len(faults), f.name, f.guard, time.Since(began).Seconds(), verdict)
		})
	}
	group.Wait()
	fmt.Printf("%d of %d faults caught in %s, not caught: %q\n", tried-len(lost), len(faults), time.Since(began).Round(time.Second), lost)
	return tried-len(lost) == len(faults)
}
