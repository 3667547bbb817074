package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sallyport/sallyport/scenarios"
	"github.com/sallyport/sallyport/scenarios/report"
)

// reportFlag is the flag for one form of report.
type reportFlag struct {
	file  string
	write func(io.Writer, report.About, []scenarios.Result) error
}

func defineReports(flags *pflag.FlagSet) (all []*reportFlag) {
	for _, form := range []struct {
		name, usage string
		write       func(io.Writer, report.About, []scenarios.Result) error
	}{
		{"json", "`file` for a report of all that happened, as JSON", report.JSON},
		{"junit", "`file` for a report of the results, as the JUnit XML that CI systems read", report.JUnit},
		{"html", "`file` for a report of all that happened, as a page for people", report.HTML},
	} {
		f := &reportFlag{write: form.write}
		flags.StringVar(&f.file, form.name, "", form.usage)
		all = append(all, f)
	}
	return all
}

// openReport is a report and its file.
type openReport struct {
	*reportFlag
	file *os.File
}

// openReports opens the files before anything runs, so that it fails at once if one can't be written.
func openReports(flags []*reportFlag) (all []openReport, err error) {
	for _, f := range flags {
		if f.file == "" {
			continue
		}
		file, err := os.Create(f.file)
		if err != nil {
			return nil, err
		}
		all = append(all, openReport{f, file})
	}
	return all, nil
}

func writeReports(reports []openReport, about report.About, results []scenarios.Result) error {
	var faults []error
	for _, r := range reports {
		out := bufio.NewWriter(r.file)
		if err := errors.Join(r.write(out, about, results), out.Flush(), r.file.Close()); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", fileName(r.reportFlag.file), err))
		}
	}
	return errors.Join(faults...)
}

// about says what the reports are about. No flag has a secret: passwords are in the file of --users.
func (f *replayFlags) about(cmd *cobra.Command, paths []string) report.About {
	line := cmd.CommandPath()
	cmd.Flags().Visit(func(flag *pflag.Flag) {
		line += " --" + flag.Name
		if value := flag.Value.String(); flag.Value.Type() != "bool" {
			line += " " + quoteArg(value)
		}
	})
	for _, path := range paths {
		line += " " + quoteArg(path)
	}
	host, _ := os.Hostname() // without it the report names none
	a := report.About{Version: version(), Command: line, Host: host}
	if f.addr != "" {
		a.Target = withPort(f.addr)
	}
	return a
}
