package bench

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/server/audit"
)

// Window is how many requests are on their way at once in Pipeline. Line is what each of them carries.
const (
	Window = 64
	Line   = "0123456789abcdef"
)

// requests are round trips on an open session. The floors echo the same bytes: over plain TCP, over TLS,
// and over TLS with one write(2) of a record as long as the log's, which is the least that a log costs.
func requests() Group {
	g := Group{Name: "Request", Rounds: 60, Block: 20 * time.Millisecond}
	for _, size := range []int{64, 4096, 65536} {
		body := bytes.Repeat([]byte("x"), size)
		echo := Exchange{fmt.Appendf(nil, "BODY %d ECHO\r\n%s", size, body), fmt.Appendf(nil, "251 %d\r\n%s", size, body)}
		add := func(of string, start func(T) *Rig) {
			name := fmt.Sprintf("size=%d/of=%s", size, of)
			g.Subjects = append(g.Subjects, Subject{name, int64(len(echo.Request) + len(echo.Reply)), start})
		}
		add("sallyport", func(t T) *Rig { return request(seated(t, fileLog(t)), body) })
		add("sallyport-nulllog", func(t T) *Rig { return request(seated(t, nullLog()), body) })
		add("tls", func(t T) *Rig { return echo.rig(t, floor{tls: ServerTLS(testserver.ECDSA)}, 1) })
		add("tcp", func(t T) *Rig { return echo.rig(t, floor{}, 1) })
		add("tls+write", func(t T) *Rig {
			return echo.rig(t, floor{tls: ServerTLS(testserver.ECDSA), log: appendTo(t), record: recordOf(t, body)}, 1)
		})
	}
	return g
}

// pipelines are batches of short requests, each batch in one write. ns/op is for one request. The floor
// answers as many bytes over TLS in one write.
func pipelines() Group {
	request, reply := "ECHO "+Line+"\r\n", "250 "+Line+"\r\n"
	batch := Exchange{[]byte(strings.Repeat(request, Window)), []byte(strings.Repeat(reply, Window))}
	subject := func(of string, start func(T) *Rig) Subject {
		return Subject{fmt.Sprintf("window=%d/of=%s", Window, of), int64(len(request) + len(reply)), start}
	}
	return Group{Name: "Pipeline", Rounds: 60, Block: 20 * time.Millisecond, Subjects: []Subject{
		subject("sallyport", func(t T) *Rig { return pipeline(seated(t, fileLog(t))) }),
		subject("sallyport-nulllog", func(t T) *Rig { return pipeline(seated(t, nullLog())) }),
		subject("tls", func(t T) *Rig { return batch.rig(t, floor{tls: ServerTLS(testserver.ECDSA)}, Window) }),
	}}
}

// rig measures the exchange with a floor, which stands for so many operations.
func (e Exchange) rig(t T, f floor, ops int) *Rig {
	t.Helper()
	f.talk = []Exchange{e}
	c, err := net.Dial("tcp", f.start(t))
	Check(t, err)
	t.Cleanup(func() { _ = c.Close() })
	if f.tls != nil {
		c = tls.Client(c, ClientTLS(testserver.ECDSA))
	}
	Check(t, greeted(c))
	in := make([]byte, len(e.Reply))
	return Timed(ops, func() error { return e.Ask(c, in) })
}

func request(c *client.Client, body []byte) *Rig {
	ctx := context.Background()
	request, buffer := protocol.Request{Verb: "ECHO", Body: body}, make([]byte, len(body))
	return Timed(1, func() error {
		reply, err := c.DoInto(ctx, request, buffer)
		if err == nil && (len(reply.Body) != len(body) || reply.Body[0] != body[0]) {
			err = fmt.Errorf("bench: answered %.60q", reply.Body)
		}
		return err
	})
}

func pipeline(c *client.Client) *Rig {
	ctx, batch := context.Background(), make([]protocol.Request, Window)
	for i := range batch {
		batch[i] = protocol.Request{Verb: "ECHO", Argument: Line}
	}
	replies := make([]protocol.Reply, 0, Window)
	return Timed(Window, func() (err error) {
		replies, err = c.Pipeline(ctx, batch, replies[:0])
		if err == nil && replies[Window-1].Text != Line {
			err = fmt.Errorf("bench: answered %.60q", replies[Window-1].Text)
		}
		return err
	})
}

// serve runs the product with all limits at their defaults, except that one user may have all places in the queue.
func serve(t T, log *audit.Log, configure func(*server.Server)) *testserver.Server {
	t.Helper()
	h, err := testserver.Start(func(h *testserver.Server) {
		h.Audit, h.Limits, h.Admission = log, server.Limits{}, server.Queue{PerUser: 16}
		if configure != nil {
			configure(h.Server)
		}
	})
	Check(t, err)
	t.Cleanup(func() { Check(t, h.Stop()) })
	return h
}

// seated returns a client that has the seat.
func seated(t T, log *audit.Log) *client.Client {
	t.Helper()
	c, err := newUser(t, serve(t, log, nil), scram.MinIterations, nil).login()
	Check(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// nullLog is an interaction log that keeps nothing.
func nullLog() *audit.Log { return audit.New(io.Discard, audit.Options{}) }

// fileLog is an interaction log in a file, chained.
func fileLog(t T) *audit.Log {
	t.Helper()
	log, err := audit.Open(appendTo(t).Name(), audit.Options{})
	Check(t, err)
	t.Cleanup(func() { _ = log.Close() })
	return log
}

// appendTo is a file that is opened as the log's is.
func appendTo(t T) *os.File {
	t.Helper()
	made, err := os.CreateTemp("", "sallyport-bench-")
	Check(t, err)
	file, err := os.OpenFile(made.Name(), os.O_WRONLY|os.O_APPEND, 0)
	Check(t, err)
	t.Cleanup(func() { _, _, _ = made.Close(), file.Close(), os.Remove(made.Name()) })
	return file
}

// recordOf returns the log's record of a request with such a body.
func recordOf(t T, body []byte) []byte {
	t.Helper()
	var kept bytes.Buffer
	_, err := request(seated(t, audit.New(&kept, audit.Options{})), body).Step()
	Check(t, err)
	lines := bytes.SplitAfter(kept.Bytes(), []byte("\n"))
	return lines[len(lines)-2]
}
