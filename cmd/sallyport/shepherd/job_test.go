//go:build unix

package shepherd

import (
	"os"
	"syscall"
	"testing"
)

// One SIGCONT ends Pause, and is not reported again.
func TestPauseTakesTheSignalThatEndsIt(t *testing.T) {
	t.Parallel()
	j := job{continued: make(chan os.Signal, 1)}
	j.continued <- syscall.SIGCONT
	j.Pause()
	select {
	case <-j.Continued():
		t.Error("the command would be continued twice")
	default:
	}
}
