package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/protocol"
)

// noon is when the cases begin.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// at returns a moment some milliseconds after noon.
func at(ms int) time.Time { return noon.Add(time.Duration(ms) * time.Millisecond) }

// line returns a line of a log without a chain, which this package does not look at.
func line(ms int, event, conn, fields string) string {
	text := fmt.Sprintf(`{"time":%q,"level":"info","event":%q`, at(ms).Format(time.RFC3339Nano), event)
	if conn != "" {
		text += fmt.Sprintf(`,"conn":%q`, conn)
	}
	if fields != "" {
		text += "," + fields
	}
	return text + "}\n"
}

// session returns the lines of a session with one request, which lasts from a moment for 30 ms.
func session(ms int, conn, user, remote, end string) []string {
	return []string{
		line(ms, "conn.accept", conn, fmt.Sprintf(`"remote":%q`, remote)),
		line(ms+1, "session.open", conn, fmt.Sprintf(`"user":%q`, user)),
		line(ms+10, "request", conn, `"n":1,"verb":"ECHO","argument_bytes":2,"body_bytes":0,"code":250,"keyword":""`),
		line(ms+30, "session.close", conn, fmt.Sprintf(`"reason":%q`, end)),
	}
}

// visitor returns what the client of such a session notes.
func visitor(ms int, id, kind, user, remote string) *attempt {
	return &attempt{
		id: id, kind: kind, fate: clean, user: user, remote: remote, password: "good",
		began: at(ms), dialed: at(ms), seated: at(ms + 5), ended: at(ms + 31),
		exchanges: []exchange{{verb: "ECHO", argument: 2, code: 250, sent: at(ms + 8), answered: at(ms + 12)}},
	}
}

