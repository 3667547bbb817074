//go:build linux

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"
)

// fault is one fault of a run.
type fault struct {
	kind   string
	length time.Duration
}

// occurred is a fault that has occurred.
type occurred struct {
	fault
	where      string
	gate       int // -1 for none
	began, end time.Time
}

// shortFaults are the faults of a short run.
const shortFaults = "gate-stop=18s,leader-kill=1s,gate-etcd=11s"

// kinds are the faults. gate is the one that has the seat when the fault begins.
var kinds = []struct {
	name        string
	least, most time.Duration
	root        bool
	do          func(w *world, ctx context.Context, o *occurred) error
}{
	{"gate-stop", 5 * time.Second, 60 * time.Second, false, (*world).stopGate},
	{"gate-kill", 500 * time.Millisecond, 20 * time.Second, false, (*world).killGate},
	{"gate-etcd", 5 * time.Second, 40 * time.Second, false, (*world).partGate},
	{"gate-node", 5 * time.Second, 40 * time.Second, false, (*world).partNode},
	{"gate-clients", 5 * time.Second, 40 * time.Second, true, (*world).cutCable},
	{"gate-stall", 500 * time.Millisecond, 5 * time.Second, false, (*world).stopGate},
	{"gate-disk", 3 * time.Second, 15 * time.Second, true, (*world).fillGate},
	{"leader-kill", 1 * time.Second, 15 * time.Second, false, (*world).killLeader},
	{"leader-stop", 2 * time.Second, 30 * time.Second, false, (*world).stopLeader},
	{"follower-stop", 2 * time.Second, 30 * time.Second, false, (*world).stopFollower},
	{"etcd-slow", 5 * time.Second, 20 * time.Second, false, (*world).slowEtcd},
	{"node-disk", 10 * time.Second, 30 * time.Second, true, (*world).fillNode},
}

// parsePlan reads the faults of -faults.
func parsePlan(text string) (plan []fault, err error) {
	for part := range strings.SplitSeq(text, ",") {
		if text == "" {
			return nil, nil
		}
		kind, length, _ := strings.Cut(part, "=")
		d, err := time.ParseDuration(length)
		if err != nil || find(kind) < 0 {
			return nil, fmt.Errorf("%q is not KIND=DURATION", part)
		}
		plan = append(plan, fault{kind, d})
	}
	return plan, nil
}

func find(kind string) int {
	for i, k := range kinds {
		if k.name == kind {
			return i
		}
	}
	return -1
}

// suffer lets faults occur: those of the plan, or others until the time is over.
func (w *world) suffer(ctx context.Context, plan []fault) {
	begin := time.Now()
	if plan != nil {
		for _, f := range plan {
			w.occur(ctx, f)
		}
		return
	}
	for order := []int(nil); time.Since(begin) < w.length && ctx.Err() == nil; {
		if len(order) == 0 {
			order = w.r.Perm(len(kinds))
		}
		k := kinds[order[0]]
		order = order[1:]
		length := k.least + time.Duration(w.r.Int64N(int64(k.most-k.least))).Round(100*time.Millisecond)
		w.occur(ctx, fault{k.name, length})
		pause(ctx, time.Duration(1+w.r.IntN(4))*time.Second)
	}
}

// occur lets a fault occur while somebody has the seat, and waits until the seat goes round again.
func (w *world) occur(ctx context.Context, f fault) {
	k := kinds[find(f.kind)]
	if k.root && w.cables.space == "" {
		return
	}
	holder := w.holder(ctx)
	o := occurred{fault: f, gate: holder.gate, began: time.Now(), where: fmt.Sprint("gate", holder.gate)}
	err := k.do(w, ctx, &o)
	o.end = time.Now()
	w.done = append(w.done, o)
	failed := w.flows(ctx, o.end)
	fmt.Printf("%s %-13s %-6s %5.1f s", o.began.UTC().Format("15:04:05"), f.kind, o.where, f.length.Seconds())
	if err != nil || failed != nil {
		fmt.Print(" ", err, " ", failed)
	}
	fmt.Println()
}

