package fleet

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/server/admission"
	"github.com/sallyport/sallyport/server/fleet"
)

// gate is one of the gates that share the seat of a rig.
type gate struct {
	*fleet.Seat
	t       *testing.T
	fatal   atomic.Pointer[string]
	changes atomic.Int64
}

// gate starts a gate that ends with the test.
func (e *etcd) gate(id string) *gate {
	e.t.Helper()
	return newGate(e.t, e.open(), id)
}

// newGate starts a gate of the rig scope.
func newGate(t *testing.T, f *fleet.Fleet, id string) *gate {
	g := &gate{t: t}
	g.Seat = f.Seat(fleet.SeatConfig{Rig: "scope", Gate: id, At: id + ".example:1", Changed: func() { g.changes.Add(1) }, Fatal: func(why string) { g.fatal.Store(&why) }})
	t.Cleanup(g.Close)
	return g
}

// asker is a client of a gate.
type asker struct {
	admission.Place
	t       *testing.T
	mu      sync.Mutex
	evicted []string // by, text
}

var queueRules = admission.Queue{}.Rules(time.Minute)

// enter asks for the seat.
func (g *gate) enter(user string, rules admission.Rules, noWait bool) (*asker, error) {
	a := &asker{t: g.t}
	place, err := g.Enter(context.Background(), admission.Client{
		User: user, Conn: "C-" + user, Rules: rules, NoWait: noWait,
		Changed: func() {},
		Evict: func(by, text string) {
			a.mu.Lock()
			a.evicted = append(a.evicted, by+": "+text)
			a.mu.Unlock()
		},
	})
	a.Place = place
	return a, err
}

// asks asks for the seat and waits in the queue if there is one.
func (g *gate) asks(user string) *asker {
	g.t.Helper()
	a, err := g.enter(user, queueRules, false)
	if err != nil {
		g.t.Fatal(err)
	}
	return a
}

// until waits for a condition.
func (a *asker) until(what string, is func() bool) {
	a.t.Helper()
	for late := time.Now().Add(30 * time.Second); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(late) {
			a.t.Fatal("not " + what)
		}
	}
}

// at waits until the client has a position.
func (a *asker) at(want string) {
	a.t.Helper()
	got := ""
	a.until(want, func() bool {
		n, holder := a.Position()
		got = fmt.Sprint(n, " ", holder)
		return got == want
	})
}

// leaves waits until the client has to leave, and returns why.
func (a *asker) leaves() (why string) {
	a.t.Helper()
	a.until("evicted", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		why = strings.Join(a.evicted, "|")
		return why != ""
	})
	return why
}

func isBusy(err error, text string) bool {
	refused, ok := errors.AsType[*protocol.ReplyError](err)
	return ok && refused.Keyword == protocol.KeywordBusy && strings.Contains(refused.Text, text)
}

func TestSeatGoesRoundInOrderOfAsking(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	one, two := e.gate("1"), e.gate("2")
	alice := one.asks("alice")
	alice.at("0 alice")
	bob, carol := two.asks("bob"), one.asks("carol")
	before := one.changes.Load()
	dave := two.asks("dave")
	dave.until("told to the other gate, whose entry in the directory has the queue", func() bool { return one.changes.Load() > before })
	bob.at("1 alice")
	dave.at("3 alice")
	carol.Leave() // gives up
	dave.at("2 alice")
	if now := two.Status(); now.Holder != "alice" || now.Waiting != 2 {
		t.Errorf("%+v", now)
	}
	alice.Leave()
	bob.at("0 bob")
	dave.at("1 bob")
	bob.Leave()
	dave.at("0 dave")
	if !(alice.Token() < bob.Token() && bob.Token() < dave.Token()) {
		t.Error(alice.Token(), bob.Token(), dave.Token())
	}
	if err := dave.Check(); err != nil {
		t.Error(err)
	}
	dave.Leave()
}

