package metrics

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"

	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/server/audit"
)

// Options say what is measured beside the records.
type Options struct {
	// Version and Commit are those of the build.
	Version, Commit string
	// Status is Server.Status. It is required.
	Status func() server.Status
	// Log returns the condition of the interaction log. It may hang. Nil leaves the log out.
	Log func() audit.State
	// CertificateEnd returns when the certificate that is served ends. Nil leaves it out.
	CertificateEnd func() time.Time
	// Fleet reports whether the server is in the directory of its fleet. It must not block. Nil leaves it out.
	Fleet func() bool
	// Checks are what /healthz asks for. Each may hang: one that takes longer than a second has failed.
	Checks []Check
}

// Check is something that the server can't serve without.
type Check struct {
	// Name begins the line of a check that has failed.
	Name string
	// Run returns why the server can't serve, or nil.
	Run func() error
}

// Limits of the HTTP server. A scraper needs one connection.
const (
	maxConnections = 32
	maxScrapes     = 4 // at once
	maxHeader      = 16 << 10
	requestTime    = 10 * time.Second
)

// Handler answers GET /metrics, and GET /healthz with 200 if all checks succeed, and otherwise with 503 and a line for
// each that failed.
func (m *Metrics) Handler(o Options) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry(o), promhttp.HandlerOpts{
		MaxRequestsInFlight: maxScrapes, Timeout: requestTime / 2, DisableCompression: true, // it costs more than it saves
	}))
	mux.Handle("GET /healthz", newHealth(o.Checks))
	return mux
}

// Serve answers the requests that arrive at l, until stop is called. Errors go to log.
func Serve(l net.Listener, h http.Handler, log *slog.Logger) (stop func()) {
	s := &http.Server{
		Handler: h, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ReadTimeout: requestTime, WriteTimeout: requestTime, MaxHeaderBytes: maxHeader,
	}
	s.SetKeepAlivesEnabled(false) // idle connections would keep others out
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := s.Serve(netutil.LimitListener(l, maxConnections)); err != http.ErrServerClosed {
			log.Error("metrics are no longer served", "error", err)
		}
	}()
	return func() {
		_ = s.Close()
		<-served
	}
}

// health answers /healthz.
type health []namedCheck

type namedCheck struct {
	name string
	run  *patient[error]
}

func newHealth(all []Check) (h health) {
	for _, c := range all {
		h = append(h, namedCheck{c.Name, &patient[error]{ask: c.Run}})
	}
	return h
}

func (h health) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	var failed []string
	for _, c := range h {
		switch err, answered := c.run.get(); {
		case !answered:
			failed = append(failed, fmt.Sprintf("%s: no answer within %v", c.name, patience))
		case err != nil:
			failed = append(failed, fmt.Sprintf("%s: %v", c.name, err))
		}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if len(failed) > 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, strings.Join(failed, "\n"))
		return
	}
	fmt.Fprintln(w, "ok")
}
