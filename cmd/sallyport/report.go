package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/pflag"
)

// A progressPrinter prints lines, and on a terminal the progress below them.
type progressPrinter struct {
	out        io.Writer
	isTerminal bool
}

// line prints a line where there is no progress line.
func (p progressPrinter) line(format string, args ...any) {
	if !p.isTerminal {
		fmt.Fprintf(p.out, format+"\n", args...)
	}
}

// clear removes the progress line.
func (p progressPrinter) clear() {
	if p.isTerminal {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}

// reportFlags are the flags for the forms of a report of a command: what it is about, and the results.
type reportFlags[A, R any] []*reportFlag[A, R]

type reportFlag[A, R any] struct {
	name  string
	write func(io.Writer, A, R) error
	file  *os.File
}

func defineReportFlags[A, R any](flags *pflag.FlagSet, json, junit, html func(io.Writer, A, R) error) (all reportFlags[A, R]) {
	for _, form := range []struct {
		name, usage string
		write       func(io.Writer, A, R) error
	}{
		{"json", "`file` for a report of all that happened, as JSON", json},
		{"junit", "`file` for a report of the results, as the JUnit XML that CI systems read", junit},
		{"html", "`file` for a report of all that happened, as a page for people", html},
	} {
		f := &reportFlag[A, R]{write: form.write}
		flags.StringVar(&f.name, form.name, "", form.usage)
		all = append(all, f)
	}
	return all
}

// open opens the files before anything runs, so that it fails at once if one can't be written.
func (all reportFlags[A, R]) open() (err error) {
	for i, f := range all {
		if f.name == "" {
			continue
		}
		if slices.ContainsFunc(all[:i], func(other *reportFlag[A, R]) bool { return other.name == f.name }) {
			return fmt.Errorf("%s: a file has one report", fileName(f.name))
		}
		if f.file, err = os.Create(f.name); err != nil {
			return err
		}
	}
	return nil
}

// wanted reports whether open has opened a file.
func (all reportFlags[A, R]) wanted() bool {
	return slices.ContainsFunc(all, func(f *reportFlag[A, R]) bool { return f.file != nil })
}

// write writes the files that open has opened.
func (all reportFlags[A, R]) write(about A, results R) error {
	var faults []error
	for _, f := range all {
		if f.file == nil {
			continue
		}
		out := bufio.NewWriter(f.file)
		err := cmp.Or(f.write(out, about, results), out.Flush()) // Flush repeats the error of a write
		if err = cmp.Or(err, f.file.Close()); err != nil {
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}
