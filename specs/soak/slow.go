package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// syncDelay is how long a sync of the log takes on the slow disk.
const syncDelay = 50 * time.Millisecond

// canSlow reports whether strace is there, and the server syncs its log.
func (o *operator) canSlow() bool {
	_, err := exec.LookPath("strace")
	return err == nil && runtime.GOOS == "linux" && !slices.Contains(o.host.flags, "none")
}

// slow makes every sync of the server slow for a moment, as a busy disk does. It counts those that were, so that
// the table shows that it works.
func (o *operator) slow(ctx context.Context) error {
	trace := filepath.Join(o.soak.dir, fmt.Sprintf("act-%d-syncs", o.number))
	defer os.Remove(trace)
	const syncs = "fsync,fdatasync"
	strace := exec.CommandContext(ctx, "strace", "-f", "-qq", "-o", trace, "-p", strconv.Itoa(o.host.current().cmd.Process.Pid),
		"-e", "trace="+syncs, "-e", fmt.Sprintf("inject=%s:delay_enter=%d", syncs, syncDelay.Microseconds()))
	var words bytes.Buffer
	strace.Stderr = &words
	endWithParent(strace)
	if err := strace.Start(); err != nil {
		return err
	}
	pause(ctx, time.Duration(500+o.r.IntN(1500))*time.Millisecond)
	err := strace.Process.Signal(syscall.SIGINT) // it lets the server go
	_ = strace.Wait()                            // its exit code is that of the signal
	seen, failed := os.ReadFile(trace)
	if err = errors.Join(err, failed); err != nil {
		return fmt.Errorf("%w: strace: %s", err, words.String())
	}
	o.countN("syncs delayed", bytes.Count(seen, []byte("(DELAYED)")))
	return nil
}
