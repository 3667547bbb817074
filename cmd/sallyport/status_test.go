package main

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/server/control"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.Local)

func person(user, conn string) control.Person {
	return control.Person{User: user, Conn: conn, Remote: "[2001:db8:1234:5678:9abc:def0:1234:5678]:50312", Since: noon, Seconds: 125}
}

// full is a status with something in each place.
func full() control.Status {
	return control.Status{
		About: control.About{
			Version: "v1.2.3 commit 0123456789012345678901234567890123456789 go1.26.8", PID: 4711, Listen: "[::]:7443", State: "/srv/rig",
			Admission: "queue", Backend: &control.Backend{Spec: "serial:/dev/ttyUSB0,115200,8N1", Kept: true},
			Certificate: control.Certificate{Names: []string{"rig.example.org", "localhost", "127.0.0.1", "192.0.2.2", "2001:db8:1234:5678::2"}, Ends: noon.Add(100 * 24 * time.Hour)},
			Limits:      control.Limits{Idle: 900, QueueWait: 1020, QueueDepth: 16, QueuePerUser: 2, Lobby: 256, Body: 1 << 20},
		},
		Started: noon, Uptime: 3600, Holder: &control.Holder{Person: person("alice", "x-1"), Idle: 3.9, Requests: 1, Running: "STREAM"},
		Waiting: []control.Person{person("bob", "x-2"), person("carol", "x-3")}, QueueLength: 2, Served: 5, Lobby: 1, Penalised: 2,
		Refused: map[string]int{"throttled": 12, "lobby-full": 1}, Log: control.Log{Path: "/srv/rig/audit.jsonl", Head: strings.Repeat("0", 64), Size: 1234567, Free: 34 << 30},
	}
}

func TestStatusPage(t *testing.T) {
	t.Parallel()
	want := `seat         taken by alice,
             from [2001:db8:1234:5678:9abc:def0:1234:5678]:50312,
             since 12:00:00, for 2 min 5 s
             STREAM runs, idle for 3 s, 1 request, connection x-1
waiting       1  bob    from [2001:db8:1234:5678:9abc:def0:1234:5678]:50312  for 2 min 5 s  x-2
              2  carol  from [2001:db8:1234:5678:9abc:def0:1234:5678]:50312  for 2 min 5 s  x-3
lobby        1 connection before their login, at most 256
kept out     2 sources by a penalty now, 1 connection so far (lobby-full),
             12 connections so far (throttled)
backend      serial:/dev/ttyUSB0,115200,8N1, kept open
log          /srv/rig/audit.jsonl, 1.18 MiB, 34 GiB free on its disk
log head     ` + strings.Repeat("0", 64) + `
certificate  rig.example.org, localhost, 127.0.0.1, 192.0.2.2,
             2001:db8:1234:5678::2, until 2026-06-09, 100 days left
limits       idle 15 min, session without limit, request without limit,
             queue 16 (2 a user) for 17 min, body 1 MiB
server       [::]:7443, process 4711, up 1 h, 5 sessions so far
state        /srv/rig
version      v1.2.3 commit 0123456789012345678901234567890123456789 go1.26.8
`
	if diff := cmp.Diff(want, statusPage(full(), noon, 80)); diff != "" {
		t.Error(diff)
	}
	if wide := statusPage(full(), noon, 160); strings.Count(wide, "\n") >= strings.Count(want, "\n") {
		t.Error(wide)
	}
	s := full()
	s.Holder.User, s.Log.Stuck, s.Backend.Down, s.Stopping = "al\x1b[2Jice", 61, "no such device", true
	for _, part := range []string{`al\x1b[2Jice`, "STUCK: its disk has not answered for 1 min 1 s", "DOWN: no such device", "the server is shutting down"} {
		if page := statusPage(s, noon, 80); !strings.Contains(page, part) {
			t.Errorf("no %q in %s", part, page)
		}
	}
}

// Lines break between the pieces, so that a terminal does not break them within.
func TestStatusPageFitsTheTerminal(t *testing.T) {
	t.Parallel()
	s := full()
	s.Waiting = nil
	for _, width := range []int{80, 120, 160} {
		for line := range strings.Lines(statusPage(s, noon, width)) {
			if utf8.RuneCountInString(line)-1 > width {
				t.Errorf("over %d: %q", width, line)
			}
		}
	}
}