// All gates say the same about the holder, also one that starts later.
func TestSeatSaysWhereAndSinceWhen(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	one, two := e.gate("1"), e.gate("2")
	alice := one.asks("alice")
	alice.at("0 alice")
	since := one.Status().Since
	bob := two.asks("bob")
	bob.at("1 alice")
	late := e.gate("3")
	says := func(g *gate, at string) bool {
		return g.HolderAt() == at && g.Status().Since.Equal(one.Status().Since)
	}
	alice.until("known to all gates", func() bool { return says(two, "1.example:1") && says(late, "1.example:1") })
	if age := time.Since(since); !one.Status().Since.Equal(since) || age < 0 || age > time.Minute {
		t.Error(since, one.Status())
	}
	left := time.Now()
	alice.Leave()
	bob.at("0 bob")
	bob.until("seated since the other has left", func() bool { return one.Status().Since.After(left) && says(two, "2.example:1") })
	later := e.gate("4")
	bob.until("known to the last gate", func() bool { return says(later, "2.example:1") })
	bob.Leave()
	bob.until("free", func() bool { return late.Status().Holder == "" && late.HolderAt() == "" })
}

// A gate whose clock is fast, or an older one, does not say since when.
func TestSeatSinceTheFuture(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	for key, since := range map[string]string{"0": `"2999-01-01T00:00:00Z"`, "1": `"0001-01-01T00:00:00Z"`} {
		if _, err := e.client().Put(t.Context(), "lab/seats/scope/0/"+key, `{"schema":"sallyport-place/1","user":"zoe","since":`+since+`}`); err != nil {
			t.Fatal(err)
		}
	}
	one := e.gate("1")
	for _, wait := range []int{1, 0} {
		eventually(t, "zoe has the seat", func() bool { now := one.Status(); return now.Holder == "zoe" && now.Waiting == wait })
		if age := time.Since(one.Status().Since); age < 0 || age > time.Minute {
			t.Error(age)
		}
		if _, err := e.client().Delete(t.Context(), "lab/seats/scope/0/"+fmt.Sprint(1-wait)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSeatRefuses(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	one, two := e.gate("1"), e.gate("2")
	alice := one.asks("alice")
	waiting := two.asks("bob")
	waiting.at("1 alice") // and both gates know
	small := admission.Rules{Depth: 1, PerUser: 1}
	for _, c := range []struct {
		user   string
		rules  admission.Rules
		noWait bool
		text   string
	}{
		{"zoe", queueRules, true, "alice has had the seat since "},
		{"zoe", admission.Reject{}.Rules(0), false, "alice has had the seat since "},
		{"zoe", small, false, "the queue is full: alice has"},
		{"bob", admission.Rules{Depth: 9, PerUser: 1}, false, "this user has all the places"},
	} {
		if _, err := two.enter(c.user, c.rules, c.noWait); !isBusy(err, c.text) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	alice.Leave()
	waiting.Leave()
	alice.until("free", func() bool { return two.Status().Holder == "" })
	if zoe, err := two.enter("zoe", queueRules, true); err != nil {
		t.Error(err)
	} else {
		zoe.at("0 zoe")
	}
}

func TestSeatIsTakenOver(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	one, two := e.gate("1"), e.gate("2")
	rules := admission.Takeover{}.Rules(0)
	alice := one.asks("alice")
	bob, err := two.enter("bob", rules, false)
	if err != nil {
		t.Fatal(err)
	}
	bob.at("1 alice")
	if why := alice.leaves(); why != "bob: bob took over" {
		t.Error(why)
	}
	carol, err := one.enter("carol", rules, false)
	if err != nil {
		t.Fatal(err)
	}
	if why := bob.leaves(); why != "carol: carol took over" { // who waits, too
		t.Error(why)
	}
	alice.Leave()
	bob.Leave()
	carol.at("0 carol")
}

// dies waits until the process is to end, and returns why.
func (g *gate) dies(a *asker) string {
	g.t.Helper()
	a.until("fatal", func() bool { return g.fatal.Load() != nil })
	return *g.fatal.Load()
}

// The name of another gate's client is in replies to this gate's clients.
func TestSeatWithoutAName(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	one, c := e.gate("1"), e.client()
	for i, user := range []string{`a\r\n235 welcome`, `a\nb`, ``, `\u001b[2J`, `\u00ad`} {
		key := fmt.Sprint("lab/seats/scope/0/", i)
		if _, err := c.Put(t.Context(), key, `{"schema":"sallyport-place/1","user":"`+user+`"}`); err != nil {
			t.Fatal(err)
		}
		alice := one.asks("alice")
		alice.at("1 ?")
		if _, err := c.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		alice.at("0 alice")
		alice.Leave()
		alice.until("free", func() bool { return one.Status().Holder == "" })
	}
}
