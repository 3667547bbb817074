package control_test

import (
	"context"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/server/audit"
	"github.com/sallyport/sallyport/server/control"
	"github.com/sallyport/sallyport/specs/harness"
)

// soon is how long an answer may take, whatever the seat does.
const soon = 100 * time.Millisecond

// busy is a server whose seat alice has.
type busy struct {
	*harness.H
	control *control.Client
	alice   *harness.Conn
	log     *testserver.Log
	release chan struct{} // closed to let go what is stuck
	stuck   atomic.Bool   // the next write of the log is stuck
}

// chatter is a backend that always has something to say.
type chatter struct{ ended chan struct{} }

func (c chatter) Read(p []byte) (int, error) {
	select {
	case <-c.ended:
		return 0, io.EOF
	case <-time.After(time.Millisecond):
		return copy(p, "chatter\r\n"), nil
	}
}

func (c chatter) Write(p []byte) (int, error) { return len(p), nil }
func (c chatter) Close() error                { close(c.ended); return nil }

// start starts a server, gives alice the seat, and does with it what the state says.
func start(t testing.TB, state string) *busy {
	b := &busy{log: &testserver.Log{}, release: make(chan struct{})}
	b.H = harness.Start(t, func(s *server.Server) {
		m := s.Stock()
		m.HandleFunc("STUCK", func(context.Context, *server.Request) (protocol.Reply, error) {
			<-b.release
			return protocol.Reply{}, nil
		})
		s.Handler, s.Audit = m, audit.New(b, audit.Options{})
		s.Backend = func(context.Context, *server.Request) (io.ReadWriteCloser, error) {
			return chatter{make(chan struct{})}, nil
		}
	})
	t.Cleanup(func() { close(b.release) })
	b.control = serve(t, &control.Server{Seat: b.Server.Server, Audit: b.Audit})
	b.alice = b.Connect(t.Context()).Seated("alice")
	states[state](t, b)
	return b
}

// Write writes the log.
func (b *busy) Write(p []byte) (int, error) {
	if b.stuck.Load() {
		<-b.release
	}
	return b.log.Write(p)
}

// states are what a seat can do.
var states = map[string]func(testing.TB, *busy){
	"idle": func(testing.TB, *busy) {},
	"stuck-handler": func(t testing.TB, b *busy) {
		b.alice.Send("STUCK\r\n")
		b.until(t, func(s control.Status) bool { return s.Holder.Running == "STUCK" })
	},
	"stream": func(t testing.TB, b *busy) {
		if line := b.alice.Ask("STREAM"); line != "152 stream" {
			t.Fatal(line)
		}
	},
	"unread": func(t testing.TB, b *busy) {
		const request = "BODY 1048576 ECHO\r\n"
		go b.alice.Write([]byte(strings.Repeat(request+strings.Repeat("x", 1<<20), 16)))
		b.until(t, func(s control.Status) bool { return s.Holder.Requests > 0 })
	},
	"full-disk": func(t testing.TB, b *busy) {
		b.log.Fail(syscall.ENOSPC)
		b.alice.Send("ECHO lost\r\n")
		b.until(t, func(s control.Status) bool { return s.Log.Failing })
	},
	"stuck-disk": func(t testing.TB, b *busy) {
		b.stuck.Store(true)
		b.alice.Send("ECHO stuck\r\n")
		b.until(t, func(s control.Status) bool { return s.Log.Stuck > 0 })
	},
}

// until waits for a status.
func (b *busy) until(t testing.TB, reached func(control.Status) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		s, err := b.control.Status(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if s.Holder == nil && !s.Log.Failing {
			t.Fatalf("alice has lost the seat: %+v", s)
		}
		if reached(s) {
			return
		}
	}
}

// The operator sees and frees the seat whatever it does. A handler that ignores its context keeps the seat, and a stuck
// disk does so too, because the eviction must be on record first.
func TestSeatCanBeSeenAndFreed(t *testing.T) {
	t.Parallel()
	for state := range states {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			b := start(t, state)
			s, err := b.control.Status(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if state == "full-disk" {
				return // the server has ended the session: 421 log-failed
			}
			if s.Holder == nil || s.Holder.User != "alice" || s.Holder.Remote != b.alice.LocalAddr().String() {
				t.Errorf("%+v", s.Holder)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			gone, err := b.control.Evict(ctx, control.Eviction{Reason: "lunch"})
			if err != nil || len(gone.Evicted) != 1 || gone.Evicted[0].User != "alice" {
				t.Fatalf("%+v, %v", gone, err)
			}
			if state == "stuck-handler" || state == "stuck-disk" {
				return
			}
			for s.Holder != nil {
				if s, err = b.control.Status(ctx); err != nil {
					t.Fatal(err)
				}
			}
			b.hearsWhy(t, state)
		})
	}
}

// hearsWhy checks that alice hears by whom she is evicted and why.
func (b *busy) hearsWhy(t *testing.T, state string) {
	t.Helper()
	all, err := io.ReadAll(b.alice)
	want := "421 evicted lunch (operator " + me(t) + ")\r\n"
	if state == "unread" {
		return // what was written is all that it can get
	}
	if !strings.HasSuffix(string(all), want) {
		t.Errorf("%v: %.200q", err, all[max(0, len(all)-200):])
	}
}

// BenchmarkStatus measures an answer on the socket, and fails if half of the answers take longer than 100 ms.
func BenchmarkStatus(b *testing.B) {
	for state := range states {
		b.Run("seat="+state, func(b *testing.B) {
			h := start(b, state)
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				if _, err := h.control.Status(b.Context()); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			half, slowest := took[len(took)/2], took[len(took)-1]
			b.ReportMetric(slowest.Seconds()*1e3, "max-ms")
			if half > soon {
				b.Fatalf("half of the answers take longer than %v: %v", soon, half)
			}
		})
	}
}
