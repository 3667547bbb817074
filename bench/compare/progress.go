package main

import (
	"fmt"
	"io"
	"time"

	"github.com/sallyport/sallyport/bench"
)

// progress tells how far the run is, and how long the rest will take: as its
// blocks are planned, times what those that are done took beyond their plan.
type progress struct {
	out      io.Writer
	terminal bool // one line, over and over; else a line now and then
	now      func() time.Time

	planned, done time.Duration
	began, shown  time.Time
	group         string
	line          bool // one stands there
}

// newProgress plans what the groups will take.
func newProgress(out io.Writer, terminal bool, groups []bench.Group) *progress {
	p := &progress{out: out, terminal: terminal, now: time.Now}
	for _, g := range groups {
		p.planned += plannedFor(g)
	}
	p.began = p.now()
	return p
}

func plannedFor(g bench.Group) time.Duration {
	return time.Duration(len(g.Subjects)*g.Rounds) * g.Block
}

// start says which group is next.
func (p *progress) start(g bench.Group) {
	p.group = g.Name
	p.show(0, g.Rounds)
}

// turn says that a block is done.
func (p *progress) turn(g bench.Group, round int) {
	p.done += g.Block
	every := 10 * time.Second
	if p.terminal {
		every = 200 * time.Millisecond
	}
	if p.now().Sub(p.shown) >= every {
		p.show(round+1, g.Rounds)
	}
}

// skip is for what a group that failed will not do.
func (p *progress) skip(g bench.Group, turns int) {
	p.planned -= plannedFor(g) - time.Duration(turns)*g.Block
}

func (p *progress) show(round, of int) {
	p.shown = p.now()
	text := fmt.Sprintf("%3d %%  %s, round %d of %d%s", p.percent(), p.group, round, of, p.left())
	if p.terminal {
		fmt.Fprintf(p.out, "\r\x1b[K%s", text)
		p.line = true
	} else {
		fmt.Fprintln(p.out, text)
	}
}

func (p *progress) percent() int {
	if p.planned == 0 {
		return 0
	}
	return int(100 * p.done / p.planned)
}

// left believes in the plan as much as in what a twentieth of it took: by the
// first block alone, which the setting up comes before, a run would take days.
func (p *progress) left() string {
	weight := p.planned/20 + 1
	slower := float64(p.now().Sub(p.began)+weight) / float64(p.done+weight)
	left := time.Duration(float64(p.planned-p.done) * slower)
	return fmt.Sprintf(", %s left", left.Round(time.Second))
}

// Write is for what else is said: never in the middle of the line.
func (p *progress) Write(b []byte) (int, error) {
	p.clear()
	return p.out.Write(b)
}

func (p *progress) clear() {
	if p.line {
		fmt.Fprint(p.out, "\r\x1b[K")
		p.line = false
	}
}
