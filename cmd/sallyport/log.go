package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/sallyport/sallyport/server/audit"
	"github.com/sallyport/sallyport/server/state"
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
	var dir, since string
	var options audit.ShowOptions
	cmd := &cobra.Command{
		Use:   "show [FILE]",
		Short: "Show a log to a person",
		Long: `Show a log, a line for each event, with control characters made visible. On a
terminal it is coloured, unless NO_COLOR is set. Without FILE it is the log of
the state directory.`,
		Example: `  sallyport log show --user alice --since 1h
  sallyport log show --follow audit.jsonl`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) (err error) {
			if options.Since, err = parseSince(since, time.Now()); err != nil {
				return err
			}
			options.Colour = term.IsTerminal(int(os.Stdout.Fd())) && os.Getenv("NO_COLOR") == ""
			path, err := logFile(dir, args)
			if err != nil {
				return err
			}
			in, err := openLog(path, follow)
			if err != nil {
				return err
			}
			defer in.Close()
			return audit.Show(os.Stdout, in, options)
		},
	}
	addStateFlag(cmd, &dir)
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "wait for more, across rotations, until interrupted")
	cmd.Flags().StringVar(&options.User, "user", "", "only what this `user` did")
	cmd.Flags().StringVar(&since, "since", "", "only from this `time` on: 2026-01-31, 2026-01-31T12:00:00Z, or an age such as 90m")
	return cmd
}

// logFile is the log that args name, or the state directory's.
func logFile(stateFlag string, args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	dir, err := stateDir(stateFlag)
	return state.Paths{Dir: dir}.Audit(), err
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
	var dir, head string
	cmd := &cobra.Command{
		Use:   "verify [FILE]",
		Short: "Recompute a log's chain",
		Long: `Recompute the chain of a log. The first fault is printed as FILE:LINE: reason,
and the exit code is 1. A sound log's head is printed. Without FILE it is the
log of the state directory.

Without --head this finds any change before the last line that did not
recompute the chain from there on. With a head that was noted elsewhere (a
server prints it when it stops) it finds any change up to that head, a cut tail
included. It proves no more than that.`,
		Example: `  sallyport log verify audit.jsonl
  sallyport log verify --head 9b1c... audit.jsonl`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			// Also where it is empty: a head that got lost on the way must not pass for a check.
			if cmd.Flags().Changed("head") && !isHead(head) {
				return usagef("--head is 64 hex digits, not %q", head)
			}
			path, err := logFile(dir, args)
			if err != nil {
				return err
			}
			return verifyLog(path, strings.ToLower(head))
		},
	}
	addStateFlag(cmd, &dir)
	cmd.Flags().StringVar(&head, "head", "", "a `head` that was noted earlier, 64 hex digits")
	return cmd
}

func isHead(s string) bool {
	octets, err := hex.DecodeString(s)
	return err == nil && len(octets) == 32
}

func verifyLog(path, head string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	report, err := audit.Verify(f, path, head)
	if err != nil {
		fmt.Println(err)
		return statusError{exitFailed}
	}
	checked := "no --head checked"
	if head != "" {
		checked = "with that --head"
	}
	fmt.Printf("%s: %d lines, %s, head %s\n", path, report.Lines, checked, report.Head)
	if report.From != "" {
		fmt.Printf("%s continues the log with the head %s\n", path, report.From)
	}
	return nil
}
