// Mutants breaks the product in many small ways, one at a time, and demands that
// the tests notice. "go run ./specs/mutants -help" explains it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
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
error, and so is a run that crashes or hangs. To write a fault, break the product and

    (printf 'What is broken. Why it matters.\nlabel: promise:1\n\n'; git diff -U1) \
        >specs/mutants/faults/NAME.patch

The exit code is 0 if every fault is caught, 1 if not, and 2 after wrong usage.

`

func main() {
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), usage)
		flag.PrintDefaults()
	}
	pattern := flag.String("run", "", "only the faults whose name matches this `regexp`")
	sample := flag.Int("sample", 0, "only this `number` of faults, others each day")
	workers := flag.Int("p", 2, "this `number` of faults at once")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	match, err := regexp.Compile(*pattern)
	if err != nil || flag.NArg() > 0 || *workers < 1 {
		fmt.Fprintln(os.Stderr, "mutants: wrong usage, see -help:", flag.Args(), err)
		os.Exit(2)
	}
	root, rootErr := os.Getwd()
	faults, err := readFaults("specs/mutants/faults", match)
	if err != nil || rootErr != nil {
		fmt.Fprintln(os.Stderr, "mutants: (in the module's root?)", err, rootErr)
		os.Exit(2)
	}
	if *sample > 0 {
		faults = ofDay(faults, int(time.Now().Unix()/(24*60*60)), *sample)
	}
	if !(&engine{root: root}).tryAll(ctx, faults, *workers) {
		os.Exit(1)
	}
}

// tryAll tries faults, several at once, prints how it goes, and reports whether
// all were caught.
func (e *engine) tryAll(ctx context.Context, faults []fault, workers int) bool {
	began, slots := time.Now(), make(chan struct{}, workers)
	var group sync.WaitGroup
	var mu sync.Mutex
	var tried int
	var lost []string
	for _, f := range faults {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			if ctx.Err() != nil {
				return
			}
			began := time.Now()
			by, err := e.try(ctx, f)
			mu.Lock()
			defer mu.Unlock()
			verdict := fmt.Sprintf("caught by %q", by)
			if err != nil {
				verdict, lost = fmt.Sprintf("NOT CAUGHT: %v", err), append(lost, f.name)
			}
			tried++
			fmt.Printf("[%d/%d] %s (%s) %s in %.1f s\n", tried, len(faults), f.name, f.guard, verdict, time.Since(began).Seconds())
		})
	}
	group.Wait()
	fmt.Printf("%d of %d faults caught in %s\n", tried-len(lost), len(faults), time.Since(began).Round(time.Second))
	for _, name := range lost {
		fmt.Println("not caught:", name)
	}
	return tried-len(lost) == len(faults)
}
