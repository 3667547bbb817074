package report_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"github.com/sallyport/sallyport/scenarios"
	"github.com/sallyport/sallyport/scenarios/report"
)

// began is when every scenario here begins.
var began = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// example is one result with something in all of its fields; change makes it the case at hand.
func example(change func(*scenarios.Result)) scenarios.Result {
	r := scenarios.Result{
		Scenario: &scenarios.Scenario{Name: "a/b", File: "a/b.txtar", Title: "What it shows.", Labels: []string{"promise:1"}},
		Status:   scenarios.Passed, Start: began, Duration: 2 * time.Second,
		Steps: []scenarios.Step{{Line: 3, Who: "alice", Text: "ask TIME", Start: time.Second, Duration: 1500 * time.Microsecond}},
		Exchanges: []scenarios.Exchange{
			{At: time.Second, From: "alice", To: "server", Text: "TIME", Wire: []byte{0x17, 3, 3, 0xff}, Size: 4},
			{At: time.Second, From: "server", To: "alice", Text: "250 now", Wire: make([]byte, 64), Size: 1883},
		},
		Log: []json.RawMessage{json.RawMessage(`{"time":"2026-01-02T03:04:05.25Z","event":"request","verb":"TIME","chain":"abc123"}`)},
	}
	change(&r)
	return r
}

// about has something in all of its fields.
var about = report.About{Target: "rig:7443", Version: "v1", Command: "sallyport replay --addr rig:7443", Host: "lab"}

// show renders results and parses the page as a browser does.
func show(t *testing.T, all ...scenarios.Result) *html.Node {
	t.Helper()
	root, err := html.Parse(strings.NewReader(source(t, all...)))
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func source(t *testing.T, all ...scenarios.Result) string {
	t.Helper()
	var b strings.Builder
	if err := report.HTML(&b, about, all); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// find returns the text of each element of this name and class; an empty class is any.
func find(root *html.Node, name, class string) (all []string) {
	for n := range root.Descendants() {
		if n.Type == html.ElementNode && n.Data == name && (class == "" || slices.Contains(n.Attr, html.Attribute{Key: "class", Val: class})) {
			all = append(all, strings.TrimSpace(text(n)))
		}
	}
	return all
}

func text(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return b.String()
}

func expect(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestWhatIsShown(t *testing.T) {
	root := show(t, example(func(r *scenarios.Result) {
		r.Status, r.Err = scenarios.Failed, errors.New("a/b.txtar:3: alice ask TIME: expected\nheard")
		r.Steps[0].Err, r.Steps[0].Background = "heard", true
		r.Combination = scenarios.Combination{{Dimension: "tls", Value: "1.2"}}
	}))
	expect(t, "name", find(root, "h3", ""), []string{"a/b tls=1.2"})
	expect(t, "title", find(root, "span", "title"), []string{"What it shows."})
	expect(t, "labels", find(root, "span", "label"), []string{"promise:1"})
	expect(t, "error", find(root, "pre", "error"), []string{"a/b.txtar:3: alice ask TIME: expected\nheard"})
	expect(t, "messages", find(root, "text", "said"), []string{"TIME", "250 now"})
	expect(t, "wire", find(root, "text", "wire"), []string{"17 03 03 ff", strings.TrimSpace(strings.Repeat("00 ", 16))})
	expect(t, "bytes", find(root, "text", "octets"), []string{"4 bytes", "first 16 of 1,883 bytes"})
	expect(t, "events", find(root, "time", ""), []string{"250 ms"})
	expect(t, "fields", find(root, "span", "field"), []string{"verb=TIME"})
	expect(t, "chain", find(root, "td", "chain"), []string{"abc123"})
	expect(t, "steps", find(root, "tr", "fault"), []string{"3aliceask TIME in the backgroundheard1 s1.5 ms"})
	expect(t, "about", find(root, "dd", ""), []string{"rig:7443", "v1", "sallyport replay --addr rig:7443", "lab"})
	expect(t, "folder", find(root, "h2", ""), []string{"a"})
	expect(t, "counts", find(root, "span", "counts"), []string{"✗ 1 failed"})
}

func TestOrder(t *testing.T) {
	var all []scenarios.Result
	for i, status := range []scenarios.Status{scenarios.Passed, scenarios.Skipped, scenarios.Failed, scenarios.Passed} {
		all = append(all, example(func(r *scenarios.Result) {
			r.Scenario = &scenarios.Scenario{Name: fmt.Sprintf("%c/%d", "ab"[i/2], i)}
			r.Status, r.Start = status, began.Add(time.Duration(i)*time.Minute)
		}))
	}
	root := show(t, all...)
	expect(t, "order", find(root, "h3", ""), []string{"b/2", "b/3", "a/0", "a/1"})
	expect(t, "folders", find(root, "h2", ""), []string{"b", "a"})
	expect(t, "tally", find(root, "label", ""), []string{"✗ 1 failed", "✓ 2 passed", "– 1 skipped"})
	expect(t, "counts", find(root, "span", "counts"), []string{"✗ 1 failed ✓ 1 passed", "✓ 1 passed – 1 skipped"})
	expect(t, "time", find(root, "p", "when"), []string{"Began 2026-01-02 03:04:05 UTC, took 3 min 2 s."})
	page := source(t, all...)
	if !strings.Contains(page, `<details id="scenario-3" class="scenario failed" open>`) || strings.Count(page, " open>") != 2 {
		t.Error("not exactly the failed scenario and its folder are open")
	}
}

func TestStepsThatMayFail(t *testing.T) {
	root := show(t, example(func(r *scenarios.Result) {
		r.Status = scenarios.Failed
		r.Steps = []scenarios.Step{
			{Who: "did"},
			{Who: "failed", Err: "x"},
			{Who: "failed as it must", Err: "x", Want: "!"},
			{Who: "must have failed", Want: "!"},
			{Who: "might fail", Err: "x", Want: "?"},
			{Who: "might not", Want: "?"},
		}
	}))
	expect(t, "notes", find(root, "span", "note"), []string{"must fail", "must fail", "may fail", "may fail"})
	expect(t, "faults", find(root, "tr", "fault"), []string{"0failedx0 ms0 ms", "0must have failedmust fail 0 ms0 ms"})
}

func TestNothing(t *testing.T) {
	root := show(t)
	expect(t, "summary", find(root, "p", "when"), []string{"No scenario ran."})
	expect(t, "groups", find(root, "h2", ""), []string(nil))
	expect(t, "an empty result", find(show(t, scenarios.Result{Scenario: &scenarios.Scenario{}, Status: scenarios.Skipped}), "h2", ""), []string{"without a folder"})
}

func TestWriterFails(t *testing.T) {
	r, w := io.Pipe()
	errDisk := errors.New("no space left on device")
	_ = r.CloseWithError(errDisk)
	if err := report.HTML(w, report.About{}, nil); !errors.Is(err, errDisk) {
		t.Errorf("HTML to a full disk: %v", err)
	}
}
