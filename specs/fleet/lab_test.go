package fleet

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/client/choose"
	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/server/certs"
	"github.com/sallyport/sallyport/server/fleet"
)

var (
	labSeats = flag.Int("lab-seats", 7, "how many seats each client of TestAnyOfTwentyRigs wants")
	labSeed  = flag.Uint64("lab-seed", 0, "seed of TestAnyOfTwentyRigs; zero means another one each time")
)

const (
	labRigs, labClients = 20, 60
	// Each rig is taken when the clients come. The first one stays so as long as they want seats, at most jobTime, so those
	// in the queue behind it have to look elsewhere.
	jobTime = 15 * time.Second
)

// A rig is busy while somebody waits for any rig, no client has two seats, and none starves.
func TestAnyOfTwentyRigs(t *testing.T) { // not parallel: it judges times
	l := newRoom(t)
	t.Logf("-lab-seed %d", l.seed)

	// First the control: a judge that finds nothing here can't find anything.
	bad := map[int]seek{8: noQueue, 9: twoRigs}
	for i := range 8 {
		bad[i] = oneQueue
	}
	faults := strings.Join(l.run(9, bad).judge(), "\n")
	for _, want := range []string{"was free for", "user08 waited", "user09 had 2 seats"} {
		if !strings.Contains(faults, want) {
			t.Errorf("clients that choose badly pass as good ones, there is no %q in: %s", want, faults)
		}
	}

	good := map[int]seek{}
	for i := range labClients + labRigs {
		good[i] = anyRig
	}
	r := l.run(*labSeats, good)
	for _, fault := range r.judge() {
		t.Error(fault)
	}
	t.Logf("%+v", r.measure())
}

// room has gates, which are commands, with a rig each. It has users and an etcd.
type room struct {
	t     *testing.T
	etcd  *etcd
	dir   string
	trust map[string]*tls.Config // by rig
	seed  uint64
}

func newRoom(t *testing.T) *room {
	t.Helper()
	l := &room{t: t, etcd: startEtcd(t), dir: t.TempDir(), trust: map[string]*tls.Config{}, seed: *labSeed}
	if l.seed == 0 {
		l.seed = rand.Uint64()
	}
	f := l.etcd.open()
	for i := range labClients + labRigs {
		if err := f.AddUser(t.Context(), userName(i), "pw", scram.MinIterations); err != nil {
			t.Fatal(err)
		}
	}
	for i := range labRigs {
		name := fmt.Sprintf("rig%02d", i)
		l.etcd.serve(filepath.Join(l.dir, name), "--rig", name, "--users", "fleet")
		pool, err := certs.Pool(filepath.Join(l.dir, name, "ca.pem"))
		if err != nil {
			t.Fatal(err)
		}
		l.trust[name] = &tls.Config{RootCAs: pool}
	}
	eventually(t, "all gates are in the directory", func() bool { return len(rigs(t, f)) == labRigs })
	return l
}

func userName(i int) string { return fmt.Sprintf("user%02d", i) }

// run has clients live, and returns the record of it.
func (l *room) run(seats int, all map[int]seek) (r record) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), jobTime+time.Duration(seats)*patience)
	defer cancel()
	over, come, seated := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var clients []*visitor
	var others, jobs sync.WaitGroup
	r = record{began: time.Now(), seats: map[string]int{}}
	for i, find := range all {
		v := &visitor{room: l, name: userName(i), seats: seats, find: find, rand: rand.New(rand.NewPCG(l.seed, uint64(i))), fleet: l.etcd.open()}
		clients = append(clients, v)
		if i < labClients {
			r.clients++
			continue
		}
		v.seats, v.job = 1, func() {
			seated <- struct{}{}
			if i > labClients {
				<-come
				return
			}
			select {
			case <-over:
			case <-time.After(jobTime):
			}
		}
		jobs.Go(func() { v.live(ctx) })
		<-seated
	}
	for _, v := range clients {
		if v.job == nil {
			others.Go(func() { v.live(ctx) })
		}
	}
	time.Sleep(time.Second) // they are in the queues
	close(come)
	others.Wait()
	close(over)
	jobs.Wait()
	for _, v := range clients {
		r.uses, r.seats[v.name] = append(r.uses, v.uses...), v.seats
		r.slowest = max(r.slowest, v.slowest.Load())
	}
	for rig := range l.trust {
		r.rigs = append(r.rigs, rig)
	}
	eventually(l.t, "the end of all sessions", func() (ended bool) {
		r.sessions, ended = l.sessions(r.began)
		return ended
	})
	return r
}

