package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// twoDrivers is the control in which clients go past the server.
const twoDrivers = "two-drivers"

// device is a fake instrument that detects two users. A user says "USE TOKEN", then lines that are echoed. It
// uses the device until it says DONE or until its connection has ended.
type device struct {
	listener net.Listener
	clients  sync.WaitGroup

	mu       sync.Mutex
	open     []*use
	all      []*use
	overlaps []*overlap
}

// use is the time during which one token used the device.
type use struct {
	token       string
	conn        net.Conn
	from, until time.Time // until is zero while it lasts
	lines       int
}

// overlap is a time during which two tokens used the device: the later one began before the earlier one had
// ended.
type overlap struct {
	earlier, later *use
	at             time.Time
}

// lasted returns the length of the overlap.
func (o *overlap) lasted() time.Duration {
	until := o.earlier.until
	if o.later.until.Before(until) {
		until = o.later.until
	}
	return until.Sub(o.at)
}

func (o *overlap) String() string {
	return fmt.Sprintf("%s and %s used the device together for %s", o.earlier.token, o.later.token, o.lasted())
}

func newDevice() (*device, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	d := &device{listener: listener}
	d.clients.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			d.clients.Go(func() { d.serve(conn) })
		}
	})
	return d, nil
}

func (d *device) addr() string { return d.listener.Addr().String() }

// close ends the device, and all uses of it.
func (d *device) close() {
	_ = d.listener.Close()
	d.mu.Lock()
	for _, u := range d.open {
		_ = u.conn.Close()
	}
	d.mu.Unlock()
	d.clients.Wait()
}

// take returns all uses and overlaps so far, and forgets them. The caller has waited for the users' ends.
func (d *device) take() (uses []*use, overlaps []*overlap) {
	d.mu.Lock()
	defer d.mu.Unlock()
	uses, overlaps = d.all, d.overlaps
	d.all, d.overlaps = slices.Clone(d.open), nil
	return uses, overlaps
}

func (d *device) serve(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	lines := bufio.NewScanner(conn)
	if !lines.Scan() {
		return
	}
	token, ok := strings.CutPrefix(lines.Text(), "USE ")
	if !ok {
		return
	}
	u := d.begin(token, conn)
	defer d.end(u)
	for fmt.Fprintln(conn, "OK "+token); lines.Scan() && lines.Text() != "DONE"; {
		_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
		d.touch(u)
		fmt.Fprintln(conn, lines.Text())
	}
}

func (d *device) begin(token string, conn net.Conn) *use {
	u := &use{token: token, conn: conn, from: time.Now()}
	d.mu.Lock()
	d.open, d.all = append(d.open, u), append(d.all, u)
	d.mu.Unlock()
	d.touch(u)
	return u
}

func (d *device) end(u *use) {
	d.mu.Lock()
	defer d.mu.Unlock()
	u.until = time.Now()
	d.open = slices.DeleteFunc(d.open, func(other *use) bool { return other == u })
}

// touch notes that another token uses the device at the moment when u uses it. A use whose connection the
// kernel knows to have ended is over, though its goroutine may not have run since.
func (d *device) touch(u *use) {
	d.mu.Lock()
	defer d.mu.Unlock()
	u.lines++
	for _, other := range d.open {
		if other.token == u.token || !connected(other.conn) || d.known(other, u) {
			continue
		}
		d.overlaps = append(d.overlaps, &overlap{other, u, time.Now()})
	}
}

// known reports whether the overlap of two uses was noted, in either order.
func (d *device) known(a, b *use) bool {
	return slices.ContainsFunc(d.overlaps, func(o *overlap) bool {
		return o.earlier == a && o.later == b || o.earlier == b && o.later == a
	})
}

// touchVerb makes this program the COMMAND of hold: a user of the device.
const touchVerb = "touch"

// touch uses the device at an address until the time is over or SIGTERM comes. With the argument ignoresTerm
// only SIGKILL ends it before.
func touch(args []string) int {
	if len(args) < 3 {
		return 2
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	if slices.Contains(args, ignoresTerm) {
		stop = nil
	}
	length, err := time.ParseDuration(args[2])
	if err != nil {
		return 2
	}
	err = useDevice(args[0], args[1], length, stop)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

var errStopped = errors.New("stopped by a signal")

// useDevice uses the device directly, with a line each 20 ms.
func useDevice(addr, token string, length time.Duration, stop <-chan os.Signal) error {
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	end, tick := time.NewTimer(length), time.NewTicker(20*time.Millisecond)
	defer end.Stop()
	defer tick.Stop()
	answers := bufio.NewReader(conn)
	for line := "USE " + token; ; line = "PING" {
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := fmt.Fprintln(conn, line); err != nil {
			return err
		}
		if _, err := answers.ReadString('\n'); err != nil {
			return err
		}
		select {
		case <-end.C:
			_, err := fmt.Fprintln(conn, "DONE")
			return err
		case <-stop:
			return errStopped
		case <-tick.C:
		}
	}
}
