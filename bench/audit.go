package bench

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/sallyport/sallyport/server/audit"
)

// audits are one record of a request: encoded, chained, and flushed, by itself or
// with others. The floor is one write(2) of as many octets to a file.
func audits() Group {
	g := Group{Name: "Audit", Rounds: 40}
	for _, batch := range []int{1, 64} {
		for _, where := range []string{"file", "null"} {
			g.Subjects = append(g.Subjects, Subject{
				Name:  fmt.Sprintf("log=%s/batch=%d/of=sallyport", where, batch),
				Start: func(t T) *Rig { return auditRig(t, where, batch) },
			})
		}
		g.Subjects = append(g.Subjects, Subject{
			Name: fmt.Sprintf("batch=%d/of=write", batch), Start: func(t T) *Rig { return writeRig(t, batch) },
		})
	}
	return g
}

func auditRig(t T, where string, batch int) *Rig {
	t.Helper()
	if where == "null" {
		return batches(batch, recording(logOf(t, "null"), batch))
	}
	path := filepath.Join(folder(t), "audit.jsonl")
	log, err := audit.Open(path, audit.Options{})
	if err != nil {
		t.Fatalf("log: %v", err)
	}
	t.Cleanup(func() { _ = log.Close() })
	rig := batches(batch, recording(log, batch))
	rig.After = func() error { return os.Truncate(path, 0) } // they would fill the disk
	return rig
}

// recording records and flushes a batch.
func recording(log *audit.Log, batch int) func() error {
	n := 0
	return func() error {
		for range batch {
			n++
			recordRequest(log, n)
		}
		return log.Flush()
	}
}

// recordRequest records a request as a session does.
func recordRequest(log *audit.Log, n int) {
	began := time.Now()
	log.Info("request", "ABCDEF-1").Int("n", n).Str("verb", "ECHO").Int("argument_bytes", 16).Int("body_bytes", 0).
		Int("code", 250).Str("keyword", "").Int("reply_bytes", 22).
		Float64("duration", time.Since(began).Seconds()).Send()
}

// writeRig writes what auditRig writes, in as few calls.
func writeRig(t T, batch int) *Rig {
	t.Helper()
	var records bytes.Buffer
	if err := recording(audit.New(&records, audit.Options{}), batch)(); err != nil {
		t.Fatalf("record: %v", err)
	}
	path := filepath.Join(folder(t), "records")
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatalf("records: %v", err)
	}
	t.Cleanup(func() { _ = file.Close() })
	rig := batches(batch, func() error {
		_, err := file.Write(records.Bytes())
		return err
	})
	rig.After = func() error { return os.Truncate(path, 0) }
	return rig
}

// batches is a rig of about as many operations as loop's.
func batches(batch int, do func() error) *Rig {
	calls := (loops + batch - 1) / batch
	return &Rig{Ops: calls * batch, Step: func() (time.Duration, error) {
		start := time.Now()
		for range calls {
			if err := do(); err != nil {
				return 0, err
			}
		}
		return time.Since(start), nil
	}}
}

// loginLogRig is what the log gets of one login and its first request: five
// records in four flushes, as what is answered meanwhile has them.
func loginLogRig(log *audit.Log) *Rig {
	const conn = "ABCDEF-1"
	return loop(func() error {
		log.Info("conn.accept", conn).Str("remote", "127.0.0.1:40000").Send()
		if err := log.Flush(); err != nil {
			return err
		}
		log.Info("tls.handshake", conn).Str("version", "TLS 1.3").Str("cipher", "TLS_AES_128_GCM_SHA256").
			Str("curve", "X25519MLKEM768").Bool("resumed", false).Str("alpn", "sallyport/1").Send()
		if err := log.Flush(); err != nil {
			return err
		}
		log.Info("login.ok", conn).Str("user", "alice").Str("mechanism", "SCRAM-SHA-256-PLUS").Str("binding", "tls-exporter").Send()
		log.Info("session.open", conn).Str("user", "alice").Float64("waited", 0.00001).Send()
		if err := log.Flush(); err != nil {
			return err
		}
		recordRequest(log, 1)
		return log.Flush()
	})
}
