package server_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/server/audit"
	"github.com/sallyport/sallyport/server/lobby"
	"github.com/sallyport/sallyport/specs/harness"
)

// A stuckDisk is a log whose disk gets stuck with a record of a stranger.
type stuckDisk struct {
	stuck atomic.Bool
	freed chan struct{}
	mu    sync.Mutex
	text  bytes.Buffer
}

func (d *stuckDisk) Write(p []byte) (int, error) {
	if d.stuck.Load() {
		<-d.freed
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.text.Write(p)
}

// However slow the disk is, strangers are accepted, and turned away, without it. What was counted meanwhile is
// logged at the latest when the server stops, and once for all of them.
func TestNoDiskInTheAcceptLoop(t *testing.T) {
	t.Parallel()
	disk := &stuckDisk{freed: make(chan struct{})}
	h := harness.Start(t, func(s *server.Server) {
		certify(s)
		s.Audit, s.Limits.LobbyPerSource = audit.New(disk, audit.Options{}), 2
	})
	if err := h.LoggedIn(t.Context(), "alice").Quit(t.Context()); err != nil { // the server's start is on the disk
		t.Fatal(err)
	}
	disk.stuck.Store(true)
	free := sync.OnceFunc(func() {
		disk.stuck.Store(false)
		close(disk.freed)
	})
	t.Cleanup(free) // for the server's end
	ends := make([]byte, 1)
	for range 3 { // the third one drops the first
		first := dial(t, h.Addr)
		defer first.Close()
		for range 2 {
			c := dial(t, h.Addr)
			defer c.Close()
		}
		_ = first.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := first.Read(ends); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("a stranger was not turned away: %v", err)
		}
	}
	free()
	if err := h.Server.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	disk.mu.Lock()
	defer disk.mu.Unlock()
	log := disk.text.String()
	refused, stopped := strings.Index(log, `"conn.refuse","remote":"127.0.0.1","reason":"source-full","count":7,`), strings.Index(log, "server.stop")
	if refused < 0 || refused > stopped || strings.Count(log, "conn.refuse") != 1 {
		t.Errorf("7 strangers were turned away:\n%s", log)
	}
}

// A slowReader holds the first bytes that it has read.
type slowReader struct {
	net.Conn
	once          sync.Once
	reached, free chan struct{}
}

func (r *slowReader) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	r.once.Do(func() { close(r.reached); <-r.free })
	return n, err
}

// Strangers who send nothing drop no client that has sent its ClientHello, however far away it is.
func TestHandshakeStaysAmongStrangers(t *testing.T) {
	t.Parallel()
	h := harness.Start(t, func(s *server.Server) { certify(s); s.Limits.LobbyPerSource = 4 })
	far := &slowReader{Conn: dial(t, h.Addr), reached: make(chan struct{}), free: make(chan struct{})}
	defer far.Close()
	go func() {
		<-far.reached
		for range 20 {
			stranger := dial(t, h.Addr)
			defer stranger.Close()
		}
		for !strings.Contains(h.Log.String(), `"count":`) { // some have made room
			time.Sleep(time.Millisecond)
		}
		close(far.free)
	}()
	greeting := make([]byte, 3)
	if _, err := tls.Client(far, &tls.Config{InsecureSkipVerify: true}).Read(greeting); err != nil || string(greeting) != "220" {
		t.Errorf("%q, %v", greeting, err)
	}
}

// A slowUsers holds the second lookup, which comes between the proof and the seat.
type slowUsers struct {
	server.Users
	lookups       atomic.Int32
	reached, free chan struct{}
}

func (u *slowUsers) Lookup(name string) (scram.Verifier, bool, error) {
	if name == "alice" && u.lookups.Add(1) == 2 {
		close(u.reached)
		<-u.free
	}
	return u.Users.Lookup(name)
}

// A client that makes room at the last moment of its login is gone. It must not take the seat from another.
func TestDroppedClientGetsNoSeat(t *testing.T) {
	t.Parallel()
	users := &slowUsers{reached: make(chan struct{}), free: make(chan struct{})}
	h := harness.Start(t, func(s *server.Server) {
		certify(s)
		users.Users, s.Users = s.Users, users
		s.Admission, s.Limits.LobbyPerSource = server.Takeover{}, 1
	})
	bob := h.LoggedIn(t.Context(), "bob")
	alice := h.Connect(t.Context()).Greeted()
	_, final := alice.Challenged("alice")
	alice.Send(final + "\r\n\r\n")
	<-users.reached
	stranger := dial(t, h.Addr)
	defer stranger.Close()
	if line := alice.Line(); strings.HasPrefix(line, "334") {
		t.Fatal(line)
	}
	close(users.free)
	for len(h.Log.Records("conn.close")) == 0 {
		time.Sleep(time.Millisecond)
	}
	if why := h.Log.Records("conn.close")[0].Str("reason"); why != lobby.SourceFull {
		t.Errorf("alice was closed for %q", why)
	}
	if _, err := bob.Do(t.Context(), harness.Ask("WHOAMI", "")); err != nil {
		t.Errorf("bob has lost the seat: %v", err)
	}
}
