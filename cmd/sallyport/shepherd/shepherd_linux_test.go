package shepherd

import (
	"fmt"
	"net"
	"os"
	"testing"
	"time"
)

// TestMain makes this program the shepherd of its commands, as main does.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == Subcommand {
		code, err := Main(os.Args[2:])
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// start starts a shell command with a connection to nothing.
func start(t *testing.T, script string, stopBy time.Time) *Process {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	p, err := Start([]string{"sh", "-c", script}, conn, stopBy)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestWaitSaysThatTheTimeWasOver(t *testing.T) {
	for _, test := range []struct {
		script string
		stopBy time.Time
		code   int
		err    error
	}{
		{"trap 'exit 3' TERM; sleep 60 & wait", time.Now().Add(time.Second), 3, ErrOver},
		{"exit 4", time.Now().Add(time.Minute), 4, nil},
		{"exit 5", time.Time{}, 5, nil},
	} {
		code, err := start(t, test.script, test.stopBy).Wait()
		if code != test.code || err != test.err {
			t.Errorf("%s: %d, %v", test.script, code, err)
		}
	}
}

// bg and then fg: a stop from before the last SIGCONT, which is still on its way, would stop hold in the foreground.
func TestStopFromBeforeTheLastContinueIsForgotten(t *testing.T) {
	t.Parallel()
	p := &Process{job: job{paused: make(chan struct{}, 1)}, continues: 2}
	p.stoppedAfter(1)
	if len(p.paused) != 0 {
		t.Error("the command counts as stopped")
	}
	p.stoppedAfter(2)
	if len(p.paused) != 1 {
		t.Error("control: the command does not count as stopped")
	}
}
