package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sallyport/sallyport/server/audit/show"
)

// plainUsage makes the usage errors of cobra and pflag say what to do, for a command and its subcommands.
func plainUsage(cmd *cobra.Command) {
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return flagError(err) })
	for _, sub := range cmd.Commands() {
		plainUsage(sub)
	}
	check := cmd.Args
	if check == nil {
		return
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		switch err := check(cmd, args); {
		case err == nil:
			return nil
		case len(args) == 0:
			return usagef("an argument is missing: %s", cmd.UseLine())
		case cmd.HasSubCommands():
			return usagef("there is no command %q; there are: %s", args[0], strings.Join(subcommands(cmd), ", "))
		default:
			return usagef("it takes no argument %q: %s", args[len(args)-1], cmd.UseLine())
		}
	}
}

// subcommands returns the names of the subcommands of a command.
func subcommands(cmd *cobra.Command) (names []string) {
	for _, sub := range cmd.Commands() {
		names = append(names, sub.Name())
	}
	return names
}

// valueForms describe the values of flags by their type.
var valueForms = map[string]string{
	"duration": "a time such as 500ms, 90s or 1h30m",
	"int":      "a whole number",
	"bool":     "true or false",
}

// flagError words the error of a flag's value.
func flagError(err error) error {
	invalid, ok := errors.AsType[*pflag.InvalidValueError](err)
	if !ok {
		return err
	}
	name := "--" + invalid.GetFlag().Name
	if form, known := valueForms[invalid.GetFlag().Value.Type()]; known {
		return worded{err, fmt.Sprintf("%s: %q is not %s", name, invalid.GetValue(), form)}
	}
	return worded{err, name + ": " + show.Printable(invalid.Unwrap().Error())}
}
