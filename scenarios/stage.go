package scenarios

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// A stage is one run: the cast, the server if it is in the process, and the account of the run.
type stage struct {
	scenario *Scenario
	choice   Combination
	target   *Target
	start    time.Time
	ctx      context.Context
	// dir has the scenario's files.
	dir    string
	eve    *Eve
	keyLog KeyLog
	// secrets hide the passwords of a server elsewhere.
	secrets *secrets

	mu sync.Mutex
	// line is the number of the current line, words are its words.
	line      int
	words     words
	steps     []*Step
	exchanges []*Exchange
	actors    map[string]*actor
	// decoys are Mallory's servers, by the names of their clients.
	decoys map[string]*decoy
	host   *host
	// kept counts the bytes of the commands and their output.
	kept int
	// left means that the script has ended.
	left bool
	// changed is closed and replaced by happened.
	changed chan struct{}
}

func newStage(s *Scenario, choice Combination, target *Target, start time.Time) *stage {
	return &stage{
		scenario: s, choice: choice, target: target, start: start, eve: &Eve{}, secrets: newSecrets(target.Remote),
		actors: map[string]*actor{}, decoys: map[string]*decoy{}, changed: make(chan struct{}),
	}
}

// next returns the next line of the script.
func (st *stage) next() (string, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.line == len(st.scenario.Lines) {
		return "", io.EOF
	}
	text := st.scenario.Lines[st.line]
	st.line++
	st.words, _ = split(text) // parse has checked the line
	return text, nil
}

// happened lets all calls of await call done again.
func (st *stage) happened() {
	st.mu.Lock()
	defer st.mu.Unlock()
	close(st.changed)
	st.changed = make(chan struct{})
}

// await waits until done returns true or an error, or the context ends.
func (st *stage) await(ctx context.Context, done func() (bool, error)) error {
	for {
		st.mu.Lock()
		changed := st.changed
		st.mu.Unlock()
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Limits of the memory of a run, in bytes. A short line can stand for much text.
const (
	// maxVariable bounds a variable.
	maxVariable = 4 << 10
	// maxKept bounds the commands, with their variables replaced, and their output.
	maxKept = 64 << 20
	// maxCrossed bounds the bytes that cross the network.
	maxCrossed = 256 << 20
)

// begin notes that a command starts. It returns an error if the run has reached a limit.
func (st *stage) begin(who string, args []string) (*Step, error) {
	st.secrets.use(args)
	text := st.secrets.show(strings.Join(args, " "))
	err := st.keep(len(text))
	if crossed := st.eve.Size(); crossed > maxCrossed {
		err = fmt.Errorf("%d bytes have crossed the network, more than a scenario may send", crossed)
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	step := &Step{
		Line: st.line, Who: who, Text: text, Background: st.words.background,
		Want: st.words.want, Start: time.Since(st.start),
	}
	st.steps = append(st.steps, step)
	return step, err
}

// keep counts bytes that are kept until the end of the run.
func (st *stage) keep(size int) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.kept += size
	if st.kept > maxKept {
		return fmt.Errorf("the commands and their output have more than %d bytes", maxKept)
	}
	return nil
}

// end notes that a command has ended.
func (st *stage) end(step *Step, err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	step.Duration = time.Since(st.start) - step.Start
	step.cut = st.left && err != nil
	if err != nil && (step.check || !step.cut) { // an action that the end of the script cuts is no fault
		step.Err = st.secrets.show(err.Error())
	}
}

// excerpt bounds the bytes of an exchange that a result keeps.
const excerpt = 64

// settle notes that the engine takes the result of a step, and reports whether the script has ended.
func (st *stage) settle(step *Step) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	step.settled = step.settled || !st.left
	return st.left
}

// unsettled returns the faults of background commands that the script has not waited for.
func (st *stage) unsettled() error {
	st.mu.Lock()
	defer st.mu.Unlock()
	var all []error
	for _, step := range st.steps {
		if fault := step.fault(); fault != "" && step.Background && !step.settled {
			all = append(all, fmt.Errorf("%s:%d: %s %s: %s", st.scenario.File, step.Line, step.Who, step.Text, fault))
		}
	}
	return errors.Join(all...)
}

// fault returns the fault of a step that has ended, or "".
func (s *Step) fault() string {
	switch {
	case s.Want == "?", s.cut && s.Err == "":
		return ""
	case s.cut:
		return "the script ended before this: wait for it"
	case s.Want == "!" && s.Err == "":
		return errSucceeded.Error()
	case s.Want == "!":
		return ""
	}
	return s.Err
}

// exchange notes a message. The caller calls seen with its bytes when they have crossed the network.
func (st *stage) exchange(from, to, text string) (seen func(wire []byte)) {
	st.mu.Lock()
	defer st.mu.Unlock()
	e := &Exchange{At: time.Since(st.start), From: from, To: to, Text: st.secrets.show(text)}
	st.exchanges = append(st.exchanges, e)
	return func(wire []byte) {
		st.mu.Lock()
		defer st.mu.Unlock()
		e.Wire, e.Size = []byte(st.secrets.show(string(wire))), len(wire) // below TLS it may be in the clear
		e.Wire = e.Wire[:min(len(e.Wire), excerpt)]
	}
}

func (st *stage) account() (steps []Step, exchanges []Exchange, log []json.RawMessage) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, step := range st.steps {
		steps = append(steps, *step)
	}
	if st.host != nil {
		log = rawRecords(st.host.Log)
	}
	for _, e := range st.exchanges {
		exchanges = append(exchanges, *e)
	}
	return steps, exchanges, log
}

// negated reports whether the command that runs has a ! before it.
func (st *stage) negated() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.words.want == "!"
}

// actor returns a client of the cast.
func (st *stage) actor(name string) *actor {
	st.mu.Lock()
	defer st.mu.Unlock()
	a := st.actors[name]
	if a == nil {
		a = &actor{name: name, stage: st}
		st.actors[name] = a
	}
	return a
}

// leave notes that the script has ended, and closes all connections.
func (st *stage) leave() {
	st.mu.Lock()
	st.left = true
	actors := slices.Collect(maps.Values(st.actors))
	st.mu.Unlock()
	for _, a := range actors {
		a.close()
	}
}

// over reports whether the script has ended.
func (st *stage) over() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.left
}

// close stops the server in the process.
func (st *stage) close() error {
	st.mu.Lock()
	h := st.host
	st.mu.Unlock()
	if h == nil {
		return nil
	}
	return h.stop()
}

var errNotConnected = errors.New("is not connected: log in or connect first")

// errNot is the error of a check with a ! before it that finds nothing, so that the step passes.
var errNot = errors.New("there is none")

// until is await, except that a check with a ! before it doesn't wait.
func (st *stage) until(ctx context.Context, negated bool, done func() (bool, error)) error {
	if !negated {
		return st.await(ctx, done)
	}
	ok, err := done()
	if !ok && err == nil {
		err = errNot
	}
	return err
}
