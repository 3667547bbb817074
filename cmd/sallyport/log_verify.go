package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/server/audit"
	"github.com/sallyport/sallyport/server/audit/show"
	"github.com/sallyport/sallyport/server/fleet"
)

func logVerifyCommand() *cobra.Command {
	var dir, head string
	noted := &notedFlags{}
	cmd := &cobra.Command{
		Use:   "verify [FILE...]",
		Short: "Recompute a log's chain",
		Long: `Recompute the chain of a log. The first fault is printed as FILE:LINE: reason,
and the exit code is 1. A sound log's head is printed.

Without --head this finds a change before the last line, unless the chain was
recomputed from there on. It does not find that the last lines are missing. With
a head that was noted elsewhere (a server prints it when it stops) it finds any
change up to that head, also that lines are missing. Of several files each must
continue the one before. It proves no more than that.

With --fleet each head that the gate has noted in etcd must be in the files, in
order. It finds any change up to the latest of them by anybody who can't write
the gate's keys in etcd.` + filesHelp,
		Example: `  sallyport log verify audit.jsonl
  sallyport log verify --head 9b1c... audit.jsonl.1.gz audit.jsonl
  sallyport log verify --fleet etcd://127.0.0.1:2379 --rig psu audit.jsonl`,
		RunE: func(cmd *cobra.Command, args []string) error {
			// An empty --head is an error too: a script may have lost the head.
			if cmd.Flags().Changed("head") && !isHead(head) {
				return usagef("--head is 64 hex digits, not %q", head)
			}
			if noted.fleet.url != "" && head != "" {
				return usagef("give --head or --fleet: a head that you noted, or those in etcd")
			}
			heads, err := noted.heads()
			if err != nil {
				return err
			}
			files, err := openLogs(dir, args, false)
			if err != nil {
				return err
			}
			if noted.fleet.url != "" {
				return verifyNoted(files, heads)
			}
			return verifyLog(files, strings.ToLower(head))
		},
	}
	addStateFlag(cmd, &dir)
	noted.define(cmd)
	cmd.Flags().StringVar(&head, "head", "", "a `head` that was noted earlier, 64 hex digits")
	return cmd
}

func isHead(s string) bool {
	head, err := hex.DecodeString(s)
	return err == nil && len(head) == 32
}

func verifyLog(files []audit.File, head string) error {
	report, err := audit.VerifyFiles(head, files...)
	if err != nil {
		fmt.Fprintln(stdout, message(err))
		return statusError{exitFailed}
	}
	checked := "no --head checked"
	if head != "" {
		checked = "with that --head"
	}
	fmt.Fprintf(stdout, "%s: %s, %s, head %s\n", logsOf(files), count(report.Lines, "line"), checked, report.Head)
	sayFrom(files, report)
	return nil
}

// logsOf returns the names of the first file and the last one.
func logsOf(files []audit.File) string {
	name := files[0].Name
	if last := len(files) - 1; last > 0 {
		name = fmt.Sprintf("%s to %s, %d files", name, files[last].Name, len(files))
	}
	return name
}

// sayFrom prints what is before the first file.
func sayFrom(files []audit.File, report audit.Report) {
	if report.From != "" {
		lost := ""
		if report.Lost.Why != "" {
			lost = fmt.Sprintf("; that file %v", report.Lost)
		}
		fmt.Fprintf(stdout, "%s continues the log with the head %s%s\n", files[0].Name, report.From, lost)
	}
}

// notedFlags choose the heads in etcd.
type notedFlags struct {
	fleet     fleetFlags
	rig, gate string
}

