//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"time"

	"github.com/sallyport/sallyport/protocol"
)

// table counts what happened.
type table struct {
	counts map[string]int
	faults map[string]tally
}

// tally is how often a fault occurred, and what it cost.
type tally struct {
	n       int
	silence time.Duration // longest
}

func (t *table) add(what string, n int) {
	if t.counts == nil {
		t.counts = map[string]int{}
	}
	t.counts[what] += n
}

func (t *table) set(what string, n int) { t.add(what, n) }

// attempt counts an attempt by how it ended.
func (t *table) attempt(a attempt) {
	t.add("attempts", 1)
	if a.seated.IsZero() && !a.queued.IsZero() && a.err != nil {
		t.add("waiting clients that left without the seat", 1)
	}
	exit, isHold := errors.AsType[*exec.ExitError](a.err)
	refused, ok := errors.AsType[*protocol.ReplyError](a.err)
	switch {
	case a.err == nil:
	case errors.Is(a.err, context.Canceled):
		t.add("attempts that were under way at the end", 1)
	case ok:
		t.add(fmt.Sprintf("attempts that ended with %d %s", refused.Code, refused.Keyword), 1)
	case isHold:
		t.add("holds that ended with "+exit.ProcessState.String(), 1)
	case errors.Is(a.err, errSilent):
		t.add("attempts that gave up a silent gate", 1)
	default:
		t.add("attempts that lost their connection", 1)
	}
}

func (t *table) fault(o occurred, silence time.Duration) {
	if t.faults == nil {
		t.faults = map[string]tally{}
	}
	was := t.faults[o.kind]
	t.faults[o.kind] = tally{was.n + 1, max(was.silence, silence)}
}

// print prints the table in Markdown.
func (t *table) print() {
	fmt.Print("\n| fault | times | longest silence of the device |\n| --- | ---: | ---: |\n")
	for _, kind := range slices.Sorted(maps.Keys(t.faults)) {
		fmt.Printf("| %s | %d | %.1f s |\n", kind, t.faults[kind].n, t.faults[kind].silence.Seconds())
	}
	fmt.Print("\n| what | number |\n| --- | ---: |\n")
	for _, what := range slices.Sorted(maps.Keys(t.counts)) {
		fmt.Printf("| %s | %d |\n", what, t.counts[what])
	}
	fmt.Println()
}
