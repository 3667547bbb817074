package scenarios

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"rsc.io/script"
)

// A member of the cast is a command of the language.
type member struct {
	summary string
	// client means that the member is a user of the server.
	client bool
	// owns means that all verbs need a server in the process.
	owns  bool
	verbs []verb
}

// A verb is one thing that a member can do. A verb without a name is the only one of its member, and its
// arguments follow the member's name.
type verb struct {
	name, args, summary string
	// least and most bound the number of arguments.
	least, most int
	// pattern is the number of the argument that is a regular expression, from 1. Zero means none.
	pattern int
	// logsIn means that the verb needs the password of the member. needs is another member whose password
	// it needs.
	logsIn bool
	needs  string
	// check means that the verb only waits for something.
	check bool
	run   func(ctx context.Context, c *call) (output string, err error)
}

// many stands for any number of arguments.
const many = 1 << 10

// A call is a verb that runs.
type call struct {
	stage *stage
	who   string
	verb  *verb
	args  []string
	// negated means that the line begins with !, so that a check does not wait.
	negated bool
}

// members of the cast, by name.
var members = cast()

func cast() map[string]*member {
	all := map[string]*member{
		"server":   serverMember(),
		"backend":  backendMember(),
		"log":      logMember(),
		"eve":      eveMember(),
		"operator": operatorMember(),
		"network":  networkMember(),
		"sybil":    sybilMember(),
		"mallory":  malloryMember(),
		"matrix":   matrixMember(),
		"skip":     skipMember(),
	}
	for _, name := range clientNames() {
		all[name] = clientMember()
	}
	return all
}

// clientNames returns the members that are clients.
func clientNames() []string { return []string{"alice", "bob", "carol", "dave"} }

func matrixMember() *member {
	return &member{
		summary: "run the scenario once for each combination",
		verbs: []verb{{
			args: "DIMENSION=VALUE,VALUE...", most: many,
			summary: "A dimension is a word of your own, or one that configures the run: tls (1.2, 1.3), key (ecdsa, ed25519, rsa) and mechanism (plus, plain). Each is also a condition, [tls:1.2] or [step:seat,session] for either value, and a variable, $tls.",
			run:     func(context.Context, *call) (string, error) { return "", nil },
		}},
	}
}

func skipMember() *member {
	return &member{
		summary: "end the scenario as skipped",
		verbs: []verb{{
			args: "REASON", least: 1, most: 1, summary: "For a combination that makes no sense.",
			run: func(_ context.Context, c *call) (string, error) { return "", skipError(c.args[0]) },
		}},
	}
}

// find returns the verb at the beginning of the words.
func (m *member) find(words []string) (*verb, error) {
	if m.verbs[0].name == "" {
		return &m.verbs[0], nil
	}
	var names []string
	for i := range m.verbs {
		if len(words) > 0 && m.verbs[i].name == words[0] {
			return &m.verbs[i], nil
		}
		names = append(names, m.verbs[i].name)
	}
	if len(words) == 0 {
		return nil, fmt.Errorf("the line has no verb; it can be one of: %s", strings.Join(names, " "))
	}
	return nil, fmt.Errorf("can't %q; it can be one of: %s", words[0], strings.Join(names, " "))
}

// usage is the help of the member.
func (m *member) usage() script.CmdUsage {
	usage := script.CmdUsage{Summary: m.summary, Args: "verb [argument...]", Async: true, RegexpArgs: m.patterns}
	if m.verbs[0].name == "" {
		usage.Args = m.verbs[0].args
		usage.Detail = []string{m.verbs[0].summary}
		return usage
	}
	for _, v := range m.verbs {
		usage.Detail = append(usage.Detail, strings.TrimSpace(v.name+" "+v.args)+": "+v.summary)
	}
	return usage
}

// patterns returns the arguments that are regular expressions. A variable in them matches its own text.
func (m *member) patterns(args ...string) []int {
	v, err := m.find(args)
	if err != nil || v.pattern == 0 || v.name == "" {
		return nil
	}
	return []int{v.pattern} // the verb is argument 0
}

// captures stands before the name of the variable for the output.
const captures = "->"

// arguments returns the arguments of the verb, and the variable for the output.
func (v *verb) arguments(name string, args []string) (own []string, capture string, err error) {
	if v.name != "" {
		args = args[1:]
	}
	if n := len(args); n >= 2 && args[n-2] == captures {
		capture, args = args[n-1], args[:n-2]
	}
	if len(args) < v.least || len(args) > v.most {
		return nil, "", fmt.Errorf("usage: %s", strings.Join(strings.Fields(name+" "+v.name+" "+v.args), " "))
	}
	return args, capture, nil
}

// commands returns the commands of the cast and of the engine. Each notes its step.
func (st *stage) commands() map[string]script.Cmd {
	all := map[string]script.Cmd{}
	for name, m := range members {
		all[name] = st.command(name, m)
	}
	for name, tool := range toolCommands() {
		all[name] = st.confined(name, tool)
	}
	return all
}

