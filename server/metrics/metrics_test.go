package metrics

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/server/audit"
)

// busy is a server whose seat is taken.
func busy() server.Status {
	now := time.Now()
	return server.Status{
		Holder:  &server.Client{User: "alice", Remote: "192.0.2.1:1", Since: now.Add(-time.Minute), Active: now.Add(-time.Second)},
		Waiting: []server.Client{{User: "bob", Since: now.Add(-30 * time.Second)}, {User: "carol", Since: now}},
		Lobby:   7, Watching: 3, Penalised: 2,
	}
}

func options() Options {
	return Options{
		Version: "v1.2.3", Commit: "abc", Status: busy,
		Log:            func() audit.State { return audit.State{Size: 1000, Free: 5000, Failures: 4} },
		CertificateEnd: func() time.Time { return time.Now().Add(time.Hour) },
	}
}

// scrape returns what /metrics answers.
func scrape(t *testing.T, m *Metrics, o Options) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler(o).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// has checks that each line is there; a line may be a regular expression.
func has(t *testing.T, page string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !regexp.MustCompile(`(?m)^` + line + `$`).MatchString(page) {
			t.Errorf("no %s", line)
		}
	}
}

func TestRecordsAreCounted(t *testing.T) {
	t.Parallel()
	m := New()
	l := audit.New(&bytes.Buffer{}, audit.Options{Observe: m.Observe})
	l.Info("conn.accept", "1").Str("remote", "192.0.2.1:1").Send()
	l.Warn("conn.refuse", "").Str("remote", "192.0.2.1").Str("reason", "lobby-full").Int("count", 41).Send()
	l.Warn("tls.fail", "1").Str("error", `,"count":9`).Send()
	l.Info("login.ok", "1").Str("user", `x","reason":"evil`).Send()
	l.Warn("login.fail", "1").Str("user", `,"reason":"nonce",`).Str("reason", "wrong-proof").Send()
	l.Warn("login.fail", "1").Str("reason", "unknown-user").Send()
	l.Warn("login.fail", "1").Str("reason", "certificate").Send()
	l.Warn("login.fail", "1").Str("reason", "a new one").Send()
	l.Info("queue.leave", "1").Str("reason", "granted").Float64("waited", 1).Send()
	l.Info("session.open", "1").Send()
	for _, code := range []int{250, 250, 554, 999} {
		l.Info("request", "1").Str("verb", "ECHO").Int("code", code).Float64("duration", 0.003).Send()
	}
	l.Info("request", "1").Str("verb", "STREAM").Int("code", 250).Float64("duration", 7200).Send()
	l.Info("stream.open", "1").Send()
	l.Info("stream.close", "1").Int("bytes_in", 5).Int("bytes_out", 1<<40).Send()
	l.Error("handler.stuck", "1").Send()
	l.Error("handler.panic", "1").Send()
	l.Info("session.close", "1").Str("reason", "idle").Float64("duration", 90.5).Send()
	l.Info("unknown", "1").Send()
	page := scrape(t, m, options())
	has(t, page,
		`sallyport_connections_total 1`, `sallyport_connections_refused_total{reason="lobby-full"} 41`,
		`sallyport_tls_failures_total 1`, `sallyport_logins_total{result="ok"} 1`,
		`sallyport_logins_total{result="refused"} 3`, `sallyport_logins_total{result="nonce"} 0`,
		`sallyport_logins_total{result="other"} 1`, `sallyport_queue_left_total{reason="granted"} 1`,
		`sallyport_sessions_started_total 1`, `sallyport_sessions_ended_total{reason="idle"} 1`,
		`sallyport_session_seconds_total 90.5`, `sallyport_requests_total{code="250"} 3`,
		`sallyport_requests_total{code="554"} 1`, `sallyport_requests_total{code="other"} 1`,
		`sallyport_request_duration_seconds_bucket{le="0.001"} 0`, `sallyport_request_duration_seconds_bucket{le="0.005"} 4`,
		`sallyport_request_duration_seconds_count 4`, `sallyport_streams_total 1`,
		`sallyport_stream_received_bytes_total 5`, `sallyport_stream_sent_bytes_total 1.099511627776e\+12`,
		`sallyport_handlers_stuck_total 1`, `sallyport_handler_panics_total 1`,
	)
	for _, secret := range []string{"unknown-user", "wrong-proof", "certificate\""} {
		if strings.Contains(page, secret) {
			t.Errorf("who guesses can see %s", secret)
		}
	}
}

