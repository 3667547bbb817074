package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/perf/benchmath"

	"github.com/sallyport/sallyport/bench"
)

// A goal is a row of the report. Without a bound it is only reported.
type goal struct {
	name, figure string
	// of names subjects of one group: first the product, last the floor or the peer, if any.
	of    []string
	limit limit
	peer  bool
	// metric is what is compared. "" means "ns/op".
	metric string
	// take computes both sides from the metrics of the subjects in one round. Nil means the first and
	// the last one's.
	take func(v []float64) (ours, base float64)
	unit unit
}

// alone reports whether the figure is no ratio.
func (g goal) alone() bool { return len(g.of) == 1 }

// A limit is a bound on a ratio, and its direction. A speed is the base over ours, and the more the
// better. All other ratios are ours over the base. A bound of zero means that there is no goal.
type limit struct {
	bound float64
	speed bool
}

func atMost(bound float64) limit  { return limit{bound, false} }
func atLeast(bound float64) limit { return limit{bound, true} }

var reported, reportedSpeed, faster = atMost(0), atLeast(0), atLeast(1)

func (l limit) met(ratio float64) bool {
	if l.speed {
		return ratio >= l.bound
	}
	return ratio <= l.bound
}

const product = "/of=sallyport"

// beside compares the product with another subject.
func beside(name, how, other string, l limit, figure string) goal {
	return goal{name: name + how, figure: figure, of: []string{name + product, other}, limit: l}
}

// over compares the product with a floor of the same name.
func over(name, floor string, l limit, figure string) goal {
	return beside(name, "/over="+floor, name+"/of="+floor, l, figure)
}

// goals are all rows of the report. Those whose subjects were not measured are left out of it.
func goals() []goal {
	var all []goal
	for _, some := range [][]goal{handshakeGoals(), loginGoals(), requestGoals(), streamGoals(), seatGoals(), peerGoals()} {
		all = append(all, some...)
	}
	return all
}

func handshakeGoals() (all []goal) {
	for _, mode := range []string{"full", "resumed"} {
		for _, key := range []string{"ecdsa", "ed25519", "rsa"} {
			for _, kex := range []string{"hybrid", "x25519"} {
				all = append(all, over(fmt.Sprintf("Handshake/tls=%s/key=%s/kex=%s", mode, key, kex), "tls", atMost(1.03),
					fmt.Sprintf("Handshake (%s, %s, %s) to the greeting, over bare TLS", mode, key, kex)))
			}
		}
	}
	return all
}

func loginGoals() (all []goal) {
	for _, n := range []string{"4096", "15000"} {
		cached, derived := "Login/keys=cached/iterations="+n, "Login/keys=derived/iterations="+n
		adds := beside(derived, "/over=pbkdf2", cached+product, atMost(1.08), "What deriving the keys ("+n+") adds to that, over one PBKDF2")
		adds.of = append(adds.of, "Login/iterations="+n+"/of=pbkdf2")
		adds.take = func(v []float64) (ours, base float64) { return v[0] - v[1], v[2] }
		all = append(all,
			beside(cached, "/over=tls", "Login/of=tls", atMost(1.25), "Login with cached keys ("+n+"), over bare TLS handshake + 1 byte"),
			beside(cached, "/over=tls+exchange", "Login/of=tls+exchange", reported, "The same, over bare TLS with as many round trips"), adds)
	}
	return all
}

// requestGoals demand the allocations of the floor. Two hundredths are for timers, and for pools that
// the collector has emptied: one allocation more in every 25th request would show.
func requestGoals() (all []goal) {
	for _, s := range [][2]string{{"64", "64 B"}, {"4096", "4 KiB"}, {"65536", "64 KiB"}} {
		name, what := "Request/size="+s[0], "Request "+s[1]
		allocs := over(name, "tls", atMost(1.02), "Allocations of a request "+s[1]+", both ends, over bare TLS")
		allocs.name, allocs.metric, allocs.unit = name+"/allocs/over=tls", "allocs/op", allocations
		all = append(all,
			over(name, "tls+write", reported, what+", log on, over bare TLS + write(2)"),
			nullLog(over(name, "tls", reported, what+", null log, over bare TLS")),
			over(name, "tls", reported, what+", log on, over bare TLS"),
			over(name, "tcp", reported, what+", log on, over plain TCP"), allocs)
	}
	const pipeline = "Pipeline/window=64"
	return append(all, over(pipeline, "tls", reportedSpeed, "Pipelined, window 64, log on, against batched TLS: speed"),
		nullLog(over(pipeline, "tls", reportedSpeed, "Pipelined, window 64, null log, against batched TLS: speed")))
}

func nullLog(g goal) goal {
	g.name, g.of[0] = strings.Replace(g.name, "/over", "/log=null/over", 1), g.of[0]+"-nulllog"
	return g
}

// streamGoals are speeds.
func streamGoals() (all []goal) {
	for _, way := range []string{"up", "down"} {
		all = append(all, over("Stream/way="+way+"/size=64MiB", "tls", atLeast(0.85),
			"64 MiB "+way+" through a stream to a TCP backend, against a copy through bare TLS: speed"))
	}
	return all
}