func TestChanges(t *testing.T) {
	t.Parallel()
	holder := func(user, conn string) *control.Holder { return &control.Holder{Person: person(user, conn)} }
	free := control.Status{Started: noon}
	alice, bob := free, free
	alice.Holder, alice.Served = holder("alice", "x-1"), 1
	waiting := alice
	waiting.Waiting, waiting.QueueLength = []control.Person{person("bob", "x-2"), person("carol", "x-3")}, 2
	bob.Holder, bob.Served = holder("bob", "x-2"), 4
	stuck := bob
	stuck.Log.Stuck, stuck.Stopping = 1, true
	from := "(from [2001:db8:1234:5678:9abc:def0:1234:5678]:50312"
	var c changes
	for _, step := range []struct {
		status control.Status
		err    error
		lines  []string
	}{
		{free, nil, []string{"the seat is free"}},
		{free, nil, nil},
		{alice, nil, []string{"alice sits down " + from + ")"}},
		{waiting, nil, []string{"bob waits " + from + ", position 1)", "carol waits " + from + ", position 2)"}},
		{bob, nil, []string{"alice leaves", "bob sits down " + from + ")", "2 short sessions in between", "carol waits no more"}},
		{stuck, nil, []string{"the server is shutting down", "the disk of the log does not answer"}},
		{free, errors.New("no server"), []string{"no server"}},
		{free, errors.New("no server"), nil},
		{waiting, nil, []string{"alice has the seat " + from + "), waiting: 2"}},
	} {
		if diff := cmp.Diff(step.lines, c.next(step.status, step.err)); diff != "" {
			t.Error(diff)
		}
	}
}

func TestLinesOfServe(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	p := linesPart{out: &out, remote: map[string]string{}, user: map[string]string{}}
	for _, record := range []string{
		`{"time":"t","level":"info","event":"conn.accept","conn":"x-1","remote":"192.0.2.7:1"}`,
		`{"time":"t","level":"info","event":"login.ok","conn":"x-1","user":"alice"}`,
		`{"time":"t","level":"info","event":"queue.enter","conn":"x-1","position":2}`,
		`{"time":"t","level":"info","event":"queue.leave","conn":"x-1","reason":"granted"}`,
		`{"time":"t","level":"info","event":"session.open","conn":"x-1","user":"alice"}`,
		`{"time":"t","level":"info","event":"request","conn":"x-1","verb":"ECHO","argument":"\"event\":\"session.open\""}`,
		`{"time":"t","level":"info","event":"session.close","conn":"x-1","reason":"evicted","by":"root","duration":61.5,"requests":1}`,
		`{"time":"t","level":"info","event":"conn.accept","conn":"x-2","remote":"192.0.2.8:1"}`,
		`{"time":"t","level":"info","event":"conn.close","conn":"x-2","reason":"closed"}`,
		`{"time":"t","level":"info","event":"login.ok","conn":"x-3","user":"bob\u001b"}`,
		`{"time":"t","level":"info","event":"queue.leave","conn":"x-3","reason":"wait-timeout"}`,
	} {
		p.observe([]byte(record))
	}
	var lines []string
	for line := range strings.Lines(out.String()) {
		_, text, _ := strings.Cut(line, " ")
		lines = append(lines, text)
	}
	want := []string{
		"alice waits (from 192.0.2.7:1, position 2)\n", "alice sits down (from 192.0.2.7:1)\n",
		"alice leaves (evicted by root, after 1 min 1 s, 1 request)\n", `bob\x1b waits no more (wait-timeout)` + "\n",
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Error(diff)
	}
	if len(p.remote) != 0 {
		t.Errorf("remembered for ever: %v", p.remote)
	}
}

// A seat that servers share is not free while a client of another one has it.
func TestStatusOfASharedSeat(t *testing.T) {
	t.Parallel()
	free := control.Status{Started: noon}
	free.Fleet = &control.Fleet{Rig: "scope", Up: true, Shared: true}
	there := free
	there.Fleet = &control.Fleet{Rig: "scope", Up: true, Shared: true, Holder: "ali\x1bce", HolderAt: "b:7443", HolderSince: noon, QueueLength: 1}
	got := strings.Join(strings.Fields(statusPage(there, noon.Add(time.Minute), 160)), " ")
	for _, want := range []string{`seat taken by ali\x1bce, at the gate b:7443, since 12:00:00, for 1 min waiting 1 client at other gates `, "rig scope, in the directory log"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
	there.Waiting, there.Fleet.QueueLength = []control.Person{person("bob", "x-2")}, 3
	if text := statusPage(there, noon, 160); !strings.Contains(text, "  x-2\n             2 clients at other gates\n") {
		t.Error(text)
	}
	there.Waiting = nil
	var c changes
	for i, want := range []string{"the seat is free", `ali\x1bce has the shared seat at the gate b:7443`, "the shared seat is free"} {
		if lines := c.next([]control.Status{free, there, free}[i], nil); len(lines) != 1 || lines[0] != want {
			t.Errorf("%d: %q", i, lines)
		}
	}
	c = changes{}
	if lines := c.next(there, nil); len(lines) != 1 || !strings.HasSuffix(lines[0], "at the gate b:7443") {
		t.Errorf("%q", lines)
	}
}

func TestParseStat(t *testing.T) {
	t.Parallel()
	got := parseStat(protocol.Reply{Text: "holder alice b\nsince 2026-03-01T12:00:00Z\nidle 3\nwaiting 2\nserved 9\nlater x\nuptime 61"})
	want := remoteStatus{&remoteHolder{"alice b", time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), 3}, 2, 9, 61}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if free := parseStat(protocol.Reply{Text: "waiting 0\nserved 1\nuptime 2"}); free.Holder != nil || free.Served != 1 {
		t.Error(free)
	}
}
