package metrics

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/sallyport/sallyport/protocol"
)

// Metrics counts records. It is safe for concurrent use.
type Metrics struct {
	connections, tlsFailures, sessions, sessionTime, streams, streamIn, streamOut, stuck, panics prometheus.Counter
	refused, logins, ended, waited, requests                                                     counters
	duration                                                                                     prometheus.Histogram
}

// durations are the bounds of the histogram of requests, in seconds: from one in memory to one at its time limit.
func durations() []float64 {
	return []float64{.0001, .0005, .001, .005, .01, .05, .1, .5, 1, 5, 10, 60, 300}
}

// New returns Metrics that have counted nothing.
func New() *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	return &Metrics{
		connections: counter("sallyport_connections_total", "Connections whose TLS handshake is over, or has failed."),
		tlsFailures: counter("sallyport_tls_failures_total", "TLS handshakes that failed."),
		refused: newCounters("sallyport_connections_refused_total",
			"Connections that a limit closed before the end of their handshake.", "reason", refusals()),
		logins: newCounters("sallyport_logins_total",
			"Logins by their result: ok, or why they failed.", "result", loginResults()),
		waited: newCounters("sallyport_queue_left_total",
			"Clients that no longer wait for the seat, by reason: granted, or why they left.", "reason", waitEndings()),
		sessions:    counter("sallyport_sessions_started_total", "Sessions that have begun."),
		ended:       newCounters("sallyport_sessions_ended_total", "Sessions that have ended, by reason.", "reason", endings()),
		sessionTime: counter("sallyport_session_seconds_total", "How long the sessions that have ended had the seat."),
		requests:    newCounters("sallyport_requests_total", "Requests that were answered, by the reply code.", "code", codes()),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "sallyport_request_duration_seconds", Buckets: durations(),
			Help: "Time from the arrival of a request, or the previous reply if that is later, to its reply. Streams are left out.",
		}),
		streams:   counter("sallyport_streams_total", "Streams to the backend that have begun."),
		streamIn:  counter("sallyport_stream_received_bytes_total", "Bytes of streams that the backend has taken."),
		streamOut: counter("sallyport_stream_sent_bytes_total", "Bytes of streams that the backend has given."),
		stuck:     counter("sallyport_handlers_stuck_total", "Handlers that kept the seat 5 s after they were cancelled."),
		panics:    counter("sallyport_handler_panics_total", "Handlers that panicked."),
	}
}

// Observe counts a record. It is meant for audit.Options.Observe.
func (m *Metrics) Observe(line []byte) {
	r := record(line)
	switch string(r.text("event")) {
	case "request":
		m.requests.with(r.literal("code")).Inc()
		if verb := string(r.text("verb")); verb != protocol.VerbStream && verb != protocol.VerbOpen {
			m.duration.Observe(r.number("duration"))
		}
	case "conn.accept":
		m.connections.Inc()
	case "conn.refuse":
		m.refused.with(r.text("reason")).Add(max(0, r.number("count")))
	case "tls.fail":
		m.tlsFailures.Inc()
	case "login.ok":
		m.logins.with([]byte("ok")).Inc()
	case "login.fail":
		m.logins.with(publicReason(r.text("reason"))).Inc()
	case "queue.leave":
		m.waited.with(r.text("reason")).Inc()
	case "session.open":
		m.sessions.Inc()
	case "session.close":
		m.ended.with(r.text("reason")).Inc()
		m.sessionTime.Add(max(0, r.number("duration")))
	case "stream.open":
		m.streams.Inc()
	case "stream.close":
		m.streamIn.Add(max(0, r.number("bytes_in")))
		m.streamOut.Add(max(0, r.number("bytes_out")))
	case "handler.stuck":
		m.stuck.Inc()
	case "handler.panic":
		m.panics.Inc()
	}
}

// registry returns a registry of everything that is measured.
func (m *Metrics) registry(o Options) *prometheus.Registry {
	r := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "sallyport_build_info", Help: "Always 1. The labels say which build runs.",
		ConstLabels: prometheus.Labels{"version": o.Version, "commit": o.Commit, "goversion": runtime.Version()},
	})
	build.Set(1)
	r.MustRegister(
		m.connections, m.tlsFailures, m.refused, m.logins, m.waited, m.sessions, m.ended, m.sessionTime, m.requests,
		m.duration, m.streams, m.streamIn, m.streamOut, m.stuck, m.panics, build, newMoment(o),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return r
}