// seatGoals are about passing the seat on, and about clients beside each other.
func seatGoals() (all []goal) {
	for i, waiting := range []string{"1", "4", "15"} {
		all = append(all, beside("Handoff/waiting="+waiting, "/over=idle-roundtrip", "Handoff/of=idle-roundtrip",
			[]limit{atMost(6), reported, reported}[i], "Handoff, "+waiting+" waiting, over a round trip after 1 ms of idleness"))
	}
	for i, clients := range []string{"2", "8"} {
		many, one := "Sessions/clients="+clients, "Sessions/clients=1"
		all = append(all, goal{
			name: many + "/scaling/over=tls", figure: "Sessions per second, " + clients + " clients over 1, against how bare TLS scales",
			of:    []string{many + product, one + product, one + "/of=tls", many + "/of=tls"},
			limit: []limit{reportedSpeed, atLeast(0.9)}[i], unit: rate,
			take: func(v []float64) (ours, base float64) { return v[0] / v[1], v[3] / v[2] },
		})
	}
	const lobby = "Lobby/idle=1000"
	p99 := beside(lobby, "/p99/over=idle=0", "Lobby/idle=0"+product, atMost(1.3), "Login p99 with 1,000 idle strangers, over none")
	p99.metric = "p99-ns/op"
	return append(all, p99, goal{
		name: lobby + "/memory", figure: "Memory for each of 1,000 strangers", of: []string{lobby + product},
		limit: atMost(28 << 10), metric: "B/stranger", unit: size,
	})
}

// peerGoals are speeds.
func peerGoals() (all []goal) {
	const request, pipeline = "Request/size=64", "Pipeline/window=64"
	const cached, derived = "Login/keys=cached/iterations=4096", "Login/keys=derived/iterations=4096"
	for _, p := range []struct {
		name, peer, figure string
		limit              limit
	}{
		{request, request + "/of=ssh", "Request 64 B, log on, against x/crypto/ssh", faster},
		{request, request + "/of=http1", "Request 64 B, log on, against HTTP/1.1", faster},
		{request, request + "/of=http2", "Request 64 B, log on, against HTTP/2", faster},
		{request, request + "/of=grpc", "Request 64 B, log on, against gRPC", faster},
		{pipeline, pipeline + "/of=redis-go", "Pipelined, window 64, log on, against Redis through go-redis", faster},
		{pipeline, pipeline + "/of=redis", "Pipelined, window 64, log on, against Redis, bare protocol", reportedSpeed},
		{cached, "Login/of=ssh", "Login, cached keys, against x/crypto/ssh", faster},
		{cached, "Login/of=dovecot", "Login, cached keys, against Dovecot", faster},
		{cached, "Login/of=postgres", "Login, cached keys, against PostgreSQL", atLeast(4)},
		{derived, "Login/of=postgres", "Login, derived keys, against PostgreSQL", reportedSpeed},
		{cached, "Login/of=openssh", "Login, cached keys, against OpenSSH", reportedSpeed},
	} {
		_, peer, _ := strings.Cut(p.peer, "of=")
		g := beside(p.name, "/against="+peer, p.peer, p.limit, p.figure+": speed")
		g.peer = true
		all = append(all, g)
	}
	return append(all, forwardGoals()...)
}

// forwardGoals compare forward, as a process, with other tunnels.
func forwardGoals() (all []goal) {
	add := func(name, other string, l limit, figure string) {
		g := beside("Forward/"+name, "/against="+other, "Forward/"+name+"/of="+other, l, figure)
		g.peer = true
		all = append(all, g)
	}
	for i, other := range []string{"socat", "ghostunnel", "stunnel"} {
		against := ", forward against " + other + ": speed"
		add("way=up/size=64MiB", other, []limit{faster, faster, reportedSpeed}[i], "64 MiB up to a device"+against)
		add("way=down/size=64MiB", other, []limit{faster, faster, reportedSpeed}[i], "64 MiB down from a device"+against)
		add("size=64", other, []limit{reportedSpeed, faster, reportedSpeed}[i], "Round trip of 64 B to a device"+against)
	}
	add("first", "login", atMost(1.5), "First answer of a device through forward, over a login with cached keys")
	return all
}

// An estimate is a median and the interval in which the true one lies with 95 % confidence. The interval
// of too few values is infinite.
type estimate struct{ mid, low, high float64 }

// median assumes nothing about the distribution of the values.
func median(values []float64) estimate {
	s := benchmath.NewSample(slices.Clone(values), &benchmath.DefaultThresholds)
	summary := benchmath.AssumeNothing.Summary(s, 0.95)
	return estimate{summary.Center, summary.Lo, summary.Hi}
}

// medianOf is the median of a metric of all samples.
func medianOf(samples []bench.Sample, metric string) float64 {
	var values []float64
	for _, s := range samples {
		values = append(values, s.Metrics[metric])
	}
	return median(values).mid
}

// A row is the result of a goal: the medians of both sides and of their ratio.
type row struct {
	goal
	ours, floor, ratio estimate
}

func (r row) judged() bool { return r.limit.bound != 0 }
func (r row) met() bool    { return r.limit.met(r.ratio.mid) }

// rows are the goals whose subjects were all measured.
func rows(all []goal, measured results) (made []row) {
	for _, g := range all {
		if r, ok := g.judge(measured); ok {
			made = append(made, r)
		}
	}
	return made
}

// judge compares what was measured in the same round. The ratio is the median of the ratios of all
// rounds that every subject has, not the ratio of the medians.
func (g goal) judge(measured results) (r row, ok bool) {
	var ours, base, ratios []float64
	for round := 0; ; round++ {
		var v []float64
		for _, name := range g.of {
			if samples := measured[name]; round < len(samples) {
				v = append(v, samples[round].Metrics[cmp.Or(g.metric, "ns/op")])
			}
		}
		if len(v) < len(g.of) {
			return row{g, median(ours), median(base), median(ratios)}, round > 0
		}
		a, b := v[0], v[len(v)-1]
		if g.take != nil {
			a, b = g.take(v)
		}
		ours, base = append(ours, a), append(base, b)
		switch {
		case g.alone():
			ratios = ours
		case g.limit.speed:
			ratios = append(ratios, b/a)
		default:
			ratios = append(ratios, a/b)
		}
	}
}
