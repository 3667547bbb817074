// Package recipes runs the commands of documents as they are printed there, and compares what they print.
//
// A document is Markdown. Its blocks of the kind console are sessions of terminals:
//
//	rig$ sallyport serve
//	listening on 127.0.0.1:7443
//	...
//	you$ sallyport connect --user alice ECHO hello
//	hello
//
// A line with a prompt (a name and "$ ") is typed into the terminal of that name, which is a bash on a pty of its
// own, when its last command has ended. The lines below it are what the command must print. "..." in a line stands
// for anything, and as a line of its own for any number of lines. The next command is typed when all of these have
// come: a server goes on in its terminal, until the command "^C", which is that key, and a console until "^]q",
// which are two. A line that ends in a backslash goes on in the next one.
//
// All terminals of a document share a network of their own, so that a document may name any port of the loopback,
// and a directory of their own, which is their home too. Blocks of other kinds are files: a block behind a line
// that ends with "`NAME`:" is written there before the next command.
package recipes

import (
	"fmt"
	"regexp"
	"strings"
)

// Step is something that a reader does.
type Step struct {
	// Line is where it is in the document.
	Line int
	// Terminal is the name before the "$", or "" for none.
	Terminal string
	// Command is typed. If it is empty, File is written with Content.
	Command string
	// Want is what the command prints.
	Want []string

	File, Content string
}

var (
	prompt = regexp.MustCompile(`^([a-z]*)\$ (.+)$`)
	named  = regexp.MustCompile("`([A-Za-z0-9._/-]+)`:$")
)

// Parse returns the steps of a document.
func Parse(markdown string) (steps []Step, err error) {
	lines := strings.Split(markdown, "\n")
	last := "" // the last line that isn't empty
	for i := 0; i < len(lines); i++ {
		kind, ok := strings.CutPrefix(lines[i], "```")
		if !ok {
			if lines[i] != "" {
				last = lines[i]
			}
			continue
		}
		begin := i + 1
		for i++; i < len(lines) && lines[i] != "```"; i++ {
		}
		if i == len(lines) {
			return nil, fmt.Errorf("line %d: a block without an end", begin)
		}
		block := lines[begin:i]
		name := named.FindStringSubmatch(last)
		switch {
		case kind == "console":
			if steps, err = session(steps, block, begin+1); err != nil {
				return nil, err
			}
		case name != nil:
			steps = append(steps, Step{Line: begin, File: name[1], Content: strings.Join(block, "\n") + "\n"})
		}
		last = ""
	}
	return steps, nil
}

// session appends the commands of a block whose first line has this number.
func session(steps []Step, block []string, line int) ([]Step, error) {
	before := len(steps)
	for i, text := range block {
		switch match := prompt.FindStringSubmatch(text); {
		case match != nil:
			steps = append(steps, Step{Line: line + i, Terminal: match[1], Command: match[2]})
		case len(steps) == before:
			return nil, fmt.Errorf("line %d: the block begins without a prompt", line)
		default:
			step := &steps[len(steps)-1]
			if strings.HasSuffix(step.Command, `\`) && step.Want == nil {
				step.Command += "\n" + text
			} else {
				step.Want = append(step.Want, text)
			}
		}
	}
	return steps, nil
}

// match compares what a command has printed so far with what it must print. It returns how many lines of want
// have come; an error names the first line that is wrong. With ended nothing else comes.
func match(printed, want []string, ended bool) (n int, err error) {
	skip := false // the last line of want was "..."
	for _, line := range printed {
		for n < len(want) && want[n] == "..." {
			n, skip = n+1, true
		}
		switch {
		case n < len(want) && like(line, want[n]):
			n, skip = n+1, false
		case !skip && n < len(want):
			return n, fmt.Errorf("it printed %q, and not %q", line, want[n])
		case !skip:
			return n, fmt.Errorf("it printed %q as well", line)
		}
	}
	for n < len(want) && want[n] == "..." {
		n++
	}
	if ended && n < len(want) {
		return n, fmt.Errorf("it ended, and did not print %q", want[n])
	}
	return n, nil
}

// like reports whether a line is as wanted, where "..." stands for anything.
func like(line, want string) bool {
	parts := strings.Split(want, "...")
	for i, part := range parts {
		parts[i] = regexp.QuoteMeta(part)
	}
	return regexp.MustCompile(`^` + strings.Join(parts, `.*`) + `$`).MatchString(line)
}
