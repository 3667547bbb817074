package scenarios

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// runOne runs a script, and fails the test if it does not end within 50 s.
func runOne(t *testing.T, script string, target *Target) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan Result, 1)
	go func() { done <- Run(ctx, suiteOf(t, script).Scenarios[0], nil, target) }()
	select {
	case r := <-done:
		return r
	case <-time.After(50 * time.Second):
		t.Fatalf("%q does not end", script)
		return Result{}
	}
}

// silent is a server that accepts connections, sends nothing and closes none.
func silent(t *testing.T) *Remote {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	noError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = c.Close() })
		}
	}()
	return &Remote{Addr: l.Addr().String(), Passwords: map[string]string{"alice": "x"}}
}

func TestEveryStepEndsAtItsDeadline(t *testing.T) {
	t.Parallel()
	const connected = "alice connect\nalice hears 220\nnetwork delays alice 1h\n"
	for script, remote := range map[string]*Remote{
		connected + "alice sends NOOP":                                                nil,
		connected + "alice sends-part hex:00":                                         nil,
		connected + "alice authenticates":                                             nil,
		connected + "alice hangs-up":                                                  nil,
		"alice login\nnetwork delays alice 1h\nalice quit":                            nil,
		"alice login\nnetwork drops alice\nalice ask-body x9 A":                       nil,
		"server backend=duplex\nalice login\nalice streams\nalice sends-data x999999": nil,
		"server backend=duplex\nalice login\nalice streams\nalice hears-data x":       nil,
		"server backend=duplex\nbackend hears end":                                    nil,
		"sybil 3 garbage":      silent(t),
		"sybil 3 greeted":      silent(t),
		"alice login":          silent(t),
		"alice connect":        silent(t),
		"mallory proof flip=3": silent(t),
	} {
		r := runOne(t, script, &Target{Remote: remote, Timeout: 200 * time.Millisecond})
		if !errors.Is(r.Err, context.DeadlineExceeded) || !strings.Contains(r.Err.Error(), "nothing of the kind within 200ms") {
			t.Errorf("%q: got %s %v, want the end of its time", script, r.Status, r.Err)
		}
	}
}

func TestEndOfTheScriptEndsWhatIsInTheBackground(t *testing.T) {
	checkErrors(t, &Target{Timeout: time.Hour}, map[string]string{
		"sybil 500 idle &\nstop":                                                            "",
		"alice login\nbob login &\nbob notices holder\nstop":                                "",
		"server backend=echo\nalice login\nalice streams\nalice sends-data x999999 &\nstop": "",
		"? operator sees BLOCK &\nstop":                                                     "",
		"? log has event=never &\nstop":                                                     "",
		"? bob notices never &\nstop":                                                       "",
	})
}

// A network that drops everything does so without a delay, too.
func TestNothingGetsThroughADroppedLink(t *testing.T) {
	t.Parallel()
	near, far := net.Pipe()
	defer far.Close()
	l := newLink(near, nil)
	l.drop()
	for range 100 {
		if l.hold() {
			t.Fatal("something gets through")
		}
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// The files of a scenario stay in the folder for them, whatever it is called.
func TestKeepsFilesInTheirFolder(t *testing.T) {
	t.Parallel()
	for name, kept := range map[string]bool{"good": true, "of/a folder": true, "..": false, ".": false, "-..-": false} {
		above := t.TempDir()
		keep := filepath.Join(above, "keep")
		s, err := parse(name, name+extension, []byte("# Keeps.\nstop\n-- file --\nx\n"))
		noError(t, err)
		if r := Run(t.Context(), s, nil, &Target{Keep: keep}); (r.Err == nil) != kept {
			t.Errorf("%q: %v", name, r.Err)
		}
		for _, outside := range []string{above, keep} {
			if _, err := os.Stat(filepath.Join(outside, "file")); err == nil {
				t.Errorf("%q writes into %s", name, outside)
			}
		}
	}
}

// A short file must not fill the memory.
func TestMemoryIsBounded(t *testing.T) {
	line := strings.Repeat("$a", 8000)
	checkErrors(t, &Target{}, map[string]string{
		"env a=0123456789abcdef" + strings.Repeat("\nenv a=$a$a", 40):                                 "10: env a=",
		"alice login\nalice ask ECHO " + strings.Repeat("x", 5000) + "\nalice hears 250 -> a":         "4: alice hears 250 -> a: a variable can't have 5000 bytes",
		"env a=" + strings.Repeat("x", 4000) + strings.Repeat("\necho "+line, 5):                      "more than 67108864 bytes",
		strings.Repeat("cat big\n", 100) + "-- big --\n" + strings.Repeat("0123456789abcde\n", 1<<17): "more than 67108864 bytes",
	})
}
