package lobby

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

func from(text string) netip.Prefix {
	return Source(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(text)))
}

// A door is a lobby, and the names of the connections that it has dropped.
type door struct {
	Lobby
	places  map[string]*Place
	dropped []string
}

func (d *door) enter(source netip.Prefix, names ...string) {
	if d.places == nil {
		d.places = map[string]*Place{}
	}
	for _, name := range names {
		d.places[name] = d.Enter(source, func() {
			why := "as a newcomer"
			if p := d.places[name]; p != nil {
				why = p.Dropped()
			}
			d.dropped = append(d.dropped, name+" "+why)
		})
	}
}

func (d *door) want(t *testing.T, dropped ...string) {
	t.Helper()
	if !slices.Equal(d.dropped, dropped) {
		t.Errorf("dropped: %q, want %q", d.dropped, dropped)
	}
	d.dropped = nil
}

func TestFullLobbyDropsTheOldestOfTheSourceThatHasMost(t *testing.T) {
	t.Parallel()
	a, b, c := from("192.0.2.1:1"), from("192.0.2.2:1"), from("192.0.2.3:1")
	d := &door{Lobby: Lobby{Max: 5, MaxPerSource: 3}}
	d.enter(b, "b1")
	d.enter(a, "a1", "a2", "a3")
	d.enter(b, "b2")
	d.want(t)
	d.enter(c, "c1")
	d.want(t, "a1 lobby-full")
	d.enter(c, "c2") // each source has two now, and b has the oldest
	d.want(t, "b1 lobby-full")
	d.enter(c, "c3") // of the newcomer's source
	d.want(t, "c1 lobby-full")
}

func TestFullSourceDropsItsOldest(t *testing.T) {
	t.Parallel()
	a, b := from("192.0.2.1:1"), from("192.0.2.2:1")
	d := &door{Lobby: Lobby{Max: 9, MaxPerSource: 2}}
	d.enter(b, "b1", "b2")
	d.enter(a, "a1", "a2", "a3")
	d.want(t, "a1 source-full")
	d.enter(netip.Prefix{}, "x1", "x2", "x3") // no address, no limit of its own
	d.want(t)
}

// A crowd of as many addresses comes as far as one step. It drops a login only there, and only when as many have come
// as the lobby has places.
func TestCrowdDropsItself(t *testing.T) {
	t.Parallel()
	for crowd := Silent; crowd <= Proving; crowd++ {
		for login := Silent; login <= Proving; login++ {
			d := &door{Lobby: Lobby{Max: 10, MaxPerSource: 2}}
			d.enter(from("192.0.2.1:1"), "login")
			d.places["login"].Reach(login)
			last := 0
			for ; last < 100 && d.places["login"].Dropped() == ""; last++ {
				name := "stranger " + strconv.Itoa(last)
				d.enter(from(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(last)}), 1).String()), name)
				d.places[name].Reach(crowd)
			}
			if want := map[bool]int{true: 10, false: 100}[crowd == login]; last != want {
				t.Errorf("crowd at %d, login at %d: dropped after %d strangers, want %d", crowd, login, last, want)
			}
		}
	}
}

// A login whose address has other connections goes after theirs, as long as it is not at the step of most.
func TestFullSourceDropsAtTheStepOfMost(t *testing.T) {
	t.Parallel()
	d := &door{Lobby: Lobby{Max: 9, MaxPerSource: 3}}
	d.enter(from("192.0.2.1:1"), "a1", "a2", "a3")
	d.places["a1"].Reach(Begun)
	d.enter(from("192.0.2.1:1"), "a4")
	d.want(t, "a2 source-full")
}

// A newcomer has sent nothing yet, and is not dropped for it.
func TestNewcomerStays(t *testing.T) {
	t.Parallel()
	d := &door{Lobby: Lobby{Max: 1, MaxPerSource: 1}}
	d.enter(from("192.0.2.1:1"), "a1")
	d.places["a1"].Reach(Proving)
	d.enter(from("192.0.2.2:1"), "b1")
	d.want(t, "a1 lobby-full")
	d.enter(from("192.0.2.2:1"), "b2")
	d.want(t, "b1 source-full")
}

func TestPlaceIsGivenBack(t *testing.T) {
	t.Parallel()
	a := from("192.0.2.1:1")
	d := &door{Lobby: Lobby{Max: 9, MaxPerSource: 2}}
	d.enter(a, "a1", "a2")
	d.places["a2"].Leave()
	d.places["a2"].Leave()
	d.enter(a, "a3")
	d.want(t)
	if why := d.places["a2"].Dropped(); why != "" {
		t.Errorf("one that has left was dropped: %s", why)
	}
	d.enter(a, "a4")
	d.want(t, "a1 source-full")
	d.places["a1"].Leave() // as its connection ends
	if why := d.places["a1"].Dropped(); why != SourceFull {
		t.Errorf("%q", why)
	}
	for _, p := range d.places {
		p.Leave()
	}
	if d.all != 0 || len(d.sources) != 0 {
		t.Errorf("%d are left, of %v", d.all, d.sources)
	}
}

func TestSource(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"192.0.2.1:7":                "192.0.2.1/32",
		"[::ffff:192.0.2.1]:7":       "192.0.2.1/32",
		"[2001:db8:1:2ff:3:4:5:6]:7": "2001:db8:1:200::/56",
		"[fe80::1%eth0]:7":           "fe80::/56",
	} {
		if got := from(text).String(); got != want {
			t.Errorf("%s is of %s, want %s", text, got, want)
		}
	}
	if got := Source(&net.UnixAddr{Name: "socket"}); got.IsValid() {
		t.Errorf("a socket is of %s", got)
	}
}

func TestRefusalsAreReportedOnceASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reports := make(chan []Refusal, 9)
		r := &Refusals{Report: func(all []Refusal) { reports <- all }}
		for range 1000 {
			r.Add(from("192.0.2.1:1"), Full)
		}
		time.Sleep(every - 1)
		synctest.Wait()
		if len(reports) > 0 {
			t.Fatalf("before its time: %v", <-reports)
		}
		time.Sleep(time.Nanosecond)
		if got := <-reports; !slices.Equal(got, []Refusal{{"192.0.2.1", Full, 1000}}) {
			t.Fatalf("%v", got)
		}
		time.Sleep(time.Hour)
		r.Add(from("[2001:db8::1]:1"), SourceFull)
		r.Flush() // as a server does that stops
		if got := <-reports; !slices.Equal(got, []Refusal{{"2001:db8::/56", SourceFull, 1}}) {
			t.Fatalf("%v", got)
		}
		time.Sleep(time.Hour)
		if len(reports) > 0 {
			t.Fatalf("a report of nothing: %v", <-reports)
		}
	})
}

// However many sources there are, a report is short, and no connection is left out.
func TestRefusalsAreBounded(t *testing.T) {
	t.Parallel()
	var report []Refusal
	r := &Refusals{Report: func(all []Refusal) { report = all }}
	for i := range 10 * maxRefusals {
		r.Add(from(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 1).String()), Full)
	}
	r.Flush()
	count := 0
	for _, one := range report {
		count += one.Count
	}
	if len(report) != maxRefusals+1 || count != 10*maxRefusals {
		t.Errorf("%d counts of %d connections", len(report), count)
	}
	if !slices.Contains(report, Refusal{"others", Full, 9 * maxRefusals}) {
		t.Errorf("%v", report)
	}
}
