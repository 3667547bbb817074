package fleet

import (
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/server/fleet"
)

var logGate = id(1)

// log stands for a gate's log.
type log struct {
	mu    sync.Mutex
	head  string
	asked int // how often
}

func (l *log) set(digit string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.head = strings.Repeat(digit, 64)
}

func (l *log) state() (head string, size int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	return l.head, 7
}

func (l *log) times() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.asked
}

// digits returns the first digit of each head of a rig, in order.
func digits(t *testing.T, f *fleet.Fleet, rig string) (all string) {
	t.Helper()
	heads, err := f.Heads(t.Context(), rig)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range heads {
		if h.Fault != nil || h.Size != 7 || h.Gate != logGate || h.Rig == "" || h.Time.IsZero() {
			t.Errorf("%+v", h)
		}
		all += h.Head[:1]
	}
	return all
}

func TestHeadsAreNoted(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	f, c, l := e.open(), e.client(), &log{}
	l.set("0")
	n := f.NoteHeads("rig", logGate, l.state)
	n.Changed()
	for _, digit := range []string{"a", "b"} {
		l.set(digit)
		n.Changed()
		eventually(t, "head "+digit, func() bool { return strings.HasSuffix(digits(t, f, "rig"), digit) })
	}
	n.Changed() // nothing new
	l.set("c")
	n.Close()
	if got := digits(t, f, ""); got != "abc" {
		t.Error("noted", got)
	}

	// etcd away: the latest waits, and the numbers go on.
	e.stop()
	l.set("d")
	before := l.times()
	n = f.NoteHeads("rig", logGate, l.state)
	eventually(t, "a second attempt", func() bool { return l.times() >= before+2 })
	e.start()
	eventually(t, "the head that waited", func() bool { return digits(t, f, "rig") == "abcd" })
	n.Close()
	if got := digits(t, f, "ri"); got != "" {
		t.Error("noted of another rig", got)
	}

	// Another process with the same id takes none of our keys.
	other := e.open()
	x, y := f.NoteHeads("rig", logGate, l.state), other.NoteHeads("rig", logGate, l.state)
	count := len(digits(t, f, "rig"))
	for _, digit := range []string{"6", "7"} {
		l.set(digit)
		x.Changed()
		y.Changed()
		eventually(t, "heads of both", func() bool { return strings.Count(digits(t, f, "rig"), digit) == 2 })
	}
	x.Close()
	y.Close()
	if after := len(digits(t, f, "rig")); after < count+4 {
		t.Error(count, after)
	}

	// What is not as a gate wrote it is found.
	got, err := c.Get(t.Context(), "lab/heads/rig/"+logGate+"/0000000000000000001")
	if err != nil || len(got.Kvs) != 1 {
		t.Fatal(got, err)
	}
	for key, value := range map[string]string{
		string(got.Kvs[0].Key): string(got.Kvs[0].Value), "lab/heads/rig/" + logGate + "/1": string(got.Kvs[0].Value),
		"lab/heads/rig/" + logGate + "/1000000000000000000": `{"schema":"sallyport-head/1","head":"x"}`,
	} {
		if _, err := c.Put(t.Context(), key, value); err != nil {
			t.Fatal(err)
		}
	}
	heads, err := f.Heads(t.Context(), "rig")
	rewritten, foreign := 0, 0
	for _, h := range heads {
		if errors.Is(h.Fault, fleet.ErrRewritten) {
			rewritten++
		} else if errors.Is(h.Fault, fleet.ErrForeign) {
			foreign++
		}
	}
	if rewritten != 1 || foreign != 2 || err != nil {
		t.Error(rewritten, foreign, err)
	}
}

func TestHeadsAreFew(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	f, l := e.open(), &log{}
	l.set("a")
	n := f.NoteHeads("rig", logGate, l.state)
	began := time.Now()
	for i := 0; time.Since(began) < 2*time.Second; i++ {
		l.set(strconv.Itoa(1 + i%9))
		n.Changed()
		<-time.After(5 * time.Millisecond)
	}
	l.set("b")
	n.Close()
	most := int(time.Since(began)/(time.Second/2)) + 2 // the first and the last one
	if got := digits(t, f, "rig"); len(got) > most || !strings.HasSuffix(got, "b") {
		t.Errorf("noted %q, at most %d", got, most)
	}
}
