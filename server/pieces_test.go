package server_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/specs/harness"
)

// streaming runs a test of a client in a STREAM. The device is the other end of its backend.
func streaming(t *testing.T, configure func(*server.Server), test func(w world, alice *harness.Conn, device net.Conn)) {
	t.Helper()
	devices := make(chan net.Conn, 10)
	inSyntheticTime(t, func(s *server.Server) {
		s.Backend = func(_ context.Context, r *server.Request) (io.ReadWriteCloser, error) {
			if r.User != "alice" || r.Conn == "" {
				return nil, errors.New("the backend isn't told for whom it is")
			}
			ours, theirs := net.Pipe()
			devices <- theirs
			return ours, nil
		}
		if configure != nil {
			configure(s)
		}
	}, func(w world) {
		alice := w.connect().Seated("alice")
		expect(w, alice, "STREAM\r\n", "152 stream")
		test(w, alice, <-devices)
	})
}

// expect sends what the client says, and reads what it must hear: lines, and the beginnings of lines that end in "…".
func expect(w world, c *harness.Conn, says string, hears ...string) {
	w.T.Helper()
	if says != "" {
		c.Send(says)
	}
	for _, want := range hears {
		got := c.Line()
		if begin, cut := strings.CutSuffix(want, "…"); got != want && (!cut || !strings.HasPrefix(got, begin)) {
			w.T.Fatalf("the client hears %q, not %q", got, want)
		}
	}
}

func take(w world, device net.Conn, want string) {
	w.T.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(device, got); err != nil || string(got) != want {
		w.T.Fatalf("the device gets %q (%v), not %q", got, err, want)
	}
}

// logged returns event and fields of the records of a session.
func logged(w world, fields ...string) (all []string) {
	synctest.Wait()
	for _, r := range w.Log.Records("stream.open", "stream.data", "request", "stream.close", "session.close") {
		var words []string
		for _, field := range append([]string{"event"}, fields...) {
			if word := r.Str(field); word != "" {
				words = append(words, word)
			}
		}
		all = append(all, strings.Join(words, " "))
	}
	return all
}

