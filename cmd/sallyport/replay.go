package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/fixtures"
	"github.com/sallyport/sallyport/scenarios"
	"github.com/sallyport/sallyport/scenarios/report"
	"github.com/sallyport/sallyport/server/audit/show"
)

type replayFlags struct {
	dialFlags // of which replay has addr, ca, pin and state
	users     string
	only      string
	keep      string
	start     string
	list      bool
	explain   bool
	parallel  int
	repeat    int
	timeout   time.Duration
	reports   reportFlags[report.About, []scenarios.Result]
}

func replayCommand() *cobra.Command {
	f := &replayFlags{dialFlags: dialFlags{trustFlags: trustFlags{tlsMin: "1.3"}, notices: os.Stderr}}
	cmd := &cobra.Command{
		Use:   "replay [PATH...]",
		Short: "Run scenarios, in the process or against a running server",
		Long: `Run scenarios: text files that say in a few lines what clients and others do,
and what must happen then. PATH is such a file (*.txtar) or a folder of them;
without PATH it runs the scenarios that come with Sallyport.

Without --addr each scenario has a server of its own in the process. With --addr
they run against that server, one after another, because there is one seat.
Scenarios that need a server of their own are skipped, and counted as skipped.
The file of --users has a line MEMBER:PASSWORD for each member of the cast
(alice, bob, carol, dave) that is a user there, or MEMBER=USER:PASSWORD if the
user has another name. A password has at least 8 characters; reports show its
variable, such as $alice_password.

The exit code is 0 if no scenario failed and 1 if one did. It is 1 as well if a
file is not a scenario: then each fault is printed with its file and line, and
nothing is run. It is 3 if no Sallyport server answers at --addr, and 4 if a member
of the cast can't log in there.`,
		Example: `  sallyport replay
  sallyport replay --run '^admission/' --parallel 4 --repeat 10
  sallyport replay --addr rig:7443 --ca ca.pem --users users my/scenarios
  sallyport replay --init my/scenarios`,
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
	}
	f.define(cmd)
	return cmd
}

func (f *replayFlags) define(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.addr, "addr", "", "`address` of a running server, HOST or HOST:PORT (default: a server in the process for each scenario)")
	f.defineTrust(flags)
	flags.StringVar(&f.users, "users", "", "`file` with the passwords of the cast on the server of --addr")
	flags.StringVar(&f.only, "run", "", "run only the scenarios whose name matches this `regexp`")
	flags.BoolVar(&f.list, "list", false, "list the scenarios, and where each can run, instead of running them")
	flags.BoolVar(&f.explain, "explain", false, "explain the commands of the language, or only those that are named in place of PATH")
	flags.StringVar(&f.start, "init", "", "write a first scenario, a users file and a README into this `directory`, which must be empty or new")
	flags.IntVar(&f.parallel, "parallel", 0, "`number` of scenarios at once (default: one for each processor; with --addr only 1)")
	flags.IntVar(&f.repeat, "repeat", 1, "`number` of times to run each")
	flags.DurationVar(&f.timeout, "timeout", 10*time.Second, "how long a step may take")
	flags.StringVar(&f.keep, "keep", "", "`directory` in which to keep the files of each scenario")
	f.reports = defineReportFlags(flags, report.JSON, report.JUnit, report.HTML)
}

func (f *replayFlags) run(cmd *cobra.Command, paths []string) error {
	switch {
	case f.start != "" && (f.list || f.explain), f.list && f.explain:
		return usagef("--list, --explain and --init exclude each other")
	case f.start != "" && len(paths) > 0:
		return usagef("--init takes no PATH")
	case f.start != "":
		return initScenarios(f.start)
	case f.explain:
		return f.explainCommands(paths)
	}
	suite, err := f.suite(paths)
	if err != nil {
		return err
	}
	if f.list {
		return list(suite)
	}
	ctx, cancel := notifyContext()
	defer cancel()
	if suite.Target, err = f.target(ctx); err != nil {
		return err
	}
	if err := f.reach(ctx, suite.Target.Remote); err != nil {
		return err
	}
	return f.replay(ctx, suite, newReplayPrinter(suite, f.alone(cmd, paths)), f.about(cmd, paths))
}

// replay runs all cases, prints the result of each, and writes the reports. If it
// is interrupted, the reports have what ran until then.
func (f *replayFlags) replay(ctx context.Context, suite *scenarios.Suite, p *replayPrinter, about report.About) error {
	if err := f.reports.open(); err != nil {
		return err
	}
	var all []scenarios.Result
	var keptOut error
	for r := range suite.Run(ctx) {
		if keptOut = f.keptOut(ctx, suite.Target.Remote, &r); keptOut != nil {
			break
		}
		p.result(&r)
		if f.reports.wanted() {
			all = append(all, r)
		}
	}
	p.summary()
	err := errors.Join(f.reports.write(about, all), keptOut)
	switch {
	case ctx.Err() != nil:
		err = errors.Join(context.Cause(ctx), err)
	case err == nil && p.failed > 0:
		err = statusError{exitFailed}
	}
	return err
}

func (f *replayFlags) explainCommands(names []string) error {
	if err := scenarios.Explain(stdout, names...); err != nil {
		return usagef("%v", err)
	}
	return nil
}

// suite reads the scenarios, and checks the flags that say how they run.
func (f *replayFlags) suite(paths []string) (*scenarios.Suite, error) {
	only, err := regexp.Compile(f.only)
	switch {
	case err != nil:
		return nil, usagef("--run: %v", err)
	case f.repeat < 1 || f.parallel < 0:
		return nil, usagef("--repeat and --parallel must be at least 1")
	case f.keep != "" && f.repeat > 1:
		return nil, usagef("--keep keeps one run of each scenario: leave out --repeat")
	case f.timeout <= 0:
		return nil, usagef("--timeout must be more than 0")
	}
	all, err := loadScenarios(paths)
	if err != nil {
		return nil, err
	}
	suite := &scenarios.Suite{Scenarios: all, Only: only, Parallel: f.parallel, Repeat: f.repeat}
	if suite.Parallel == 0 && f.addr == "" {
		suite.Parallel = runtime.GOMAXPROCS(0)
	}
	if len(suite.Cases()) == 0 {
		return nil, usagef("no scenario has a name that matches %q; --list lists them", f.only)
	}
	return suite, nil
}

// loadScenarios reads scenarios. It prints every fault of the files.
func loadScenarios(paths []string) (all []*scenarios.Scenario, err error) {
	var faults []error
	if len(paths) == 0 {
		if all, err = scenarios.Load(fixtures.Scenarios()); err != nil {
			faults = append(faults, err)
		}
		for _, s := range all {
			s.File = "fixtures/" + s.File // its path in the source
		}
	}
	for _, path := range paths {
		some, err := scenarios.LoadPath(path)
		if err != nil {
			faults = append(faults, err)
		}
		all = append(all, some...)
	}
	if len(faults) == 0 {
		return all, nil
	}
	fmt.Fprintln(os.Stderr, message(errors.Join(faults...)))
	return nil, errors.New("nothing was run")
}

// list shows the scenarios of a suite.
func list(suite *scenarios.Suite) error {
	out := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	var last *scenarios.Scenario
	for _, c := range suite.Cases() {
		s := c.Scenario
		if s == last {
			continue // another combination
		}
		last = s
		where := "anywhere"
		if s.Owns != "" {
			where = "in process"
		}
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\n", show.Printable(s.Name), where, show.Printable(strings.Join(s.Labels, " ")), show.Printable(s.Title))
	}
	return out.Flush()
}
