package main

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/sallyport/sallyport/server/audit"
	"github.com/sallyport/sallyport/server/metrics"
)

// metricsPart serves /metrics and /healthz.
type metricsPart struct {
	addr    string
	metrics *metrics.Metrics
	ending  atomic.Bool // the shutdown has begun
}

func (p *metricsPart) define(flags *pflag.FlagSet) {
	flags.StringVar(&p.addr, "metrics", "", "`address` at which to serve /metrics (for Prometheus) and /healthz: PORT (on 127.0.0.1) or HOST:PORT")
	under(headingService, flags)
}

func (p *metricsPart) check() error {
	if p.addr == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(p.addr)
	if err != nil && !strings.Contains(p.addr, ":") {
		host, port, err = "", p.addr, nil
	}
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return usagef("--metrics is PORT or HOST:PORT, not %q", p.addr)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	p.addr, p.metrics = net.JoinHostPort(host, port), metrics.New()
	return nil
}

func (p *metricsPart) observe(line []byte) {
	if p.metrics != nil {
		p.metrics.Observe(line)
	}
}

func (p *metricsPart) start(r *running) (stop func(), err error) {
	if p.metrics == nil {
		return nil, nil
	}
	l, err := listen(p.addr)
	if err != nil {
		return nil, fmt.Errorf("--metrics: %w", err)
	}
	if !isLoopback(l.Addr().String()) {
		r.log.Warn("METRICS ARE PUBLIC: everyone who reaches this address can read them, without a login and in the clear; "+
			"give --metrics a port alone to keep them on this machine", "address", l.Addr().String())
	}
	version, commit := build()
	options := metrics.Options{
		Version: version, Commit: commit, Status: r.server.Status, Log: func() audit.State { _ = tryLog(r); return r.server.Audit.State() },
		CertificateEnd: func() time.Time { return r.certs.Leaf().NotAfter }, Checks: p.checks(r),
	}
	if entry := r.flags.fleet.entry.Load(); entry != nil {
		options.Fleet = func() bool { return entry.State().Up }
	}
	stop = metrics.Serve(l, p.metrics.Handler(options), r.log)
	fmt.Fprintf(r.stderr, "metrics at http://%s/metrics\n", l.Addr())
	return stop, nil
}

// The part follows the shutdown.
func (*metricsPart) reloading()     {}
func (*metricsPart) reloaded(error) {}
func (p *metricsPart) stopping()    { p.ending.Store(true) }

// checks returns what the server can't serve without.
func (p *metricsPart) checks(r *running) []metrics.Check {
	all := []metrics.Check{{Name: "server", Run: func() error {
		if p.ending.Load() {
			return errors.New("it is shutting down")
		}
		return nil
	}}, {Name: "certificate", Run: func() error {
		if end := r.certs.Leaf().NotAfter; time.Now().After(end) {
			return fmt.Errorf("it expired on %s", end.Format(time.DateOnly))
		}
		return nil
	}}}
	if !r.server.ServeUnlogged {
		all = append(all, metrics.Check{Name: "interaction log", Run: func() error { return tryLog(r) }})
	}
	if keeper := r.flags.keep.keeper; keeper != nil {
		all = append(all, metrics.Check{Name: "backend", Run: func() error {
			if keeper.Down() == nil {
				return nil
			}
			return errors.New("not reachable") // strangers may ask: the address and the error are in sallyport status
		}})
	}
	return all
}

// tryLog returns why the interaction log can't be written. It tries again to write what a failed write has left.
func tryLog(r *running) error {
	err := r.server.Audit.Flush()
	if err == nil && r.server.Audit.State().Free == 0 {
		err = syscall.ENOSPC
	}
	return inPlainWords(err)
}

// inPlainWords returns an error with its message.
func inPlainWords(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(message(err))
}
