package server_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// One timer serves all connections, whichever of them is due first.
func TestDeadlinesOfManyConnections(t *testing.T) {
	t.Parallel()
	inSyntheticTime(t, nil, func(w world) {
		w.connect().Seated("alice") // who has a quarter of an hour for her next request
		waited := make(chan time.Duration, 4)
		for _, later := range []time.Duration{0, 3 * time.Second, 1, 13 * time.Second} {
			time.Sleep(later)
			began, c := time.Now(), w.connect().Greeted()
			go func() {
				c.Line()
				waited <- time.Since(began)
			}()
		}
		for range cap(waited) {
			if got := <-waited; got != 10*time.Second {
				w.T.Fatalf("a stranger was sent away after %v, not 10 s", got)
			}
		}
		if !w.Server.Evict() {
			w.T.Fatalf("alice has lost her seat")
		}
	})
}

// A connection that is being closed goes on taking what its client still sends, though the server
// calls all connections meanwhile.
func TestShutdownDoesNotCutTheDrain(t *testing.T) {
	t.Parallel()
	inSyntheticTime(t, nil, func(w world) {
		c := w.connect().Seated("alice")
		if got := c.Ask("QUIT"); got != "221 bye" {
			w.T.Fatalf("%q", got)
		}
		c.Line() // takes the close_notify
		synctest.Wait()
		go func() { _ = w.Server.Shutdown(context.Background()) }()
		for range 9 {
			time.Sleep(100 * time.Millisecond)
			if _, err := c.Write([]byte("NOOP\r\n")); err != nil {
				w.T.Fatalf("cut off: %v", err)
			}
		}
		time.Sleep(200 * time.Millisecond)
		if _, err := c.Write([]byte("NOOP\r\n")); err == nil {
			w.T.Fatalf("a drain without an end")
		}
	})
}
