package backend

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/cmd/sallyport/shepherd"
)

// TestMain makes this program the shepherd of its commands, as main does.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == shepherd.Subcommand {
		code, err := shepherd.Main(os.Args[2:])
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		os.Exit(code)
	}
	os.Exit(m.Run())
}

func TestParseSaysWhatIsWrong(t *testing.T) {
	for spec, want := range map[string]string{
		"":                               "--backend is tcp:HOST:PORT, unix:PATH, serial:DEVICE,115200,8N1, exec:COMMAND or pty:COMMAND, not",
		"tcp:":                           "--backend is tcp:HOST:PORT",
		"/dev/ttyUSB0":                   "say its speed and form too, as in --backend serial:/dev/ttyUSB0,115200,8N1",
		"pty: ":                          "--backend is tcp:HOST:PORT",
		"exec:\t":                        "--backend is tcp:HOST:PORT",
		"udp:localhost:1":                "not \"udp:localhost:1\"",
		"tcp:localhost:99999":            "--backend tcp:HOST:PORT: address 99999: invalid port",
		"tcp:localhost":                  "--backend tcp:HOST:PORT: address localhost: missing port",
		"serial:/dev/ttyUSB0":            "as in serial:/dev/ttyUSB0,115200,8N1: not \"/dev/ttyUSB0\"",
		"serial:,9600,8N1":               "as in serial:/dev/ttyUSB0,115200,8N1: not",
		"serial:/dev/t,fast,8N1":         `the speed "fast" is no number`,
		"serial:/dev/t,0,8N1":            "a speed is between 1 and",
		"serial:/dev/t,9600,8n1":         `a form is like 8N1: 5 to 8 data bits, the parity N, E, O, M or S, 1 or 2 stop bits; not "8n1"`,
		"serial:/dev/t,9600,8N1,xonxoff": "xonxoff is not supported",
	} {
		_, err := Parse(spec, Options{})
		if _, usage := errors.AsType[UsageError](err); !usage || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", spec, err)
		}
	}
	for spec, want := range map[string]string{
		"tcp:localhost:1": `--backend-user is for exec: and pty:, which run a command: leave it out with "tcp:localhost:1"`,
		"exec:true":       `--backend-user: there is no user "no such user" on this machine`,
	} {
		_, err := Parse(spec, Options{User: "no such user"})
		if _, usage := errors.AsType[UsageError](err); !usage || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", spec, err)
		}
	}
}

func TestParseReadsALine(t *testing.T) {
	for _, spec := range []string{"/dev/a,b,9600,5M2", "/dev/ttyUSB0,115200,8N1", "COM3,300,7E1", "/dev/ttyS1,1000000,6O2", "x,1,8S1"} {
		b, err := Parse("serial:"+spec, Options{})
		if err != nil {
			t.Fatal(err)
		}
		d := b.opener.(*serialDevice)
		if got := d.path + "," + modeText(d.mode); got != spec || d.rtscts {
			t.Errorf("%s: %s", spec, got)
		}
	}
}
