package report_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/html"

	"github.com/sallyport/sallyport/scenarios"
)

// hostile would break out of text, attribute, style, SVG and comment, turn the
// text around, and grow over the lines above.
const hostile = "</text></svg></title></style>--><script>alert(1)</script><img src=x onerror=alert(1)>\"' onload=\"x\" {{.}} &lt; " +
	"\u202eright to left\u202c \u2066\u2069\u200b\ufeff \x00\x1b[31m\r\x7f\u0085 \xff\xfe Z\u0300\u0301\u0302\u0303\u0304\u0305 \U000e0041 \u2028"

// everywhere puts the text wherever a result takes one.
func everywhere(text string) scenarios.Result {
	inJSON, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return example(func(r *scenarios.Result) {
		r.Scenario = &scenarios.Scenario{Name: text, File: text, Title: text, Labels: []string{text}, Lines: []string{text, text, text}}
		r.Combination = scenarios.Combination{{Dimension: text, Value: text}}
		r.Status, r.Reason, r.Err = scenarios.Failed, text, errors.New(text+":2: "+text)
		r.Steps = []scenarios.Step{{Who: text, Text: text, Err: text}}
		r.Exchanges = []scenarios.Exchange{{From: text, To: "server", Text: text}, {From: "server", To: text, Text: text}, {From: text, To: text, Text: text}}
		r.Log = []json.RawMessage{
			json.RawMessage(fmt.Sprintf(`{"time":%s,"event":%[1]s,%[1]s:%[1]s,"chain":%[1]s}`, inJSON)),
			json.RawMessage(text),
		}
	})
}

func TestHostileTextIsOnlyText(t *testing.T) {
	plain, wild := show(t, everywhere("plain")), show(t, everywhere(hostile))
	// Labels of the diagram take more lines: count everything else.
	expect(t, "elements and attributes", elements(wild), elements(plain))
	shown := text(wild)
	for _, part := range []string{"<script>alert(1)</script>", "{{.}} &lt;", "⟨U+202E⟩right to left⟨U+202C⟩", "␀␛[31m␍␡⟨U+0085⟩", "⟨FF⟩⟨FE⟩", "Z\u0300\u0301⟨U+0302⟩", "⟨U+E0041⟩ ⟨U+2028⟩"} {
		if !strings.Contains(shown, part) {
			t.Errorf("%q is not shown", part)
		}
	}
}

func TestNothingInvisible(t *testing.T) {
	page := source(t, everywhere(hostile))
	if !utf8.ValidString(page) {
		t.Error("the page is not UTF-8")
	}
	for i, r := range page {
		if r != '\n' && !unicode.IsPrint(r) {
			t.Fatalf("%U at byte %d of the page", r, i)
		}
	}
}

// elements counts the elements and the attributes of each kind, except texts of the diagram.
func elements(root *html.Node) map[string]int {
	all := map[string]int{}
	for n := range root.Descendants() {
		if n.Type == html.ElementNode && n.Data != "text" {
			all[n.Data]++
			for _, a := range n.Attr {
				all[n.Data+" "+a.Key]++
			}
		}
	}
	return all
}

func TestSelfContained(t *testing.T) {
	allowed := map[string]string{"link href": "data:,"}
	for n := range show(t, everywhere("http://example.org/")).Descendants() {
		switch n.Data {
		case "script", "img", "iframe", "object", "embed", "base", "form", "use", "image", "foreignObject", "audio", "video":
			t.Errorf("the page has <%s>", n.Data)
		case "style":
			if css := text(n); strings.Contains(css, "url(") || strings.Contains(css, "@import") {
				t.Error("the style fetches something")
			}
		}
		for _, a := range n.Attr {
			fetches := a.Key == "src" || a.Key == "srcset" || a.Key == "href" || strings.HasPrefix(a.Key, "on")
			if fetches && allowed[n.Data+" "+a.Key] != a.Val {
				t.Errorf("<%s %s=%q>", n.Data, a.Key, a.Val)
			}
		}
	}
	if page := source(t); !strings.Contains(page, `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:;`) {
		t.Error("no policy forbids what the page does not need")
	}
}