func TestWhatIsNow(t *testing.T) {
	t.Parallel()
	page := scrape(t, New(), options())
	has(t, page,
		`sallyport_build_info{commit="abc",goversion="go1[^"]*",version="v1.2.3"} 1`,
		`sallyport_seat_taken 1`, `sallyport_seat_held_seconds (59|60)\..*`, `sallyport_seat_idle_seconds [01]\..*`,
		`sallyport_queue_clients 2`, `sallyport_queue_wait_seconds (29|30)\..*`, `sallyport_watchers 3`,
		`sallyport_lobby_connections 7`, `sallyport_penalised_sources 2`,
		`sallyport_certificate_remaining_seconds (3599|3600)\..*`, `sallyport_log_size_bytes 1000`, `sallyport_log_free_bytes 5000`,
		`sallyport_log_write_failures_total 4`, `sallyport_log_writable 1`, `process_open_fds .*`, `go_goroutines .*`,
	)
	for _, name := range []string{"alice", "bob", "carol", "192.0.2.1"} {
		if strings.Contains(page, name) {
			t.Errorf("the page names %s", name)
		}
	}
	free := scrape(t, New(), Options{Status: func() server.Status { return server.Status{} }})
	has(t, free, `sallyport_seat_taken 0`, `sallyport_seat_held_seconds 0`, `sallyport_queue_wait_seconds 0`)
	if strings.Contains(free, "sallyport_log_") || strings.Contains(free, "sallyport_certificate") {
		t.Error("it measures what it was not given")
	}
}

func TestLogThatCanNotBeWritten(t *testing.T) {
	t.Parallel()
	o := options()
	o.Log = func() audit.State { return audit.State{Free: -1, Failing: true, Failures: 1} }
	page := scrape(t, New(), o)
	has(t, page, `sallyport_log_writable 0`, `sallyport_log_write_failures_total 1`)
	if strings.Contains(page, "sallyport_log_free_bytes ") {
		t.Error("it says how much is free where that is unknown")
	}
}

// promtool check metrics uses the same package.
func TestNamesFollowTheConventions(t *testing.T) {
	t.Parallel()
	lint := func(page string) int {
		problems, err := promlint.New(strings.NewReader(page)).Lint()
		if err != nil {
			t.Error(err)
		}
		for _, p := range problems {
			t.Logf("%s: %s", p.Metric, p.Text)
		}
		return len(problems)
	}
	if lint(scrape(t, New(), options())) != 0 {
		t.Error("promlint found a problem")
	}
	if lint("# TYPE bad_count counter\nbad_count 1\n") == 0 {
		t.Error("control: promlint finds nothing")
	}
}

func FuzzRecord(f *testing.F) {
	f.Add(`alice`, `nonce`, 250)
	f.Add(`,"reason":"x",`, `\`, -1)
	f.Add(`{"event":"request"`, `"`, 0)
	f.Fuzz(func(t *testing.T, user, reason string, code int) {
		var line []byte
		l := audit.New(&bytes.Buffer{}, audit.Options{Observe: func(p []byte) { line = bytes.Clone(p) }})
		l.Info("login.fail", "1").Str("user", user).Str("reason", reason).Int("code", code).Send()
		var want struct {
			Event, Reason string
			Code          int
		}
		if err := json.Unmarshal(line, &want); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		r := record(line)
		if got := string(r.text("event")); got != want.Event {
			t.Errorf("event %q", got)
		}
		if got := string(r.text("reason")); got != want.Reason && !strings.ContainsAny(string(line), `\`) {
			t.Errorf("reason %q instead of %q", got, want.Reason)
		}
		if got := r.number("code"); got != float64(want.Code) {
			t.Errorf("code %v instead of %d", got, want.Code)
		}
	})
}

// Each request waits for Observe.
func TestObserveAllocatesNothing(t *testing.T) {
	line := requestLine()
	m := New()
	if n := testing.AllocsPerRun(100, func() { m.Observe(line) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func requestLine() (line []byte) {
	l := audit.New(&bytes.Buffer{}, audit.Options{Observe: func(p []byte) { line = bytes.Clone(p) }})
	l.Info("request", "abcdefgh").Int("n", 1).Str("verb", "ECHO").Int("argument_bytes", 5).Int("body_bytes", 0).
		Int("code", 250).Str("keyword", "").Int("reply_bytes", 12).Float64("duration", 0.000123).Send()
	return line
}

func BenchmarkObserve(b *testing.B) {
	line, m := requestLine(), New()
	for b.Loop() {
		m.Observe(line)
	}
}

func BenchmarkScrape(b *testing.B) {
	h := New().Handler(options())
	for b.Loop() {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/metrics", nil))
	}
}
