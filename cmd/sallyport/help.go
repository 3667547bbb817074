package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// The headings of serve --help, in their order.
const (
	headingEnter   = "Who may enter"
	headingLimits  = "Limits"
	headingLog     = "Log"
	headingTLS     = "TLS"
	headingBackend = "Backend"
	headingFleet   = "Fleet"
	headingService = "Service"
)

var headings = []string{headingEnter, headingLimits, headingLog, headingTLS, headingBackend, headingFleet, headingService}

// headingKey is the annotation with the heading of a flag.
const headingKey = "sallyport_heading"

// under gives this heading to all flags that have none yet. Call it after each group of flags is defined.
func under(heading string, flags *pflag.FlagSet) {
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Annotations[headingKey] == nil {
			f.Annotations = map[string][]string{headingKey: {heading}}
		}
	})
}

// helpCommand is another form of --help: sallyport help user add.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Show the help of a command",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return usagef("there is no command %q", strings.Join(args, " "))
			}
			about.InitDefaultHelpFlag()
			about.InitDefaultVersionFlag()
			return about.Help()
		},
	}
}

// Widths of a help text, in columns.
const (
	pipeWidth = 80  // where it is not printed on a terminal
	maxWidth  = 110 // longer lines are hard to read
	minWidth  = 40
)

// showHelp prints the help of a command, as wide as the terminal.
func showHelp(cmd *cobra.Command, _ []string) {
	width := pipeWidth
	if columns, _, err := term.GetSize(int(stdout.file.Fd())); err == nil && columns > 0 {
		width = min(max(columns, minWidth), maxWidth)
	}
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "%s\n\nUsage:\n", reflow(strings.TrimSpace(cmp.Or(cmd.Long, cmd.Short)), width))
	if cmd.Runnable() && !cmd.HasAvailableSubCommands() || !cmd.HasParent() {
		fmt.Fprintf(out, "  %s\n", cmd.UseLine())
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(out, "  %s COMMAND\n", cmd.CommandPath())
	}
	if cmd.HasExample() {
		fmt.Fprintf(out, "\nExamples:\n%s\n", cmd.Example)
	}
	showCommands(out, cmd, width)
	showFlags(out, cmd, width)
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(out, "\n\"%s COMMAND --help\" says more about a command.\n", cmd.CommandPath())
	}
}

func showCommands(out io.Writer, cmd *cobra.Command, width int) {
	if !cmd.HasAvailableSubCommands() {
		return
	}
	fmt.Fprint(out, "\nCommands:\n")
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			head := fmt.Sprintf("  %-*s ", sub.NamePadding(), sub.Name())
			fmt.Fprintln(out, head+filled(sub.Short, len(head), width))
		}
	}
}

// showFlags lists the flags under their headings. Those without one are under Service if others have a heading.
func showFlags(out io.Writer, cmd *cobra.Command, width int) {
	groups := map[string]*pflag.FlagSet{}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		heading := ""
		if given := f.Annotations[headingKey]; given != nil {
			heading = given[0]
		}
		if groups[heading] == nil {
			groups[heading] = pflag.NewFlagSet("", pflag.ContinueOnError)
		}
		groups[heading].AddFlag(f)
	})
	if rest := groups[""]; rest != nil && len(groups) > 1 {
		service := cmp.Or(groups[headingService], pflag.NewFlagSet("", pflag.ContinueOnError))
		service.AddFlagSet(rest)
		groups[headingService] = service
		delete(groups, "")
	}
	for _, heading := range slices.Concat(headings, []string{""}) {
		if flags := groups[heading]; flags != nil && flags.HasAvailableFlags() {
			fmt.Fprintf(out, "\n%s:\n%s", cmp.Or(heading, "Flags"), wrapFlags(flags.FlagUsages(), width))
		}
	}
}

// narrow is where the texts of flags begin if half of the width does not suffice for the names.
const narrow = 10

// wrapFlags wraps the texts of flags. Unlike pflag, it also does so beside words that are longer than a line.
func wrapFlags(usages string, width int) string {
	var b strings.Builder
	for line := range strings.Lines(usages) {
		line = strings.TrimSuffix(line, "\n")
		begin := strings.Index(line, "--")
		name, text, _ := strings.Cut(line[begin:], "   ")
		text = strings.TrimLeft(text, " ")
		column := len(line) - len(text)
		head := line[:begin] + name
		if column > width/2 {
			fmt.Fprintln(&b, head)
			head, column = "", narrow
		}
		fmt.Fprintf(&b, "%-*s%s\n", column, head, filled(text, column, width))
	}
	return b.String()
}

// filled fills a text that begins at a column, and goes on there in the next lines.
func filled(text string, column, width int) string {
	return strings.ReplaceAll(fill(strings.Fields(text), width-column), "\n", "\n"+strings.Repeat(" ", column))
}

// reflow breaks the lines of the paragraphs of a text anew. Indented lines, such as tables, stay as they are.
func reflow(text string, width int) string {
	var out, paragraph []string
	end := func() {
		if len(paragraph) > 0 {
			out, paragraph = append(out, fill(paragraph, width)), nil
		}
	}
	for line := range strings.SplitSeq(text, "\n") {
		if line == "" || line[0] == ' ' || line[0] == '\t' {
			end()
			out = append(out, line)
			continue
		}
		paragraph = append(paragraph, strings.Fields(line)...)
	}
	end()
	return strings.Join(out, "\n")
}

// fill joins words to lines of a width.
func fill(words []string, width int) string {
	var b strings.Builder
	column := 0
	for _, word := range words {
		switch {
		case column == 0:
		case column+1+len(word) > width:
			b.WriteByte('\n')
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	return b.String()
}
