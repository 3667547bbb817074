package main

import (
	"cmp"
	"fmt"
)

// A goal is a row of the report. Ratios are made of what each subject came to in
// one round; the row has the median of those. What has no limit is reported.
type goal struct {
	name   string
	figure string
	of     []selector // what the formula takes, in this order
	floor  int        // which of them is the floor or the peer; zero: none
	limit  limit

	metric string  // zero: ns/op
	take   formula // zero: first over floor
	show   unit    // of both sides; zero: time
	p      int     // compare this percentile of all times instead
	peer   bool
}

// A formula makes two sides of what was measured in one round, both the smaller
// the better. Their ratio is the first over the second where smaller is better,
// else (how many times as fast) the second over the first.
type formula func(v []float64) (ours, floor float64)

func quotient(v []float64) (ours, floor float64) { return v[0], v[1] }

// added is what the first takes longer than the second, over the third.
func added(v []float64) (ours, floor float64) { return v[0] - v[1], v[2] }

// scaling compares what becomes of a time under load: of the first against the
// second, over that of the third against the fourth.
func scaling(v []float64) (ours, floor float64) { return v[0] / v[1], v[2] / v[3] }

// alone is a figure that is no ratio.
func alone(v []float64) (ours, floor float64) { return v[0], 1 }

func (g goal) metricOf() string { return cmp.Or(g.metric, "ns/op") }

func (g goal) sides(v []float64) (ours, floor float64) {
	if g.take == nil {
		return quotient(v)
	}
	return g.take(v)
}

func (g goal) ratio(ours, floor float64) float64 {
	if g.limit.smaller() {
		return ours / floor
	}
	return floor / ours
}

// goals are the rows of "make bench" and of "make bench-peers"; those whose
// subjects were not run are left out.
func goals() []goal {
	var all []goal
	for _, part := range [][]goal{
		handshakeGoals(), loginGoals(), requestGoals(), allocationGoals(), pipelineGoals(), lobbyGoals(), peerGoals(),
	} {
		all = append(all, part...)
	}
	return all
}

func handshakeGoals() (goals []goal) {
	for _, how := range []string{"full", "resumed"} {
		for _, key := range []string{"ecdsa", "ed25519", "rsa"} {
			for _, kex := range []string{"hybrid", "x25519"} {
				name := fmt.Sprintf("Handshake/tls=%s/key=%s/kex=%s", how, key, kex)
				goals = append(goals, over(name, "tls", atMost(1.03),
					fmt.Sprintf("Handshake (%s, %s, %s) to the greeting, over bare TLS", how, key, kex)))
			}
		}
	}
	return goals
}

func loginGoals() (goals []goal) {
	for _, n := range []string{"4096", "15000"} {
		name := func(keys string) string { return fmt.Sprintf("Login/keys=%s/iterations=%s", keys, n) }
		tls := selector(fmt.Sprintf("Login/[keys=cached]/[iterations=%s]/of=tls", n))
		derived := reported
		if n == "4096" {
			derived = atMost(1.08)
		}
		goals = append(goals, goal{
			name: name("cached") + "/over=tls", figure: "Login with cached keys (" + n + "), over bare TLS handshake + 1 octet",
			of: []selector{ours(name("cached")), tls}, floor: 1, limit: atMost(1.10),
		}, goal{
			name: name("derived") + "/over=pbkdf2", figure: "What deriving the keys (" + n + ") adds to that, over one PBKDF2",
			of: []selector{
				ours(name("derived")), ours(name("cached")),
				selector("Login/[keys=derived]/iterations=" + n + "/of=pbkdf2"),
			},
			floor: 2, take: added, limit: derived,
		})
	}
	return goals
}

// sizes are those of a request, and their limits: log on over TLS and a write,
// null log over TLS, log on over TLS.
var sizes = []struct {
	octets, text        string
	honest, null, plain limit
}{
	{"64", "64 B", atMost(1.10), atMost(1.08), below(1.25)},
	{"4096", "4 KiB", atMost(1.10), atMost(1.08), reported},
	{"65536", "64 KiB", atMost(1.06), atMost(1.05), reported},
}

func requestGoals() (goals []goal) {
	for _, s := range sizes {
		name, what := "Request/size="+s.octets, "Request "+s.text
		null := over(name, "tls", s.null, what+", null log, over bare TLS")
		null.name, null.of[0] = name+"/log=null/over=tls", selector(name+"/of=sallyport-nulllog")
		goals = append(goals,
			over(name, "tls+write", s.honest, what+", log on, over bare TLS + write(2)"),
			null,
			over(name, "tls", s.plain, what+", log on, over bare TLS"),
			over(name, "tcp", reported, what+", log on, over plain TCP"))
	}
	return goals
}

// allocationGoals demand those of the floor. Two hundredths are for what timers,
// and pools that the collector has emptied, allocate once a turn on either side:
// one allocation more in every twenty-fifth request would be seen.
func allocationGoals() (goals []goal) {
	for _, s := range sizes {
		g := over("Request/size="+s.octets, "tls", atMost(1.02), "Allocations of a request "+s.text+", both ends, over bare TLS")
		g.name = "Request/size=" + s.octets + "/allocs/over=tls"
		g.metric, g.show = "allocs/op", allocations
		goals = append(goals, g)
	}
	return goals
}

func pipelineGoals() []goal {
	const name = "Pipeline/window=64"
	file := over(name, "tls", atLeast(0.22), "Pipelined, window 64, log on, against batched TLS: speed")
	null := over(name, "tls", atLeast(0.38), "Pipelined, window 64, null log, against batched TLS: speed")
	null.name, null.of[0] = name+"/log=null/over=tls", selector(name+"/of=sallyport-nulllog")
	return []goal{file, null}
}

// over compares the product with a floor of the same name.
func over(name, floor string, l limit, figure string) goal {
	return goal{
		name: name + "/over=" + floor, figure: figure,
		of: []selector{ours(name), selector(name + "/of=" + floor)}, floor: 1, limit: l,
	}
}

func ours(name string) selector { return selector(name + "/of=sallyport") }
