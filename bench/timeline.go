package bench

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/server/audit"
	"github.com/sallyport/sallyport/specs/harness"
)

// A Timeline is what both ends of a subject's connections do and when: the calls
// that its sockets see, and the writes to its log. It says where the time goes
// that profiles don't show, because nobody computes in it.
type Timeline struct {
	Name  string
	Steps int
	steps func() (time.Duration, error)
	tap   *tap
}

// A Moment is when something is done, counted from the first of them: the median
// of all steps in which it was. What is done again has its number behind it.
type Moment struct {
	What string
	At   time.Duration
}

// timelineBlock is how many steps a timeline takes before it is another's turn.
const timelineBlock = 40

// Timelines are those of a login with cached keys, of its floor with as many
// round trips, and of handing the seat on, in turns, as in Interleave.
func Timelines(t T, rounds int) ([]*Timeline, error) {
	t.Helper()
	all := []*Timeline{floorTimeline(t), loginTimeline(t)}
	for _, waiting := range []int{1, 4} {
		all = append(all, handoffTimeline(t, waiting))
	}
	for range rounds {
		for _, i := range rand.Perm(len(all)) {
			runtime.GC()
			for range timelineBlock {
				if err := all[i].step(); err != nil {
					return nil, fmt.Errorf("%s: %w", all[i].Name, err)
				}
			}
		}
	}
	return all, nil
}

// step keeps what was done until the subject's own time was over.
func (l *Timeline) step() error {
	l.Steps++
	time.Sleep(pause) // or which processor waits for the network depends on how the last step ended
	l.tap.begin()
	took, err := l.steps()
	l.tap.keep(took)
	return err
}

// Moments are those of at least two steps in three, in the order of time.
func (l *Timeline) Moments() (all []Moment) {
	for what, times := range l.tap.times {
		if len(times)*3 >= l.Steps*2 {
			slices.Sort(times)
			all = append(all, Moment{what, Percentile(times, 50)})
		}
	}
	slices.SortFunc(all, func(a, b Moment) int { return cmp.Compare(a.At, b.At) })
	return all
}

func floorTimeline(t T) *Timeline {
	t.Helper()
	tap := new(tap)
	f := floor{tls: serverTLS(harness.ECDSA), talk: talk, tap: tap}
	p := passerby{addr: f.start(t), talk: talk, tap: tap}
	return &Timeline{Name: "Login/of=tls+exchange", steps: p.rig().Step, tap: tap}
}

func loginTimeline(t T) *Timeline {
	t.Helper()
	tap := new(tap)
	v := visitorOf(t, tap.serve(t), scram.MinIterations, new(scram.KeyCache))
	v.dialer.DialContext = tap.dial
	return &Timeline{Name: "Login/keys=cached/of=sallyport", steps: v.login, tap: tap}
}

func handoffTimeline(t T, waiting int) *Timeline {
	t.Helper()
	tap := new(tap)
	h := tap.serve(t)
	q := &queue{addr: h.Addr, dialer: dialer(h), length: waiting}
	q.dialer.Keys, q.dialer.DialContext = new(scram.KeyCache), tap.dial
	t.Cleanup(func() { _ = q.dissolve() })
	if err := q.form(); err != nil {
		t.Fatalf("queue: %v", err)
	}
	return &Timeline{Name: fmt.Sprintf("Handoff/waiting=%d/of=sallyport", waiting), steps: q.handOff, tap: tap}
}

// A tap notes what goes through sockets and into a log. A nil one notes nothing.
type tap struct {
	mu     sync.Mutex
	events []event
	times  map[string][]time.Duration
}

type event struct {
	what string
	at   time.Time
}

func (t *tap) note(what string) {
	if t == nil {
		return
	}
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events = append(t.events, event{what, now})
}

// begin forgets what came after the last step.
func (t *tap) begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events = nil
}

// keep counts the events of a step from the first of them.
func (t *tap) keep(took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.times == nil {
		t.times = map[string][]time.Duration{}
	}
	count := map[string]int{}
	for _, e := range t.events {
		at := e.at.Sub(t.events[0].at)
		if at > took {
			return
		}
		count[e.what]++
		what := fmt.Sprintf("%s %d", e.what, count[e.what])
		t.times[what] = append(t.times[what], at)
	}
}

// serve runs the product, with its log in a file, under the tap.
func (t *tap) serve(b T) *harness.H {
	b.Helper()
	file := recordsFile(b)
	return harness.StartOn(b, func(s *server.Server) {
		s.Audit, s.Limits = audit.New(tappedLog{file, t}, audit.Options{}), server.Limits{}
	}, func(l net.Listener) net.Listener { return tappedListener{l, t} })
}

func (t *tap) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	t.note("client: connect")
	c, err := dialTCP(ctx, addr)
	return t.over(c, "client"), err
}

// over is the connection under the tap.
func (t *tap) over(c net.Conn, end string) net.Conn {
	if t == nil || c == nil {
		return c
	}
	t.note(end + ": connected")
	return tapped{c.(*net.TCPConn), end, t}
}

type tapped struct {
	*net.TCPConn
	end string
	tap *tap
}

func (c tapped) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	c.tap.note(c.end + ": read")
	return n, err
}

func (c tapped) Write(p []byte) (int, error) {
	c.tap.note(c.end + ": write")
	return c.TCPConn.Write(p)
}

// tappedListener sets the socket options, which the server leaves alone where it
// finds no TCP.
type tappedListener struct {
	net.Listener
	tap *tap
}

func (l tappedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		err = setSocket(c)
	}
	return l.tap.over(c, "server"), err
}

type tappedLog struct {
	io.Writer
	tap *tap
}

func (w tappedLog) Write(p []byte) (int, error) {
	w.tap.note("server: log")
	return w.Writer.Write(p)
}
