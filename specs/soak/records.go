package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// record is a line of the log, as far as it is judged.
type record struct {
	Time          time.Time
	Event, Conn   string
	User, Remote  string
	Reason        string
	N             int
	Verb, Keyword string
	Code          int
	ArgumentBytes int `json:"argument_bytes"`
	BodyBytes     int `json:"body_bytes"`
	Records       int
	Head, Chain   string
}

// evidence is the log of an act, in the order of its files.
type evidence struct {
	records []record
	conns   map[string][]*record // by connection
	text    strings.Builder      // only for the search for passwords
}

// read reads the files of a log. The last line of a file may be torn if the server was killed and has not
// opened the file again; then it is cut off, as the server would have done.
func readLogs(pieces []piece) (*evidence, error) {
	e := &evidence{conns: map[string][]*record{}}
	for i, p := range pieces {
		if err := e.read(p.path, i == len(pieces)-1); err != nil {
			return nil, err
		}
	}
	for i := range e.records {
		r := &e.records[i]
		if r.Conn != "" {
			e.conns[r.Conn] = append(e.conns[r.Conn], r)
		}
	}
	return e, nil
}

func (e *evidence) read(path string, last bool) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	in := bufio.NewReaderSize(file, 1<<20)
	for n, offset := 1, int64(0); ; n++ {
		line, err := in.ReadString('\n')
		if err == io.EOF && line != "" {
			return os.Truncate(path, offset)
		} else if err != nil {
			return notEOF(err)
		}
		offset += int64(len(line))
		r := record{}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			return fmt.Errorf("%s:%d: %w: %.200q", path, n, err, line)
		}
		e.records = append(e.records, r)
		e.text.WriteString(line)
	}
}

func notEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// conn returns the records of the connection of an attempt: the one whose address it was at that time.
func (e *evidence) conn(a *attempt, accepted map[string][]*record) []*record {
	var best *record
	for _, r := range accepted[a.remote] {
		if best == nil || r.Time.Sub(a.dialed).Abs() < best.Time.Sub(a.dialed).Abs() {
			best = r
		}
	}
	if best == nil || best.Time.Sub(a.dialed).Abs() > 30*time.Second {
		return nil
	}
	return e.conns[best.Conn]
}

// accepted returns the records of accepted connections by their address.
func (e *evidence) accepted() map[string][]*record {
	all := map[string][]*record{}
	for i := range e.records {
		if r := &e.records[i]; r.Event == "conn.accept" {
			all[r.Remote] = append(all[r.Remote], r)
		}
	}
	return all
}

// find returns the first record of an event, or nil.
func find(records []*record, event string) *record {
	for _, r := range records {
		if r.Event == event {
			return r
		}
	}
	return nil
}
