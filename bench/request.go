package bench

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/server/audit"
	"github.com/sallyport/sallyport/specs/harness"
)

// window is how many requests are on their way at once in Pipeline.
const window = 64

// requests are round trips on an open session. The floors echo the same octets:
// over plain TCP, over TLS, and over TLS with one write(2) of a record as long
// as the log's, which is what keeping a log at all costs.
func requests() Group {
	g := Group{Name: "Request", Rounds: 60}
	for _, size := range []int{64, 4096, 65536} {
		body := strings.Repeat("x", size)
		request, reply := fmt.Sprintf("BODY %d ECHO\r\n%s", size, body), fmt.Sprintf("251 %d\r\n%s", size, body)
		octets, wire := int64(len(request)+len(reply)), echo{request: request, reply: reply}
		ours := func(log string) func(T) *Rig {
			return func(t T) *Rig { return requestRig(seated(t, logOf(t, log)), []byte(body)) }
		}
		add := func(name string, start func(T) *Rig) {
			g.Subjects = append(g.Subjects, Subject{Name: fmt.Sprintf("size=%d/%s", size, name), Bytes: octets, Start: start})
		}
		add("of=sallyport", ours("file"))
		add("of=sallyport-nulllog", ours("null"))
		add("of=tls", func(t T) *Rig { return wire.rig(t, 1) })
		add("of=tcp", func(t T) *Rig { return wire.plainly().rig(t, 1) })
		add("of=tls+write", func(t T) *Rig { return wire.recording(t, recordOf(t, size)).rig(t, 1) })
	}
	return g
}

// pipelines are batches of short requests, each batch in one write; ns/op is for
// one request. The floor is TLS that answers as many octets in one write.
func pipelines() Group {
	const line = "0123456789abcdef"
	batch := echo{request: strings.Repeat("ECHO "+line+"\r\n", window), reply: strings.Repeat("250 "+line+"\r\n", window)}
	name := func(rest string) string { return fmt.Sprintf("window=%d/%s", window, rest) }
	octets := int64(len(batch.request)+len(batch.reply)) / window
	ours := func(log string) func(T) *Rig {
		return func(t T) *Rig { return pipelineRig(seated(t, logOf(t, log)), line) }
	}
	return Group{Name: "Pipeline", Rounds: 60, Subjects: []Subject{
		{Name: name("of=sallyport"), Bytes: octets, Start: ours("file")},
		{Name: name("of=sallyport-nulllog"), Bytes: octets, Start: ours("null")},
		{Name: name("of=tls"), Bytes: octets, Start: func(t T) *Rig { return batch.rig(t, window) }},
	}}
}

func requestRig(c *client.Client, body []byte) *Rig {
	ctx := context.Background()
	request, buffer := protocol.Request{Verb: "ECHO", Body: body}, make([]byte, len(body))
	return &Rig{Step: func() (time.Duration, error) {
		start := time.Now()
		reply, err := c.DoInto(ctx, request, buffer)
		took := time.Since(start)
		if err == nil && (len(reply.Body) != len(body) || reply.Body[0] != body[0]) {
			err = fmt.Errorf("answered %.60q", reply.Body)
		}
		return took, err
	}}
}

func pipelineRig(c *client.Client, line string) *Rig {
	ctx, batch := context.Background(), make([]protocol.Request, window)
	for i := range batch {
		batch[i] = protocol.Request{Verb: "ECHO", Argument: line}
	}
	replies := make([]protocol.Reply, 0, window)
	return &Rig{Ops: window, Step: func() (took time.Duration, err error) {
		start := time.Now()
		replies, err = c.Pipeline(ctx, batch, replies[:0])
		took = time.Since(start)
		if err == nil && replies[window-1].Text != line {
			err = fmt.Errorf("answered %.60q", replies[window-1].Text)
		}
		return took, err
	}}
}

// serve runs the product with all limits at their defaults, and nobody on the wire.
func serve(t T, log *audit.Log, configure func(*server.Server)) *harness.H {
	t.Helper()
	return harness.Start(t, func(s *server.Server) {
		s.Audit, s.Limits = log, server.Limits{}
		if configure != nil {
			configure(s)
		}
	})
}

// dialer is a client of h's server as people have it, but for whom it trusts.
func dialer(h *harness.H) *client.Dialer {
	return &client.Dialer{TLSConfig: &tls.Config{RootCAs: h.Roots}}
}

// seated is a client of the product that has the seat.
func seated(t T, log *audit.Log) *client.Client {
	t.Helper()
	h := serve(t, log, nil)
	c, err := dialer(h).Dial(context.Background(), h.Addr, harness.Credentials("alice"))
	if err != nil {
		t.Fatalf("login: %v", err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// logOf makes an interaction log, chained, in a file or on a writer that takes
// everything and keeps nothing.
func logOf(t T, where string) *audit.Log {
	t.Helper()
	if where == "null" {
		return audit.New(io.Discard, audit.Options{})
	}
	log, err := audit.Open(filepath.Join(folder(t), "audit.jsonl"), audit.Options{})
	if err != nil {
		t.Fatalf("log: %v", err)
	}
	t.Cleanup(func() { _ = log.Close() })
	return log
}

// recording is the floor with a record of so many octets in a file before each
// reply.
func (e echo) recording(t T, size int) echo {
	t.Helper()
	e.record, e.size = recordsFile(t), size
	return e
}

func recordsFile(t T) *os.File {
	t.Helper()
	file, err := os.OpenFile(filepath.Join(folder(t), "records"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatalf("records: %v", err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return file
}

func (e echo) plainly() echo {
	e.plain = true
	return e
}

// recordOf is how long the log's record of a request is.
func recordOf(t T, size int) int {
	t.Helper()
	var kept bytes.Buffer
	rig := requestRig(seated(t, audit.New(&kept, audit.Options{})), make([]byte, size))
	if _, err := rig.turn(1); err != nil {
		t.Fatalf("record: %v", err)
	}
	lines := bytes.Split(bytes.TrimSpace(kept.Bytes()), []byte("\n"))
	return len(lines[len(lines)-1]) + 1
}

func folder(t T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sallyport-bench-")
	if err != nil {
		t.Fatalf("folder: %v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