// command returns the engine's command for a member.
func (st *stage) command(name string, m *member) script.Cmd {
	return script.Command(m.usage(), func(_ *script.State, args ...string) (script.WaitFunc, error) {
		step, err := st.begin(name, args)
		c, capture, wrong := st.call(name, m, args)
		if err = cmp.Or(err, wrong); err != nil {
			st.end(step, err)
			return nil, err
		}
		step.check = c.verb.check
		done := make(chan struct{})
		var output string
		go func() {
			defer close(done)
			ctx, cancel := context.WithTimeout(st.ctx, st.target.timeout())
			defer cancel()
			output, err = c.verb.run(ctx, c)
			if isLate(ctx, err) {
				err = fmt.Errorf("nothing of the kind within %v: %w", st.target.timeout(), err)
			}
			st.end(step, err)
		}()
		return func(s *script.State) (string, string, error) {
			<-done
			if st.settle(step) {
				return "", "", nil
			}
			if err != nil || capture == "" {
				return output, "", err
			}
			value := strings.TrimSuffix(output, "\n")
			if err := checkVariable(value); err != nil {
				return output, "", err
			}
			return output, "", s.Setenv(capture, value)
		}, nil
	})
}

// isLate reports whether err is the end of the time of ctx.
func isLate(ctx context.Context, err error) bool {
	end, _ := ctx.Deadline()
	return !time.Now().Before(end) && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded))
}

func (st *stage) call(name string, m *member, args []string) (c *call, capture string, err error) {
	v, err := m.find(args)
	if err != nil {
		return nil, "", err
	}
	args, capture, err = v.arguments(name, args)
	return &call{stage: st, who: name, verb: v, args: args, negated: st.negated()}, capture, err
}

// toolCommands are the commands of the script engine that a scenario may use. None runs a program, sleeps, or
// removes anything.
func toolCommands() map[string]script.Cmd {
	return map[string]script.Cmd{
		"cat": script.Cat(), "cmp": script.Cmp(), "cmpenv": script.Cmpenv(), "echo": script.Echo(),
		"env": script.Env(), "exists": script.Exists(), "grep": script.Grep(), "help": script.Help(),
		"stderr": script.Stderr(), "stdout": script.Stdout(), "stop": script.Stop(), "wait": script.Wait(),
	}
}

func isToolCommand(name string) bool { return toolCommands()[name] != nil }

func commandNames() []string {
	names := slices.AppendSeq(slices.Collect(maps.Keys(members)), maps.Keys(toolCommands()))
	slices.Sort(names)
	return names
}

// confined restricts a command of the engine to the files of the scenario.
func (st *stage) confined(name string, tool script.Cmd) script.Cmd {
	return script.Command(*tool.Usage(), func(s *script.State, args ...string) (script.WaitFunc, error) {
		step, err := st.begin(name, args)
		for _, arg := range args {
			err = cmp.Or(err, checkPath(arg))
			if name == "env" {
				err = cmp.Or(err, checkVariable(arg))
			}
		}
		var wait script.WaitFunc
		if err == nil {
			wait, err = tool.Run(s, args...)
		}
		st.end(step, err)
		if wait == nil {
			return nil, err
		}
		return func(s *script.State) (stdout, stderr string, err error) {
			stdout, stderr, err = wait(s)
			return stdout, stderr, cmp.Or(err, st.keep(len(stdout)+len(stderr)))
		}, err
	})
}

// checkVariable refuses a value that is too long for a variable.
func checkVariable(value string) error {
	if len(value) > maxVariable {
		return fmt.Errorf("a variable can't have %d bytes, but at most %d", len(value), maxVariable)
	}
	return nil
}

// checkPath refuses the name of a file outside the scenario's folder.
func checkPath(name string) error {
	if filepath.IsAbs(name) || slices.Contains(strings.Split(filepath.ToSlash(name), "/"), "..") {
		return errOutside(name)
	}
	return nil
}

func errOutside(name string) error { return fmt.Errorf("%q is outside the scenario's folder", name) }

// Explain writes the help of the language: a line for each command and condition, or all verbs of the
// named commands.
func Explain(w io.Writer, names ...string) error {
	st := newStage(&Scenario{}, nil, &Target{}, time.Time{})
	engine := &script.Engine{Cmds: st.commands(), Conds: st.conditions()}
	for _, name := range names {
		if engine.Cmds[name] == nil {
			return fmt.Errorf("there is no command %q; there are: %s", name, strings.Join(commandNames(), " "))
		}
	}
	if len(names) > 0 {
		return engine.ListCmds(w, true, names...)
	}
	if err := engine.ListCmds(w, false); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(w, "\nConditions before a line, which a ! inside negates:"); err != nil {
		return err
	}
	return engine.ListConds(w, nil)
}
