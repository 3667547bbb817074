package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/pflag"

	"github.com/sallyport/sallyport/scenarios/probe"
)

// probeReport is the flag for one form of report.
type probeReport struct {
	file  string
	write func(io.Writer, *probe.Summary, []probe.Result) error
}

func defineProbeReports(flags *pflag.FlagSet) (all []*probeReport) {
	for _, form := range []struct {
		name, usage string
		write       func(io.Writer, *probe.Summary, []probe.Result) error
	}{
		{"json", "`file` for a report of all results, as JSON", probe.JSON},
		{"junit", "`file` for a report of the results, as the JUnit XML that CI systems read", probe.JUnit},
		{"html", "`file` for a report of all results, as a page for people", probe.HTML},
	} {
		f := &probeReport{write: form.write}
		flags.StringVar(&f.file, form.name, "", form.usage)
		all = append(all, f)
	}
	return all
}

type openProbe struct {
	*probeReport
	out *os.File
}

// openProbeReports opens the files before anything runs, so that it fails at once if one can't be written.
func openProbeReports(flags []*probeReport) (all []openProbe, err error) {
	for _, f := range flags {
		if f.file == "" {
			continue
		}
		file, err := os.Create(f.file)
		if err != nil {
			return nil, err
		}
		all = append(all, openProbe{f, file})
	}
	return all, nil
}

func writeProbeReports(reports []openProbe, s *probe.Summary, results []probe.Result) error {
	var faults []error
	for _, r := range reports {
		out := bufio.NewWriter(r.out)
		if err := errors.Join(r.write(out, s, results), out.Flush(), r.out.Close()); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", fileName(r.file), err))
		}
	}
	return errors.Join(faults...)
}