// A page is as well-formed as it looks: what the parser would mend shows as tokens that don't pair up.
func TestWellFormed(t *testing.T) {
	void := map[string]bool{"meta": true, "link": true, "input": true}
	var open []string
	z := html.NewTokenizer(strings.NewReader(source(t, everywhere(hostile), example(func(*scenarios.Result) {}))))
	for {
		kind := z.Next()
		token := z.Token()
		switch {
		case kind == html.ErrorToken:
			expect(t, "left open", open, []string{})
			return
		case kind == html.StartTagToken && !void[token.Data]:
			open = append(open, token.Data)
		case kind == html.EndTagToken:
			if len(open) == 0 || open[len(open)-1] != token.Data {
				t.Fatalf("</%s> ends %v", token.Data, open)
			}
			open = open[:len(open)-1]
		}
	}
}

func TestBounds(t *testing.T) {
	long := strings.Repeat("x", 1<<16)
	r := example(func(r *scenarios.Result) {
		r.Steps, r.Exchanges, r.Log = nil, nil, nil
		for i := range 10_000 {
			r.Steps = append(r.Steps, scenarios.Step{Line: i, Who: "step", Text: long})
			r.Exchanges = append(r.Exchanges, scenarios.Exchange{From: fmt.Sprintf("client-%d", i), To: "server", Text: long, At: time.Duration(i)})
			r.Log = append(r.Log, json.RawMessage(fmt.Sprintf(`{"event":"e%d"}`, i)))
		}
	})
	page := source(t, r)
	if len(page) > 1<<20 {
		t.Errorf("the page has %d bytes", len(page))
	}
	root := show(t, r)
	expect(t, "cut", append(find(root, "text", "gap"), find(root, "td", "left")...), []string{
		"9,840 exchanges in between are not drawn", "9,800 records in between are not shown", "9,800 steps in between are not shown",
	})
	expect(t, "participants", len(find(root, "g", "participant")), 20)
	events := find(root, "th", "")
	for _, want := range []string{"e0", "e9999"} {
		if !strings.Contains(strings.Join(events, " "), want) {
			t.Errorf("%s is not shown: both ends of the log are", want)
		}
	}
}

func TestManyScenarios(t *testing.T) {
	var all []scenarios.Result
	for range 10_000 {
		all = append(all, example(func(*scenarios.Result) {}))
	}
	root := show(t, append(all, example(func(r *scenarios.Result) { r.Status = scenarios.Failed }))...)
	expect(t, "tally", find(root, "label", ""), []string{"✗ 1 failed", "✓ 10,000 passed", "– 0 skipped"})
	expect(t, "counts", find(root, "span", "counts"), []string{"✗ 1 failed ✓ 10,000 passed"})
	expect(t, "shown", len(find(root, "h3", "")), 301)
	expect(t, "listed", len(find(root, "p", "scenario passed brief")), 2700)
	expect(t, "left", find(root, "p", "left"), []string{"7,000 more passed scenarios are not listed."})
}

func TestSybilIsOne(t *testing.T) {
	root := show(t, example(func(r *scenarios.Result) {
		r.Exchanges = nil
		for i := range 20 {
			r.Exchanges = append(r.Exchanges, scenarios.Exchange{From: fmt.Sprintf("sybil-%d", i), To: "server", Text: "logs in"})
		}
		r.Exchanges = append(r.Exchanges, scenarios.Exchange{From: "server", To: "sybil-7", Text: "535 no"})
	}))
	expect(t, "participants", find(root, "g", "participant"), []string{"sybil", "sybil", "server", "server"})
	expect(t, "messages", find(root, "text", "said")[19:], []string{"sybil-19: logs in", "sybil-7: 535 no"})
}
