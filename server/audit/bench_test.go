package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkRecord encodes, chains and flushes records of requests. The floor is one write(2) of as many bytes.
func BenchmarkRecord(b *testing.B) {
	for _, batch := range []int{1, 64} {
		path := filepath.Join(b.TempDir(), "audit.jsonl")
		file, err := Open(path, Options{})
		check(b, err)
		defer file.Close()
		record := func(l *Log) error {
			for n := range batch {
				request(l, n)
			}
			return l.Flush()
		}
		var kept bytes.Buffer
		check(b, record(New(&kept, Options{})))
		bare := path + ".bare"
		floor, err := os.OpenFile(bare, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
		check(b, err)
		defer floor.Close()
		null := New(io.Discard, Options{})
		for name, do := range map[string]func() error{
			"file": func() error { return record(file) }, "null": func() error { return record(null) },
			"write": func() error { _, err := floor.Write(kept.Bytes()); return err },
		} {
			b.Run(fmt.Sprintf("batch=%d/to=%s", batch, name), func(b *testing.B) {
				b.ReportAllocs()
				for n := 0; b.Loop(); n++ {
					check(b, do())
					if n%10_000 == 0 { // they would fill the disk
						check(b, errors.Join(os.Truncate(path, 0), os.Truncate(bare, 0)))
					}
				}
				b.ReportMetric(float64(b.Elapsed())/float64(b.N*batch), "ns/record")
			})
		}
	}
}
