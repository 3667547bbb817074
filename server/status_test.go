package server_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/server/audit"
	"github.com/sallyport/sallyport/specs/harness"
)

// names returns the users of clients.
func names(clients []server.Client) (all []string) {
	for _, c := range clients {
		all = append(all, c.User)
	}
	return all
}

// The status names who has the seat, what runs, who waits, and how many have not logged in.
func TestStatus(t *testing.T) {
	t.Parallel()
	stuck := make(chan struct{})
	inSyntheticTime(t, func(s *server.Server) {
		stuck = make(chan struct{})
		s.Handler = server.HandlerFunc(func(context.Context, *server.Request) (protocol.Reply, error) {
			<-stuck
			return protocol.Reply{}, nil
		})
	}, func(w world) {
		began := time.Now()
		want := server.Status{Started: began, Admission: "queue"}
		look := func() {
			w.T.Helper()
			if diff := cmp.Diff(want, w.Server.Status()); diff != "" {
				w.T.Fatalf("%s", diff)
			}
		}
		look()
		alice := w.connect().Seated("alice")
		time.Sleep(time.Minute)
		alice.Ask("WHOAMI")
		alice.Ask("NOOP")
		holder := server.Client{User: "alice", Remote: "pipe", Since: began, Active: began.Add(time.Minute), Requests: 2}
		holder.Conn = w.Log.Records("session.open")[0].Str("conn")
		want.Holder, want.Served = &holder, 1
		look()
		time.Sleep(time.Second)
		alice.Send("BLOCK\r\n")
		bob := w.connect().Greeted().LogIn("bob", "")
		bob.Line() // 120
		w.connect().Greeted()
		synctest.Wait()
		want.Waiting = []server.Client{{User: "bob", Conn: w.Log.Records("queue.enter")[0].Str("conn"), Remote: "pipe", Since: began.Add(61 * time.Second)}}
		want.Lobby, holder.Running, holder.Active = 1, "BLOCK", began.Add(61*time.Second)
		look()
		if _, err := w.Server.Evict(nil, "the test", ""); err != nil {
			w.T.Fatalf("%v", err)
		}
		look() // the handler goes on
		close(stuck)
		bob.Line() // 235
		want.Holder = &want.Waiting[0]
		want.Holder.Active, want.Holder.Since = want.Holder.Since, time.Now()
		want.Holder.Active, want.Waiting, want.Served = time.Now(), nil, 2
		look()
	})
}

// blockedDisk is a disk on which the log can't be written, and on which writers wait, until it is freed.
type blockedDisk struct{ entered, freed chan struct{} }

func (d blockedDisk) Write(p []byte) (int, error) {
	select {
	case d.entered <- struct{}{}:
	default:
	}
	<-d.freed
	return len(p), nil
}

