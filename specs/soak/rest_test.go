package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sallyport/sallyport/server/audit"
)

// dialDevice begins a use of the device.
func dialDevice(t *testing.T, d *device, token string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", d.addr())
	if err != nil {
		t.Fatal(err)
	}
	say(t, conn, "USE "+token)
	return conn
}

// say sends a line and awaits its answer.
func say(t *testing.T, conn net.Conn, line string) {
	t.Helper()
	fmt.Fprintln(conn, line)
	if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
}

func TestDeviceDetectsTwoUsers(t *testing.T) {
	d, err := newDevice()
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	first := dialDevice(t, d, "first")
	second := dialDevice(t, d, "second")
	say(t, first, "PING")
	_, overlaps := d.take()
	if len(overlaps) != 1 || overlaps[0].earlier.token != "first" || overlaps[0].later.token != "second" {
		t.Errorf("two users at once: %v", overlaps)
	}
	_ = first.Close()
	say(t, second, "PING")
	_ = second.Close()
	third := dialDevice(t, d, "third") // at once, whether the device's goroutine has seen the end or not
	defer third.Close()
	if _, overlaps := d.take(); len(overlaps) > 0 {
		t.Errorf("one user after the other: %v", overlaps)
	}
}

func TestDeviceEndsAUseWithItsConnection(t *testing.T) {
	d, err := newDevice()
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	for i := range 200 {
		_ = dialDevice(t, d, fmt.Sprint("user-", i)).Close()
	}
	if uses, overlaps := d.take(); len(uses) != 200 || len(overlaps) > 0 {
		t.Errorf("%d uses, overlaps %v", len(uses), overlaps)
	}
}

func TestFlat(t *testing.T) {
	same := sample{20 << 20, 12}
	for _, test := range []struct {
		name string
		last sample
		ok   bool
	}{
		{"the same", same, true},
		{"a little more memory", sample{30 << 20, 12}, true},
		{"much more memory", sample{40 << 20, 12}, false},
		{"more descriptors", sample{20 << 20, 15}, false},
	} {
		if err := flat([]sample{same, same, same, same, test.last, test.last}); (err == nil) != test.ok {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	if few(maxGoroutines) != nil || few(maxGoroutines+1) == nil {
		t.Error("the bound of goroutines")
	}
}

func TestNoPassword(t *testing.T) {
	if noPassword("pw-1 is here", []string{"pw-1"}).err() == nil || noPassword("nothing", []string{"pw-1"}).err() != nil {
		t.Error("a password in the log")
	}
}

// rotated writes a log of three files; the last begins a chain of its own.
func rotated(t *testing.T) []piece {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.jsonl")
	var pieces []piece
	log, err := audit.Open(path, audit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		for n := range 5 {
			log.Info("request", "A-1").Int("n", n).Send()
		}
		to := filepath.Join(dir, fmt.Sprint("piece-", i))
		pieces = append(pieces, piece{path: to})
		if err = log.Flush(); err == nil {
			err = os.Rename(path, to)
		}
		if err == nil && i == 0 {
			err = log.Reopen()
		} else if err == nil && log.Close() == nil { // moved away while no server ran
			log, err = audit.Open(path, audit.Options{})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	return pieces
}

func TestVerifies(t *testing.T) {
	bin, err := build(context.Background(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	pieces := rotated(t)
	if groups := chains(pieces); len(groups) != 2 || len(groups[0]) != 2 {
		t.Fatalf("the files that continue each other: %v", groups)
	}
	if err := verifies(context.Background(), bin, pieces); err != nil {
		t.Error(err)
	}
	if verifies(context.Background(), bin, []piece{pieces[0], pieces[1], pieces[0]}) == nil &&
		verifies(context.Background(), bin, []piece{pieces[2], pieces[1]}) == nil {
		t.Error("a file in the wrong place was not found")
	}
	whole, _ := os.ReadFile(pieces[1].path)
	whole[60] ^= 1
	if err := os.WriteFile(pieces[1].path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if verifies(context.Background(), bin, pieces) == nil {
		t.Error("a changed file was not found")
	}
}

func TestReadLogsCutsOffATornLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	whole := line(0, "server.start", "", "")
	if err := os.WriteFile(path, []byte(whole+`{"time":"20`), 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := readLogs([]piece{{path: path}})
	if err != nil || len(e.records) != 1 {
		t.Fatal(e, err)
	}
	if text, _ := os.ReadFile(path); string(text) != whole {
		t.Errorf("the file is %q", text)
	}
}

// echo serves each connection by sending back what comes.
func echo(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				for buf := make([]byte, 4096); ; {
					n, err := conn.Read(buf)
					if err != nil {
						return
					}
					_, _ = conn.Write(buf[:n])
				}
			}()
		}
	}()
	return l
}

func TestPath(t *testing.T) {
	l := echo(t)
	for kind, arrives := range map[string]bool{
		clean: true, delay: true, drip: true, freeze: true, drop: false, reset: false, halfClose: false, blackhole: false,
	} {
		t.Run(kind, func(t *testing.T) {
			p, err := newPath(t.Context(), l.Addr().String(), "", fate{kind, 8, 10 * time.Millisecond, 3})
			if err != nil {
				t.Fatal(err)
			}
			defer p.close()
			conn, err := net.Dial("tcp", p.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			say(t, conn, "A")
			fmt.Fprintln(conn, "this is too much")
			if kind == drop {
				_ = conn.(*net.TCPConn).CloseWrite()
			}
			answer, err := bufio.NewReader(conn).ReadString('\n')
			if (err == nil) != arrives {
				t.Errorf("%q, %v", answer, err)
			}
			if remote, _ := p.seen(); remote == "" {
				t.Error("the address that the server saw is not known")
			}
		})
	}
}
