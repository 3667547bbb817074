package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/scram"
)

// act is a part of the run, with one admission policy, one state directory and its own log.
type act struct {
	*soak
	number int
	policy string
	dir    string // the state directory
	small  bool   // it is a small file system of its own
	length time.Duration

	host     *host
	accounts *accounts
	logs     *logs
	journal  journal
	roots    *x509.CertPool
	keys     *scram.KeyCache
	samples  []sample
}

// sample is what the server uses while no client is there.
type sample struct {
	rss         int64
	descriptors int
}

// random returns the random numbers of one part of the run.
func (a *act) random(part string, i int) *rand.Rand {
	n := uint64(a.number)<<32 | uint64(i)
	for _, c := range part {
		n = n*31 + uint64(c)<<16
	}
	return rand.New(rand.NewPCG(a.seed, n))
}

// flags returns those of the server: short limits, others in each act.
func (a *act) flags(r *rand.Rand) []string {
	ms := func(choices ...int) string { return fmt.Sprint(choices[r.IntN(len(choices))], "ms") }
	flags := []string{
		"--admission", a.policy, "--backend", "tcp:" + a.device.addr(),
		"--idle-timeout", ms(1500, 3000), "--session-limit", ms(0, 4000, 7000), "--request-timeout", ms(1000, 5000),
		"--login-timeout", ms(2000, 5000), "--write-timeout", ms(500, 1500), "--queue-wait", ms(2000, 5000),
		"--shutdown-grace", ms(300, 1000), "--max-failed-logins", "20",
		"--log-sync", []string{"none", "session", "record"}[r.IntN(3)],
	}
	if a.holds() {
		flags = append(flags, "--idle-timeout", idleForHold.String(), "--session-limit", ms(0, 12_000))
	}
	if a.trusts {
		flags = append(flags, "--trust", "127.1.0.0/16")
	}
	return flags
}

// idleForHold is the idle limit of the acts with hold, which needs the time to end its COMMAND before.
const idleForHold = 9 * time.Second

// longAct is the length from which an act has time for a seat that hold loses to idleness.
const longAct = 40 * time.Second

// holds reports whether hold is among the clients: in every other act. In the others the limits are too short for it.
func (a *act) holds() bool { return a.number%2 == 0 }

// play makes the act, and then judges it.
func (a *act) play(ctx context.Context) (err error) {
	if err := a.prepare(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.close(err != nil)) }()
	if err := a.host.begin(ctx); err != nil {
		return err
	}
	if err := a.shifts(ctx); err != nil {
		return errors.Join(err, a.host.failure())
	}
	a.count("server: SIGQUIT")
	goroutines, err := a.host.goroutines()
	if err = errors.Join(err, a.host.failure()); err != nil {
		return err
	}
	return a.judge(ctx, goroutines)
}

// prepare makes the state directory with its users.
func (a *act) prepare(ctx context.Context) (err error) {
	a.dir = filepath.Join(a.soak.dir, fmt.Sprintf("act-%d", a.number))
	store := a.dir + "-log"
	if err := errors.Join(os.Mkdir(a.dir, 0o700), os.Mkdir(store, 0o700)); err != nil {
		return err
	}
	if n := a.number % 6; n >= 1 && n <= 3 { // with hold and without it
		a.small = mountSmall(a.dir) == nil
	}
	names := []string{probeUser}
	for i := range users {
		names = append(names, fmt.Sprintf("user-%02d", i))
	}
	if a.accounts, err = newAccounts(ctx, a.bin, a.dir, a.random("accounts", 0), names); err != nil {
		return err
	}
	pem, err := os.ReadFile(filepath.Join(a.dir, "ca.pem"))
	if err != nil {
		return err
	}
	a.roots, a.keys = x509.NewCertPool(), &scram.KeyCache{}
	a.roots.AppendCertsFromPEM(pem)
	a.logs = newLogs(a.dir, store)
	a.host = &host{bin: a.bin, dir: a.dir, flags: a.flags(a.random("flags", 0))}
	return nil
}

// close ends the server, and frees the file system. What shows a fault is kept beside it.
func (a *act) close(failed bool) (err error) {
	s := a.host.current()
	if s != nil {
		s.ended(0)
	}
	if failed {
		_, err = a.logs.finish()
		var notes strings.Builder
		for _, note := range a.journal.attempts {
			fmt.Fprintf(&notes, "%s\n%+v\n\n", note, *note)
		}
		err = errors.Join(err, os.WriteFile(a.dir+"-journal", []byte(notes.String()), 0o600))
		if s != nil {
			err = errors.Join(err, os.WriteFile(a.dir+"-stderr", []byte(s.err.String()), 0o600))
		}
	}
	if a.small {
		err = errors.Join(err, unmount(a.dir))
	}
	return err
}

// shifts runs the shifts of clients: a first one in which the server is killed again and again, and shorter
// ones in which one server lives on. After each it measures the server.
func (a *act) shifts(ctx context.Context) error {
	const calm = 6
	first := a.length * 2 / 5
	for i := range 1 + calm {
		length := first
		if i > 0 {
			length = (a.length - first) / calm
		}
		if err := a.shift(ctx, i, length); err != nil {
			return err
		}
		if err := a.rest(ctx, i > 0); err != nil {
			return fmt.Errorf("act %d (%s), after shift %d: %w", a.number, a.policy, i, err)
		}
	}
	return ctx.Err()
}

