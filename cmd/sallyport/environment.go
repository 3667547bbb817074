package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const envPrefix = "SALLYPORT_"

// noVariable is the annotation of a flag that no variable sets.
const noVariable = "sallyport_no_variable"

// variable returns the name of a flag in the environment.
func variable(f *pflag.Flag) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
}

// fromEnvironment sets each flag that is not on the command line from its environment variable, unless an alternative
// of it is there. It leaves out the variable that hold gives its command: a hold in a hold can't listen there too. It
// also leaves out --host of cert new, because SALLYPORT_HOST is the server of the other commands, and flags with the
// annotation noVariable.
func fromEnvironment(flags *pflag.FlagSet) (err error) {
	isGiven := settled(flags)
	_, connects := hostOf(flags)
	flags.VisitAll(func(f *pflag.Flag) {
		name := variable(f)
		value, ok := os.LookupEnv(name)
		if _, isExempt := f.Annotations[noVariable]; isExempt {
			return
		}
		if !ok || isGiven(f.Name) || err != nil || f.Name == "help" || name == forwardVariable || f.Name == "host" && !connects {
			return
		}
		if e := flags.Set(f.Name, value); e != nil {
			err = fmt.Errorf("%s in the environment: %w", name, flagError(e))
		}
	})
	return err
}

// otherVariables matches variables that are known and set no flag. Kubernetes sets some of them for a service
// whose name begins with sallyport. Others belong to cobra or to the tests, and images often have
// SALLYPORT_VERSION.
var otherVariables = regexp.MustCompile(`^SALLYPORT_(` +
	`(\w+_)?SERVICE_(HOST|PORT(_\w+)?)=|` +
	`(\w+_)?PORT=(tcp|udp|sctp)://|` +
	`(\w+_)?PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?=|` +
	`(ACTIVE_HELP|COMPLETION_DESCRIPTIONS|NEED|PEERS|VERSION)=)`)

// unknownVariables returns the names of the variables with the prefix that belong to no flag of any command.
func unknownVariables(root *cobra.Command, environ []string) (unknown []string) {
	known := map[string]bool{}
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		cmd.Flags().VisitAll(func(f *pflag.Flag) { known[variable(f)] = true })
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(root)
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, envPrefix) && !known[name] && !otherVariables.MatchString(entry) {
			unknown = append(unknown, name)
		}
	}
	return unknown
}
