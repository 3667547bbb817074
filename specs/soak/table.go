package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"text/tabwriter"
)

// table counts what happened. The zero table is ready to use.
type table struct {
	mu     sync.Mutex
	counts map[string]int
}

func (t *table) count(what string) { t.countN(what, 1) }

func (t *table) countN(what string, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts == nil {
		t.counts = map[string]int{}
	}
	t.counts[what] += n
}

// most keeps the greatest number.
func (t *table) most(what string, n int) {
	t.countN(what, 0)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts[what] = max(t.counts[what], n)
}

func (t *table) of(what string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.counts[what]
}

// print prints all counts.
func (t *table) print(w io.Writer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight|tabwriter.TabIndent)
	for _, what := range slices.Sorted(maps.Keys(t.counts)) {
		fmt.Fprintf(out, "%8d\t %s\n", t.counts[what], what)
	}
	_ = out.Flush()
}
