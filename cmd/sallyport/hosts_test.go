package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestWithHost(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"connect rig1: STAT":                     "connect --host=rig1 STAT",
		"connect rig1: --open":                   "connect --host=rig1 --open",
		"connect --user bob --open rig1:":        "connect --user bob --open --host=rig1",
		"connect --user rig1: STAT":              "connect --user rig1: STAT",
		"connect --user=bob rig1: ECHO rig2:":    "connect --user=bob --host=rig1 ECHO rig2:",
		"connect ECHO rig1:":                     "connect ECHO rig1:",
		"connect -- rig1: x":                     "connect -- rig1: x",
		"connect : x":                            "connect : x",
		"connect":                                "connect",
		"connect --addr":                         "connect --addr",
		"hold rig1: -- make x:":                  "hold --host=rig1 -- make x:",
		"hold rig1: --forward 0 -- make":         "hold --host=rig1 --forward 0 -- make",
		"status -w rig1:":                        "status -w --host=rig1",
		"forward --listen 5025 rig1:":            "forward --listen 5025 --host=rig1",
		"log show rig1:":                         "log show rig1:",
		"replay rig1:":                           "replay rig1:",
		"nosuch rig1:":                           "nosuch rig1:",
		"__complete connect rig1: --us":          "__complete connect rig1: --us",
		"connect --help rig1:":                   "connect --help --host=rig1",
		"connect --password-file - rig1: WHOAMI": "connect --password-file - --host=rig1 WHOAMI",
	} {
		if got := strings.Join(withHost(rootCommand(), strings.Fields(in)), " "); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
}

// The order is: command line, environment, file of hosts; an alternative of a flag counts like the flag.
func TestOrderOfSources(t *testing.T) {
	if runtime.GOOS == "windows" || runtime.GOOS == "darwin" {
		t.Skip("the directory is elsewhere")
	}
	dir := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", dir)
	if err := os.Mkdir(filepath.Join(dir, "sallyport"), 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "sallyport", "hosts")
	text := "[rig1]\naddr = file:1\nuser = file\npin = file\npassword-file = /file\ncert = /file\nkey = /file\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	shown := []string{"addr", "user", "ca", "pin", "cert", "key", "password-file", "password-stdin"}
	for name, test := range map[string]struct{ args, env, want string }{
		"the file":                {"", "", "file:1 file  file /file /file /file false"},
		"the environment":         {"", "USER=env ADDR=env:1", "env:1 env  file /file /file /file false"},
		"the command line":        {"--user line", "USER=env", "file:1 line  file /file /file /file false"},
		"ca for pin":              {"--ca line", "", "file:1 file line  /file /file /file false"},
		"ca in the environment":   {"", "CA=env", "file:1 file env  /file /file /file false"},
		"pin beats ca of the env": {"--pin line", "CA=env", "file:1 file  line /file /file /file false"},
		"cert alone":              {"--cert line", "", "file:1 file  file line  /file false"},
		"the password on stdin":   {"--password-stdin", "PASSWORD_FILE=env", "file:1 file  file /file /file  true"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, pair := range strings.Fields(test.env) {
				variable, value, _ := strings.Cut(pair, "=")
				t.Setenv(envPrefix+variable, value)
			}
			f := &dialFlags{}
			cmd := &cobra.Command{}
			f.define(cmd)
			flags := cmd.Flags()
			err := flags.Parse(append([]string{"--host=rig1"}, strings.Fields(test.args)...))
			if err == nil {
				err = fromEnvironment(flags)
			}
			if err == nil {
				err = fromHosts(flags)
			}
			var got []string
			for _, name := range shown {
				got = append(got, fmt.Sprint(flags.Lookup(name).Value))
			}
			if text := strings.Join(got, " "); err != nil || text != test.want {
				t.Errorf("%v\ngot    %s\nwanted %s", err, text, test.want)
			}
		})
	}
}

// SALLYPORT_HOST names a server, and not the host of a certificate.
func TestHostOfTheEnvironment(t *testing.T) {
	t.Setenv("SALLYPORT_HOST", "rig1")
	cmd := certNewCommand()
	if err := fromEnvironment(cmd.Flags()); err != nil || cmd.Flags().Changed("host") {
		t.Error(err, cmd.Flags().Changed("host"))
	}
	f := &dialFlags{}
	dial := &cobra.Command{}
	f.define(dial)
	if err := fromEnvironment(dial.Flags()); err != nil || f.host != "rig1" {
		t.Error("control:", err, f.host)
	}
}
