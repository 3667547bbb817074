package keeper

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/server/joint"
)

// world is a Keeper that runs in synthetic time. Devices has the far end of each connection to its backend.
type world struct {
	*testing.T
	*Keeper
	devices chan net.Conn
	told    *bytes.Buffer
	mu      sync.Mutex
	down    error
	record  *memory
}

// memory is a Record.
type memory struct{ bytes.Buffer }

func (m *memory) Record(p []byte, _ time.Time) { m.Write(p) }
func (m *memory) LineEnd()                     { m.WriteByte('|') }

// logTo returns a log without times.
func logTo(out io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

func start(t *testing.T, backlog int, down error, test func(w *world)) {
	t.Helper()
	startWith(t, Options{Backlog: backlog}, down, test)
}

// startWith runs a Keeper with these options, but for those of the world, in synthetic time.
func startWith(t *testing.T, o Options, down error, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, devices: make(chan net.Conn, 8), told: &bytes.Buffer{}, record: &memory{}, down: down}
		o.Open, o.Record, o.Log = w.open, w.record, logTo(w.told)
		w.Keeper = New(o)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			w.Keeper.Run(ctx)
		}()
		synctest.Wait()
		test(w)
		cancel()
		<-ended
	})
}

func (w *world) open(context.Context) (io.ReadWriteCloser, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down != nil {
		return nil, w.down
	}
	near, far := net.Pipe()
	w.devices <- far
	return near, nil
}

func (w *world) setDown(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = err
}

