package protocol

import (
	"io"
	"testing"
)

// repeated is a peer that sends the same text again and again, one in each read.
type repeated string

func (text repeated) Read(p []byte) (int, error) {
	if len(p) < len(text) {
		return 0, io.ErrShortBuffer
	}
	return copy(p, text), nil
}

// BenchmarkParse measures the parts of a request that make no system call.
func BenchmarkParse(b *testing.B) {
	lines, replies, out := NewReader(repeated("ECHO 0123456789abcdef\r\n")), NewReader(repeated("250 0123456789abcdef\r\n")), []byte(nil)
	for _, part := range []struct {
		name string
		do   func() error
	}{
		{"command", func() error { _, err := ParseCommand([]byte("ECHO 0123456789abcdef")); return err }},
		{"body", func() error { _, err := ParseCommand([]byte("BODY 4096 ECHO")); return err }},
		{"line", func() error { _, err := lines.ReadLine(); return err }},
		{"reply", func() error { _, _, err := ReadReply(replies); return err }},
		{"request", func() (err error) {
			out, err = (&Request{Verb: "ECHO", Argument: "0123456789abcdef"}).Append(out[:0])
			return err
		}},
		{"answer", func() (err error) {
			out, err = (&Reply{Code: CodeDone, Text: "0123456789abcdef"}).Append(out[:0])
			return err
		}},
	} {
		b.Run("what="+part.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := part.do(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
