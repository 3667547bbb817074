package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/sallyport/sallyport/server/audit"
)

func logCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "log",
		Short: "Show or verify an interaction log",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return usagef("say what to do: show or verify")
		},
	}
	cmd.AddCommand(logShowCommand(), logVerifyCommand())
	return cmd
}

func logShowCommand() *cobra.Command {
	var follow bool
	var since string
	var options audit.ShowOptions
	cmd := &cobra.Command{
		Use:   "show FILE",
		Short: "Show a log to a person",
		Long: `Show a log, a line for each event, with control characters made visible. On a
terminal it is coloured, unless NO_COLOR is set.`,
		Example: `  sallyport log show --user alice --since 1h ~/.local/state/sallyport/audit.jsonl
  sallyport log show --follow audit.jsonl`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) (err error) {
			if options.Since, err = parseSince(since, time.Now()); err != nil {
				return err
			}
			options.Colour = term.IsTerminal(int(os.Stdout.Fd())) && os.Getenv("NO_COLOR") == ""
			in, err := openLog(args[0], follow)
			if err != nil {
				return err
			}
			defer in.Close()
			return audit.Show(os.Stdout, in, options)
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "wait for more, across rotations, until interrupted")
	cmd.Flags().StringVar(&options.User, "user", "", "only what this `user` did")
	cmd.Flags().StringVar(&since, "since", "", "only from this `time` on: 2026-01-31, 2026-01-31T12:00:00Z, or an age such as 90m")
	return cmd
}

// openLog opens a log to read it, or to follow it until an interrupt.
func openLog(path string, follow bool) (io.ReadCloser, error) {
	if !follow {
		return os.Open(path)
	}
	// The process ends with it.
	ctx, _ := signal.NotifyContext(context.Background(), os.Interrupt)
	return audit.Follow(ctx, path)
}

func parseSince(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if age, err := time.ParseDuration(s); err == nil {
		return now.Add(-age), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usagef("--since: %q is no time such as 2026-01-31T12:00:00Z and no age such as 90m", s)
}

func logVerifyCommand() *cobra.Command {
	var head string
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Recompute a log's chain",
		Long: `Recompute the chain of a log. The first fault is printed as FILE:LINE: reason,
and the exit code is 1. A sound log's head is printed.

Without --head this finds any change before the last line that did not
recompute the chain from there on. With a head that was noted elsewhere (a
server prints it when it stops) it finds any change up to that head, a cut tail
included. It proves no more than that.`,
		Example: `  sallyport log verify audit.jsonl
  sallyport log verify --head 9b1c... audit.jsonl`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			report, err := audit.Verify(f, args[0], head)
			if err != nil {
				fmt.Println(err)
				return statusError{exitFailed}
			}
			fmt.Printf("%s: %d lines, head %s\n", args[0], report.Lines, report.Head)
			if report.From != "" {
				fmt.Printf("%s continues the log with the head %s\n", args[0], report.From)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&head, "head", "", "a `head` that was noted earlier, 64 hex digits")
	return cmd
}