func same(w world, got []string, want ...string) {
	w.T.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		w.T.Fatalf("logged:\n%s\nnot\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestStreamIsOneRequest(t *testing.T) {
	t.Parallel()
	streaming(t, func(s *server.Server) { s.LogPayload = true }, func(w world, alice *harness.Conn, device net.Conn) {
		same(w, logged(w, "verb"), "stream.open")
		expect(w, alice, "DATA 2\r\nhi")
		take(w, device, "hi")
		_, _ = io.WriteString(device, "ho\r\n")
		expect(w, alice, "", "151 4", "ho")
		time.Sleep(10 * time.Minute) // longer than the limit of a request
		expect(w, alice, "DATA 0\r\nECHO on\r\n", "151 0", "250 closed 2 4", "250 on")
		expect(w, alice, "STREAM\r\n", "152 stream")
		expect(w, alice, "ABORT\r\nQUIT\r\n", "250 closed 0 0", "221 bye")
		same(w, logged(w, "direction", "data", "verb", "reason"), "stream.open", "stream.data in aGk=", "stream.data out aG8NCg==",
			"stream.close", "request STREAM", "request ECHO", "stream.open", "stream.close", "request STREAM", "request QUIT", "session.close quit")
		if r := w.Log.Records("request")[0]; r["duration"].(float64) < 600 || r["code"] != 250.0 {
			w.T.Fatalf("%v", r)
		}
		if r := w.Log.Records("stream.close")[0]; r["bytes_in"] != 2.0 || r["bytes_out"] != 4.0 {
			w.T.Fatalf("%v", r)
		}
	})
}

// Nothing in a piece is a command, also after the backend has failed.
func TestStreamOfABrokenBackend(t *testing.T) {
	t.Parallel()
	streaming(t, nil, func(w world, alice *harness.Conn, device net.Conn) {
		expect(w, alice, "DATA 17\r\nQUIT\r\n")
		take(w, device, "QUIT\r\n")
		time.Sleep(time.Hour / 5)
		_ = device.Close()
		expect(w, alice, "", "151 0")
		expect(w, alice, "BODY 9 ECHO", "554 failed…")
		time.Sleep(time.Minute)
		expect(w, alice, "DATA 6\r\nQUIT\r\nPING\r\nDATA 13\r\nBODY 9 ECHO\r\nDATA 0\r\nABORT\r\nPING\r\nECHO on\r\n", "250 on")
		same(w, logged(w, "verb", "keyword"), "stream.open", "stream.close", "request STREAM failed", "request ECHO")
	})
	streaming(t, nil, func(w world, alice *harness.Conn, device net.Conn) {
		_ = device.Close()
		expect(w, alice, "DATA 1\r\nx", "151 0", "554 failed…")
		expect(w, alice, "DATA 6\r\nECHO x\r\nQUIT\r\n", "503 sequence…", "EOF")
		same(w, logged(w, "verb", "keyword", "reason"), "stream.open", "stream.close", "request STREAM failed", "request sequence", "session.close sequence")
	})
}

func TestStreamMistakes(t *testing.T) {
	t.Parallel()
	for says, hears := range map[string]string{
		"QUIT\r\n": "503 sequence…", "DATA 65537\r\n": "501 argument…", "DATA 0\x01\r\n": "500 syntax…",
		strings.Repeat("x", 8192): "500 line-too-long…",
	} {
		streaming(t, nil, func(w world, alice *harness.Conn, device net.Conn) {
			expect(w, alice, says, hears, "EOF")
			_, keyword, _ := strings.Cut(strings.TrimSuffix(hears, "…"), " ")
			same(w, logged(w, "verb", "keyword", "reason"), "stream.open", "stream.close", "request STREAM "+keyword, "session.close "+keyword)
			if n, err := device.Read(make([]byte, 1)); n > 0 || err == nil {
				w.T.Fatalf("%v", "the backend is still open")
			}
		})
	}
}

// Outside a stream its lines are ignored, are no activity, and DATA ends the connection.
func TestStreamLinesOutside(t *testing.T) {
	t.Parallel()
	inSyntheticTime(t, nil, func(w world) {
		alice := w.connect().Seated("alice")
		began := time.Now()
		time.Sleep(13 * time.Minute)
		expect(w, alice, "NOOP\r\nPING\r\nPING ACTIVE\r\nABORT\r\nBREAK\r\nLINE\r\nWINDOW 80 24\r\nNOOP\r\n", "250 ok", "250 ok")
		w.within(alice, began, 14*time.Minute, "150 idle for 14m: ")
		w.within(alice, began, 15*time.Minute, "421 idle ")
	})
	inSyntheticTime(t, nil, func(w world) {
		alice := w.connect().Seated("alice")
		expect(w, alice, "STREAM\r\nBODY 2 PING\r\nhiDATA 5\r\nECHO x\r\n", "500 unknown-command…", "500 unknown-command…", "503 sequence…", "EOF")
		same(w, logged(w, "verb", "keyword", "reason"), "request unknown-command", "request PING unknown-command",
			"request DATA sequence", "session.close sequence")
	})
}

func TestStreamForm(t *testing.T) {
	t.Parallel()
	broken := errors.New("an inner secret")
	inSyntheticTime(t, func(s *server.Server) {
		s.Backend = func(context.Context, *server.Request) (io.ReadWriteCloser, error) { return nil, broken }
	}, func(w world) {
		alice := w.connect().Seated("alice")
		expect(w, alice, "STREAM now\r\n", "501 argument…")
		expect(w, alice, "BODY 6 STREAM\r\nDATA 0", "501 argument…")
		expect(w, alice, "STREAM\r\n", "554 failed the request failed")
		expect(w, alice, "ECHO on\r\n", "250 on")
	})
}

func TestStreamIsIdle(t *testing.T) {
	t.Parallel()
	streaming(t, nil, func(w world, alice *harness.Conn, device net.Conn) {
		expect(w, alice, "DATA 1\r\nx")
		take(w, device, "x")
		const notice = "150 idle for 14m: this session ends in 1m unless you do something"
		time.Sleep(14*time.Minute + time.Second)
		expect(w, alice, "", notice)
		_, _ = io.WriteString(device, "y\r\n")
		expect(w, alice, "", "151 3", "y")
		time.Sleep(14*time.Minute + time.Second)
		expect(w, alice, "PING ACTIVE\r\n", notice, "153 1")
		began := time.Now()
		w.within(alice, began, 14*time.Minute, notice)
		expect(w, alice, "PING\r\n", "153 1")
		w.within(alice, began, 15*time.Minute, "421 idle ")
		same(w, logged(w, "verb", "keyword", "reason"), "stream.open", "stream.close", "request STREAM idle", "session.close idle")
	})
	// A client that takes nothing is idle, too. Its connection ends without the 421.
	streaming(t, nil, func(w world, _ *harness.Conn, device net.Conn) {
		began := time.Now()
		for err := error(nil); err == nil; _, err = device.Write(make([]byte, 1<<16)) {
		}
		if took := time.Since(began); took < 15*time.Minute || took > 16*time.Minute {
			w.T.Fatalf("%v", took)
		}
		time.Sleep(time.Minute)
		same(w, logged(w, "verb", "keyword", "reason"), "stream.open", "stream.close", "request STREAM idle", "session.close idle")
	})
}

// A seat is lost by a 421 between two pieces, after what the backend has said.
func TestStreamLosesTheSeat(t *testing.T) {
	t.Parallel()
	for keyword, lose := range map[string]func(*server.Server){
		"evicted":       func(s *server.Server) { _, _ = s.Evict(nil, "the test", "") },
		"session-limit": func(*server.Server) {},
		"shutdown": func(s *server.Server) {
			grace, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			if err := s.Shutdown(grace); !errors.Is(err, context.DeadlineExceeded) {
				panic(err)
			}
			_ = s.Close()
		},
	} {
		streaming(t, func(s *server.Server) { s.Limits.Session = 10 * time.Minute }, func(w world, alice *harness.Conn, device net.Conn) {
			expect(w, alice, "DATA 9\r\nhalf")
			go func() { _, _ = io.WriteString(device, "last words\r\n") }()
			take(w, device, "half")
			go lose(w.Server.Server)
			expect(w, alice, "", "151 12", "last words")
			if keyword == "session-limit" {
				expect(w, alice, "", "150 this session ends in 1m: one may last 10m")
			}
			expect(w, alice, "", "421 "+keyword+"…", "EOF")
			same(w, logged(w, "verb", "keyword", "reason"), "stream.open", "stream.close", "request STREAM "+keyword, "session.close "+keyword)
		})
	}
}

// A stream that ends within the grace period ends well.
func TestStreamAtAShutdown(t *testing.T) {
	t.Parallel()
	streaming(t, nil, func(w world, alice *harness.Conn, _ net.Conn) {
		go func() { _ = w.Server.Shutdown(context.Background()) }()
		time.Sleep(time.Minute)
		expect(w, alice, "PING\r\nDATA 0\r\nECHO on\r\n", "153 0", "151 0", "250 closed 0 0", "421 shutdown…", "EOF")
	})
}

func TestStreamNotices(t *testing.T) {
	t.Parallel()
	streaming(t, nil, func(w world, alice *harness.Conn, _ net.Conn) {
		bob := w.connect().Greeted().LogIn("bob", "")
		expect(w, bob, "", "120 position 1 holder alice")
		expect(w, alice, "", "121 waiting 1")
		if err := w.Server.Say("five minutes left"); err != nil {
			w.T.Fatalf("%v", err)
		}
		expect(w, alice, "", "150 five minutes left")
		_ = bob.Close()
		expect(w, alice, "", "121 waiting 0")
		expect(w, alice, "ABORT\r\n", "250 closed 0 0")
	})
}

// A client that leaves in a stream frees the seat, also behind a command.
func TestStreamIsLeft(t *testing.T) {
	t.Parallel()
	for says, reason := range map[string]string{"": "closed", "DATA 5\r\nab": "closed", "DATA 0\r\n": "closed", "DATA 0\r\nNOOP\r\n": "closed"} {
		streaming(t, func(s *server.Server) {
			inner := s.Backend
			s.Backend = func(ctx context.Context, r *server.Request) (io.ReadWriteCloser, error) {
				b, err := inner(ctx, r)
				return halves{b}, err
			}
		}, func(w world, alice *harness.Conn, device net.Conn) {
			go func() { _, _ = io.Copy(io.Discard, device) }()
			if says != "" {
				alice.Send(says)
			}
			synctest.Wait()
			_ = alice.Conn.Close()
			_ = alice.NetConn().Close()
			same(w, logged(w, "verb", "reason"), "stream.open", "stream.close", "session.close "+reason)
		})
	}
}

// halves is a backend that can end one direction. Its other end does not see it.
type halves struct{ io.ReadWriteCloser }

func (halves) CloseWrite() error { return nil }

// A generic client has no STREAM, and a native one only where there is a backend.
func TestStreamIsOffered(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ backend, native, offered bool }{{true, false, false}, {false, true, false}, {true, true, true}} {
		inSyntheticTime(t, func(s *server.Server) {
			if test.backend {
				s.Backend = func(context.Context, *server.Request) (io.ReadWriteCloser, error) { return nil, errors.New("none") }
			}
		}, func(w world) {
			alice := w.connect()
			if !test.native {
				alice.Conn = generic(w)
			}
			alice.Greeted()
			capabilities := lines(alice, "EHLO x")
			alice.LogIn("alice", "").Line()
			help := lines(alice, "HELP")
			if slices.Contains(capabilities, "STREAM") != test.offered || slices.ContainsFunc(help, isStream) != test.offered {
				w.T.Fatalf("%+v: EHLO %q, HELP %q", test, capabilities, help)
			}
			want := "500 unknown-command…"
			if test.offered {
				want = "554 failed…"
			}
			expect(w, alice, "STREAM\r\n", want)
		})
	}
}

// isStream reports whether a line of HELP is that of STREAM.
func isStream(line string) bool { return strings.HasPrefix(line, "STREAM ") }

// generic returns a connection without ALPN.
func generic(w world) *testserver.Conn {
	ours, theirs := net.Pipe()
	w.l.conns <- theirs
	c, err := testserver.ClientConn(context.Background(), ours, &tls.Config{RootCAs: w.Roots, DynamicRecordSizingDisabled: true})
	if err != nil {
		w.T.Fatalf("%v", err)
	}
	return c
}

// lines returns the texts of a reply.
func lines(c *harness.Conn, ask string) (all []string) {
	for line := c.Ask(ask); len(line) > 4; line = c.Line() {
		if all = append(all, line[4:]); line[3] == ' ' {
			break
		}
	}
	return all
}
