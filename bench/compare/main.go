// Compare runs the product's benchmarks and their floors in turns, and reports
// the ratios against the goals. "go run . -help" says how.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/sallyport/sallyport/bench"
	"github.com/sallyport/sallyport/bench/compare/peers"
)

const help = `Compare runs benchmarks and their floors in turns, in an order that is shuffled
for every round, and reports how many times the floor the product is: the median
of the ratios of each round, with its 95 % interval.

	go run . -out ../out                    # all, as "make bench"
	go run . -out ../out -bench 'Login'     # some, and what they are compared with
	go run . -out ../out/peers -peers       # other servers beside it, "make bench-peers"
	go run . -timeline                      # who does what when, in a login and a handoff
	go run . -list                          # the names

It writes to the folder:
	report.md, report.json    the table: what was measured, and against which goal
	*.svg                     plots
	raw.txt                   each turn, in Go's benchmark format (for benchstat)

A goal that is missed is in the table, and no error: the exit code is 0. It is 1
after an error, and after Ctrl-C, which ends the run at the next turn and reports
what was measured by then; 2 for wrong usage.

`

// options are what the command line says.
type options struct {
	out    string
	match  *regexp.Regexp
	peers  bool
	list   bool
	line   bool // the timelines instead
	rounds int
	block  time.Duration
}

var errUsage = errors.New("see -help")

// parse says on stderr what is wrong, as package flag does.
func parse(arguments []string, stderr io.Writer) (o options, err error) {
	f := flag.NewFlagSet("compare", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() { fmt.Fprint(stderr, help, "Flags:\n"); f.PrintDefaults() }
	f.StringVar(&o.out, "out", "../out", "the `folder` to write to; it is made")
	pattern := f.String("bench", ".", "only what this `regexp` finds in a name, and what that is compared with")
	f.BoolVar(&o.peers, "peers", false, "run the product beside its peers instead")
	f.BoolVar(&o.list, "list", false, "list the names that -bench leaves, and do nothing")
	f.BoolVar(&o.line, "timeline", false, "print what the sockets and the log of a login and a handoff see, and when")
	f.IntVar(&o.rounds, "rounds", 0, "how many `rounds`; zero: as many as each group asks for")
	f.DurationVar(&o.block, "block", 0, "how `long` a turn is; zero: as long as each group asks for")
	if err := f.Parse(arguments); err != nil {
		return o, err
	}
	o.match, err = regexp.Compile(*pattern)
	switch {
	case err != nil:
		err = fmt.Errorf("-bench: %w", err)
	case f.NArg() > 0:
		err = fmt.Errorf("%q is no flag", f.Arg(0))
	case o.rounds < 0:
		err = errors.New("-rounds: at least 0")
	case o.block < 0:
		err = errors.New("-block: at least 0")
	case o.line && hasOthers(f):
		err = errors.New("-timeline: goes with -rounds alone")
	}
	if err != nil {
		fmt.Fprintf(stderr, "compare: %v (%v)\n", err, errUsage)
	}
	return o, err
}

// hasOthers reports whether flags are set that say nothing to -timeline.
func hasOthers(f *flag.FlagSet) (others bool) {
	f.Visit(func(set *flag.Flag) {
		others = others || set.Name != "timeline" && set.Name != "rounds"
	})
	return others
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second one ends it at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the whole command; it returns its exit code.
func run(ctx context.Context, arguments []string, stdout, stderr io.Writer) int {
	o, err := parse(arguments, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	if err := compare(ctx, o, stdout, stderr); err != nil {
		fmt.Fprintln(stderr, "compare:", err)
		return 1
	}
	return 0
}

func compare(ctx context.Context, o options, stdout, stderr io.Writer) error {
	if o.line {
		return timelines(ctx, cmp.Or(o.rounds, 40), stdout, stderr)
	}
	groups := bench.Groups()
	if o.peers {
		groups = peers.Groups()
	}
	all := goals()
	groups, err := choose(groups, o.match, all)
	if err != nil {
		return err
	}
	if o.list {
		for _, name := range namesOf(groups) {
			fmt.Fprintln(stdout, name)
		}
		return nil
	}
	groups = shape(groups, o.rounds, o.block)
	measured, err := measure(ctx, o.out, groups, newProgress(stderr, isTerminal(stderr), groups))
	if measured == nil {
		return err
	}
	return errors.Join(err, report(o.out, measured, all, stdout))
}

// measure returns what was measured by the time an error ended it.
func measure(ctx context.Context, out string, groups []bench.Group, p *progress) (results, error) {
	if err := os.MkdirAll(out, 0o777); err != nil {
		return nil, err
	}
	raw, err := os.Create(out + "/raw.txt")
	if err != nil {
		return nil, err
	}
	if _, err := io.WriteString(raw, rawHeader()); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	c := &campaign{raw: raw, progress: p, results: results{}, keep: singly(namesOf(groups))}
	err = c.run(ctx, groups)
	return c.results, errors.Join(err, raw.Close())
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
