package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/bench"
)

// clocked is progress in a time that passes as it is told to: two groups, one
// hundred blocks of a second each.
func clocked(terminal bool) (p *progress, g []bench.Group, out *bytes.Buffer, pass func(time.Duration)) {
	for _, name := range []string{"A", "B"} {
		g = append(g, bench.Group{Name: name, Subjects: make([]bench.Subject, 5), Rounds: 20, Block: time.Second})
	}
	out = &bytes.Buffer{}
	p = newProgress(out, terminal, g)
	now := p.began
	p.now = func() time.Time { return now }
	return p, g, out, func(d time.Duration) { now = now.Add(d) }
}

func TestProgressCorrectsItsPlan(t *testing.T) {
	p, g, out, pass := clocked(false)
	p.start(g[0])
	for turn := range 50 {
		pass(2 * time.Second) // with what is beside the block
		p.turn(g[0], turn/5)
	}
	lines := strings.Split(strings.TrimRight(out.String(), "\n"), "\n")
	if want := "  0 %  A, round 0 of 20, 3m20s left"; lines[0] != want {
		t.Errorf("first %q, want %q", lines[0], want)
	}
	if want := " 25 %  A, round 10 of 20, 4m35s left"; lines[len(lines)-1] != want {
		t.Errorf("last %q, want %q", lines[len(lines)-1], want)
	}
	if len(lines) != 11 {
		t.Errorf("%d lines in 100 s, want one every ten", len(lines))
	}
}

func TestProgressOnATerminalIsOneLine(t *testing.T) {
	p, g, out, pass := clocked(true)
	p.start(g[0])
	for range 4 {
		pass(100 * time.Millisecond)
		p.turn(g[0], 0)
	}
	if _, err := p.Write([]byte("it is broken\n")); err != nil {
		t.Fatal(err)
	}
	p.clear()
	const start = "\r\x1b[K"
	want := []string{
		"", "  0 %  A, round 0 of 20, 3m20s left", "  1 %  A, round 1 of 20, 2m48s left", "  2 %  A, round 1 of 20, 2m26s left",
		"it is broken\n",
	}
	if diff := cmp.Diff(want, strings.Split(out.String(), start)); diff != "" {
		t.Error(diff)
	}
}

func TestProgressForgetsWhatFailed(t *testing.T) {
	p, g, _, _ := clocked(false)
	for range 10 {
		p.turn(g[0], 0)
	}
	p.skip(g[0], 10)
	for range 100 {
		p.turn(g[1], 0)
	}
	if p.percent() != 100 {
		t.Errorf("%d %% at the end", p.percent())
	}
}
