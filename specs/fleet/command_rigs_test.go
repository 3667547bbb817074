package fleet

import (
	"bufio"
	"encoding/json"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport/server/fleet"
)

func TestRigsCommand(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	f := e.open()
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	register(t, f, 2, "psu", func() fleet.Rig {
		return fleet.Rig{Addr: "psu:7443", Holder: "al\x1b[2Jice", Since: since, Waiting: 3, Tags: map[string]string{"site": "b", "board": "imx8"}}
	})
	register(t, f, 3, "two", func() fleet.Rig { return fleet.Rig{Addr: "b:1", Seat: true} })
	register(t, f, 1, "two", func() fleet.Rig {
		return fleet.Rig{Addr: "a:1", Seat: true, Tags: map[string]string{"board": "imx8"}}
	})
	if _, err := e.client().Put(t.Context(), "lab/rigs/bad/"+id(4), "{"); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"rigs": `^warning: a value in etcd is ignored: lab/rigs/bad/\S+: it is no JSON object
NAME  ADDR      HOLDER +SINCE                WAITING  TAGS
psu   psu:7443  al\\x1b\[2Jice  2026-01-0\d \d\d:\d\d:05  3        board=imx8,site=b
two   a:1       - +-                    0        board=imx8
two   b:1       - +-                    0        -
$`,
		"rigs --tag board=imx8":              `\npsu .*\ntwo   a:1 .*\n$`,
		"rigs --tag board=imx8 --tag site=b": `WAITING  TAGS\npsu .*\n$`,
		"rigs --tag board=imx8,site=b":       `WAITING  TAGS\npsu .*\n$`,
		"rigs --tag board=imx9":              `\nno rig is in the directory with board=imx9\n$`,
		"rigs --tag board=imx8 --json":       `(?s)\n\{\n  "schema": "sallyport-rigs/1",\n  "rigs": \[\n    \{\n      "name": "psu",.*"waiting": 3`,
		"rigs --tag board=imx9 --json":       `"rigs": \[\]`,
		"rigs --fleet " + e.url() + "x":      `^no rigs under /labx: .*\n$`,
	} {
		command, more, _ := strings.Cut(args, " ")
		code, out := sallyport(t, "", append([]string{command, "--fleet", e.url()}, strings.Fields(more)...)...)
		if code != 0 || !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("%s: %d %s", args, code, out)
		}
	}
}

func TestRigsCommandFails(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]struct {
		code int
		says string
	}{
		"rigs --fleet etcd://127.0.0.1:1":         {3, "^sallyport rigs: etcd does not answer: 127.0.0.1:1: connect: connection refused\n$"},
		"rigs --watch --fleet etcd://127.0.0.1:1": {3, "^sallyport rigs: etcd does not answer: .*\n$"},
		"rigs":                       {2, "rigs needs --fleet, or SALLYPORT_FLEET in the environment"},
		"rigs --fleet etcd://h:1":    {2, "--fleet-ca"},
		"rigs --fleet x --tag board": {2, `"board" is not KEY=VALUE`},
	} {
		code, out := sallyport(t, "", strings.Split(args, " ")...)
		if code != want.code || !regexp.MustCompile(want.says).MatchString(out) {
			t.Errorf("%s: %d %s", args, code, out)
		}
	}
}

func TestRigsCommandFollows(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	f := e.open()
	register(t, f, 1, "a", plain)
	lines, objects := prepared(t.Context(), t, "rigs", "--watch", "--fleet", e.url()), prepared(t.Context(), t, "rigs", "--watch", "--json", "--fleet", e.url())
	var outs []*bufio.Scanner
	for _, cmd := range []*exec.Cmd{lines, objects} {
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		outs = append(outs, bufio.NewScanner(out))
	}
	line := func(i int) string {
		if !outs[i].Scan() {
			t.Fatal(outs[i].Err())
		}
		return outs[i].Text()
	}
	row := func(want string) {
		t.Helper()
		if got := line(0); !regexp.MustCompile(`^\d\d:\d\d:\d\d  ` + want + `$`).MatchString(got) {
			t.Error(got)
		}
	}
	count := func(want int) {
		t.Helper()
		var got struct{ Rigs []fleet.Rig }
		if err := json.Unmarshal([]byte(line(1)), &got); err != nil || len(got.Rigs) != want {
			t.Error(got, err)
		}
	}
	row("a  127.0.0.1:7443  -  -  0  -")
	count(1)
	b := register(t, f, 2, "b", plain)
	row("b  127.0.0.1:7443  -  -  0  -")
	count(2)
	b.Close()
	row("b  is gone")
	count(1)
	for _, cmd := range []*exec.Cmd{lines, objects} {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
}