// holder returns the attempt that has the seat, and will have it for a while.
func (w *world) holder(ctx context.Context) attempt {
	for end := time.Now().Add(30 * time.Second); ; pause(ctx, time.Millisecond) {
		now := time.Now()
		id, at := w.device.last()
		if number := 0; now.Sub(at) < 100*time.Millisecond {
			_, _ = fmt.Sscanf(id, "c%d.", &number)
			for _, a := range w.visitors[number].all() {
				if a.id == id && a.until.Sub(now) > 600*time.Millisecond {
					return a
				}
			}
		}
		if now.After(end) || ctx.Err() != nil {
			return attempt{gate: w.r.IntN(len(w.gates))}
		}
	}
}

func (w *world) stopGate(ctx context.Context, o *occurred) error {
	p := w.gates[o.gate].process
	p.signal(syscall.SIGSTOP)
	pause(ctx, o.length)
	p.signal(syscall.SIGCONT)
	return nil
}

func (w *world) killGate(ctx context.Context, o *occurred) error {
	g := w.gates[o.gate]
	g.kill()
	pause(ctx, o.length)
	return g.start(true)
}

// partGate holds all that goes between a gate and etcd.
func (w *world) partGate(ctx context.Context, o *occurred) error {
	for _, l := range w.gates[o.gate].links {
		l.hold()
		defer l.free()
	}
	pause(ctx, o.length)
	return nil
}

// partNode holds what goes between the other gate and one node.
func (w *world) partNode(ctx context.Context, o *occurred) error {
	o.gate = len(w.gates) - 1 - o.gate
	l := w.gates[o.gate].links[w.r.IntN(len(w.cluster.nodes))]
	o.where = fmt.Sprint("gate", o.gate)
	l.hold()
	defer l.free()
	pause(ctx, o.length)
	return nil
}

func (w *world) cutCable(ctx context.Context, o *occurred) error {
	if err := w.cables.cut(o.gate); err != nil {
		return err
	}
	pause(ctx, o.length)
	return w.cables.mend(o.gate)
}

func (w *world) fillGate(ctx context.Context, o *occurred) error {
	dir := w.gates[o.gate].dir
	if err := fillDisk(dir); err != nil {
		return err
	}
	pause(ctx, o.length)
	return emptyDisk(dir)
}

func (w *world) killLeader(ctx context.Context, o *occurred) error {
	n, _ := w.cluster.leader(ctx)
	o.gate, o.where = -1, n.Name
	n.kill()
	pause(ctx, o.length)
	return w.cluster.start(n)
}

func (w *world) stopLeader(ctx context.Context, o *occurred) error {
	n, _ := w.cluster.leader(ctx)
	return w.stopNode(ctx, n, o)
}

func (w *world) stopFollower(ctx context.Context, o *occurred) error {
	_, n := w.cluster.leader(ctx)
	return w.stopNode(ctx, n, o)
}

func (w *world) stopNode(ctx context.Context, n *node, o *occurred) error {
	o.gate, o.where = -1, n.Name
	n.signal(syscall.SIGSTOP)
	pause(ctx, o.length)
	n.signal(syscall.SIGCONT)
	return nil
}

func (w *world) slowEtcd(ctx context.Context, o *occurred) error {
	delay := time.Duration(50+w.r.IntN(350)) * time.Millisecond
	o.gate, o.where = -1, "etcd"
	for _, g := range w.gates {
		for _, l := range g.links {
			l.slow(delay)
			defer l.free()
		}
	}
	pause(ctx, o.length)
	return nil
}

// fillNode fills the disk of a node. The node ends when it can't write.
func (w *world) fillNode(ctx context.Context, o *occurred) error {
	n := w.cluster.nodes[w.r.IntN(len(w.cluster.nodes))]
	o.gate, o.where = -1, n.Name
	if err := fillDisk(n.Dir); err != nil {
		return err
	}
	pause(ctx, o.length)
	ended := n.ended()
	if err := emptyDisk(n.Dir); err != nil || !ended {
		return err
	}
	o.where += " ended"
	return w.cluster.start(n)
}

// stopped reports whether a gate was stopped during a session.
func stopped(done []occurred, gate int, from, to time.Time) bool {
	return slices.ContainsFunc(done, func(o occurred) bool {
		return o.gate == gate && (o.kind == "gate-stop" || o.kind == "gate-stall") && o.began.Before(to) && o.end.After(from)
	})
}
