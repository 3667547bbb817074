//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"os"
	"time"
)

// record is what is read of a record in a gate's log.
type record struct {
	Time   time.Time `json:"time"`
	Event  string    `json:"event"`
	Conn   string    `json:"conn"`
	Remote string    `json:"remote"`
	User   string    `json:"user"`
	Token  int64     `json:"token"`
}

// served is what a gate's log says of a connection.
type served struct {
	remote   string
	user     string
	accepted time.Time
	token    int64 // 0 if no session began
	requests int
}

// readLog returns the connections of a log, in their order.
func readLog(path string) (all []*served, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	conns := map[string]*served{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		r := record{}
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return nil, err
		}
		switch c := conns[r.Conn]; {
		case r.Event == "conn.accept":
			c = &served{remote: r.Remote, accepted: r.Time}
			conns[r.Conn], all = c, append(all, c)
		case c == nil:
		case r.Event == "login.ok":
			c.user = r.User
		case r.Event == "session.open":
			c.token = r.Token
		case r.Event == "request":
			c.requests++
		}
	}
	return all, lines.Err()
}

// of returns the connection of an attempt, or nil. The address of a process of hold is not known, but only it logs in as
// its user.
func of(all []*served, user string, a attempt) (found *served) {
	for _, c := range all {
		isIt := c.remote == a.local || a.local == "" && c.user == user
		if isIt && !c.accepted.Before(a.asked.Add(-time.Second)) && (a.ended.IsZero() || c.accepted.Before(a.ended)) {
			found = c
		}
	}
	return found
}
