package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// aliveVerb runs this program as the COMMAND of a hold: it writes signs of life into a file.
const aliveVerb = "alive"

// ignoresTerm and obeysTerm say what COMMAND does at SIGTERM.
const (
	ignoresTerm = "ignores SIGTERM"
	obeysTerm   = "obeys SIGTERM"
)

const (
	signEvery  = 5 * time.Millisecond
	cutTimeout = 2 * time.Minute // for all of one cut
)

// cutFlags are the limits of the servers. A cable is found by vanish, a frozen hop by idle.
var cutFlags = []string{"--vanish-timeout", "12s", "--idle-timeout", "13s"}

// alive appends the time to a file until it is killed.
func alive(path string, ignoresTerm bool) int {
	if ignoresTerm {
		signal.Ignore(syscall.SIGTERM)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	for ; err == nil; time.Sleep(signEvery) {
		_, err = fmt.Fprintln(file, time.Now().UnixNano())
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// runCuts makes the cuts and returns the exit code.
func runCuts(o options) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := cuts(ctx, o); err != nil {
		fmt.Printf("FAILED, seed %d:\n%v\n", o.seed, err)
		return 1
	}
	fmt.Printf("none of %d cuts gave the device two drivers; seed %d\n", o.cuts, o.seed)
	return 0
}

// cuts cuts n connections of holds at random moments, side by side, and prints for each how long after the last sign
// of life of its COMMAND the next hold was seated. None may be negative.
func cuts(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "sallyport-cuts-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	bin, err := build(ctx, dir)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, cutTimeout)
	defer cancel()
	var all sync.WaitGroup
	faults := make([]error, o.cuts)
	for i := range o.cuts {
		all.Go(func() {
			r := rand.New(rand.NewPCG(o.seed, uint64(i)))
			c := &cut{
				bin: bin, control: o.control != "", dir: filepath.Join(dir, strconv.Itoa(i)), number: i, cable: i%2 == 0 && canPull(),
				atTerm: []string{ignoresTerm, obeysTerm}[r.IntN(2)], after: time.Duration(r.IntN(6000)) * time.Millisecond,
			}
			gap, err := c.make(ctx)
			if err == nil && gap < 0 {
				err = errors.New("TWO DRIVERS")
			}
			if err != nil {
				faults[i] = fmt.Errorf("cut %d (%s): %w", i, c, err)
			}
			fmt.Printf("cut %d (%s): the next was seated %.3f s after the last sign of life; %v\n", i, c, gap.Seconds(), err)
		})
	}
	all.Wait()
	return errors.Join(faults...)
}

// cut is one cut.
type cut struct {
	bin, dir    string
	number      int
	control     bool          // a control: hold does not run what gives the signs of life, so they go on
	cable       bool          // pull the cable between two network namespaces; false means freeze a hop
	atTerm      string        // what COMMAND does: ignoresTerm or obeysTerm
	after       time.Duration // of COMMAND's first sign of life
	addr        string        // for alice
	nextAddr    string        // for bob, whose path is not cut
	inServer    []string      // the command prefix that runs a command where the server is
	inClient    []string      // the same where alice is
	do          func() error  // makes the cut
	whenCleared []func()
}

func (c *cut) String() string {
	kind := "frozen hop"
	if c.cable {
		kind = "cable pulled"
	}
	return fmt.Sprintf("%s %.1f s after the start, COMMAND %s", kind, c.after.Seconds(), c.atTerm)
}

// make makes the cut and returns how long after alice's last sign of life bob was seated.
func (c *cut) make(ctx context.Context) (gap time.Duration, err error) {
	defer func() {
		for _, clear := range c.whenCleared {
			clear()
		}
	}()
	if err := c.prepare(ctx); err != nil {
		return 0, err
	}
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	signs := filepath.Join(c.dir, "signs")
	command := []string{self, aliveVerb, signs, c.atTerm}
	if c.control {
		outside, err := start(ctx, "", command[0], command[1:]...)
		if err != nil {
			return 0, err
		}
		defer outside.ended(0)
		command = []string{"sleep", "1000"}
	}
	alice, err := c.hold(ctx, c.inClient, "alice", c.addr, append([]string{"sh", "-c", `"$@" & wait`, "sh"}, command...)...)
	if err != nil {
		return 0, err
	}
	if !until(ctx, func() bool { _, err := lastSign(signs); return err == nil }) {
		return 0, fmt.Errorf("COMMAND did not start: %s", alice.err.String())
	}
	bob, err := c.hold(ctx, c.inServer, "bob", c.nextAddr, "true")
	if err != nil {
		return 0, err
	}
	if !until(ctx, func() bool { return strings.Contains(bob.err.String(), "waiting: ") }) || !pause(ctx, c.after) {
		return 0, fmt.Errorf("the next does not wait: %s", bob.err.String())
	}
	if err := c.do(); err != nil {
		return 0, err
	}
	select {
	case <-bob.done:
	case <-ctx.Done():
		return 0, errors.New("the next was not seated")
	}
	if code := bob.cmd.ProcessState.ExitCode(); code != 0 {
		return 0, fmt.Errorf("the next left with %d: %s", code, bob.err.String())
	}
	seated, err := seatedAt(filepath.Join(c.dir, "state", "audit.jsonl"), "bob")
	if err != nil {
		return 0, err
	}
	if !alice.ended(20 * time.Second) {
		return 0, errors.New("hold did not end")
	}
	last, err := lastSign(signs) // COMMAND has ended by now
	if code := alice.cmd.ProcessState.ExitCode(); err == nil && code != 5 {
		err = fmt.Errorf("hold left with %d, not 5: %s", code, alice.err.String())
	}
	return seated.Sub(last), err
}

// prepare starts a server and makes the path to it that will be cut.
func (c *cut) prepare(ctx context.Context) (err error) {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return err
	}
	for _, name := range []string{"alice", "bob"} {
		p, err := start(ctx, "the password\n", c.bin, "user", "add", name, "--password-stdin", "--iterations", "4096", "--state", c.state())
		if err != nil {
			return err
		}
		if !p.ended(30*time.Second) || !p.cmd.ProcessState.Success() {
			return errors.New(p.err.String())
		}
	}
	if err := os.WriteFile(filepath.Join(c.dir, "password"), []byte("the password\n"), 0o600); err != nil {
		return err
	}
	listen := "127.0.0.1:0"
	if c.cable {
		listen = "0.0.0.0:7443"
		if err := c.layCable(ctx); err != nil {
			return err
		}
	}
	args := append(append([]string{c.bin, "serve", "--listen", listen, "--state", c.state()}, cutFlags...), "--queue-wait", "0")
	args = append(c.inServer[:len(c.inServer):len(c.inServer)], args...)
	server, err := start(ctx, "", args[0], args[1:]...)
	if err != nil {
		return err
	}
	c.whenCleared = append([]func(){func() { server.ended(0) }}, c.whenCleared...)
	if !until(ctx, func() bool { return strings.Contains(server.err.String(), "\nlog ") }) {
		return fmt.Errorf("the server did not listen: %s", server.err.String())
	}
	if c.cable {
		return nil
	}
	_, rest, _ := strings.Cut(server.err.String(), "listening on ")
	c.nextAddr, _, _ = strings.Cut(rest, "\n")
	return c.layHop(ctx)
}

func (c *cut) state() string { return filepath.Join(c.dir, "state") }

// hold starts a hold.
func (c *cut) hold(ctx context.Context, in []string, user, addr string, command ...string) (*process, error) {
	args := append(in[:len(in):len(in)], c.bin, "hold", "--addr", addr, "--ca", filepath.Join(c.state(), "ca.pem"), "--server-name", "localhost",
		"--user", user, "--password-file", filepath.Join(c.dir, "password"), "--")
	args = append(args, command...)
	return start(ctx, "", args[0], args[1:]...)
}

// until waits until so returns true. It returns false if ctx ends first.
func until(ctx context.Context, so func() bool) bool {
	for !so() {
		if !pause(ctx, 20*time.Millisecond) {
			return false
		}
	}
	return true
}

// lastSign returns the last sign of life.
func lastSign(path string) (last time.Time, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return last, err
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	n, err := strconv.ParseInt(lines[len(lines)-1], 10, 64)
	return time.Unix(0, n), err
}

// seatedAt returns when a user got the seat, from the log.
func seatedAt(path, user string) (at time.Time, err error) {
	file, err := os.Open(path)
	if err != nil {
		return at, err
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var record struct {
			Time        time.Time
			Event, User string
		}
		if json.Unmarshal(lines.Bytes(), &record) == nil && record.Event == "session.open" && record.User == user {
			return record.Time, nil
		}
	}
	return at, fmt.Errorf("%s has no session.open of %s", path, user)
}
