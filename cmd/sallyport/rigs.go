package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/server/audit/show"
	"github.com/sallyport/sallyport/server/fleet"
)

// rigsSchema is the schema of rigs --json.
const rigsSchema = "sallyport-rigs/1"

type rigsFlags struct {
	fleetFlags
	tags        tagsFlag
	json, watch bool
}

func rigsCommand() *cobra.Command {
	f := &rigsFlags{}
	cmd := &cobra.Command{
		Use:   "rigs",
		Short: "List the rigs of a fleet, and who has them",
		Long: `List the rigs that the servers of a fleet guard, from their directory in etcd. A
server is in the directory while it runs with --fleet and --rig, and leaves it at
most 15 s after it was killed. Servers that share a seat (--fleet-seat) have one
name and a row each, with the same holder.

The columns are NAME, for --rig of connect, hold and forward; ADDR; HOLDER, the user
who has the seat, or -; SINCE, when that session began; WAITING, the number of users
in the queue; and TAGS. The directory lags behind a server by up to half a second.

With --watch rigs shows each change, until a signal ends it: on a terminal it draws
the table again, elsewhere it prints the rows that have changed. --json prints
an object, with --watch a line for each change: "schema" is "` + rigsSchema + `",
and each of "rigs" has name, gate, addr, ca, tags, version, holder, since (only with
a holder), waiting, head and seat (whether the seat is shared).

The exit code is 3 if etcd does not answer.`,
		Example: `  sallyport rigs --fleet etcd://etcd1:2379,etcd2:2379,etcd3:2379/lab --fleet-ca etcd-ca.pem
  sallyport rigs --tag board=imx8,site=berlin        # with SALLYPORT_FLEET in the environment
  sallyport rigs --json | jq -r '.rigs[] | select(.holder == "") | .name'`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return f.run() },
	}
	f.define(cmd.Flags())
	cmd.Flags().Var(&f.tags, "tag", "only rigs with this tag; repeatable")
	cmd.Flags().BoolVar(&f.json, "json", false, "print an object")
	cmd.Flags().BoolVar(&f.watch, "watch", false, "show each change until a signal")
	return cmd
}

func (f *rigsFlags) run() error {
	if err := f.check("rigs"); err != nil {
		return err
	}
	gates, err := f.open(warnings(os.Stderr))
	if err != nil {
		return err
	}
	defer gates.Close()
	ctx, cancel := notifyContext()
	defer cancel()
	if f.watch {
		return f.follow(ctx, gates)
	}
	all, err := gates.Rigs(ctx)
	if err != nil {
		return cause(ctx, noDirectory{err})
	}
	none := "no rig is in the directory" + f.tags.suffix()
	if len(all) == 0 {
		none = noRigs(gates)
	}
	return f.print(f.tagged(all), none)
}

// noRigs returns the message for an empty directory.
func noRigs(gates *fleet.Fleet) string {
	return "no rigs under /" + gates.Prefix() + ": do the servers have this prefix in --fleet?"
}

// noDirectory is an error of the directory. Its exit code is 3.
type noDirectory struct{ error }

func (e noDirectory) Unwrap() error { return e.error }

// warnings returns a log that prints faults in etcd as lines for a person.
func warnings(out io.Writer) *slog.Logger {
	return slog.New(&warner{Handler: slog.NewTextHandler(out, nil), out: out})
}

// firstWarning is like warnings, for a command that uses one rig: it prints only the first line.
func firstWarning(out io.Writer) *slog.Logger {
	return slog.New(&warner{Handler: slog.NewTextHandler(out, nil), out: out, more: "; sallyport rigs lists all"})
}

// warner prints a record as one line.
type warner struct {
	slog.Handler
	out  io.Writer
	more string // if not empty, only the first line is printed, followed by more
	once sync.Once
}

func (w *warner) Handle(_ context.Context, r slog.Record) error {
	if w.more == "" {
		return w.print(r)
	}
	w.once.Do(func() { _ = w.print(r) })
	return nil
}

