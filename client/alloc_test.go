package client

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"testing"

	"github.com/sallyport/sallyport/protocol"
)

// Do allocates no more than writing and reading the same records does.
func TestDoAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector has pools drop what they hold")
	}
	for _, size := range []int{100, 64 << 10} {
		body, buffer := make([]byte, size), make([]byte, size)
		c := seated(t, serveEcho)
		line := must((&protocol.Request{Verb: "ECHO", Body: body}).Append(nil))
		answer := make([]byte, len(fmt.Sprintf("251 %d\r\n", size))+size)
		plain := rawEcho(t)
		exchange := func() {
			out := append(line, body[:min(size, recordSize-len(line))]...)
			plain.Write(out[:len(line)+min(size, recordSize-len(line))])
			if size > recordSize {
				plain.Write(body[recordSize-len(line):])
			}
			if _, err := io.ReadFull(plain, answer); err != nil {
				t.Fatal(err)
			}
		}
		line = append(make([]byte, 0, recordSize), line...)
		request := protocol.Request{Verb: "ECHO", Body: body}
		do := func() {
			if _, err := c.DoInto(context.Background(), request, buffer); err != nil {
				t.Fatal(err)
			}
		}
		if ours, floor := testing.AllocsPerRun(300, do), testing.AllocsPerRun(300, exchange); ours > floor {
			t.Errorf("%d bytes: %v allocations, where TLS alone has %v", size, ours, floor)
		}
	}
}

// rawEcho is a TLS connection to serveEcho, without a client.
func rawEcho(t testing.TB) *tls.Conn {
	addr := serve(t, serverTLS(), serveEcho)
	conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: trusting(goodCertificate()), NextProtos: []string{protocol.ALPN}})
	check(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

func BenchmarkDo(b *testing.B) {
	for _, size := range []int{0, 1 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("body=%d", size), func(b *testing.B) {
			c := seated(b, serveEcho)
			request, buffer := protocol.Request{Verb: "ECHO", Body: make([]byte, size)}, make([]byte, size)
			b.SetBytes(int64(2 * size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.DoInto(context.Background(), request, buffer); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkPipeline(b *testing.B) {
	c := seated(b, serveEcho)
	requests := make([]protocol.Request, 100)
	for i := range requests {
		requests[i] = protocol.Request{Verb: "ECHO", Body: []byte("0123456789")}
	}
	var replies []protocol.Reply
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if replies, err = c.Pipeline(context.Background(), requests, replies[:0]); err != nil {
			b.Fatal(err)
		}
	}
}
