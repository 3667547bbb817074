package control_test

import (
	"context"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"testing"
	"time"

	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/server/audit"
	"github.com/sallyport/sallyport/server/control"
)

// seat is a Seat with a status of the test's.
type seat struct {
	status  server.Status
	evicted func(by, reason string)
}

func (s seat) Status() server.Status { return s.status }

func (s seat) Evict(who func(server.Client) bool, by, reason string) (gone []server.Client, err error) {
	all := s.status.Waiting
	if s.status.Holder != nil {
		all = append(all, *s.status.Holder)
	}
	for _, c := range all {
		if who == nil && c == *s.status.Holder || who != nil && who(c) {
			gone = append(gone, c)
		}
	}
	if s.status.Holder == nil && who == nil {
		return nil, server.ErrNobodySeated
	}
	if len(gone) > 0 {
		s.evicted(by, reason)
	}
	return gone, nil
}

var started = time.Now().Add(-time.Hour)

func client(user, conn string) server.Client {
	return server.Client{User: user, Conn: conn, Remote: "192.0.2.7:1", Since: started.Add(time.Minute)}
}

// taken is a seat that alice has, and for which bob and carol wait.
func taken() server.Status {
	alice := client("alice", "x-1")
	alice.Active, alice.Requests, alice.Running = started, 17, "ECHO"
	return server.Status{
		Started: started, Admission: "queue", Holder: &alice,
		Waiting: []server.Client{client("bob", "x-2"), client("carol", "x-3")}, Lobby: 3, Penalised: 2, Served: 9,
	}
}

// serve serves s on a socket, and returns a client.
func serve(t testing.TB, s *control.Server) *control.Client {
	t.Helper()
	dir, err := os.MkdirTemp("", "c") // T.TempDir may have too long a path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if s.Audit == nil {
		s.Audit = audit.New(io.Discard, audit.Options{})
	}
	path := filepath.Join(dir, "control.sock")
	l, err := control.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(ctx, l) }()
	t.Cleanup(func() { cancel(); <-done })
	return &control.Client{Path: path}
}

// me is the name of the user who runs the test.
func me(t testing.TB) string {
	t.Helper()
	u, err := user.Current()
	if err != nil {
		t.Skip(err)
	}
	return u.Username
}
