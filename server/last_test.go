package server_test

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/server"
)

// stat logs in without asking for the seat, and returns what the server says of it.
func (w world) stat() string {
	w.T.Helper()
	c := w.connect().Greeted()
	_, final := c.Challenged("carol")
	c.Send(final + "\r\nc3RhdA==\r\n")
	reply, _, err := protocol.ReadReply(c.In)
	if err == nil {
		reply, _, err = protocol.ReadReply(c.In)
	}
	if end := c.Line(); err != nil || reply.Code != protocol.CodeDone || end != "EOF" {
		w.T.Fatalf("%v, %v, %s", reply, err, end)
	}
	_ = c.Close()
	return reply.Text
}

func (w world) isIdle(seconds string) {
	w.T.Helper()
	if got := w.stat(); !strings.Contains(got, "\nidle "+seconds+"\n") {
		w.T.Fatalf("%q, want idle %s", got, seconds)
	}
}

// The holder of the seat is idle since its last request, NOOP excluded, came or was answered, and in a stream since
// the last byte.
func TestIdle(t *testing.T) {
	t.Parallel()
	var release chan struct{}
	var backend chan net.Conn
	inSyntheticTime(t, func(s *server.Server) {
		release, backend = make(chan struct{}, 1), make(chan net.Conn, 1)
		s.Handler = blocking(release)
		s.Backend = func(context.Context, *server.Request) (io.ReadWriteCloser, error) {
			ours, theirs := net.Pipe()
			backend <- theirs
			return ours, nil
		}
	}, func(w world) {
		alice := w.connect().Seated("alice")
		time.Sleep(7 * time.Second)
		w.isIdle("7")
		alice.Ask("NOOP")
		w.isIdle("7")
		alice.Ask("WHOAMI")
		w.isIdle("0")
		time.Sleep(4 * time.Second)
		alice.Send("BLOCK\r\n")
		time.Sleep(5 * time.Second)
		w.isIdle("5")
		release <- struct{}{}
		alice.Line()
		w.isIdle("0")
		time.Sleep(3 * time.Second)
		alice.Ask("OPEN")
		w.isIdle("0")
		time.Sleep(2 * time.Second)
		w.isIdle("2")
		go func() { _, _ = (<-backend).Write([]byte("x")) }()
		alice.Bytes(1)
		w.isIdle("0")
	})
}

// busyUsers are users of whom one look-up, if it is armed, waits.
type busyUsers struct {
	server.Users
	armed   bool
	release chan struct{}
}

func (u *busyUsers) Lookup(name string) (scram.Verifier, bool, error) {
	if u.armed {
		u.armed = false
		<-u.release
	}
	return u.Users.Lookup(name)
}

// A server that drains tells nothing of its seat.
func TestStatWhileDraining(t *testing.T) {
	t.Parallel()
	var users *busyUsers
	inSyntheticTime(t, func(s *server.Server) {
		users = &busyUsers{Users: s.Users, release: make(chan struct{})}
		s.Users = users
	}, func(w world) {
		c := w.connect().Greeted()
		_, final := c.Challenged("carol")
		users.armed = true
		c.Send(final + "\r\nc3RhdA==\r\n")
		synctest.Wait() // the proof is good, and its user is looked up again
		go func() { _ = w.Server.Shutdown(context.Background()) }()
		synctest.Wait()
		close(users.release)
		for _, want := range []string{"334 ", "421 shutdown "} {
			if got := c.Line(); !strings.HasPrefix(got, want) {
				w.T.Fatalf("%q, want %q", got, want)
			}
		}
		if stat := w.Log.Records("stat"); len(stat) > 0 {
			w.T.Fatalf("%v", stat)
		}
	})
}
