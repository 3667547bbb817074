package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/server/audit"
)

// moment collects the gauges, at each scrape.
type moment struct {
	status func() server.Status
	log    *patient[audit.State] // nil without
	end    *patient[time.Time]   // nil without
	fleet  func() bool           // nil without
}

func newMoment(o Options) *moment {
	m := &moment{status: o.Status, fleet: o.Fleet}
	if o.Log != nil {
		m.log = &patient[audit.State]{ask: o.Log}
	}
	if o.CertificateEnd != nil {
		m.end = &patient[time.Time]{ask: o.CertificateEnd}
	}
	return m
}

func described(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, nil) }

var (
	seatTaken = described("sallyport_seat_taken", "1 if a client has the seat, 0 if it is free.")
	seatHeld  = described("sallyport_seat_held_seconds", "How long the client has had the seat. 0 if it is free.")
	seatIdle  = described("sallyport_seat_idle_seconds", "How long the client that has the seat has been idle. 0 if it is free.")
	waiting   = described("sallyport_queue_clients", "Clients that wait for the seat.")
	longest   = described("sallyport_queue_wait_seconds", "How long the next client has waited for the seat. 0 if none waits.")
	watching  = described("sallyport_watchers", "Clients that watch the backend.")
	inLobby   = described("sallyport_lobby_connections", "Connections before the end of their login.")
	penalised = described("sallyport_penalised_sources", "Sources that are kept out now.")
	certLeft  = described("sallyport_certificate_remaining_seconds", "How long the certificate that is served is still valid. Negative after its end.")
	logSize   = described("sallyport_log_size_bytes", "Size of the file of the interaction log.")
	logFree   = described("sallyport_log_free_bytes", "Free space on the disk of the interaction log.")
	logFailed = described("sallyport_log_write_failures_total", "Writes of the interaction log that failed.")
	fleetUp   = described("sallyport_fleet_up", "1 if the server is in the directory of its fleet, 0 if etcd does not answer.")
	logGood   = described("sallyport_log_writable", "1 if the interaction log can be written, 0 if not, or if it takes more than a second to say so.")
)

// Describe is prometheus.Collector.
func (m *moment) Describe(all chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		seatTaken, seatHeld, seatIdle, waiting, longest, watching, inLobby, penalised, certLeft, logSize, logFree, logFailed, logGood, fleetUp,
	} {
		all <- d
	}
}

// Collect is prometheus.Collector.
func (m *moment) Collect(all chan<- prometheus.Metric) {
	set := func(d *prometheus.Desc, value float64) {
		all <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value)
	}
	now := time.Now()
	m.collectSeat(now, set)
	if m.end != nil {
		if end, answered := m.end.get(); answered {
			set(certLeft, end.Sub(now).Seconds())
		}
	}
	if m.fleet != nil {
		set(fleetUp, truth(m.fleet()))
	}
	if m.log != nil {
		m.collectLog(all, set)
	}
}

func (m *moment) collectLog(all chan<- prometheus.Metric, set func(*prometheus.Desc, float64)) {
	state, answered := m.log.get()
	set(logGood, truth(answered && !state.Failing))
	if !answered {
		return
	}
	set(logSize, float64(state.Size))
	if state.Free >= 0 {
		set(logFree, float64(state.Free))
	}
	all <- prometheus.MustNewConstMetric(logFailed, prometheus.CounterValue, float64(state.Failures))
}

func (m *moment) collectSeat(now time.Time, set func(*prometheus.Desc, float64)) {
	s := m.status()
	held, idle, wait := 0., 0., 0.
	if s.Holder != nil {
		held, idle = now.Sub(s.Holder.Since).Seconds(), now.Sub(s.Holder.Active).Seconds()
	}
	if len(s.Waiting) > 0 {
		wait = now.Sub(s.Waiting[0].Since).Seconds()
	}
	set(seatTaken, truth(s.Holder != nil))
	set(seatHeld, max(0, held))
	set(seatIdle, max(0, idle))
	set(waiting, float64(len(s.Waiting)))
	set(longest, max(0, wait))
	set(watching, float64(s.Watching))
	set(inLobby, float64(s.Lobby))
	set(penalised, float64(s.Penalised))
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
