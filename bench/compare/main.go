// Compare runs the product's benchmarks, their floors and their peers in turns, and reports the ratios.
// "go run . -help" says how.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"time"

	"github.com/sallyport/sallyport/bench"
	"github.com/sallyport/sallyport/bench/compare/peers"
)

const help = `Compare runs benchmarks, their floors and their peers in turns, in an order that is
shuffled for every round. It reports the median of the ratios of all rounds, with its
95 % interval, in report.md and report.json, with plots (*.svg), and with each turn in
Go's benchmark format (raw.txt).

	go run . -out ../out                 # all, as "make bench"
	go run . -out ../out -bench Login    # some, and what they are compared with
	go run . -out ../out/peers -peers    # the peers, as "make bench-peers"

Ctrl-C ends the run after the current turn, and reports what was measured. The exit
code is 1 after that and after an error, 2 after wrong usage. A goal that is missed is
no error.

`

// options are the command line.
type options struct {
	out    string
	match  *regexp.Regexp
	peers  bool
	rounds uint
	block  time.Duration
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the whole command. It returns the exit code.
func run(ctx context.Context, arguments []string, stdout, stderr io.Writer) int {
	o := options{match: new(regexp.Regexp)}
	f := flag.NewFlagSet("compare", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() { fmt.Fprint(stderr, help, "Flags:\n"); f.PrintDefaults() }
	f.StringVar(&o.out, "out", "../out", "write to this `folder`, which is made")
	f.TextVar(o.match, "bench", regexp.MustCompile("."), "measure only names that this `regexp` matches, and what they are compared with")
	f.BoolVar(&o.peers, "peers", false, "measure only what is compared with peers")
	f.UintVar(&o.rounds, "rounds", 0, "the number of rounds; zero means each group's own")
	f.DurationVar(&o.block, "block", 0, "how long a turn is; zero means each group's own")
	switch err := f.Parse(arguments); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case f.NArg() > 0:
		fmt.Fprintf(stderr, "compare: unexpected argument %q (see -help)\n", f.Arg(0))
		return 2
	}
	if err := compare(ctx, o, stdout, stderr); err != nil {
		fmt.Fprintln(stderr, "compare:", err)
		return 1
	}
	return 0
}

func compare(ctx context.Context, o options, stdout, stderr io.Writer) error {
	groups, err := peers.Groups(os.Getenv("SALLYPORT_PEERS"))
	if err != nil {
		return err
	}
	all := goals()
	if groups = o.choose(groups, all); len(groups) == 0 {
		return fmt.Errorf("no benchmark's name matches %q", o.match)
	}
	if err := os.MkdirAll(o.out, 0o777); err != nil {
		return err
	}
	raw, err := os.Create(filepath.Join(o.out, "raw.txt"))
	if err != nil {
		return err
	}
	measured, err := measure(ctx, groups, raw, stderr)
	return errors.Join(err, raw.Close(), report(o.out, rows(all, measured), measured, stdout))
}

// choose returns what matches and what the goals compare it with, with the rounds and the block of the
// command line.
func (o options) choose(groups []bench.Group, all []goal) (chosen []bench.Group) {
	compared := map[string]bool{}
	for _, g := range all {
		for _, name := range g.of {
			compared[name] = compared[name] || (g.peer || !o.peers) && slices.ContainsFunc(g.of, o.match.MatchString)
		}
	}
	for _, g := range groups {
		g.Subjects = slices.DeleteFunc(slices.Clone(g.Subjects), func(s bench.Subject) bool {
			name := g.Name + "/" + s.Name
			return !compared[name] && (o.peers || !o.match.MatchString(name))
		})
		if o.rounds > 0 {
			g.Rounds = int(o.rounds)
		}
		if o.block > 0 {
			g.Block = o.block
		}
		if len(g.Subjects) > 0 {
			chosen = append(chosen, g)
		}
	}
	return chosen
}
