package server_test

import (
	"context"
	"testing"
	"time"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/server"
)

// warning is the notice of the default idle limit.
const warning = "150 idle for 14m: this session ends in 1m unless you do something"

// The holder is warned once before each end, and again if it was active in between. The notice itself is no activity.
func TestHolderIsAskedFirst(t *testing.T) {
	t.Parallel()
	inSyntheticTime(t, nil, func(w world) {
		alice := w.connect().Seated("alice")
		began := time.Now()
		w.within(alice, began, 14*time.Minute, warning)
		expect(w, alice, "NOOP\r\n", "250 ok") // is no activity: there is no second warning
		time.Sleep(30 * time.Second)
		expect(w, alice, "WHOAMI\r\n", "250 alice")
		began = time.Now()
		w.within(alice, began, 14*time.Minute, warning)
		w.within(alice, began, 15*time.Minute, "421 idle ")
	})
	inSyntheticTime(t, nil, func(w world) {
		alice := w.connect()
		alice.Conn = generic(w) // knows no notices
		alice.Seated("alice")
		w.within(alice, time.Now(), 15*time.Minute, "421 idle ")
	})
}

// Also while a request runs the holder is warned of the end of its session. A request that runs is not idle.
func TestWarningWhileARequestRuns(t *testing.T) {
	t.Parallel()
	inSyntheticTime(t, func(s *server.Server) {
		s.Limits.Request, s.Limits.Session = -1, time.Hour
		s.Handler = server.HandlerFunc(func(ctx context.Context, _ *server.Request) (protocol.Reply, error) {
			<-ctx.Done()
			return protocol.Reply{Text: "cancelled"}, nil
		})
	}, func(w world) {
		alice := w.connect().Seated("alice")
		began := time.Now()
		alice.Send("BLOCK\r\n")
		w.within(alice, began, 59*time.Minute, "150 this session ends in 1m: one may last 1h")
		w.within(alice, began, time.Hour, "250 cancelled")
		w.within(alice, began, time.Hour, "421 session-limit ")
	})
}

// Half of a short limit is the time to do something.
func TestWarningOfAShortLimit(t *testing.T) {
	t.Parallel()
	inSyntheticTime(t, func(s *server.Server) { s.Limits.Idle = 30 * time.Second }, func(w world) {
		alice := w.connect().Seated("alice")
		began := time.Now()
		w.within(alice, began, 15*time.Second, "150 idle for 15s: this session ends in 15s unless you do something")
		w.within(alice, began, 30*time.Second, "421 idle ")
	})
}