// A log disk that is stuck delays everybody but the operator who looks.
func TestStatusOnAStuckDisk(t *testing.T) {
	t.Parallel()
	disk := blockedDisk{make(chan struct{}, 1), make(chan struct{})}
	h := harness.StartOn(t, func(s *server.Server) {
		s.TLSConfig, s.Audit = certified(), audit.New(disk, audit.Options{})
	}, func(l net.Listener) net.Listener { return l })
	defer close(disk.freed)
	<-disk.entered // server.start
	looked := make(chan server.Status)
	go func() { looked <- h.Server.Status() }()
	select {
	case now := <-looked:
		if now.Holder != nil {
			t.Fatal(now)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the status waits for the disk")
	}
}

// The operator can evict one client that waits, or all of a user's, and each learns why.
func TestEvictChosenClients(t *testing.T) {
	t.Parallel()
	inSyntheticTime(t, func(s *server.Server) { s.Admission = server.Queue{PerUser: 3} }, func(w world) {
		_, err := w.Server.Evict(nil, "the test", "")
		if !errors.Is(err, server.ErrNobodySeated) {
			w.T.Fatalf("%v", err)
		}
		alice := w.connect().Seated("alice")
		go func() { _, _ = io.Copy(io.Discard, alice.In) }() // her notices
		var waiting []*harness.Conn
		for _, name := range []string{"bob", "carol", "bob"} {
			c := w.connect().Greeted().LogIn(name, "")
			c.Line() // 120
			waiting = append(waiting, c)
		}
		bobs := func(c server.Client) bool { return c.User == "bob" }
		evicted, err := w.Server.Evict(bobs, "the test", "no bobs today")
		if !slices.Equal(names(evicted), []string{"bob", "bob"}) || err != nil {
			w.T.Fatalf("%v, %v", evicted, err)
		}
		for _, i := range []int{0, 2} {
			line := waiting[i].Line()
			for strings.HasPrefix(line, "120 ") { // the other bob may have left before
				line = waiting[i].Line()
			}
			if line != "421 evicted no bobs today" {
				w.T.Fatalf("%q", line)
			}
		}
		synctest.Wait()
		var whom []string
		for _, r := range w.Log.Records("operator") {
			whom = append(whom, r.Str("whom")+" "+r.Str("by"))
		}
		if want := []string{evicted[0].Conn + " the test", evicted[1].Conn + " the test"}; !slices.Equal(whom, want) {
			w.T.Fatalf("%v", whom)
		}
		if again, err := w.Server.Evict(bobs, "the test", ""); len(again) != 0 || err != nil {
			w.T.Fatalf("%v, %v", again, err)
		}
		if now := w.Server.Status(); now.Holder.User != "alice" || !slices.Equal(names(now.Waiting), []string{"carol"}) {
			w.T.Fatalf("%v", now)
		}
	})
}

// A login that Approve refuses differs from one with a wrong password only in the log, and counts like it.
func TestApprove(t *testing.T) {
	t.Parallel()
	var asked []string
	inSyntheticTime(t, func(s *server.Server) {
		s.Limits.FailedLogins, asked = 3, nil
		s.Approve = func(user string, state tls.ConnectionState) error {
			asked = append(asked, fmt.Sprint(user, " ", state.HandshakeComplete))
			return map[string]error{"bob": errors.New("a certificate of alice")}[user]
		}
	}, func(w world) {
		for _, wrong := range []bool{true, false, true, false, true, false} {
			c := w.connect().Greeted()
			final := ""
			if wrong {
				final = c.WrongProof(c.Ask("AUTH SCRAM-SHA-256 biwsbj1ib2Iscj1ub25jZQ=="))
			} else {
				_, final = c.Challenged("bob")
			}
			if line := c.Ask(final); line != "535 login-failed authentication failed" {
				w.T.Fatalf("wrong password %t: %q", wrong, line)
			}
		}
		c := w.connect().Greeted()
		if line := c.Ask("AUTH SCRAM-SHA-256 biwsbj1ib2Iscj1ub25jZQ=="); !strings.HasPrefix(line, "421 throttled ") {
			w.T.Fatalf("%q", line)
		}
		time.Sleep(time.Minute)
		w.connect().Seated("alice").Ask("QUIT")
		synctest.Wait()
		var reasons []string
		for _, r := range w.Log.Records("login.fail") {
			reasons = append(reasons, r.Str("user")+" "+r.Str("reason"))
		}
		wrong, refused := "bob wrong-proof", "bob certificate"
		want := []string{wrong, refused, wrong, refused, wrong, refused, "bob throttled"}
		if diff := cmp.Diff(want, reasons); diff != "" {
			w.T.Fatalf("%s", diff)
		}
		if diff := cmp.Diff([]string{"bob true", "bob true", "bob true", "alice true"}, asked); diff != "" {
			w.T.Fatalf("%s", diff)
		}
	})
}

// HELP has a line for each verb, with its summary if it has one.
func TestSummaries(t *testing.T) {
	t.Parallel()
	nothing := func(context.Context, *server.Request) (protocol.Reply, error) { return protocol.Reply{}, nil }
	m := &server.Mux{}
	m.HandleFunc("PLAIN", nothing)
	m.HandleFunc("KIND", nothing)
	m.Summary("KIND", "is kind")
	for verb, text := range map[string]string{"PLAIN": "two\nlines", "NONE": "has no handler"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s can have the summary %q", verb, text)
				}
			}()
			m.Summary(verb, text)
		}()
	}
	inSyntheticTime(t, func(s *server.Server) { s.Handler = m }, func(w world) {
		alice := w.connect().Seated("alice")
		alice.Send("HELP\r\n")
		reply, _, err := protocol.ReadReply(alice.In)
		lines := strings.Split(reply.Text, "\n")
		if err != nil || len(lines) != 6 || !slices.Contains(lines, "KIND is kind") || !slices.Contains(lines, "PLAIN") {
			w.T.Fatalf("%q, %v", lines, err)
		}
	})
}
