package control_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/server/audit"
	"github.com/sallyport/sallyport/server/control"
)

func TestStatus(t *testing.T) {
	t.Parallel()
	about := control.About{
		Version: "1", PID: 2, Listen: "127.0.0.1:3", State: "/s", Backend: &control.Backend{Spec: "unix:/b", Kept: true},
		Certificate: control.Certificate{Names: []string{"rig"}, Days: 4}, Limits: control.Limits{Idle: 900},
	}
	s := &control.Server{Seat: seat{status: taken()}, About: func() control.About { return about }}
	c := serve(t, s)
	s.Refused("throttled", 3)
	s.Refused("throttled", 4)
	got, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got.Holder == nil || got.Holder.Idle < 3600 || got.Holder.Seconds < 3540 || got.Uptime < 3600 || len(got.Waiting) != 2 || got.Waiting[1].Seconds < 3540 {
		t.Fatalf("%+v", got)
	}
	got.Uptime, got.Holder.Idle, got.Holder.Seconds, got.Waiting[0].Seconds, got.Waiting[1].Seconds = 0, 0, 0, 0, 0
	about.Admission = "queue"
	since := started.Add(time.Minute)
	person := func(user, conn string) control.Person {
		return control.Person{User: user, Conn: conn, Remote: "192.0.2.7:1", Since: since}
	}
	want := control.Status{
		About: about, Started: started, Holder: &control.Holder{Person: person("alice", "x-1"), Requests: 17, Running: "ECHO"},
		Waiting: []control.Person{person("bob", "x-2"), person("carol", "x-3")}, QueueLength: 2, Served: 9, Lobby: 3, Penalised: 2,
		Refused: map[string]int{"throttled": 7}, Log: control.Log{Head: strings.Repeat("0", 64), Free: -1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Scripts read these fields.
func TestStatusFieldsStay(t *testing.T) {
	t.Parallel()
	c := serve(t, &control.Server{Seat: seat{status: taken()}, About: func() control.About {
		return control.About{Backend: &control.Backend{}}
	}})
	_, text := get(t, c, http.MethodGet, "/v1/status", "")
	for _, field := range strings.Fields(`version pid listen state admission backend spec kept down certificate names ends days limits
		idle session request queue_wait queue_depth queue_per_user lobby lobby_per_source body shutdown_grace started uptime
		stopping holder user conn remote since seconds requests running waiting queue_length watching served penalised refused
		log path head size free failing stuck`) {
		if !strings.Contains(text, `"`+field+`":`) {
			t.Errorf("no %s in %s", field, text)
		}
	}
	c = serve(t, &control.Server{Seat: seat{}})
	if _, text := get(t, c, http.MethodGet, "/v1/status", ""); !strings.Contains(text, `"holder":null`) || !strings.Contains(text, `"waiting":[]`) || !strings.Contains(text, `"refused":{}`) {
		t.Error(text)
	}
}

// get sends a request of any kind.
func get(t *testing.T, c *control.Client, method, path, body string) (code int, text string) {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", c.Path)
	}}
	r, err := http.NewRequestWithContext(t.Context(), method, "http://x"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	all, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(all)
}

func TestEvict(t *testing.T) {
	t.Parallel()
	name, said := me(t), ""
	c := serve(t, &control.Server{Seat: seat{taken(), func(by, reason string) { said = by + ": " + reason }}})
	for _, of := range []struct {
		control.Eviction
		gone, said string
	}{
		{control.Eviction{}, "alice", "the operator ended the session"},
		{control.Eviction{Reason: "lunch"}, "alice", "lunch"},
		{control.Eviction{User: "bob"}, "bob", "the operator ended the session"},
		{control.Eviction{Conn: "x-3"}, "carol", "the operator ended the session"},
		{control.Eviction{User: "alice", Conn: "x-1"}, "alice", "the operator ended the session"},
	} {
		gone, err := c.Evict(t.Context(), of.Eviction)
		want := fmt.Sprintf("%s: %s (operator %s)", name, of.said, name)
		if err != nil || len(gone.Evicted) != 1 || gone.Evicted[0].User != of.gone || gone.By != name || said != want {
			t.Errorf("%+v: %+v, %v, %q", of, gone, err, said)
		}
	}
}

func TestRefusedRequests(t *testing.T) {
	t.Parallel()
	c := serve(t, &control.Server{Seat: seat{status: taken()}})
	free := serve(t, &control.Server{Seat: seat{}})
	for _, of := range []struct {
		c                  *control.Client
		method, path, body string
		code               int
		reason             string
	}{
		{free, "POST", "/v1/evict", `{}`, 404, control.ReasonNoClient},
		{free, "POST", "/v1/evict", ``, 404, control.ReasonNoClient},
		{c, "POST", "/v1/evict", `{"user":"dave"}`, 404, control.ReasonNoClient},
		{c, "POST", "/v1/evict", `{"user":"alice","conn":"x-2"}`, 404, control.ReasonNoClient},
		{c, "POST", "/v1/evict", `{"reason":"two\r\nlines"}`, 400, control.ReasonArgument},
		{c, "POST", "/v1/evict", `{"reason":"` + strings.Repeat("x", 501) + `"}`, 400, control.ReasonArgument},
		{c, "POST", "/v1/evict", `{"usr":"bob"}`, 400, control.ReasonArgument},
		{c, "POST", "/v1/evict", `{`, 400, control.ReasonArgument},
		{c, "POST", "/v1/evict", `null`, 400, control.ReasonArgument},
		{c, "POST", "/v1/evict", `{"user":""}`, 400, control.ReasonArgument},
		{c, "POST", "/v1/evict", `{"user":null}`, 400, control.ReasonArgument},
		{c, "POST", "/v1/evict", `{"conn":""}`, 400, control.ReasonArgument},
		{c, "POST", "/v1/evict", `{"conn":null}`, 400, control.ReasonArgument},
		{c, "POST", "/v1/evict", `{"user":"zed","user":""}`, 400, control.ReasonArgument},
		{c, "POST", "/v1/evict", `{"user":"bob","conn":""}`, 400, control.ReasonArgument},
		{c, "POST", "/v1/evict", `{}{"user":"bob"}`, 400, control.ReasonArgument},
		{c, "POST", "/v1/evict", `{"user":"` + strings.Repeat("x", 17<<10) + `"}`, 400, control.ReasonArgument},
		{c, "GET", "/v1/evict", ``, 501, control.ReasonUnknown},
		{c, "POST", "/v1/reload", ``, 501, control.ReasonUnknown},
		{c, "POST", "/v1/stop", ``, 501, control.ReasonUnknown},
		{c, "GET", "/v2/status", ``, 501, control.ReasonUnknown},
	} {
		code, text := get(t, of.c, of.method, of.path, of.body)
		if code != of.code || !strings.Contains(text, `"reason":"`+of.reason+`"`) {
			t.Errorf("%s %s %.40s: %d %s", of.method, of.path, of.body, code, text)
		}
	}
	if _, err := free.Evict(t.Context(), control.Eviction{}); err == nil || err.Error() != "control: the seat is free" {
		t.Error(err)
	}
}

// operators returns what the log says of operators.
func operators(log string) (lines []string) {
	for line := range strings.Lines(log) {
		if _, rest, ok := strings.Cut(line, `"event":"operator",`); ok {
			rest, _, _ = strings.Cut(rest, `,"chain"`)
			lines = append(lines, rest)
		}
	}
	return lines
}

func TestReloadAndStopAreOnRecord(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	var calls []string
	fault := errors.New("the users can't be read")
	reload := func() error { calls = append(calls, "reload"); return fault }
	s := &control.Server{
		Seat: seat{}, Audit: audit.New(&log, audit.Options{}), Reload: reload,
		Stop:  func(now bool) { calls = append(calls, fmt.Sprint("stop ", now)) },
		About: func() control.About { return control.About{Limits: control.Limits{ShutdownGrace: 10}} },
	}
	c := serve(t, s)
	if err := c.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), fault.Error()) {
		t.Error(err)
	}
	if status, err := c.Status(t.Context()); err != nil || status.Stopping {
		t.Error(status.Stopping, err)
	}
	for _, now := range []bool{false, true} {
		if stopped, err := c.Stop(t.Context(), now); err != nil || stopped.Grace != 10 {
			t.Error(stopped, err)
		}
	}
	if status, err := c.Status(t.Context()); err != nil || !status.Stopping {
		t.Error(status.Stopping, err)
	}
	if diff := cmp.Diff([]string{"reload", "stop false", "stop true"}, calls); diff != "" {
		t.Error(diff)
	}
	by := `","by":"` + me(t) + `"`
	if diff := cmp.Diff([]string{`"deed":"reload` + by, `"deed":"stop` + by, `"deed":"stop` + by}, operators(log.String())); diff != "" {
		t.Error(diff)
	}
}