// sessions returns the sessions in the logs of the gates since a time, and whether all of them have ended.
func (l *room) sessions(since time.Time) (all []session, ended bool) {
	open := map[string]session{} // by connection
	for rig := range l.trust {
		text, err := os.ReadFile(filepath.Join(l.dir, rig, "audit.jsonl"))
		if err != nil {
			l.t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			var e struct {
				Time              time.Time
				Event, Conn, User string
			}
			if err := json.Unmarshal([]byte(line), &e); err != nil || e.Time.Before(since) {
				continue // half a line, or of an earlier run
			}
			s := session{rig: rig, user: e.User, span: span{e.Time, e.Time}}
			switch e.Event {
			case "session.open":
				open[e.Conn] = s
			case "session.close":
				s.user, s.from = open[e.Conn].user, open[e.Conn].from
				all = append(all, s)
				delete(open, e.Conn)
			}
		}
	}
	return all, len(open) == 0
}

// visitor is a client who wants seats, one after another.
type visitor struct {
	*room
	name    string
	seats   int
	find    seek
	job     func() // of a long seat, nil if all seats are short
	rand    *rand.Rand
	fleet   *fleet.Fleet
	keys    scram.KeyCache
	held    atomic.Int64 // seats, as this client knows
	slowest longest      // login without a wait
	uses    []use
}

// seek gets a seat, which the client holds until leave.
type seek func(ctx context.Context, v *visitor) (rig string, leave func(), err error)

// live gets seats, and holds each for tens of milliseconds.
func (v *visitor) live(ctx context.Context) {
	for range v.seats {
		v.pause(0, 100*time.Millisecond)
		u := use{user: v.name}
		u.wait.from = time.Now()
		rig, leave, err := v.find(ctx, v)
		for errors.Is(err, fleet.ErrAway) { // which is in this process, and late if the machine is busy
			rig, leave, err = v.find(ctx, v)
		}
		if err != nil {
			v.t.Errorf("%s after %d seats: %v", v.name, len(v.uses), err)
			return
		}
		u.rig, u.wait.to, u.held = rig, time.Now(), v.held.Load()
		if v.job != nil {
			v.job()
		} else {
			v.pause(20*time.Millisecond, 100*time.Millisecond)
		}
		u.held, u.ended = max(u.held, v.held.Load()), time.Now()
		leave()
		v.uses = append(v.uses, u)
	}
}

func (v *visitor) pause(least, most time.Duration) {
	time.Sleep(least + time.Duration(v.rand.Int64N(int64(most-least))))
}

// anyRig chooses as "connect --any" does.
func anyRig(ctx context.Context, v *visitor) (rig string, leave func(), err error) {
	seat, at, err := choose.Chooser[*client.Client]{
		Dial: v.dial, Close: v.leave, IntN: v.rand.IntN,
		Follow: func(ctx context.Context, on func([]choose.Gate)) error {
			return v.fleet.Follow(ctx, func(all []fleet.Rig) { on(gatesOf(all)) })
		},
	}.Seat(ctx)
	return at.Rig, func() { v.leave(seat) }, err
}

func gatesOf(all []fleet.Rig) (gates []choose.Gate) {
	for _, r := range all {
		gates = append(gates, choose.Gate{Rig: r.Name, ID: r.Gate, Addr: r.Addr, Holder: r.Holder, Waiting: r.Waiting, Revision: r.Revision})
	}
	return gates
}

// oneQueue never leaves the first queue.
func oneQueue(ctx context.Context, v *visitor) (string, func(), error) { return v.at(ctx, 0, true) }

// noQueue tries one rig again and again, and so has no place in its queue.
func noQueue(ctx context.Context, v *visitor) (rig string, leave func(), err error) {
	for {
		v.pause(200*time.Millisecond, 300*time.Millisecond)
		if rig, leave, err = v.at(ctx, 0, false); !errors.Is(err, client.ErrBusy) {
			return rig, leave, err
		}
	}
}

// twoRigs keeps both seats.
func twoRigs(ctx context.Context, v *visitor) (string, func(), error) {
	rig, leave, err := v.at(ctx, 1, true)
	if err != nil {
		return rig, leave, err
	}
	_, leaveToo, err := v.at(ctx, 2, true)
	return rig, func() { leave(); leaveToo() }, err
}

// at takes the seat of the nth gate.
func (v *visitor) at(ctx context.Context, n int, wait bool) (rig string, leave func(), err error) {
	all, err := v.fleet.Rigs(ctx)
	if err != nil {
		return "", nil, err
	}
	seat, err := v.dial(ctx, gatesOf(all)[n], wait)
	return all[n].Name, func() { v.leave(seat) }, err
}

func (v *visitor) dial(ctx context.Context, g choose.Gate, wait bool) (*client.Client, error) {
	d := client.Dialer{TLSConfig: v.trust[g.Rig], NoWait: !wait, Keys: &v.keys}
	began := time.Now()
	seat, err := d.Dial(ctx, g.Addr, client.Credentials{Username: v.name, Password: "pw"})
	if !wait {
		v.slowest.add(time.Since(began))
	}
	if err == nil {
		v.held.Add(1)
	}
	return seat, err
}

func (v *visitor) leave(c *client.Client) {
	v.held.Add(-1)
	_ = c.Close()
}