// evidenceOf reads lines as a log.
func evidenceOf(t *testing.T, lines ...string) *evidence {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := readLogs([]piece{{path: path}})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// twoSessions is a case without a fault: the first user of the device leaves, and the second one comes.
func twoSessions(t *testing.T) (*caseFile, []string) {
	lines := append(session(0, "A-1", "ann", "127.1.0.1:1", "quit"), session(100, "A-2", "bob", "127.1.0.2:2", "idle")...)
	return &caseFile{
		log: evidenceOf(t, lines...),
		attempts: []*attempt{
			visitor(0, "hold-ann", "hold", "ann", "127.1.0.1:1"), visitor(100, "hold-bob", "hold", "bob", "127.1.0.2:2"),
		},
		uses: []*use{{token: "hold-ann", from: at(6), until: at(20)}, {token: "hold-bob", from: at(106), until: at(120)}},
	}, lines
}

// rules are all rules that need a case.
func (c *caseFile) rules() map[string]error {
	return map[string]error{
		"record":    c.everyAnswerIsOnRecord().err(),
		"log":       c.oneSessionInTheLog().err(),
		"journals":  c.oneSessionByTheJournals().err(),
		"device":    c.oneUserOfTheDevice().err(),
		"hold":      c.holdStopsInTime().err(),
		"passwords": c.passwordsCount(annsPassword()).err(),
	}
}

// annsPassword has one password of ann's and bob's, and a change of ann's.
func annsPassword() *accounts {
	return &accounts{changes: map[string][]change{
		"ann": {{password: "good", began: at(-200), ended: at(-100)}, {password: "new", began: at(1000), ended: at(1100)}},
		"bob": {{password: "good", began: at(-200), ended: at(-100)}},
	}}
}

func TestJudgeFindsNoFault(t *testing.T) {
	c, _ := twoSessions(t)
	for rule, err := range c.rules() {
		if err != nil {
			t.Errorf("%s: %v", rule, err)
		}
	}
}

// spoil puts a fault into a case.
type spoil func(t *testing.T, c *caseFile, log []string)

func relog(change func(lines []string) []string) spoil {
	return func(t *testing.T, c *caseFile, lines []string) { c.log = evidenceOf(t, change(lines)...) }
}

func replace(i int, old, with string) spoil {
	return relog(func(lines []string) []string {
		lines[i] = strings.Replace(lines[i], old, with, 1)
		return lines
	})
}

func without(i int) spoil {
	return relog(func(lines []string) []string { return append(lines[:i:i], lines[i+1:]...) })
}

func note(change func(ann, bob *attempt)) spoil {
	return func(_ *testing.T, c *caseFile, _ []string) { change(c.attempts[0], c.attempts[1]) }
}

func using(change func(c *caseFile)) spoil {
	return func(_ *testing.T, c *caseFile, _ []string) { change(c) }
}

// planted has for each rule the faults that it must find.
var planted = map[string]map[string]spoil{
	"record":    recordFaults,
	"log":       {"two sessions": relog(func(l []string) []string { return []string{l[0], l[1], l[2], l[4], l[5], l[3], l[6], l[7]} })},
	"journals":  journalFaults,
	"device":    deviceFaults,
	"hold":      holdFaults,
	"passwords": passwordFaults,
}

var recordFaults = map[string]spoil{
	"an answer without a record":    without(2),
	"a record with another code":    replace(2, `"code":250`, `"code":550`),
	"a record of another verb":      replace(2, `ECHO`, `TIME`),
	"a record of another size":      replace(2, `"argument_bytes":2`, `"argument_bytes":3`),
	"a record with another number":  replace(2, `"n":1`, `"n":2`),
	"a record after the answer":     replace(2, at(10).Format("05.99"), at(50).Format("05.99")),
	"a session of another user":     replace(1, "ann", "eve"),
	"a session without a record":    without(1),
	"a connection without a record": without(0),
	"answers in another order": note(func(ann, _ *attempt) {
		ann.exchanges = append([]exchange{{verb: "TIME", code: 250, sent: at(7), answered: at(8)}}, ann.exchanges...)
	}),
}

var journalFaults = map[string]spoil{
	"two sessions": note(func(ann, _ *attempt) {
		ann.exchanges = append(ann.exchanges, exchange{sent: at(107), answered: at(108)})
	}),
	"two sessions with a third one between": using(func(c *caseFile) {
		long := c.attempts[0]
		long.exchanges = append(long.exchanges, exchange{sent: at(300), answered: at(301)})
		c.attempts = append(c.attempts, visitor(200, "x", "talk", "bob", "127.1.0.2:3"))
		c.attempts[1].exchanges = nil
	}),
}

var deviceFaults = map[string]spoil{
	"two users": using(func(c *caseFile) {
		c.uses[0].until = at(110)
		c.overlaps = []*overlap{{c.uses[0], c.uses[1], at(106)}}
	}),
	"a user that is no client": using(func(c *caseFile) {
		c.overlaps = []*overlap{{&use{token: "direct-1", until: at(110)}, c.uses[1], at(106)}}
	}),
}

var holdFaults = map[string]spoil{
	"COMMAND after hold gave the seat back":       using(func(c *caseFile) { c.uses[0].until = at(1500) }),
	"COMMAND after the seat was lost to idleness": using(func(c *caseFile) { c.uses[1].until = at(1500) }),
	"COMMAND before the seat":                     using(func(c *caseFile) { c.uses[1].from = at(50) }),
	"hold that leaves with 0 without its QUIT":    note(func(ann, _ *attempt) { ann.exit = exitDone }),
	"COMMAND after hold was killed": func(t *testing.T, c *caseFile, l []string) {
		replace(7, "idle", "cut")(t, c, l)
		c.attempts[1].killed, c.uses[1].until = true, at(1500)
	},
	"COMMAND long after an eviction": func(t *testing.T, c *caseFile, l []string) {
		replace(7, "idle", "evicted")(t, c, l)
		c.uses[1].until = at(130 + int(killTime.Milliseconds()) + 100)
	},
}

var passwordFaults = map[string]spoil{
	"a former password": note(func(ann, _ *attempt) { ann.kind, ann.password = "talk", "old" }),
	"a former password, after the change": note(func(ann, _ *attempt) {
		ann.kind, ann.began, ann.seated = "talk", at(1200), at(1210)
	}),
	"the valid password refused": note(func(ann, _ *attempt) {
		ann.kind, ann.seated, ann.last = "talk", time.Time{}, protocol.ReplyError{Code: 535}
	}),
}

func TestJudgeFindsEachFault(t *testing.T) {
	for rule, faults := range planted {
		for name, spoil := range faults {
			t.Run(rule+"/"+name, func(t *testing.T) {
				c, lines := twoSessions(t)
				spoil(t, c, lines)
				if c.rules()[rule] == nil {
					t.Error("the rule did not find it")
				}
			})
		}
	}
}

func TestJudgeAllows(t *testing.T) {
	t.Run("what was lost with the log", func(t *testing.T) {
		c, lines := twoSessions(t)
		c.log = evidenceOf(t, append(lines[:2:2], lines[4:]...)...)
		if c.everyAnswerIsOnRecord().err() == nil || c.oneSessionInTheLog().err() == nil {
			t.Error("nothing was found, though nothing was lost")
		}
		c.lost = []span{{at(9), at(31)}}
		if err := errors.Join(c.everyAnswerIsOnRecord().err(), c.oneSessionInTheLog().err()); err != nil {
			t.Error(err)
		}
	})
	t.Run("the kill time after an eviction", func(t *testing.T) {
		c, lines := twoSessions(t)
		lines[3] = strings.Replace(lines[3], "quit", "evicted", 1)
		c.log = evidenceOf(t, lines...)
		c.uses[0].until = at(110)
		c.overlaps = []*overlap{{c.uses[0], c.uses[1], at(106)}}
		if err := errors.Join(c.oneUserOfTheDevice().err(), c.holdStopsInTime().err()); err != nil {
			t.Error(err)
		}
	})
	t.Run("a session that was cut with the server", func(t *testing.T) {
		c, lines := twoSessions(t)
		lines[3] = line(50, "server.start", "", "")
		c.log = evidenceOf(t, lines...)
		if err := c.oneSessionInTheLog().err(); err != nil {
			t.Error(err)
		}
	})
	t.Run("either password while it is being changed", func(t *testing.T) {
		changes := annsPassword().changes["ann"]
		for _, password := range []string{"good", "new"} {
			if got := valid(changes, password, span{at(1050), at(1060)}); got != maybe {
				t.Errorf("%s: %v", password, got)
			}
		}
		changes[1].failed = true
		if got := valid(changes, "good", span{at(1200), at(1210)}); got != maybe {
			t.Errorf("after a change that failed: %v", got)
		}
	})
}
