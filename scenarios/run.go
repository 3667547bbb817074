package scenarios

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/tools/txtar"
	"rsc.io/script"

	"github.com/sallyport/sallyport/server"
)

// Target is the server that scenarios run against. The zero Target starts a server in the process for each.
type Target struct {
	// Remote is a server that runs already. Nil means a server in the process.
	Remote *Remote
	// Configure changes the server in the process before it starts: set Handler to test your own. The
	// options of a scenario's "server" line take effect after it. The engine sets the users, the interaction
	// log and OnSay. Nil changes nothing.
	Configure func(*server.Server)
	// Timeout bounds each step. Zero means 10 s.
	Timeout time.Duration
	// Keep is a folder that keeps the files of each run. Empty means that a run removes its files.
	Keep string
}

func (t *Target) timeout() time.Duration { return cmp.Or(t.Timeout, 10*time.Second) }

// lacks returns the reason why a scenario can't run against the target. Empty means that it can.
func (t *Target) lacks(s *Scenario) string {
	if t.Remote == nil {
		return ""
	}
	if s.Owns != "" {
		return s.Owns
	}
	for _, name := range s.Cast {
		if _, ok := t.Remote.Passwords[name]; !ok {
			return fmt.Sprintf("the users file has no password of %s", name)
		}
	}
	return ""
}

func (t *Target) workdir(s *Scenario, choice Combination) (string, error) {
	if t.Keep == "" {
		return os.MkdirTemp("", "sallyport-scenario-")
	}
	name := strings.NewReplacer("/", "-", " ", "-", "=", "").Replace(s.Name + " " + choice.String())
	name = strings.Trim(name, "-")
	if !filepath.IsLocal(name) || name == "." { // the scenario's file may have any name
		return "", fmt.Errorf("%s: %w", s.File, errOutside(name))
	}
	dir := filepath.Join(t.Keep, name)
	return dir, os.MkdirAll(dir, 0o700)
}

// Run runs a scenario in one of its combinations. The context bounds the whole run, the target's time-out
// each step. A failure is in the result.
func Run(ctx context.Context, s *Scenario, choice Combination, target *Target) (r Result) {
	r = Result{Scenario: s, Combination: choice, Start: time.Now()}
	defer func() { r.Duration = time.Since(r.Start) }()
	if r.Reason = target.lacks(s); r.Reason != "" {
		r.Status = Skipped
		return r
	}
	dir, err := target.workdir(s, choice)
	if err != nil {
		r.Status, r.Err = Failed, err
		return r
	}
	if target.Keep == "" {
		defer os.RemoveAll(dir)
	}
	st := newStage(s, choice, target, r.Start)
	err = st.act(ctx, dir, &r)
	r.Steps, r.Exchanges, r.Log = st.account()
	r.Status, r.Err = Passed, err
	var skip skipError
	if errors.As(err, &skip) {
		r.Status, r.Reason, r.Err = Skipped, st.secrets.show(string(skip)), nil
	} else if err != nil {
		r.Status = Failed
	}
	return r
}

// skipError ends a scenario that can't run in this combination.
type skipError string

func (s skipError) Error() string { return "skipped: " + string(s) }

// act runs the script, and ends everything that the script began.
func (st *stage) act(ctx context.Context, dir string, r *Result) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	st.ctx, st.dir = ctx, dir
	state, err := script.NewState(ctx, dir, st.environment(dir))
	if err != nil {
		return err
	}
	var account bytes.Buffer
	engine := &script.Engine{Cmds: st.commands(), Conds: st.conditions()}
	err = state.ExtractFiles(&txtar.Archive{Files: st.scenario.Files})
	if err == nil {
		err = withSuccess(engine.Execute(state, st.scenario.File, bufio.NewReader(&lines{stage: st}), &account))
	}
	st.leave()
	cancel()
	// The steps have the results of background commands. The engine's own result contains the faults that the
	// end of the run caused.
	_ = state.CloseAndWait(&account)
	err = errors.Join(err, st.unsettled(), st.close())
	r.Transcript = st.secrets.show(account.String())
	return st.secrets.showError(err)
}

var errSucceeded = errors.New("it succeeded, and had to fail")

// withSuccess replaces the engine's error for a ! command that succeeded by errSucceeded.
func withSuccess(err error) error {
	if command, ok := errors.AsType[*script.CommandError](err); ok && errors.Is(command.Err, script.ErrUnexpectedSuccess) {
		command.Err = errSucceeded
	}
	return err
}

// lines gives the script to the engine line by line, so that the stage knows the current line.
type lines struct {
	stage *stage
	rest  []byte
}

func (l *lines) Read(p []byte) (int, error) {
	if len(l.rest) == 0 {
		line, err := l.stage.next()
		if err != nil {
			return 0, err
		}
		l.rest = append([]byte(line), '\n')
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

// environment has the variables of a script, and none of the process.
func (st *stage) environment(dir string) []string {
	env := []string{"WORK=" + dir, "TMPDIR=" + dir}
	for _, choice := range st.choice {
		env = append(env, choice.Dimension+"="+choice.Value)
	}
	for _, name := range clientNames() {
		env = append(env, name+"_user="+st.user(name), name+"_password="+st.secrets.value(st.password(name)))
	}
	return env
}

// conditions returns the conditions that can guard a line.
func (st *stage) conditions() map[string]script.Cond {
	all := map[string]script.Cond{
		"own": script.BoolCondition("the server is in the process, and not elsewhere", st.target.Remote == nil),
	}
	names := slices.Collect(maps.Keys(dimensions))
	for _, choice := range st.choice {
		names = append(names, choice.Dimension)
	}
	for _, dimension := range names {
		all[dimension] = script.PrefixCondition("the matrix has chosen this "+dimension,
			func(_ *script.State, values string) (bool, error) {
				return slices.Contains(strings.Split(values, ","), st.choice.get(dimension)), nil
			})
	}
	return all
}