func (w *warner) print(r slog.Record) error {
	line := "warning: " + r.Message
	r.Attrs(func(a slog.Attr) bool {
		text := a.Value.String()
		if err, ok := a.Value.Any().(error); ok {
			text = strings.TrimPrefix(message(err), message(fleet.ErrForeign)+": ")
		}
		line += ": " + show.Printable(text)
		return true
	})
	_, err := fmt.Fprintln(w.out, line+w.more)
	return err
}

// tagged returns the rigs that have the tags of --tag.
func (f *rigsFlags) tagged(all []fleet.Rig) []fleet.Rig {
	kept := []fleet.Rig{}
	for _, r := range all {
		if r.Has(f.tags) {
			kept = append(kept, r)
		}
	}
	return kept
}

// print prints the rigs. If there are none, it prints the text none on standard error.
func (f *rigsFlags) print(all []fleet.Rig, none string) error {
	if f.json {
		return printRigs(all, "  ")
	}
	if len(all) == 0 {
		fmt.Fprintln(os.Stderr, none)
		return nil
	}
	_, err := stdout.Write([]byte(rigTable(all)))
	return err
}

// suffix returns the tags as the end of the sentence "no rig is in the directory".
func (f tagsFlag) suffix() string {
	if len(f) == 0 {
		return ""
	}
	return " with " + f.String()
}

func printRigs(all []fleet.Rig, indent string) error {
	out := json.NewEncoder(stdout)
	out.SetIndent("", indent)
	return out.Encode(struct {
		Schema string      `json:"schema"`
		Rigs   []fleet.Rig `json:"rigs"`
	}{rigsSchema, all})
}

// rigTable returns the table of rigs.
func rigTable(all []fleet.Rig) string {
	var b strings.Builder
	out := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "NAME\tADDR\tHOLDER\tSINCE\tWAITING\tTAGS")
	for _, r := range all {
		fmt.Fprintln(out, strings.Join(rigRow(r), "\t"))
	}
	_ = out.Flush() // into memory
	return b.String()
}

// rigRow returns the columns of a rig.
func rigRow(r fleet.Rig) []string {
	row := []string{r.Name, r.Addr, r.Holder, "", strconv.Itoa(r.Waiting), tagsFlag(r.Tags).String()}
	if r.Holder != "" && !r.Since.IsZero() {
		row[3] = r.Since.Local().Format(time.DateTime)
	}
	for i, text := range row {
		if row[i] = show.Printable(text); text == "" {
			row[i] = "-"
		}
	}
	return row
}

// follow shows each change until a signal ends the process, or standard output is lost.
func (f *rigsFlags) follow(ctx context.Context, gates *fleet.Fleet) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	draw := printChanges()
	switch {
	case f.json:
		draw = func(all []fleet.Rig) error { return printRigs(all, "") }
	case stdout.isTerminal():
		draw = func(all []fleet.Rig) error { return drawScreen("Ctrl-C ends\n" + rigTable(all)) }
	}
	err := gates.Follow(ctx, func(all []fleet.Rig) {
		if err := draw(f.tagged(all)); err != nil {
			stop(err)
		}
	})
	if err != nil && ctx.Err() == nil {
		return noDirectory{err}
	}
	return stdout.lost() // a signal is the normal end
}

// printChanges returns a function that prints the rows that have changed since its last call.
func printChanges() func([]fleet.Rig) error {
	before := map[string]string{}
	return func(all []fleet.Rig) error {
		now, out := map[string]string{}, ""
		for _, r := range all {
			key, row := r.Name+" "+r.Gate, strings.Join(rigRow(r), "  ")
			if now[key] = row; before[key] != row {
				out += time.Now().Format(time.TimeOnly) + "  " + row + "\n"
			}
			delete(before, key)
		}
		for _, row := range before {
			name, _, _ := strings.Cut(row, "  ")
			out += time.Now().Format(time.TimeOnly) + "  " + name + "  is gone\n"
		}
		before = now
		_, err := stdout.Write([]byte(out))
		return err
	}
}