// stuckDisk is a file on a disk that does not answer from the moment when it is stuck.
type stuckDisk struct {
	sync.Mutex
	stuck chan struct{} // nil while it answers
}

func (d *stuckDisk) Write(p []byte) (int, error) {
	d.Lock()
	stuck := d.stuck
	d.Unlock()
	if stuck != nil {
		<-stuck
	}
	return len(p), nil
}

func TestStuckDiskStopsNoAnswer(t *testing.T) {
	t.Parallel()
	disk := &stuckDisk{}
	log := audit.New(disk, audit.Options{})
	log.Info("x", "").Send()
	if err := log.Flush(); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan bool, 1)
	c := serve(t, &control.Server{
		Seat: seat{taken(), func(string, string) {}}, Audit: log, Stop: func(now bool) { stopped <- now },
		Reload: log.Reopen,
	})
	before, err := c.Status(t.Context())
	if err != nil || before.Log.Head != log.Head() || before.Log.Stuck != 0 {
		t.Fatal(before.Log, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	disk.stuck = make(chan struct{})
	defer close(disk.stuck)
	log.Info("x", "").Send()
	go log.Flush() //nolint:errcheck // it never fails
	for after := before; after.Log.Stuck == 0; {
		if after, err = c.Status(ctx); err != nil {
			t.Fatal(err)
		}
		if after.Log.Stuck > 0 && (after.Log.Head != before.Log.Head || after.Log.Size != before.Log.Size) {
			t.Error(after.Log)
		}
	}
	if _, err := c.Evict(ctx, control.Eviction{}); err != nil {
		t.Error(err)
	}
	if _, err := c.Stop(ctx, true); err != nil || !<-stopped {
		t.Error(err)
	}
}

func TestNoServer(t *testing.T) {
	t.Parallel()
	dead := &control.Client{Path: t.TempDir() + "/none.sock"}
	if _, err := dead.Status(t.Context()); !errors.Is(err, control.ErrNoServer) {
		t.Error(err)
	}
	silent := serve(t, &control.Server{Seat: seat{}, About: func() control.About { return control.About{} }, Reload: func() error { select {} }})
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := silent.Reload(ctx); !errors.Is(err, control.ErrNoServer) || !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}
