package audit_test

import (
	"bytes"
	"fmt"
	"time"

	"github.com/sallyport/sallyport/server/audit"
)

// Write a log and verify it, before and after an attacker edits it.
func ExampleVerify() {
	var file bytes.Buffer
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	log := audit.New(&file, audit.Options{Now: func() time.Time { return noon }})
	log.Info("login.ok", "7").Str("user", "alice").Send()
	log.Info("request", "7").Str("verb", "ECHO").Float64("duration", 8.2e-06).Send()
	if err := log.Flush(); err != nil { // before the server answers
		panic(err)
	}
	edited := bytes.Replace(file.Bytes(), []byte("alice"), []byte("mallory"), 1)

	report, err := audit.Verify(&file, "audit.jsonl", log.Head())
	fmt.Println(report.Lines, "lines,", err)
	_, err = audit.Verify(bytes.NewReader(edited), "audit.jsonl", "")
	fmt.Println(err)
	// Output:
	// 2 lines, <nil>
	// audit.jsonl:1: audit: chain mismatch: this line was changed, or lines before it were removed, added or moved
}
