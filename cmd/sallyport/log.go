package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/server/audit"
	"github.com/sallyport/sallyport/server/audit/show"
)

func logCommand() *cobra.Command {
	return group(&cobra.Command{Use: "log", Short: "Show or verify an interaction log"},
		logShowCommand(), logSessionsCommand(), logVerifyCommand())
}

// filesHelp ends the help of each log command.
const filesHelp = `

FILE is a log, or several files of a log that was rotated, the oldest first.
They may be compressed with gzip; - is standard input. Without FILE it is the
log of the state directory.`

// logFlags are the flags that choose what is shown of a log.
type logFlags struct {
	state, since  string
	local, follow bool
	options       show.Options
}

func (f *logFlags) define(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.options.User, "user", "", "only what this `user` did")
	flags.StringVar(&f.since, "since", "", "only from this `time` on: 2026-01-31, 2026-01-31T12:00:00Z, or an age such as 90m")
	flags.BoolVar(&f.local, "local", false, "show local time instead of UTC")
	addStateFlag(cmd, &f.state)
}

// print prints the files in args with a function of package show.
func (f *logFlags) print(with func(io.Writer, show.Options, ...audit.File) error, args []string) (err error) {
	if f.options.Since, err = parseSince(f.since, time.Now()); err != nil {
		return err
	}
	for _, event := range f.options.Events {
		if !slices.Contains(show.Events, event) {
			return usagef("--event: there is no event %q; there are: %s", event, strings.Join(show.Events, ", "))
		}
	}
	if f.local {
		f.options.Zone = time.Local
	}
	files, err := openLogs(f.state, args, f.follow)
	if err != nil {
		return err
	}
	out := &counted{Writer: stdout}
	err = with(out, f.options, files...)
	if err == nil && out.written == 0 && (f.options.User != "" || len(f.options.Conns) > 0) {
		fmt.Fprintln(os.Stderr, "nothing in the log matches")
	}
	return err
}

// counted counts what is written.
type counted struct {
	io.Writer
	written int64
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	c.written += int64(n)
	return n, err
}

// openLogs opens the files of a log. Without names it opens the log of the state directory. It leaves closing
// to the end of the process. An interrupt ends the last file, if it is followed.
func openLogs(stateFlag string, names []string, follow bool) (files []audit.File, err error) {
	if len(names) == 0 {
		paths, err := statePaths(stateFlag)
		if err != nil {
			return nil, err
		}
		names = []string{paths.Audit()}
	}
	for i, name := range names {
		file := audit.File{Name: fileName(name), Reader: os.Stdin}
		switch {
		case follow && i == len(names)-1:
			if name == "-" {
				return nil, usagef("--follow waits for more of a file, not of standard input")
			}
			ctx, _ := signal.NotifyContext(context.Background(), os.Interrupt)
			file.Reader, err = audit.Follow(ctx, name)
		case name != "-":
			file.Reader, err = os.Open(name)
		}
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

func logShowCommand() *cobra.Command {
	f := &logFlags{}
	cmd := &cobra.Command{
		Use:   "show [FILE...]",
		Short: "Show each event of a log",
		Long: `Show a log, a line for each event. Fields that are empty or zero are left out,
and control characters are made visible. On a terminal warnings and errors are
coloured, unless NO_COLOR is set. A line of the log that is not an event is
shown behind a "!".` + filesHelp,
		Example: `  sallyport log show --user alice --since 1h
  sallyport log show --event login.fail --event conn.refuse audit.jsonl.1.gz audit.jsonl
  sallyport log show --follow --local`,
		RunE: func(_ *cobra.Command, args []string) error {
			f.options.Colour = stdout.isTerminal() && os.Getenv("NO_COLOR") == ""
			return f.print(show.Records, args)
		},
	}
	f.define(cmd)
	cmd.Flags().StringArrayVar(&f.options.Conns, "conn", nil, "only the connection with this `id`; can be given again")
	cmd.Flags().StringArrayVar(&f.options.Events, "event", nil, "only events of this `name`, such as session.open; can be given again")
	cmd.Flags().BoolVarP(&f.follow, "follow", "f", false, "wait for more, across rotations, until interrupted")
	return cmd
}

func logSessionsCommand() *cobra.Command {
	f := &logFlags{}
	cmd := &cobra.Command{
		Use:   "sessions [FILE...]",
		Short: "Show each session of a log",
		Long: `Show a line for each session: when it began, its connection (for log show
--conn), who had it and from where, how long it lasted, how many requests it
made, and how it ended.` + filesHelp,
		Example: `  sallyport log sessions --since 24h
  sallyport log sessions audit.jsonl.1.gz audit.jsonl`,
		RunE: func(_ *cobra.Command, args []string) error { return f.print(show.Sessions, args) },
	}
	f.define(cmd)
	return cmd
}

// parseSince reads --since.
func parseSince(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if age, err := time.ParseDuration(s); err == nil {
		return now.Add(-age), nil
	}
	for _, layout := range []string{
		time.RFC3339, "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02",
	} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usagef("--since: %q is no time such as 2026-01-31T12:00:00Z and no age such as 90m", s)
}
