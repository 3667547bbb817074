package main

import (
	"testing"
	"time"

	"github.com/sallyport/sallyport/cmd/sallyport/backend"
)

// A serial device that is missing is looked for each second, a service or a command seldom.
func TestLongestPause(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]time.Duration{
		"serial:/dev/ttyUSB0,115200,8N1": time.Second, "tcp:127.0.0.1:1": 0, "exec:cat": 0,
	} {
		b, err := backend.Parse(spec, backend.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := longestPause(b); got != want {
			t.Errorf("%s: %v", spec, got)
		}
	}
}