func (f *notedFlags) define(cmd *cobra.Command) {
	flags := cmd.Flags()
	f.fleet.define(flags)
	flags.Lookup("fleet").Usage = "check the heads in this etcd; SALLYPORT_FLEET does not set it: `etcd://HOST:PORT[,HOST:PORT...][/PREFIX]`"
	flags.StringVar(&f.rig, "rig", "", "with --fleet: `name` of the rig")
	flags.StringVar(&f.gate, "gate", "", "with --fleet: `id` of the gate, if there are several")
	for _, name := range []string{"fleet", "rig"} { // variables that are meant for clients must not change what is checked
		_ = flags.SetAnnotation(name, noVariable, nil) // no error: the flags are there
	}
}

// heads returns the heads that were noted of one gate.
func (f *notedFlags) heads() ([]fleet.Head, error) {
	if f.fleet.url == "" {
		if f.rig+f.gate != "" {
			return nil, usagef("--rig and --gate go with --fleet")
		}
		return nil, nil
	}
	gates, err := f.fleet.open(slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	heads, err := gates.Heads(context.Background(), f.rig)
	if err != nil {
		return nil, err
	}
	of := map[string][]fleet.Head{}
	for _, h := range heads {
		if h.Gate != "" && (f.gate == "" || f.gate == h.Gate) {
			of[h.Gate] = append(of[h.Gate], h)
		}
	}
	ids := slices.Sorted(maps.Keys(of))
	switch len(ids) {
	case 0:
		return nil, errors.New("no head is noted in etcd for this gate: check --fleet, --rig and --gate")
	case 1:
		return of[ids[0]], nil
	}
	return nil, usagef("heads of %d gates are noted: choose one with --gate:%s", len(ids), listed(ids, of))
}

// listed returns a line for each of the first gates.
func listed(ids []string, of map[string][]fleet.Head) (lines string) {
	const most = 20
	for i, id := range ids {
		if i == most {
			return lines + fmt.Sprintf("\n  and %d more", len(ids)-most)
		}
		last := of[id][len(of[id])-1]
		lines += fmt.Sprintf("\n  %s of %s, %s, the latest of %s", id, last.Rig, count(len(of[id]), "head"), last.Time.Format(time.DateTime))
	}
	return lines
}

// verifyNoted checks the chain of a log, and that each noted head is in it. It prints the missing heads.
func verifyNoted(files []audit.File, heads []fleet.Head) error {
	values := make([]string, len(heads))
	for i, h := range heads {
		values[i] = h.Head
	}
	report, lines, err := audit.VerifyHeads(values, files...)
	if err != nil {
		fmt.Fprintln(stdout, message(err))
		return statusError{exitFailed}
	}
	wrong, last := 0, 0
	for i, h := range heads {
		fault := ""
		switch {
		case h.Fault != nil:
			fault = message(h.Fault)
		case lines[i] < 0:
			fault = "it is in no line: lines were removed or changed, or older files are missing"
		case lines[i] < last:
			fault = fmt.Sprintf("it is in line %d, before a head that was noted earlier", lines[i])
		default:
			last = lines[i]
			continue
		}
		if wrong++; wrong <= shownFaults {
			fmt.Fprintf(stdout, "%s: head %.64s of %s: %s\n", show.Printable(h.Key), show.Printable(h.Head), h.Time.Format(time.RFC3339), fault)
		}
	}
	latest := heads[len(heads)-1]
	if wrong > 0 {
		fmt.Fprintf(stdout, "%s: %s, %d of %s noted in etcd are not in it\n",
			logsOf(files), count(report.Lines, "line"), wrong, count(len(heads), "head"))
		return statusError{exitFailed}
	}
	all := "the only head"
	if len(heads) > 1 {
		all = fmt.Sprintf("all %d heads", len(heads))
	}
	fmt.Fprintf(stdout, "%s: %s, with %s noted in etcd, the latest of %s in line %d, head %s\n",
		logsOf(files), count(report.Lines, "line"), all, latest.Time.Format(time.RFC3339), last, report.Head)
	sayFrom(files, report)
	return nil
}

// shownFaults is how many heads are printed that are not in a log.
const shownFaults = 20
