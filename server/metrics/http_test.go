package metrics

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/server/audit"
)

// ask returns what /healthz answers with these checks.
func ask(h http.Handler) (code int, text string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/healthz", nil))
	return w.Code, w.Body.String()
}

func handler(checks ...Check) http.Handler {
	return New().Handler(Options{Status: func() server.Status { return server.Status{} }, Checks: checks})
}

func TestHealth(t *testing.T) {
	t.Parallel()
	good := Check{"log", func() error { return nil }}
	bad := Check{"backend", func() error { return errors.New("it is down") }}
	if code, text := ask(handler(good)); code != 200 || text != "ok\n" {
		t.Error(code, text)
	}
	if code, text := ask(handler(good, bad, bad)); code != 503 || text != "backend: it is down\nbackend: it is down\n" {
		t.Error(code, text)
	}
}

// A disk that hangs must not hang the scraper, and must not collect goroutines.
func TestCheckThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		answer := make(chan error)
		h := handler(Check{"log", func() error { asked.Add(1); return <-answer }})
		for range 3 {
			began := time.Now()
			code, text := ask(h)
			if code != 503 || text != "log: no answer within 1s\n" || time.Since(began) != time.Second {
				t.Errorf("%d %q after %v", code, text, time.Since(began))
			}
		}
		if asked.Load() != 1 {
			t.Errorf("it was asked %d times", asked.Load())
		}
		answer <- nil
		synctest.Wait()
		go func() { answer <- nil }()
		if code, _ := ask(h); code != 200 {
			t.Errorf("%d after the answer", code)
		}
	})
}

func TestScrapeOfALogThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		free := make(chan audit.State)
		o := options()
		o.Log = func() audit.State { return <-free }
		page := scrape(t, New(), o)
		has(t, page, "sallyport_log_writable 0", "sallyport_seat_taken 1")
		if strings.Contains(page, "sallyport_log_size_bytes ") {
			t.Error("it knows the size")
		}
		free <- audit.State{}
	})
}

// pipes is a listener whose connections are in memory.
type pipes chan net.Conn

func (l pipes) Accept() (net.Conn, error) {
	c, ok := <-l
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (l pipes) Close() error   { close(l); return nil }
func (l pipes) Addr() net.Addr { return &net.TCPAddr{} }

// A stranger that says nothing, or reads nothing, must not keep its connection.
func TestSlowStrangers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := make(pipes)
		defer Serve(l, handler(), slog.New(slog.DiscardHandler))()
		for _, request := range []string{"", "GET /heal", "GET /healthz HTTP/1.1\r\nHost: x\r\nX: "} {
			client, conn := net.Pipe()
			l <- conn
			began := time.Now()
			if _, err := io.WriteString(client, request); err != nil {
				t.Error(err)
			}
			_, _ = io.Copy(io.Discard, client)
			if took := time.Since(began); took > requestTime {
				t.Errorf("%q: closed after %v", request, took)
			}
		}
	})
}

// A client that keeps its connection for a later request must not keep others out meanwhile.
func TestIdleClients(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := make(pipes)
		defer Serve(l, handler(), slog.New(slog.DiscardHandler))()
		for range maxConnections + 1 {
			client, conn := net.Pipe()
			defer client.Close()
			began := time.Now()
			l <- conn
			_, _ = io.WriteString(client, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
			answer, _ := io.ReadAll(client)
			if took := time.Since(began); took > time.Second || !strings.Contains(string(answer), "200 OK") {
				t.Fatalf("the connection ended after %v: %q", took, answer)
			}
		}
	})
}

func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := make(pipes)
		defer Serve(l, handler(), slog.New(slog.DiscardHandler))()
		accepted := 0
		for {
			client, conn := net.Pipe()
			defer client.Close()
			select {
			case l <- conn:
				accepted++
				continue
			case <-time.After(time.Second):
			}
			break
		}
		if accepted != maxConnections {
			t.Errorf("%d connections", accepted)
		}
	})
}
