package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
)

// table counts what happened. A count may have a kind behind a colon, as in "attacks: flood". The zero table is
// ready to use.
type table struct {
	mu     sync.Mutex
	counts map[string]int
}

func (t *table) count(what string) { t.countN(what, 1) }

func (t *table) countN(what string, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.add(what, n)
}

func (t *table) add(what string, n int) {
	if t.counts == nil {
		t.counts = map[string]int{}
	}
	t.counts[what] += n
}

// most keeps the greatest number.
func (t *table) most(what string, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.add(what, 0)
	t.counts[what] = max(t.counts[what], n)
}

func (t *table) of(what string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.counts[what]
}

// rows are the order of the table.
var rows = []string{
	"clients", "attacks", "sessions", "requests answered", "refusals", "exit codes", "connections with a network fault",
	"disk filled", "disk slow", "syncs delayed", "log", "server", "clients killed", "passwords changed", "log records", "log files",
	"uses of the device", "COMMANDs in their kill time", "overlaps on the device", "answers without a record",
	"most MiB at rest", "most descriptors at rest", "most goroutines at rest",
}

// print prints all counts as a table in Markdown.
func (t *table) print(w io.Writer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	sums, kinds := map[string]int{}, map[string][]string{}
	for _, key := range slices.Sorted(maps.Keys(t.counts)) {
		what, kind, ok := strings.Cut(key, ": ")
		sums[what] += t.counts[key]
		if ok {
			kinds[what] = append(kinds[what], fmt.Sprintf("%s %d", kind, t.counts[key]))
		}
		if !slices.Contains(rows, what) {
			panic("no row of the table: " + what)
		}
	}
	fmt.Fprint(w, "| what | number | of these |\n| --- | ---: | --- |\n")
	for _, what := range rows {
		fmt.Fprintf(w, "| %s | %d | %s |\n", what, sums[what], strings.Join(kinds[what], ", "))
	}
}
