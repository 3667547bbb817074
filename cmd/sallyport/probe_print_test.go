package main

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sallyport/sallyport/scenarios/probe"
)

// On a terminal each progress line takes the place of the one before, also while results of one case are kept.
func TestProbePrinter(t *testing.T) {
	t.Parallel()
	prober, err := probe.New(probe.Config{
		Role: probe.ServerRole, Target: probe.Target{Dialect: "stdio"}, Command: []string{"true"}, Only: regexp.MustCompile("^03-nonce/other "),
	})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	p := &probePrinter{progressPrinter: progressPrinter{&out, true}, prober: prober, start: time.Now(), total: 9}
	all := prober.Cases()
	for i := range all {
		all[i].Verdict, all[i].Transcript = probe.Fail, []probe.Message{{From: "client", Text: "y,,n=" + strings.Repeat("é", 101)}}
		p.result(&all[i])
	}
	p.summary(all)
	if n, cleared := strings.Count(out.String(), " left"), strings.Count(out.String(), "\r\x1b[K"); n != len(all) || cleared < n {
		t.Errorf("%d progress lines, and %d times cleared: %q", n, cleared, &out)
	}
	if !strings.Contains(out.String(), " client: y,,n=ééé") || !utf8.Valid(out.Bytes()) {
		t.Errorf("a login without an altered message is not printed, or not as text: %q", &out)
	}
	if strings.Count(out.String(), "FAIL") != 1 || !strings.Contains(out.String(), "03-nonce/other plus, plain") {
		t.Errorf("the case is not printed once: %q", &out)
	}
}
