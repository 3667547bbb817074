package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sallyport/sallyport/server"
)

// noting is a part that notes what is called.
type noting struct {
	name    string
	calls   *[]string
	invalid error                // of check
	begin   func(*running) error // nil: nothing
}

func (p noting) note(call string)            { *p.calls = append(*p.calls, p.name+" "+call) }
func (p noting) define(flags *pflag.FlagSet) { flags.Bool(p.name, false, "") }
func (p noting) check() error                { p.note("check"); return p.invalid }
func (p noting) reloading()                  { p.note("reloading") }
func (p noting) reloaded(err error)          { p.note(fmt.Sprint("reloaded ", err)) }
func (p noting) stopping()                   { p.note("stopping") }

func (p noting) observe(line []byte) {
	if strings.Contains(string(line), `"event":"server.reload"`) {
		p.note("observe")
	}
}

func (p noting) start(r *running) (stop func(), err error) {
	p.note("start")
	if p.begin == nil {
		return nil, nil
	}
	return func() { p.note("stop") }, p.begin(r)
}

// withParts runs serve with these parts until one of them stops it.
func withParts(t *testing.T, parts ...part) error {
	t.Helper()
	f, s, cmd := &serveFlags{maxBody: 1 << 20, parts: parts}, &server.Server{}, &cobra.Command{}
	f.define(cmd, s)
	if err := cmd.ParseFlags([]string{"--listen", "127.0.0.1:0", "--state", t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	return f.run(cmd, s)
}

func TestPartsFollowTheServer(t *testing.T) {
	t.Parallel()
	var calls []string
	err := withParts(t, noting{name: "a", calls: &calls, begin: func(*running) error { return nil }},
		noting{name: "b", calls: &calls},
		noting{name: "c", calls: &calls, begin: func(r *running) error {
			if err := r.reload(); err != nil {
				return err
			}
			r.stop(true)
			return nil
		}})
	want := []string{
		"a check", "b check", "c check", "a start", "b start", "c start",
		"a reloading", "b reloading", "c reloading", "a observe", "b observe", "c observe",
		"a reloaded <nil>", "b reloaded <nil>", "c reloaded <nil>",
		"a stopping", "b stopping", "c stopping", "c stop", "a stop",
	}
	if diff := cmp.Diff(want, calls); diff != "" || err != nil {
		t.Error(err, diff)
	}
}

func TestPartThatFailsEndsServe(t *testing.T) {
	t.Parallel()
	var calls []string
	fault := errors.New("fault")
	first := noting{name: "a", calls: &calls, begin: func(*running) error { return nil }}
	err := withParts(t, first, noting{name: "b", calls: &calls, begin: func(*running) error { return fault }}, noting{name: "c", calls: &calls})
	want := []string{"a check", "b check", "c check", "a start", "b start", "a stop"}
	if diff := cmp.Diff(want, calls); diff != "" || !errors.Is(err, fault) {
		t.Error(err, diff)
	}
	calls = nil
	err = withParts(t, first, noting{name: "b", calls: &calls, invalid: fault})
	if diff := cmp.Diff([]string{"a check", "b check"}, calls); diff != "" || !errors.Is(err, fault) {
		t.Error(err, diff)
	}
}
