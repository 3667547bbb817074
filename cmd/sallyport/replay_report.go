package main

import (
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sallyport/sallyport/scenarios/report"
)

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