func (w *world) stream() *stream {
	w.Helper()
	s, err := w.Open(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	return s.(*stream)
}

func say(t testing.TB, to io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(to, text); err != nil {
		t.Error(err)
	}
}

func hears(t testing.TB, from io.Reader, text string) {
	t.Helper()
	got := make([]byte, len(text))
	if _, err := io.ReadFull(from, got); err != nil || string(got) != text {
		t.Fatalf("got %q (%v), not %q", got, err, text)
	}
}

// TestBacklog: what the backend said before a stream is its backlog, and what follows is read.
func TestBacklog(t *testing.T) {
	t.Parallel()
	start(t, 8, nil, func(w *world) {
		device := <-w.devices
		say(t, device, "boot")
		synctest.Wait()
		alice := w.stream()
		say(t, device, " login")
		if got := string(alice.Backlog()); got != "boot" {
			t.Errorf("the backlog is %q", got)
		}
		hears(t, alice, " login")
		if !alice.Kept() {
			t.Error("a stream closes the backend")
		}
		_ = alice.Close()
		say(t, device, ": ")
		synctest.Wait()
		bob := w.stream()
		if got := string(bob.Backlog()); got != " login: "[:8] {
			t.Errorf("the backlog is %q", got)
		}
		if _, err := w.Open(w.Context()); err == nil {
			t.Error("two streams at once")
		}
		go say(t, bob, "bob\n")
		hears(t, device, "bob\n")
		_ = bob.Close()
		synctest.Wait()
		if got := w.record.String(); got != "boot login: " {
			t.Errorf("recorded is %q", got)
		}
	})
	start(t, 0, nil, func(w *world) {
		say(t, <-w.devices, "secret")
		synctest.Wait()
		if s := w.stream(); len(s.Backlog()) > 0 {
			t.Errorf("the backlog is %q", s.Backlog())
		}
	})
}

// TestNoGap: backlog and what follows have every byte once, whenever a stream begins.
func TestNoGap(t *testing.T) {
	t.Parallel()
	near, far := net.Pipe()
	k := New(Options{Open: func(context.Context) (io.ReadWriteCloser, error) { return near, nil }, Backlog: 1 << 10})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { k.Run(ctx) })
	running.Go(func() {
		for n := uint32(0); ctx.Err() == nil; {
			p := make([]byte, 4*(1+rand.IntN(64)))
			for i := 0; i < len(p); i += 4 {
				copy(p[i:], []byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
				n++
			}
			if _, err := far.Write(p); err != nil {
				return
			}
		}
	})
	for range 300 {
		s, err := k.Open(ctx)
		if err != nil {
			t.Fatal(err)
		}
		all := io.MultiReader(bytes.NewReader(s.(*stream).Backlog()), s)
		got := make([]byte, 2<<10)
		if _, err := io.ReadFull(all, got); err != nil {
			t.Fatal(err)
		}
		for i := 4; i < len(got); i += 4 {
			if before, n := number(got[i-4:]), number(got[i:]); n != before+1 {
				t.Fatalf("%d follows %d at byte %d", n, before, i)
			}
		}
		_ = s.Close()
	}
	cancel()
	_ = far.Close()
	running.Wait()
}

func number(p []byte) uint32 {
	return uint32(p[0])<<24 | uint32(p[1])<<16 | uint32(p[2])<<8 | uint32(p[3])
}

// TestClientThatTakesNothing: the record goes on after 5 s, and the stream fails.
func TestClientThatTakesNothing(t *testing.T) {
	t.Parallel()
	start(t, 64, nil, func(w *world) {
		device, alice, began := <-w.devices, w.stream(), time.Now()
		say(t, device, "one ")
		say(t, device, "two ") // is taken when the Keeper waits no longer
		if waited := time.Since(began); waited != 5*time.Second {
			t.Errorf("waited %v", waited)
		}
		select {
		case <-alice.Late():
		default:
			t.Error("the stream goes on")
		}
		if n, err := alice.Read(make([]byte, 9)); n != 0 || !errors.Is(err, joint.ErrLate) {
			t.Error(n, err)
		}
		if _, err := alice.Write([]byte("x")); !errors.Is(err, joint.ErrLate) {
			t.Error(err)
		}
		say(t, device, "three")
		_ = alice.Close()
		synctest.Wait()
		if got := string(w.stream().Backlog()); got != "one two three" || w.record.String() != got {
			t.Errorf("the backlog is %q, recorded is %q", got, w.record)
		}
	})
}

// TestAgain: a backend that has ended is opened again, after a growing pause or when a client wants it.
func TestAgain(t *testing.T) {
	t.Parallel()
	start(t, 64, nil, func(w *world) {
		device, alice := <-w.devices, w.stream()
		go func() {
			say(t, device, "last")
			_ = device.Close()
		}()
		hears(t, alice, "last")
		if _, err := alice.Read(make([]byte, 1)); err != io.EOF {
			t.Error(err)
		}
		if _, err := alice.Write([]byte("x")); err != ErrEnded {
			t.Error(err)
		}
		_ = alice.Close()
		w.setDown(errors.New("off"))
		time.Sleep(minPause)
		synctest.Wait()
		if _, err := w.Open(w.Context()); !errors.Is(err, ErrDown) || !strings.HasSuffix(err.Error(), "down: off") {
			t.Error(err)
		}
		synctest.Wait()
		w.setDown(nil)
		bob := w.stream() // at once
		if got := string(bob.Backlog()); got != "last" {
			t.Errorf("the backlog is %q", got)
		}
		_ = bob.Close()
		synctest.Wait()
		want := `level=INFO msg="the backend is open"
level=WARN msg="the backend is down: it is opened again" error=EOF in=1s
level=WARN msg="the backend is down: it is opened again" error=off in=2s
level=INFO msg="the backend is open"
`
		if got := w.told.String(); got != want {
			t.Errorf("told:\n%s", got)
		}
	})
	start(t, 0, errors.New("off"), func(w *world) {
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if got := strings.Count(w.told.String(), "\n"); got != 7 || !strings.Contains(w.told.String(), "in=1m0s") {
			t.Errorf("told:\n%s", w.told)
		}
	})
}

// TestStuckWrite: no byte of a client reaches the backend after its stream.
func TestStuckWrite(t *testing.T) {
	t.Parallel()
	start(t, 0, nil, func(w *world) {
		device, alice := <-w.devices, w.stream()
		failed := make(chan error)
		go func() {
			_, err := alice.Write([]byte("rm -rf /"))
			failed <- err
		}()
		synctest.Wait()
		go func() { _ = alice.Close() }()
		if err := <-failed; err == nil {
			t.Error("the backend got it later")
		}
		if _, err := device.Read(make([]byte, 1)); err != io.EOF {
			t.Error(err)
		}
		synctest.Wait()
		if !strings.Contains(w.told.String(), "the backend takes nothing") {
			t.Errorf("told:\n%s", w.told)
		}
	})
}

// tty is a serial line.
type tty struct {
	net.Conn
	lines *[]string
}

func (l tty) SetLine(speed int, form string) error {
	*l.lines = append(*l.lines, fmt.Sprint(speed, " ", form))
	return nil
}

// TestLine: a serial line gets its speed again after the stream that has changed it.
func TestLine(t *testing.T) {
	t.Parallel()
	start(t, 0, nil, func(w *world) {
		var lines []string
		w.options.Speed, w.options.Form = 115200, "8N1"
		for range 2 {
			s := w.stream()
			s.conn = tty{s.conn.(net.Conn), &lines}
			if err := s.SetLine(9600, "7E1"); err != nil || s.SetWindow(1, 1) != nil || s.Break() != nil {
				t.Error(err)
			}
			_ = s.Close()
			s = w.stream()
			s.conn = tty{s.conn.(net.Conn), &lines}
			_ = s.Close()
		}
		if got := strings.Join(lines, ", "); got != "9600 7E1, 115200 8N1, 9600 7E1, 115200 8N1" {
			t.Error(got)
		}
	})
}