// shift starts clients and faults for a while, and waits until all have ended.
func (a *act) shift(ctx context.Context, number int, length time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	var all sync.WaitGroup
	slot := number * 1000
	crowd := func(n int, between time.Duration, part string, one func(context.Context, *rand.Rand, int)) {
		for i := range n {
			r := a.random(part, slot+i)
			all.Go(func() {
				for pause(ctx, time.Duration(r.Int64N(int64(2*between)))) {
					one(ctx, r, i)
				}
			})
		}
	}
	good, every := 14, 150*time.Millisecond
	if a.policy != "queue" { // without a queue most of a crowd is refused
		good, every = 8, 200*time.Millisecond
	}
	crowd(good, every, "good", a.good)
	crowd(4, 200*time.Millisecond, "programs", a.programs)
	crowd(8, 250*time.Millisecond, "bad", func(ctx context.Context, r *rand.Rand, i int) {
		(&hostile{a, r, fmt.Sprintf("127.2.0.%d", 1+i)}).attack(ctx)
	})
	if a.control == twoDrivers {
		crowd(1, time.Second, "direct", a.pastTheServer)
	}
	o := &operator{act: a, r: a.random("operator", slot), kills: number == 0}
	failed := o.work(ctx)
	cancel()
	all.Wait()
	return errors.Join(failed, a.host.failure())
}

// good starts a random good client.
func (a *act) good(ctx context.Context, r *rand.Rand, i int) {
	k := anyOf(r, []kind{
		{"talk", 24, (*guest).talk},
		{"pipeline", 12, (*guest).pipeline},
		{"stream", 20, (*guest).stream},
		{"impatient", 6, (*guest).impatient},
		{"forgetful", 5, (*guest).forgetful},
		{"linger", 1, (*guest).linger},
		{"greedy", 1, (*guest).greedy},
	})
	a.visit(ctx, r, userName(r), goodAddr(i), k, randomFate(r))
}

// goodAddr returns the address that a good client comes from.
func goodAddr(i int) string { return fmt.Sprintf("127.1.0.%d", 1+i) }

// programs starts a connect or a hold.
func (a *act) programs(ctx context.Context, r *rand.Rand, i int) {
	f := randomFate(r)
	if f.kind == drop && f.after < 4<<10 { // only the program's own time limit would end such a login
		f = fate{kind: clean}
	}
	kinds := []kind{{"connect", 1, (*guest).connect}}
	switch {
	case !a.holds():
	case a.length >= longAct && r.IntN(8) == 0: // until the server takes the seat away
		kinds, f = []kind{{"hold", 1, (*guest).hold}}, fate{kind: blackhole, after: 4 << 10, length: idleForHold + 3*time.Second}
	default:
		kinds = append(kinds, kind{"hold", 3, (*guest).hold})
	}
	a.visit(ctx, r, userName(r), goodAddr(100+i), anyOf(r, kinds), f)
}

// kind is a kind of client, and how often it comes.
type kind struct {
	name   string
	weight int
	run    func(*guest, context.Context)
}

// anyOf returns one of the kinds, by their weights.
func anyOf(r *rand.Rand, kinds []kind) kind {
	var choice []kind
	for _, k := range kinds {
		for range k.weight {
			choice = append(choice, k)
		}
	}
	return choice[r.IntN(len(choice))]
}

// visit starts a client and waits for its end.
func (a *act) visit(ctx context.Context, r *rand.Rand, user, from string, k kind, f fate) {
	g, err := a.newGuest(ctx, r, k.name, user, from, f)
	if err != nil {
		return
	}
	defer g.leave()
	k.run(g, ctx)
}

// pastTheServer uses the device without a seat, which the run must notice.
func (a *act) pastTheServer(_ context.Context, r *rand.Rand, _ int) {
	_ = useDevice(a.device.addr(), fmt.Sprintf("direct-%08x", r.Uint32()), 300*time.Millisecond, nil)
}

// rest waits until the server is idle, and takes a sample. A good login must succeed then. It is tried more
// than once: the server may still be noticing that connections have ended, and on a busy machine a login may
// miss its deadline.
func (a *act) rest(ctx context.Context, measured bool) error {
	within, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	r := a.random("rest", len(a.samples))
	for {
		err := a.probe(within, r)
		if err == nil {
			break
		} else if !pause(within, 200*time.Millisecond) {
			return fmt.Errorf("no client is there, but a good login fails: %w\n%s", err, a.host.current().err.String())
		}
	}
	if measured {
		a.measure(ctx)
	}
	return ctx.Err()
}

// probe is a good client on a good network.
func (a *act) probe(ctx context.Context, r *rand.Rand) error {
	g, err := a.newGuest(ctx, r, "probe", probeUser, "127.1.1.1", fate{kind: clean})
	if err != nil {
		return err
	}
	defer g.leave()
	c, err := g.dial(ctx, false)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := g.do(ctx, c, protocol.Request{Verb: "WHOAMI"}, "WHOAMI"); err != nil {
		return err
	}
	return c.Quit(ctx)
}

// measure takes the sample with the fewest descriptors of a second: the server may still drain connections.
func (a *act) measure(ctx context.Context) {
	best := sample{descriptors: 1 << 30}
	for range 10 {
		if rss, descriptors, ok := a.host.current().usage(); ok && descriptors <= best.descriptors {
			best = sample{rss, descriptors}
		}
		pause(ctx, 100*time.Millisecond)
	}
	if best.descriptors < 1<<30 {
		a.samples = append(a.samples, best)
		a.most("most MiB at rest", int(best.rss>>20))
		a.most("most descriptors at rest", best.descriptors)
	}
}
